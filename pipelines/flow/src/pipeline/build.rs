//! Opens sources and sinks, puts state back, wires the tasks and starts them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::columns::{branches, columns_read};
use super::coordinator::{Coordinator, Group, JobTasks, SinkTasks, StageTasks, summary};
use super::graph::{Graph, NodeCounters};
use super::live::{LiveTable, live_tables};
use super::messages::{Ack, Counters, WantFull};
use super::sink_task::SinkTask;
use super::source_task::{SourceExprs, SourceTask, Subscriber};
use super::stage_task::StageTask;
use super::{JobStart, PipelineOptions};
use crate::checkpoint::{CheckpointStore, JobState, Manifest};
use crate::debezium::envelope_schema;
use crate::exchange::{Inbox, Message, Outputs, partition};
use crate::operator::Begin;
use crate::plan::{Branch, BranchOrigin, Stage};
use crate::{Connectors, EpochObserver, Error, Program, Result, Sink, SinkContext, Source, SourceOffset};

/// Questions that wait for one task, at most.
const PEEKS_WAITING: usize = 16;

type Job = (String, JobStart, Arc<Graph>, Vec<Arc<LiveTable>>);
/// By task; each with the number of the input it belongs to.
type Receivers = Vec<Vec<(usize, mpsc::Receiver<Message>)>>;

/// Readers that jobs share: same table, same position.
struct Shared {
    key: String,
    source: Arc<dyn Source>,
    starts: Vec<(Option<u64>, i64)>,
    exprs: Arc<SourceExprs>,
    /// (job, source of the job).
    readers: Vec<(usize, usize)>,
    /// By partition.
    subscribers: Vec<Vec<Subscriber>>,
}

/// The output of each task of a stage, once its consumer is known.
type StageOutputs = HashMap<(usize, usize), Vec<Subscriber>>;

pub(super) async fn build(
    programs: Vec<Arc<Program>>,
    connectors: &Connectors,
    store: CheckpointStore,
    observer: Option<Arc<dyn EpochObserver>>,
    mut options: PipelineOptions,
) -> Result<(Coordinator, Vec<Job>)> {
    options.parallelism = options.parallelism.max(1);
    let mut names = BTreeSet::new();
    if let Some(twice) = programs.iter().find(|p| !names.insert(p.name())) {
        return Err(Error::Invalid(format!("two programs are called {}; rename one", twice.name())));
    }
    let manifests = store.manifests().await?;
    let newest = manifests.last().cloned();
    let states = programs.iter().map(|p| state_of(newest.as_ref(), p)).collect::<Vec<_>>();
    let mut sinks = open_sinks(&programs, connectors, &states).await?;
    if let Some(newest) = &newest {
        redo(newest, &programs, &store, observer.as_deref(), &states, &mut sinks).await?;
    }
    let mut shared = open_sources(&programs, connectors, &states).await?;

    let counters = Arc::new(Counters::default());
    let epoch = newest.as_ref().map_or(0, |m| m.epoch);
    counters.epoch.store(epoch, Ordering::Relaxed);
    let (ack_sender, acks) = mpsc::channel(1024);
    let mut tasks = JoinSet::new();
    let mut jobs = Vec::new();
    let mut infos = Vec::new();
    for (index, (program, writers)) in programs.iter().zip(sinks).enumerate() {
        let graph = Arc::new(graph(index, program, &shared, options.parallelism));
        let start = match (states[index], &newest) {
            (Some(_), Some(newest)) => JobStart::Resumed { epoch: newest.epoch },
            _ => JobStart::Fresh {
                changed: newest.as_ref().is_some_and(|m| m.jobs.contains_key(program.name())),
            },
        };
        let state = states[index];
        let wiring = Wiring { index, program, state, options: &options, acks: &ack_sender, graph: &graph };
        let job = wiring.job(writers, &store, &mut shared, &mut tasks).await?;
        infos.push((program.name().to_owned(), start, Arc::clone(&graph), live_tables(program, &job)));
        jobs.push(job);
    }
    let mut commands = Vec::new();
    let mut groups = Vec::new();
    for (group, shared) in shared.into_iter().enumerate() {
        let Shared { source, starts, exprs, readers, subscribers, .. } = shared;
        for (at, ((offset, watermark_ns), subscribers)) in starts.iter().copied().zip(subscribers).enumerate()
        {
            let (sender, receiver) = mpsc::channel(4);
            commands.push(sender);
            let readers: Vec<_> =
                readers.iter().map(|&(job, source)| Arc::clone(infos[job].2.source(source))).collect();
            readers.iter().for_each(|reader| reader.is_at(at, watermark_ns));
            let task = SourceTask {
                group,
                partition: at,
                reader: source.open(at, offset).await?,
                exprs: Arc::clone(&exprs),
                subscribers,
                readers,
                offset,
                watermark_ns,
                idle_timeout: options.idle_timeout,
                checkpoint_rows: options.checkpoint_rows,
                counters: Arc::clone(&counters),
                commands: receiver,
                acks: ack_sender.clone(),
            };
            tasks.spawn(task.run());
        }
        let readers =
            readers.iter().map(|&(job, s)| (job, programs[job].plan.sources[s].name.clone())).collect();
        groups.push(Group { partitions: starts.len(), readers });
    }
    let coordinator =
        Coordinator::new(store, observer, options, tasks, acks, commands, groups, jobs, counters, manifests)
            .await?;
    Ok((coordinator, infos))
}

