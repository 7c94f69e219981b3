//! Messages of clients that tell the whole conversation each time, as OpenAI's API has it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use chrono::{DateTime, Utc};
use crave_schemas::UserId;
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::{
    Answered, Chats, Incoming, Memories, Reply, SUMMARY_TURNS, Said, Turn, WORKING_TURNS,
    branches::{Addition, Asked},
    facts,
    identity::{self, Chain, History, Told},
    memory, store, task,
};
use crate::{Answer, Coach, Error, QUESTION_CHARS_MAX, Result, Status, screen};

/// Longest label, in characters.
const LABEL_CHARS_MAX: usize = 256;

/// What a client sends.
#[derive(Clone, Debug, Default)]
pub struct Telling {
    /// What keeps the client's conversations apart, in its own words; the id of a conversation of ours names that one.
    pub label: Option<String>,
    /// The whole conversation, the newest question last.
    pub messages: Vec<Told>,
    /// Whether the client says that it sends this for the second time: then what was answered is answered again.
    pub again: bool,
}

/// What it gets.
#[derive(Clone, Debug)]
pub struct Completion {
    /// Where it is kept; `None` where nothing is, as of a title.
    pub conversation: Option<Uuid>,
    /// The answer; its turn is 0 where nothing is kept.
    pub reply: Reply,
}

/// Requests under way, by the hash of their question: the same, sent twice at once, is answered and kept once.
#[derive(Debug, Default)]
pub(super) struct UnderWay(Mutex<HashMap<Chain, Weak<OnceCell<Completion>>>>);

impl UnderWay {
    fn join(&self, chain: &Chain) -> Arc<OnceCell<Completion>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cell) = all.get(chain).and_then(Weak::upgrade) {
            return cell;
        }
        all.retain(|_, cell| cell.strong_count() > 0);
        let cell = Arc::new(OnceCell::new());
        all.insert(chain.clone(), Arc::downgrade(&cell));
        cell
    }
}

impl Chats {
    /// Answers as `coach` the newest question of a conversation that the client tells whole; keeps and remembers what is new of
    /// it. Programs' own prompts (titles, tags) are answered and leave nothing.
    ///
    /// # Errors
    /// [`Error::LastMessage`] when the last message is not the person's, [`Error::Label`] for a label that is too long,
    /// else as [`Self::say`].
    pub async fn tell(&self, user: &UserId, telling: &Telling, coach: &Coach) -> Result<Completion> {
        if let Some(task) = task::task(&telling.messages) {
            let text = task::answer(task, &telling.messages);
            let answer = Answer::plain(Status::Answered, &[text.as_str()]);
            let reply = Reply { turn: 0, answer, recalled: Vec::new(), learned: Vec::new() };
            return Ok(Completion { conversation: None, reply });
        }
        let (label, named) = self.label(user, telling.label.as_deref()).await?;
        let history = History::read(user, &label, &telling.messages).ok_or(Error::LastMessage)?;
        let Some(chain) = history.asked.last() else { return Err(Error::LastMessage) };
        // Whoever comes while it is answered waits for the same answer; whoever comes later wants another.
        let cell = self.under_way.join(chain);
        let system: Vec<&str> = telling.messages.iter().filter_map(Told::as_system).collect();
        let whole = Whole { label, named, history: &history, system: &system, again: telling.again };
        let once = || Box::pin(self.tell_once(user, whole, coach));
        cell.get_or_try_init(once).await.cloned()
    }

    async fn label(&self, user: &UserId, label: Option<&str>) -> Result<(String, Option<Uuid>)> {
        let Some(label) = label.filter(|label| !label.is_empty()) else { return Ok((String::new(), None)) };
        if label.chars().count() > LABEL_CHARS_MAX {
            return Err(Error::Label(LABEL_CHARS_MAX));
        }
        if let Ok(id) = label.parse::<Uuid>()
            && let Some(known) = self.memories.conversations.label(user, id).await?
        {
            return Ok((known, Some(id)));
        }
        Ok((format!("label:{label}"), None))
    }

