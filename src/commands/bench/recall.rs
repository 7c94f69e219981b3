//! `crave bench recall`: how often search finds the turns that answer a question, over a file in LoCoMo's format.
//!
//! Each stage is left out once, and beside the whole stand the single retrievers, over the bare turns and over what is
//! stored of them (with speaker and the turn before).

mod locomo;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use crave_recall::{
    CONTEXT, LIMITS, Memory, MemoryId, MiniLm, Recall, SPEAKER, SearchOptions, SourceKind, Stage, Stages,
    models,
};
use crave_schemas::UserId;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use locomo::{Question, Sample, Turn};

/// Hits looked at.
const K: usize = 10;
/// Longest turn before, as context, in bytes.
const CONTEXT_BYTES_MAX: usize = 1_000;

/// Flags of `bench recall`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A file in the format of `locomo10.json`.
    #[arg(long)]
    dataset: PathBuf,
    /// Ask at most this many questions, spread evenly over the file; 0 for all.
    #[arg(long, default_value_t = 0)]
    questions: usize,
    /// Run only these, by name, such as `dense,bm25,full`; all when absent.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

/// A conversation in the index.
struct Indexed {
    user: UserId,
    /// The memory of each turn.
    ids: Vec<MemoryId>,
    as_of: DateTime<Utc>,
    questions: Vec<Question>,
}

/// One way to search.
struct Way {
    name: String,
    /// Over what is stored of a turn, or over the bare turn.
    in_context: bool,
    stages: Stages,
}

pub(super) async fn run(models: &Path, scratch: &Path, args: &Args, quiet: bool) -> anyhow::Result<Value> {
    let file = args.dataset.display();
    let bytes = std::fs::read(&args.dataset).with_context(|| format!("{file}: cannot be read"))?;
    let samples = locomo::parse(&bytes).with_context(|| format!("{file}: is not in LoCoMo's format"))?;
    let model = Arc::new(MiniLm::load(&models::folder(models))?);
    let (turns, usable) =
        (count(&samples, |one| one.turns.len()), count(&samples, |one| one.questions.len()));
    let unusable = count(&samples, |one| one.unusable);
    let all = ways();
    for name in &args.only {
        anyhow::ensure!(all.iter().any(|way| way.name == *name), "there is no run {name}: {}", names(&all));
    }
    let ways: Vec<Way> =
        all.into_iter().filter(|way| args.only.is_empty() || args.only.contains(&way.name)).collect();
    let step = if args.questions == 0 { 1 } else { usable.div_ceil(args.questions).max(1) };
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    bar.set_style(ProgressStyle::with_template("{msg:28} {bar:30} {pos}/{len} {elapsed}")?);

    let start = Instant::now();
    let bare = Recall::open(scratch.join("bare"), Some(model.clone())).await?;
    let stored = Recall::open(scratch.join("stored"), Some(model)).await?;
    bar.set_length(2 * turns as u64);
    for (recall, in_context) in [(&bare, false), (&stored, true)] {
        for (number, sample) in samples.iter().enumerate() {
            bar.set_message(format!("indexing sample {}", number + 1));
            let memories = memories(&user(number)?, &sample.turns, in_context);
            for batch in memories.chunks(LIMITS.upsert_memories_max / 4) {
                recall.upsert(batch.to_vec()).await?;
                bar.inc(batch.len() as u64);
            }
        }
        recall.optimise().await?;
    }
    let index_s = start.elapsed().as_secs_f64();

    let indexed = samples.into_iter().enumerate().map(|(number, sample)| -> anyhow::Result<Indexed> {
        let user = user(number)?;
        let ids = memories(&user, &sample.turns, false).iter().map(Memory::id).collect();
        let last = sample.turns.iter().map(|turn| turn.at).max().unwrap_or_default();
        Ok(Indexed { user, ids, as_of: last + TimeDelta::days(1), questions: sample.questions })
    });
    let indexed: Vec<Indexed> = indexed.collect::<anyhow::Result<_>>()?;
    let asked = usable.div_ceil(step);
    bar.set_length((asked * ways.len()) as u64);
    bar.set_position(0);
    let mut runs = Vec::with_capacity(ways.len());
    for way in &ways {
        bar.set_message(way.name.clone());
        let recall = if way.in_context { &stored } else { &bare };
        let run = measure(recall, way, &indexed, step, &bar).await?;
        if !quiet {
            bar.println(line(&run));
        }
        runs.push(run);
    }
    bar.finish_and_clear();
    let of =
        |name: &str| runs.iter().find(|run| run["name"] == name).and_then(|run| run["recall_at_5"].as_f64());
    let singles = ["dense", "bm25", "dense_in_context", "bm25_in_context"].into_iter().filter_map(of);
    let ahead = of("full").zip(singles.reduce(f64::max)).map(|(full, single)| round(full - single));
    #[allow(clippy::cast_precision_loss, reason = "a few thousand turns")]
    let texts_per_s = (2.0 * turns as f64 / index_s).round();
    Ok(json!({
        "bench": "recall", "dataset": args.dataset, "turns": turns, "questions": asked, "unusable_questions": unusable,
        "index_texts_per_s": texts_per_s, "runs": runs, "full_ahead_of_best_single_at_5": ahead,
    }))
}

