//! Where conversations come from and go on: chain hashes of their questions, and what they branch from.
//!
//! A branch holds its own turns only, and reads those before from its parent: what is shared is kept once, and is gone
//! from both when it is deleted. Hashes outlive the turns they are of, as tombstones: a client that still shows what
//! was deleted here does not bring it back.

use chrono::{DateTime, Utc};
use crave_schemas::UserId;
use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};
use uuid::Uuid;

use super::{
    identity::{Chain, Known},
    store::{self, CONVERSATIONS_MAX, Conversations, TURNS_MAX},
};
use crate::{Error, Result};

/// Turns that are looked up for one request, of all branches with the same beginning.
const KNOWN_MAX: i64 = 5_000;

pub(super) const SCHEMA: [&str; 3] = [
    "CREATE TABLE IF NOT EXISTS branches (
        conversation TEXT PRIMARY KEY, user_id TEXT NOT NULL, label TEXT NOT NULL, parent TEXT, shared INTEGER NOT NULL)
        STRICT",
    "CREATE TABLE IF NOT EXISTS chains (
        user_id TEXT NOT NULL, asked TEXT NOT NULL, conversation TEXT NOT NULL, turn INTEGER NOT NULL,
        PRIMARY KEY (user_id, asked, conversation)) STRICT",
    "CREATE INDEX IF NOT EXISTS chains_of_turn ON chains (conversation, turn)",
];

/// What a request adds.
#[derive(Clone, Debug)]
pub(super) struct Addition {
    /// What tells this client's conversations from others of the person.
    pub(super) label: String,
    /// The turn before it; `None` begins a conversation.
    pub(super) after: Option<(Uuid, i64)>,
    /// Questions with their hashes and answers, in order; the last is the new one.
    pub(super) turns: Vec<Asked>,
}

/// A question to keep.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) chain: Chain,
    pub(super) message: String,
    /// Empty where it was not ours.
    pub(super) answer: String,
    /// Whether the same was asked at the same place before: then it is remembered already.
    pub(super) repeats: bool,
}