/// The graph of a job whose sources are open.
fn graph(job: usize, program: &Program, shared: &[Shared], parallelism: usize) -> Graph {
    let partitions = |source: usize| {
        let group = shared.iter().find(|group| group.readers.contains(&(job, source)));
        group.map_or(0, |group| group.starts.len())
    };
    Graph::new(&program.plan, partitions, parallelism)
}

fn state_of<'a>(newest: Option<&'a Manifest>, program: &Program) -> Option<&'a JobState> {
    newest?.jobs.get(program.name()).filter(|s| s.identity == program.identity())
}

async fn open_sinks(
    programs: &[Arc<Program>],
    connectors: &Connectors,
    states: &[Option<&JobState>],
) -> Result<Vec<Vec<Box<dyn Sink>>>> {
    let mut all = Vec::with_capacity(programs.len());
    for (program, state) in programs.iter().zip(states) {
        let context = SinkContext { job: program.name().to_owned(), resumed: state.is_some() };
        let mut sinks = Vec::new();
        for sink in &program.plan.sinks {
            sinks.push(connectors.of(&sink.table)?.sink(&sink.table, &context).await?);
        }
        all.push(sinks);
    }
    Ok(all)
}

/// Tells and commits the newest epoch again, of the jobs that go on from it.
async fn redo(
    newest: &Manifest,
    programs: &[Arc<Program>],
    store: &CheckpointStore,
    observer: Option<&dyn EpochObserver>,
    states: &[Option<&JobState>],
    sinks: &mut [Vec<Box<dyn Sink>>],
) -> Result<()> {
    let mut summary = summary(newest, store, true).await?;
    let resumed: BTreeSet<_> =
        programs.iter().zip(states).filter(|(_, s)| s.is_some()).map(|(p, _)| p.name()).collect();
    summary.sinks.retain(|sink| resumed.contains(sink.job.as_str()));
    summary.sources.retain(|source| resumed.contains(source.job.as_str()));
    if let Some(observer) = observer {
        observer.decided(&summary).await?;
    }
    for ((program, state), sinks) in programs.iter().zip(states).zip(sinks) {
        let Some(state) = state else { continue };
        for (plan, sink) in program.plan.sinks.iter().zip(sinks) {
            if let Some(done) = state.sinks.get(&plan.table.name).filter(|s| !s.staged.is_null()) {
                sink.commit(newest.epoch, &done.staged).await?;
            }
        }
    }
    if let Some(observer) = observer {
        observer.committed(&summary).await?;
    }
    Ok(())
}