/// All runs: the single retrievers, both fused, the whole, and the whole without each stage.
fn ways() -> Vec<Way> {
    let way = |name: &str, in_context, stages| Way { name: name.to_owned(), in_context, stages };
    let (dense, lexical) = (Stages::only(&[Stage::Dense]), Stages::only(&[Stage::Lexical]));
    let mut ways = vec![
        way("dense", false, dense),
        way("bm25", false, lexical),
        way("dense_in_context", true, dense),
        way("bm25_in_context", true, lexical),
        way("fused", true, Stages::only(&[Stage::Dense, Stage::Lexical])),
        way("full", true, Stages::default()),
        // The second time the questions' vectors are kept: search alone.
        way("full_again", true, Stages::default()),
        way("without_context", false, Stages::default()),
    ];
    ways.extend(
        Stage::ALL.map(|stage| way(&format!("without_{stage}"), true, Stages::default().without(stage))),
    );
    ways
}

fn names(ways: &[Way]) -> String {
    ways.iter().map(|way| way.name.as_str()).collect::<Vec<_>>().join(", ")
}

fn count(samples: &[Sample], of: impl Fn(&Sample) -> usize) -> usize {
    samples.iter().map(of).sum()
}

fn user(number: usize) -> anyhow::Result<UserId> {
    Ok(UserId::new(format!("sample-{number}"))?)
}

fn memories(user: &UserId, turns: &[Turn], in_context: bool) -> Vec<Memory> {
    let cut = |text: &str, max| text.get(..text.floor_char_boundary(max)).unwrap_or_default().to_owned();
    let mut memories = Vec::with_capacity(turns.len());
    let mut before: Option<&Turn> = None;
    for turn in turns {
        let id = format!("session-{}#{}", turn.session, turn.place);
        let text = cut(&turn.text, LIMITS.text_bytes_max);
        let mut memory = Memory::new(user.clone(), SourceKind::Chat, id, turn.at, text);
        if in_context && !turn.speaker.is_empty() {
            memory.attributes.insert(SPEAKER.to_owned(), turn.speaker.as_str().into());
        }
        if let Some(before) = before.filter(|before| in_context && before.session == turn.session) {
            let said = cut(&format!("{}: {}", before.speaker, before.text), CONTEXT_BYTES_MAX);
            memory.attributes.insert(CONTEXT.to_owned(), said.into());
        }
        before = Some(turn);
        memories.push(memory);
    }
    memories
}

/// What a run found, summed.
#[derive(Default)]
struct Sums {
    questions: usize,
    at: [f64; 3],
    reciprocal: f64,
}

