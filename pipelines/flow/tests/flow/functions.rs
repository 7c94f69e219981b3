//! Functions of the caller's own, in every place that a query has for them: through a crash, at another parallelism,
//! and as a batch.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use crave_flow::{AsyncFunction, CheckpointStore, Connectors, Functions, Pipeline, Program};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::datasource::MemTable;
use datafusion::logical_expr::{Accumulator, ColumnarValue, Volatility, create_udaf, create_udf};
use datafusion::prelude::SessionContext;

use crate::support::memory::Memory;
use crate::support::{assert_same, json_rows, options};

const SOURCE: &str = "
CREATE TABLE source (ts TIMESTAMP NOT NULL, who TEXT, n BIGINT, twice BIGINT GENERATED ALWAYS AS (twice(n)) STORED,
  WATERMARK FOR ts AS ts - INTERVAL '1 minute') WITH (connector = 'memory', type = 'source');";

/// (columns of the sink, query): a scalar, an aggregate, and functions that wait, of rows and of groups.
const QUERIES: &[(&str, &str)] = &[
    ("a BIGINT, b BIGINT", "SELECT twice(n), twice FROM source WHERE twice(n) > 4"),
    (
        "who TEXT, mean DOUBLE",
        "SELECT who, geometric_mean(n) FROM source GROUP BY hop(INTERVAL '5 seconds', INTERVAL '20 seconds'), who",
    ),
    (
        "who TEXT, mean DOUBLE",
        "SELECT who, geometric_mean(n) FROM source GROUP BY session(INTERVAL '3 seconds'), who",
    ),
    ("who TEXT, greeting TEXT", "SELECT who, greet(who, n) FROM source WHERE greet(who, n) <> 'hello b 3'"),
    // In an argument of one, of an aggregate, as a key, after a window, and twice the same.
    ("greeting TEXT", "SELECT greet(greet(who, 1), twice(n)) FROM source"),
    (
        "greeting TEXT, rows BIGINT, first TEXT, last TEXT",
        "SELECT greet(who, 0), count(*), min(greet(who, n)), greet(max(greet(who, n)), 9) FROM source
         GROUP BY tumble(INTERVAL '10 seconds'), greet(who, 0)",
    ),
    (
        "greeting TEXT, place BIGINT",
        "SELECT greet(who, rows), place FROM (
           SELECT who, rows, row_number() OVER (PARTITION BY window ORDER BY greet(who, rows) DESC NULLS LAST) AS place
           FROM (SELECT tumble(INTERVAL '10 seconds') AS window, who, count(*) AS rows FROM source GROUP BY window, who))
         WHERE place < 3",
    ),
    (
        "greeting TEXT, rows BIGINT",
        "SELECT greet(a.greeting, b.rows), a.rows FROM
           (SELECT tumble(INTERVAL '10 seconds') AS window, greet(who, 5) AS greeting, count(*) AS rows
            FROM source GROUP BY window, greeting) a
         JOIN (SELECT tumble(INTERVAL '10 seconds') AS window, greet(who, 5) AS greeting, count(n) AS rows
            FROM source WHERE greet(who, n) IS NOT NULL GROUP BY window, greeting) b
         ON a.window = b.window AND a.greeting = b.greeting",
    ),
];

