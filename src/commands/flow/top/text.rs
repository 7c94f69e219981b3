//! The jobs as lines of text. Pure: two looks in, lines out.

use crave_flow::{JobStart, JobStatus, NodeKind, NodeStatus};

use crate::node::Status;

const COLUMNS: &str = "    in/s   out/s  waits  behind     late  state";
const NAME_CHARS: usize = 44;

/// The picture of `now`; rates are taken since `before`.
pub(super) fn lines(before: Option<&Status>, now: &Status) -> Vec<String> {
    let pipeline = &now.pipeline;
    let checkpoint = pipeline.checkpoint_at_ms.map_or("none yet".into(), |at| {
        format!("{} ago, took {} ms", span(now.at_ms - at), pipeline.checkpoint_took_ms)
    });
    let mut lines = vec![format!("epoch {}, checkpoint {checkpoint}", pipeline.epoch)];
    lines.extend(now.verified.iter().map(|last| {
        let ago = span(now.at_ms - last.at_ms);
        let found =
            last.complaint().unwrap_or_else(|| format!("all {} tables equal their SQL", last.verdicts.len()));
        format!("verified {ago} ago: {found}")
    }));
    lines.extend(now.waiting.iter().map(|reason| format!("not ready: {reason}")));
    lines.extend(pipeline.failure.iter().map(|failure| format!("failed: {failure}")));
    let dirty = now.dirty.iter().filter(|(_, d)| d.due + d.open > 0);
    let dirty: Vec<_> = dirty.map(|(table, d)| format!("{table} {} due, {} open", d.due, d.open)).collect();
    if !dirty.is_empty() {
        lines.push(format!("dirty windows: {}", dirty.join("; ")));
    }
    for job in &pipeline.jobs {
        let known = before.and_then(|b| Some((b, b.pipeline.jobs.iter().find(|j| j.job == job.job)?)));
        let began = match job.start {
            JobStart::Resumed { epoch } => format!("resumed from epoch {epoch}"),
            JobStart::Fresh { .. } => "began with this process".into(),
        };
        lines.push(String::new());
        lines.push(format!("{:<NAME_CHARS$}{COLUMNS}", format!("{} ({began})", job.job)));
        for (at, node) in job.nodes.iter().enumerate() {
            let known = known.and_then(|(b, j)| Some((b.at_ms, j.nodes.get(at)?)));
            lines.push(line(job, at, node, known, now.at_ms));
        }
    }
    lines
}

/// A node, indented by how far it is from a source.
fn line(
    job: &JobStatus,
    at: usize,
    node: &NodeStatus,
    before: Option<(i64, &NodeStatus)>,
    now_ms: i64,
) -> String {
    let kind = match node.kind {
        NodeKind::Source => "source ",
        NodeKind::Stage => "",
        NodeKind::Sink => "sink ",
    };
    let mut name = format!("{:indent$}{kind}{}", "", node.name, indent = 2 * depth(&job.nodes, at));
    if node.inputs.len() > 1 {
        let from: Vec<_> =
            node.inputs.iter().filter_map(|&i| Some(job.nodes.get(i)?.name.as_str())).collect();
        name.push_str(&format!(" of {}", from.join(", ")));
    }
    if name.chars().count() > NAME_CHARS - 1 {
        name = name.chars().take(NAME_CHARS - 2).chain(['…']).collect();
    }
    let rates = before.and_then(|(at_ms, before)| Rates::between(before, node, now_ms - at_ms));
    let (rows_in, rows_out, waits) = rates.map_or(("–".into(), "–".into(), "–".into()), |rates| {
        (short(rates.rows_in), short(rates.rows_out), format!("{:.0} %", 100.0 * rates.waits))
    });
    let rows_out = if node.kind == NodeKind::Sink { String::new() } else { rows_out };
    let waits = if node.kind == NodeKind::Sink { String::new() } else { waits };
    let behind = match node.watermark_ns {
        i64::MIN => "–".into(),
        i64::MAX => "ended".into(),
        ns => span(now_ms - ns.div_euclid(1_000_000)),
    };
    let (late, state) = match node.kind {
        NodeKind::Stage => (
            node.late_rows.to_string(),
            format!("{} rows, {}", short_count(node.state_rows), bytes(node.state_bytes)),
        ),
        _ => Default::default(),
    };
    let text = format!("{name:<NAME_CHARS$}{rows_in:>8}{rows_out:>8}{waits:>7}{behind:>8}{late:>9}  {state}");
    text.trim_end().to_owned()
}

/// Steps from a source.
fn depth(nodes: &[NodeStatus], at: usize) -> usize {
    let inputs = nodes.get(at).map(|node| node.inputs.as_slice()).unwrap_or_default();
    // Inputs stand before what they lead to, so this ends.
    inputs.iter().filter(|&&input| input < at).map(|&input| depth(nodes, input) + 1).max().unwrap_or(0)
}

/// What happened between two looks.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rates {
    rows_in: f64,
    rows_out: f64,
    /// Share of the time that its tasks waited for room in the next channel.
    waits: f64,
}

