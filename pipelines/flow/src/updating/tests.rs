//! The time to live, by a clock that the test moves.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use chrono::{DateTime, Duration};
use crave_schemas::{Clock, ManualClock};

use crate::Program;
use crate::operator::{Begin, Operator};
use crate::plan::run_steps;

struct Stage {
    program: Program,
    operator: Box<dyn Operator>,
    clock: Arc<ManualClock>,
}

impl Stage {
    async fn new(query: &str) -> Self {
        let sql = format!(
            "CREATE TABLE source (who TEXT, n BIGINT) WITH (connector = 'x', type = 'source');
             CREATE TABLE sink (a TEXT, b BIGINT) WITH (connector = 'x', type = 'sink', format = 'debezium_json');
             SET updating_ttl = INTERVAL '1 hour'; INSERT INTO sink {query}"
        );
        let program = Program::parse("job", &sql, &BTreeMap::new()).await.unwrap();
        let clock = Arc::new(ManualClock::at(DateTime::UNIX_EPOCH));
        let begin =
            Begin { watermark_ns: i64::MIN, late_rows: 0, clock: Arc::clone(&clock) as Arc<dyn Clock> };
        let operator = Arc::clone(&program.plan.stages[0].spec).start(begin).unwrap();
        Self { program, operator, clock }
    }

    async fn add(&mut self, input: usize, rows: &[(&str, i64)]) {
        let schema = Arc::clone(&self.program.sources().next().unwrap().physical);
        let who = rows.iter().map(|r| Some(r.0)).collect::<StringArray>();
        let n = Int64Array::from_iter_values(rows.iter().map(|r| r.1));
        let batch = RecordBatch::try_new(schema, vec![Arc::new(who), Arc::new(n)]).unwrap();
        let steps = &self.program.plan.stages[0].inputs[input][0].steps;
        if let Some(rows) = run_steps(steps, &batch).await.unwrap() {
            assert!(self.operator.update(input, &rows).unwrap().is_empty());
        }
    }

    /// (first column, last column, whether it comes), sorted.
    fn flush(&mut self) -> Vec<(String, Option<i64>, bool)> {
        let mut out = Vec::new();
        for batch in self.operator.flush().unwrap() {
            let text = batch.column(0).as_string::<i32>();
            let number = batch.column(batch.num_columns() - 2).as_primitive::<Int64Type>();
            let change = batch.column(batch.num_columns() - 1).as_primitive::<Int64Type>();
            for row in 0..batch.num_rows() {
                let number = number.iter().nth(row).unwrap();
                out.push((text.value(row).to_owned(), number, change.value(row) > 0));
            }
        }
        out.sort();
        out
    }

    fn minutes(&self, minutes: i64) {
        self.clock.advance(Duration::minutes(minutes));
    }

    fn held(&mut self) -> usize {
        self.operator.snapshot(true).unwrap().rows
    }
}

fn row(who: &str, n: i64, comes: bool) -> (String, Option<i64>, bool) {
    (who.to_owned(), Some(n), comes)
}

#[tokio::test]
async fn an_aggregate_forgets_keys_that_nobody_touches() {
    let mut stage = Stage::new("SELECT who, count(*) FROM source GROUP BY who").await;
    stage.add(0, &[("a", 0), ("b", 0), ("a", 0)]).await;
    assert_eq!(stage.flush(), [row("a", 2, true), row("b", 1, true)]);
    stage.minutes(40);
    stage.add(0, &[("a", 0)]).await;
    assert_eq!(stage.flush(), [row("a", 2, false), row("a", 3, true)]);
    stage.minutes(40);
    stage.add(0, &[("c", 0)]).await;
    assert_eq!(stage.flush(), [row("c", 1, true)]);
    assert_eq!(stage.held(), 2, "b is forgotten, a was touched");
    stage.add(0, &[("a", 0), ("b", 0)]).await;
    assert_eq!(stage.flush(), [row("a", 3, false), row("a", 4, true), row("b", 1, true)]);
}

#[tokio::test]
async fn a_join_forgets_a_key_when_neither_side_touches_it() {
    let query = "SELECT l.who, r.n FROM (SELECT who, n FROM source WHERE n < 10) l
                 LEFT JOIN (SELECT who, n FROM source WHERE n >= 10) r ON l.who = r.who";
    let mut stage = Stage::new(query).await;
    stage.add(0, &[("a", 1), ("b", 1)]).await;
    stage.add(1, &[("a", 10)]).await;
    assert_eq!(stage.flush(), [row("a", 10, true), ("b".to_owned(), None, true)]);
    stage.minutes(40);
    stage.add(1, &[("b", 11)]).await;
    assert_eq!(stage.flush(), [("b".to_owned(), None, false), row("b", 11, true)]);
    stage.minutes(40);
    stage.add(0, &[("c", 1)]).await;
    assert_eq!(stage.flush(), [("c".to_owned(), None, true)]);
    assert_eq!(stage.held(), 3, "both rows of b and the row of c");
    stage.add(0, &[("a", 2)]).await;
    stage.add(1, &[("b", 12)]).await;
    assert_eq!(stage.flush(), [("a".to_owned(), None, true), row("b", 12, true)]);
}
