//! The page in headless Chromium against the real server: live event, heatmap, cited answer.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::support::{Server, binary, crave, token};

#[test]
fn the_page_shows_the_live_event_the_heatmap_and_the_cited_answer() {
    let dashboard = Path::new(env!("CARGO_MANIFEST_DIR")).join("serving/dashboard");
    assert!(dashboard.join("node_modules").exists(), "run `make dashboard` first");
    let home = tempfile::tempdir().unwrap();
    let (code, _) = crave(home.path(), &["simulate", "--users", "1", "--days", "60", "--seed", "7"]);
    assert_eq!(code, 0);
    let token = token(home.path(), "sim-0001-night-sugar");
    let server = Server::start(home.path());
    let shot = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page.png");
    let seen = Command::new("node")
        .args(["test/whole_system.mjs", &server.url, &token])
        .arg(&shot)
        .current_dir(&dashboard)
        .output()
        .unwrap();
    assert!(seen.status.success(), "{}", String::from_utf8_lossy(&seen.stderr));
    let seen: Value = serde_json::from_slice(&seen.stdout).unwrap();
    println!("{seen:#}; screenshot in {}", shot.display());
    assert_eq!(seen["status"], 200);
    assert!(seen["heatmap"].as_u64().unwrap() > 0);
    assert!(seen["sentences"].as_array().unwrap().len() >= 2, "{seen}");
    assert!(
        !seen["followed"].as_array().unwrap().is_empty(),
        "a second question of the conversation: {seen}"
    );
    assert!(seen["disclaimer"].as_str().unwrap().contains("does not"), "{seen}");
    assert!(seen["complaints"].as_array().unwrap().is_empty(), "{seen}");
    server.stop();
}

/// `crave flow top --page`: the jobs of a running server, drawn, with its real numbers.
#[test]
fn the_operators_page_draws_the_jobs_of_a_running_server() {
    let dashboard = Path::new(env!("CARGO_MANIFEST_DIR")).join("serving/dashboard");
    assert!(dashboard.join("node_modules").exists(), "run `make dashboard` first");
    let home = tempfile::tempdir().unwrap();
    let (code, _) = crave(home.path(), &["simulate", "--users", "1", "--days", "20", "--seed", "7"]);
    assert_eq!(code, 0);
    let server = Server::start_with(home.path(), &[("CRAVE__LOG__HEARTBEAT", "300ms".to_owned())]).unwrap();
    assert_eq!(
        crave(home.path(), &["flow", "top", "--page", "0.0.0.0:0"]),
        (1, String::new()),
        "loopback only"
    );
    let page = binary()
        .arg("--home")
        .arg(home.path())
        .args(["flow", "top", "--page"])
        .stdout(Stdio::piped())
        .spawn();
    let mut page = page.unwrap();
    let mut url = String::new();
    BufReader::new(page.stdout.take().unwrap()).read_line(&mut url).unwrap();
    let (url, shot) = (url.trim(), Path::new(env!("CARGO_TARGET_TMPDIR")).join("flow.png"));
    let secret = url.trim_end_matches('/').rsplit('/').next().unwrap();
    assert_eq!(secret.len(), 64, "{url}");
    let seen =
        Command::new("node").args(["test/flow_system.mjs", url]).arg(&shot).current_dir(&dashboard).output();
    let guessed = Command::new("node")
        .args(["-e", "fetch(process.argv[1]).then((answer) => console.log(answer.status))"])
        .arg(url.replace(secret, &"0".repeat(64)))
        .output();
    page.kill().unwrap();
    page.wait().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&guessed.unwrap().stdout).trim(),
        "404",
        "without the secret there is nothing"
    );
    let seen = seen.unwrap();
    assert!(seen.status.success(), "{}", String::from_utf8_lossy(&seen.stderr));
    let seen: Value = serde_json::from_slice(&seen.stdout).unwrap();
    println!("{seen:#}; screenshot in {}", shot.display());
    assert!(seen["complaints"].as_array().unwrap().is_empty(), "{seen}");
    assert!(seen["summary"].as_str().unwrap().contains("checkpoint"), "{seen}");
    let jobs = seen["then"].as_array().unwrap();
    assert!(jobs.len() >= 8, "{seen}");
    let recency = jobs.iter().find(|job| job["job"] == "recency").unwrap();
    let names: Vec<_> =
        recency["nodes"].as_array().unwrap().iter().map(|node| node["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["events", "hop(1 day, 30 days)", "recency"]);
    let stage = recency["nodes"][1]["text"].as_str().unwrap();
    assert!(stage.contains("rows of state") && stage.contains("rows/s in"), "{stage}");
    server.stop();
}
