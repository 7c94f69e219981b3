//! What people upload: originals and their text in an object store, what is known of them in SQLite.
//!
//! A document is durable before its upload is answered. Whoever indexes follows [`Documents::after`]: in order of their
//! places come the documents that are there and those that were deleted, so that passages follow both ways (RC-1). A
//! deletion takes effect at once; [`Documents::forget`] ends it when the passages are gone.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use crave_recall::document::{self, Format, Unreadable};
use crave_schemas::UserId;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::{ObjectStoreExt as _, PutPayload};
use serde::Serialize;
use sha2::{Digest, Sha256};
use sqlx::sqlite::{SqliteRow, SqliteSynchronous};
use sqlx::{Row as _, SqlitePool};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::documents::program::PdfProgram;
use crate::sqlite;

pub mod program;

/// Documents a person may keep.
pub const DOCUMENTS_MAX: i64 = 100;
/// Longest name, in characters.
const NAME_CHARS_MAX: usize = 200;

/// Why a document was not kept or given.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Too long, empty, or with control characters.
    #[error("must have 1 to {NAME_CHARS_MAX} characters and no control characters")]
    Name,
    /// Not a format of ours.
    #[error("is of no format that can be read; send .txt, .md, .pdf, or a chat exported as .txt or .json")]
    Format,
    /// It gives no text.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// [`DOCUMENTS_MAX`] are kept already.
    #[error("{DOCUMENTS_MAX} documents are kept already; delete one first")]
    Full,
    /// The store cannot be used.
    #[error("documents cannot be kept at present; check the disk")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<object_store::Error> for Error {
    fn from(error: object_store::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Store(error.into())
    }
}

/// A result of this module.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What is known of a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Document {
    /// Its id.
    pub id: Uuid,
    /// The name it was uploaded under.
    pub name: String,
    /// Its media type, as sent.
    pub media_type: String,
    /// Length of the original, in bytes.
    pub bytes: u64,
    /// Length of its text, in bytes; passages and citations count in these.
    pub text_bytes: u64,
    /// When what it tells happened, where its text does not say.
    pub date: DateTime<Utc>,
    /// When it was uploaded.
    pub uploaded_at: DateTime<Utc>,
}

/// A document as it is sent.
#[derive(Clone, Debug)]
pub struct NewDocument {
    /// Its name; the end tells the format.
    pub name: String,
    /// Its media type, where the sender tells it.
    pub media_type: Option<String>,
    /// When what it tells happened; the time of the upload when absent.
    pub date: Option<DateTime<Utc>>,
    /// The original.
    pub bytes: Vec<u8>,
}

/// A change in the order of places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its place; grows.
    pub place: i64,
    /// Whose it is.
    pub user: UserId,
    /// The document; `None`: it was deleted.
    pub document: Option<Document>,
    /// Its id.
    pub id: Uuid,
}

const SCHEMA: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS documents (
        place INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, user_id TEXT NOT NULL,
        name TEXT NOT NULL, media_type TEXT NOT NULL, sha256 TEXT NOT NULL, bytes INTEGER NOT NULL,
        text_bytes INTEGER NOT NULL, date TEXT NOT NULL, uploaded_at TEXT NOT NULL,
        deleted INTEGER NOT NULL DEFAULT 0) STRICT",
    "CREATE INDEX IF NOT EXISTS documents_of_user ON documents (user_id, place)",
];

/// The documents of everybody, each for themselves. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Documents {
    pool: SqlitePool,
    files: Arc<LocalFileSystem>,
    pdf: PdfProgram,
    changed: Arc<Notify>,
}

