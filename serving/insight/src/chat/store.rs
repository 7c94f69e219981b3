//! Conversations, the facts they stated, and what the person deleted or corrected, in SQLite: they survive a restart.
//!
//! Every statement names the person (TN-1). What is deleted here is overwritten (`secure_delete`).

use std::path::Path;

use chrono::{DateTime, Utc};
use crave_recall::Memory;
use crave_schemas::UserId;
use serde::Serialize;
use sqlx::{
    Row as _, SqliteConnection, SqlitePool,
    sqlite::{SqliteRow, SqliteSynchronous},
};
use uuid::Uuid;

use super::{branches, facts::Said};
use crate::{Error, Result, sqlite};

/// Conversations of a person.
pub(super) const CONVERSATIONS_MAX: i64 = 1_000;
/// Turns of a conversation: a message and its answer each.
pub(super) const TURNS_MAX: i64 = 1_000;

/// A conversation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Conversation {
    /// Its id.
    pub id: Uuid,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// Turns so far, those deleted since among them.
    pub turns: i64,
    /// What the person said so far, shortened; empty before the twentieth message.
    pub summary: String,
    /// The conversation whose beginning it shares.
    pub branch_of: Option<Uuid>,
}

/// A turn: what the person said and what was answered.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Turn {
    /// Its number, from 1.
    pub turn: i64,
    /// When it was said.
    pub at: DateTime<Utc>,
    /// What the person said.
    pub message: String,
    /// What was answered.
    pub answer: String,
}

/// A fact that a person stated.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UserFact {
    /// Its id.
    pub id: Uuid,
    /// What it is about; there is one current fact a slot.
    pub slot: String,
    /// The fact.
    pub text: String,
    /// How sure it is, 0 to 1; it grows each time it is said again.
    pub confidence: f64,
    /// Where it was said: `conversation#turn`; empty when the person wrote it down themselves.
    pub source: String,
    /// When.
    pub said_at: DateTime<Utc>,
    /// The fact that took its place; none for a current one.
    pub superseded_by: Option<Uuid>,
}

/// The store. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Conversations {
    pub(super) pool: SqlitePool,
}

const SCHEMA: [&str; 5] = [
    "CREATE TABLE IF NOT EXISTS conversations (
        id TEXT PRIMARY KEY, user_id TEXT NOT NULL, created_at TEXT NOT NULL, turns INTEGER NOT NULL,
        summary TEXT NOT NULL) STRICT",
    "CREATE TABLE IF NOT EXISTS turns (
        conversation TEXT NOT NULL, turn INTEGER NOT NULL, user_id TEXT NOT NULL, at TEXT NOT NULL,
        message TEXT NOT NULL, answer TEXT NOT NULL, PRIMARY KEY (conversation, turn)) STRICT",
    "CREATE TABLE IF NOT EXISTS facts (
        id TEXT PRIMARY KEY, user_id TEXT NOT NULL, slot TEXT NOT NULL, text TEXT NOT NULL, confidence REAL NOT NULL,
        source TEXT NOT NULL, said_at TEXT NOT NULL, superseded_by TEXT) STRICT",
    // Tombstones (memory is null) and corrections of memories, which outlive the index of memories.
    "CREATE TABLE IF NOT EXISTS changed (
        user_id TEXT NOT NULL, kind TEXT NOT NULL, source_id TEXT NOT NULL, chunk INTEGER NOT NULL, memory TEXT,
        PRIMARY KEY (user_id, kind, source_id, chunk)) STRICT",
    "CREATE INDEX IF NOT EXISTS facts_of_user ON facts (user_id, slot)",
];

