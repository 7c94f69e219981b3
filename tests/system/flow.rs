//! `crave flow` as a person runs it: the shared SQL cases through the real binary, whole, and stopped at a
//! checkpoint and resumed; what it says when it is misused.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use crate::support::{binary, objects};

/// Runs `crave flow …`; exit code, standard output, standard error.
fn flow(args: &[&str]) -> (i32, String, String) {
    let output = binary().arg("flow").args(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

fn shared_cases() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/cases");
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: {} is not here", path.display());
    None
}

/// Times as instants, NULL as absent.
fn normal(row: &Map<String, Value>) -> BTreeMap<String, Value> {
    let value = |v: &Value| {
        let time = v.as_str().map(|t| t.trim_end_matches('Z'));
        let time = time.and_then(|t| t.parse::<chrono::NaiveDateTime>().ok());
        time.map_or_else(|| v.clone(), |t| Value::from(t.and_utc().timestamp_micros()))
    };
    row.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.clone(), value(v))).collect()
}

/// Rows to compare: as they are, or what an updating query's changes come to by the columns `--pk=…` names.
fn rows(text: &str, sql: &str) -> Vec<BTreeMap<String, Value>> {
    let rows = objects(text);
    let Some(keys) = sql.lines().find_map(|l| l.strip_prefix("--pk=")) else {
        return rows.iter().map(|r| normal(r.as_object().unwrap())).collect();
    };
    let mut state = BTreeMap::new();
    for change in &rows {
        let key = |row: &Value| keys.split(',').map(|k| row[k.trim()].to_string()).collect::<Vec<_>>();
        if let Some(before) = change["before"].as_object() {
            state.remove(&key(&Value::Object(before.clone())));
        }
        if let Some(after) = change["after"].as_object() {
            state.insert(key(&Value::Object(after.clone())), normal(after));
        }
    }
    state.into_values().collect()
}

/// Text to sort by: floats last and rounded, so that a difference in the last digits does not change the order.
fn sort_key(row: &BTreeMap<String, Value>) -> String {
    let (mut exact, mut floats) = (String::new(), String::new());
    for (name, value) in row {
        match value.as_f64().filter(|_| value.is_f64()) {
            Some(v) => floats.push_str(&format!(" {name}={v:.6e}")),
            None => exact.push_str(&format!(" {name}={value}")),
        }
    }
    exact + &floats
}

fn same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(x), Some(y)) if a.is_f64() || b.is_f64() => (x - y).abs() <= 1e-9 * x.abs().max(y.abs()),
        _ => a == b,
    }
}

fn assert_same(what: &str, got: &Path, expected: &Path, sql: &str) {
    let read = |path: &Path| {
        let mut rows = rows(&std::fs::read_to_string(path).unwrap(), sql);
        rows.sort_by_cached_key(sort_key);
        rows
    };
    let (got, expected) = (read(got), read(expected));
    for (g, e) in got.iter().zip(&expected) {
        let equal = g.len() == e.len() && g.iter().all(|(k, v)| e.get(k).is_some_and(|w| same(v, w)));
        assert!(equal, "{what}: got {g:?}, expected {e:?}");
    }
    assert_eq!(got.len(), expected.len(), "{what}: number of rows");
}

#[test]
fn every_shared_case_whole_and_stopped_and_resumed() {
    let Some(root) = shared_cases() else { return };
    let folder = tempfile::tempdir().unwrap();
    let input = format!("input_dir={}", root.join("inputs").display());
    let mut cases: Vec<_> = std::fs::read_dir(&root).unwrap().map(|e| e.unwrap().path()).collect();
    cases.retain(|c| c.join("query.sql").is_file());
    cases.sort();
    for case in &cases {
        let name = case.file_name().unwrap().to_str().unwrap();
        let query = case.join("query.sql");
        let (sql, query) = (std::fs::read_to_string(&query).unwrap(), query.to_str().unwrap().to_owned());
        let (code, _, said) = flow(&["check", &query]);
        assert_eq!(code, 0, "{name}: {said}");
        let expected = case.join("expected.json");
        let path = folder.path().join(format!("{name}.json"));
        let output = format!("output_path={}", path.display());
        let run = |more: &[&str]| {
            let args = [&["run", query.as_str(), "--set", &input, "--set", &output], more].concat();
            let (code, _, said) = flow(&args);
            assert_eq!(code, 0, "{name} {more:?}: {said}");
        };
        run(&[]);
        assert_same(&format!("{name} whole"), &path, &expected, &sql);
        run(&["--stop-at-checkpoint", "--parallelism", "2"]);
        let stopped = std::fs::read_to_string(&path).unwrap().lines().count();
        run(&["--resume", "--parallelism", "3"]);
        assert_same(&format!("{name} stopped at 2, resumed at 3"), &path, &expected, &sql);
        println!("passed: {name}: {stopped} lines were out at the checkpoint");
    }
    assert!(cases.len() >= 24, "{} cases are here", cases.len());
    // What a run leaves is its output.
    let left = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().path());
    assert!(left.into_iter().all(|p| p.extension().is_some_and(|e| e == "json")));
}

