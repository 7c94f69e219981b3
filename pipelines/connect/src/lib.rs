//! Where events come from and go to: the event log, `admit`, importers, the simulator.
//!
//! In: records of devices, files and simulated people. Out: each event once, in order of its user, in
//! `crave.events.v1`, which the streaming engine reads through [`LogConnector`].

mod admit;
mod error;
mod flow;
pub mod import;
mod intake;
pub mod log;
pub mod simulate;

pub use admit::{Admit, Counts, DeadLetter};
pub use error::{Error, Kind};
pub use flow::LogConnector;
pub use intake::{Intake, Outcome, Parsed, Submitted, submit};
