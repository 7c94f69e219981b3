//! `crave search`: one person's memories that fit a question, best first, with the parts of their scores.

use std::process::ExitCode;

use chrono::{DateTime, Utc};
use crave_api::Accounts;
use crave_recall::{Hit, Stage};
use crave_schemas::{Clock as _, SystemClock, UserId};
use serde_json::json;

use crate::{
    config::Config,
    home::Home,
    operator::{Operator, Sought},
};

/// Longest text shown in a line, in characters.
const SHOWN_CHARS: usize = 160;

/// Flags of `search`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Whose memories.
    #[arg(long)]
    user: String,
    /// What is looked for, in plain words.
    question: String,
    /// Most hits, up to 200.
    #[arg(long, short, default_value_t = 10)]
    k: usize,
    /// "Now", RFC 3339: ages count from here, and what came later is not known.
    #[arg(long)]
    as_of: Option<DateTime<Utc>>,
    /// Leave a stage out: dense, lexical, rewrite, neighbours, people, period, rerank, recency, importance, emotion, gate,
    /// diversity, depth.
    #[arg(long, value_name = "STAGE", num_args = 1.., value_delimiter = ',')]
    without: Vec<Stage>,
}

pub(crate) async fn run(home: &Home, config: &Config, args: &Args, json: bool) -> anyhow::Result<ExitCode> {
    let user = UserId::new(args.user.as_str())?;
    let chosen = Accounts::open(&home.accounts()).await?.profile(&user).await?;
    let now = args.as_of.unwrap_or_else(|| SystemClock.now());
    let sought = Sought {
        offset_min: chosen.offset_min(now).unwrap_or_default(),
        user,
        question: args.question.clone(),
        k: args.k,
        as_of: args.as_of,
        without: args.without.clone(),
    };
    let operator = Operator::with_memories(home, config).await?;
    let hits = operator.search(sought).await;
    operator.close().await;
    let hits = hits?;
    if json {
        let hits: Vec<_> = hits.iter().map(shown).collect();
        println!("{}", json!({ "question": args.question, "hits": hits }));
    } else {
        for hit in &hits {
            println!("{}", line(hit));
        }
        if hits.is_empty() {
            println!("nothing that is remembered fits");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn shown(hit: &Hit) -> serde_json::Value {
    let memory = &hit.memory;
    json!({
        "id": hit.id, "score": hit.score, "parts": hit.parts, "age_days": hit.parts.age_days,
        "source": { "kind": memory.source_kind, "id": memory.source_id, "chunk": memory.chunk, "revision": memory.revision },
        "event_time": memory.event_time, "text": memory.text, "attributes": memory.attributes,
    })
}

fn line(hit: &Hit) -> String {
    let (memory, parts) = (&hit.memory, &hit.parts);
    let text: String = memory.text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text: String = text.chars().take(SHOWN_CHARS).collect();
    let meaning = parts.dense.map_or_else(|| "-".to_owned(), |cosine| format!("{cosine:.2}"));
    format!(
        "{:.3}  {}  {} {}\n       meaning {meaning}, words {:.1}, fits {:.2}, age {:.0} d weighs {:.2}\n       {text}",
        hit.score,
        memory.event_time.format("%Y-%m-%d %H:%M"),
        memory.source_kind,
        memory.source_id,
        parts.lexical,
        parts.relevance,
        parts.age_days,
        parts.time,
    )
}
