//! A server under test: a child process of the real binary on a home of its own.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

pub(crate) mod python;

/// The binary under test.
pub(crate) fn binary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_crave"))
}

/// The binary on a home. Where KAFKA_BOOTSTRAP is set its log is in Kafka, under the home's own prefix:
/// `scripts/kafka.sh run cargo test --workspace --test system`.
fn on(home: &Path) -> Command {
    let mut command = binary();
    command.arg("--home").arg(home);
    if let Ok(brokers) = std::env::var("KAFKA_BOOTSTRAP") {
        let name = home.to_string_lossy().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let prefix = format!("{}.", name.trim_matches('-'));
        command.envs([("CRAVE__LOG__KIND", "kafka"), ("CRAVE__LOG__BROKERS", &brokers)]);
        command.env("CRAVE__LOG__PREFIX", prefix);
    }
    command
}

/// Runs a command to its end on `home` and gives its standard output.
pub(crate) fn crave(home: &Path, args: &[&str]) -> (i32, String) {
    let output = on(home).args(args).stderr(Stdio::inherit()).output().unwrap();
    (output.status.code().unwrap_or(-1), String::from_utf8(output.stdout).unwrap())
}

/// One JSON object a line.
pub(crate) fn objects(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Rows of a query over the tables' files.
pub(crate) fn sql(home: &Path, query: &str) -> Vec<Value> {
    let (code, text) = crave(home, &["--json", "sql", query]);
    assert_eq!(code, 0, "{query}");
    objects(&text)
}

/// `crave verify` must hold for every table (FL-1); returns rows by table.
pub(crate) fn verify(home: &Path) -> Vec<(String, u64)> {
    let (code, text) = crave(home, &["--json", "verify"]);
    let verdicts = objects(&text);
    assert_eq!(code, 0, "{verdicts:?}");
    assert!(verdicts.len() >= 4, "{verdicts:?}");
    verdicts.iter().map(|v| (v["table"].as_str().unwrap().to_owned(), v["rows"].as_u64().unwrap())).collect()
}

/// The sentences of an answer as one text.
pub(crate) fn text(answer: &Value) -> String {
    let sentences = answer["sentences"].as_array().unwrap().iter();
    sentences.map(|s| s["text"].as_str().unwrap()).collect::<Vec<_>>().join(" ")
}

/// A new bearer token of a user.
pub(crate) fn token(home: &Path, user: &str) -> String {
    token_with(home, user, &[])
}

/// The same, with environment variables.
pub(crate) fn token_with(home: &Path, user: &str, env: &[(&str, String)]) -> String {
    let output = on(home).args(["token", "add", "--user", user]).envs(env.iter().cloned()).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A running `crave up`.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
    pub(crate) http: reqwest::Client,
}

impl Server {
    pub(crate) fn start(home: &Path) -> Self {
        Self::start_with(home, &[]).expect("the server starts")
    }

    /// Starts with environment variables; `None` when it died before it listened, as failpoints make it.
    pub(crate) fn start_with(home: &Path, env: &[(&str, String)]) -> Option<Self> {
        let mut command = on(home);
        command.args(["up", "--listen", "127.0.0.1:0"]).envs(env.iter().cloned());
        Self::spawn(command)
    }

    /// Starts some parts only.
    pub(crate) fn start_only(home: &Path, parts: &str, env: &[(&str, String)]) -> Self {
        let mut command = on(home);
        command.args(["up", "--listen", "127.0.0.1:0", "--only", parts]).envs(env.iter().cloned());
        Self::spawn(command).expect("the server starts")
    }

    /// Starts a command that tells where it listens.
    pub(crate) fn spawn(mut command: Command) -> Option<Self> {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Some(url) = line.trim().strip_prefix("listening on ") else {
            child.wait().unwrap();
            return None;
        };
        let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build().unwrap();
        Some(Self { child, url: url.to_owned(), http })
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and wait for the graceful end.
    pub(crate) fn stop(self) {
        self.terminate();
        self.ended();
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self) {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().unwrap();
    }

    /// Waits for the graceful end.
    pub(crate) fn ended(mut self) {
        assert!(self.child.wait().unwrap().success(), "a graceful stop exits 0");
    }

    pub(crate) async fn get(&self, token: &str, path: &str) -> (u16, Value) {
        let sent = self.http.get(format!("{}{path}", self.url)).bearer_auth(token).send().await.unwrap();
        (sent.status().as_u16(), sent.json().await.unwrap_or(Value::Null))
    }

    pub(crate) async fn post(&self, token: &str, path: &str, body: &Value) -> (u16, Value) {
        let sent =
            self.http.post(format!("{}{path}", self.url)).bearer_auth(token).json(body).send().await.unwrap();
        (sent.status().as_u16(), sent.json().await.unwrap_or(Value::Null))
    }

    pub(crate) async fn put(&self, token: &str, path: &str, body: &Value) -> (u16, Value) {
        let sent =
            self.http.put(format!("{}{path}", self.url)).bearer_auth(token).json(body).send().await.unwrap();
        (sent.status().as_u16(), sent.json().await.unwrap_or(Value::Null))
    }

    /// A request of any method.
    pub(crate) async fn ask(&self, method: &str, token: &str, path: &str, body: &Value) -> (u16, Value) {
        let request = self.http.request(method.parse().unwrap(), format!("{}{path}", self.url));
        let sent = request.bearer_auth(token).json(body).send().await.unwrap();
        (sent.status().as_u16(), sent.json().await.unwrap_or(Value::Null))
    }

    /// Sends events; all must be accepted.
    pub(crate) async fn send(&self, token: &str, events: &Value) {
        let (status, report) = self.post(token, "/v1/events", events).await;
        let sent = events.as_array().map_or(1, Vec::len);
        assert_eq!((status, report["accepted"].as_u64()), (200, Some(sent as u64)), "{report}");
    }

    /// Rows of a query over HTTP, as the caller sees them.
    pub(crate) async fn query(&self, token: &str, sql: &str) -> Vec<Value> {
        let (status, rows) = self.post(token, "/v1/sql", &json!({ "sql": sql })).await;
        assert_eq!(status, 200, "{rows}");
        rows.as_array().unwrap().clone()
    }

    /// Asks until `good`, at most `limit`; returns how long it took.
    pub(crate) async fn until(&self, limit: Duration, mut ask: impl AsyncFnMut(&Self) -> bool) -> Duration {
        #[allow(clippy::disallowed_methods)]
        let start = Instant::now();
        while !ask(self).await {
            assert!(start.elapsed() < limit, "not within {limit:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        start.elapsed()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Deterministic ids and choices of one test.
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number (SplitMix64, public domain, by S. Vigna).
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.roll() % n
    }

    pub(crate) fn uuid(&mut self) -> String {
        let (a, b) = (self.roll(), self.roll());
        format!(
            "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
            a >> 32,
            (a >> 16) & 0xffff,
            a & 0xfff,
            b >> 52,
            b & 0xffff_ffff_ffff
        )
    }
}

/// The instant `minutes` before now, RFC 3339.
pub(crate) fn minutes_ago(minutes: i64) -> String {
    #[allow(clippy::disallowed_methods)]
    let now = chrono::Utc::now();
    (now - chrono::TimeDelta::minutes(minutes)).to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

/// A craving as a client sends it.
pub(crate) fn craving(id: &str, minutes_before_now: i64, what: &str, intensity: u8) -> Value {
    json!({
        "event_id": id, "source": "watch", "kind": "craving", "event_time": minutes_ago(minutes_before_now),
        "tz_offset_min": 120, "payload": { "craving": what, "intensity": intensity, "trigger": "stress" }
    })
}
