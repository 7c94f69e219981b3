//! Keeps the memories in step with the log: what the streaming jobs remember is written to the index, and what a
//! person corrects or takes back goes from it.
//!
//! One task a partition reads `crave.memories.v1` for text and `crave.events.v1` for corrections, each from a position
//! that moves on only when the index has everything before it on disk. A replay changes nothing: ids are derived, a
//! lower revision never overwrites a higher one, and what was retracted stays away, in whichever order the two topics
//! come. The positions lie inside the index's folder, so that an index that was moved away is filled again.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use chrono::{DateTime, NaiveDateTime, Utc};
use crave_connect::log::{EventLog, Offset, Stored, Topic};
use crave_insight::Memories;
use crave_recall::{LIMITS, Memory, Recall, SourceKind};
use crave_schemas::{Admitted, Clock, Correct, Kind, Payload, Retract, UserId};
use serde::{Deserialize, Serialize};
use tokio::{sync::watch, time::Instant};

use super::{
    Node,
    labels::{self, Labels, Source, Written},
    position::{load, save},
};
use crate::home::Home;

/// Bytes of a topic read at once.
const READ_BYTES: usize = 256 << 10;
/// How long a read waits for the first record.
const WAIT: Duration = Duration::from_millis(200);
/// Memories written at once: small, so that questions do not wait long behind an import.
const BATCH: usize = 64;
/// Between two commits of labels, unless so many memories wait for theirs.
const LABEL_INTERVAL: Duration = Duration::from_secs(1);
const LABELLED_MAX: usize = 4096;
/// Longest wait until all that came before is remembered.
const CAUGHT_UP_MAX: Duration = Duration::from_secs(600);
/// Pause between two looks for memories that are past their retention.
const COOL_INTERVAL: Duration = Duration::from_secs(600);
/// Longest pause after a failure.
const RETRY_MAX: Duration = Duration::from_secs(30);
/// Pause between two looks for memories without a vector.
const EMBED_AGAIN: Duration = Duration::from_secs(300);
/// Memories between two lines of the log about them.
const EMBED_TOLD: usize = 4096;

impl Node {
    /// Starts to remember and to label, until the node stops.
    ///
    /// # Errors
    /// When `note_labels` is not open.
    pub(crate) fn remember(
        &mut self,
        home: &Home,
        recall: &Recall,
        memories: &Arc<Memories>,
    ) -> anyhow::Result<()> {
        let labels = Labels::new(self.tables.get(labels::TABLE)?, recall.clone(), Arc::clone(&self.clock));
        for partition in 0..self.log.partitions() {
            let task = Task {
                log: Arc::clone(&self.log),
                recall: recall.clone(),
                labels: labels.clone(),
                partition,
                file: position(home, partition),
            };
            self.tasks.spawn(task.run(self.stop.subscribe()));
        }
        self.tasks.spawn(labels.run(Arc::clone(memories), self.stop.subscribe()));
        self.tasks.spawn(embed(recall.clone(), self.stop.subscribe()));
        self.tasks.spawn(cool(recall.clone(), Arc::clone(&self.clock), self.stop.subscribe()));
        Ok(())
    }

    /// Waits until nothing in the log is left to remember.
    pub(crate) async fn remembered(&self, home: &Home) -> anyhow::Result<()> {
        let caught_up = async {
            for partition in 0..self.log.partitions() {
                while self.is_behind(home, partition).await? {
                    tokio::time::sleep(WAIT).await;
                }
            }
            anyhow::Ok(())
        };
        let waited = tokio::time::timeout(CAUGHT_UP_MAX, caught_up).await;
        waited.context("the memories did not catch up with the log; start `crave up` and see what it logs")?
    }

