//! Sessions: which rows a query can see, and how much it may use.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use crave_flow::{CheckpointStore, PipelineView};
use crave_schemas::UserId;
use crave_tables::Tables;
use datafusion::{
    catalog::{MemorySchemaProvider, SchemaProvider as _, TableProvider},
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
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
};

use crate::{Error, live, named, system};

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

/// What there is of the streaming engine where a lake is read.
#[derive(Clone, Debug, Default)]
pub struct Engine {
    /// The jobs, where they run in this process: for `live.*`.
    pub jobs: Option<watch::Receiver<Option<PipelineView>>>,
    /// Their checkpoints: for `system.*`, which only the operator sees.
    pub checkpoints: Option<CheckpointStore>,
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
        Self::beside(tables, bounds, Engine::default())
    }

    /// The same beside the streaming engine.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn beside(tables: Arc<Tables>, bounds: Bounds, engine: Engine) -> Result<Self, Error> {
        let pool = Arc::new(GreedyMemoryPool::new(bounds.memory_bytes_max));
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc().map_err(Error::sql)?;
        let reader = Arc::new(Reader { tables, rows_max: bounds.rows_max, runtime, engine });
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
    engine: Engine,
}

impl Reader {
    async fn answer(&self, scope: &Scope, sql: &str, parameters: Parameters) -> Result<Answer, Error> {
        let reads = reads(sql);
        if reads.as_ref().is_some_and(|reads| !reads.live.is_empty()) && self.engine.jobs.is_none() {
            return Err(Error::NotLive("ask the process that runs `flow`"));
        }
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
    async fn session(&self, scope: &Scope, reads: Option<&Reads>) -> Result<SessionContext, Error> {
        let wanted = reads.map(|reads| &reads.tables);
        let config = SessionConfig::new()
            .with_information_schema(true)
            .set_bool("datafusion.execution.parquet.schema_force_view_types", false)
            .set_bool("datafusion.sql_parser.map_string_types_to_utf8view", false);
        let session = SessionContext::new_with_config_rt(config, Arc::clone(&self.runtime));
        crave_udfs::register(&session);
        let tables = self.tables.all();
        for table in tables.iter().filter(|t| wanted.is_none_or(|wanted| wanted.contains(t.name()))) {
            table.register_store(&session).await?;
            let view = seen_by(scope, &session, table.provider().await?)?;
            session.register_table(table.name(), view).map_err(Error::sql)?;
        }
        named::register(&session, wanted).await?;
        self.register_engine(scope, &session, reads.map(|reads| &reads.live))?;
        Ok(session)
    }

    /// Registers `live.*` (all, or those in `wanted`) and, for the operator, `system.*`.
    fn register_engine(
        &self,
        scope: &Scope,
        session: &SessionContext,
        wanted: Option<&BTreeSet<String>>,
    ) -> Result<(), Error> {
        let catalog = session.catalog("datafusion").ok_or_else(|| Error::Sql("no catalog".into()))?;
        if let Some(jobs) = self.engine.jobs.as_ref().and_then(|jobs| jobs.borrow().clone()) {
            let tables = Arc::new(MemorySchemaProvider::new());
            for (name, table) in live::providers(&jobs, &self.tables, wanted) {
                tables.register_table(name, seen_by(scope, session, table)?).map_err(Error::sql)?;
            }
            catalog.register_schema(live::SCHEMA, tables).map_err(Error::sql)?;
        }
        if let (Scope::Operator, Some(checkpoints)) = (scope, &self.engine.checkpoints) {
            let tables = Arc::new(MemorySchemaProvider::new());
            let late = Arc::new(system::LateRows(checkpoints.clone()));
            tables.register_table("late_rows".into(), late).map_err(Error::sql)?;
            catalog.register_schema(system::SCHEMA, tables).map_err(Error::sql)?;
        }
        Ok(())
    }
}

/// The rows of a table that a scope sees: the only way from a table into a session (TN-1).
fn seen_by(
    scope: &Scope,
    session: &SessionContext,
    table: Arc<dyn TableProvider>,
) -> Result<Arc<dyn TableProvider>, Error> {
    let mut frame = session.read_table(table).map_err(Error::sql)?;
    if let Scope::User(user) = scope {
        frame = frame.filter(col("user_id").eq(lit(user.as_str()))).map_err(Error::sql)?;
    }
    Ok(frame.into_view())
}

/// What a statement reads.
#[derive(Debug, Default)]
struct Reads {
    /// Tables and views.
    tables: BTreeSet<String>,
    /// Tables of open windows.
    live: BTreeSet<String>,
}

/// Whether a statement reads rows of open windows, which only the process that runs the streaming jobs has.
#[must_use]
pub fn reads_live(sql: &str) -> bool {
    reads(sql).is_some_and(|reads| !reads.live.is_empty())
}

/// The tables and views that a statement reads, and what those read, so that no other needs to be opened.
/// `None` when it does not say: it asks what tables there are, or does not parse.
fn reads(sql: &str) -> Option<Reads> {
    let statements = DFParser::parse_sql(sql).ok()?;
    let (references, _) = resolve_table_references(statements.front()?, true).ok()?;
    let mut reads = Reads::default();
    for reference in &references {
        let name = reference.table().to_owned();
        match reference.schema().unwrap_or("public") {
            "public" => reads.tables.insert(name),
            live::SCHEMA => reads.live.insert(name),
            system::SCHEMA => true,
            _ => return None,
        };
    }
    reads.tables = named::with_inputs(reads.tables);
    (!references.is_empty()).then_some(reads)
}

async fn plan(session: &SessionContext, sql: &str) -> Result<DataFrame, Error> {
    let read_only =
        SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    let plan = Box::pin(session.state().create_logical_plan(sql)).await.map_err(Error::sql)?;
    read_only.verify_plan(&plan).map_err(|_| Error::NotAQuery)?;
    session.execute_logical_plan(plan).await.map_err(Error::sql)
}
