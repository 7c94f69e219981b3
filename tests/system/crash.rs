//! IN-1 and FL-1 under `kill -9`: at random moments, and between the steps that leave something durable behind.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::Duration,
};

use serde_json::{Value, json};

use crate::support::{Dice, Server, crave, craving, minutes_ago, objects, sql, token};

/// Kills, where `CRASH_KILLS` does not say: a broker needs more time for each.
const KILLS: u64 = 200;
const KILLS_KAFKA: u64 = 40;
/// Kills in a row on one home; then the next one begins from nothing.
const KILLS_A_HOME: u64 = 50;
/// Where a process is killed, apart from random moments, and how often it may pass there before.
const FAILPOINTS: [(&str, u64); 18] = [
    ("before admit", 8),
    ("after admit", 8),
    ("after stage", 12),
    ("before rename", 40),
    ("after rename", 40),
    ("after decision", 6),
    ("before commit", 8),
    ("between publish and commit", 8),
    ("between commit and sync", 8),
    ("after commit", 8),
    ("before resolve", 2),
    ("before repair", 4),
    ("after repair", 4),
    ("before naming", 8),
    ("after naming", 8),
    ("after creation", 8),
    ("before switch", 1),
    ("during switch", 1),
];
const USERS: [&str; 3] = ["ada", "bob", "eve"];

/// A home under fire, and what its server was sent and has acknowledged.
struct Target {
    home: tempfile::TempDir,
    tokens: Vec<String>,
    sent: BTreeMap<String, &'static str>,
    acknowledged: BTreeSet<String>,
    /// Versions of the job that is changed now and then.
    versions: u64,
}