impl Conversations {
    /// The turns that are kept, or were, under any of the hashes; the newest conversations first.
    pub(super) async fn known(&self, user: &UserId, asked: &[Chain]) -> Result<Vec<Known>> {
        let asked: Vec<&str> = asked.iter().map(|chain| chain.0.as_str()).collect();
        let rows = sqlx::query(
            "SELECT h.asked, h.conversation, h.turn, nullif(t.answer, ''), coalesce(c.turns = h.turn, 0)
             FROM chains h
             LEFT JOIN turns t ON t.conversation = h.conversation AND t.turn = h.turn AND t.user_id = h.user_id
             LEFT JOIN conversations c ON c.id = h.conversation AND c.user_id = h.user_id
             WHERE h.user_id = ? AND h.asked IN (SELECT value FROM json_each(?))
             ORDER BY h.conversation DESC, h.turn DESC LIMIT ?",
        )
        .bind(user.as_str())
        .bind(serde_json::to_string(&asked)?)
        .bind(KNOWN_MAX)
        .fetch_all(&self.pool)
        .await?;
        let read = |row: &SqliteRow| -> Result<Known> {
            Ok(Known {
                asked: Chain(row.try_get(0)?),
                conversation: store::id(&row.try_get::<String, _>(1)?)?,
                turn: row.try_get(2)?,
                answer: row.try_get(3)?,
                last: row.try_get(4)?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// The label under which a conversation of the person goes on; `None` when there is no such conversation.
    pub(super) async fn label(&self, user: &UserId, id: Uuid) -> Result<Option<String>> {
        let row = sqlx::query(
            "SELECT coalesce(b.label, 'id:' || c.id) FROM conversations c LEFT JOIN branches b ON b.conversation = c.id
             WHERE c.id = ? AND c.user_id = ?",
        )
        .bind(id.to_string())
        .bind(user.as_str())
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    /// Keeps turns after a place, all or none: at the end of its conversation where that ends there, else in a branch.
    /// Gives the conversation and the number of the last turn.
    pub(super) async fn put(
        &self,
        user: &UserId,
        added: &Addition,
        now: DateTime<Utc>,
    ) -> Result<(Uuid, i64)> {
        let mut transaction = self.pool.begin().await?;
        let count = i64::try_from(added.turns.len()).unwrap_or(i64::MAX);
        let base = added.after.map_or(0, |(_, turn)| turn);
        if base.saturating_add(count) > TURNS_MAX {
            return Err(Error::TooMany("turns in this conversation; begin another"));
        }
        let goes_on = match added.after {
            Some((id, turn)) => lengthen(&mut transaction, user, id, turn, count).await?.then_some(id),
            None => None,
        };
        let id = match goes_on {
            Some(id) => id,
            None => begin(&mut transaction, user, base + count, now).await?,
        };
        let parent = match added.after {
            Some((id, _)) if goes_on.is_none() && exists(&mut transaction, user, id).await? => {
                Some(id.to_string())
            }
            _ => None,
        };
        // One that was begun by name has no row yet.
        sqlx::query("INSERT INTO branches (conversation, user_id, label, parent, shared) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING")
            .bind(id.to_string())
            .bind(user.as_str())
            .bind(&added.label)
            .bind(&parent)
            .bind(if parent.is_some() { base } else { 0 })
            .execute(&mut *transaction)
            .await?;
        for (number, asked) in (base + 1..).zip(&added.turns) {
            store::insert(&mut transaction, user, (id, number), now, &asked.message, &asked.answer).await?;
            sqlx::query("INSERT INTO chains (user_id, asked, conversation, turn) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING")
                .bind(user.as_str())
                .bind(&asked.chain.0)
                .bind(id.to_string())
                .bind(number)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok((id, base + count))
    }

    /// What a conversation branches from, and how many turns they share.
    pub(super) async fn parent(&self, user: &UserId, id: Uuid) -> Result<Option<(Uuid, i64)>> {
        let row = sqlx::query(
            "SELECT parent, shared FROM branches WHERE conversation = ? AND user_id = ? AND parent IS NOT NULL",
        )
        .bind(id.to_string())
        .bind(user.as_str())
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some((store::id(&row.try_get::<String, _>(0)?)?, row.try_get(1)?)))
    }

    /// The turn, and those of other branches in which the same was asked at the same place.
    pub(super) async fn same(&self, user: &UserId, id: Uuid, turn: i64) -> Result<Vec<(Uuid, i64)>> {
        let rows = sqlx::query(
            "SELECT other.conversation, other.turn FROM chains mine
             JOIN chains other ON other.user_id = mine.user_id AND other.asked = mine.asked
             WHERE mine.conversation = ? AND mine.turn = ? AND mine.user_id = ?",
        )
        .bind(id.to_string())
        .bind(turn)
        .bind(user.as_str())
        .fetch_all(&self.pool)
        .await?;
        let mut same = vec![(id, turn)];
        for row in rows {
            let other = (store::id(&row.try_get::<String, _>(0)?)?, row.try_get(1)?);
            if !same.contains(&other) {
                same.push(other);
            }
        }
        Ok(same)
    }

    /// Conversations that read turns of these: themselves, and what branches from them.
    pub(super) async fn readers(&self, user: &UserId, of: &[Uuid]) -> Result<Vec<Uuid>> {
        let of: Vec<String> = of.iter().map(Uuid::to_string).collect();
        let rows = sqlx::query(
            "WITH RECURSIVE reads (id) AS (
                 SELECT value FROM json_each(?)
                 UNION SELECT b.conversation FROM branches b JOIN reads ON b.parent = reads.id WHERE b.user_id = ?)
             SELECT id FROM reads",
        )
        .bind(serde_json::to_string(&of)?)
        .bind(user.as_str())
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| store::id(&row.try_get::<String, _>(0)?)).collect()
    }
}

/// Makes room for `count` turns at the end; `false` where it does not end at `turn`.
async fn lengthen(
    connection: &mut SqliteConnection,
    user: &UserId,
    id: Uuid,
    turn: i64,
    count: i64,
) -> Result<bool> {
    let done =
        sqlx::query("UPDATE conversations SET turns = turns + ? WHERE id = ? AND user_id = ? AND turns = ?")
            .bind(count)
            .bind(id.to_string())
            .bind(user.as_str())
            .bind(turn)
            .execute(connection)
            .await?;
    Ok(done.rows_affected() == 1)
}

async fn exists(connection: &mut SqliteConnection, user: &UserId, id: Uuid) -> Result<bool> {
    let found = sqlx::query("SELECT 1 FROM conversations WHERE id = ? AND user_id = ?");
    let found = found.bind(id.to_string()).bind(user.as_str()).fetch_optional(connection).await?;
    Ok(found.is_some())
}

/// Begins a conversation that counts `turns`.
pub(super) async fn begin(
    connection: &mut SqliteConnection,
    user: &UserId,
    turns: i64,
    now: DateTime<Utc>,
) -> Result<Uuid> {
    let held = sqlx::query("SELECT count(*) FROM conversations WHERE user_id = ?").bind(user.as_str());
    if held.fetch_one(&mut *connection).await?.try_get::<i64, _>(0)? >= CONVERSATIONS_MAX {
        return Err(Error::TooMany("conversations; delete one"));
    }
    let id = Uuid::now_v7();
    sqlx::query(
        "INSERT INTO conversations (id, user_id, created_at, turns, summary) VALUES (?, ?, ?, ?, '')",
    )
    .bind(id.to_string())
    .bind(user.as_str())
    .bind(now.to_rfc3339())
    .bind(turns)
    .execute(connection)
    .await?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use crate::chat::identity::{History, Speaker, Told, place};

    use super::*;

    const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

    /// A client that tells everything each time, and what it got.
    struct Client {
        store: Conversations,
        user: UserId,
        _folder: tempfile::TempDir,
    }

    impl Client {
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let store = Conversations::open(&folder.path().join("conversations.sqlite")).await.unwrap();
            Self { store, user: UserId::new("ada").unwrap(), _folder: folder }
        }

        /// Sends questions and answers by turns, and gets `answer`.
        async fn send(&self, user: &UserId, told: &[&str], answer: &str) -> (Uuid, i64) {
            let speakers = [Speaker::Person, Speaker::Assistant].into_iter().cycle();
            let told: Vec<Told> = speakers
                .zip(told)
                .map(|(speaker, text)| Told { speaker, text: (*text).to_owned() })
                .collect();
            let history = History::read(user, "", &told).unwrap();
            let place = place(&history, &self.store.known(user, &history.asked).await.unwrap());
            let asked = |(message, answer): (&str, &str), chain: &Chain| Asked {
                chain: chain.clone(),
                message: message.to_owned(),
                answer: answer.to_owned(),
                repeats: false,
            };
            let messages = history.earlier.iter().map(|one| (one.message.as_str(), ""));
            let messages = messages.chain([(history.message.as_str(), answer)]);
            let turns = messages.zip(&history.asked).skip(place.seen).map(|(m, c)| asked(m, c)).collect();
            let added = Addition { label: String::new(), after: place.after, turns };
            self.store.put(user, &added, NOW).await.unwrap()
        }

        async fn read(&self, id: Uuid) -> Vec<(String, String)> {
            let turns = self.store.turns(&self.user, id, None, TURNS_MAX).await.unwrap();
            turns.into_iter().map(|turn| (turn.message, turn.answer)).collect()
        }

        async fn messages(&self, user: &UserId) -> usize {
            let mut messages = 0;
            for talk in self.store.list(user).await.unwrap() {
                for turn in self.store.own_turns(user, talk.id, None, TURNS_MAX).await.unwrap() {
                    messages += 1 + usize::from(!turn.answer.is_empty());
                }
            }
            messages
        }
    }

    #[tokio::test]
    async fn fifty_turns_told_whole_each_time_are_a_hundred_messages() {
        let client = Client::new().await;
        let mut told: Vec<String> = Vec::new();
        let mut places = Vec::new();
        for n in 0..50 {
            told.push(format!("question {}", n % 7));
            let sent: Vec<&str> = told.iter().map(String::as_str).collect();
            places.push(client.send(&client.user, &sent, &format!("answer {n}")).await);
            told.push(format!("answer {n}"));
        }
        assert_eq!(client.messages(&client.user).await, 100);
        assert_eq!(client.store.list(&client.user).await.unwrap().len(), 1);
        assert!(places.iter().zip(1..).all(|((id, turn), n)| *id == places[0].0 && *turn == n), "{places:?}");

        // Another person who says and is answered the same has a conversation of their own.
        let bob = UserId::new("bob").unwrap();
        let told: Vec<&str> = told.iter().take(3).map(String::as_str).collect();
        let (id, turn) = client.send(&bob, &told, "answer 1").await;
        assert_eq!((turn, client.messages(&bob).await), (2, 3), "two questions, one answer of ours");
        assert!(client.store.get(&client.user, id).await.unwrap().is_none());
        assert_eq!(client.messages(&client.user).await, 100);
    }

    #[tokio::test]
    async fn what_is_regenerated_or_edited_branches_and_shares_its_beginning() {
        let client = Client::new().await;
        let send = async |told: &[&str], answer: &str| client.send(&client.user, told, answer).await;
        let (first, _) = send(&["u1"], "a1").await;
        send(&["u1", "a1", "u2"], "a2").await;
        send(&["u1", "a1", "u2", "a2", "u3"], "a3").await;
        let (again, turn) = send(&["u1", "a1", "u2"], "a2 again").await;
        assert!(again != first && turn == 2);
        let (edited, turn) = send(&["u1", "a1", "u2", "a2", "u3 other"], "a3 other").await;
        assert!(edited != first && turn == 3);
        // Each branch goes on where its answer is shown.
        assert_eq!(send(&["u1", "a1", "u2", "a2 again", "u4"], "a4").await, (again, 3));
        assert_eq!(send(&["u1", "a1", "u2", "a2", "u3 other", "a3 other", "u5"], "a5").await, (edited, 4));
        assert_eq!(send(&["u1", "a1", "u2", "a2", "u3", "a3", "u6"], "a6").await, (first, 4));
        let pairs = |of: &[(&str, &str)]| -> Vec<(String, String)> {
            of.iter().map(|(message, answer)| ((*message).to_owned(), (*answer).to_owned())).collect()
        };
        let whole = [("u1", "a1"), ("u2", "a2"), ("u3", "a3"), ("u6", "a6")];
        assert_eq!(client.read(first).await, pairs(&whole), "the old one is as it was");
        assert_eq!(client.read(again).await, pairs(&[("u1", "a1"), ("u2", "a2 again"), ("u4", "a4")]));
        let other = [("u1", "a1"), ("u2", "a2"), ("u3 other", "a3 other"), ("u5", "a5")];
        assert_eq!(client.read(edited).await, pairs(&other));
        let list = client.store.list(&client.user).await.unwrap();
        let parents: Vec<_> = list.iter().map(|talk| (talk.id, talk.branch_of)).collect();
        assert_eq!(parents, [(edited, Some(first)), (again, Some(first)), (first, None)]);
        assert_eq!(client.messages(&client.user).await, 8 + 4 + 4, "what is shared is kept once");

        // What a client says that we said is nobody's word.
        let (foreign, turn) = send(&["u1", "a lie", "u2"], "a7").await;
        assert_eq!((turn, client.read(foreign).await), (2, pairs(&[("u1", ""), ("u2", "a7")])));
        assert_eq!(send(&["u1", "a lie", "u2", "a7", "u8"], "a8").await, (foreign, 3));
    }

    #[tokio::test]
    async fn what_was_deleted_is_not_brought_back_by_a_client_that_still_shows_it() {
        let client = Client::new().await;
        let (store, user) = (&client.store, &client.user);
        let (id, _) = client.send(user, &["secret"], "a1").await;
        client.send(user, &["secret", "a1", "u2"], "a2").await;
        let (again, _) = client.send(user, &["secret"], "a1 again").await;
        let same = store.same(user, id, 1).await.unwrap();
        assert_eq!(same, [(id, 1), (again, 1)], "asked twice");
        for (id, turn) in same {
            store.remove_turn(user, id, turn).await.unwrap();
        }
        assert_eq!(client.send(user, &["secret", "a1", "u2", "a2", "u3"], "a3").await, (id, 3));
        let (branch, _) = client.send(user, &["secret", "a1", "u4"], "a4").await;
        let (deeper, _) = client.send(user, &["secret", "a1", "u4", "a4 other", "u5"], "a5").await;
        for id in [id, again, branch, deeper] {
            assert!(!client.read(id).await.iter().any(|(message, _)| message == "secret"), "{id}");
        }
        assert_eq!(client.read(branch).await.len(), 1);

        // A conversation goes with its turns; its branches stay, without what they shared.
        store.remove(user, id).await.unwrap();
        let (after, _) = client.send(user, &["secret", "a1", "u2", "a2", "u3", "a3", "u6"], "a6").await;
        assert_eq!(client.read(after).await, [("u6".to_owned(), "a6".to_owned())]);
        let list = store.list(user).await.unwrap();
        assert!(list.iter().all(|talk| talk.id != id && talk.branch_of != Some(id)), "{list:?}");
        store.erase(user).await.unwrap();
        for table in ["chains", "branches", "turns", "conversations"] {
            let count = match table {
                "chains" => "SELECT count(*) FROM chains",
                "branches" => "SELECT count(*) FROM branches",
                "turns" => "SELECT count(*) FROM turns",
                _ => "SELECT count(*) FROM conversations",
            };
            let count: i64 = sqlx::query(count).fetch_one(&store.pool).await.unwrap().try_get(0).unwrap();
            assert_eq!(count, 0, "{table}");
        }
    }
}
