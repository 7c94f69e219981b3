//! What people chose and said of themselves: a profile, what they allow, and corrections of their persona, which are kept
//! with what the data had said, as training data for whom they allow it.

use chrono::{DateTime, Utc};
use crave_persona::{Corrected, Profile, Rapport, rapport};
use crave_schemas::UserId;
use serde::{Deserialize, Serialize};
use sqlx::{Row as _, SqlitePool};

use super::{Accounts, AccountsError};

/// Corrections kept of one person; the oldest go.
const CORRECTIONS_MAX: i64 = 1_000;

/// What a person allows beyond what the service needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consent {
    /// Their judgements of answers and corrections of their persona may train models.
    #[serde(default)]
    pub training: bool,
}

/// What a person said of their persona, beside what the data said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PersonaExample {
    /// By the data.
    pub by_data: String,
    /// By the person; `None`: none of the archetypes.
    pub by_person: Option<String>,
    /// When they said so.
    pub at: DateTime<Utc>,
}

/// A person's profile as it stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chosen {
    /// What they chose.
    pub profile: Profile,
    /// When they first shared a goal.
    pub first_goal_at: Option<DateTime<Utc>>,
}

impl Chosen {
    /// How familiar the coach is with them.
    #[must_use]
    pub fn rapport(&self, now: DateTime<Utc>) -> Rapport {
        rapport(self.profile.goals.len(), self.first_goal_at, now)
    }

    /// Minutes that the clock of the zone they chose is east of UTC at an instant; `None` where they chose none.
    #[must_use]
    pub fn offset_min(&self, at: DateTime<Utc>) -> Option<i64> {
        use chrono::Offset as _;
        let zone: chrono_tz::Tz = self.profile.time_zone.as_deref()?.parse().ok()?;
        Some(i64::from(at.with_timezone(&zone).offset().fix().local_minus_utc() / 60))
    }
}

pub(super) async fn create(pool: &SqlitePool) -> Result<(), sqlx::Error> {
    for table in [
        "CREATE TABLE IF NOT EXISTS profiles (
            user_id TEXT PRIMARY KEY, profile TEXT NOT NULL, first_goal_at TEXT, updated_at TEXT NOT NULL) STRICT",
        "CREATE TABLE IF NOT EXISTS consents (
            user_id TEXT PRIMARY KEY, training INTEGER NOT NULL, updated_at TEXT NOT NULL) STRICT",
        "CREATE TABLE IF NOT EXISTS persona_corrections (
            id INTEGER PRIMARY KEY, user_id TEXT NOT NULL, archetype TEXT, by_data TEXT NOT NULL,
            at TEXT NOT NULL) STRICT",
        "CREATE INDEX IF NOT EXISTS persona_corrections_user ON persona_corrections (user_id, id)",
    ] {
        sqlx::query(table).execute(pool).await?;
    }
    Ok(())
}

impl Accounts {
    /// A person's profile; the empty one when they never set any.
    ///
    /// # Errors
    /// When the database fails or holds what is no profile.
    pub async fn profile(&self, user: &UserId) -> Result<Chosen, AccountsError> {
        let row = sqlx::query("SELECT profile, first_goal_at FROM profiles WHERE user_id = ?")
            .bind(user.as_str())
            .fetch_optional(&self.pool)
            .await?;
        let Some(row) = row else { return Ok(Chosen::default()) };
        let (profile, first): (String, Option<String>) = (row.try_get(0)?, row.try_get(1)?);
        let first = first.map(|at| DateTime::parse_from_rfc3339(&at)).transpose();
        Ok(Chosen {
            profile: serde_json::from_str(&profile).map_err(|_| AccountsError::Corrupt)?,
            first_goal_at: first.map_err(|_| AccountsError::Corrupt)?.map(|at| at.to_utc()),
        })
    }

