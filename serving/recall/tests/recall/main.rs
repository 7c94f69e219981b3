//! Memories from the outside: stored, found, deleted, killed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod kill;
mod labels;
mod meaning;
mod store;
mod support;
