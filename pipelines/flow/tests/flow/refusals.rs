//! SQL that a stream cannot run is refused while planning: where it stands, why, and what to write instead.

use std::collections::BTreeMap;

use crave_flow::{Error, ErrorKind, Location, Program};

const TABLES: &str = "\
CREATE TABLE source (ts TIMESTAMP NOT NULL, who TEXT, n BIGINT, WATERMARK FOR ts) WITH (connector = 'x', type = 'source');
CREATE TABLE timeless (who TEXT, n BIGINT) WITH (connector = 'x', type = 'source');
CREATE TABLE sink (a TEXT, b BIGINT) WITH (connector = 'x', type = 'sink');
CREATE TABLE changes (a TEXT, b BIGINT) WITH (connector = 'x', type = 'sink', format = 'debezium_json');
";

/// (SQL with `§` where the error must point, part of the reason, part of what to write instead).
const TABLE: &[(&str, &str, &str)] = &[
    ("INSERT INTO sink SELECT who, n FROM source ORDER BY §n", "ORDER BY", "when you read the table"),
    (
        "INSERT INTO sink SELECT who, n FROM source LIMIT §3",
        "LIMIT",
        "row_number() OVER (PARTITION BY window",
    ),
    (
        "INSERT INTO sink §SELECT who, count(*) FROM source GROUP BY who",
        "an updating query into sink",
        "debezium_json",
    ),
    (
        "INSERT INTO sink §SELECT a.who, b.n FROM source a JOIN source b ON a.who = b.who",
        "an updating query",
        "debezium_json",
    ),
    (
        "INSERT INTO changes SELECT a.who, b.n FROM source a JOIN §source b ON a.n < b.n",
        "a join without an equality",
        "ON a.key = b.key",
    ),
    (
        "INSERT INTO changes SELECT a.who, b.n FROM source a LEFT JOIN §source b ON a.who = b.who AND a.n < b.n",
        "an outer join over time with a condition",
        "WHERE of one side",
    ),
    (
        "INSERT INTO sink SELECT who, n FROM source WHERE n IN (§SELECT n FROM timeless)",
        "a subquery",
        "as a join",
    ),
    ("INSERT INTO sink SELECT who, (§SELECT max(n) FROM timeless) FROM source", "a subquery", "as a join"),
    (
        "INSERT INTO sink SELECT who, §row_number() OVER (PARTITION BY who ORDER BY n) FROM source",
        "row_number over rows without end",
        "PARTITION BY window",
    ),
    (
        "INSERT INTO sink SELECT who, n FROM (SELECT who, §tumble(INTERVAL '1 day') AS window, n FROM source)",
        "tumble outside an aggregate",
        "into GROUP BY",
    ),
    (
        "INSERT INTO sink SELECT who, n FROM (SELECT §hop(INTERVAL '7 minutes', INTERVAL '1 hour') AS w, who, count(*) AS n FROM source GROUP BY w, who)",
        "width is no multiple of its slide",
        "that the slide divides",
    ),
    (
        "INSERT INTO sink SELECT who, n FROM (SELECT §tumble(INTERVAL '1 month') AS w, who, count(*) AS n FROM source GROUP BY w, who)",
        "months differ in length",
        "fixed interval",
    ),
    (
        "INSERT INTO sink SELECT who, n FROM (SELECT §session(INTERVAL '1 hour', INTERVAL '2 hours') AS w, who, count(*) AS n FROM source GROUP BY w, who)",
        "session with these arguments",
        "session(gap)",
    ),
    (
        "INSERT INTO sink SELECT who, n FROM (SELECT §tumble(INTERVAL '1 day') AS w, who, count(*) AS n FROM timeless GROUP BY w, who)",
        "timeless, which has no event time",
        "WATERMARK FOR",
    ),
    (
        "INSERT INTO sink SELECT who, n FROM (SELECT §tumble(INTERVAL '1 day') AS v, hop(INTERVAL '1 day', INTERVAL '2 days') AS w, who, count(*) AS n FROM source GROUP BY v, w, who)",
        "two windows in one GROUP BY",
        "one query for each window",
    ),
    (
        "INSERT INTO sink SELECT who, count(*) FROM source GROUP BY ROLLUP(§who)",
        "GROUPING SETS",
        "one query for each grouping",
    ),
    (
        "INSERT INTO changes SELECT who, n FROM (SELECT §tumble(INTERVAL '1 day') AS w, who, count(*) AS n FROM (SELECT who, count(*) FROM source GROUP BY who) GROUP BY w, who)",
        "rows that change (an updating query)",
        "by a window",
    ),
    (
        "INSERT INTO sink SELECT w.who, count(*) FROM (
           SELECT a.window AS window, a.who FROM
             (SELECT tumble(INTERVAL '1 day') AS window, who FROM source GROUP BY window, who) b
             LEFT JOIN (SELECT tumble(INTERVAL '1 day') AS window, who FROM source GROUP BY window, who) a
             ON a.window = b.window AND a.who = b.who) w GROUP BY §w.window, w.who",
        "that an outer join may leave NULL",
        "coalesce(a.window, b.window)",
    ),
    ("INSERT INTO sink SELECT DISTINCT ON (§who) who, n FROM source", "SELECT DISTINCT ON", "first_value"),
    ("INSERT INTO sink §SELECT 'a', 1", "a SELECT without a source", "CREATE TABLE"),
    (
        "INSERT INTO sink SELECT CAST(§now() AS TEXT), n FROM source",
        "another value when it runs again",
        "event's own time",
    ),
    (
        "INSERT INTO sink SELECT who, n FROM source WHERE §random() < 0.5",
        "another value when it runs again",
        "a column",
    ),
    ("§SELECT who FROM source", "a SELECT that goes nowhere", "INSERT INTO"),
    ("§DELETE FROM sink", "DELETE", "a program holds"),
    ("SET §parallelism = 4; INSERT INTO sink SELECT who, n FROM source", "SET parallelism", "updating_ttl"),
    (
        "SET updating_ttl = §INTERVAL '1 month'; INSERT INTO sink SELECT who, n FROM source",
        "months differ",
        "INTERVAL '1 day'",
    ),
];

