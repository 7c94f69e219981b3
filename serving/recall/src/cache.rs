//! What a search need not do again: reading a question, and asking the store. Each person's apart, bounded in bytes.
//!
//! What was read of a person's memories holds until the next change of them. Each person has a number that rises once a
//! change is in the store and before it is answered ([`Changing`]); what was read carries the number from before the
//! first read, and holds only while that is still the number. So a result that was computed while a write landed is
//! never taken for a fresh one, whoever of the two was first. Numbers are shared by people with the same hash, so that
//! they are few and name nobody: another's write may cost a hit, never make one.
//!
//! Ages, and with them scores, are not kept: they are computed anew from the candidates each time.

mod kept;
mod sought;

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crave_schemas::UserId;

use crate::embed::Model;
use crate::labelled::Read;
use crate::status::Caches as Status;
use kept::Kept;

pub(crate) use kept::Key;
pub(crate) use sought::{Found, Sought};

/// Bytes of questions with their vectors and moods.
const QUESTIONS_BYTES_MAX: u64 = 16 << 20;
/// Bytes of candidates: some hundred questions.
const CANDIDATES_BYTES_MAX: u64 = 64 << 20;
/// Numbers among which people fall by a hash.
const NUMBERS: usize = 1 << 14;

/// Who read a question.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reader {
    /// The labeller, with its version.
    Labels(String),
    /// An embedding model.
    Model(Model),
}

/// A question of a person.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    pub(crate) user: UserId,
    pub(crate) text: String,
    pub(crate) reader: Reader,
}

impl Key for Question {
    fn user(&self) -> &UserId {
        &self.user
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.user.as_str().len() + self.text.len()
    }
}

/// How far the changes of a person's memories had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation {
    everybody: u64,
    own: u64,
}

/// The caches of an index.
pub(crate) struct Caches {
    everybody: AtomicU64,
    own: Box<[AtomicU64]>,
    pub(crate) questions: Kept<Question, Read>,
    pub(crate) candidates: Kept<Sought, Found>,
}

impl Default for Caches {
    fn default() -> Self {
        Self {
            everybody: AtomicU64::default(),
            own: (0..NUMBERS).map(|_| AtomicU64::default()).collect(),
            questions: Kept::new("questions", QUESTIONS_BYTES_MAX),
            candidates: Kept::new("candidates", CANDIDATES_BYTES_MAX),
        }
    }
}

impl Caches {
    /// To be asked before anything is read that shall be kept.
    pub(crate) fn generation(&self, user: &UserId) -> Generation {
        let own = self.own(user).map_or(0, |number| number.load(Ordering::SeqCst));
        Generation { everybody: self.everybody.load(Ordering::SeqCst), own }
    }

    /// To be held while memories of these people change.
    pub(crate) fn changing(self: &Arc<Self>, users: impl IntoIterator<Item = UserId>) -> Changing {
        Changing { caches: Arc::clone(self), users: users.into_iter().collect() }
    }

    /// To be called once another model is in use.
    pub(crate) fn changed_for_everybody(&self) {
        self.everybody.fetch_add(1, Ordering::SeqCst);
        self.candidates.clear();
    }

    /// Leaves nothing of the person here; call it once their memories have changed.
    pub(crate) fn forget(&self, user: &UserId) {
        self.changed(user);
        self.questions.forget(user);
        self.candidates.forget(user);
    }

    /// Leaves no candidate of the person here.
    pub(crate) fn forget_candidates(&self, user: &UserId) {
        self.changed(user);
        self.candidates.forget(user);
    }

    /// Keeps what was read of a question, unless memories of the person have changed since `before`: then the person may
    /// be erased.
    pub(crate) fn keep_question(&self, question: &Question, read: &Arc<Read>, before: Generation) {
        let current = || self.generation(&question.user) == before;
        self.questions.keep(question, Arc::clone(read), read.bytes(), current);
    }

    /// Keeps candidates that were read from `before` on, unless memories of the person have changed since.
    pub(crate) fn keep_candidates(&self, sought: &Sought, found: Found, before: Generation) {
        let bytes = found.candidates.bytes();
        let current = || self.generation(sought.user()) == before;
        self.candidates.keep(sought, Arc::new(found), bytes, current);
    }

    /// How often each had what it was asked for.
    pub(crate) fn status(&self) -> Status {
        Status { questions: self.questions.used(), candidates: self.candidates.used() }
    }

    fn changed(&self, user: &UserId) {
        if let Some(number) = self.own(user) {
            number.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn own(&self, user: &UserId) -> Option<&AtomicU64> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(user);
        self.own.get(usize::try_from(hash).unwrap_or(0) % NUMBERS)
    }
}

/// Memories of these people are changing. When it is dropped, whatever was read of them until then is stale: drop it once
/// the store has the change, and before anybody is told that it has. A change that fails may have been made in part, and
/// one that panics too, so it is dropped in every case.
#[must_use = "it must live as long as the change takes"]
pub(crate) struct Changing {
    caches: Arc<Caches>,
    users: Vec<UserId>,
}

impl Drop for Changing {
    fn drop(&mut self) {
        self.users.iter().for_each(|user| self.caches.changed(user));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    fn question(name: &str, text: &str) -> Question {
        Question { user: user(name), text: text.to_owned(), reader: Reader::Labels("v1".to_owned()) }
    }

    #[test]
    fn what_was_read_before_a_change_ended_is_not_kept() {
        let caches = Arc::new(Caches::default());
        let (ada, bob) = (user("ada"), user("bob"));
        let read = Arc::new(Read::default());
        let keep = |name: &str, before| caches.keep_question(&question(name, "why"), &read, before);
        let held = |name: &str| caches.questions.get(&question(name, "why"), |_| true).is_some();
        let (of_ada, of_bob) = (caches.generation(&ada), caches.generation(&bob));
        let changing = caches.changing([ada.clone()]);
        assert_eq!(caches.generation(&ada), of_ada, "it is on its way");
        drop(changing);
        keep("ada", of_ada);
        keep("bob", of_bob);
        assert!(!held("ada") && held("bob"), "by one person's change and for that person");
        keep("ada", caches.generation(&ada));
        assert!(held("ada"));
        caches.changed_for_everybody();
        keep("eve", of_bob);
        assert!(!held("eve"));
        assert!(held("ada"), "a question is the same after a change of the model in use");
    }

    #[test]
    fn nothing_is_left_of_who_is_forgotten() {
        let caches = Arc::new(Caches::default());
        let read = Arc::new(Read::default());
        for (name, n) in [("ada", 0), ("ada", 1), ("bob", 0)] {
            let one = question(name, &format!("why {n}"));
            caches.keep_question(&one, &read, caches.generation(&one.user));
        }
        let before = caches.generation(&user("ada"));
        caches.forget(&user("ada"));
        // A search that was under way.
        caches.keep_question(&question("ada", "late"), &read, before);
        assert_eq!(caches.status().questions.entries, 1);
        assert!(caches.questions.get(&question("bob", "why 0"), |_| true).is_some());
    }

    #[test]
    fn a_cache_stays_within_its_bytes() {
        let kept = Kept::<Question, Read>::new("test", 64 << 10);
        for n in 0..1000 {
            kept.keep(&question("ada", &format!("{n}")), Arc::default(), 1 << 10, || true);
        }
        let used = kept.used();
        assert!(used.bytes <= 64 << 10 && used.entries >= 16, "{used:?}");
        kept.keep(&question("ada", "huge"), Arc::default(), 1 << 20, || true);
        assert!(kept.get(&question("ada", "huge"), |_| true).is_none() && kept.used().bytes <= 64 << 10);
    }
}
