//! Whole-system tests: the real binary, real HTTP, real files. One binary, so that it links once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::large_futures, clippy::needless_pass_by_value, reason = "tests")]

mod arroyo;
mod bad_input;
mod browser;
mod conversations;
mod crash;
mod documents;
mod flow;
mod imports;
mod insight;
mod labels;
mod live;
mod operator;
mod parts;
mod persona;
mod rebuild;
mod recall;
mod simulation;
mod spine;
mod support;
mod tenancy;
mod time;