fn functions(calls: &Arc<AtomicUsize>) -> Functions {
    let twice = |args: &[ColumnarValue]| {
        let n = ColumnarValue::values_to_arrays(args)?;
        let twice: Int64Array = n[0].as_primitive::<Int64Type>().unary(|n| n * 2);
        Ok(ColumnarValue::Array(Arc::new(twice)))
    };
    let twice =
        create_udf("twice", vec![DataType::Int64], DataType::Int64, Volatility::Immutable, Arc::new(twice));
    let mean = create_udaf(
        "geometric_mean",
        vec![DataType::Int64],
        Arc::new(DataType::Float64),
        Volatility::Immutable,
        Arc::new(|_| Ok(Box::<GeometricMean>::default())),
        Arc::new(vec![DataType::Float64, DataType::Int64]),
    );
    let calls = Arc::clone(calls);
    let greet = AsyncFunction::new(
        "greet",
        vec![DataType::Utf8, DataType::Int64],
        DataType::Utf8,
        move |row: Vec<ScalarValue>| {
            let calls = Arc::clone(&calls);
            async move {
                calls.fetch_add(1, Ordering::SeqCst);
                let (ScalarValue::Utf8(who), ScalarValue::Int64(n)) = (&row[0], &row[1]) else {
                    return Err(DataFusionError::Execution(format!("greet({row:?})")));
                };
                // Answers come back in any order.
                let pause = n.unwrap_or_default().unsigned_abs() * 37 % 3;
                tokio::time::sleep(Duration::from_millis(pause)).await;
                let greeting = who.as_ref().map(|who| format!("hello {who} {}", n.unwrap_or(-1)));
                Ok(ScalarValue::Utf8(greeting))
            }
        },
    );
    Functions::new().with_scalar(twice).with_aggregate(mean).with_async(greet.in_flight(4))
}

/// The exponential of the mean logarithm.
#[derive(Debug, Default)]
struct GeometricMean {
    logs: f64,
    count: i64,
}

impl Accumulator for GeometricMean {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for n in values[0].as_primitive::<Int64Type>().iter().flatten() {
            #[allow(clippy::cast_precision_loss, reason = "small numbers")]
            let log = (n as f64 + 1.0).ln();
            self.logs += log;
            self.count += 1;
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        #[allow(clippy::cast_precision_loss, reason = "small numbers")]
        let mean = (self.logs / self.count as f64).exp();
        Ok(ScalarValue::Float64((self.count > 0).then_some(mean)))
    }

    fn size(&self) -> usize {
        size_of::<Self>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::from(self.logs), ScalarValue::from(self.count)])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.logs += states[0].as_primitive::<Float64Type>().iter().flatten().sum::<f64>();
        self.count += states[1].as_primitive::<Int64Type>().iter().flatten().sum::<i64>();
        Ok(())
    }
}

async fn program((columns, query): (&str, &str), functions: &Functions) -> crave_flow::Result<Program> {
    let sql = format!(
        "{SOURCE} CREATE TABLE sink ({columns}) WITH (connector = 'memory', type = 'sink'); INSERT INTO sink {query};"
    );
    Program::parse_with("job", &sql, &BTreeMap::new(), functions).await
}

