//! Sessions: which rows a query can see, and how much it may use.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

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
    sql::{parser::DFParser, resolve::resolve_table_references},
};
use futures::StreamExt as _;
use tokio::{sync::Semaphore, task::JoinSet};

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
    reader: Arc<Reader>,
    bounds: Bounds,
    running: Arc<Semaphore>,
}

impl Lake {
    /// Reads `tables` within `bounds`.
    ///
    /// # Errors
    /// When the engine's runtime cannot be set up.
    pub fn new(tables: Arc<Tables>, bounds: Bounds) -> Result<Self, Error> {
        let pool = Arc::new(GreedyMemoryPool::new(bounds.memory_bytes_max));
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc().map_err(Error::sql)?;
        let reader = Arc::new(Reader { tables, rows_max: bounds.rows_max, runtime });
        Ok(Self { reader, bounds, running: Arc::new(Semaphore::new(bounds.concurrent_max)) })
    }

    /// Runs one read-only statement. `parameters` replace `$name` in the SQL; those it does not name are
    /// ignored. Dropping the future stops the query.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn query(
        &self,
        scope: &Scope,
        sql: &str,
        parameters: &[(&str, ScalarValue)],
    ) -> Result<Answer, Error> {
        let running = Arc::clone(&self.running).try_acquire_owned().map_err(|_| Error::Busy)?;
        if sql.len() > self.bounds.sql_bytes_max {
            return Err(Error::TooLong { bytes: sql.len(), max: self.bounds.sql_bytes_max });
        }
        let values = parameters
            .iter()
            .map(|(name, value)| ((*name).to_owned(), ScalarAndMetadata::new(value.clone(), None)))
            .collect();
        let (reader, scope, sql) = (Arc::clone(&self.reader), scope.clone(), sql.to_owned());
        // A task of its own: one step of a join may take longer than the limit, and the caller is answered
        // all the same. The permit goes with it, since it uses the machine until it stops.
        let mut task = JoinSet::new();
        task.spawn(async move {
            let _running = running;
            Box::pin(reader.answer(&scope, &sql, values)).await
        });
        let limit = self.bounds.time_max;
        match tokio::time::timeout(limit, task.join_next()).await {
            Ok(Some(Ok(answer))) => answer,
            Ok(stopped) => {
                tracing::error!(?stopped, "a query ended without an answer");
                Err(Error::Sql("the query failed inside; try it in another form".into()))
            }
            Err(_) => Err(Error::TimedOut(limit.as_secs())),
        }
    }
}

type Parameters = HashMap<String, ScalarAndMetadata>;

/// What every query of a lake shares.
#[derive(Debug)]
struct Reader {
    tables: Arc<Tables>,
    rows_max: usize,
    runtime: Arc<RuntimeEnv>,
}

impl Reader {
    async fn answer(&self, scope: &Scope, sql: &str, parameters: Parameters) -> Result<Answer, Error> {
        let reads = reads(sql);
        let session = self.session(scope, reads.as_ref()).await?;
        let frame = match plan(&session, sql).await {
            // A way to name a table that `reads` does not know: plan it with all there is.
            Err(Error::Sql(_)) if reads.is_some() => plan(&self.session(scope, None).await?, sql).await?,
            planned => planned?,
        };
        let frame = match parameters.is_empty() {
            true => frame,
            false => frame.with_param_values(ParamValues::Map(parameters)).map_err(Error::sql)?,
        };
        let mut stream = Box::pin(frame.execute_stream()).await.map_err(Error::sql)?;
        let (schema, mut batches, mut rows) = (stream.schema(), Vec::new(), 0);
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(Error::sql)?;
            let room = self.rows_max - rows;
            if batch.num_rows() > room {
                batches.push(batch.slice(0, room));
                return Ok(Answer { schema, batches, cut: true });
            }
            rows += batch.num_rows();
            batches.push(batch);
        }
        Ok(Answer { schema, batches, cut: false })
    }

    /// A session in which each table is a view of the scope's rows, with the lake's views over them: all, or
    /// those in `wanted`.
    async fn session(
        &self,
        scope: &Scope,
        wanted: Option<&BTreeSet<String>>,
    ) -> Result<SessionContext, Error> {
        let config = SessionConfig::new()
            .with_information_schema(true)
            .set_bool("datafusion.execution.parquet.schema_force_view_types", false)
            .set_bool("datafusion.sql_parser.map_string_types_to_utf8view", false);
        let session = SessionContext::new_with_config_rt(config, Arc::clone(&self.runtime));
        crave_udfs::register(&session);
        let tables = self.tables.all();
        for table in tables.iter().filter(|t| wanted.is_none_or(|wanted| wanted.contains(t.name()))) {
            table.register_store(&session).await?;
            let mut frame = session.read_table(table.provider().await?).map_err(Error::sql)?;
            if let Scope::User(user) = scope {
                frame = frame.filter(col("user_id").eq(lit(user.as_str()))).map_err(Error::sql)?;
            }
            session.register_table(table.name(), frame.into_view()).map_err(Error::sql)?;
        }
        named::register(&session, wanted).await?;
        Ok(session)
    }
}

/// The tables and views that a statement reads, and what those read, so that no other needs to be opened.
/// `None` when it does not say: it asks what tables there are, or does not parse.
fn reads(sql: &str) -> Option<BTreeSet<String>> {
    let statements = DFParser::parse_sql(sql).ok()?;
    let (references, _) = resolve_table_references(statements.front()?, true).ok()?;
    let plain = references.iter().all(|r| r.schema().is_none_or(|schema| schema == "public"));
    let names: BTreeSet<_> = references.iter().map(|r| r.table().to_owned()).collect();
    (plain && !names.is_empty()).then(|| named::with_inputs(names))
}

async fn plan(session: &SessionContext, sql: &str) -> Result<DataFrame, Error> {
    let read_only =
        SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    let plan = Box::pin(session.state().create_logical_plan(sql)).await.map_err(Error::sql)?;
    read_only.verify_plan(&plan).map_err(|_| Error::NotAQuery)?;
    session.execute_logical_plan(plan).await.map_err(Error::sql)
}
