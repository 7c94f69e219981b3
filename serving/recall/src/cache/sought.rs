//! All that the candidates of a search depend on, beside the memories and "now".

use std::sync::{Arc, Weak};

use chrono::{DateTime, Utc};
use crave_schemas::UserId;

use super::{Generation, Key};
use crate::SourceKind;
use crate::candidates::{Candidates, Wanted};
use crate::cold::Roster;
use crate::embed::Model;
use crate::stage::Stages;

/// What a search asks of the store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Sought {
    user: UserId,
    query: String,
    model: Model,
    /// Whether the query has a vector.
    by_meaning: bool,
    kinds: Vec<SourceKind>,
    from: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
    limit: usize,
    stages: Stages,
    /// Bits of the weights that decide whether the cold index is searched.
    sure: (u32, u64),
    /// Whether the time that the question names, which moves with "now", reaches into the cold index.
    reaches: Option<bool>,
}

impl Sought {
    pub(crate) fn new(user: &UserId, model: &Model, wanted: &Wanted<'_>) -> Self {
        let (scope, weights) = (wanted.scope, wanted.weights);
        Self {
            user: user.clone(),
            query: wanted.query.to_owned(),
            model: model.clone(),
            by_meaning: wanted.meaning.is_some(),
            kinds: scope.kinds.clone(),
            from: scope.from,
            until: scope.until,
            limit: wanted.limit,
            stages: wanted.stages,
            sure: (weights.cosine_sure.to_bits(), weights.coverage_sure.to_bits()),
            reaches: wanted.reaches(),
        }
    }
}

impl Key for Sought {
    fn user(&self) -> &UserId {
        &self.user
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.user.as_str().len() + self.query.len() + self.kinds.len()
    }
}

/// Candidates, and when they are those of another search too.
pub(crate) struct Found {
    pub(crate) candidates: Arc<Candidates>,
    /// "Now" of the search that found them.
    pub(crate) as_of: DateTime<Utc>,
    /// Whether nothing in scope is later than that: then they are the same at every later "now".
    pub(crate) is_last: bool,
    pub(crate) generation: Generation,
    /// What was known of the cold memories: another's move may drop some of them, for room.
    pub(crate) roster: Option<Weak<Roster>>,
}

impl Found {
    /// Whether a search as of `as_of` would find the same.
    pub(crate) fn holds(
        &self,
        as_of: DateTime<Utc>,
        generation: Generation,
        roster: Option<&Arc<Roster>>,
    ) -> bool {
        let same_roster = match (&self.roster, roster) {
            (Some(one), Some(other)) => Weak::ptr_eq(one, &Arc::downgrade(other)),
            (None, None) => true,
            _ => false,
        };
        let same_time = self.as_of == as_of || (self.is_last && as_of > self.as_of);
        self.generation == generation && same_roster && same_time
    }
}
