//! The engine from the outside: SQL files, rows in, rows out, crashes and other parallelism in between.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::type_complexity,
    clippy::cast_precision_loss,
    reason = "a test fails by panicking"
)]

mod cases;
mod functions;
mod graph;
mod jobs;
mod live;
mod old_checkpoints;
mod random_query;
mod refusals;
mod silence;
mod stream_equals_batch;
mod support;
