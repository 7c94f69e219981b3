//! The envelope: who, when, where from; parsed from bytes and checked.

use chrono::{DateTime, Duration, FixedOffset, SecondsFormat, Utc};
use chrono_tz::Tz;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::{Code, DeviceId, EventId, Kind, Payload, Refusal, Source, UserId};

/// The version this build writes and the highest it reads. See the crate's head for when it rises.
pub const SCHEMA_VERSION: u16 = 1;

/// The bounds of the envelope, in one place for documentation, tests and clients.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest event, in bytes of JSON.
    pub event_bytes_max: usize,
    /// How far an event may be ahead of the server's clock, in seconds.
    pub future_s_max: i64,
    /// Oldest event time, in seconds since 1970.
    pub oldest_s: i64,
    /// Longest app version, in characters.
    pub app_version_chars_max: usize,
}

/// The bounds in force. The oldest time is 1990-01-01: before it, a clock is broken, not a memory old.
pub const LIMITS: Limits = Limits {
    event_bytes_max: 64 * 1024,
    future_s_max: 300,
    oldest_s: 631_152_000,
    app_version_chars_max: 64,
};

/// Identifies a body: the first half of SHA-256 over the canonical form. Equal ids with equal hashes are
/// one event sent twice; with different hashes, a conflict.
pub type BodyHash = [u8; 16];

/// A validated event as its device meant it.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Schema version it was written in.
    pub schema_version: u16,
    /// Idempotency key, with the user.
    pub event_id: EventId,
    /// The person.
    pub user_id: UserId,
    /// The device, when told.
    pub device_id: Option<DeviceId>,
    /// What kind of program sent it.
    pub source: Source,
    /// That program's version.
    pub app_version: Option<String>,
    /// What it tells.
    pub kind: Kind,
    /// When it happened, UTC, microseconds.
    pub event_time: DateTime<Utc>,
    /// The wall clock's offset at that instant, minutes east of UTC; `None` when unknown, never taken for 0.
    pub tz_offset_min: Option<i16>,
    /// IANA zone, when the client knows it.
    pub tz: Option<Tz>,
    /// The body.
    pub payload: Payload,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<'a> {
    #[serde(default = "first_version")]
    schema_version: u16,
    event_id: std::borrow::Cow<'a, str>,
    #[serde(default)]
    user_id: Option<std::borrow::Cow<'a, str>>,
    #[serde(default)]
    device_id: Option<std::borrow::Cow<'a, str>>,
    source: std::borrow::Cow<'a, str>,
    #[serde(default)]
    app_version: Option<String>,
    kind: std::borrow::Cow<'a, str>,
    event_time: std::borrow::Cow<'a, str>,
    #[serde(default)]
    tz_offset_min: Option<i16>,
    #[serde(default)]
    tz: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow)]
    payload: &'a RawValue,
}

fn first_version() -> u16 {
    1
}

