//! Identifiers that cannot be built invalid.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Refusal;

/// Longest user or device id, in bytes.
const ID_BYTES_MAX: usize = 64;

fn check(field: &str, text: &str) -> Result<(), Refusal> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b':' | b'@');
    if text.is_empty() || text.len() > ID_BYTES_MAX {
        return Err(Refusal::invalid(field, format!("must have 1 to {ID_BYTES_MAX} characters")));
    }
    if !text.bytes().all(allowed) {
        return Err(Refusal::invalid(field, "may hold only letters, digits and _ - . : @"));
    }
    Ok(())
}

macro_rules! text_id {
    ($name:ident, $field:literal, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks length and alphabet.
            ///
            /// # Errors
            /// A [`Refusal`] naming the field when the text is empty, too long or has other characters.
            pub fn new(text: impl Into<String>) -> Result<Self, Refusal> {
                let text = text.into();
                check($field, &text)?;
                Ok(Self(text))
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = Refusal;
            fn try_from(text: String) -> Result<Self, Refusal> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    UserId,
    "user_id",
    "A person, by an opaque id: the tenant. 1–64 characters of `A–Z a–z 0–9 _ - . : @`."
);
text_id!(DeviceId, "device_id", "A watch, phone or import of a person; the same alphabet as [`UserId`].");

/// Identifies an event of a user; with the user id, the idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(pub Uuid);

impl EventId {
    /// Reads a UUID in any of its usual spellings.
    ///
    /// # Errors
    /// A [`Refusal`] for `event_id` when the text is not a UUID or is the nil UUID.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        match Uuid::try_parse(text) {
            Ok(id) if !id.is_nil() => Ok(Self(id)),
            _ => Err(Refusal::invalid("event_id", "must be a UUID that is not nil")),
        }
    }

    /// An id that is the same for the same thing, for sources that have no ids of their own: a UUIDv5 of
    /// `name` within the user's namespace.
    #[must_use]
    pub fn derived(user: &UserId, name: &[u8]) -> Self {
        let namespace = Uuid::new_v5(&Uuid::NAMESPACE_OID, user.as_str().as_bytes());
        Self(Uuid::new_v5(&namespace, name))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_bounded_and_plain() {
        let long = "x".repeat(65);
        for (text, good) in
            [("u01", true), ("a.b:c@d-e_f", true), ("", false), (&long, false), ("ü", false), ("a b", false)]
        {
            assert_eq!(UserId::new(text).is_ok(), good, "{text}");
        }
        assert!(EventId::parse("00000000-0000-0000-0000-000000000000").is_err());
        assert!(EventId::parse("6f1c1c3e-8f0a-4a51-9d8b-0a5f6a2f9e11").is_ok());
    }

    #[test]
    fn derived_ids_differ_by_user() {
        let (a, b) = (UserId::new("a").unwrap(), UserId::new("b").unwrap());
        assert_eq!(EventId::derived(&a, b"row 1"), EventId::derived(&a, b"row 1"));
        assert_ne!(EventId::derived(&a, b"row 1"), EventId::derived(&b, b"row 1"));
    }
}