impl Target {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let tokens = USERS.iter().map(|user| token(home.path(), user)).collect();
        let jobs = home.path().join("my-jobs");
        fs::create_dir(&jobs).unwrap();
        let config = format!(
            "[flow]\njobs = {jobs:?}\n[repair]\ninterval = \"100ms\"\n[log]\nheartbeat = \"300ms\"\n"
        );
        fs::write(home.path().join("crave.toml"), config).unwrap();
        let mut target =
            Self { home, tokens, sent: BTreeMap::new(), acknowledged: BTreeSet::new(), versions: 0 };
        target.change_job();
        target
    }

    fn path(&self) -> &Path {
        self.home.path()
    }

    fn config(&self) -> String {
        self.path().join("crave.toml").to_string_lossy().into_owned()
    }

    /// A job of its own, whose table is built anew with each version.
    fn change_job(&mut self) {
        self.versions += 1;
        let source = fs::read_to_string("sql/jobs/events.sql").unwrap();
        let source = &source[..source.find("CREATE TABLE events_out").unwrap()];
        let job = format!(
            "{source}
            CREATE TABLE mine (window_start TIMESTAMP(6) NOT NULL, window_end TIMESTAMP(6) NOT NULL, user_id TEXT NOT NULL,
              n BIGINT NOT NULL, version BIGINT NOT NULL)
            WITH (connector = 'delta', path = '$lake/mine', type = 'sink');
            INSERT INTO mine SELECT CAST(window.start AS TIMESTAMP(6)), CAST(window.end AS TIMESTAMP(6)), user_id, n, {}
            FROM (SELECT tumble(INTERVAL '1 hour') AS window, user_id, count(*) AS n FROM events
                  WHERE kind <> 'heartbeat' GROUP BY window, user_id);",
            self.versions
        );
        fs::write(self.path().join("my-jobs/mine.sql"), job).unwrap();
    }

    fn event(&self, dice: &mut Dice, user: &'static str) -> Value {
        let below = |dice: &mut Dice, n: u64| usize::try_from(dice.below(n)).unwrap();
        // Some of today, some late, some of last month.
        let minutes = [0, 90, 3 * 1_440, 35 * 1_440][below(dice, 4)] + i64::try_from(dice.below(60)).unwrap();
        let intensity = u8::try_from(dice.below(11)).unwrap();
        let own: Vec<_> = self.sent.iter().filter(|(_, of)| **of == user).map(|(id, _)| id).collect();
        if own.is_empty() || dice.below(5) > 0 {
            return craving(&dice.uuid(), minutes, "sugar", intensity);
        }
        let target = own[below(dice, own.len() as u64)];
        let (kind, payload) = if dice.below(2) == 0 {
            ("retract", json!({ "target": target }))
        } else {
            let body = json!({ "craving": "sugar", "intensity": intensity });
            let moved = minutes_ago(minutes);
            (
                "correct",
                json!({ "target": target, "revision": 1 + dice.below(3), "kind": "craving", "event_time": moved, "body": body }),
            )
        };
        json!({ "event_id": dice.uuid(), "source": "phone", "kind": kind, "event_time": minutes_ago(0), "payload": payload })
    }

    /// Sends until the server is dead, or its time is over; `false` when it died before it listened: it was redoing an
    /// epoch when the failpoint struck, and nothing was sent.
    async fn round(&mut self, dice: &mut Dice, failpoint: Option<String>) -> bool {
        let mut env = vec![("CRAVE__FLOW__JOBS", self.path().join("my-jobs").to_string_lossy().into_owned())];
        env.push(("CRAVE__REPAIR__INTERVAL", "100ms".into()));
        env.push(("CRAVE__LOG__HEARTBEAT", "300ms".into()));
        let struck = failpoint.is_some();
        env.extend(failpoint.map(|failpoint| ("CRAVE_FAILPOINT", failpoint)));
        let Some(server) = Server::start_with(self.path(), &env) else {
            assert!(struck, "the server does not start any more");
            return false;
        };
        for _ in 0..4 + dice.below(12) {
            let user = usize::try_from(dice.below(3)).unwrap();
            let batch: Vec<_> = (0..1 + dice.below(8)).map(|_| self.event(dice, USERS[user])).collect();
            let ids = batch.iter().map(|event| event["event_id"].as_str().unwrap().to_owned());
            let ids: Vec<_> = ids.collect();
            self.sent.extend(ids.iter().map(|id| (id.clone(), USERS[user])));
            let post = server.http.post(format!("{}/v1/events", server.url)).bearer_auth(&self.tokens[user]);
            match post.json(&json!(batch)).send().await {
                Ok(answer) if answer.status() == 200 => self.acknowledged.extend(ids),
                Ok(answer) => panic!("{}", answer.status()),
                Err(_) => break,
            }
            if !struck && dice.below(12) == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(dice.below(40))).await;
        }
        server.kill();
        true
    }

    /// Nothing acknowledged is lost, nothing is there twice, and every table equals its SQL in batch.
    fn check(&self) {
        let (code, text) = crave(self.path(), &["--config", &self.config(), "--json", "verify"]);
        let verdicts = objects(&text);
        assert_eq!(code, 0, "{verdicts:?}");
        assert!(verdicts.iter().any(|v| v["table"] == "mine") && verdicts.len() >= 5, "{verdicts:?}");
        let rows = sql(self.path(), "SELECT event_id, user_id FROM events");
        let stored: BTreeMap<_, _> =
            rows.iter().map(|r| (r["event_id"].as_str().unwrap(), r["user_id"].as_str().unwrap())).collect();
        println!("{} acknowledged, {} sent, {} stored", self.acknowledged.len(), self.sent.len(), rows.len());
        assert_eq!(stored.len(), rows.len(), "no row twice");
        let lost: Vec<_> = self.acknowledged.iter().filter(|id| !stored.contains_key(id.as_str())).collect();
        assert!(lost.is_empty(), "acknowledged but not stored: {lost:?}");
        let sent = |(id, user): (&&str, &&str)| self.sent.get(*id).is_some_and(|of| of == user);
        assert!(stored.iter().all(sent), "nothing appears that was not sent");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_lose_and_double_nothing() {
    let kafka = std::env::var("KAFKA_BOOTSTRAP").is_ok();
    let asked = std::env::var("CRASH_KILLS").ok().and_then(|n| n.parse().ok());
    let kills = asked.unwrap_or(if kafka { KILLS_KAFKA } else { KILLS });
    let mut dice = Dice::new(40);
    let (mut acknowledged, mut early) = (0, 0);
    for first in (0..kills).step_by(usize::try_from(KILLS_A_HOME).unwrap()) {
        let mut target = Target::new();
        for round in first..kills.min(first + KILLS_A_HOME) {
            // A fresh home first: its tables get their names. Then a changed job now and then.
            let mut failpoint = FAILPOINTS.get(usize::try_from(dice.below(24)).unwrap());
            if round == first || dice.below(6) == 0 {
                target.change_job();
                failpoint = FAILPOINTS.get(usize::try_from(13 + dice.below(5)).unwrap());
            }
            let failpoint = failpoint.map(|(name, passes)| format!("{name}@{}", 1 + dice.below(*passes)));
            early += u64::from(!target.round(&mut dice, failpoint).await);
        }
        target.check();
        acknowledged += target.acknowledged.len() as u64;
    }
    println!("{kills} kills, {early} of them before the server listened; {acknowledged} events acknowledged");
    assert!(acknowledged > kills * 10, "the test sends enough to mean something");
}