    /// Whether a record follows a partition's position, in either topic.
    async fn is_behind(&self, home: &Home, partition: u32) -> anyhow::Result<bool> {
        let at = load::<Position>(&position(home, partition))?;
        let labelled = self.tables.get(labels::TABLE)?.followed(&labels::follower(partition)).await?;
        let memories = at.memories.min(labelled.unwrap_or_default());
        for (topic, from) in [(Topic::Memories, memories), (Topic::Events, at.events)] {
            let from = from.max(self.log.bounds(topic, partition).await?.start);
            if !self.log.read(topic, partition, from, READ_BYTES, Duration::ZERO).await?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Where a partition's position lies.
fn position(home: &Home, partition: u32) -> PathBuf {
    home.memories().join(format!("position-{partition}.json"))
}

/// Embeds what has no vector of the model that is set: after a change of the model everything, else what was remembered
/// while the model was away, or before its person agreed to a remote one.
async fn embed(recall: Recall, mut stop: watch::Receiver<bool>) {
    let mut embedded = 0;
    while !*stop.borrow() {
        let pause = match recall.embed_missing(BATCH).await {
            Ok(0) => EMBED_AGAIN,
            Ok(memories) => {
                embedded += memories;
                if embedded / EMBED_TOLD != (embedded - memories) / EMBED_TOLD {
                    tracing::info!(memories = embedded, "embedded what had no vector of this model");
                }
                continue;
            }
            Err(error) => {
                tracing::warn!(%error, "embedding older memories failed; it is tried again");
                RETRY_MAX
            }
        };
        if embedded > 0 {
            tracing::info!(memories = embedded, "embedded what had no vector of this model");
            embedded = 0;
        }
        let _ = tokio::time::timeout(pause, stop.wait_for(|stop| *stop)).await;
    }
}

/// Moves what is past its retention to the cold index, until `stop`.
async fn cool(recall: Recall, clock: Arc<dyn Clock>, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        // A command that ends by itself moves nothing.
        let _ = tokio::time::timeout(COOL_INTERVAL, stop.wait_for(|stop| *stop)).await;
        while !*stop.borrow() {
            match recall.retire(clock.now()).await {
                Ok(0) => break,
                Ok(memories) => tracing::info!(memories, "old memories moved to the cold index"),
                Err(error) => {
                    tracing::warn!(%error, "old memories stay in the hot index; moving them is tried again");
                    break;
                }
            }
        }
    }
}

/// How far a partition is, in each topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Serialize, Deserialize)]
struct Position {
    memories: Offset,
    events: Offset,
}

struct Task {
    log: Arc<dyn EventLog>,
    recall: Recall,
    labels: Labels,
    partition: u32,
    file: PathBuf,
}

impl Task {
    async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut pause = Duration::from_millis(200);
        while !*stop.borrow() {
            let followed = self.follow(&stop).await;
            if let Err(error) = followed {
                tracing::warn!(partition = self.partition, cause = ?error, "remembering failed; it is tried again");
                let _ = tokio::time::timeout(pause, stop.wait_for(|stop| *stop)).await;
                pause = (pause * 2).min(RETRY_MAX);
            }
        }
    }

    async fn follow(&self, stop: &watch::Receiver<bool>) -> anyhow::Result<()> {
        let mut position = load::<Position>(&self.file)?;
        // What is in the index and not yet in the table of labels is read again.
        let mut labelled = self.labels.position(self.partition).await?;
        position.memories = position.memories.min(labelled);
        let (mut unlabelled, mut due) = (Vec::new(), Instant::now());
        while !*stop.borrow() {
            let before = position;
            // Corrections first: what they say of a memory that comes later holds for it too.
            let events = self.read(Topic::Events, position.events, Duration::ZERO).await?;
            if let Some(last) = events.last() {
                let mut revised = Vec::new();
                for change in events.iter().filter_map(|stored| changes(&stored.record.value)) {
                    if let Change::Replace { memory: Some(memory), .. } = &change {
                        revised.push(Source::of(memory));
                    }
                    self.apply(change).await?;
                }
                self.labels.renew(&revised).await?;
                position.events = last.offset + 1;
            }
            let wait = if events.is_empty() { WAIT } else { Duration::ZERO };
            let read = self.read(Topic::Memories, position.memories, wait).await?;
            for batch in read.chunks(BATCH) {
                if *stop.borrow() {
                    return Ok(());
                }
                let (mut memories, mut gone) = (Vec::new(), Vec::new());
                for stored in batch {
                    match self.record(stored) {
                        Some(Remembered::Text(memory)) => {
                            let chunks = memory.into_chunks();
                            if stored.offset >= labelled {
                                unlabelled.extend(chunks.iter().filter_map(Written::of));
                            }
                            memories.extend(chunks);
                        }
                        Some(Remembered::Gone(change)) => gone.push(change),
                        None => {}
                    }
                }
                // In either order the higher revision holds.
                self.upsert(memories).await?;
                for change in gone {
                    self.apply(change).await?;
                }
                if let Some(last) = batch.last() {
                    position.memories = last.offset + 1;
                    save(&self.file, &position)?;
                }
            }
            if position != before {
                save(&self.file, &position)?;
            }
            // A commit a second, however many notes come.
            if position.memories > labelled && (Instant::now() >= due || unlabelled.len() >= LABELLED_MAX) {
                self.labels.append(self.partition, position.memories, &unlabelled).await?;
                (labelled, due) = (position.memories, Instant::now() + LABEL_INTERVAL);
                unlabelled.clear();
            }
        }
        Ok(())
    }

    async fn read(&self, topic: Topic, from: Offset, wait: Duration) -> anyhow::Result<Vec<Stored>> {
        let from = from.max(self.log.bounds(topic, self.partition).await?.start);
        Ok(self.log.read(topic, self.partition, from, READ_BYTES, wait).await?)
    }

    /// What a record says; one that cannot be read is passed over, and that is told without its text.
    fn record(&self, stored: &Stored) -> Option<Remembered> {
        let record = remembered(&stored.record.value);
        if record.is_none() {
            tracing::warn!(partition = self.partition, offset = stored.offset, "a memory cannot be read");
        }
        record
    }

    async fn upsert(&self, memories: Vec<Memory>) -> anyhow::Result<()> {
        let fit = |memory: &Memory| memory.check().is_ok();
        let memories: Vec<Memory> = memories.into_iter().filter(fit).collect();
        for batch in memories.chunks(LIMITS.upsert_memories_max) {
            self.recall.upsert(batch.to_vec()).await?;
        }
        Ok(())
    }

    async fn apply(&self, change: Change) -> anyhow::Result<()> {
        match change {
            Change::Forget { user, source } => {
                for kind in [SourceKind::Note, SourceKind::Journal] {
                    self.recall.delete_source(&user, kind, &source, None).await?;
                }
            }
            Change::Replace { user, kind, source, revision, memory } => {
                let through = if memory.is_some() { revision.saturating_sub(1) } else { revision };
                self.recall.delete_source(&user, kind, &source, Some(through)).await?;
                self.upsert(memory.map(|memory| memory.into_chunks()).unwrap_or_default()).await?;
            }
        }
        Ok(())
    }
}

/// A record of `crave.memories.v1`: the columns of `sql/jobs/memories.sql`, and of a repair its revision.
#[derive(Deserialize)]
struct Row {
    user_id: UserId,
    memory_id: String,
    kind: String,
    event_time: String,
    /// Absent when nothing is left to remember.
    text: Option<String>,
    #[serde(default)]
    revision: u32,
}

/// What a record of `crave.memories.v1` says.
#[derive(Debug, PartialEq)]
enum Remembered {
    Text(Memory),
    Gone(Change),
}

fn remembered(record: &[u8]) -> Option<Remembered> {
    let row: Row = serde_json::from_slice(record).ok()?;
    let kind = match row.kind.as_str() {
        "trend" => SourceKind::Trend,
        kind => source_kind(Kind::from_name(kind)?)?,
    };
    let (user, source, revision) = (row.user_id, row.memory_id, row.revision);
    let Some(text) = row.text else {
        return Some(Remembered::Gone(Change::Replace { user, kind, source, revision, memory: None }));
    };
    Some(Remembered::Text(Memory {
        revision,
        ..Memory::new(user, kind, source, time(&row.event_time)?, text)
    }))
}

/// A time as the log's sink writes it: UTC, with or without saying so.
fn time(text: &str) -> Option<DateTime<Utc>> {
    let zoned = DateTime::parse_from_rfc3339(text).map(|at| at.to_utc());
    zoned.ok().or_else(|| text.parse::<NaiveDateTime>().ok().map(|at| at.and_utc()))
}

/// What the text of an event of this kind is remembered as; `None` when it has none.
fn source_kind(kind: Kind) -> Option<SourceKind> {
    match kind {
        Kind::Craving | Kind::Lapse | Kind::Mood => Some(SourceKind::Note),
        Kind::Journal => Some(SourceKind::Journal),
        _ => None,
    }
}

/// What an event does to an older memory.
#[derive(Debug, PartialEq)]
enum Change {
    /// It is taken back, for good.
    Forget { user: UserId, source: String },
    /// It has another text now, or none.
    Replace { user: UserId, kind: SourceKind, source: String, revision: u32, memory: Option<Memory> },
}

fn changes(record: &[u8]) -> Option<Change> {
    #[derive(Deserialize)]
    struct Only<'a> {
        #[serde(borrow)]
        kind: std::borrow::Cow<'a, str>,
    }
    let only: Only<'_> = serde_json::from_slice(record).ok()?;
    if !matches!(&*only.kind, "correct" | "retract") {
        return None;
    }
    let event: Admitted = serde_json::from_slice(record).ok()?;
    let user = UserId::new(event.user_id.as_str()).ok()?;
    if event.kind == "retract" {
        let retract: Retract = serde_json::from_str(&event.payload).ok()?;
        return Some(Change::Forget { user, source: retract.target.to_string() });
    }
    let correct: Correct = serde_json::from_str(&event.payload).ok()?;
    let (kind, source, revision) = (source_kind(correct.kind)?, correct.target.to_string(), correct.revision);
    let text = match Payload::parse(correct.kind, &correct.body.to_string()).ok()? {
        Payload::Craving(craving) => craving.note,
        Payload::Lapse(lapse) => lapse.note,
        Payload::Mood(mood) => mood.note,
        Payload::Journal(journal) => Some(journal.text),
        _ => None,
    };
    let memory = text.filter(|text| !text.trim().is_empty()).map(|text| Memory {
        revision,
        ..Memory::new(user.clone(), kind, source.clone(), correct.event_time, text)
    });
    Some(Change::Replace { user, kind, source, revision, memory })
}

