//! How databases about people are opened: written ahead, and what is deleted is overwritten (PR-1).

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, SqliteConnection, SqlitePool};

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

/// Deletes of a person's rows of `table`, which has a `user_id` and a growing `place`, all but the newest `most`.
///
/// # Errors
/// When the database fails.
pub(crate) async fn keep_newest(
    connection: &mut SqliteConnection,
    table: &'static str,
    user: &str,
    most: i64,
) -> sqlx::Result<()> {
    let sql = format!(
        "DELETE FROM {table} WHERE user_id = ?1 AND place <=
            (SELECT place FROM {table} WHERE user_id = ?1 ORDER BY place DESC LIMIT 1 OFFSET ?2)"
    );
    sqlx::query(AssertSqlSafe(sql)).bind(user).bind(most).execute(connection).await?;
    Ok(())
}

/// Empties the log beside the file, which holds what was written until then.
///
/// # Errors
/// When the database fails.
pub async fn empty_log(pool: &SqlitePool) -> sqlx::Result<()> {
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(pool).await?;
    Ok(())
}
