//! A running job as a graph: its sources, stages and sinks, and what has passed through each.
//!
//! Tasks count with one atomic addition a batch; who wants rates looks twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::plan::{Branch, BranchOrigin, JobPlan};

/// What a node of a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeKind {
    /// Reads a table.
    Source,
    /// Keeps state: windows, sessions, joins, rankings.
    Stage,
    /// Writes a table.
    Sink,
}

/// One node of a job at this moment. Counts begin with the process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// What it is.
    pub kind: NodeKind,
    /// The table's name, or what the stage computes: `hop(1 day, 30 days)`, `inner join in window`, …; no other node of
    /// this kind in the job has it.
    pub name: String,
    /// More of it: the connector, or keys and aggregates.
    pub detail: String,
    /// Where its rows come from: places in [`JobStatus::nodes`](crate::JobStatus::nodes).
    pub inputs: Vec<usize>,
    /// The sources whose rows reach it, by name.
    pub sources: Vec<String>,
    /// Tasks that share its work: partitions of a source, parts of a stage's keys.
    pub tasks: u64,
    /// Rows that reached it.
    pub rows_in: u64,
    /// Rows that left it, after the projections and filters behind it.
    pub rows_out: u64,
    /// Rows that came too late for one of its windows, with those of earlier runs that its state is from.
    pub late_rows: u64,
    /// Time its tasks have waited for room in the next one's channel, summed (ms). The share of it in the time
    /// passed, by task, is the backpressure: near 1 the next node is the slow one.
    pub waited_ms: u64,
    /// Its time: the earliest of its tasks' watermarks (ns since 1970, UTC); `i64::MIN` before the first.
    pub watermark_ns: i64,
    /// Rows of its state at the last checkpoint.
    pub state_rows: u64,
    /// Bytes of its state files at the last checkpoint.
    pub state_bytes: u64,
}

/// The counters of a node, shared by its tasks and whoever asks.
#[derive(Debug)]
pub(crate) struct NodeCounters {
    rows_in: AtomicU64,
    rows_out: AtomicU64,
    late_rows: AtomicU64,
    waited_us: AtomicU64,
    state_rows: AtomicU64,
    state_bytes: AtomicU64,
    /// By task.
    watermarks_ns: Vec<AtomicI64>,
}

impl NodeCounters {
    fn new(tasks: usize) -> Arc<Self> {
        Arc::new(Self {
            rows_in: AtomicU64::new(0),
            rows_out: AtomicU64::new(0),
            late_rows: AtomicU64::new(0),
            waited_us: AtomicU64::new(0),
            state_rows: AtomicU64::new(0),
            state_bytes: AtomicU64::new(0),
            watermarks_ns: (0..tasks).map(|_| AtomicI64::new(i64::MIN)).collect(),
        })
    }

    pub(crate) fn came(&self, rows: usize) {
        add(&self.rows_in, rows);
    }

    pub(crate) fn left(&self, rows: usize) {
        add(&self.rows_out, rows);
    }

    pub(crate) fn late(&self, rows: u64) {
        self.late_rows.fetch_add(rows, Ordering::Relaxed);
    }

