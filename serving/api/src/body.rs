//! Finds the events in a request's body: one object, an array, or NDJSON. Pure; a fuzz target enters here.

use serde_json::value::RawValue;

/// A body that holds no events at all.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBody {
    /// Nothing in it.
    #[error("the body is empty; send one event, an array of events, or one event a line")]
    Empty,
    /// Not UTF-8.
    #[error("the body is not UTF-8 at byte {0}")]
    NotUtf8(usize),
    /// An array or object that does not parse.
    #[error(
        "the body is not JSON at line {line} column {column}; send one event, an array of events, or one event a line (application/x-ndjson)"
    )]
    NotJson {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// More events than a request may have.
    #[error("the body has more than {0} events; send them in several requests")]
    TooMany(usize),
}

/// The JSON text of each event. With `ndjson` each line that is not blank is one event, whatever it holds: a
/// bad line spoils no other. Without, an array is taken apart and anything that is not one JSON value is
/// read as lines, provided its first line is a whole one.
///
/// # Errors
/// See [`BadBody`].
pub fn split(body: &[u8], ndjson: bool, events_max: usize) -> Result<Vec<&str>, BadBody> {
    let text = std::str::from_utf8(body).map_err(|e| BadBody::NotUtf8(e.valid_up_to()))?;
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() {
        return Err(BadBody::Empty);
    }
    let events: Vec<&str> = if ndjson {
        lines(text, events_max)
    } else if text.starts_with('[') {
        let values: Vec<&RawValue> = serde_json::from_str(text).map_err(|e| not_json(&e))?;
        values.into_iter().map(RawValue::get).collect()
    } else {
        match serde_json::from_str::<&RawValue>(text) {
            Ok(value) => vec![value.get()],
            Err(error) => {
                let first = text.lines().next().unwrap_or_default();
                if serde_json::from_str::<&RawValue>(first).is_err() {
                    return Err(not_json(&error));
                }
                lines(text, events_max)
            }
        }
    };
    match events.len() {
        0 => Err(BadBody::Empty),
        n if n > events_max => Err(BadBody::TooMany(events_max)),
        _ => Ok(events),
    }
}

fn lines(text: &str, events_max: usize) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).take(events_max + 1).collect()
}

fn not_json(error: &serde_json::Error) -> BadBody {
    BadBody::NotJson { line: error.line(), column: error.column() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_is_taken_apart() {
        let ok = |parts: &[&'static str]| Ok(parts.to_vec());
        for (body, ndjson, expected) in [
            ("{\"a\":1}", false, ok(&["{\"a\":1}"])),
            ("{\n \"a\":1\n}", false, ok(&["{\n \"a\":1\n}"])),
            ("[{\"a\":1}, {\"b\":2}]", false, ok(&["{\"a\":1}", "{\"b\":2}"])),
            ("{\"a\":1}\n{\"b\":2}\n", false, ok(&["{\"a\":1}", "{\"b\":2}"])),
            ("{\"a\":1}\n\n{oops\n{\"b\":2}", true, ok(&["{\"a\":1}", "{oops", "{\"b\":2}"])),
            ("\u{feff}{\"a\":1}", false, ok(&["{\"a\":1}"])),
            ("  ", false, Err(BadBody::Empty)),
            ("[]", false, Err(BadBody::Empty)),
            ("{\"a\":", false, Err(BadBody::NotJson { line: 1, column: 5 })),
            ("[{\"a\":1}", false, Err(BadBody::NotJson { line: 1, column: 8 })),
            ("hello", false, Err(BadBody::NotJson { line: 1, column: 1 })),
            ("1\n2\n3\n4", true, Err(BadBody::TooMany(3))),
        ] {
            assert_eq!(split(body.as_bytes(), ndjson, 3), expected, "{body}");
        }
        assert_eq!(split(&[b'{', 0xff], false, 3), Err(BadBody::NotUtf8(1)));
    }
}