    async fn tell_once(&self, user: &UserId, whole: Whole<'_>, coach: &Coach) -> Result<Completion> {
        let Whole { label, named, history, system, again } = whole;
        let message = history.message.trim();
        if message.is_empty() || message.chars().count() > QUESTION_CHARS_MAX {
            return Err(Error::Question(QUESTION_CHARS_MAX));
        }
        let store = &self.memories.conversations;
        let known = store.known(user, &history.asked).await?;
        let place = identity::place(history, &known);
        if let Some(same) = place.same.filter(|_| again)
            && let Some(turn) = store.turn(user, same).await?.filter(|turn| !turn.answer.is_empty())
        {
            let answer = Answer::plain(Status::Answered, &[turn.answer.as_str()]);
            let reply = Reply { turn: same.1, answer, recalled: Vec::new(), learned: Vec::new() };
            return Ok(Completion { conversation: Some(same.0), reply });
        }
        let after = place.after.or(named.map(|id| (id, 0)));
        let now = self.clock.now();
        let repeats = |chain: &Chain| known.iter().any(|turn| turn.asked == *chain);
        let unseen = history.earlier.iter().zip(&history.asked).skip(place.seen);
        let mut turns: Vec<Asked> = unseen
            .map(|(earlier, chain)| Asked {
                chain: chain.clone(),
                message: earlier.message.trim().chars().take(QUESTION_CHARS_MAX).collect(),
                // What the client says that we said is not what we said.
                answer: String::new(),
                repeats: repeats(chain),
            })
            .collect();
        let mut working = match after {
            Some((id, turn)) => store.turns(user, id, Some(turn.saturating_add(1)), WORKING_TURNS).await?,
            None => Vec::new(),
        };
        working.extend(turns.iter().map(|asked| Turn {
            turn: 0,
            at: now,
            message: asked.message.clone(),
            answer: String::new(),
        }));
        let before = after.map(|(id, turn)| (id, Some(turn.saturating_add(1))));
        let incoming = Incoming { user, message, now, conversation: before, working: &working, system };
        let answered = Box::pin(self.respond(&incoming, coach)).await?;
        let Answered { answer, recalled, learned } = answered;
        let Some(chain) = history.asked.last() else { return Err(Error::LastMessage) };
        let repeats = repeats(chain);
        turns.push(Asked {
            chain: chain.clone(),
            message: message.to_owned(),
            answer: answer.text(),
            repeats,
        });
        let keeping = Keeping {
            user: user.clone(),
            before: working.last().map(|turn| turn.message.clone()),
            addition: Addition { label, after, turns },
            now,
        };
        // Whole, even if the client leaves now.
        let kept = tokio::spawn(keep(Arc::clone(&self.memories), keeping));
        let (conversation, turn) = kept.await.map_err(|_| Error::Stopped)??;
        let learned = if repeats { Vec::new() } else { learned };
        Ok(Completion { conversation: Some(conversation), reply: Reply { turn, answer, recalled, learned } })
    }
}

/// A conversation that the client told, and where it wants it kept.
struct Whole<'a> {
    label: String,
    named: Option<Uuid>,
    history: &'a History,
    system: &'a [&'a str],
    again: bool,
}

struct Keeping {
    user: UserId,
    addition: Addition,
    before: Option<String>,
    now: DateTime<Utc>,
}

/// Keeps turns, learns from them and remembers them.
async fn keep(memories: Arc<Memories>, keeping: Keeping) -> Result<(Uuid, i64)> {
    let Keeping { user, addition, before, now } = keeping;
    let (conversation, last) = memories.conversations.put(&user, &addition, now).await?;
    let count = i64::try_from(addition.turns.len()).unwrap_or(0);
    let first = last - count + 1;
    let mut remembered = Vec::new();
    let mut before = before.filter(|_| count == 1);
    for (number, asked) in (first..).zip(&addition.turns) {
        let said = asked.message.as_str();
        let context = before.replace(said.to_owned()).filter(|before| screen(before).is_none());
        if said.is_empty() || screen(said).is_some() || asked.repeats {
            continue;
        }
        let source = store::source(conversation, number);
        let learned: Vec<Said> = facts::facts(said);
        memories.conversations.learn(&user, &learned, &source, now).await?;
        remembered.push(memory(&user, source, now, said, context.as_deref()));
    }
    for some in remembered.chunks(crave_recall::LIMITS.upsert_memories_max) {
        memories.remember(some.to_vec()).await?;
    }
    let branched = addition.after.is_some_and(|(id, _)| id != conversation);
    if branched || (first - 1) / SUMMARY_TURNS < last / SUMMARY_TURNS {
        memories.summarise(&user, conversation).await?;
    }
    Ok((conversation, last))
}