#[cfg(test)]
mod tests {
    use crave_connect::log::{LocalLog, LocalOptions, Record};
    use crave_recall::{Understander, labelled::Labeller};
    use crave_schemas::SystemClock;
    use crave_tables::Tables;
    use datafusion::{
        logical_expr::{col, lit},
        prelude::SessionContext,
    };
    use serde_json::json;

    use super::*;

    fn event(kind: &str, payload: &serde_json::Value) -> Vec<u8> {
        let event = json!({
            "event_id": "0190b8a2-0000-7000-8000-000000000001", "user_id": "ada", "kind": kind,
            "event_time": "2026-01-02T03:04:05.000000", "received_at": "2026-01-02T03:04:06.000000",
            "device_id": null, "source": "phone", "app_version": null, "tz_offset_min": null, "tz": null,
            "schema_version": 1, "payload": payload.to_string(),
        });
        let heartbeat = serde_json::to_value(Admitted::heartbeat(DateTime::UNIX_EPOCH)).unwrap();
        let mut whole = heartbeat.as_object().unwrap().clone();
        let times = (whole["event_time"].clone(), whole["received_at"].clone());
        whole.extend(event.as_object().unwrap().clone());
        (whole["event_time"], whole["received_at"]) = times;
        serde_json::to_vec(&whole).unwrap()
    }

