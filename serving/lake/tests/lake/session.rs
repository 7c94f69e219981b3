//! Whose rows a query sees, and how much it may use, over Delta tables on disk.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arrow::{
    array::{BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array},
    datatypes::DataType,
};
use crave_flow::Program;
use crave_lake::{Bounds, Error, Kind, Lake, Query, Scope, to_json_rows};
use crave_schemas::{UserId, note_labels_schema};
use crave_tables::{Table, Tables};
use datafusion::{
    common::ScalarValue,
    logical_expr::{col, lit},
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A row of the table: columns that a test names, the others NULL, 0 or false.
fn filled(table: &Table, rows: usize, named: &[(&str, Vec<String>)]) -> RecordBatch {
    let columns = table.schema().fields().iter().map(|field| {
        let texts = named.iter().find(|(name, _)| name == field.name()).map(|(_, values)| values.clone());
        let column: arrow::array::ArrayRef = match (texts, field.data_type()) {
            (Some(texts), _) => Arc::new(StringArray::from(texts)),
            (None, _) if field.is_nullable() => new_null_array(field.data_type(), rows),
            (None, DataType::Timestamp(..)) => {
                let at = crate::support::us("2026-11-01T12:00:00Z");
                Arc::new(
                    TimestampMicrosecondArray::from_iter_values((0..rows as i64).map(|i| at + i))
                        .with_timezone("UTC"),
                )
            }
            (None, DataType::Boolean) => Arc::new(BooleanArray::from(vec![true; rows])),
            (None, DataType::Int64) => Arc::new(Int64Array::from(vec![0; rows])),
            (None, _) => Arc::new(StringArray::from(vec!["x"; rows])),
        };
        arrow::compute::cast(&column, field.data_type()).unwrap()
    });
    RecordBatch::try_new(Arc::clone(table.schema()), columns.collect()).unwrap()
}

async fn open(tables: &Tables, name: &str, sql: &str) -> Arc<Table> {
    let variables = BTreeMap::from([("lake".to_owned(), "/nowhere".to_owned())]);
    let program = Program::parse(name, sql, &variables).await.unwrap();
    tables.open(name, &program.outputs()[0].table.schema, false).await.unwrap()
}

/// Two cravings of ann and one of bob.
async fn home(bounds: Bounds) -> (TempDir, Lake) {
    let folder = tempfile::tempdir().unwrap();
    let tables = Tables::new(folder.path());
    open(&tables, "events", include_str!("../../../../sql/jobs/events.sql")).await;
    open(&tables, "corrections", include_str!("../../../../sql/jobs/corrections.sql")).await;
    open(&tables, "daily_parts", include_str!("../../../../sql/jobs/daily_parts.sql")).await;
    tables.open_kept("note_labels", &note_labels_schema()).await.unwrap();
    let cravings = open(&tables, "cravings", include_str!("../../../../sql/jobs/cravings.sql")).await;
    let text = |values: [&str; 3]| values.map(str::to_owned).to_vec();
    let named = [
        ("event_id", text(["a1", "a2", "b1"])),
        ("user_id", text(["ann", "ann", "bob"])),
        ("local_date", text(["2026-11-01"; 3])),
        ("day_part", text(["afternoon"; 3])),
        ("craving", text(["sugar", "sugar", "alcohol"])),
    ];
    let rows = filled(&cravings, 3, &named);
    cravings.replace(col("user_id").not_eq(lit("")), vec![rows]).await.unwrap();
    let lake = Lake::new(Arc::new(tables), bounds).unwrap();
    (folder, lake)
}

fn user(name: &str) -> Scope {
    Scope::User(UserId::new(name).unwrap())
}

async fn ask(lake: &Lake, scope: &Scope, sql: &str) -> Result<Value, Error> {
    let answer = lake.query(scope, sql, &[]).await?;
    Ok(serde_json::from_slice(&to_json_rows(&answer.batches).unwrap()).unwrap())
}

#[tokio::test]
async fn a_person_sees_their_own_rows_whatever_they_ask() {
    let (_folder, lake) = home(Bounds::default()).await;
    let (ann, bob) = (user("ann"), user("bob"));
    let table = [
        "SELECT count(*) AS n FROM cravings",
        "SELECT count(*) AS n FROM public.cravings",
        "SELECT count(*) AS n FROM datafusion.public.cravings",
        "SELECT count(*) AS n FROM \"cravings\" WHERE user_id = 'bob' OR true",
        "WITH all_of_them AS (SELECT * FROM cravings) SELECT count(*) AS n FROM all_of_them",
        "SELECT (SELECT count(*) FROM cravings) AS n",
        "SELECT sum(n) AS n FROM daily_now",
    ];
    for sql in table {
        assert_eq!(ask(&lake, &ann, sql).await.unwrap(), json!([{ "n": 2 }]), "{sql}");
        assert_eq!(ask(&lake, &bob, sql).await.unwrap(), json!([{ "n": 1 }]), "{sql}");
        assert_eq!(ask(&lake, &Scope::Operator, sql).await.unwrap(), json!([{ "n": 3 }]), "{sql}");
    }
    let shown = ask(
        &lake,
        &ann,
        "SELECT table_name AS t FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1",
    )
    .await
    .unwrap();
    let names: Vec<_> = shown.as_array().unwrap().iter().map(|row| row["t"].as_str().unwrap()).collect();
    let expected = [
        "corrections",
        "craving_hrv",
        "cravings",
        "daily",
        "daily_now",
        "daily_parts",
        "events",
        "events_current",
        "features",
        "note_labels",
        "note_labels_current",
        "trends",
    ];
    assert_eq!(names, expected);
    for sql in [
        "SHOW TABLES",
        "DESCRIBE daily_now",
        "EXPLAIN SELECT * FROM trends",
        "SELECT 1",
        "SHOW COLUMNS FROM cravings",
    ] {
        let answered = ask(&lake, &ann, sql).await;
        assert!(answered.is_ok(), "{sql}: {answered:?}");
    }
}

#[tokio::test]
async fn only_queries_are_answered() {
    let (folder, lake) = home(Bounds::default()).await;
    let out = folder.path().join("out.csv");
    let table = [
        "DELETE FROM cravings".to_owned(),
        "INSERT INTO cravings SELECT * FROM cravings".to_owned(),
        "UPDATE cravings SET note = ''".to_owned(),
        "DROP TABLE cravings".to_owned(),
        "CREATE TABLE t AS SELECT * FROM cravings".to_owned(),
        "CREATE VIEW v AS SELECT * FROM cravings".to_owned(),
        "SET datafusion.execution.batch_size = 1".to_owned(),
        format!("COPY cravings TO '{}'", out.display()),
        format!(
            "CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION '{}'",
            folder.path().join("cravings").display()
        ),
        format!("SELECT * FROM '{}'", folder.path().join("cravings").display()),
        "SELECT 1; SELECT 2".to_owned(),
        "SELEC 1".to_owned(),
        "SELECT * FROM nothing".to_owned(),
        String::new(),
    ];
    for sql in table {
        let error = ask(&lake, &user("ann"), &sql).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid, "{sql}: {error}");
    }
    assert!(!out.exists());
    assert_eq!(
        ask(&lake, &Scope::Operator, "SELECT count(*) AS n FROM cravings").await.unwrap(),
        json!([{ "n": 3 }])
    );
}

