//! What people think of answers: a thumb, a reason, a few words; one an answer, and replaceable.
//!
//! The last [`ANSWERS_MAX`] answers of a person are kept with their question, for a thumb is worth nothing without them.
//! They are training data only for whom the person allows it ([`Citations::examples`] is asked person by person), and go
//! with the memory that they quote, or with the person.

use chrono::{DateTime, Utc};
use crave_schemas::UserId;
use serde::{Deserialize, Serialize};
use sqlx::Row as _;
use uuid::Uuid;

use super::Citations;
use crate::{Answer, Error, Result, Status, sqlite};

/// Answers kept of a person; the oldest go, with what was thought of them.
const ANSWERS_MAX: i64 = 1_000;
/// Longest text of a feedback, in bytes.
pub const TEXT_BYTES_MAX: usize = 2_048;
/// What a thumb may be for.
pub const REASONS: [&str; 7] = ["helpful", "accurate", "kind", "wrong", "not_relevant", "too_long", "unkind"];
/// Newest thumbs by which the usefulness of recalled memories is judged, and how few say nothing.
const RECENT: (i64, usize) = (10, 3);

pub(super) const TABLE: &str = "CREATE TABLE IF NOT EXISTS answers (
    place INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, user_id TEXT NOT NULL, question TEXT NOT NULL,
    answer TEXT NOT NULL, at TEXT NOT NULL, thumb TEXT, reason TEXT, text TEXT, judged_at TEXT) STRICT";
pub(super) const INDEX: &str = "CREATE INDEX IF NOT EXISTS answers_of_user ON answers (user_id, place)";

/// Up or down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Thumb {
    /// It helped.
    Up,
    /// It did not.
    Down,
}

impl Thumb {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Up, Self::Down].into_iter().find(|thumb| thumb.as_str() == name)
    }
}

/// What a person thinks of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feedback {
    /// Up or down.
    pub thumb: Thumb,
    /// One of [`REASONS`].
    #[serde(default)]
    pub reason: Option<String>,
    /// In their own words, at most [`TEXT_BYTES_MAX`].
    #[serde(default)]
    pub text: Option<String>,
}

impl Feedback {
    /// Checks its bounds.
    ///
    /// # Errors
    /// The field that is out of them, and what it must be.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        if self.reason.as_deref().is_some_and(|reason| !REASONS.contains(&reason)) {
            return Err(("reason", format!("must be null or one of {}", REASONS.join(", "))));
        }
        if self.text.as_ref().is_some_and(|text| text.len() > TEXT_BYTES_MAX || text.contains('\0')) {
            return Err(("text", format!("must have at most {TEXT_BYTES_MAX} bytes, and no NUL")));
        }
        Ok(())
    }
}

/// A judged answer, to learn from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Example {
    /// What was asked.
    pub question: String,
    /// What was answered, sentence by sentence.
    pub answer: Vec<String>,
    /// What the person thought of it.
    pub feedback: Feedback,
    /// When they said so.
    pub at: DateTime<Utc>,
}

