//! What an importer yields: an event or why not, and where it stood.

use std::borrow::Cow;
use std::fmt;

use crave_schemas::{Code, Event, Refusal};

/// One item of an export: what one record says about one kind.
#[derive(Clone, Debug)]
pub struct ImportItem {
    /// Number of the source record, from 1; items of one record share it.
    pub record: u64,
    /// Where the record begins: a byte offset in the decompressed text (XML, JSON) or a line number (CSV).
    pub at: u64,
    /// The source's own name of this kind of record.
    pub label: Cow<'static, str>,
    /// The event, or why there is none.
    pub what: Result<Event, Rejected>,
}

/// Why a record gives no event; a closed set, stable for reports and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A kind of record that the platform has no event for.
    UnsupportedType,
    /// A record whose mapped values are all blank.
    NothingToImport,
    /// A row with more or fewer columns than the header.
    Columns,
    /// A time that cannot be read.
    Time,
    /// A number that cannot be read.
    Number,
    /// A unit that is not known for this kind.
    Unit,
    /// A value that is not one of the known ones.
    Value,
    /// No valid user id.
    User,
    /// Text that is not UTF-8.
    Encoding,
    /// A required part of the record is missing.
    Missing,
    /// The record is larger than the limit.
    TooLarge,
    /// The record breaks its format.
    Malformed,
    /// The file ends in the middle.
    Truncated,
    /// The file cannot be read on.
    Unreadable,
    /// The event was refused by its schema.
    Schema(Code),
}

impl Reason {
    /// The name in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnsupportedType => "unsupported_type",
            Self::NothingToImport => "nothing_to_import",
            Self::Columns => "wrong_columns",
            Self::Time => "bad_time",
            Self::Number => "bad_number",
            Self::Unit => "bad_unit",
            Self::Value => "bad_value",
            Self::User => "bad_user",
            Self::Encoding => "bad_encoding",
            Self::Missing => "missing",
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
            Self::Truncated => "truncated",
            Self::Unreadable => "unreadable",
            Self::Schema(code) => code.as_str(),
        }
    }
}

/// A record that is not taken, with the field at fault and what to do. Never carries the value: it is personal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Class of the rejection.
    pub reason: Reason,
    /// Name of the attribute, member or column; empty for the record as a whole.
    pub field: String,
    /// What is wrong and what is expected, lower case.
    pub detail: String,
    /// Whether reading ended here: nothing after this item was looked at.
    pub last: bool,
}

impl Rejected {
    pub(crate) fn new(reason: Reason, field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { reason, field: field.into(), detail: detail.into(), last: false }
    }

    /// A fault after which nothing more can be read.
    pub(crate) fn last(reason: Reason, detail: impl Into<String>) -> Self {
        Self { last: true, ..Self::new(reason, "", detail) }
    }
}

impl From<Refusal> for Rejected {
    fn from(refusal: Refusal) -> Self {
        Self::new(Reason::Schema(refusal.code), refusal.field, refusal.reason)
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.detail)
    }
}

/// The items that follow record number `record`: resumes an import whose log acknowledged everything up to it.
pub fn after(items: impl Iterator<Item = ImportItem>, record: u64) -> impl Iterator<Item = ImportItem> {
    items.skip_while(move |item| item.record <= record)
}
