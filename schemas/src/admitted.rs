//! The flat record of `crave.events.v1`: what `admit` writes and every streaming job reads.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::Event;

/// The kind of a record that only carries time, so that watermarks move when nobody sends.
pub const HEARTBEAT: &str = "heartbeat";

/// An admitted event, or a heartbeat. Field for field the columns of the table `events`; the payload is
/// JSON text, so that Arroyo and `flow` read the record alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Admitted {
    /// UUID; empty in a heartbeat.
    pub event_id: String,
    /// Tenant; empty in a heartbeat.
    pub user_id: String,
    /// Device, when told.
    pub device_id: Option<String>,
    /// `watch`, `phone`, `import`, `api`.
    pub source: Option<String>,
    /// Version of the sending program.
    pub app_version: Option<String>,
    /// A [`crate::Kind`], or [`HEARTBEAT`].
    pub kind: String,
    /// When it happened.
    #[serde(with = "micros")]
    pub event_time: DateTime<Utc>,
    /// Minutes east of UTC; absent when unknown.
    pub tz_offset_min: Option<i64>,
    /// IANA zone.
    pub tz: Option<String>,
    /// When the platform admitted it.
    #[serde(with = "micros")]
    pub received_at: DateTime<Utc>,
    /// Schema version of the payload.
    pub schema_version: i64,
    /// The payload as canonical JSON text.
    pub payload: String,
}

impl Admitted {
    /// Stamps a valid event.
    #[must_use]
    pub fn new(event: &Event, received_at: DateTime<Utc>) -> Self {
        Self {
            event_id: event.event_id.to_string(),
            user_id: event.user_id.to_string(),
            device_id: event.device_id.as_ref().map(ToString::to_string),
            source: Some(event.source.as_str().into()),
            app_version: event.app_version.clone(),
            kind: event.kind.as_str().into(),
            event_time: event.event_time,
            tz_offset_min: event.tz_offset_min.map(i64::from),
            tz: event.tz.map(|tz| tz.name().into()),
            received_at,
            schema_version: event.schema_version.into(),
            payload: event.payload.to_json(),
        }
    }

    /// A record that says only what time it is.
    #[must_use]
    pub fn heartbeat(now: DateTime<Utc>) -> Self {
        Self {
            event_id: String::new(),
            user_id: String::new(),
            device_id: None,
            source: None,
            app_version: None,
            kind: HEARTBEAT.into(),
            event_time: now,
            tz_offset_min: None,
            tz: None,
            received_at: now,
            schema_version: crate::SCHEMA_VERSION.into(),
            payload: "{}".into(),
        }
    }
}

/// Times in the form of [`crate::event::micros`].
mod micros {
    use chrono::{DateTime, Utc};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(at: &DateTime<Utc>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&crate::event::micros(*at))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<DateTime<Utc>, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(from)?;
        DateTime::parse_from_rfc3339(&text).map(|t| t.with_timezone(&Utc)).map_err(D::Error::custom)
    }
}