impl Citations {
    /// Keeps an answer, so that it can be judged; one to somebody in crisis is nothing to learn from and is not kept.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn answered(
        &self,
        user: &UserId,
        question: &str,
        answer: &Answer,
        now: DateTime<Utc>,
    ) -> Result<()> {
        if answer.status == Status::Crisis {
            return Ok(());
        }
        let sentences: Vec<&str> = answer.sentences.iter().map(|sentence| sentence.text.as_str()).collect();
        let mut transaction = self.pool.begin().await?;
        sqlx::query(
            "INSERT OR IGNORE INTO answers (id, user_id, question, answer, at) VALUES (?, ?, ?, ?, ?)",
        )
        .bind(answer.id.to_string())
        .bind(user.as_str())
        .bind(question)
        .bind(serde_json::to_string(&sentences)?)
        .bind(now.to_rfc3339())
        .execute(&mut *transaction)
        .await?;
        sqlite::keep_newest(&mut transaction, "answers", user.as_str(), ANSWERS_MAX).await?;
        Ok(transaction.commit().await?)
    }

    /// Puts what the person thinks of an answer in the place of what they thought before; `None` takes it back.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an answer that is unknown, too old, or another person's; else when the database fails.
    pub async fn judge(
        &self,
        user: &UserId,
        answer: Uuid,
        feedback: Option<&Feedback>,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let done = sqlx::query(
            "UPDATE answers SET thumb = ?, reason = ?, text = ?, judged_at = ? WHERE id = ? AND user_id = ?",
        )
        .bind(feedback.map(|feedback| feedback.thumb.as_str()))
        .bind(feedback.and_then(|feedback| feedback.reason.as_deref()))
        .bind(feedback.and_then(|feedback| feedback.text.as_deref()))
        .bind(feedback.map(|_| now.to_rfc3339()))
        .bind(answer.to_string())
        .bind(user.as_str())
        .execute(&self.pool)
        .await?;
        if done.rows_affected() == 0 { Err(Error::NotFound("answer")) } else { Ok(()) }
    }

    /// What the person thinks of an answer; `None` when they did not say.
    ///
    /// # Errors
    /// As [`Self::judge`].
    pub async fn feedback(&self, user: &UserId, answer: Uuid) -> Result<Option<Feedback>> {
        let row = sqlx::query("SELECT thumb, reason, text FROM answers WHERE id = ? AND user_id = ?")
            .bind(answer.to_string())
            .bind(user.as_str())
            .fetch_optional(&self.pool)
            .await?
            .ok_or(Error::NotFound("answer"))?;
        let thumb = row.try_get::<Option<String>, _>(0)?.as_deref().and_then(Thumb::from_name);
        let (reason, text) = (row.try_get(1)?, row.try_get(2)?);
        Ok(thumb.map(|thumb| Feedback { thumb, reason, text }))
    }

    /// The person's judged answers, oldest first: ask only for whom allowed it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn examples(&self, user: &UserId) -> Result<Vec<Example>> {
        let rows = sqlx::query(
            "SELECT question, answer, thumb, reason, text, judged_at FROM answers
             WHERE user_id = ? AND thumb IS NOT NULL ORDER BY place",
        )
        .bind(user.as_str())
        .fetch_all(&self.pool)
        .await?;
        let mut examples = Vec::with_capacity(rows.len());
        for row in rows {
            let (thumb, at) = (row.try_get::<String, _>(2)?, row.try_get::<String, _>(5)?);
            let at = DateTime::parse_from_rfc3339(&at).map_err(|error| sqlx::Error::Decode(error.into()))?;
            let Some(thumb) = Thumb::from_name(&thumb) else { continue };
            examples.push(Example {
                question: row.try_get(0)?,
                answer: serde_json::from_str(&row.try_get::<String, _>(1)?)?,
                feedback: Feedback { thumb, reason: row.try_get(3)?, text: row.try_get(4)? },
                at: at.to_utc(),
            });
        }
        Ok(examples)
    }

    /// Whether the person was seldom helped lately: of their newest thumbs more are down than up. Then a search looks
    /// at more than it would by itself.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_seldom_useful(&self, user: &UserId) -> Result<bool> {
        let rows = sqlx::query(
            "SELECT thumb FROM answers WHERE user_id = ? AND thumb IS NOT NULL ORDER BY judged_at DESC LIMIT ?",
        )
        .bind(user.as_str())
        .bind(RECENT.0)
        .fetch_all(&self.pool)
        .await?;
        let mut down = 0;
        for row in &rows {
            down += usize::from(row.try_get::<String, _>(0)? == Thumb::Down.as_str());
        }
        Ok(rows.len() >= RECENT.1 && down * 2 > rows.len())
    }

    /// Removes the answers that hold `quote`, with what was thought of them.
    pub(crate) async fn unquote(&self, user: &UserId, quote: &str) -> Result<()> {
        // As it stands within JSON.
        let quote = serde_json::to_string(quote)?;
        sqlx::query("DELETE FROM answers WHERE user_id = ? AND instr(answer, ?) > 0")
            .bind(user.as_str())
            .bind(quote.get(1..quote.len().saturating_sub(1)).unwrap_or_default())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Removes the answers to a question that was deleted or reworded.
    pub(crate) async fn unask(&self, user: &UserId, question: &str) -> Result<()> {
        sqlx::query("DELETE FROM answers WHERE user_id = ? AND question = ?")
            .bind(user.as_str())
            .bind(question)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn up() -> Feedback {
        Feedback { thumb: Thumb::Up, reason: Some("kind".into()), text: Some("thank you".into()) }
    }

    #[tokio::test]
    async fn feedback_is_its_owners_one_an_answer_and_goes_with_what_is_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let store = Citations::open(&folder.path().join("insights.sqlite")).await.unwrap();
        let (ada, bob) = (UserId::new("ada").unwrap(), UserId::new("bob").unwrap());
        let now = DateTime::UNIX_EPOCH;
        let answers: Vec<Answer> = ["one", "two", "You wrote: \u{201c}so \"tired\"\u{201d}", "four"]
            .map(|t| Answer::plain(Status::Answered, &[t]))
            .into();
        for answer in &answers {
            store.answered(&ada, "why?", answer, now).await.unwrap();
        }
        let first = answers[0].id;
        assert_eq!(store.feedback(&ada, first).await.unwrap(), None);
        store.judge(&ada, first, Some(&up()), now).await.unwrap();
        assert_eq!(store.feedback(&ada, first).await.unwrap(), Some(up()));
        for of_another in [
            store.judge(&bob, first, Some(&up()), now).await,
            store.judge(&ada, Uuid::nil(), None, now).await,
            store.feedback(&bob, first).await.map(|_| ()),
        ] {
            assert!(matches!(of_another, Err(Error::NotFound("answer"))), "{of_another:?}");
        }
        assert!(!store.is_seldom_useful(&ada).await.unwrap());
        let down = Feedback { thumb: Thumb::Down, reason: None, text: None };
        for answer in &answers {
            store.judge(&ada, answer.id, Some(&down), now).await.unwrap();
        }
        assert_eq!(store.feedback(&ada, first).await.unwrap(), Some(down), "it was replaced");
        assert!(store.is_seldom_useful(&ada).await.unwrap());
        assert!(!store.is_seldom_useful(&bob).await.unwrap());
        assert_eq!(store.examples(&ada).await.unwrap().len(), 4);
        assert!(store.examples(&bob).await.unwrap().is_empty());
        store.judge(&ada, answers[3].id, None, now).await.unwrap();
        store.unquote(&bob, "so \"tired\"").await.unwrap();
        store.unquote(&ada, "so \"tired\"").await.unwrap();
        let left = store.examples(&ada).await.unwrap();
        assert_eq!(left.iter().map(|one| one.answer[0].as_str()).collect::<Vec<_>>(), ["one", "two"]);
        store.erase(&ada).await.unwrap();
        assert!(store.examples(&ada).await.unwrap().is_empty());
    }

    #[test]
    fn bounds_name_the_field() {
        assert_eq!(up().check(), Ok(()));
        let long = Feedback { text: Some("x".repeat(TEXT_BYTES_MAX + 1)), ..up() };
        assert_eq!(long.check().unwrap_err().0, "text");
        assert_eq!(Feedback { reason: Some("because".into()), ..up() }.check().unwrap_err().0, "reason");
    }
}