impl Event {
    /// Reads one event from JSON bytes and checks all of it.
    ///
    /// `caller` is the authenticated user: it fills a missing `user_id` and must equal a given one; `None`
    /// where the channel vouches for no user (Kafka), and then `user_id` is required. `now` bounds the
    /// future.
    ///
    /// # Errors
    /// The first [`Refusal`] met, with the path of its field.
    pub fn parse(json: &[u8], caller: Option<&UserId>, now: DateTime<Utc>) -> Result<Self, Refusal> {
        if json.len() > LIMITS.event_bytes_max {
            let reason = format!("has {} bytes, more than {}", json.len(), LIMITS.event_bytes_max);
            return Err(Refusal::new(Code::TooLarge, "", reason));
        }
        let text = std::str::from_utf8(json).map_err(|e| {
            Refusal::new(Code::Malformed, "", format!("is not UTF-8 at byte {}", e.valid_up_to()))
        })?;
        let wire: Wire<'_> = match serde_json::from_str(text) {
            Ok(wire) => wire,
            Err(error) => return Err(locate(text).unwrap_or_else(|| refusal_of(&error))),
        };
        if wire.schema_version == 0 || wire.schema_version > SCHEMA_VERSION {
            let reason = format!("must be 1 to {SCHEMA_VERSION}; update the server to read newer events");
            return Err(Refusal::new(Code::Version, "schema_version", reason));
        }
        let kind = Kind::from_name(&wire.kind).ok_or_else(|| {
            Refusal::invalid("kind", format!("must be one of {}", names(Kind::ALL, Kind::as_str)))
        })?;
        let source = Source::from_name(&wire.source).ok_or_else(|| {
            Refusal::invalid("source", format!("must be one of {}", names(Source::ALL, Source::as_str)))
        })?;
        let user_id = user(wire.user_id.as_deref(), caller)?;
        let (event_time, written_offset) = instant("event_time", &wire.event_time, now)?;
        if wire.app_version.as_ref().is_some_and(|v| v.chars().count() > LIMITS.app_version_chars_max) {
            let reason = format!("must not exceed {} characters", LIMITS.app_version_chars_max);
            return Err(Refusal::invalid("app_version", reason));
        }
        let tz = wire.tz.as_deref().filter(|z| !z.is_empty()).map(zone).transpose()?;
        let tz_offset_min = wire.tz_offset_min.or(written_offset);
        check_offset("tz_offset_min", tz_offset_min)?;
        let payload = Payload::parse(kind, wire.payload.get()).map_err(|r| r.under("payload"))?;
        if let Payload::Correct(c) = &payload {
            check_instant("payload.event_time", c.event_time, now)?;
            check_offset("payload.tz_offset_min", c.tz_offset_min)?;
        }
        Ok(Self {
            schema_version: wire.schema_version,
            event_id: EventId::parse(&wire.event_id)?,
            user_id,
            device_id: wire.device_id.filter(|d| !d.is_empty()).map(DeviceId::new).transpose()?,
            source,
            app_version: wire.app_version.filter(|v| !v.is_empty()),
            kind,
            event_time,
            tz_offset_min,
            tz,
            payload,
        })
    }

    /// The canonical JSON of the event: fixed field order, normalised labels, UTC time. Equal events have
    /// equal canonical forms whatever the client's spacing and field order.
    #[must_use]
    pub fn to_json(&self) -> String {
        use std::fmt::Write as _;
        let mut out = String::with_capacity(384);
        // Ids, names and times hold no character that JSON escapes; writing to a String cannot fail.
        let _ = write!(
            out,
            r#"{{"schema_version":{},"event_id":"{}","user_id":"{}""#,
            self.schema_version, self.event_id, self.user_id
        );
        if let Some(device) = &self.device_id {
            let _ = write!(out, r#","device_id":"{device}""#);
        }
        let _ = write!(out, r#","source":"{}""#, self.source.as_str());
        if let Some(version) = &self.app_version {
            let _ = write!(out, r#","app_version":{}"#, serde_json::Value::from(version.as_str()));
        }
        let time = micros(self.event_time);
        let _ = write!(out, r#","kind":"{}","event_time":"{time}""#, self.kind.as_str());
        if let Some(offset) = self.tz_offset_min {
            let _ = write!(out, r#","tz_offset_min":{offset}"#);
        }
        if let Some(tz) = self.tz {
            let _ = write!(out, r#","tz":"{}""#, tz.name());
        }
        let _ = write!(out, r#","payload":{}}}"#, self.payload.to_json());
        out
    }

    /// Hash of [`Event::to_json`]; [`body_hash`] where that text is at hand.
    #[must_use]
    pub fn body_hash(&self) -> BodyHash {
        body_hash(&self.to_json())
    }
}

/// The hash of a canonical form: the first half of its SHA-256.
#[must_use]
pub fn body_hash(canonical: &str) -> BodyHash {
    let digest = Sha256::digest(canonical.as_bytes());
    let mut half = BodyHash::default();
    half.copy_from_slice(&digest[..16]);
    half
}

/// RFC 3339 with microseconds and `Z`: the form that Arrow's JSON reader and Arroyo both take. (Not `format`: it reads
/// its pattern anew for each event.)
pub(crate) fn micros(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

fn names<T: Copy>(all: &[T], name: fn(T) -> &'static str) -> String {
    all.iter().map(|&v| name(v)).collect::<Vec<_>>().join(", ")
}

fn user(given: Option<&str>, caller: Option<&UserId>) -> Result<UserId, Refusal> {
    match (given, caller) {
        (Some(given), Some(caller)) if given != caller.as_str() => Err(Refusal::new(
            Code::Forbidden,
            "user_id",
            "is not the user of this token; leave it out or send your own",
        )),
        (_, Some(caller)) => Ok(caller.clone()),
        (Some(given), None) => UserId::new(given),
        (None, None) => Err(Refusal::new(Code::Missing, "user_id", "is required here")),
    }
}

fn instant(field: &str, text: &str, now: DateTime<Utc>) -> Result<(DateTime<Utc>, Option<i16>), Refusal> {
    let parsed: DateTime<FixedOffset> = DateTime::parse_from_rfc3339(text).map_err(|_| {
        Refusal::invalid(field, "must be an RFC 3339 time with an offset, such as 2026-01-31T21:04:05+01:00")
    })?;
    let utc = parsed.with_timezone(&Utc);
    let micros = DateTime::from_timestamp_micros(utc.timestamp_micros()).unwrap_or(utc);
    check_instant(field, micros, now)?;
    // "Z" says nothing of the wall clock; a written offset does.
    let local = !text.ends_with(['Z', 'z']);
    let minutes = i16::try_from(parsed.offset().local_minus_utc() / 60).ok();
    Ok((micros, minutes.filter(|_| local)))
}

fn check_instant(field: &str, at: DateTime<Utc>, now: DateTime<Utc>) -> Result<(), Refusal> {
    if at.timestamp() < LIMITS.oldest_s {
        return Err(Refusal::invalid(field, "is before 1990: check the device's clock"));
    }
    if at > now + Duration::seconds(LIMITS.future_s_max) {
        let reason = format!(
            "is more than {} seconds ahead of the server: check the device's clock",
            LIMITS.future_s_max
        );
        return Err(Refusal::new(Code::Future, field, reason));
    }
    Ok(())
}

fn check_offset(field: &str, minutes: Option<i16>) -> Result<(), Refusal> {
    match minutes {
        Some(m) if !(-720..=840).contains(&m) => {
            Err(Refusal::invalid(field, "must be between -720 (UTC-12) and 840 (UTC+14) minutes"))
        }
        _ => Ok(()),
    }
}

fn zone(name: &str) -> Result<Tz, Refusal> {
    name.parse().map_err(|_| Refusal::invalid("tz", "must be an IANA time zone such as Europe/Berlin"))
}

/// Reads the text again, slowly, to learn which field was at fault.
fn locate(text: &str) -> Option<Refusal> {
    let mut json = serde_json::Deserializer::from_str(text);
    let error = serde_path_to_error::deserialize::<_, Wire<'_>>(&mut json).err()?;
    let path = error.path().to_string();
    let refusal = refusal_of(error.inner());
    Some(if matches!(path.as_str(), "." | "?") || path == refusal.field {
        refusal
    } else {
        Refusal { field: path, ..refusal }
    })
}

/// Turns serde's message into a refusal that names the field where serde tells it.
pub(crate) fn refusal_of(error: &serde_json::Error) -> Refusal {
    let text = error.to_string();
    let quoted = || text.split('`').nth(1).unwrap_or_default().to_owned();
    if text.starts_with("missing field") {
        Refusal::new(Code::Missing, quoted(), "is required")
    } else if text.starts_with("unknown field") {
        Refusal::new(Code::UnknownField, quoted(), "is not a field of this kind")
    } else if text.starts_with("duplicate field") {
        Refusal::invalid(quoted(), "is given twice")
    } else if error.is_data() {
        // serde quotes the offending value: keep only what it expected, values are personal.
        let expected = text.split(", expected ").nth(1).unwrap_or("another value");
        let expected = expected.split(" at line").next().unwrap_or(expected);
        Refusal::invalid("", format!("expected {expected} (column {})", error.column()))
    } else {
        Refusal::new(
            Code::Malformed,
            "",
            format!("is not valid JSON at line {} column {}", error.line(), error.column()),
        )
    }
}

#[cfg(test)]
mod tests;