    #[test]
    fn records_become_memories() {
        let record = |kind: &str| {
            let row = json!({ "user_id": "ada", "memory_id": "m1", "kind": kind,
                "event_time": "2026-01-02T03:04:05.000006", "text": "tired" });
            match remembered(&serde_json::to_vec(&row).unwrap()) {
                Some(Remembered::Text(memory)) => Some(memory.source_kind),
                _ => None,
            }
        };
        let table = [
            ("craving", Some(SourceKind::Note)),
            ("mood", Some(SourceKind::Note)),
            ("lapse", Some(SourceKind::Note)),
            ("journal", Some(SourceKind::Journal)),
            ("trend", Some(SourceKind::Trend)),
            ("steps", None),
        ];
        for (kind, expected) in table {
            assert_eq!(record(kind), expected, "{kind}");
        }
        assert_eq!(remembered(b"{}"), None);
        let gone = json!({ "user_id": "ada", "memory_id": "m1", "kind": "trend", "revision": 7, "text": null,
            "event_time": "2026-01-02T03:04:05.000006" });
        assert_eq!(
            remembered(&serde_json::to_vec(&gone).unwrap()),
            Some(Remembered::Gone(Change::Replace {
                user: UserId::new("ada").unwrap(),
                kind: SourceKind::Trend,
                source: "m1".into(),
                revision: 7,
                memory: None,
            }))
        );
    }

