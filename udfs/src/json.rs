//! Fields of a JSON text by path, without building the whole document.
//!
//! Paths are the part of JSONPath that Arroyo's functions are used with: `$`, `.name`, `['name']`, `[0]`, `[*]`,
//! `.*`.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Key(String),
    Index(usize),
    Every,
}

/// A parsed path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPath(Vec<Segment>);

/// A path that is not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPathError(String);

impl fmt::Display for JsonPathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JSON path '{}' is not understood; write it like $.a.b, $.a[0] or $.a[*]", self.0)
    }
}

impl std::error::Error for JsonPathError {}

impl JsonPath {
    /// Parses a path.
    ///
    /// # Errors
    /// When it is anything but `$` followed by names, indices and stars.
    pub fn parse(path: &str) -> Result<Self, JsonPathError> {
        let bad = || JsonPathError(path.to_owned());
        let mut rest = path.trim().strip_prefix('$').ok_or_else(bad)?;
        let mut segments = Vec::new();
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('.') {
                let end = after.find(['.', '[']).unwrap_or(after.len());
                let (name, left) = after.split_at(end);
                match name {
                    "" => return Err(bad()),
                    "*" => segments.push(Segment::Every),
                    name => segments.push(Segment::Key(name.to_owned())),
                }
                rest = left;
            } else {
                let after = rest.strip_prefix('[').ok_or_else(bad)?;
                let (inside, left) = after.split_once(']').ok_or_else(bad)?;
                let quoted = |q: char| inside.strip_prefix(q).and_then(|i| i.strip_suffix(q));
                segments.push(match (inside, quoted('\'').or_else(|| quoted('"'))) {
                    ("*", _) => Segment::Every,
                    (_, Some(name)) => Segment::Key(name.to_owned()),
                    (index, None) => Segment::Index(index.parse().map_err(|_| bad())?),
                });
                rest = left;
            }
        }
        Ok(Self(segments))
    }

    /// The first match in a JSON text; `None` when there is none or the text is not JSON.
    #[must_use]
    pub fn first(&self, json: &str) -> Option<Value> {
        if self.0.contains(&Segment::Every) {
            return self.all(json).into_iter().next();
        }
        let mut reader = serde_json::Deserializer::from_str(json);
        let found = Seek(&self.0).deserialize(&mut reader).ok()?;
        reader.end().ok()?;
        found
    }

    /// All matches in a JSON text, in order; none when it is not JSON.
    #[must_use]
    pub fn all(&self, json: &str) -> Vec<Value> {
        let Ok(document) = serde_json::from_str::<Value>(json) else { return Vec::new() };
        let mut found = vec![document];
        for segment in &self.0 {
            found = found.into_iter().flat_map(|value| step(value, segment)).collect();
        }
        found
    }
}

fn step(value: Value, segment: &Segment) -> Vec<Value> {
    match (segment, value) {
        (Segment::Key(name), Value::Object(mut fields)) => fields.remove(name).into_iter().collect(),
        (Segment::Index(index), Value::Array(mut items)) if *index < items.len() => {
            vec![items.swap_remove(*index)]
        }
        (Segment::Every, Value::Array(items)) => items,
        (Segment::Every, Value::Object(fields)) => fields.into_iter().map(|(_, value)| value).collect(),
        _ => Vec::new(),
    }
}

/// Walks a document along a path and builds only what is at its end.
struct Seek<'p>(&'p [Segment]);

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        match self.0 {
            [] => serde::Deserialize::deserialize(deserializer).map(Some),
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            match self.0 {
                [Segment::Key(name), rest @ ..] if *name == key => found = map.next_value_seed(Seek(rest))?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let (wanted, rest) = match self.0 {
            [Segment::Index(index), rest @ ..] => (Some(*index), rest),
            _ => (None, self.0),
        };
        let mut found = None;
        let mut at = 0;
        loop {
            if Some(at) == wanted {
                match seq.next_element_seed(Seek(rest))? {
                    None => return Ok(found),
                    Some(value) => found = value,
                }
            } else if seq.next_element::<IgnoredAny>()?.is_none() {
                return Ok(found);
            }
            at += 1;
        }
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Self::Value, E> {
        if value.is_finite() { Ok(None) } else { Err(E::custom("a number out of range")) }
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const TEXT: &str = r#"{"a": {"b": "x\"y", "n": 7}, "tags": ["t", "u"], "q": null, "e\u0061": 1}"#;

    #[test]
    fn first_matches() {
        let table = [
            ("$.a.b", Some(json!("x\"y"))),
            ("$.a.n", Some(json!(7))),
            ("$['a']['n']", Some(json!(7))),
            ("$.tags[1]", Some(json!("u"))),
            ("$.tags[2]", None),
            ("$.tags[*]", Some(json!("t"))),
            ("$.q", Some(Value::Null)),
            ("$.ea", Some(json!(1))),
            ("$.a.b.c", None),
            ("$.none", None),
            ("$.a", Some(json!({"b": "x\"y", "n": 7}))),
        ];
        for (path, expected) in table {
            assert_eq!(JsonPath::parse(path).unwrap().first(TEXT), expected, "{path}");
        }
        for broken in ["", "{", "{\"a\":", "{\"a\":{\"b\":\"x\"}} junk"] {
            assert_eq!(JsonPath::parse("$.a.b").unwrap().first(broken), None, "{broken}");
        }
    }

    #[test]
    fn paths_that_are_refused() {
        for path in ["a", "$a", "$..a", "$.a[", "$.a[x]", "$.a[-1]", ""] {
            assert!(JsonPath::parse(path).unwrap_err().to_string().contains("write it like"), "{path}");
        }
    }

    proptest! {
        #[test]
        fn walking_and_building_agree(keys in proptest::collection::vec("[a-c]", 1..4), value in 0i64..9, index in 0usize..3) {
            let mut document = json!([value, {"z": value}]);
            for key in keys.iter().rev() {
                document = json!({ key.clone(): document, "other": [1, {"a": 2}] });
            }
            let path = JsonPath::parse(&format!("$.{}[{index}]", keys.join("."))).unwrap();
            let text = document.to_string();
            prop_assert_eq!(path.first(&text), path.all(&text).into_iter().next());
        }

        #[test]
        fn any_text_is_survived(text in ".{0,40}", path in "\\$[.a\\[\\]0*']{0,8}") {
            if let Ok(path) = JsonPath::parse(&path) {
                let _ = (path.first(&text), path.all(&text));
            }
        }
    }
}