#[tokio::test]
async fn bounds_hold() {
    let counting = "SELECT value FROM generate_series(1, 1000000)";
    let (_folder, lake) = home(Bounds { rows_max: 1_000, sql_bytes_max: 100, ..Bounds::default() }).await;
    let answer = lake.query(&user("ann"), counting, &[]).await.unwrap();
    assert!(answer.cut && answer.batches.iter().map(RecordBatch::num_rows).sum::<usize>() == 1_000);
    let answer = lake.query(&user("ann"), "SELECT value FROM generate_series(1, 1000)", &[]).await.unwrap();
    assert!(!answer.cut && answer.batches.iter().map(RecordBatch::num_rows).sum::<usize>() == 1_000);
    let long = format!("SELECT '{}'", "x".repeat(100));
    assert!(matches!(ask(&lake, &user("ann"), &long).await, Err(Error::TooLong { bytes: 109, max: 100 })));

    let (_folder, lake) = home(Bounds { memory_bytes_max: 1 << 20, ..Bounds::default() }).await;
    let hungry = "SELECT value, count(*) AS n FROM generate_series(1, 1000000) GROUP BY value ORDER BY value";
    let error = ask(&lake, &user("ann"), hungry).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge), "{error}");

    let (_folder, lake) = home(Bounds { time_max: Duration::from_millis(300), ..Bounds::default() }).await;
    let endless =
        "SELECT count(*) AS n FROM generate_series(1, 100000) a CROSS JOIN generate_series(1, 100000000) b";
    assert!(matches!(ask(&lake, &user("ann"), endless).await, Err(Error::TimedOut(_))));

    let (_folder, lake) = home(Bounds { concurrent_max: 0, ..Bounds::default() }).await;
    let error = ask(&lake, &user("ann"), "SELECT 1").await.unwrap_err();
    assert!(matches!(error, Error::Busy) && error.kind() == Kind::Overloaded);
}

#[tokio::test]
async fn every_named_query_runs_with_every_parameter() {
    let (_folder, lake) = home(Bounds::default()).await;
    let at =
        |text: &str| ScalarValue::TimestampMicrosecond(Some(crate::support::us(text)), Some("UTC".into()));
    let parameters = [
        ("as_of", at("2026-11-02T00:00:00Z")),
        ("until", at("2026-11-02T00:00:00Z")),
        ("since", at("2026-10-01T00:00:00Z")),
        ("before", at("2026-09-01T00:00:00Z")),
        ("today", ScalarValue::Utf8(Some("2026-11-01".into()))),
        ("craving", ScalarValue::Utf8(None)),
        ("cursor_time", ScalarValue::TimestampMicrosecond(None, Some("UTC".into()))),
        ("cursor_id", ScalarValue::Utf8(None)),
        ("limit", ScalarValue::Int64(Some(10))),
        ("event_id", ScalarValue::Utf8(Some("a1".into()))),
        ("nobody_asks", ScalarValue::Int64(Some(1))),
    ];
    for query in Query::ALL {
        let answered = lake.query(&user("ann"), query.sql(), &parameters).await;
        assert!(answered.is_ok(), "{query:?}: {answered:?}");
    }
    let answered = lake.query(&user("ann"), "SELECT 1 AS n", &parameters).await;
    assert!(answered.is_ok(), "{answered:?}");
    let error = lake.query(&user("ann"), Query::Craving.sql(), &[]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
}
