//! How databases about people are opened: written ahead, and what is deleted is overwritten (PR-1).

use std::path::Path;

use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

/// Opens a database with at most `connections`, creating it when absent, and runs the statements of its schema.
///
/// # Errors
/// When the file cannot be opened, or a statement fails.
pub async fn open(
    path: &Path,
    synchronous: SqliteSynchronous,
    connections: u32,
    schema: &[&'static str],
) -> sqlx::Result<SqlitePool> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .pragma("secure_delete", "ON")
        .synchronous(synchronous);
    let pool = SqlitePoolOptions::new().max_connections(connections).connect_with(options).await?;
    for statement in schema {
        sqlx::query(*statement).execute(&pool).await?;
    }
    Ok(pool)
}

/// Empties the log beside the file, which holds what was written until then.
///
/// # Errors
/// When the database fails.
pub async fn empty_log(pool: &SqlitePool) -> sqlx::Result<()> {
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(pool).await?;
    Ok(())
}