    pub(crate) fn waited(&self, time: Duration) {
        self.waited_us.fetch_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn holds(&self, rows: usize, bytes: usize) {
        self.state_rows.store(u64::try_from(rows).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.state_bytes.store(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn is_at(&self, task: usize, watermark_ns: i64) {
        if let Some(known) = self.watermarks_ns.get(task) {
            known.store(watermark_ns, Ordering::Relaxed);
        }
    }
}

fn add(counter: &AtomicU64, rows: usize) {
    counter.fetch_add(u64::try_from(rows).unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// The nodes of a job: its sources, then its stages, then its sinks.
#[derive(Debug)]
pub(crate) struct Graph {
    nodes: Vec<Node>,
    sources: usize,
    stages: usize,
}

#[derive(Debug)]
struct Node {
    kind: NodeKind,
    name: String,
    /// Its name, where others of the job have the same.
    title: String,
    detail: String,
    inputs: Vec<usize>,
    sources: Vec<String>,
    counters: Arc<NodeCounters>,
}

impl Graph {
    /// The graph of a plan whose sources have `partitions`, and whose stages run in `parallelism` tasks.
    pub(crate) fn new(plan: &JobPlan, partitions: impl Fn(usize) -> usize, parallelism: usize) -> Self {
        let (sources, stages) = (plan.sources.len(), plan.stages.len());
        let mut nodes: Vec<Node> = Vec::with_capacity(sources + stages + plan.sinks.len());
        for (at, table) in plan.sources.iter().enumerate() {
            nodes.push(Node {
                kind: NodeKind::Source,
                name: table.name.clone(),
                title: table.name.clone(),
                detail: format!("connector {}", table.connector_name()),
                inputs: Vec::new(),
                sources: vec![table.name.clone()],
                counters: NodeCounters::new(partitions(at)),
            });
        }
        let from = |nodes: &[Node], branches: &mut dyn Iterator<Item = &Branch>| {
            let mut inputs = branches
                .map(|branch| match branch.origin {
                    BranchOrigin::Source(at) => at,
                    BranchOrigin::Stage(at) => sources + at,
                })
                .collect::<Vec<_>>();
            inputs.sort_unstable();
            inputs.dedup();
            // A stage comes after those it reads from.
            let mut names: Vec<_> = inputs.iter().flat_map(|&at| nodes[at].sources.clone()).collect();
            names.sort();
            names.dedup();
            (inputs, names)
        };
        for stage in &plan.stages {
            let (inputs, names) = from(&nodes, &mut stage.inputs.iter().flatten());
            let same = |node: &&Node| node.kind == NodeKind::Stage && node.title == stage.title.name;
            let name = match nodes.iter().filter(same).count() {
                0 => stage.title.name.clone(),
                before => format!("{} #{}", stage.title.name, before + 1),
            };
            nodes.push(Node {
                kind: NodeKind::Stage,
                name,
                title: stage.title.name.clone(),
                detail: stage.title.detail.clone(),
                inputs,
                sources: names,
                counters: NodeCounters::new(parallelism),
            });
        }
        for sink in &plan.sinks {
            let (inputs, names) = from(&nodes, &mut sink.inputs.iter());
            nodes.push(Node {
                kind: NodeKind::Sink,
                name: sink.table.name.clone(),
                title: sink.table.name.clone(),
                detail: format!("connector {}", sink.table.connector_name()),
                inputs,
                sources: names,
                counters: NodeCounters::new(1),
            });
        }
        Self { nodes, sources, stages }
    }

    pub(crate) fn source(&self, at: usize) -> &Arc<NodeCounters> {
        &self.nodes[at].counters
    }

    pub(crate) fn stage(&self, at: usize) -> &Arc<NodeCounters> {
        &self.nodes[self.sources + at].counters
    }

    pub(crate) fn sink(&self, at: usize) -> &Arc<NodeCounters> {
        &self.nodes[self.sources + self.stages + at].counters
    }

    /// The sources whose rows reach a stage, as one name.
    pub(crate) fn sources_of_stage(&self, at: usize) -> String {
        self.nodes[self.sources + at].sources.join(", ")
    }

    pub(crate) fn status(&self) -> Vec<NodeStatus> {
        self.nodes.iter().map(Node::status).collect()
    }
}

impl Node {
    fn status(&self) -> NodeStatus {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let c = &self.counters;
        NodeStatus {
            kind: self.kind,
            name: self.name.clone(),
            detail: self.detail.clone(),
            inputs: self.inputs.clone(),
            sources: self.sources.clone(),
            tasks: u64::try_from(c.watermarks_ns.len()).unwrap_or(u64::MAX),
            rows_in: of(&c.rows_in),
            rows_out: of(&c.rows_out),
            late_rows: of(&c.late_rows),
            waited_ms: of(&c.waited_us) / 1_000,
            watermark_ns: c.watermarks_ns.iter().map(|w| w.load(Ordering::Relaxed)).min().unwrap_or(i64::MIN),
            state_rows: of(&c.state_rows),
            state_bytes: of(&c.state_bytes),
        }
    }
}
