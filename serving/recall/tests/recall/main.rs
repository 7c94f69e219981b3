//! Memories from the outside: stored, found, deleted, killed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod kill;
mod labels;
mod meaning;
mod store;
mod support;
