//! The server's filters: the one place where it keeps tenants apart.

use crave_schemas::UserId;
use qdrant_client::qdrant::condition::ConditionOneOf;
use qdrant_client::qdrant::{Condition, Filter, Range};

use super::super::point::{DENSE, key};
use super::super::scope::Scope;
use super::codec;
use crate::SourceKind;
use uuid::Uuid;

/// The memories of one person within a scope.
pub(super) fn memories_of(user: &UserId, scope: &Scope) -> Filter {
    let mut must = vec![equals(key::USER, user.as_str())];
    must.extend(within(scope));
    Filter::must(must)
}

/// The memories of all people within a scope; for upkeep only.
pub(super) fn all_within(scope: &Scope) -> Filter {
    Filter { must: within(scope), ..every_memory() }
}

/// Those of the person's memories.
pub(super) fn these_of(user: &UserId, ids: &[Uuid]) -> Filter {
    let ids = ids.iter().map(|id| codec::id(*id));
    Filter::must([equals(key::USER, user.as_str()), Condition::has_id(ids)])
}

fn within(scope: &Scope) -> Vec<Condition> {
    let mut must = Vec::new();
    if !scope.kinds.is_empty() {
        let kinds = Filter::should(scope.kinds.iter().map(|kind| equals(key::KIND, kind.as_str())));
        must.push(Condition { condition_one_of: Some(ConditionOneOf::Filter(kinds)) });
    }
    if let Some(times) = scope.times() {
        let range = Range { gte: times.gte, lt: times.lt, lte: times.lte, gt: None };
        must.push(Condition::range(key::TIME, range));
    }
    must
}

/// The memories of one source of one person up to a revision.
pub(super) fn source_of(user: &UserId, kind: SourceKind, source_id: &str, through: u32) -> Filter {
    let revisions = Range { lte: Some(f64::from(through)), ..Range::default() };
    Filter::must([
        equals(key::USER, user.as_str()),
        equals(key::KIND, kind.as_str()),
        equals(key::SOURCE, source_id),
        Condition::range(key::REVISION, revisions),
    ])
}

/// The memories of all people; for counts and upkeep only.
pub(super) fn every_memory() -> Filter {
    Filter::must_not([Condition::is_empty(key::USER)])
}

/// The memories of all people that have no vector of meaning; for upkeep only.
pub(super) fn without_meaning() -> Filter {
    Filter::must_not([Condition::has_vector(DENSE), Condition::is_empty(key::USER)])
}

fn equals(name: &str, value: &str) -> Condition {
    Condition::matches(name, value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RC-2.
    #[test]
    fn what_is_a_persons_names_the_person() {
        let user = UserId::new("u1").unwrap();
        let scope = Scope { kinds: vec![SourceKind::Note, SourceKind::Chat], ..Scope::default() };
        let mine = equals(key::USER, "u1");
        for filter in [
            memories_of(&user, &Scope::default()),
            memories_of(&user, &scope),
            source_of(&user, SourceKind::Note, "e1", 3),
            these_of(&user, &[Uuid::nil()]),
        ] {
            assert_eq!(filter.must.first(), Some(&mine));
            assert!(filter.should.is_empty(), "an alternative beside the tenant would open it");
        }
    }
}
