//! Sessions: which rows a query can see, and how much it may use.

use std::{collections::HashMap, sync::Arc, time::Duration};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use crave_schemas::UserId;
use crave_tables::Tables;
use datafusion::{
    common::{ParamValues, ScalarValue, metadata::ScalarAndMetadata},
    execution::{
        context::SQLOptions,
        memory_pool::GreedyMemoryPool,
        runtime_env::{RuntimeEnv, RuntimeEnvBuilder},
    },
    logical_expr::{col, lit},
    prelude::{DataFrame, SessionConfig, SessionContext},
};
use futures::StreamExt as _;
use tokio::sync::Semaphore;

use crate::{Error, named};

/// Whose rows a session sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One person's.
    User(UserId),
    /// Everybody's: for the operator on the machine (`crave sql`), never for a request.
    Operator,
}

/// How much one query may use.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Longest SQL text.
    pub sql_bytes_max: usize,
    /// Rows in an answer; further rows are cut and the answer says so.
    pub rows_max: usize,
    /// Memory of sorts, joins and aggregates.
    pub memory_bytes_max: usize,
    /// Longest run.
    pub time_max: Duration,
    /// Queries at once.
    pub concurrent_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            sql_bytes_max: 64 * 1024,
            rows_max: 100_000,
            memory_bytes_max: 512 << 20,
            time_max: Duration::from_secs(30),
            concurrent_max: 8,
        }
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its columns.
    pub schema: SchemaRef,
    /// Its rows.
    pub batches: Vec<RecordBatch>,
    /// Whether rows beyond the bound were cut.
    pub cut: bool,
}

/// SQL over the tables.
#[derive(Debug)]
pub struct Lake {
    tables: Arc<Tables>,
    bounds: Bounds,
    runtime: Arc<RuntimeEnv>,
    running: Semaphore,
}

impl Lake {
    /// Reads `tables` within `bounds`.
    ///
    /// # Errors
    /// When the engine's runtime cannot be set up.
    pub fn new(tables: Arc<Tables>, bounds: Bounds) -> Result<Self, Error> {
        let pool = Arc::new(GreedyMemoryPool::new(bounds.memory_bytes_max));
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc().map_err(Error::sql)?;
        Ok(Self { tables, bounds, runtime, running: Semaphore::new(bounds.concurrent_max) })
    }

    /// Runs one read-only statement. `parameters` replace `$name` in the SQL.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn query(
        &self,
        scope: &Scope,
        sql: &str,
        parameters: &[(&str, ScalarValue)],
    ) -> Result<Answer, Error> {
        let _running = self.running.try_acquire().map_err(|_| Error::Busy)?;
        if sql.len() > self.bounds.sql_bytes_max {
            return Err(Error::TooLong { bytes: sql.len(), max: self.bounds.sql_bytes_max });
        }
        let run = async {
            let session = self.session(scope).await?;
            let frame = plan(&session, sql, parameters).await?;
            self.collect(frame).await
        };
        let limit = self.bounds.time_max;
        tokio::time::timeout(limit, Box::pin(run)).await.map_err(|_| Error::TimedOut(limit.as_secs()))?
    }

    async fn collect(&self, frame: DataFrame) -> Result<Answer, Error> {
        let mut stream = Box::pin(frame.execute_stream()).await.map_err(Error::sql)?;
        let (schema, mut batches, mut rows) = (stream.schema(), Vec::new(), 0);
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(Error::sql)?;
            let room = self.bounds.rows_max - rows;
            if batch.num_rows() > room {
                batches.push(batch.slice(0, room));
                return Ok(Answer { schema, batches, cut: true });
            }
            rows += batch.num_rows();
            batches.push(batch);
        }
        Ok(Answer { schema, batches, cut: false })
    }

    /// A session in which each table is a view of the scope's rows, with the lake's views over them.
    async fn session(&self, scope: &Scope) -> Result<SessionContext, Error> {
        let config = SessionConfig::new()
            .with_information_schema(true)
            .set_bool("datafusion.execution.parquet.schema_force_view_types", false)
            .set_bool("datafusion.sql_parser.map_string_types_to_utf8view", false);
        let session = SessionContext::new_with_config_rt(config, Arc::clone(&self.runtime));
        crave_udfs::register(&session);
        for table in self.tables.all() {
            table.register_store(&session).await?;
            let mut frame = session.read_table(table.provider().await?).map_err(Error::sql)?;
            if let Scope::User(user) = scope {
                frame = frame.filter(col("user_id").eq(lit(user.as_str()))).map_err(Error::sql)?;
            }
            session.register_table(table.name(), frame.into_view()).map_err(Error::sql)?;
        }
        named::register_views(&session).await?;
        Ok(session)
    }
}

async fn plan(
    session: &SessionContext,
    sql: &str,
    parameters: &[(&str, ScalarValue)],
) -> Result<DataFrame, Error> {
    let read_only =
        SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    let plan = Box::pin(session.state().create_logical_plan(sql)).await.map_err(Error::sql)?;
    read_only.verify_plan(&plan).map_err(|_| Error::NotAQuery)?;
    let frame = session.execute_logical_plan(plan).await.map_err(Error::sql)?;
    if parameters.is_empty() {
        return Ok(frame);
    }
    let values: HashMap<_, _> = parameters
        .iter()
        .map(|(name, value)| ((*name).to_owned(), ScalarAndMetadata::new(value.clone(), None)))
        .collect();
    frame.with_param_values(ParamValues::Map(values)).map_err(Error::sql)
}
