//! The sentences people write, by habit.

pub(super) mod alcohol;
pub(super) mod comfort;
pub(super) mod days;
pub(super) mod nicotine;
pub(super) mod recovery;
pub(super) mod small;
pub(super) mod sugar;