fn rows(program: &Program, from: i64, count: i64) -> RecordBatch {
    let at = TimestampNanosecondArray::from_iter_values((from..from + count).map(|i| i * 1_700_000_000));
    let who = (from..from + count).map(|i| (i % 7 != 0).then(|| ["a", "b", "c"][(i % 3) as usize]));
    let n = (from..from + count).map(|i| (i % 5 != 0).then_some(i % 4));
    let columns: Vec<ArrayRef> =
        vec![Arc::new(at), Arc::new(who.collect::<StringArray>()), Arc::new(n.collect::<Int64Array>())];
    RecordBatch::try_new(program.sources().next().unwrap().physical.clone(), columns).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn own_functions_give_the_rows_of_the_batch_through_a_restart() {
    let calls = Arc::new(AtomicUsize::new(0));
    let functions = functions(&calls);
    for query in QUERIES {
        let first = program(*query, &functions).await.unwrap();
        let partition = |p: i64| (0..10).map(|b| rows(&first, p * 3 + b * 8, 8)).collect::<Vec<_>>();
        let partitions = vec![partition(0), partition(1)];
        let memory = Memory::new(partitions.clone());
        let connectors = Connectors::new().with("memory", Arc::new(memory.clone()));
        let folder = tempfile::tempdir().unwrap();
        let mut stop = options(2);
        stop.checkpoint_rows = Some(20);
        stop.stop_at_first_checkpoint = true;
        for options in [stop, options(3)] {
            let program = program(*query, &functions).await.unwrap();
            let store = CheckpointStore::local(folder.path()).unwrap();
            let handle = Pipeline::start(vec![program], &connectors, store, None, options).await.unwrap();
            handle.join().await.unwrap();
        }
        let context = SessionContext::new();
        let table = MemTable::try_new(first.sources().next().unwrap().physical.clone(), partitions).unwrap();
        context.register_table("source", Arc::new(table)).unwrap();
        let (_, frame) = first.batch(&context).await.unwrap().remove(0);
        let expected = json_rows(&frame.collect().await.unwrap());
        assert!(expected.len() > 5, "{}", query.1);
        assert_same(query.1, &memory.rows("job", "sink"), &expected);
    }
    assert!(calls.load(Ordering::SeqCst) > 0);
}

/// A function that gives `answer` for every row.
async fn fails_with(function: AsyncFunction) -> String {
    let functions = Functions::new().with_async(function);
    let source = SOURCE.replace(", twice BIGINT GENERATED ALWAYS AS (twice(n)) STORED", "");
    let sql = format!(
        "{source} CREATE TABLE sink (a BIGINT) WITH (connector = 'memory', type = 'sink');
         INSERT INTO sink SELECT ask(n) FROM source"
    );
    let program = Program::parse_with("job", &sql, &BTreeMap::new(), &functions).await.unwrap();
    let memory = Memory::new(vec![vec![rows(&program, 0, 3)]]);
    let connectors = Connectors::new().with("memory", Arc::new(memory));
    let folder = tempfile::tempdir().unwrap();
    let store = CheckpointStore::local(folder.path()).unwrap();
    let handle = Pipeline::start(vec![program], &connectors, store, None, options(1)).await.unwrap();
    let error = handle.join().await.unwrap_err();
    format!("{error}: {:?}", std::error::Error::source(&error).map(ToString::to_string))
}

#[tokio::test]
async fn a_call_that_fails_or_never_answers_ends_the_job_with_its_name() {
    let ask = |answer: fn() -> Result<ScalarValue>| {
        AsyncFunction::new("ask", vec![DataType::Int64], DataType::Int64, move |_| async move { answer() })
    };
    let broken = fails_with(ask(|| Err(DataFusionError::Execution("the service is closed".into())))).await;
    assert!(broken.contains("ask() failed") && broken.contains("the service is closed"), "{broken}");
    let wrong = fails_with(ask(|| Ok(ScalarValue::from("no number")))).await;
    assert!(wrong.contains("no number"), "{wrong}");
    let silent =
        AsyncFunction::new("ask", vec![DataType::Int64], DataType::Int64, |_| std::future::pending());
    let silent = fails_with(silent.timeout(Duration::from_millis(20))).await;
    assert!(silent.contains("ask() has not answered within 20ms"), "{silent}");
}

#[tokio::test]
async fn what_cannot_wait_is_refused() {
    let functions = functions(&Arc::default());
    let join = "SELECT a.who FROM source a JOIN source b ON a.n = b.n AND greet(a.who, b.n) = 'x'";
    let columns = "who TEXT) WITH (connector = 'memory', format = 'debezium_json', type = 'sink'); --";
    let sql = format!("{SOURCE} CREATE TABLE sink ({columns}\n INSERT INTO sink {join};");
    let refused = Program::parse_with("job", &sql, &BTreeMap::new(), &functions).await.unwrap_err();
    assert!(refused.to_string().contains("a function that waits"), "{refused}");
    let generated = SOURCE.replace("(twice(n))", "(greet(who, n))").replace("twice BIGINT", "greeting TEXT");
    let sql = format!(
        "{generated} CREATE TABLE sink (who TEXT) WITH (connector = 'memory', type = 'sink'); INSERT INTO sink SELECT who FROM source"
    );
    let refused = Program::parse_with("job", &sql, &BTreeMap::new(), &functions).await.unwrap_err();
    assert!(refused.to_string().contains("call it in the query"), "{refused}");
    let clock =
        AsyncFunction::new("clock", vec![], DataType::Int64, |_| async { Ok(ScalarValue::from(1_i64)) });
    let constant =
        program(("a BIGINT", "SELECT clock() + n FROM source"), &functions.with_async(clock)).await;
    assert!(constant.is_ok(), "{constant:?}");
}
