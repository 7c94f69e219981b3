//! Keeps the index in step with what people upload and delete.
//!
//! One task follows the changes of [`Documents`] in order of their places. How far it is lies inside the index's folder,
//! so that an index that was moved away is filled again; a replay changes nothing.

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use crave_insight::documents::{Change, Document, Documents};
use crave_recall::{
    LIMITS, Memory, Recall, SourceKind,
    chunk::BYTES_ATTRIBUTE,
    document::{Passage, passages},
};
use crave_schemas::UserId;
use serde_json::json;
use tokio::sync::watch;

use super::{
    Node,
    position::{load, save},
};
use crate::home::Home;

/// Changes read at once.
const CHANGES: i64 = 16;
/// Passages written at once: small, so that questions do not wait long behind a book.
const BATCH: usize = 32;
/// Longest pause after a failure, and between two looks.
const PAUSE: Duration = Duration::from_secs(10);

impl Node {
    /// Starts to index documents, until the node stops.
    pub(crate) fn index_documents(&mut self, home: &Home, recall: &Recall, documents: &Documents) {
        let task = Indexer {
            documents: documents.clone(),
            recall: recall.clone(),
            file: home.memories().join("position-documents.json"),
        };
        self.tasks.spawn(task.run(self.stop.subscribe()));
    }
}

struct Indexer {
    documents: Documents,
    recall: Recall,
    file: PathBuf,
}

impl Indexer {
    async fn run(self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            let changed = self.documents.changed();
            match self.follow(&stop).await {
                // Something may have come in between: looked at again right away.
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(cause = ?error, "indexing documents failed; it is tried again");
                }
            }
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep(PAUSE) => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
        }
    }

    /// Follows the next changes; says whether there were any.
    async fn follow(&self, stop: &watch::Receiver<bool>) -> anyhow::Result<bool> {
        let mut position: i64 = load(&self.file)?;
        let changes = self.documents.after(position, CHANGES).await?;
        for change in &changes {
            if *stop.borrow() {
                break;
            }
            self.apply(change).await?;
            position = change.place;
            save(&self.file, &position)?;
        }
        Ok(!changes.is_empty())
    }

    async fn apply(&self, change: &Change) -> anyhow::Result<()> {
        let Some(document) = &change.document else {
            let id = change.id.to_string();
            self.recall.delete_source(&change.user, SourceKind::Document, &id, None).await?;
            return Ok(self.documents.forget(change).await?);
        };
        // Deleted meanwhile: the deletion follows at a later place.
        let Some(text) = self.documents.text(&change.user, change.id).await? else { return Ok(()) };
        let cut = tokio::task::spawn_blocking(move || {
            let passages = passages(&text);
            (text, passages)
        });
        let (text, passages) = cut.await.context("cutting a document")?;
        let memories: Vec<Memory> = (0..)
            .zip(&passages)
            .filter_map(|(n, passage)| memory(&change.user, document, &text, n, passage))
            .filter(|memory| memory.check().is_ok())
            .collect();
        for batch in memories.chunks(BATCH.min(LIMITS.upsert_memories_max)) {
            self.recall.upsert(batch.to_vec()).await?;
        }
        Ok(())
    }
}

/// A passage as it is remembered: with its document's name and its place, so that a citation can open the span.
fn memory(user: &UserId, document: &Document, text: &str, chunk: u32, passage: &Passage) -> Option<Memory> {
    let written: Option<DateTime<Utc>> = passage.written.map(|at| at.and_utc());
    // A clock that is ahead would make it a memory of the future.
    let at = written.map_or(document.date, |at| at.min(document.uploaded_at));
    let words = text.get(passage.bytes.clone())?;
    let mut memory = Memory::new(user.clone(), SourceKind::Document, document.id.to_string(), at, words);
    memory.chunk = chunk;
    memory.attributes.insert("name".to_owned(), json!(document.name));
    memory.attributes.insert(BYTES_ATTRIBUTE.to_owned(), json!([passage.bytes.start, passage.bytes.end]));
    Some(memory)
}