/// The text without its mark, and where that stood.
fn marked(sql: &str) -> (String, Location) {
    let text = format!("{TABLES}{sql}");
    let at = text.find('§').unwrap();
    let before = &text[..at];
    let line = u64::try_from(before.matches('\n').count()).unwrap() + 1;
    let column = u64::try_from(before.rsplit('\n').next().unwrap().chars().count()).unwrap() + 1;
    (text.replace('§', ""), Location { line, column })
}

#[tokio::test]
async fn refused_with_place_reason_and_remedy() {
    let mut wrong = Vec::new();
    for (sql, wanted_reason, wanted_instead) in TABLE {
        let (text, place) = marked(sql);
        match Program::parse("job", &text, &BTreeMap::new()).await {
            Err(error @ Error::Unsupported { .. }) => {
                assert_eq!(error.kind(), ErrorKind::Invalid);
                let shown = error.to_string();
                let Error::Unsupported { at, reason, instead, .. } = error else { continue };
                if at != Some(place) || !reason.contains(wanted_reason) || !instead.contains(wanted_instead) {
                    wrong.push(format!(
                        "{sql}\n  expected {place} {wanted_reason} … {wanted_instead}\n  got {shown}"
                    ));
                }
                if let Some(at) = at {
                    assert!(shown.starts_with(&format!("job:{}:{}: ", at.line, at.column)), "{shown}");
                }
            }
            Err(other) => wrong
                .push(format!("{sql}\n  another error: {other}: {:?}", std::error::Error::source(&other))),
            Ok(_) => wrong.push(format!("{sql}\n  was accepted")),
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), TABLE.len(), wrong.join("\n"));
}

#[tokio::test]
async fn unknown_names_are_told_with_their_place() {
    let sql = format!("{TABLES}INSERT INTO sink SELECT whom, n FROM source");
    let error = Program::parse("job", &sql, &BTreeMap::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().starts_with("job:5:25: "), "{error}");
}
