//! Whole-system tests: the real binary, real HTTP, real files. One binary, so that it links once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::large_futures, clippy::needless_pass_by_value, reason = "tests")]

mod arroyo;
mod bad_input;
mod browser;
mod chat;
mod conversations;
mod crash;
mod cravings;
mod documents;
mod erasure;
mod feedback;
mod flow;
mod imports;
mod insight;
mod labels;
mod live;
mod model;
mod openapi;
mod operator;
mod parts;
mod persona;
mod rebuild;
mod recall;
mod serve_model;
mod simulation;
mod spine;
mod support;
mod tenancy;
mod time;
/// The tiny model and adapters of crave-lora's own tests.
#[allow(dead_code, reason = "not all of it is needed here")]
#[path = "../../serving/lora/tests/lora/fixture.rs"]
mod tiny;
