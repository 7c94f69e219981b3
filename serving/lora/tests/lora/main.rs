//! The engine against plain references: a Llama in f64 loops, merged weights, and tokens from transformers and peft.

mod adapters;
mod engine;
mod fixture;
mod golden;
mod parity;
mod reference;
