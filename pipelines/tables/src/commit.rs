//! Decides whether the files staged for an epoch may be committed to a table.
//!
//! Pure: the caller reads the table's `txn` version and the last durable checkpoint, asks [`decide`], then
//! acts. Upholds IN-1: each epoch reaches each table once.

/// A streaming checkpoint's number.
pub type Epoch = u64;

/// What the table's writer must do next.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// Add the staged files and record the epoch in the same table transaction.
    Add,
    /// The table holds this epoch already: drop the list, write nothing.
    Skip,
}

/// Committing now could show rows that a restart would compute differently.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("epoch {staged} is staged but only {decided} is durable; wait for its checkpoint")]
pub struct Undecided {
    staged: Epoch,
    decided: Epoch,
}

/// Compares the epoch of the staged files with `table`, the table's last committed epoch (`None` for a
/// fresh table), and `decided`, the last checkpoint that is durable.
///
/// # Errors
/// [`Undecided`] when the epoch's checkpoint is not durable yet.
pub fn decide(table: Option<Epoch>, decided: Epoch, staged: Epoch) -> Result<Commit, Undecided> {
    if staged > decided {
        return Err(Undecided { staged, decided });
    }
    Ok(match table {
        Some(committed) if staged <= committed => Commit::Skip,
        _ => Commit::Add,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_added_once_and_only_when_decided() {
        let undecided = |staged, decided| Err(Undecided { staged, decided });
        for (table, decided, staged, expected) in [
            (None, 1, 1, Ok(Commit::Add)),
            (Some(1), 1, 1, Ok(Commit::Skip)),
            (Some(1), 5, 3, Ok(Commit::Add)),
            (Some(4), 5, 3, Ok(Commit::Skip)),
            (None, 0, 1, undecided(1, 0)),
            (Some(7), 7, 8, undecided(8, 7)),
        ] {
            assert_eq!(decide(table, decided, staged), expected, "{table:?} {decided} {staged}");
        }
    }
}
