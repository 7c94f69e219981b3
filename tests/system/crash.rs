//! IN-1 and FL-1 under `kill -9`: at random moments, and between the steps of the commit protocol.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::{Value, json};

use crate::support::{Dice, Server, craving, sql, token, verify};

/// Kills in a row.
const ROUNDS: u64 = 40;
/// Where a process is killed, apart from random moments.
const FAILPOINTS: [&str; 5] =
    ["after stage", "after decision", "before commit", "between publish and commit", "after commit"];
const USERS: [&str; 3] = ["ada", "bob", "eve"];

#[tokio::test(flavor = "multi_thread")]
async fn forty_kills_lose_and_double_nothing() {
    let home = tempfile::tempdir().unwrap();
    let tokens: Vec<_> = USERS.iter().map(|user| token(home.path(), user)).collect();
    let mut dice = Dice::new(40);
    let mut acknowledged = BTreeSet::new();
    let mut sent = BTreeMap::new();
    for round in 0..ROUNDS {
        let at = dice.below(6);
        let env = match FAILPOINTS.get(usize::try_from(at).unwrap()) {
            Some(name) => vec![("CRAVE_FAILPOINT", format!("{name}@{}", 1 + dice.below(12)))],
            None => vec![],
        };
        // Dead before it listened: it was redoing an epoch when the failpoint struck. Nothing was sent.
        let Some(server) = Server::start_with(home.path(), &env) else { continue };
        for _ in 0..60 {
            let user = usize::try_from(dice.below(3)).unwrap();
            let batch: Vec<Value> = (0..1 + dice.below(8))
                .map(|_| {
                    // Some of today, some late, some of last month.
                    let minutes = [0, 90, 3 * 1_440, 35 * 1_440][usize::try_from(dice.below(4)).unwrap()];
                    let intensity = u8::try_from(dice.below(11)).unwrap();
                    craving(
                        &dice.uuid(),
                        minutes + i64::try_from(dice.below(60)).unwrap(),
                        "sugar",
                        intensity,
                    )
                })
                .collect();
            for event in &batch {
                sent.insert(event["event_id"].as_str().unwrap().to_owned(), USERS[user]);
            }
            let post = server.http.post(format!("{}/v1/events", server.url)).bearer_auth(&tokens[user]);
            let answer = post.json(&json!(batch)).send().await;
            match answer {
                Ok(answer) if answer.status() == 200 => {
                    acknowledged.extend(batch.iter().map(|e| e["event_id"].as_str().unwrap().to_owned()));
                }
                Ok(answer) => panic!("round {round}: {}", answer.status()),
                Err(_) => break,
            }
            if env.is_empty() && dice.below(25) == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(dice.below(60))).await;
        }
        server.kill();
    }
    verify(home.path());
    let rows = sql(home.path(), "SELECT event_id, user_id FROM events");
    let stored: BTreeMap<_, _> =
        rows.iter().map(|r| (r["event_id"].as_str().unwrap(), r["user_id"].as_str().unwrap())).collect();
    println!("{} acknowledged, {} sent, {} stored", acknowledged.len(), sent.len(), rows.len());
    assert_eq!(stored.len(), rows.len(), "no row twice");
    assert!(acknowledged.len() > 500, "the test sends enough to mean something");
    let lost: Vec<_> = acknowledged.iter().filter(|id| !stored.contains_key(id.as_str())).collect();
    assert!(lost.is_empty(), "acknowledged but not stored: {lost:?}");
    assert!(stored.iter().all(|(id, user)| sent.get(*id) == Some(user)), "nothing appears that was not sent");
    let cravings = sql(home.path(), "SELECT count(*) AS n, count(DISTINCT event_id) AS ids FROM cravings");
    assert_eq!((&cravings[0]["n"], &cravings[0]["ids"]), (&json!(rows.len()), &json!(rows.len())));
}