async fn open_sources(
    programs: &[Arc<Program>],
    connectors: &Connectors,
    states: &[Option<&JobState>],
) -> Result<Vec<Shared>> {
    let mut opened: BTreeMap<String, Arc<dyn Source>> = BTreeMap::new();
    let mut shared: Vec<Shared> = Vec::new();
    for (job, (program, state)) in programs.iter().zip(states).enumerate() {
        let plan = &program.plan;
        let used: BTreeSet<usize> = branches(plan)
            .filter_map(|b| match b.origin {
                BranchOrigin::Source(s) => Some(s),
                BranchOrigin::Stage(_) => None,
            })
            .collect();
        for index in used {
            let table = &plan.sources[index];
            let key = table.source_key();
            let exprs = program.source_exprs(index).cloned();
            let exprs = exprs.ok_or_else(|| Error::Internal(format!("source {} is gone", table.name)))?;
            if !opened.contains_key(&key) {
                let mut source = connectors.of(table)?.source(table).await?;
                if let Some(columns) = columns_read(programs, &key, table, &exprs) {
                    source.read_only(&columns);
                }
                opened.insert(key.clone(), Arc::from(source));
            }
            let source = Arc::clone(&opened[&key]);
            let known = |p: usize| -> Option<&SourceOffset> {
                state.as_ref()?.sources.iter().find(|s| s.table == table.name && s.partition == p)
            };
            let starts = (0..source.partitions())
                .map(|p| known(p).map_or((None, i64::MIN), |s| (s.offset, s.watermark_ns)))
                .collect::<Vec<_>>();
            match shared.iter_mut().find(|s| s.key == key && s.starts == starts) {
                Some(group) => group.readers.push((job, index)),
                None => shared.push(Shared {
                    key,
                    exprs,
                    subscribers: starts.iter().map(|_| Vec::new()).collect(),
                    source,
                    starts,
                    readers: vec![(job, index)],
                }),
            }
        }
    }
    Ok(shared)
}

/// Wires one job.
struct Wiring<'a> {
    index: usize,
    program: &'a Program,
    state: Option<&'a JobState>,
    options: &'a PipelineOptions,
    acks: &'a mpsc::Sender<Ack>,
    graph: &'a Graph,
}

