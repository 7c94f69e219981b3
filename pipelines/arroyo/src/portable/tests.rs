use proptest::prelude::*;

use super::*;

/// A source and sinks that are portable; `{}` is the program's INSERT.
const TABLES: &str = "CREATE TABLE events (id TEXT NOT NULL, user_id TEXT NOT NULL, n BIGINT, at TIMESTAMP NOT NULL,
  WATERMARK FOR at AS at - INTERVAL '1 minute')
WITH (connector = 'log', topic = 't', format = 'json', type = 'source');
CREATE TABLE more (id TEXT NOT NULL, user_id TEXT NOT NULL, at TIMESTAMP NOT NULL, WATERMARK FOR at)
WITH (connector = 'single_file', path = '/x', format = 'json', type = 'source');
CREATE TABLE gold (user_id TEXT NOT NULL, start TIMESTAMP(6) NOT NULL, n BIGINT NOT NULL)
WITH (connector = 'delta', path = '$lake/gold', type = 'sink');
CREATE TABLE changes (user_id TEXT, n BIGINT)
WITH (connector = 'single_file', path = '/y', format = 'debezium_json', type = 'sink');
CREATE TABLE rows (user_id TEXT, n BIGINT) WITH (connector = 'single_file', path = '/y', format = 'json', type = 'sink');
";

/// Each finding that stops as its rule and the word it points at.
fn stops(sql: &str) -> Vec<String> {
    let found = portable("job", sql).into_iter().filter(|f| f.level == Level::Stops);
    found
        .map(|f| {
            let line = sql.lines().nth(usize::try_from(f.line).unwrap() - 1).unwrap_or_default();
            let rest: String = line.chars().skip(usize::try_from(f.column).unwrap() - 1).collect();
            let word: String =
                rest.chars().take_while(|c| c.is_alphanumeric() || "_'*.".contains(*c)).collect();
            format!("{} {word}", f.rule)
        })
        .collect()
}