    /// Replaces a person's profile.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_profile(
        &self,
        user: &UserId,
        profile: &Profile,
        now: DateTime<Utc>,
    ) -> Result<(), AccountsError> {
        let text = serde_json::to_string(profile).map_err(|_| AccountsError::Corrupt)?;
        let first = (!profile.goals.is_empty()).then(|| now.to_rfc3339());
        sqlx::query(
            "INSERT INTO profiles (user_id, profile, first_goal_at, updated_at) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (user_id) DO UPDATE SET profile = ?2, first_goal_at = coalesce(first_goal_at, ?3),
             updated_at = ?4",
        )
        .bind(user.as_str())
        .bind(text)
        .bind(first)
        .bind(now.to_rfc3339())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// What the person allows; nothing when they never said.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn consent(&self, user: &UserId) -> Result<Consent, AccountsError> {
        let row = sqlx::query("SELECT training FROM consents WHERE user_id = ?")
            .bind(user.as_str())
            .fetch_optional(&self.pool)
            .await?;
        let Some(row) = row else { return Ok(Consent::default()) };
        Ok(Consent { training: row.try_get::<i64, _>(0)? != 0 })
    }

    /// Replaces what the person allows; it holds from now on.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_consent(
        &self,
        user: &UserId,
        consent: Consent,
        now: DateTime<Utc>,
    ) -> Result<(), AccountsError> {
        sqlx::query(
            "INSERT INTO consents (user_id, training, updated_at) VALUES (?1, ?2, ?3)
             ON CONFLICT (user_id) DO UPDATE SET training = ?2, updated_at = ?3",
        )
        .bind(user.as_str())
        .bind(i64::from(consent.training))
        .bind(now.to_rfc3339())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Who allows training.
    ///
    /// # Errors
    /// When the database fails or holds an invalid id.
    pub async fn training_allowed(&self) -> Result<Vec<UserId>, AccountsError> {
        let rows = sqlx::query("SELECT user_id FROM consents WHERE training = 1 ORDER BY user_id");
        let rows = rows.fetch_all(&self.pool).await?;
        let user = |row: &sqlx::sqlite::SqliteRow| {
            UserId::new(row.try_get::<String, _>(0)?).map_err(|_| AccountsError::Corrupt)
        };
        rows.iter().map(user).collect()
    }

    /// All that the person said of their persona, oldest first: ask only for whom allow training.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn persona_examples(&self, user: &UserId) -> Result<Vec<PersonaExample>, AccountsError> {
        let query = "SELECT by_data, archetype, at FROM persona_corrections WHERE user_id = ? ORDER BY id";
        let rows = sqlx::query(query).bind(user.as_str()).fetch_all(&self.pool).await?;
        let example = |row: &sqlx::sqlite::SqliteRow| {
            let at = DateTime::parse_from_rfc3339(&row.try_get::<String, _>(2)?);
            let at = at.map_err(|_| AccountsError::Corrupt)?.to_utc();
            Ok(PersonaExample { by_data: row.try_get(0)?, by_person: row.try_get(1)?, at })
        };
        rows.iter().map(example).collect()
    }

    /// What the person last said of their persona.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn persona_correction(&self, user: &UserId) -> Result<Option<Corrected>, AccountsError> {
        let query = "SELECT archetype FROM persona_corrections WHERE user_id = ? ORDER BY id DESC LIMIT 1";
        let row = sqlx::query(query).bind(user.as_str()).fetch_optional(&self.pool).await?;
        let Some(row) = row else { return Ok(None) };
        let archetype: Option<String> = row.try_get(0)?;
        Ok(Some(archetype.map_or(Corrected::None, Corrected::Is)))
    }

    /// Keeps what the person says of their persona, beside what the data said.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn correct_persona(
        &self,
        user: &UserId,
        correction: &Corrected,
        by_data: &str,
        now: DateTime<Utc>,
    ) -> Result<(), AccountsError> {
        let archetype = match correction {
            Corrected::Is(archetype) => Some(archetype.as_str()),
            Corrected::None => None,
        };
        sqlx::query("INSERT INTO persona_corrections (user_id, archetype, by_data, at) VALUES (?, ?, ?, ?)")
            .bind(user.as_str())
            .bind(archetype)
            .bind(by_data)
            .bind(now.to_rfc3339())
            .execute(&self.pool)
            .await?;
        sqlx::query(
            "DELETE FROM persona_corrections WHERE user_id = ?1 AND id NOT IN
             (SELECT id FROM persona_corrections WHERE user_id = ?1 ORDER BY id DESC LIMIT ?2)",
        )
        .bind(user.as_str())
        .bind(CORRECTIONS_MAX)
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use crave_persona::Tone;

    use super::*;

    #[tokio::test]
    async fn what_a_person_says_is_kept_and_theirs_alone() {
        let folder = tempfile::tempdir().unwrap();
        let accounts = Accounts::open(&folder.path().join("accounts.sqlite")).await.unwrap();
        let (ada, bob) = (UserId::new("ada").unwrap(), UserId::new("bob").unwrap());
        let now = DateTime::UNIX_EPOCH;
        let profile = Profile {
            goals: vec!["sleep".into()],
            tone: Some(Tone::Direct),
            remote_processing: true,
            ..Profile::default()
        };
        accounts.set_profile(&ada, &profile, now).await.unwrap();
        let later = now + TimeDelta::days(5);
        accounts.set_profile(&ada, &profile, later).await.unwrap();
        let chosen = accounts.profile(&ada).await.unwrap();
        assert_eq!((chosen.profile.clone(), chosen.first_goal_at), (profile, Some(now)));
        assert_eq!(chosen.rapport(later), Rapport::Familiar);
        assert_eq!(accounts.profile(&bob).await.unwrap(), Chosen::default());
        assert!(!Chosen::default().profile.remote_processing, "nobody agrees by saying nothing");
        let mut zoned = Chosen::default();
        assert_eq!(zoned.offset_min(now), None);
        zoned.profile.time_zone = Some("Asia/Kolkata".into());
        assert_eq!(zoned.offset_min(now), Some(330));

        let said = Corrected::Is("social_smoker".into());
        accounts.correct_persona(&ada, &said, "unknown", now).await.unwrap();
        assert_eq!(accounts.persona_correction(&ada).await.unwrap(), Some(said));
        accounts.correct_persona(&ada, &Corrected::None, "unknown", later).await.unwrap();
        assert_eq!(accounts.persona_correction(&ada).await.unwrap(), Some(Corrected::None));
        assert_eq!(accounts.persona_correction(&bob).await.unwrap(), None);

        assert_eq!(accounts.consent(&ada).await.unwrap(), Consent::default());
        let allowed = Consent { training: true };
        accounts.set_consent(&ada, allowed, now).await.unwrap();
        assert_eq!(accounts.consent(&ada).await.unwrap(), allowed);
        assert_eq!(accounts.consent(&bob).await.unwrap(), Consent::default());
        assert_eq!(accounts.training_allowed().await.unwrap(), std::slice::from_ref(&ada));
        assert_eq!(accounts.persona_examples(&ada).await.unwrap().len(), 2);
        accounts.set_consent(&ada, Consent::default(), later).await.unwrap();
        assert!(accounts.training_allowed().await.unwrap().is_empty());
    }
}
