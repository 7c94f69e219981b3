//! The page in headless Chromium against the real server: live event, heatmap, cited answer.

use std::{path::Path, process::Command};

use serde_json::Value;

use crate::support::{Server, crave, token};

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
    assert!(seen["disclaimer"].as_str().unwrap().contains("does not"), "{seen}");
    assert!(seen["complaints"].as_array().unwrap().is_empty(), "{seen}");
    server.stop();
}
