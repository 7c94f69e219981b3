//! The engine against plain references: a Llama in f64 loops, merged weights, and tokens from transformers and peft.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod adapters;
mod engine;
mod fixture;
mod gguf_file;
mod golden;
mod parity;
mod quantised;
mod reference;