#[test]
fn queries() {
    let windowed = "INSERT INTO gold SELECT user_id, CAST(window.start AS TIMESTAMP(6)), n FROM
        (SELECT tumble(INTERVAL '1 day') AS window, user_id, count(*) AS n FROM events GROUP BY window, user_id);";
    let table: &[(&str, &[&str])] = &[
        (windowed, &[]),
        ("INSERT INTO rows SELECT user_id, n FROM events WHERE n > 3;", &[]),
        ("INSERT INTO changes SELECT user_id, count(*) FROM events GROUP BY user_id;", &[]),
        ("INSERT INTO rows SELECT user_id, count(*) FROM events GROUP BY user_id;", &["append INSERT"]),
        ("INSERT INTO rows SELECT DISTINCT user_id, n FROM events;", &["append INSERT"]),
        (
            "INSERT INTO gold SELECT user_id, CAST(max(at) AS TIMESTAMP(6)), count(*) FROM events GROUP BY user_id;",
            &["append INSERT"],
        ),
        ("INSERT INTO rows SELECT user_id, n FROM gold;", &["delta-source gold"]),
        ("INSERT INTO rows SELECT user_id, n FROM changes;", &["append INSERT", "sink-source changes"]),
        ("INSERT INTO gold SELECT user_id, at, n FROM events;", &["delta-timestamp at"]),
        ("INSERT INTO gold SELECT user_id, CAST(at AS TIMESTAMP), n FROM events;", &["delta-timestamp at"]),
        ("INSERT INTO gold SELECT * FROM events;", &["delta-timestamp *"]),
        (
            "INSERT INTO rows SELECT a.user_id, a.n FROM events a ASOF JOIN more b MATCH_CONDITION (a.at >= b.at) \
             ON a.user_id = b.user_id;",
            &["as-of more"],
        ),
        ("INSERT INTO rows SELECT a.user_id, a.n FROM events a JOIN more b ON a.user_id = b.user_id;", &[]),
        ("INSERT INTO rows SELECT a.user_id, a.n FROM events a LEFT JOIN more b ON a.user_id = b.user_id;", &["join more"]),
        ("INSERT INTO rows SELECT a.user_id, a.n FROM events a, more b;", &["join more"]),
        (
            "CREATE VIEW a AS SELECT tumble(INTERVAL '1 hour') AS w, user_id, count(*) AS n FROM events GROUP BY 1, 2;
             CREATE VIEW b AS SELECT tumble(INTERVAL '1 hour') AS w, user_id, count(*) AS n FROM more GROUP BY w, user_id;
             INSERT INTO rows SELECT a.user_id, a.n FROM a LEFT JOIN b ON a.w = b.w AND a.user_id = b.user_id;",
            &[],
        ),
        (
            "CREATE VIEW a AS SELECT tumble(INTERVAL '1 hour') AS w, user_id, count(*) AS n FROM events GROUP BY 1, 2;
             INSERT INTO rows SELECT a.user_id, a.n FROM a JOIN more b ON a.user_id = b.user_id;",
            &["join more"],
        ),
        (
            "WITH a AS (SELECT tumble(INTERVAL '1 hour') AS w, user_id, count(*) AS n FROM events GROUP BY 1, 2)
             SELECT 1;",
            &["statement WITH"],
        ),
        (
            "INSERT INTO rows SELECT user_id, count(*) FROM (SELECT user_id FROM events UNION ALL SELECT user_id FROM more)
             GROUP BY tumble(INTERVAL '1 hour'), user_id;",
            &["union SELECT"],
        ),
        ("INSERT INTO rows SELECT user_id, n FROM events ORDER BY n;", &["query SELECT"]),
        ("INSERT INTO rows SELECT user_id, n FROM events LIMIT 3;", &["query SELECT"]),
        ("INSERT INTO rows SELECT user_id, row_number() OVER (PARTITION BY user_id ORDER BY n) FROM events;", &["over row_number"]),
        (
            "INSERT INTO rows SELECT user_id, count(*) FROM events GROUP BY hop(INTERVAL '7 minutes', INTERVAL '1 hour'), user_id;",
            &["hop hop"],
        ),
        (
            "INSERT INTO rows SELECT user_id, count(*) FROM events GROUP BY hop(INTERVAL '1 day', INTERVAL '30 days'), user_id;",
            &[],
        ),
        (
            "INSERT INTO rows SELECT user_id, count(*) FROM events GROUP BY tumble(INTERVAL '1 month'), user_id;",
            &["window tumble"],
        ),
        ("INSERT INTO rows SELECT greet(user_id), n FROM events;", &["function greet"]),
        ("INSERT INTO rows SELECT day_part(n), n FROM events;", &[]),
        ("INSERT INTO rows SELECT user_id, n FROM events WHERE tz_known(n, user_id);", &["udf-boolean tz_known"]),
        ("INSERT INTO rows SELECT user_id, n FROM events WHERE CAST(tz_known(n, user_id) AS BOOLEAN);", &[]),
        ("INSERT INTO rows SELECT tz_known(n, user_id), n FROM events;", &[]),
        ("INSERT INTO rows SELECT user_id n n FROM events;", &["syntax n"]),
        ("DROP TABLE events;", &["statement DROP"]),
    ];
    let wrong = table.iter().filter_map(|(query, expected)| {
        let found = stops(&format!("{TABLES}{query}"));
        (found != *expected).then(|| format!("{query}\n  gives {found:?}, not {expected:?}"))
    });
    let wrong: Vec<_> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn tables() {
    let insert = "INSERT INTO s SELECT id FROM e;\n";
    let source = "CREATE TABLE e (id TEXT) WITH (connector = 'log', topic = 't', type = 'source');\n";
    let sinks: &[(&str, &[&str])] = &[
        (
            "CREATE TABLE s (id TEXT) WITH (connector = 'log', topic = 't', 'sink.key_field' = 'id', type = 'sink');",
            &[],
        ),
        (
            "CREATE TABLE s (id BIGINT) WITH (connector = 'log', topic = 't', 'sink.key_field' = 'id', type = 'sink');",
            &["sink-key 'sink.key_field'"],
        ),
        (
            "CREATE TABLE s (id TEXT) WITH (connector = 'log', 'sink.key_field' = 'no', topic = 't', type = 'sink');",
            &["sink-key 'sink.key_field'"],
        ),
        (
            "CREATE TABLE s (id TEXT) WITH (connector = 'delta', path = '/x', type = 'sink', 'partitioning.fields' = 'id');",
            &["delta-partition 'partitioning.fields'"],
        ),
        (
            "CREATE TABLE s (id TEXT) WITH (connector = 'delta', path = '/x', type = 'source');",
            &["delta-source type"],
        ),
        (
            "CREATE TABLE s (id TIMESTAMP) WITH (connector = 'delta', path = '/x', type = 'sink');",
            &["delta-timestamp id", "delta-timestamp id"],
        ),
        ("CREATE TABLE s (id TEXT PRIMARY KEY) WITH (connector = 'blackhole');", &["ignored PRIMARY"]),
        ("CREATE TABLE s (id TEXT DEFAULT 'x') WITH (connector = 'blackhole');", &["ignored DEFAULT"]),
        ("CREATE TABLE IF NOT EXISTS s (id TEXT) WITH (connector = 'blackhole');", &["ignored IF"]),
        (
            "CREATE TABLE s (id TEXT, at TIMESTAMP NOT NULL, WATERMARK FOR at) WITH (connector = 'blackhole');",
            &["ignored WATERMARK"],
        ),
        ("CREATE TABLE s (id TEXT) WITH (connector = 'blackhole', colour = 'red');", &["option colour"]),
        ("CREATE TABLE s (id TEXT) WITH (connector = 'parrot', type = 'sink');", &["connector connector"]),
        ("CREATE TABLE s (id UUID) WITH (connector = 'blackhole');", &["type id"]),
        (
            "CREATE TABLE s (id TEXT) WITH (connector = 'kafka', bootstrap_servers = 'b', topic = 't', type = 'sink');",
            &["default s"],
        ),
    ];
    for (sink, expected) in sinks {
        let sql = format!("{source}{insert}{sink}\n");
        assert_eq!(stops(&sql), *expected, "{sink}");
    }
    let sources: &[(&str, &[&str])] = &[
        (
            "CREATE TABLE e (id TEXT, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '1 second') \
             WITH (connector = 'single_file', path = '/x', type = 'source');",
            &["watermark WATERMARK"],
        ),
        (
            "CREATE TABLE e (id TEXT) WITH (connector = 'kafka', bootstrap_servers = 'b', topic = 't', type = 'source');",
            &["default e", "default e"],
        ),
        (
            "CREATE TABLE e (id TEXT) WITH (connector = 'log', topic = 't', type = 'source', 'sink.key_field' = 'id');",
            &["option 'sink.key_field'"],
        ),
    ];
    let sink = "CREATE TABLE s (id TEXT) WITH (connector = 'blackhole');\n";
    for (source, expected) in sources {
        assert_eq!(stops(&format!("{sink}{insert}{source}\n")), *expected, "{source}");
    }
}

#[test]
fn known_faults_are_noted_not_refused() {
    let sql = format!(
        "{TABLES}INSERT INTO rows SELECT user_id, count(*) FROM events
         GROUP BY hop(INTERVAL '1 minute', INTERVAL '5 minutes'), user_id;"
    );
    let found = portable("job", &sql);
    assert_eq!(found.iter().map(|f| (f.rule, f.level)).collect::<Vec<_>>(), [("fault", Level::Note)]);
    assert!(found[0].to_string().starts_with("job:12:19: note: fault: "), "{}", found[0]);
}

/// Every job of the platform runs on Arroyo as it is.
#[test]
fn the_platforms_jobs_are_portable() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sql/jobs");
    let mut jobs = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let found = portable(&name, &std::fs::read_to_string(&path).unwrap());
        let stops: Vec<_> =
            found.iter().filter(|f| f.level == Level::Stops).map(ToString::to_string).collect();
        assert!(stops.is_empty(), "{}", stops.join("\n"));
        jobs += 1;
    }
    assert!(jobs >= 8, "only {jobs} jobs were found");
}

