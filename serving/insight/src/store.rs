//! The citations that answers gave, so that each can be opened later, in SQLite; beside them the answers themselves, with
//! what the person thought of them ([`feedback`]).
//!
//! A fact is kept as it was, of a person the last [`KEPT_MAX`]. It holds the person's own words where it quotes a note:
//! [`Citations::erase`] removes them.

use std::path::Path;

use chrono::{DateTime, Utc};
use crave_schemas::UserId;
use sqlx::{Row as _, SqlitePool, sqlite::SqliteSynchronous};
use uuid::Uuid;

use crate::{Fact, Measure, Result, sqlite};

mod feedback;
pub use feedback::{Example, Feedback, REASONS, TEXT_BYTES_MAX, Thumb};

/// Citations kept of a person; the oldest go first.
const KEPT_MAX: i64 = 1_000;

const SCHEMA: [&str; 4] = [
    "CREATE TABLE IF NOT EXISTS citations (
        place INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, user_id TEXT NOT NULL,
        fact TEXT NOT NULL, created_at TEXT NOT NULL) STRICT",
    "CREATE INDEX IF NOT EXISTS citations_of_user ON citations (user_id, place)",
    feedback::TABLE,
    feedback::INDEX,
];

/// The citations of everybody, each for themselves.
#[derive(Clone, Debug)]
pub struct Citations {
    pool: SqlitePool,
}

impl Citations {
    /// Opens `insights.sqlite`, creating it when absent.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub async fn open(path: &Path) -> Result<Self> {
        let pool = sqlite::open(path, SqliteSynchronous::Normal, 4, &SCHEMA).await?;
        Ok(Self { pool })
    }

    /// Keeps the facts of an answer, all or none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn keep(&self, user: &UserId, facts: &[&Fact], now: DateTime<Utc>) -> Result<()> {
        let mut transaction = self.pool.begin().await?;
        for fact in facts {
            sqlx::query(
                "INSERT OR IGNORE INTO citations (id, user_id, fact, created_at) VALUES (?, ?, ?, ?)",
            )
            .bind(fact.id.to_string())
            .bind(user.as_str())
            .bind(serde_json::to_string(fact)?)
            .bind(now.to_rfc3339())
            .execute(&mut *transaction)
            .await?;
        }
        sqlite::keep_newest(&mut transaction, "citations", user.as_str(), KEPT_MAX).await?;
        Ok(transaction.commit().await?)
    }

    /// The fact behind a citation; `None` when it is unknown, too old, or another person's.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn fact(&self, user: &UserId, id: Uuid) -> Result<Option<Fact>> {
        let row = sqlx::query("SELECT fact FROM citations WHERE id = ? AND user_id = ?")
            .bind(id.to_string())
            .bind(user.as_str())
            .fetch_optional(&self.pool)
            .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(serde_json::from_str(&row.try_get::<String, _>(0)?)?))
    }

    /// Removes the citations that quote an event's note.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn forget_note(&self, user: &UserId, event_id: &str) -> Result<()> {
        let note = serde_json::to_string(&Measure::Note { event_id: event_id.to_owned() })?;
        sqlx::query("DELETE FROM citations WHERE user_id = ? AND instr(fact, ?) > 0")
            .bind(user.as_str())
            .bind(note)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Leaves nothing of the person (PR-1); returns how many citations there were.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn erase(&self, user: &UserId) -> Result<u64> {
        sqlx::query("DELETE FROM answers WHERE user_id = ?").bind(user.as_str()).execute(&self.pool).await?;
        let done = sqlx::query("DELETE FROM citations WHERE user_id = ?").bind(user.as_str());
        let done = done.execute(&self.pool).await?.rows_affected();
        sqlite::empty_log(&self.pool).await?;
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Value;

    fn fact(number: u32) -> Fact {
        Fact {
            id: Uuid::new_v5(&Uuid::NAMESPACE_OID, &number.to_be_bytes()),
            label: "Note".into(),
            value: Value::Text(format!("secret words {number}")),
            unit: None,
            subject: "cravings".into(),
            period: "today".into(),
            when: "today".into(),
            query: "SELECT 1".into(),
            rows_n: 1,
            rows: vec!["e".into()],
            table_version: 3,
            as_of: DateTime::UNIX_EPOCH,
            measure: Measure::Note { event_id: "e".into() },
        }
    }

    #[tokio::test]
    async fn a_citation_is_its_owners_and_the_oldest_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("insights.sqlite");
        let store = Citations::open(&path).await.unwrap();
        let (ada, bob) = (UserId::new("ada").unwrap(), UserId::new("bob").unwrap());
        store.keep(&ada, &[&fact(0)], DateTime::UNIX_EPOCH).await.unwrap();
        store.keep(&ada, &[&fact(0)], DateTime::UNIX_EPOCH).await.unwrap();
        assert_eq!(store.fact(&ada, fact(0).id).await.unwrap(), Some(fact(0)));
        assert_eq!(store.fact(&bob, fact(0).id).await.unwrap(), None);
        let many: Vec<Fact> = (1..=1_000).map(fact).collect();
        store.keep(&ada, &many.iter().collect::<Vec<_>>(), DateTime::UNIX_EPOCH).await.unwrap();
        assert_eq!(store.fact(&ada, fact(0).id).await.unwrap(), None, "the oldest went");
        assert!(store.fact(&ada, fact(1).id).await.unwrap().is_some());
        store.forget_note(&bob, "e").await.unwrap();
        assert!(store.fact(&ada, fact(2).id).await.unwrap().is_some(), "another's note stays");
        assert_eq!(store.erase(&bob).await.unwrap(), 0);
        assert_eq!(store.erase(&ada).await.unwrap(), 1_000);
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            assert!(!bytes.windows(12).any(|w| w == b"secret words"), "no byte is left");
        }
    }
}