    #[test]
    fn corrections_and_retractions_change_memories() {
        let target = "0190b8a2-0000-7000-8000-000000000002";
        let user = UserId::new("ada").unwrap();
        let retracted = changes(&event("retract", &json!({ "target": target })));
        assert_eq!(retracted, Some(Change::Forget { user, source: target.into() }));
        let correct = |body: serde_json::Value| {
            changes(&event(
                "correct",
                &json!({ "target": target, "revision": 2, "kind": "craving",
                "event_time": "2026-01-02T03:00:00Z", "body": body }),
            ))
        };
        let with = correct(json!({ "craving": "sugar", "intensity": 5, "note": "not stress, boredom" }));
        let Some(Change::Replace { memory: Some(memory), revision: 2, .. }) = with else {
            panic!("{with:?}")
        };
        assert_eq!((memory.revision, memory.text.as_str()), (2, "not stress, boredom"));
        let without = correct(json!({ "craving": "sugar", "intensity": 5 }));
        assert!(matches!(without, Some(Change::Replace { memory: None, .. })), "{without:?}");
        assert_eq!(changes(&event("craving", &json!({ "craving": "sugar", "intensity": 5 }))), None);
    }

    #[test]
    fn a_position_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("position-0.json");
        assert_eq!(load::<Position>(&path).unwrap(), Position::default());
        let position = Position { memories: 7, events: 9 };
        save(&path, &position).unwrap();
        assert_eq!(load::<Position>(&path).unwrap(), position);
        std::fs::write(&path, "{").unwrap();
        assert_eq!(load::<Position>(&path).unwrap(), Position::default());
    }

    async fn texts(recall: &Recall, user: &UserId) -> Vec<(String, u32)> {
        let (memories, _) = recall.list(user, None, 100).await.unwrap();
        let mut texts: Vec<_> = memories.into_iter().map(|m| (m.text, m.revision)).collect();
        texts.sort();
        texts
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_corrected_and_taken_back_goes_even_when_all_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let options = LocalOptions { partitions: 1, disk_bytes_max: 1 << 30 };
        let log: Arc<dyn EventLog> = Arc::new(LocalLog::open(&folder.path().join("log"), options).unwrap());
        let recall = Recall::open(folder.path().join("memories"), None).await.unwrap();
        let recall = recall.labelled_by(Labeller::new(Understander::new(None).unwrap()));
        let tables = Tables::new(&folder.path().join("lake"));
        labels::open(&tables).await.unwrap();
        let table = tables.get(labels::TABLE).unwrap();
        let labels = Labels::new(Arc::clone(&table), recall.clone(), Arc::new(SystemClock));
        let user = UserId::new("ada").unwrap();
        let ids = [1, 2, 3].map(|n| format!("0190b8a2-0000-7000-8000-00000000000{n}"));
        let note = |id: &str, text: &str| {
            let row = json!({ "user_id": "ada", "memory_id": id, "kind": "craving",
                "event_time": "2026-01-02T03:04:05", "text": text });
            (0, Record { key: "ada".into(), value: serde_json::to_vec(&row).unwrap() })
        };
        let change = |kind: &str, payload: &serde_json::Value| {
            (0, Record { key: "ada".into(), value: event(kind, payload) })
        };
        // The retraction of the third is read before its memory comes.
        let correct = json!({ "target": ids[1], "revision": 1, "kind": "craving",
            "event_time": "2026-01-02T03:00:00Z", "body": { "craving": "sugar", "intensity": 5, "note": "revised" } });
        let changed = vec![change("correct", &correct), change("retract", &json!({ "target": ids[2] }))];
        log.append(Topic::Events, changed).await.unwrap();
        let notes = vec![note(&ids[0], "kept"), note(&ids[1], "wrong"), note(&ids[2], "secret")];
        log.append(Topic::Memories, notes).await.unwrap();
        let expected = vec![("kept".to_owned(), 0), ("revised".to_owned(), 1)];
        for _ in 0..2 {
            let file = folder.path().join("position.json");
            let task = Task {
                log: Arc::clone(&log),
                recall: recall.clone(),
                labels: labels.clone(),
                partition: 0,
                file: file.clone(),
            };
            let (stop, stopping) = watch::channel(false);
            let running = tokio::spawn(task.run(stopping));
            for _ in 0..500 {
                let labelled = labels.position(0).await.unwrap();
                if load::<Position>(&file).unwrap().memories > 0 && labelled > 0 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            stop.send_replace(true);
            running.await.unwrap();
            assert_eq!(texts(&recall, &user).await, expected);
            assert!(load::<Position>(&file).unwrap() > Position::default());
            // The third is gone.
            let session = SessionContext::new();
            table.register_store(&session).await.unwrap();
            let rows = session.read_table(table.provider().await.unwrap()).unwrap();
            let labelled = rows.filter(col("kind").eq(lit("importance"))).unwrap().count().await.unwrap();
            assert_eq!(labelled, 2);
            // Once more from the start.
            std::fs::remove_file(&file).unwrap();
        }
    }
}
