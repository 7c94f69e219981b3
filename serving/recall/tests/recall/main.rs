//! Memories from the outside: stored, found, deleted, killed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod cache;
mod cold;
mod embedder;
mod kill;
mod labels;
mod meaning;
mod reembed;
mod store;
mod support;
