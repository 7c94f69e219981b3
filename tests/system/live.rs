//! What runs, seen from outside: the jobs' graph, the rows of open windows, late rows, the verify that runs by itself.

use std::{path::Path, time::Duration};

use crave_tables::Tables;
use datafusion::logical_expr::lit;
use serde_json::{Value, json};

use crate::support::{Dice, Server, crave, craving, objects, sql, token};

const DAY: i64 = 24 * 60;
const SOON: Duration = Duration::from_secs(30);

fn start(home: &Path, env: &[(&str, &str)]) -> Server {
    let mut all = vec![("CRAVE__LOG__HEARTBEAT", "300ms".to_owned())];
    all.extend(env.iter().map(|(name, value)| (*name, (*value).to_owned())));
    Server::start_with(home, &all).unwrap()
}

fn top(home: &Path) -> Value {
    let (code, text) = crave(home, &["--json", "flow", "top", "--once"]);
    assert_eq!(code, 0, "{text}");
    objects(&text).remove(0)
}

fn job<'a>(status: &'a Value, name: &str) -> &'a Value {
    let jobs = status["pipeline"]["jobs"].as_array().unwrap();
    jobs.iter().find(|job| job["job"] == name).unwrap()
}

async fn metrics(server: &Server) -> String {
    server.http.get(format!("{}/metrics", server.url)).send().await.unwrap().text().await.unwrap()
}

