//! The lake's views and sessions, tested as their readers use them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails so")]

mod daily_now;
mod labels;
mod session;
mod support;
mod views;