impl Conversations {
    /// Opens `conversations.sqlite`, creating it when absent.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub async fn open(path: &Path) -> Result<Self> {
        // One connection: a person's message is counted and written with nothing in between.
        let schema = [SCHEMA.as_slice(), &branches::SCHEMA].concat();
        let pool = sqlite::open(path, SqliteSynchronous::Full, 1, &schema).await?;
        Ok(Self { pool })
    }

    /// Begins a conversation.
    ///
    /// # Errors
    /// [`Error::TooMany`] when the person has as many as are kept; else when the database fails.
    pub async fn begin(&self, user: &UserId, now: DateTime<Utc>) -> Result<Conversation> {
        let mut connection = self.pool.acquire().await?;
        let id = branches::begin(&mut connection, user, 0, now).await?;
        Ok(Conversation { id, created_at: now, turns: 0, summary: String::new(), branch_of: None })
    }

    /// The person's conversations, the newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(&self, user: &UserId) -> Result<Vec<Conversation>> {
        let rows = sqlx::query(
            "SELECT id, created_at, turns, summary, parent FROM conversations LEFT JOIN branches ON conversation = id
             WHERE conversations.user_id = ? ORDER BY id DESC",
        )
        .bind(user.as_str())
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(conversation).collect()
    }

    /// A conversation of the person.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn get(&self, user: &UserId, id: Uuid) -> Result<Option<Conversation>> {
        let row = sqlx::query(
            "SELECT id, created_at, turns, summary, parent FROM conversations LEFT JOIN branches ON conversation = id
             WHERE id = ? AND conversations.user_id = ?",
        )
        .bind(id.to_string())
        .bind(user.as_str())
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(conversation).transpose()
    }

    /// The last `limit` turns up to and without `before`, oldest first: the working memory. A branch begins with what
    /// it shares.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn turns(&self, user: &UserId, id: Uuid, before: Option<i64>, limit: i64) -> Result<Vec<Turn>> {
        let mut turns = self.own_turns(user, id, before, limit).await?;
        let (mut id, mut before) = (id, before.unwrap_or(i64::MAX));
        loop {
            let lacking = limit - i64::try_from(turns.len()).unwrap_or(i64::MAX);
            if lacking <= 0 {
                return Ok(turns);
            }
            let Some((parent, shared)) = self.parent(user, id).await? else { return Ok(turns) };
            (id, before) = (parent, before.min(shared + 1));
            let earlier = self.own_turns(user, id, Some(before), lacking).await?;
            turns = earlier.into_iter().chain(turns).collect();
        }
    }

    /// The same without what a branch shares.
    pub(super) async fn own_turns(
        &self,
        user: &UserId,
        id: Uuid,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Vec<Turn>> {
        let rows = sqlx::query(
            "SELECT turn, at, message, answer FROM turns WHERE conversation = ? AND user_id = ? AND turn < ?
             ORDER BY turn DESC LIMIT ?",
        )
        .bind(id.to_string())
        .bind(user.as_str())
        .bind(before.unwrap_or(i64::MAX))
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().rev().map(turn).collect()
    }

    /// One turn.
    pub(super) async fn turn(&self, user: &UserId, (id, number): (Uuid, i64)) -> Result<Option<Turn>> {
        let turns = self.own_turns(user, id, Some(number.saturating_add(1)), 1).await?;
        Ok(turns.into_iter().find(|turn| turn.turn == number))
    }

    /// Keeps a turn and gives its number.
    ///
    /// # Errors
    /// [`Error::TooMany`] when the conversation is full; else when the database fails.
    pub async fn add(
        &self,
        user: &UserId,
        id: Uuid,
        at: DateTime<Utc>,
        message: &str,
        answer: &str,
    ) -> Result<i64> {
        let mut transaction = self.pool.begin().await?;
        let number = sqlx::query(
            "UPDATE conversations SET turns = turns + 1 WHERE id = ? AND user_id = ? AND turns < ? RETURNING turns",
        )
        .bind(id.to_string())
        .bind(user.as_str())
        .bind(TURNS_MAX)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(number) = number else {
            return Err(Error::TooMany("turns in this conversation; begin another"));
        };
        let number: i64 = number.try_get(0)?;
        insert(&mut transaction, user, (id, number), at, message, answer).await?;
        transaction.commit().await?;
        Ok(number)
    }

    /// Keeps a summary.
    pub(super) async fn summarised(&self, user: &UserId, id: Uuid, summary: &str) -> Result<()> {
        sqlx::query("UPDATE conversations SET summary = ? WHERE id = ? AND user_id = ?")
            .bind(summary)
            .bind(id.to_string())
            .bind(user.as_str())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Replaces a message; its answer, which was to other words, goes.
    pub(super) async fn reword(&self, user: &UserId, id: Uuid, turn: i64, message: &str) -> Result<()> {
        sqlx::query(
            "UPDATE turns SET message = ?, answer = '' WHERE conversation = ? AND turn = ? AND user_id = ?",
        )
        .bind(message)
        .bind(id.to_string())
        .bind(turn)
        .bind(user.as_str())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Removes a turn.
    pub(super) async fn remove_turn(&self, user: &UserId, id: Uuid, turn: i64) -> Result<()> {
        sqlx::query("DELETE FROM turns WHERE conversation = ? AND turn = ? AND user_id = ?")
            .bind(id.to_string())
            .bind(turn)
            .bind(user.as_str())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Empties the person's answers that hold `quote`.
    pub(super) async fn unquote(&self, user: &UserId, quote: &str) -> Result<()> {
        sqlx::query("UPDATE turns SET answer = '' WHERE user_id = ? AND instr(answer, ?) > 0")
            .bind(user.as_str())
            .bind(quote)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Removes a conversation with its turns.
    pub(super) async fn remove(&self, user: &UserId, id: Uuid) -> Result<()> {
        let mut transaction = self.pool.begin().await?;
        // What branches from it branches from where it did.
        sqlx::query(
            "UPDATE branches SET
                 parent = (SELECT parent FROM branches WHERE conversation = ?1),
                 shared = min(shared, coalesce((SELECT shared FROM branches WHERE conversation = ?1), 0))
             WHERE parent = ?1 AND user_id = ?2",
        )
        .bind(id.to_string())
        .bind(user.as_str())
        .execute(&mut *transaction)
        .await?;
        for statement in [
            "DELETE FROM turns WHERE conversation = ? AND user_id = ?",
            "DELETE FROM conversations WHERE id = ? AND user_id = ?",
            "DELETE FROM branches WHERE conversation = ? AND user_id = ?",
        ] {
            sqlx::query(statement)
                .bind(id.to_string())
                .bind(user.as_str())
                .execute(&mut *transaction)
                .await?;
        }
        Ok(transaction.commit().await?)
    }

    /// Keeps what a message stated. A fact said again gets surer; another one of its slot takes its place, and the old
    /// one stays as history.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn learn(&self, user: &UserId, said: &[Said], source: &str, at: DateTime<Utc>) -> Result<()> {
        let mut transaction = self.pool.begin().await?;
        for said in said {
            let current = sqlx::query(
                "SELECT id, text FROM facts WHERE user_id = ? AND slot = ? AND superseded_by IS NULL",
            )
            .bind(user.as_str())
            .bind(&said.slot)
            .fetch_optional(&mut *transaction)
            .await?;
            let current: Option<(String, String)> =
                current.map(|row| Ok::<_, sqlx::Error>((row.try_get(0)?, row.try_get(1)?))).transpose()?;
            if let Some((id, _)) = current.as_ref().filter(|(_, text)| *text == said.text) {
                sqlx::query("UPDATE facts SET confidence = 1 - (1 - confidence) * (1 - ?) WHERE id = ?")
                    .bind(said.confidence)
                    .bind(id)
                    .execute(&mut *transaction)
                    .await?;
                continue;
            }
            let id = Uuid::now_v7().to_string();
            if let Some((old, _)) = current {
                sqlx::query("UPDATE facts SET superseded_by = ? WHERE id = ?")
                    .bind(&id)
                    .bind(old)
                    .execute(&mut *transaction)
                    .await?;
            }
            sqlx::query(
                "INSERT INTO facts (id, user_id, slot, text, confidence, source, said_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(&id)
            .bind(user.as_str())
            .bind(&said.slot)
            .bind(&said.text)
            .bind(said.confidence)
            .bind(source)
            .bind(at.to_rfc3339())
            .execute(&mut *transaction)
            .await?;
        }
        Ok(transaction.commit().await?)
    }

    /// The person's facts, current ones and history, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn facts(&self, user: &UserId) -> Result<Vec<UserFact>> {
        let rows = sqlx::query(
            "SELECT id, slot, text, confidence, source, said_at, superseded_by FROM facts WHERE user_id = ? ORDER BY id",
        )
        .bind(user.as_str())
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(fact).collect()
    }

    /// Replaces the text of a fact: the person's word is certain.
    pub(super) async fn correct_fact(&self, user: &UserId, id: Uuid, text: &str) -> Result<()> {
        sqlx::query("UPDATE facts SET text = ?, confidence = 1, source = '' WHERE id = ? AND user_id = ?")
            .bind(text)
            .bind(id.to_string())
            .bind(user.as_str())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Removes a fact; what it had taken the place of is not current again, for that is no longer known.
    pub(super) async fn forget_fact(&self, user: &UserId, id: Uuid) -> Result<()> {
        sqlx::query("DELETE FROM facts WHERE id = ? AND user_id = ?")
            .bind(id.to_string())
            .bind(user.as_str())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Removes what a message stated.
    pub(super) async fn forget_source(&self, user: &UserId, source: &str) -> Result<()> {
        sqlx::query("DELETE FROM facts WHERE source = ? AND user_id = ?")
            .bind(source)
            .bind(user.as_str())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Notes that a memory was deleted (`None`) or corrected, before the index is told.
    pub(super) async fn changed(&self, of: &Memory, now: Option<&Memory>) -> Result<()> {
        if now.is_none() {
            // No text of what is gone stays in an older correction of any of its chunks.
            sqlx::query("DELETE FROM changed WHERE user_id = ? AND kind = ? AND source_id = ?")
                .bind(of.user_id.as_str())
                .bind(of.source_kind.as_str())
                .bind(&of.source_id)
                .execute(&self.pool)
                .await?;
        }
        sqlx::query(
            "INSERT INTO changed (user_id, kind, source_id, chunk, memory) VALUES (?, ?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET memory = excluded.memory",
        )
        .bind(of.user_id.as_str())
        .bind(of.source_kind.as_str())
        .bind(&of.source_id)
        .bind(i64::from(of.chunk))
        .bind(now.map(serde_json::to_string).transpose()?)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// All that was deleted, and all that was corrected, of everybody: for an index that is filled again.
    pub(super) async fn all_changed(&self) -> Result<(Vec<Gone>, Vec<Memory>)> {
        let rows =
            sqlx::query("SELECT user_id, kind, source_id, memory FROM changed").fetch_all(&self.pool).await?;
        let (mut gone, mut corrected) = (Vec::new(), Vec::new());
        for row in rows {
            match row.try_get::<Option<String>, _>(3)? {
                Some(memory) => corrected.push(serde_json::from_str(&memory)?),
                None => gone.push((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)),
            }
        }
        Ok((gone, corrected))
    }

    /// A page of the turns of everybody, after a place, each with its person, conversation and place; without those
    /// that an earlier branch holds too.
    pub(super) async fn all_turns(&self, after: i64) -> Result<Vec<(i64, UserId, Uuid, Turn)>> {
        let rows = sqlx::query(
            "SELECT turn, at, message, answer, rowid, user_id, conversation FROM turns WHERE rowid > ?
             AND NOT EXISTS (SELECT 1 FROM chains mine JOIN chains older
                 ON older.user_id = mine.user_id AND older.asked = mine.asked AND older.conversation < mine.conversation
                 WHERE mine.conversation = turns.conversation AND mine.turn = turns.turn)
             ORDER BY rowid LIMIT 500",
        )
        .bind(after)
        .fetch_all(&self.pool)
        .await?;
        let read = |row: &SqliteRow| -> Result<(i64, UserId, Uuid, Turn)> {
            let user = UserId::new(row.try_get::<String, _>(5)?);
            let user = user.map_err(|error| sqlx::Error::Decode(error.to_string().into()))?;
            Ok((row.try_get(4)?, user, id(&row.try_get::<String, _>(6)?)?, turn(row)?))
        };
        rows.iter().map(read).collect()
    }

    /// Leaves nothing of the person (PR-1).
    ///
    /// # Errors
    /// When the database fails.
    pub async fn erase(&self, user: &UserId) -> Result<()> {
        for statement in [
            "DELETE FROM turns WHERE user_id = ?",
            "DELETE FROM conversations WHERE user_id = ?",
            "DELETE FROM facts WHERE user_id = ?",
            "DELETE FROM changed WHERE user_id = ?",
            "DELETE FROM branches WHERE user_id = ?",
            "DELETE FROM chains WHERE user_id = ?",
        ] {
            sqlx::query(statement).bind(user.as_str()).execute(&self.pool).await?;
        }
        Ok(sqlite::empty_log(&self.pool).await?)
    }
}

/// User, kind and source of what was deleted.
pub(super) type Gone = (String, String, String);

/// The source of a turn's memory and facts.
pub(super) fn source(conversation: Uuid, turn: i64) -> String {
    format!("{conversation}#{turn}")
}

/// The turn behind a source.
pub(super) fn turn_of(memory: &Memory) -> Option<(Uuid, i64)> {
    let (conversation, turn) = memory.source_id.rsplit_once('#')?;
    Some((conversation.parse().ok()?, turn.parse().ok()?))
}

fn at(row: &SqliteRow, column: usize) -> Result<DateTime<Utc>> {
    let text: String = row.try_get(column)?;
    let parsed = DateTime::parse_from_rfc3339(&text).map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok(parsed.to_utc())
}

/// Keeps a turn.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    user: &UserId,
    (conversation, turn): (Uuid, i64),
    at: DateTime<Utc>,
    message: &str,
    answer: &str,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO turns (conversation, turn, user_id, at, message, answer) VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(conversation.to_string())
    .bind(turn)
    .bind(user.as_str())
    .bind(at.to_rfc3339())
    .bind(message)
    .bind(answer)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) fn id(text: &str) -> Result<Uuid> {
    Ok(text.parse::<Uuid>().map_err(|error| sqlx::Error::Decode(error.into()))?)
}

fn conversation(row: &SqliteRow) -> Result<Conversation> {
    let created_at = at(row, 1)?;
    Ok(Conversation {
        id: id(&row.try_get::<String, _>(0)?)?,
        created_at,
        turns: row.try_get(2)?,
        summary: row.try_get(3)?,
        branch_of: row.try_get::<Option<String>, _>(4)?.as_deref().map(id).transpose()?,
    })
}

fn turn(row: &SqliteRow) -> Result<Turn> {
    Ok(Turn { turn: row.try_get(0)?, at: at(row, 1)?, message: row.try_get(2)?, answer: row.try_get(3)? })
}

fn fact(row: &SqliteRow) -> Result<UserFact> {
    Ok(UserFact {
        id: id(&row.try_get::<String, _>(0)?)?,
        slot: row.try_get(1)?,
        text: row.try_get(2)?,
        confidence: row.try_get(3)?,
        source: row.try_get(4)?,
        said_at: at(row, 5)?,
        superseded_by: row.try_get::<Option<String>, _>(6)?.as_deref().map(id).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::facts::facts;

    #[tokio::test]
    async fn facts_grow_surer_are_superseded_and_survive_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("conversations.sqlite");
        let (ada, bob) = (UserId::new("ada").unwrap(), UserId::new("bob").unwrap());
        let store = Conversations::open(&path).await.unwrap();
        let now = DateTime::UNIX_EPOCH;
        for message in ["I live in Ghent", "I live in Ghent!", "I live in Rome"] {
            store.learn(&ada, &facts(message), "c#1", now).await.unwrap();
        }
        drop(store);
        let store = Conversations::open(&path).await.unwrap();
        let known = store.facts(&ada).await.unwrap();
        let [ghent, rome] = known.as_slice() else { panic!("{known:?}") };
        assert!(ghent.confidence > 0.98 && ghent.superseded_by == Some(rome.id), "{ghent:?}");
        assert_eq!((rome.text.as_str(), rome.superseded_by), ("lives in rome", None));
        assert!(store.facts(&bob).await.unwrap().is_empty());
        store.forget_fact(&bob, rome.id).await.unwrap();
        assert_eq!(store.facts(&ada).await.unwrap().len(), 2, "another's fact stays");
    }

    #[tokio::test]
    async fn conversations_are_their_owners_and_leave_no_byte() {
        let folder = tempfile::tempdir().unwrap();
        let store = Conversations::open(&folder.path().join("conversations.sqlite")).await.unwrap();
        let (ada, bob) = (UserId::new("ada").unwrap(), UserId::new("bob").unwrap());
        let now = DateTime::UNIX_EPOCH;
        let talk = store.begin(&ada, now).await.unwrap();
        for n in 1..=3 {
            assert_eq!(store.add(&ada, talk.id, now, "secret words", "noted").await.unwrap(), n);
        }
        assert!(store.add(&bob, talk.id, now, "mine", "noted").await.is_err());
        assert!(store.get(&bob, talk.id).await.unwrap().is_none());
        assert!(store.turns(&bob, talk.id, None, 10).await.unwrap().is_empty());
        let numbers = |turns: Vec<Turn>| turns.iter().map(|turn| turn.turn).collect::<Vec<_>>();
        assert_eq!(numbers(store.turns(&ada, talk.id, None, 2).await.unwrap()), [2, 3]);
        assert_eq!(numbers(store.turns(&ada, talk.id, Some(3), 5).await.unwrap()), [1, 2]);
        store.erase(&ada).await.unwrap();
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            assert!(!bytes.windows(12).any(|w| w == b"secret words"), "no byte is left");
        }
    }
}
