//! `crave emotion < texts`: what each line tells of a craving, its trigger, company, place and emotions.

use std::{
    io::{BufRead as _, Write as _},
    process::ExitCode,
};

use anyhow::Context as _;
use crave_recall::{MiniLm, Understander, Understanding, models, understand::Label};
use serde_json::json;

use crate::home::Home;

/// Lines read at once.
const BATCH_LINES: usize = 256;

pub(crate) async fn run(home: &Home, json: bool) -> anyhow::Result<ExitCode> {
    let folder = home.models();
    let model = match models::is_present(&folder) {
        true => Some(MiniLm::load(&models::folder(&folder))?),
        false => {
            eprintln!("crave: no embedding model here, reading by words alone; run `crave models pull`");
            None
        }
    };
    let reader = Understander::new(model)?;
    let mut lines = std::io::stdin().lock().lines();
    let (mut line_n, mut out) = (0_u64, std::io::stdout());
    loop {
        let batch: Vec<String> =
            lines.by_ref().take(BATCH_LINES).collect::<Result<_, _>>().context("reading")?;
        if batch.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        let read = reader.understand(&batch).await;
        let read =
            read.with_context(|| format!("lines {} to {}", line_n + 1, line_n + batch.len() as u64))?;
        for understood in read {
            line_n += 1;
            if json {
                let mut object = json!({ "line": line_n });
                if let (Some(object), serde_json::Value::Object(labels)) =
                    (object.as_object_mut(), serde_json::to_value(&understood)?)
                {
                    object.extend(labels);
                }
                writeln!(out, "{object}")?;
            } else {
                writeln!(out, "{line_n}: {}", plain(&understood))?;
            }
        }
    }
}

fn plain(understood: &Understanding) -> String {
    let labels = |labels: &[Label]| {
        labels.iter().map(|l| format!("{} {:.2}", l.label, l.confidence)).collect::<Vec<_>>().join(", ")
    };
    let kinds = [
        ("craved", &understood.craved),
        ("trigger", &understood.trigger),
        ("company", &understood.company),
        ("place", &understood.place),
        ("emotions", &understood.emotions),
    ];
    let kinds = kinds.iter().filter(|(_, list)| !list.is_empty());
    let told: Vec<String> = kinds.map(|(kind, list)| format!("; {kind}: {}", labels(list))).collect();
    format!("craving {}{}", labels(&[understood.craving]), told.concat())
}
