//! Erasures that people asked for, in SQLite: a request is durable before it is answered, and is done again from its
//! beginning when it was cut off.
//!
//! The person's id is in a request only until it is done; what stays is a random id, two times and the receipt, which names
//! stores and counts.

use std::{path::Path, sync::Arc};

use chrono::{DateTime, Utc};
use crave_insight::sqlite;
use crave_schemas::UserId;
use serde::Serialize;
use serde_json::Value;
use sqlx::{
    Row as _, SqlitePool,
    sqlite::{SqliteRow, SqliteSynchronous},
};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::AccountsError;

/// An erasure, as whoever knows its id may see it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Erasure {
    /// Its id.
    pub id: Uuid,
    /// When it was asked for.
    pub requested_at: DateTime<Utc>,
    /// When it was done.
    pub done_at: Option<DateTime<Utc>>,
    /// Where it was looked and what was removed, once it is done.
    pub receipt: Option<Value>,
}

/// The store. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Erasures {
    pool: SqlitePool,
    asked: Arc<Notify>,
}

impl Erasures {
    /// Opens `erasures.sqlite`, creating it when absent.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub async fn open(path: &Path) -> Result<Self, AccountsError> {
        let schema =
            "CREATE TABLE IF NOT EXISTS erasures (
                id TEXT PRIMARY KEY, user_id TEXT, requested_at TEXT NOT NULL, done_at TEXT, receipt TEXT) STRICT";
        let pool = sqlite::open(path, SqliteSynchronous::Full, 1, &[schema]).await?;
        Ok(Self { pool, asked: Arc::default() })
    }

    /// Asks for the erasure of a person; a request that waits already is the same one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn request(&self, user: &UserId, now: DateTime<Utc>) -> Result<Uuid, AccountsError> {
        if let Some((id, _)) = self.pending().await?.into_iter().find(|(_, waiting)| waiting == user) {
            return Ok(id);
        }
        let id = Uuid::new_v4();
        sqlx::query("INSERT INTO erasures (id, user_id, requested_at) VALUES (?, ?, ?)")
            .bind(id.to_string())
            .bind(user.as_str())
            .bind(now.to_rfc3339())
            .execute(&self.pool)
            .await?;
        Ok(id)
    }

    /// Tells who waits in [`Self::asked`].
    pub fn tell(&self) {
        self.asked.notify_one();
    }

    /// Waits until one is asked for.
    pub async fn asked(&self) {
        self.asked.notified().await;
    }

    /// Those that are not done, oldest first.
    ///
    /// # Errors
    /// When the database fails or holds an invalid id.
    pub async fn pending(&self) -> Result<Vec<(Uuid, UserId)>, AccountsError> {
        let query = "SELECT id, user_id FROM erasures WHERE done_at IS NULL ORDER BY requested_at, id";
        let read = |row: &SqliteRow| {
            let user = UserId::new(row.try_get::<String, _>(1)?).map_err(|_| AccountsError::Corrupt)?;
            Ok((uuid(row)?, user))
        };
        sqlx::query(query).fetch_all(&self.pool).await?.iter().map(read).collect()
    }

    /// Ends one, and forgets whose it was.
    ///
    /// # Errors
    /// When the database fails: it is done once more then.
    pub async fn done(&self, id: Uuid, receipt: &Value, now: DateTime<Utc>) -> Result<(), AccountsError> {
        sqlx::query("UPDATE erasures SET user_id = NULL, done_at = ?, receipt = ? WHERE id = ?")
            .bind(now.to_rfc3339())
            .bind(receipt.to_string())
            .bind(id.to_string())
            .execute(&self.pool)
            .await?;
        sqlx::query("VACUUM").execute(&self.pool).await?;
        sqlite::empty_log(&self.pool).await?;
        Ok(())
    }

    /// The erasure of this id.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn get(&self, id: Uuid) -> Result<Option<Erasure>, AccountsError> {
        let query = "SELECT id, requested_at, done_at, receipt FROM erasures WHERE id = ?";
        let row = sqlx::query(query).bind(id.to_string()).fetch_optional(&self.pool).await?;
        let Some(row) = row else { return Ok(None) };
        let receipt: Option<String> = row.try_get(3)?;
        Ok(Some(Erasure {
            id: uuid(&row)?,
            requested_at: time(&row.try_get::<String, _>(1)?)?,
            done_at: row.try_get::<Option<String>, _>(2)?.as_deref().map(time).transpose()?,
            receipt: receipt.and_then(|receipt| serde_json::from_str(&receipt).ok()),
        }))
    }

    /// When one was done last.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn last_done(&self) -> Result<Option<DateTime<Utc>>, AccountsError> {
        let row = sqlx::query("SELECT max(done_at) FROM erasures").fetch_one(&self.pool).await?;
        row.try_get::<Option<String>, _>(0)?.as_deref().map(time).transpose()
    }
}

fn uuid(row: &SqliteRow) -> Result<Uuid, AccountsError> {
    Uuid::parse_str(row.try_get(0)?).map_err(|_| AccountsError::Corrupt)
}

fn time(text: &str) -> Result<DateTime<Utc>, AccountsError> {
    Ok(DateTime::parse_from_rfc3339(text).map_err(|_| AccountsError::Corrupt)?.to_utc())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_request_is_kept_until_it_is_done_and_then_names_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("erasures.sqlite");
        let (user, now) = (UserId::new("ada-of-ghent").unwrap(), DateTime::UNIX_EPOCH);
        let id = {
            let erasures = Erasures::open(&path).await.unwrap();
            let id = erasures.request(&user, now).await.unwrap();
            assert_eq!(erasures.request(&user, now).await.unwrap(), id, "asked twice");
            erasures.tell();
            erasures.asked().await;
            id
        };
        let erasures = Erasures::open(&path).await.unwrap();
        assert_eq!(erasures.pending().await.unwrap(), [(id, user.clone())]);
        assert_eq!(erasures.last_done().await.unwrap(), None);
        erasures.done(id, &json!({ "stores": [] }), now).await.unwrap();
        assert!(erasures.pending().await.unwrap().is_empty());
        let erasure = erasures.get(id).await.unwrap().unwrap();
        assert_eq!((erasure.done_at, erasure.receipt), (Some(now), Some(json!({ "stores": [] }))));
        assert_eq!(erasures.get(Uuid::nil()).await.unwrap(), None);
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            assert!(!bytes.windows(12).any(|w| w == b"ada-of-ghent"));
        }
        assert_ne!(erasures.request(&user, now).await.unwrap(), id, "they came back, and go again");
    }
}
