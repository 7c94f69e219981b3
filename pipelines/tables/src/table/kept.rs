//! Rows that no streaming job writes: a follower makes them from what it reads elsewhere, and the table itself keeps
//! how far the follower is, so that each of its steps is in the table once, whatever is killed.

use std::fs;

use arrow::array::RecordBatch;
use deltalake::kernel::Action;

use super::Table;
use crate::{Error, commit::Commit, staged};

/// Staged files carry this in the place of an epoch: none is decided beyond it, so that sweeping leaves them alone.
const NO_EPOCH: u64 = u64::MAX;

impl Table {
    /// How far a follower is: `through` of its last [`Self::append_once`]; `None` before the first.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn followed(&self, follower: &str) -> Result<Option<u64>, Error> {
        let delta = self.delta.lock().await;
        self.committed_in(&delta, follower).await
    }

    /// Appends rows, and that the follower has come as far as `through`, in one commit. Nothing happens when it has come
    /// there before. Without rows only the position moves.
    ///
    /// # Errors
    /// When a batch has other columns, or the store fails; calling again is safe.
    pub async fn append_once(
        &self,
        follower: &str,
        through: u64,
        batches: &[RecordBatch],
    ) -> Result<Commit, Error> {
        let mut delta = self.begin_write().await?;
        if self.committed_in(&delta, follower).await?.is_some_and(|committed| committed >= through) {
            self.end_write();
            return Ok(Commit::Skip);
        }
        self.forget_staged()?;
        let conformed = batches.iter().filter(|batch| batch.num_rows() > 0).map(|batch| self.conform(batch));
        let rows = conformed.collect::<Result<Vec<_>, _>>()?;
        let mut actions = Vec::new();
        if let Some(file) = staged::write(&self.folder, &self.name, NO_EPOCH, &rows)? {
            staged::publish(&self.folder, &file)?;
            actions.push(Action::Add(self.add(&file)?));
        }
        self.commit(&mut delta, actions, Some((follower, through))).await?;
        self.end_write();
        Ok(Commit::Add)
    }

    /// Deletes what a write that was cut off has staged: no other is under way while the table is locked.
    fn forget_staged(&self) -> Result<(), Error> {
        let staging = self.folder.join(staged::STAGING);
        let Ok(entries) = fs::read_dir(&staging) else { return Ok(()) };
        let own = format!("{NO_EPOCH:020}-");
        for entry in entries.filter_map(Result::ok) {
            if entry.file_name().to_string_lossy().starts_with(&own) {
                fs::remove_file(entry.path()).map_err(Error::file(&entry.path(), "deleting"))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{ArrayRef, StringArray},
        datatypes::{DataType, Field, Schema},
    };
    use datafusion::{
        logical_expr::{col, lit},
        prelude::SessionContext,
    };

    use super::*;
    use crate::Tables;

    fn columns(names: &[&str]) -> Schema {
        Schema::new(names.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect::<Vec<_>>())
    }

    fn rows(users: &[&str]) -> RecordBatch {
        let column: ArrayRef = Arc::new(StringArray::from(users.to_vec()));
        RecordBatch::try_from_iter_with_nullable([("user_id", column, true)]).unwrap()
    }

    async fn count(table: &Table) -> usize {
        let session = SessionContext::new();
        table.register_store(&session).await.unwrap();
        session.read_table(table.provider().await.unwrap()).unwrap().count().await.unwrap()
    }

    #[tokio::test]
    async fn a_step_of_a_follower_is_there_once_and_another_is_on_its_own() {
        let lake = tempfile::tempdir().unwrap();
        let open = async || Tables::new(lake.path()).open_kept("t", &columns(&["user_id"])).await.unwrap();
        let table = open().await;
        assert_eq!(table.followed("a").await.unwrap(), None);
        assert_eq!(table.append_once("a", 3, &[rows(&["x", "y"])]).await.unwrap(), Commit::Add);
        assert_eq!(table.append_once("a", 3, &[rows(&["x", "y"])]).await.unwrap(), Commit::Skip);
        assert_eq!(table.append_once("b", 1, &[rows(&["z"])]).await.unwrap(), Commit::Add);
        drop(table);
        let table = open().await;
        let both = (table.followed("a").await.unwrap(), table.followed("b").await.unwrap());
        assert_eq!(both, (Some(3), Some(1)));
        assert_eq!(table.append_once("a", 2, &[rows(&["x"])]).await.unwrap(), Commit::Skip);
        assert_eq!(table.append_once("a", 5, &[]).await.unwrap(), Commit::Add, "only the position moves");
        assert_eq!((table.followed("a").await.unwrap(), count(&table).await), (Some(5), 3));
        table.replace(col("user_id").eq(lit("x")), Vec::new()).await.unwrap();
        assert_eq!((table.followed("a").await.unwrap(), count(&table).await), (Some(5), 2));
    }

    #[tokio::test]
    async fn what_a_kill_left_is_swept_and_other_columns_begin_again() {
        let lake = tempfile::tempdir().unwrap();
        let tables = Tables::new(lake.path());
        let table = tables.open_kept("t", &columns(&["user_id"])).await.unwrap();
        staged::write(table.folder(), "t", NO_EPOCH, &[rows(&["half"])]).unwrap();
        assert_eq!(table.append_once("a", 1, &[rows(&["x"])]).await.unwrap(), Commit::Add);
        assert_eq!(fs::read_dir(table.folder().join(staged::STAGING)).unwrap().count(), 0);
        assert_eq!(count(&table).await, 1);
        let other = tables.open_kept("t", &columns(&["user_id", "more"])).await.unwrap();
        assert_eq!((other.followed("a").await.unwrap(), count(&other).await), (None, 0));
        assert_eq!(tables.get("t").unwrap().folder(), other.folder());
        assert_eq!(tables.building(), [""; 0]);
    }
}