impl Documents {
    /// Opens `documents.sqlite` and the folder `files` in `folder`, making them when absent. PDFs are read by `pdf`.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub async fn open(folder: &Path, pdf: PdfProgram) -> Result<Self> {
        let files = folder.join("files");
        tokio::fs::create_dir_all(&files).await?;
        let database = folder.join("documents.sqlite");
        let pool = sqlite::open(&database, SqliteSynchronous::Full, 4, &SCHEMA).await?;
        let files = Arc::new(LocalFileSystem::new_with_prefix(&files)?);
        Ok(Self { pool, files, pdf, changed: Arc::new(Notify::new()) })
    }

    /// Keeps a document. The same bytes again give the document that is there.
    ///
    /// # Errors
    /// When it cannot be read, when there are too many, or when the store fails; then nothing is kept.
    pub async fn add(&self, user: &UserId, new: NewDocument, now: DateTime<Utc>) -> Result<Document> {
        let name = new.name.trim().to_owned();
        if !(1..=NAME_CHARS_MAX).contains(&name.chars().count()) || name.chars().any(char::is_control) {
            return Err(Error::Name);
        }
        let format = Format::of(&name, new.media_type.as_deref()).ok_or(Error::Format)?;
        let sha256 = hex::encode(Sha256::digest(&new.bytes));
        if let Some(known) = self.by_content(user, &sha256).await? {
            return Ok(known);
        }
        if self.count(user).await? >= DOCUMENTS_MAX {
            return Err(Error::Full);
        }
        let (bytes, text) = self.read(format, new.bytes).await?;
        let document = Document {
            id: Uuid::new_v4(),
            name,
            media_type: new.media_type.unwrap_or_else(|| "application/octet-stream".into()),
            bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            text_bytes: u64::try_from(text.len()).unwrap_or(u64::MAX),
            date: new.date.unwrap_or(now),
            uploaded_at: now,
        };
        self.put(user, document.id, "original", bytes).await?;
        self.put(user, document.id, "text", text.into_bytes()).await?;
        // Two uploads at a time: the count is taken once more where it is written.
        let kept = sqlx::query(
            "INSERT INTO documents (id, user_id, name, media_type, sha256, bytes, text_bytes, date, uploaded_at)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9
             WHERE (SELECT count(*) FROM documents WHERE user_id = ?2 AND deleted = 0) < ?10",
        )
        .bind(document.id.to_string())
        .bind(user.as_str())
        .bind(&document.name)
        .bind(&document.media_type)
        .bind(sha256)
        .bind(i64::try_from(document.bytes).unwrap_or(i64::MAX))
        .bind(i64::try_from(document.text_bytes).unwrap_or(i64::MAX))
        .bind(document.date.to_rfc3339())
        .bind(now.to_rfc3339())
        .bind(DOCUMENTS_MAX)
        .execute(&self.pool)
        .await?;
        if kept.rows_affected() == 0 {
            self.remove(user, document.id).await?;
            return Err(Error::Full);
        }
        self.changed.notify_waiters();
        Ok(document)
    }

    async fn read(&self, format: Format, bytes: Vec<u8>) -> Result<(Vec<u8>, String)> {
        if format == Format::Pdf {
            if bytes.len() > document::DOCUMENT_BYTES_MAX {
                return Err(Unreadable::TooLarge.into());
            }
            let text = self.pdf.text(&bytes).await?;
            return Ok((bytes, text));
        }
        let read = tokio::task::spawn_blocking(move || {
            let text = document::extract(format, &bytes);
            text.map(|text| (bytes, text))
        });
        Ok(read.await.map_err(io::Error::other)??)
    }

    /// The person's documents, in the order of their uploads.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list(&self, user: &UserId) -> Result<Vec<Document>> {
        let rows = sqlx::query("SELECT * FROM documents WHERE user_id = ? AND deleted = 0 ORDER BY place")
            .bind(user.as_str())
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(document_of).collect()
    }

    /// One document; `None` when it is unknown, deleted, or another person's.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn get(&self, user: &UserId, id: Uuid) -> Result<Option<Document>> {
        let row = sqlx::query("SELECT * FROM documents WHERE id = ? AND user_id = ? AND deleted = 0")
            .bind(id.to_string())
            .bind(user.as_str())
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(document_of).transpose()
    }

    /// The original; `None` as for [`Self::get`].
    ///
    /// # Errors
    /// When the store fails.
    pub async fn original(&self, user: &UserId, id: Uuid) -> Result<Option<Vec<u8>>> {
        self.file(user, id, "original").await
    }

    /// Its text; `None` as for [`Self::get`].
    ///
    /// # Errors
    /// When the store fails.
    pub async fn text(&self, user: &UserId, id: Uuid) -> Result<Option<String>> {
        let bytes = self.file(user, id, "text").await?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Deletes a document; says whether there was one.
    ///
    /// # Errors
    /// When the store fails; call it again.
    pub async fn delete(&self, user: &UserId, id: Uuid) -> Result<bool> {
        let mut transaction = self.pool.begin().await?;
        let done = sqlx::query("DELETE FROM documents WHERE id = ? AND user_id = ? AND deleted = 0")
            .bind(id.to_string())
            .bind(user.as_str())
            .execute(&mut *transaction)
            .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        // At a place of its own, so that who follows learns of it; nothing but the ids is kept.
        sqlx::query(
            "INSERT INTO documents (id, user_id, name, media_type, sha256, bytes, text_bytes, date, uploaded_at, deleted)
             VALUES (?, ?, '', '', '', 0, 0, '', '', 1)",
        )
        .bind(id.to_string())
        .bind(user.as_str())
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        self.remove(user, id).await?;
        self.changed.notify_waiters();
        Ok(true)
    }

    /// At most `limit` changes behind a place, in order.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn after(&self, place: i64, limit: i64) -> Result<Vec<Change>> {
        let rows = sqlx::query("SELECT * FROM documents WHERE place > ? ORDER BY place LIMIT ?")
            .bind(place)
            .bind(limit)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(change_of).collect()
    }

    /// Ends a deletion whose passages are gone.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn forget(&self, change: &Change) -> Result<()> {
        // Once more, in case the deletion was cut off between the row and the files.
        self.remove(&change.user, change.id).await?;
        sqlx::query("DELETE FROM documents WHERE id = ? AND deleted = 1")
            .bind(change.id.to_string())
            .execute(&self.pool)
            .await?;
        Ok(sqlite::empty_log(&self.pool).await?)
    }

    /// Leaves nothing of the person here (PR-1); says how many documents there were.
    ///
    /// # Errors
    /// When the store fails; call it again.
    pub async fn erase(&self, user: &UserId) -> Result<u64> {
        let folder = self.files.path_to_filesystem(&Key::from_iter([folder(user)]))?;
        match tokio::fs::remove_dir_all(&folder).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let done = sqlx::query("DELETE FROM documents WHERE user_id = ?").bind(user.as_str());
        let done = done.execute(&self.pool).await?.rows_affected();
        sqlite::empty_log(&self.pool).await?;
        Ok(done)
    }

    /// Waits until something changes; may return early.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    async fn count(&self, user: &UserId) -> Result<i64> {
        let row = sqlx::query("SELECT count(*) FROM documents WHERE user_id = ? AND deleted = 0")
            .bind(user.as_str())
            .fetch_one(&self.pool)
            .await?;
        Ok(row.try_get(0)?)
    }

    async fn by_content(&self, user: &UserId, sha256: &str) -> Result<Option<Document>> {
        let row = sqlx::query("SELECT * FROM documents WHERE user_id = ? AND sha256 = ? AND deleted = 0")
            .bind(user.as_str())
            .bind(sha256)
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(document_of).transpose()
    }

    async fn file(&self, user: &UserId, id: Uuid, what: &str) -> Result<Option<Vec<u8>>> {
        if self.get(user, id).await?.is_none() {
            return Ok(None);
        }
        Ok(Some(self.files.get(&key(user, id, what)).await?.bytes().await?.to_vec()))
    }

    async fn put(&self, user: &UserId, id: Uuid, what: &str, bytes: Vec<u8>) -> Result<()> {
        let key = key(user, id, what);
        self.files.put(&key, PutPayload::from(bytes)).await?;
        // The object store renames a local file into place, but does not sync it.
        let path = self.files.path_to_filesystem(&key)?;
        tokio::task::spawn_blocking(move || sync(&path)).await.map_err(io::Error::other)??;
        Ok(())
    }

    async fn remove(&self, user: &UserId, id: Uuid) -> Result<()> {
        for what in ["original", "text"] {
            match self.files.delete(&key(user, id, what)).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

fn sync(path: &Path) -> io::Result<()> {
    std::fs::File::open(path)?.sync_all()?;
    let folders = path.ancestors().skip(1).take(3).map(PathBuf::from);
    folders.into_iter().try_for_each(|folder| std::fs::File::open(folder)?.sync_all())
}

/// A person's folder is called by a hash of their id, which may hold what a path may not.
fn key(user: &UserId, id: Uuid, what: &str) -> Key {
    Key::from_iter([folder(user), id.to_string(), what.to_owned()])
}

fn folder(user: &UserId) -> String {
    hex::encode(&Sha256::digest(user.as_str().as_bytes())[..16])
}

fn document_of(row: &SqliteRow) -> Result<Document> {
    let time = |column: &str| -> Result<DateTime<Utc>> {
        let text: String = row.try_get(column)?;
        let time = DateTime::parse_from_rfc3339(&text).map_err(|e| Error::Store(e.into()))?;
        Ok(time.to_utc())
    };
    let size = |column: &str| -> Result<u64> {
        Ok(u64::try_from(row.try_get::<i64, _>(column)?).unwrap_or_default())
    };
    Ok(Document {
        id: id_of(row)?,
        name: row.try_get("name")?,
        media_type: row.try_get("media_type")?,
        bytes: size("bytes")?,
        text_bytes: size("text_bytes")?,
        date: time("date")?,
        uploaded_at: time("uploaded_at")?,
    })
}

fn id_of(row: &SqliteRow) -> Result<Uuid> {
    Uuid::parse_str(row.try_get("id")?).map_err(|e| Error::Store(e.into()))
}

fn change_of(row: &SqliteRow) -> Result<Change> {
    let user = UserId::new(row.try_get::<String, _>("user_id")?).map_err(|e| Error::Store(e.into()))?;
    let deleted: i64 = row.try_get("deleted")?;
    let document = if deleted == 0 { Some(document_of(row)?) } else { None };
    Ok(Change { place: row.try_get("place")?, user, document, id: id_of(row)? })
}

#[cfg(test)]
mod tests;
