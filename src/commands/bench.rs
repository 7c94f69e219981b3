//! `crave bench`: measures this machine through the real server, a child process on a home of its own.

mod events;
pub(crate) mod flow;
mod recall;

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::Subcommand;
use crave_api::Accounts;
use crave_schemas::{Clock as _, EventId, SystemClock, UserId};
use serde_json::json;

use super::doctor::sync_rate;
use crate::{config::Shared, home::Home, node::Part};

/// What to measure.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Events a second over HTTP, each request durable before it is answered.
    Ingest {
        /// Events to send.
        #[arg(long, default_value_t = 500_000)]
        events: usize,
        /// Events a request.
        #[arg(long, default_value_t = 500)]
        batch: usize,
        /// Requests under way at once.
        #[arg(long, default_value_t = 8)]
        clients: usize,
        /// Parts that the server runs, as in `crave up --only`; all when absent, so that it admits, computes and writes
        /// tables from the same events meanwhile.
        #[arg(long, value_enum, value_delimiter = ',', default_values_t = Part::ALL)]
        only: Vec<Part>,
    },
    /// Rows a second of streaming queries over files, beside DataFusion batch; needs no home.
    Flow(flow::Args),
    /// How often search finds what answers a question, over a file in LoCoMo's format; each stage left out once.
    Recall(recall::Args),
    /// From `POST` to a row in `cravings` by SQL.
    Freshness {
        /// Cravings to send, one after the other.
        #[arg(long, default_value_t = 100)]
        samples: usize,
    },
}

pub(crate) async fn run(home: &Home, bench: &Bench, json: bool) -> anyhow::Result<ExitCode> {
    let scratch = home.path().join("bench");
    if scratch.exists() {
        std::fs::remove_dir_all(&scratch)?;
    }
    let scratch_home = Home::open(&scratch, &Shared::default())?;
    let fsync_per_s = sync_rate(&scratch_home)?;
    let mut result = match bench {
        Bench::Ingest { events, batch, clients, only } => {
            ingest(&scratch_home, *events, *batch, *clients, only).await?
        }
        Bench::Freshness { samples } => freshness(&scratch_home, *samples).await?,
        Bench::Recall(args) => recall::run(&home.models(), scratch_home.path(), args, json).await?,
        Bench::Flow(args) => return flow::run(args, json),
    };
    result["fsync_per_s"] = json!(fsync_per_s.round());
    result["optimised"] = json!(!cfg!(debug_assertions));
    std::fs::remove_dir_all(&scratch)?;
    if json {
        println!("{result}");
    } else {
        println!("{result:#}");
    }
    Ok(ExitCode::SUCCESS)
}

/// A server of this binary; killed when dropped.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start(home: &Path, parts: &[Part]) -> anyhow::Result<Self> {
        let only: Vec<_> = parts.iter().map(|part| part.as_str()).collect();
        let mut child = Command::new(std::env::current_exe()?)
            .arg("--home")
            .arg(home)
            .args(["up", "--listen", "127.0.0.1:0", "--only", &only.join(",")])
            // A load test of the server, not of its limits.
            .envs([("CRAVE__LIMITS__EVENTS_PER_S", "1e9"), ("CRAVE__LIMITS__EVENTS_BURST", "1e9")])
            .env("CRAVE_LOG", "warn")
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
        let url = line.trim().strip_prefix("listening on ").context("the server did not start")?.to_owned();
        Ok(Self { child, url })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn token(home: &Home, user: &UserId) -> anyhow::Result<String> {
    Ok(Accounts::open(&home.accounts()).await?.add_token(user, None, SystemClock.now()).await?)
}

/// A craving of `user`, the `n`-th of this run.
fn craving(user: &UserId, n: usize) -> String {
    let id = EventId::derived(user, &n.to_le_bytes());
    let time = SystemClock.now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    json!({
        "event_id": id, "source": "watch", "device_id": "bench", "app_version": "1.0.0", "kind": "craving",
        "event_time": time, "tz_offset_min": 60,
        "payload": { "craving": "sugar", "intensity": n % 11, "trigger": "stress", "place": "home", "resisted": n.is_multiple_of(2) }
    })
    .to_string()
}

#[allow(clippy::disallowed_methods, reason = "a measurement of this machine")]
async fn ingest(
    home: &Home,
    events: usize,
    batch: usize,
    clients: usize,
    parts: &[Part],
) -> anyhow::Result<serde_json::Value> {
    let (batch, clients) = (batch.clamp(1, 10_000), clients.clamp(1, 256));
    let requests = events.div_ceil(batch).div_ceil(clients);
    let mut work = Vec::new();
    for client in 0..clients {
        let user = UserId::new(format!("bench-{client}"))?;
        let body = |request: usize| {
            let lines: Vec<_> = (0..batch).map(|i| craving(&user, request * batch + i)).collect();
            lines.join("\n")
        };
        // Bodies are made beforehand: the clock measures the server.
        work.push((token(home, &user).await?, (0..requests).map(body).collect::<Vec<_>>()));
    }
    let server = Server::start(home.path(), parts)?;
    let http = reqwest::Client::new();
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for (token, bodies) in work {
        let (http, url) = (http.clone(), format!("{}/v1/events", server.url));
        tasks.spawn(async move {
            for body in bodies {
                let post = http.post(&url).bearer_auth(&token).header("content-type", "application/x-ndjson");
                post.body(body).send().await?.error_for_status()?;
            }
            Ok::<_, reqwest::Error>(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let seconds = start.elapsed().as_secs_f64();
    let sent = requests * clients * batch;
    #[allow(clippy::cast_precision_loss)]
    let rate = sent as f64 / seconds;
    Ok(
        json!({ "bench": "ingest", "events": sent, "batch": batch, "clients": clients, "parts": parts.iter().map(|part| part.as_str()).collect::<Vec<_>>(), "seconds": seconds, "events_per_s": rate.round() }),
    )
}

#[allow(clippy::disallowed_methods, reason = "a measurement of this machine")]
async fn freshness(home: &Home, samples: usize) -> anyhow::Result<serde_json::Value> {
    let user = UserId::new("bench")?;
    let token = token(home, &user).await?;
    let server = Server::start(home.path(), &Part::ALL)?;
    let http = reqwest::Client::new();
    let mut took = Vec::with_capacity(samples);
    for n in 0..samples.max(1) {
        let (event, start) = (craving(&user, n), Instant::now());
        let post = http.post(format!("{}/v1/events", server.url)).bearer_auth(&token);
        post.header("content-type", "application/json").body(event).send().await?.error_for_status()?;
        let sql = json!({ "sql": "SELECT count(*) AS n FROM cravings" });
        loop {
            let ask = http.post(format!("{}/v1/sql", server.url)).bearer_auth(&token).json(&sql);
            let rows: serde_json::Value = ask.send().await?.error_for_status()?.json().await?;
            if rows[0]["n"].as_u64().is_some_and(|seen| seen > n as u64) {
                break;
            }
            anyhow::ensure!(
                start.elapsed() < Duration::from_secs(60),
                "sample {n} was not visible within a minute"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        took.push(start.elapsed().as_secs_f64() * 1e3);
    }
    took.sort_by(f64::total_cmp);
    let at = |share: usize| took[(took.len() * share / 100).min(took.len() - 1)].round();
    Ok(
        json!({ "bench": "freshness", "samples": took.len(), "p50_ms": at(50), "p99_ms": at(99), "max_ms": at(100) }),
    )
}