async fn ready(server: &Server) -> (u16, Value) {
    let answer = server.http.get(format!("{}/health/ready", server.url)).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn open_windows_answer_at_once_and_each_person_sees_their_own() {
    let home = tempfile::tempdir().unwrap();
    let (ada, bob) = (token(home.path(), "ada"), token(home.path(), "bob"));
    let query = "SELECT craving, n, sum_intensity FROM live.recency ORDER BY window_end LIMIT 1";
    assert_eq!(crave(home.path(), &["sql", query]).0, 1, "no server, no memory of one");
    // A checkpoint comes so late that nothing is in a table: what is seen is in memory.
    let server = start(home.path(), &[("CRAVE__FLOW__CHECKPOINT_INTERVAL", "10m")]);
    let mut dice = Dice::new(41);
    server
        .send(&ada, &json!([craving(&dice.uuid(), 1, "sugar", 8), craving(&dice.uuid(), 1, "sugar", 5)]))
        .await;
    let seen = json!({ "craving": "sugar", "n": 2, "sum_intensity": 13 });
    let took = server.until(SOON, async |s| s.query(&ada, query).await == [seen.clone()]).await;
    println!("in live.recency after {took:?}");
    assert_eq!(server.query(&ada, "SELECT * FROM recency").await, [] as [Value; 0]);
    // A window of 30 days that ends every day: the row is in 30 open ones.
    let windows = "SELECT count(*) AS n, min(n) AS low FROM live.recency WHERE user_id = 'ada'";
    assert_eq!(server.query(&ada, windows).await, [json!({ "n": 30, "low": 2 })]);
    for table in ["recency", "daily_parts", "trend_parts"] {
        for (whose, rows) in [(&ada, true), (&bob, false)] {
            let found = server.query(whose, &format!("SELECT user_id FROM datafusion.live.{table}")).await;
            assert_eq!(found.is_empty(), !rows, "{table}: {found:?}");
        }
    }
    let sneaky = "SELECT * FROM live.recency WHERE user_id = 'ada' OR true";
    assert_eq!(server.query(&bob, sneaky).await, [] as [Value; 0]);
    let both = "SELECT n FROM recency UNION ALL SELECT n FROM live.recency";
    assert_eq!(server.query(&ada, both).await.len(), 30);
    assert!(!server.query(&ada, "SHOW TABLES").await.is_empty());

    assert_eq!(
        sql(home.path(), "SELECT user_id, n FROM live.daily_parts"),
        [json!({ "user_id": "ada", "n": 2 })]
    );
    let (_, text) = crave(home.path(), &["--json", "sql", "SELECT * FROM live.daily_parts", "--user", "bob"]);
    assert_eq!(text, "");
    let (status, body) =
        server.post(&ada, "/v1/sql", &json!({ "sql": "SELECT * FROM system.late_rows" })).await;
    assert_eq!(status, 400, "only the operator: {body}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_does_not_run_the_jobs_says_so() {
    let home = tempfile::tempdir().unwrap();
    let ada = token(home.path(), "ada");
    start(home.path(), &[]).stop();
    let server = Server::start_only(home.path(), "serve", &[]);
    let (status, body) = server.post(&ada, "/v1/sql", &json!({ "sql": "SELECT * FROM live.recency" })).await;
    assert_eq!(status, 400, "{body}");
    assert!(body["error"]["message"].as_str().unwrap().contains("do not run in this process"), "{body}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_graph_is_told_and_late_rows_are_counted_over_restarts() {
    let home = tempfile::tempdir().unwrap();
    let ada = token(home.path(), "ada");
    assert_eq!(crave(home.path(), &["flow", "top", "--once"]), (1, String::new()), "no server runs");
    let server = start(home.path(), &[]);
    let mut dice = Dice::new(42);
    server.send(&ada, &craving(&dice.uuid(), 1, "sugar", 8)).await;
    server.until(SOON, async |s| s.query(&ada, "SELECT 1 FROM cravings").await.len() == 1).await;
    server.send(&ada, &craving(&dice.uuid(), 400 * DAY, "nicotine", 5)).await;
    let late = |home: &Path| {
        let of = "SELECT source, late_rows, last_seen IS NOT NULL AS seen FROM system.late_rows WHERE job = 'daily_parts'";
        sql(home, of)
    };
    let once = [json!({ "source": "events", "late_rows": 1, "seen": true })];
    server.until(SOON, async |_| late(home.path()) == once).await;

    let status = top(home.path());
    let recency = job(&status, "recency");
    let nodes = recency["nodes"].as_array().unwrap();
    let names: Vec<_> =
        nodes.iter().map(|node| (node["kind"].as_str().unwrap(), node["name"].as_str().unwrap())).collect();
    assert_eq!(names, [("source", "events"), ("stage", "hop(1 day, 30 days)"), ("sink", "recency")]);
    assert_eq!(nodes[1]["inputs"], json!([0]));
    assert_eq!((&nodes[1]["rows_in"], &nodes[1]["late_rows"]), (&json!(2), &json!(1)), "{recency}");
    assert!(
        nodes[1]["state_rows"].as_u64().unwrap() > 0 && status["pipeline"]["epoch"].as_u64().unwrap() > 0
    );
    let (code, text) = crave(home.path(), &["flow", "top", "--once"]);
    assert!(code == 0 && text.contains("sink recency") && text.contains("checkpoint"), "{text}");
    let counted = r#"crave_flow_late_rows_total{job="daily_parts",source="events"} 1"#;
    server.until(SOON, async |s| metrics(s).await.contains(counted)).await;
    let told = metrics(&server).await;
    for name in [
        "rows_in_total",
        "watermark_lag_seconds",
        "state_bytes",
        "checkpoint_age_seconds",
        "checkpoint_took_seconds",
    ] {
        assert!(told.contains(&format!("crave_flow_{name}")), "{name}: {told}");
    }
    server.stop();
    assert_eq!(late(home.path()), once, "without a server");
    let server = start(home.path(), &[]);
    server.send(&ada, &craving(&dice.uuid(), 401 * DAY, "nicotine", 5)).await;
    server.until(SOON, async |_| late(home.path())[0]["late_rows"] == 2).await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_runs_by_itself_and_a_failure_is_loud_until_it_holds() {
    let home = tempfile::tempdir().unwrap();
    let ada = token(home.path(), "ada");
    let every = [("CRAVE__REPAIR__VERIFY_INTERVAL", "2s")];
    let server = start(home.path(), &every);
    server.send(&ada, &craving(&Dice::new(43).uuid(), 1, "sugar", 8)).await;
    server.until(SOON, async |s| s.query(&ada, "SELECT 1 FROM cravings").await.len() == 1).await;
    server.until(SOON, async |_| home.path().join("verified.json").exists()).await;
    let verified = &top(home.path())["verified"];
    assert!(verified["verdicts"].as_array().unwrap().len() >= 4, "{verified}");
    server
        .until(SOON, async |s| metrics(s).await.contains(r#"crave_verify_runs_total{outcome="finished"}"#))
        .await;
    server.stop();
    assert!(crave(home.path(), &["doctor"]).1.contains("tables equal their SQL"));

    // A row is lost, as no fault known to us would lose it.
    let tables = Tables::new(&home.path().join("lake"));
    tables.refresh().await.unwrap();
    tables.get("cravings").unwrap().replace(lit(true), Vec::new()).await.unwrap();
    let server = start(home.path(), &every);
    let missing = async |s: &Server| {
        let warnings = ready(s).await.1["warnings"].to_string();
        warnings.contains("verify failed") && warnings.contains("cravings (0 differing, 1 missing, 0 extra)")
    };
    server.until(SOON, missing).await;
    assert_eq!(ready(&server).await.0, 200, "what comes in is safe all the same");
    assert!(metrics(&server).await.contains(r#"crave_verify_wrong_rows{table="cravings"} 1"#));
    assert!(crave(home.path(), &["flow", "top", "--once"]).1.contains("verify failed"));
    assert_eq!(crave(home.path(), &["doctor"]).0, 1);
    // It is told over a restart, until a verify holds.
    server.stop();
    let known = std::fs::read_to_string(home.path().join("verified.json")).unwrap();
    let server = start(home.path(), &[("CRAVE__REPAIR__VERIFY_INTERVAL", "0s")]);
    assert!(ready(&server).await.1["warnings"].to_string().contains("verify failed"), "{known}");
    server.stop();
}