const CUTS: [usize; 3] = [1, 5, 10];

impl Sums {
    #[allow(clippy::cast_precision_loss, reason = "a question has a handful of evidence")]
    fn add(&mut self, found: &[MemoryId], evidence: &[MemoryId]) {
        self.questions += 1;
        for (sum, cut) in self.at.iter_mut().zip(CUTS) {
            let hits = found.iter().take(cut).filter(|id| evidence.contains(id)).count();
            *sum += hits as f64 / evidence.len() as f64;
        }
        let first = found.iter().position(|id| evidence.contains(id));
        self.reciprocal += first.map_or(0.0, |place| 1.0 / (place + 1) as f64);
    }

    #[allow(clippy::cast_precision_loss, reason = "a few thousand questions")]
    fn shown(&self) -> Value {
        let mean = |sum: f64| round(sum / self.questions.max(1) as f64);
        let [one, five, ten] = self.at.map(mean);
        json!({ "questions": self.questions, "recall_at_1": one, "recall_at_5": five, "recall_at_10": ten,
            "mrr_at_10": mean(self.reciprocal) })
    }
}

async fn measure(
    recall: &Recall,
    way: &Way,
    indexed: &[Indexed],
    step: usize,
    bar: &ProgressBar,
) -> anyhow::Result<Value> {
    let (mut whole, mut by_category) = (Sums::default(), BTreeMap::<&str, Sums>::new());
    let mut took_ms = Vec::new();
    let questions = indexed.iter().flat_map(|one| one.questions.iter().map(move |question| (one, question)));
    for (one, question) in questions.step_by(step) {
        let options = SearchOptions { k: K, stages: way.stages, ..SearchOptions::new(one.as_of) };
        let text = question.text.get(..question.text.floor_char_boundary(LIMITS.query_bytes_max));
        let start = Instant::now();
        let hits = recall.search(&one.user, text.unwrap_or_default(), &options).await?;
        took_ms.push(start.elapsed().as_secs_f64() * 1e3);
        let found: Vec<MemoryId> = hits.into_iter().map(|hit| hit.id).collect();
        let evidence: Vec<MemoryId> =
            question.evidence.iter().filter_map(|turn| one.ids.get(*turn).copied()).collect();
        whole.add(&found, &evidence);
        by_category.entry(&question.category).or_default().add(&found, &evidence);
        bar.inc(1);
    }
    took_ms.sort_by(f64::total_cmp);
    let at = |share: usize| took_ms.get((took_ms.len() * share / 100).min(took_ms.len().saturating_sub(1)));
    let mut run = whole.shown();
    run["name"] = json!(way.name);
    run["p50_ms"] = json!(at(50).copied().map(round));
    run["p99_ms"] = json!(at(99).copied().map(round));
    let by_category: BTreeMap<_, _> = by_category.iter().map(|(name, sums)| (*name, sums.shown())).collect();
    run["by_category"] = json!(by_category);
    Ok(run)
}

fn round(number: f64) -> f64 {
    (number * 1e4).round() / 1e4
}

fn line(run: &Value) -> String {
    let number = |name: &str| run[name].as_f64().unwrap_or_default();
    let categories = run["by_category"].as_object().into_iter().flatten();
    let each: Vec<String> = categories
        .map(|(name, sums)| format!("{name}: {:.3}", sums["recall_at_5"].as_f64().unwrap_or_default()))
        .collect();
    format!(
        "{:22} recall@1 {:.3}  @5 {:.3}  @10 {:.3}  mrr {:.3}  p50 {:.1} ms  p99 {:.1} ms  @5 by category {}",
        run["name"].as_str().unwrap_or_default(),
        number("recall_at_1"),
        number("recall_at_5"),
        number("recall_at_10"),
        number("mrr_at_10"),
        number("p50_ms"),
        number("p99_ms"),
        each.join("  ")
    )
}
