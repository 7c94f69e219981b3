//! `crave doctor`: is this machine and home fit to run?

use std::{fs::File, io::Write as _, process::ExitCode, time::Duration};

use serde_json::json;

use crate::{
    config::{self, Config, EmbedderKind, Store},
    home::Home,
    node::Verified,
};

/// Syncs measured.
const SYNCS: u32 = 50;

pub(crate) fn run(home: &Home, config: &Config, json: bool) -> anyhow::Result<ExitCode> {
    let free = home.lock().is_ok();
    let syncs_per_s = sync_rate(home)?;
    let slow = syncs_per_s < 50.0;
    let verified = Verified::of(home);
    let complaint = verified.as_ref().and_then(Verified::complaint);
    if json {
        println!(
            "{}",
            json!({ "home": home.path(), "free": free, "fsync_per_s": syncs_per_s, "listen": config.server.listen, "verified": verified, "memories": memories(home, &config.recall) })
        );
    } else {
        println!(
            "home      {}{}",
            home.path().display(),
            if free { "" } else { " (a crave process is running on it)" }
        );
        println!(
            "disk      {syncs_per_s:.0} durable writes/s{}",
            if slow { ": slow; acknowledgements will wait" } else { "" }
        );
        println!("listen    {}", config.server.listen);
        println!("memories  {}", memories(home, &config.recall));
        let proved = verified.as_ref().map_or("no verify yet".into(), |last| {
            let at = chrono::DateTime::from_timestamp_millis(last.at_ms).unwrap_or_default();
            let tables = format!("{} tables equal their SQL", last.verdicts.len());
            format!("{} UTC: {}", at.format("%F %T"), complaint.clone().unwrap_or(tables))
        });
        println!("verified  {proved}");
    }
    Ok(if slow || complaint.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// How memories are found and where they are, as configured.
fn memories(home: &Home, recall: &config::Recall) -> String {
    let embedder = &recall.embedder;
    let found = match embedder.kind {
        EmbedderKind::MiniLm => super::models::state(home),
        EmbedderKind::OpenAi => format!(
            "search by words, and by meaning for those who agreed to {} at {}",
            embedder.model, embedder.url
        ),
    };
    match recall.store {
        Store::Edge => found,
        Store::Qdrant => format!("{found}; on the Qdrant server {}", recall.url),
    }
}

/// Durable 4 KiB writes a second.
#[allow(clippy::disallowed_methods, reason = "a measurement of this machine")]
pub(crate) fn sync_rate(home: &Home) -> anyhow::Result<f64> {
    let path = home.path().join("doctor.tmp");
    let mut file = File::create(&path)?;
    let start = std::time::Instant::now();
    for _ in 0..SYNCS {
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
    }
    let took = start.elapsed().max(Duration::from_micros(1));
    std::fs::remove_file(&path)?;
    Ok(f64::from(SYNCS) / took.as_secs_f64())
}