impl Rates {
    /// `None` where counts began anew, as after a restart.
    #[allow(clippy::cast_precision_loss, reason = "rates for people")]
    fn between(before: &NodeStatus, now: &NodeStatus, ms: i64) -> Option<Self> {
        let seconds = (ms > 0).then_some(ms as f64 / 1_000.0)?;
        let grown = |of: fn(&NodeStatus) -> u64| Some(of(now).checked_sub(of(before))? as f64 / seconds);
        let waits = grown(|node| node.waited_ms)? / 1_000.0 / now.tasks.max(1) as f64;
        Some(Self {
            rows_in: grown(|node| node.rows_in)?,
            rows_out: grown(|node| node.rows_out)?,
            waits: waits.min(1.0),
        })
    }
}

fn short(number: f64) -> String {
    match number {
        n if n >= 1e6 => format!("{:.1}M", n / 1e6),
        n if n >= 1e4 => format!("{:.0}k", n / 1e3),
        n if n >= 10.0 || n.fract() == 0.0 => format!("{n:.0}"),
        n => format!("{n:.1}"),
    }
}

#[allow(clippy::cast_precision_loss, reason = "a number for people")]
fn short_count(number: u64) -> String {
    short(number as f64)
}

fn bytes(number: u64) -> String {
    bytesize::ByteSize(number).display().iec().to_string()
}

/// A span of time in its largest unit.
pub(super) fn span(ms: i64) -> String {
    match ms.max(0) {
        ms if ms < 10_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        ms if ms < 120_000 => format!("{} s", ms / 1_000),
        ms if ms < 2 * 3_600_000 => format!("{} min", ms / 60_000),
        ms if ms < 2 * 86_400_000 => format!("{} h", ms / 3_600_000),
        ms => format!("{} d", ms / 86_400_000),
    }
}

#[cfg(test)]
mod tests {
    use crave_flow::PipelineStatus;

    use super::*;

    fn node(kind: NodeKind, name: &str, inputs: Vec<usize>, rows: u64) -> NodeStatus {
        NodeStatus {
            kind,
            name: name.into(),
            detail: String::new(),
            inputs,
            sources: vec!["events".into()],
            tasks: 2,
            rows_in: rows,
            rows_out: rows / 2,
            late_rows: 3,
            waited_ms: rows,
            watermark_ns: 1_000_000_000,
            state_rows: 12_345,
            state_bytes: 2_048,
        }
    }

    fn status(at_ms: i64, rows: u64) -> Status {
        let nodes = vec![
            node(NodeKind::Source, "events", vec![], rows),
            node(NodeKind::Stage, "hop(1 day, 30 days)", vec![0], rows),
            node(NodeKind::Sink, "recency", vec![1], 0),
        ];
        let job = JobStatus {
            job: "recency".into(),
            start: JobStart::Resumed { epoch: 4 },
            rows_in: rows,
            rows_out: 0,
            late_rows: 3,
            watermark_ns: i64::MIN,
            state_rows: 0,
            state_bytes: 0,
            nodes,
        };
        let pipeline = PipelineStatus {
            jobs: vec![job],
            epoch: 9,
            checkpoint_at_ms: Some(at_ms - 400),
            checkpoint_took_ms: 12,
            finished: false,
            failure: None,
        };
        let dirty = serde_json::from_str(r#"{"recency": {"due": 1, "open": 2}}"#).unwrap();
        Status { at_ms, pipeline, waiting: Vec::new(), verified: None, dirty }
    }

    #[test]
    fn the_graph_is_told_in_lines_with_rates() {
        let lines = lines(Some(&status(10_000, 0)), &status(11_000, 1_000));
        let text = lines.join("\n");
        println!("{text}");
        assert!(text.starts_with("epoch 9, checkpoint 0.4 s ago, took 12 ms\n"), "{text}");
        assert!(text.contains("dirty windows: recency 1 due, 2 open"), "{text}");
        let stage = lines.iter().find(|line| line.starts_with("  hop(1 day, 30 days)")).unwrap();
        let words: Vec<_> = stage.split_whitespace().skip(4).collect();
        assert_eq!(words, ["1000", "500", "50", "%", "10", "s", "3", "12k", "rows,", "2.0", "KiB"], "{text}");
        assert!(text.contains("\n    sink recency"), "{text}");
    }

    #[test]
    fn counts_that_began_anew_have_no_rate() {
        let (before, now) = (status(0, 5), status(1_000, 4));
        let node = |status: &Status| status.pipeline.jobs[0].nodes[0].clone();
        assert_eq!(Rates::between(&node(&before), &node(&now), 1_000), None);
        assert_eq!(Rates::between(&node(&now), &node(&now), 0), None);
        assert!(!lines(Some(&before), &now).is_empty() && !lines(None, &now).is_empty());
    }

    #[test]
    fn spans_are_told_in_their_unit() {
        let table =
            [(-5, "0.0 s"), (950, "0.9 s"), (61_000, "61 s"), (600_000, "10 min"), (86_400_000, "24 h")];
        assert!(table.iter().all(|(ms, text)| span(*ms) == *text));
    }
}