impl Wiring<'_> {
    async fn job(
        &self,
        writers: Vec<Box<dyn Sink>>,
        store: &CheckpointStore,
        shared: &mut [Shared],
        tasks: &mut JoinSet<Result<()>>,
    ) -> Result<JobTasks> {
        let plan = &self.program.plan;
        let mut outputs = StageOutputs::new();
        let mut sinks = Vec::new();
        for (index, (sink, writer)) in plan.sinks.iter().zip(writers).enumerate() {
            let mut receivers = vec![Vec::new()];
            let counters = self.graph.sink(index);
            self.connect(0, &sink.inputs, &(0..0), &mut receivers, shared, &mut outputs)?;
            let (commands, receiver) = mpsc::channel(4);
            let known = self.state.and_then(|s| s.sinks.get(&sink.table.name));
            let watermark_ns = known.map_or(i64::MIN, |s| s.watermark_ns);
            counters.is_at(0, watermark_ns);
            let task = SinkTask {
                job: self.index,
                sink: index,
                writer,
                schema: Arc::clone(&sink.table.physical),
                envelopes: sink.changes.then(|| envelope_schema(&sink.table.physical)),
                inbox: Inbox::new(receivers.pop().unwrap_or_default()),
                watermark_ns,
                counters: Arc::clone(counters),
                commands: receiver,
                acks: self.acks.clone(),
            };
            tasks.spawn(task.run());
            sinks.push(SinkTasks { table: sink.table.clone(), commands });
        }
        let mut stages = Vec::new();
        // Consumers first: a stage's outputs are known when it is built.
        for index in (0..plan.stages.len()).rev() {
            let stage = &plan.stages[index];
            let mut receivers: Receivers = (0..self.options.parallelism).map(|_| Vec::new()).collect();
            for (input, branches) in stage.inputs.iter().enumerate() {
                let keys = stage.spec.input_keys(input);
                self.connect(input, branches, &keys, &mut receivers, shared, &mut outputs)?;
            }
            stages.push(self.stage(index, stage, receivers, store, &mut outputs, tasks).await?);
        }
        stages.reverse();
        Ok(JobTasks {
            name: self.program.name().to_owned(),
            identity: self.program.identity().to_owned(),
            stages,
            sinks,
        })
    }

    async fn stage(
        &self,
        index: usize,
        stage: &Stage,
        receivers: Receivers,
        store: &CheckpointStore,
        outputs: &mut StageOutputs,
        tasks: &mut JoinSet<Result<()>>,
    ) -> Result<StageTasks> {
        let parallelism = self.options.parallelism;
        let known = self.state.and_then(|s| s.stages.get(index));
        let watermark_ns = known.map_or(i64::MIN, |s| s.watermark_ns);
        let late = known.map_or(0, |s| s.late_rows);
        // The rows counted so far stay with the first task.
        let begin = |task| Begin {
            watermark_ns,
            late_rows: if task == 0 { late } else { 0 },
            clock: Arc::clone(&self.options.clock),
        };
        let mut operators = (0..parallelism)
            .map(|task| Arc::clone(&stage.spec).start(begin(task)))
            .collect::<Result<Vec<_>>>()?;
        let runs = known.map(|s| s.runs.clone()).unwrap_or_default();
        for run in &runs {
            for batch in store.read(&run.file).await? {
                let keys = stage.spec.state_keys(run.table);
                for (operator, part) in operators.iter_mut().zip(partition(&batch, keys, parallelism)?) {
                    if part.num_rows() > 0 {
                        operator.restore(run.table, &part)?;
                    }
                }
            }
        }
        let want_full = Arc::new(WantFull::default());
        let mut out = outputs.remove(&(self.index, index)).unwrap_or_default();
        if out.len() != parallelism {
            return Err(Error::Internal(format!("stage {index} of {} leads nowhere", self.program.name())));
        }
        let counters = self.graph.stage(index);
        counters.late(late);
        counters.holds(runs.iter().map(|r| r.rows).sum(), runs.iter().map(|r| r.bytes).sum());
        let mut peeks = Vec::with_capacity(parallelism);
        let tasks_of = operators.into_iter().zip(receivers).zip(out.drain(..)).enumerate();
        for (number, ((operator, receivers), out)) in tasks_of {
            let (sender, receiver) = mpsc::channel(PEEKS_WAITING);
            peeks.push(sender);
            let task = StageTask {
                job: self.index,
                stage: index,
                task: number,
                operator,
                inbox: Inbox::new(receivers),
                watermark_ns,
                steps: out.steps,
                outputs: out.outputs,
                batch_rows: self.options.batch_rows.max(1),
                want_full: Arc::clone(&want_full),
                counters: Arc::clone(counters),
                acks: self.acks.clone(),
                peeks: receiver,
            };
            tasks.spawn(task.run());
        }
        let late = stage.late.clone();
        let (counters, source) = (Arc::clone(counters), self.graph.sources_of_stage(index));
        Ok(StageTasks {
            sink: stage.sink,
            source,
            late,
            tasks: parallelism,
            runs,
            want_full,
            counters,
            peeks,
        })
    }

    /// Makes a channel from every task of each branch's origin to every task that `receivers` are of.
    fn connect(
        &self,
        input: usize,
        branches: &[Branch],
        keys: &Range<usize>,
        receivers: &mut Receivers,
        shared: &mut [Shared],
        outputs: &mut StageOutputs,
    ) -> Result<()> {
        let capacity = self.options.channel_batches.max(1);
        let output = |receivers: &mut Receivers, counters: &Arc<NodeCounters>| {
            let mut senders = Vec::with_capacity(receivers.len());
            for receivers in receivers.iter_mut() {
                let (sender, receiver) = mpsc::channel(capacity);
                senders.push(sender);
                receivers.push((input, receiver));
            }
            Outputs::new(senders, keys.clone(), Arc::clone(counters))
        };
        for branch in branches {
            let from = match branch.origin {
                BranchOrigin::Source(source) => self.graph.source(source),
                BranchOrigin::Stage(stage) => self.graph.stage(stage),
            };
            let mut subscriber =
                || Subscriber { steps: branch.steps.clone(), outputs: output(receivers, from) };
            match branch.origin {
                BranchOrigin::Source(source) => {
                    let group = shared.iter_mut().find(|g| g.readers.contains(&(self.index, source)));
                    let group = group.ok_or_else(|| Error::Internal("a source was not opened".into()))?;
                    for partition in &mut group.subscribers {
                        partition.push(subscriber());
                    }
                }
                BranchOrigin::Stage(stage) => {
                    let outputs = outputs.entry((self.index, stage)).or_default();
                    for _ in 0..self.options.parallelism {
                        outputs.push(subscriber());
                    }
                }
            }
        }
        Ok(())
    }
}
