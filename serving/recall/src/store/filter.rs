//! Field names and the filters over them: the one place where tenants are kept apart.

use chrono::{DateTime, Utc};
use crave_schemas::UserId;
use qdrant_edge::external::ordered_float::OrderedFloat;
use qdrant_edge::{
    Condition, FieldCondition, Filter, HasVectorCondition, JsonPath, Match, Range, ValueVariants,
};

use crate::{Memory, SourceKind};

/// The vector of meaning.
pub(super) const DENSE: &str = "meaning";
/// The vector of words.
pub(super) const SPARSE: &str = "words";

/// Payload fields.
pub(super) mod key {
    pub(crate) const USER: &str = "user_id";
    /// A tombstone's user.
    pub(crate) const OWNER: &str = "owner";
    pub(crate) const KIND: &str = "kind";
    pub(crate) const SOURCE: &str = "source_id";
    pub(crate) const CHUNK: &str = "chunk";
    pub(crate) const REVISION: &str = "rev";
    /// Event time in microseconds since 1970, UTC.
    pub(crate) const TIME: &str = "t";
    pub(crate) const TEXT: &str = "text";
    pub(crate) const ATTRIBUTES: &str = "attrs";
    pub(crate) const MODEL: &str = "model";
}

/// Narrows a search within one person's memories.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Scope {
    /// Only these kinds; empty for all.
    pub(crate) kinds: Vec<SourceKind>,
    /// Not before this.
    pub(crate) from: Option<DateTime<Utc>>,
    /// Not at or after this.
    pub(crate) until: Option<DateTime<Utc>>,
    /// Not after this: what had not happened then is unknown.
    pub(crate) as_of: Option<DateTime<Utc>>,
}

impl Scope {
    /// Whether a memory is in it: for those that were fetched by id.
    pub(super) fn holds(&self, memory: &Memory) -> bool {
        let time = memory.event_time;
        (self.kinds.is_empty() || self.kinds.contains(&memory.source_kind))
            && self.from.is_none_or(|from| time >= from)
            && self.until.is_none_or(|until| time < until)
            && self.as_of.is_none_or(|as_of| time <= as_of)
    }
}

/// The memories of one person within a scope.
pub(super) fn memories_of(user: &UserId, scope: &Scope) -> Filter {
    let mut must = vec![equals(key::USER, user.as_str())];
    if !scope.kinds.is_empty() {
        let kinds = scope.kinds.iter().map(|kind| equals(key::KIND, kind.as_str())).collect();
        must.push(Condition::Filter(Filter { should: Some(kinds), ..Filter::new() }));
    }
    if scope.from.is_some() || scope.until.is_some() || scope.as_of.is_some() {
        let range = Range {
            gte: scope.from.map(micros),
            lt: scope.until.map(micros),
            lte: scope.as_of.map(micros),
            gt: None,
        };
        must.push(Condition::Field(FieldCondition::new_range(path(key::TIME), range)));
    }
    Filter { must: Some(must), ..Filter::new() }
}

/// The memories of one source of one person up to a revision.
pub(super) fn source_of(user: &UserId, kind: SourceKind, source_id: &str, through: u32) -> Filter {
    let revisions = Range { lte: Some(OrderedFloat(f64::from(through))), gte: None, lt: None, gt: None };
    let must = vec![
        equals(key::USER, user.as_str()),
        equals(key::KIND, kind.as_str()),
        equals(key::SOURCE, source_id),
        Condition::Field(FieldCondition::new_range(path(key::REVISION), revisions)),
    ];
    Filter { must: Some(must), ..Filter::new() }
}

/// The memories of all people; for counts and upkeep only.
pub(super) fn every_memory() -> Filter {
    Filter::new_must_not(no_user())
}

/// The memories of all people that have no vector of meaning; for upkeep only.
pub(super) fn without_meaning() -> Filter {
    let has_meaning = Condition::HasVector(HasVectorCondition::from(DENSE.to_owned()));
    Filter { must_not: Some(vec![has_meaning, no_user()]), ..Filter::new() }
}

fn no_user() -> Condition {
    Condition::Field(FieldCondition::new_is_empty(path(key::USER), true))
}

fn equals(name: &str, value: &str) -> Condition {
    let value = Match::new_value(ValueVariants::String(value.to_owned()));
    Condition::Field(FieldCondition::new_match(path(name), value))
}

/// Exact until the year 2255, where microseconds pass 2⁵³.
#[allow(clippy::cast_precision_loss)]
fn micros(time: DateTime<Utc>) -> OrderedFloat<f64> {
    OrderedFloat(time.timestamp_micros() as f64)
}

/// A field at the top of the payload.
pub(super) fn path(field: &str) -> JsonPath {
    JsonPath { first_key: field.to_owned(), rest: Vec::new() }
}
