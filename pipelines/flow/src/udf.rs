//! Functions of the caller's own: what a program may call besides DataFusion's and the platform's.
//!
//! A function must give the same answer for the same arguments (`Volatility::Immutable`): rows are computed again
//! after a crash and by repairs, and must not change. Anything else is refused while planning.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::DataType;
use async_trait::async_trait;
use datafusion::common::{DataFusionError, Result, ScalarValue, internal_err};
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::async_udf::{AsyncScalarUDF, AsyncScalarUDFImpl};
use datafusion::logical_expr::{
    AggregateUDF, ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::prelude::SessionContext;
use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt, stream};

/// Functions by name, given to [`Program::parse_with`](crate::Program::parse_with). One that bears the name of another
/// takes its place.
#[derive(Clone, Debug, Default)]
pub struct Functions {
    scalars: Vec<Arc<ScalarUDF>>,
    aggregates: Vec<Arc<AggregateUDF>>,
}

impl Functions {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a function of a row.
    #[must_use]
    pub fn with_scalar(mut self, function: ScalarUDF) -> Self {
        self.scalars.push(Arc::new(function));
        self
    }

    /// Adds an aggregate. Its partial states are merged pane by pane and kept in checkpoints, so they must be whole:
    /// merging the states of two halves gives the state of the whole.
    #[must_use]
    pub fn with_aggregate(mut self, function: AggregateUDF) -> Self {
        self.aggregates.push(Arc::new(function));
        self
    }

    /// Adds a function that waits for something: a batch of rows at a time, or one by one ([`AsyncFunction`]).
    #[must_use]
    pub fn with_async(self, function: impl AsyncScalarUDFImpl + 'static) -> Self {
        self.with_scalar(AsyncScalarUDF::new(Arc::new(function)).into_scalar_udf())
    }

    pub(crate) fn register(&self, context: &SessionContext) -> Result<()> {
        let state = context.state_ref();
        let mut state = state.write();
        for function in &self.scalars {
            state.register_udf(Arc::clone(function))?;
        }
        for function in &self.aggregates {
            state.register_udaf(Arc::clone(function))?;
        }
        Ok(())
    }
}

type Call = Arc<dyn Fn(Vec<ScalarValue>) -> BoxFuture<'static, Result<ScalarValue>> + Send + Sync>;

/// A function that is called once a row and waits, for instance for a service: several rows at a time, answers in the
/// order of the rows.
///
/// A batch leaves once all its rows are answered, so nothing is under way when a checkpoint is taken, and a call that
/// a crash cut off is made again. A call that fails, or takes longer than [`Self::timeout`], ends the pipeline, which
/// starts again from its last checkpoint; a function that would rather give NULL returns it.
#[derive(Clone)]
pub struct AsyncFunction {
    name: String,
    signature: Signature,
    returns: DataType,
    in_flight: usize,
    timeout: Duration,
    call: Call,
}

impl AsyncFunction {
    /// `name(arguments) -> returns`; at most 16 calls at a time, each at most 10 s long. NULLs are passed on to `call`.
    pub fn new<F>(
        name: &str,
        arguments: Vec<DataType>,
        returns: DataType,
        call: impl Fn(Vec<ScalarValue>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<ScalarValue>> + Send + 'static,
    {
        Self {
            name: name.to_owned(),
            signature: Signature::exact(arguments, Volatility::Immutable),
            returns,
            in_flight: 16,
            timeout: Duration::from_secs(10),
            call: Arc::new(move |row| Box::pin(call(row))),
        }
    }

    /// How many calls a task makes at a time, at least one.
    #[must_use]
    pub fn in_flight(mut self, calls: usize) -> Self {
        self.in_flight = calls.max(1);
        self
    }

    /// How long one call may take.
    #[must_use]
    pub const fn timeout(mut self, longest: Duration) -> Self {
        self.timeout = longest;
        self
    }

    async fn answer(&self, row: Vec<ScalarValue>) -> Result<ScalarValue> {
        match tokio::time::timeout(self.timeout, (self.call)(row)).await {
            Ok(Ok(value)) => value.cast_to(&self.returns),
            Ok(Err(error)) => Err(error.context(format!("{}() failed", self.name))),
            Err(_) => Err(DataFusionError::Execution(format!(
                "{}() has not answered within {:?}",
                self.name, self.timeout
            ))),
        }
    }
}

impl fmt::Debug for AsyncFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncFunction").field("name", &self.name).finish_non_exhaustive()
    }
}

impl PartialEq for AsyncFunction {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && Arc::ptr_eq(&self.call, &other.call)
    }
}

impl Eq for AsyncFunction {}

impl Hash for AsyncFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for AsyncFunction {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.returns.clone())
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("{}() is called with await only", self.name)
    }
}

#[async_trait]
impl AsyncScalarUDFImpl for AsyncFunction {
    async fn invoke_async_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns = ColumnarValue::values_to_arrays(&args.args)?;
        let row =
            |at: usize| columns.iter().map(|c| ScalarValue::try_from_array(c, at)).collect::<Result<_>>();
        // With constants only, the arrays have one row: so has the call.
        let rows = columns.first().map_or(args.number_rows, |c| c.len());
        let answers = stream::iter((0..rows).map(row))
            .map(|row| async { self.answer(row?).await })
            .buffered(self.in_flight)
            .try_collect::<Vec<_>>()
            .await?;
        let answers = ScalarValue::iter_to_array(answers)?;
        if rows == args.number_rows {
            return Ok(ColumnarValue::Array(answers));
        }
        ColumnarValue::Scalar(ScalarValue::try_from_array(&answers, 0)?)
            .into_array(args.number_rows)
            .map(ColumnarValue::Array)
    }
}
