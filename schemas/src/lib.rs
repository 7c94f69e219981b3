//! What an event is: its envelope, its kinds, its ranges, and the shapes it takes on the way.
//!
//! In: bytes from a device ([`Event::parse`]). Out: a validated [`Event`] or a [`Refusal`] that names the
//! field and says why; the flat [`Admitted`] record that travels in `crave.events.v1`; the Arrow schema of
//! the bronze table ([`events_schema`]); JSON Schema documents for clients ([`json_schemas`]).
//!
//! Evolution: [`SCHEMA_VERSION`] rises only when an old reader would misread a new event. A new optional
//! payload field or a new kind keeps the version; a field is never renamed, retyped or reused. A reader
//! refuses a version above its own, by name, so that nothing is half understood.

mod admitted;
mod arrow_schema;
mod clock;
mod event;
mod ids;
mod json_schema;
mod kind;
mod payload;
mod refusal;

pub use admitted::{Admitted, HEARTBEAT};
pub use arrow_schema::{events_schema, note_labels_schema, utc_micros};
pub use clock::{Clock, ManualClock, SystemClock};
pub use event::{BodyHash, Event, LIMITS, Limits, SCHEMA_VERSION, body_hash};
pub use ids::{DeviceId, EventId, UserId};
pub use json_schema::json_schemas;
pub use kind::{Kind, Source};
pub use payload::{
    ActivitySummary, Company, Context, Correct, Craving, Journal, Lapse, Location, Measure, Mindful, Mood,
    Payload, Retract, Sleep, SleepStage, StageSpan, Tally, Workout,
};
pub use refusal::{Code, Refusal};
