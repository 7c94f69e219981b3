//! The engine's filters: the one place where it keeps tenants apart.

use crave_schemas::UserId;
use qdrant_edge::external::ordered_float::OrderedFloat;
use qdrant_edge::{
    Condition, FieldCondition, Filter, HasIdCondition, HasVectorCondition, JsonPath, Match, PointId, Range,
    ValueVariants,
};

use super::super::point::{DENSE, key};
use super::super::scope::Scope;
use crate::SourceKind;
use uuid::Uuid;

/// The memories of one person within a scope.
pub(super) fn memories_of(user: &UserId, scope: &Scope) -> Filter {
    let mut must = vec![equals(key::USER, user.as_str())];
    must.extend(within(scope));
    Filter { must: Some(must), ..Filter::new() }
}

/// The memories of all people within a scope; for upkeep only.
pub(super) fn all_within(scope: &Scope) -> Filter {
    Filter { must: Some(within(scope)), must_not: Some(vec![no_user()]), ..Filter::new() }
}

/// Those of the person's memories.
pub(super) fn these_of(user: &UserId, ids: &[Uuid]) -> Filter {
    let ids: HasIdCondition = ids.iter().map(|id| PointId::Uuid(*id)).collect();
    Filter { must: Some(vec![equals(key::USER, user.as_str()), Condition::HasId(ids)]), ..Filter::new() }
}

fn within(scope: &Scope) -> Vec<Condition> {
    let mut must = Vec::new();
    if !scope.kinds.is_empty() {
        let kinds = scope.kinds.iter().map(|kind| equals(key::KIND, kind.as_str())).collect();
        must.push(Condition::Filter(Filter { should: Some(kinds), ..Filter::new() }));
    }
    if let Some(times) = scope.times() {
        let exact = |bound: Option<f64>| bound.map(OrderedFloat);
        let range = Range { gte: exact(times.gte), lt: exact(times.lt), lte: exact(times.lte), gt: None };
        must.push(Condition::Field(FieldCondition::new_range(path(key::TIME), range)));
    }
    must
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

/// A field at the top of the payload.
pub(super) fn path(field: &str) -> JsonPath {
    JsonPath { first_key: field.to_owned(), rest: Vec::new() }
}