/// What a real Arroyo ran is portable; the one case that it refused is not.
#[test]
fn the_shared_cases_are_judged_as_arroyo_did() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/cases");
    let folder = std::env::var("CRAVE_CASES").map_or(folder, Into::into);
    let Ok(entries) = std::fs::read_dir(&folder) else {
        eprintln!("skipped: {} is not there; set CRAVE_CASES", folder.display());
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        let Ok(sql) = std::fs::read_to_string(path.join("query.sql")) else { continue };
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let stops: Vec<_> = portable(&name, &sql).into_iter().filter(|f| f.level == Level::Stops).collect();
        let refused = name == "union_then_tumble";
        let said: Vec<_> = stops.iter().map(ToString::to_string).collect();
        assert_eq!(!stops.is_empty(), refused, "{}", said.join("\n"));
    }
}

proptest! {
    /// Broken text is answered, never met with a panic; what is found lies in the text.
    #[test]
    fn any_text_is_survived(cut in 0usize..3000, length in 0usize..400, put in "[ -~é\n]{0,12}", words in "(SELECT|CREATE TABLE|WITH|\\(|\\)|'|;|hop|,| |x|1|FROM|AS|\\$a){0,12}") {
        let job: Vec<char> = include_str!("../../../../sql/jobs/recency.sql").chars().collect();
        let (from, to) = (cut.min(job.len()), (cut + length).min(job.len()));
        let text: String = job[..from].iter().chain(&put.chars().collect::<Vec<_>>()).chain(&job[to..]).collect();
        for text in [text, words] {
            let places = crate::Places { brokers: "b".into(), ..crate::Places::default() };
            let _ = crate::translate("job", &text, &places);
            let lines = u64::try_from(text.lines().count()).unwrap() + 1;
            for finding in portable("job", &text) {
                prop_assert!(finding.line <= lines, "{finding} of {lines} lines");
            }
        }
    }
}
