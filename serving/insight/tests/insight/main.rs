//! The language model's side of answers: what goes in, what comes out, what never does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod budget;
mod gate;
mod intent;
mod remote;