const SQL: &str = "
    CREATE TABLE events (ts TIMESTAMP NOT NULL, n BIGINT NOT NULL, WATERMARK FOR ts AS ts - INTERVAL '1 minute')
      WITH (connector = 'single_file', path = '$input', format = 'json', type = 'source');
    CREATE TABLE out (start TIMESTAMP, n BIGINT)
      WITH (connector = 'single_file', path = '$output', format = 'json', type = 'sink');
    INSERT INTO out SELECT window.start, total FROM (
      SELECT tumble(INTERVAL '1 hour') AS window, sum(n) AS total FROM events GROUP BY window)";

#[test]
fn misuse_and_bad_input_are_answered_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(at("job.sql"), SQL).unwrap();
    std::fs::write(at("in.json"), "{\"ts\":\"2026-01-01T00:00:00Z\",\"n\":1}\n{\"ts\":\"2026-01-01\"}\n")
        .unwrap();
    let (job, input, output) =
        (at("job.sql"), format!("input={}", at("in.json")), format!("output={}", at("out.json")));

    // Used wrongly: 2.
    for args in [
        &["run"][..],
        &["run", &job, "--set", "nothing"],
        &["run", &job, "--parallelism", "0"],
        &["run", &job, "--batch", "--resume"],
    ] {
        assert_eq!(flow(args).0, 2, "{args:?}");
    }
    // Failed: 1, and what to do.
    let fails = |args: &[&str], words: &str| {
        let (code, _, said) = flow(args);
        assert!(code == 1 && said.contains(words), "{args:?}: {code} {said}");
    };
    fails(&["run", &at("absent.sql")], "cannot be read");
    fails(&["run", &job], "--set input=");
    fails(&["run", &job, "--set", "input=/absent", "--set", &output], "is not a file");
    fails(&["run", &job, "--set", &input, "--set", &output, "--resume"], "run without --resume");
    fails(&["run", &job, "--set", &input, "--set", &output], "line 2, byte 36");
    std::fs::write(at("bad.sql"), format!("{SQL} ORDER BY total")).unwrap();
    fails(&["check", &at("bad.sql")], "order when you read the table");
    std::fs::write(at("diary.txt"), "dear diary").unwrap();
    let elsewhere = folder.path().to_str().unwrap();
    fails(
        &["run", &job, "--set", &input, "--set", &output, "--checkpoints", elsewhere],
        "a folder of its own",
    );
    assert!(Path::new(&at("diary.txt")).exists());

    // Once the line is right the same command runs.
    std::fs::write(
        at("in.json"),
        "{\"ts\":\"2026-01-01T00:00:00Z\",\"n\":1}\n{\"ts\":\"2026-01-01T01:00:00\",\"n\":2}\n",
    )
    .unwrap();
    for more in [&[][..], &["--batch"], &["--parallelism", "3"]] {
        let (code, _, said) = flow(&[&["run", &job, "--set", &input, "--set", &output], more].concat());
        assert_eq!(code, 0, "{said}");
        let mut totals: Vec<_> = objects(&std::fs::read_to_string(at("out.json")).unwrap())
            .iter()
            .map(|r| r["n"].as_i64())
            .collect();
        totals.sort_unstable();
        assert_eq!(totals, [Some(1), Some(2)], "{more:?}");
    }
    let svg = at("plan.svg");
    let (code, text, _) = flow(&["explain", &job, "--svg", &svg]);
    assert!(code == 0 && text.contains("WindowAggregate"), "{text}");
    assert!(std::fs::read_to_string(svg).unwrap().contains("Sink out"));
}

/// The built-in jobs run on an Arroyo cluster as they stand; what would not is told with its place.
#[test]
fn check_portable_judges_for_another_engine() {
    for job in std::fs::read_dir("sql/jobs").unwrap().map(|entry| entry.unwrap().path()) {
        let (code, text, said) = flow(&["check", job.to_str().unwrap(), "--portable"]);
        assert_eq!(code, 0, "{text}{said}");
    }
    let folder = tempfile::tempdir().unwrap();
    let job = folder.path().join("daily.sql");
    let sql = std::fs::read_to_string("sql/jobs/daily_parts.sql").unwrap();
    std::fs::write(&job, sql.replacen("CAST(window.start AS TIMESTAMP(6))", "window.start", 1)).unwrap();
    let job = job.to_str().unwrap();
    assert_eq!(flow(&["check", job]).0, 0, "it runs here");
    let (code, text, _) = flow(&["check", job, "--portable"]);
    assert!(code == 1 && text.contains("TIMESTAMP(6)"), "{text}");
}
