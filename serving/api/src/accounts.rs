//! Who may call: device tokens, in SQLite; and what people chose and said of themselves.

mod person;

use std::path::Path;

use chrono::{DateTime, Utc};
use crave_insight::sqlite;
use crave_schemas::{DeviceId, UserId};
use sqlx::{Row as _, SqlitePool, sqlite::SqliteSynchronous};

pub use self::person::{Chosen, Consent, PersonaExample};
use crate::secret;

/// A failure of the accounts store.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    /// The database failed.
    #[error("the accounts database failed; check the disk")]
    Database(#[from] sqlx::Error),
    /// No randomness.
    #[error("the system's random generator failed")]
    Random(#[from] rand::rngs::SysError),
    /// A stored id is not valid.
    #[error("the accounts database holds an invalid id; restore it from a backup")]
    Corrupt,
}

/// The caller that a token stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Whose data it reads and writes.
    pub user_id: UserId,
    /// The device it was given to, when it was given to one.
    pub device_id: Option<DeviceId>,
}

/// Device tokens. Only hashes are stored.
#[derive(Clone, Debug)]
pub struct Accounts {
    pool: SqlitePool,
}

impl Accounts {
    /// Opens `accounts.sqlite`, creating it when absent.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub async fn open(path: &Path) -> Result<Self, AccountsError> {
        let schema = "CREATE TABLE IF NOT EXISTS tokens (
                hash TEXT PRIMARY KEY, user_id TEXT NOT NULL, device_id TEXT,
                created_at TEXT NOT NULL, revoked_at TEXT) STRICT";
        let pool = sqlite::open(path, SqliteSynchronous::Full, 4, &[schema]).await?;
        person::create(&pool).await?;
        Ok(Self { pool })
    }

    /// Makes a token for a user's device and returns it: the only time it is shown.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn add_token(
        &self,
        user: &UserId,
        device: Option<&DeviceId>,
        now: DateTime<Utc>,
    ) -> Result<String, AccountsError> {
        let token = secret::new_token()?;
        sqlx::query("INSERT INTO tokens (hash, user_id, device_id, created_at) VALUES (?, ?, ?, ?)")
            .bind(secret::token_hash(&token))
            .bind(user.as_str())
            .bind(device.map(DeviceId::as_str))
            .bind(now.to_rfc3339())
            .execute(&self.pool)
            .await?;
        Ok(token)
    }

    /// Ends all tokens of a user; returns how many there were.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revoke(&self, user: &UserId, now: DateTime<Utc>) -> Result<u64, AccountsError> {
        let done = sqlx::query("UPDATE tokens SET revoked_at = ? WHERE user_id = ? AND revoked_at IS NULL")
            .bind(now.to_rfc3339())
            .bind(user.as_str())
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected())
    }

    /// Leaves nothing of the person (PR-1): tokens, profile, consent, corrections; returns how many rows there were.
    ///
    /// # Errors
    /// When the database fails: call it again.
    pub async fn erase(&self, user: &UserId) -> Result<u64, AccountsError> {
        let mut rows = 0;
        for statement in [
            "DELETE FROM tokens WHERE user_id = ?",
            "DELETE FROM profiles WHERE user_id = ?",
            "DELETE FROM consents WHERE user_id = ?",
            "DELETE FROM persona_corrections WHERE user_id = ?",
        ] {
            rows += sqlx::query(statement).bind(user.as_str()).execute(&self.pool).await?.rows_affected();
        }
        // What was freed before deletions were overwritten goes too.
        sqlx::query("VACUUM").execute(&self.pool).await?;
        sqlite::empty_log(&self.pool).await?;
        Ok(rows)
    }

    /// The caller of a token; `None` when it is unknown or revoked.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn caller(&self, token: &str) -> Result<Option<Caller>, AccountsError> {
        let row = sqlx::query("SELECT user_id, device_id FROM tokens WHERE hash = ? AND revoked_at IS NULL")
            .bind(secret::token_hash(token))
            .fetch_optional(&self.pool)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let user_id = UserId::new(row.try_get::<String, _>(0)?).map_err(|_| AccountsError::Corrupt)?;
        let device_id = row.try_get::<Option<String>, _>(1)?.map(DeviceId::new).transpose();
        Ok(Some(Caller { user_id, device_id: device_id.map_err(|_| AccountsError::Corrupt)? }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tokens_stand_for_their_user_until_revoked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("accounts.sqlite");
        let accounts = Accounts::open(&path).await.unwrap();
        let (user, now) = (UserId::new("u1").unwrap(), DateTime::UNIX_EPOCH);
        let token = accounts.add_token(&user, None, now).await.unwrap();
        assert_eq!(accounts.caller(&token).await.unwrap().unwrap().user_id, user);
        assert_eq!(accounts.caller("cw_other").await.unwrap(), None);
        assert_eq!(accounts.revoke(&user, now).await.unwrap(), 1);
        assert_eq!(accounts.caller(&token).await.unwrap(), None);
        let stored = std::fs::read(&path).unwrap();
        assert!(!stored.windows(token.len()).any(|w| w == token.as_bytes()), "a token is never stored");
        accounts.add_token(&UserId::new("u2").unwrap(), None, now).await.unwrap();
        assert_eq!(accounts.erase(&user).await.unwrap(), 1);
        assert_eq!(accounts.erase(&user).await.unwrap(), 0);
    }
}
