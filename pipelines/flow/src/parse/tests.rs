//! What the parser takes, and what it says when it does not.

use std::collections::BTreeMap;

use super::*;

fn variables() -> BTreeMap<String, String> {
    BTreeMap::from([("input_dir".to_owned(), "/in".to_owned()), ("n".to_owned(), "3".to_owned())])
}

const TABLES: &str = "
CREATE TABLE s (ts TIMESTAMP NOT NULL, n BIGINT, at TIMESTAMP GENERATED ALWAYS AS (ts + INTERVAL '1 hour'),
  WATERMARK FOR at AS at - INTERVAL '2 minutes')
WITH (connector = 'single_file', path = '$input_dir/a.json', 'sink.key_field' = 'n', type = 'source');
CREATE TABLE o (end TIMESTAMP(6), n BIGINT) WITH (connector = 'blackhole', type = 'sink');";

#[test]
fn a_program_is_read() {
    let sql =
        format!("{TABLES} CREATE VIEW v AS SELECT * FROM s; INSERT INTO o SELECT ts, n FROM v WHERE n > $n");
    let parsed = parse("p", &sql, &variables()).unwrap();
    let source = &parsed.tables[0];
    assert_eq!(source.options["path"], "/in/a.json");
    assert_eq!(source.options["sink.key_field"], "n");
    assert_eq!((source.physical.fields().len(), source.schema.fields().len()), (2, 3));
    assert_eq!(source.watermark.as_ref().unwrap().column, "at");
    assert_eq!(parsed.tables[1].kind, TableKind::Sink);
    assert_eq!(
        parsed.tables[1].schema.field(0).data_type(),
        &DataType::Timestamp(TimeUnit::Microsecond, None)
    );
    assert!(parsed.inserts[0].query.to_string().contains("n > 3"));
    assert!(parsed.identity.contains("$input_dir"));
}

#[test]
fn white_space_and_comments_do_not_change_the_identity() {
    let a = parse("p", &format!("{TABLES} INSERT INTO o SELECT ts, n FROM s"), &variables()).unwrap();
    let b = parse("p", &format!("-- hello\n{TABLES} INSERT INTO o\n  SELECT ts,n FROM s;"), &variables())
        .unwrap();
    assert_eq!(a.identity, b.identity);
}

#[test]
fn refusals_say_what_to_write() {
    let table = [
        ("SELECT 1", "INSERT INTO a sink"),
        ("DROP TABLE x", "a program holds"),
        (TABLES, "add INSERT INTO"),
        ("INSERT INTO nowhere SELECT 1", "add its CREATE TABLE"),
        ("CREATE TABLE a (x TIMESTAMP WITH TIME ZONE)", "UTC"),
        ("CREATE TABLE a (x TIMESTAMP(4))", "TIMESTAMP(6)"),
        ("CREATE TABLE a (x BIGINT, WATERMARK FOR y)", "no such column"),
        ("CREATE TABLE a (x BIGINT METADATA FROM 'k')", "METADATA"),
        ("CREATE TABLE a (x BIGINT) WITH (path = '$nope/x')", "--set nope"),
        ("CREATE TABLE a (x BIGINT) nonsense", "expected ';'"),
    ];
    for (sql, says) in table {
        let error = parse("p", sql, &variables()).unwrap_err().to_string();
        assert!(error.contains(says), "{sql}: {error}");
    }
}
