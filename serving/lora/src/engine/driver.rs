//! The engine's thread: takes commands, asks the schedule, runs passes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use chrono::{DateTime, Utc};
use crave_schemas::Clock;
use tokio::sync::mpsc::Sender;

use super::active::Active;
use super::meter::SharedMeter;
use super::{EngineOptions, Event};
use crate::adapter::registry::Lease;
use crate::schedule::blocks::Blocks;
use crate::schedule::fair::{Counters, OUTPUT_WEIGHT};
use crate::schedule::{Admission, Readiness, Waiting, admit, plan};
use crate::{Error, ErrorKind, KvCache, Model, Registry, Result, Sampling, Text};

/// How often requests that wait are looked at while nothing runs.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// How long a load waits that found no memory.
const LOAD_AGAIN_MS: i64 = 100;

#[derive(Debug)]
pub(super) enum Command {
    Submit(Box<Pending>),
    Loaded { name: String, result: Result<Lease> },
    Stop,
}

/// A request that has not begun.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) id: u64,
    pub(super) tenant: String,
    pub(super) adapter: Option<String>,
    /// Held from when the adapter is in memory, so that it stays there.
    pub(super) lease: Option<Lease>,
    /// Its adapter was not in memory.
    pub(super) cold: bool,
    pub(super) came: DateTime<Utc>,
    pub(super) prompt: Vec<u32>,
    /// Tokens of the prompt that are nobody's secret.
    pub(super) public: usize,
    pub(super) max_tokens: usize,
    pub(super) sampling: Sampling,
    pub(super) stop: Vec<String>,
    pub(super) events: Sender<Event>,
    pub(super) deadline_ms: i64,
}

impl Pending {
    /// Blocks for the longest answer it may get.
    pub(super) fn blocks(&self, block_tokens: usize) -> usize {
        (self.prompt.len() + self.max_tokens).div_ceil(block_tokens)
    }

    fn fail(&self, error: Error) {
        // A client that has gone does not hear it.
        let _ = self.events.try_send(Event::Failed(error));
    }
}

/// An adapter that is not in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Load {
    Running,
    /// There was no memory: try again at this time, in milliseconds.
    At(i64),
}

#[derive(Debug)]
pub(super) struct Driver {
    model: Arc<Model>,
    text: Arc<Text>,
    registry: Registry,
    cache: KvCache,
    options: EngineOptions,
    clock: Arc<dyn Clock>,
    meter: SharedMeter,
    inbox: Receiver<Command>,
    /// For the threads that load.
    commands: SyncSender<Command>,
    blocks: Blocks,
    counters: Counters,
    waiting: Vec<Pending>,
    running: Vec<Active>,
    loads: HashMap<String, Load>,
}

impl Driver {
    pub(super) fn new(
        model: Arc<Model>,
        text: Arc<Text>,
        registry: Registry,
        (cache, options): (KvCache, EngineOptions),
        (clock, meter): (Arc<dyn Clock>, SharedMeter),
        (inbox, commands): (Receiver<Command>, SyncSender<Command>),
    ) -> Self {
        let blocks = Blocks::new(options.cache_blocks);
        Self {
            model,
            text,
            registry,
            cache,
            options,
            clock,
            meter,
            inbox,
            commands,
            blocks,
            counters: Counters::default(),
            waiting: Vec::new(),
            running: Vec::new(),
            loads: HashMap::new(),
        }
    }

    /// Runs until it is told to stop. What then waits or runs gets no more events: its channel closes.
    pub(super) fn run(mut self) {
        while self.receive() {
            self.forget_cancelled();
            self.ready_adapters();
            self.admit();
            self.pass();
            self.forget_idle_tenants();
            let (total, now) = (self.options.cache_blocks, self.clock.now());
            self.meter.round(self.running.len(), &self.waiting, &self.blocks, total, now);
        }
    }

    /// Takes the commands that are there; with nothing to do, waits for one. False to stop.
    fn receive(&mut self) -> bool {
        if self.running.is_empty() {
            let first = match self.waiting.is_empty() {
                true => self.inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                false => self.inbox.recv_timeout(LOOK_AGAIN),
            };
            match first {
                Ok(command) => {
                    if !self.take(command) {
                        return false;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
        while let Ok(command) = self.inbox.try_recv() {
            if !self.take(command) {
                return false;
            }
        }
        true
    }

    fn take(&mut self, command: Command) -> bool {
        match command {
            Command::Stop => return false,
            Command::Submit(pending) => self.submit(*pending),
            Command::Loaded { name, result } => self.loaded(&name, result),
        }
        true
    }

    fn submit(&mut self, pending: Pending) {
        let limits = &self.options.limits;
        let own = self.waiting.iter().filter(|waiting| waiting.tenant == pending.tenant).count();
        if self.waiting.len() >= limits.waiting_max {
            self.meter.ended("refused");
            pending.fail(Error::Overloaded("the queue is full".to_owned()));
        } else if own >= limits.waiting_tenant_max {
            self.meter.ended("refused");
            pending.fail(Error::Overloaded(format!("{own} of your requests are waiting already")));
        } else {
            let (waiting, running) = (&self.waiting, &self.running);
            self.counters.arrive(&pending.tenant, |tenant| has_work(waiting, running, tenant));
            self.waiting.push(pending);
        }
    }

    fn loaded(&mut self, name: &str, result: Result<Lease>) {
        match result {
            // The waiting take leases of their own; this one ends after they have.
            Ok(_lease) => {
                self.loads.remove(name);
                self.ready_adapters();
            }
            Err(error) if error.kind() == ErrorKind::Overloaded => {
                let again = self.clock.now().timestamp_millis() + LOAD_AGAIN_MS;
                self.loads.insert(name.to_owned(), Load::At(again));
            }
            Err(error) => {
                self.loads.remove(name);
                tracing::warn!(adapter = name, %error, "adapter not loaded");
                let for_it =
                    |pending: &Pending| pending.lease.is_none() && pending.adapter.as_deref() == Some(name);
                for pending in self.waiting.extract_if(.., |pending| for_it(pending)) {
                    self.meter.ended("failed");
                    pending.fail(Error::Unusable { name: name.to_owned(), why: error.to_string() });
                }
            }
        }
    }

    fn forget_cancelled(&mut self) {
        for _gone in self.waiting.extract_if(.., |pending| pending.events.is_closed()) {
            self.meter.ended("cancelled");
        }
        for active in self.running.extract_if(.., |active| active.cancelled()) {
            self.meter.ended("cancelled");
            active.release(&mut self.blocks);
        }
    }

    /// Gives leases to those whose adapter is in memory, and has the others' loaded.
    fn ready_adapters(&mut self) {
        let now = self.clock.now().timestamp_millis();
        let busy = self.loads.values().filter(|load| **load == Load::Running).count();
        let mut free = self.options.loads_max.saturating_sub(busy);
        let mut failed = Vec::new();
        for pending in &mut self.waiting {
            let Some(name) = pending.adapter.as_deref().filter(|_| pending.lease.is_none()) else { continue };
            match self.loads.get(name) {
                Some(Load::Running) => {
                    pending.cold = true;
                    continue;
                }
                Some(Load::At(again)) if *again > now => continue,
                _ => {}
            }
            match self.registry.resident(name) {
                Ok(Some(lease)) => pending.lease = Some(lease),
                Ok(None) if free > 0 => {
                    free -= 1;
                    pending.cold = true;
                    self.loads.insert(name.to_owned(), Load::Running);
                    load(self.registry.clone(), name.to_owned(), self.commands.clone());
                }
                Ok(None) => pending.cold = true,
                Err(error) => {
                    self.meter.ended("failed");
                    pending.fail(error);
                    failed.push(pending.id);
                }
            }
        }
        self.waiting.retain(|pending| !failed.contains(&pending.id));
    }

    fn admit(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let block_tokens = self.options.block_tokens;
        let waiting: Vec<Waiting> = self
            .waiting
            .iter()
            .map(|pending| Waiting {
                id: pending.id,
                tenant: pending.tenant.clone(),
                adapter: match pending.adapter.is_none() || pending.lease.is_some() {
                    true => Readiness::Ready,
                    false => Readiness::Loading,
                },
                blocks: pending.blocks(block_tokens),
                deadline_ms: pending.deadline_ms,
            })
            .collect();
        let mut running: HashMap<String, usize> = HashMap::new();
        for active in &self.running {
            *running.entry(active.tenant.clone()).or_default() += 1;
        }
        let now = self.clock.now().timestamp_millis();
        let free = self.blocks.available();
        let Admission { admitted, expired } =
            admit(&waiting, &running, &self.counters, free, &self.options.limits, now);
        for id in expired {
            if let Some(pending) = self.remove_waiting(id) {
                self.meter.ended("expired");
                pending.fail(Error::Overloaded("the request waited too long for its turn".to_owned()));
            }
        }
        for id in admitted {
            let Some(pending) = self.remove_waiting(id) else { continue };
            self.meter.adapter(match (&pending.adapter, pending.cold) {
                (None, _) => "base",
                (Some(_), false) => "memory",
                (Some(_), true) => "disk",
            });
            let waited = self.clock.now() - pending.came;
            if let Some(active) = Active::begin(pending, &mut self.blocks, block_tokens) {
                self.meter.begun(&active.tenant, waited, active.cached_tokens());
                self.running.push(active);
            }
        }
    }

    fn remove_waiting(&mut self, id: u64) -> Option<Pending> {
        let at = self.waiting.iter().position(|pending| pending.id == id)?;
        Some(self.waiting.remove(at))
    }

    /// One pass over all that run: the next token of each, or the next chunk of its prompt.
    fn pass(&mut self) {
        let ready: Vec<usize> = self.running.iter().map(Active::ready).collect();
        let served: Vec<u64> =
            self.running.iter().map(|active| self.counters.served(&active.tenant)).collect();
        let taken = plan(&ready, &served, &self.options.limits);
        let mut generations = Vec::new();
        let mut adapters = Vec::new();
        let mut rows = Vec::new();
        let mut members = Vec::new();
        let (mut all, mut prefill) = (0, 0);
        for (at, (active, tokens)) in
            self.running.iter().zip(taken).enumerate().filter(|(_, (_, tokens))| *tokens > 0)
        {
            let slot = active.lease.as_ref().map(|lease| {
                let known = generations.iter().position(|generation| *generation == lease.generation());
                known.unwrap_or_else(|| {
                    generations.push(lease.generation());
                    adapters.push(Arc::clone(lease.adapter()));
                    generations.len() - 1
                })
            });
            rows.push(active.row(slot, tokens));
            members.push((at, tokens));
            all += tokens;
            if active.in_prompt() {
                prefill += tokens;
                self.counters.charge(&active.tenant, tokens as u64);
            }
        }
        if rows.is_empty() {
            return;
        }
        let block_tokens = self.options.block_tokens;
        let mut finished = vec![false; self.running.len()];
        let count = rows.len();
        match self.model.forward(&rows, &adapters, &mut self.cache) {
            Ok(logits) => {
                self.meter.pass(count, all, prefill);
                let now = self.clock.now();
                for ((at, tokens), logits) in members.into_iter().zip(logits) {
                    let active = &mut self.running[at];
                    active.advance(tokens, &mut self.blocks, block_tokens);
                    if let Some(logits) = logits {
                        self.meter.token(active.came, active.drawn_at.replace(now), now);
                        finished[at] = active.draw(logits, &self.model.config().eos, &self.text);
                        if finished[at] {
                            self.meter.ended("answered");
                        }
                        self.counters.charge(&active.tenant, OUTPUT_WEIGHT);
                    }
                }
            }
            Err(error) => {
                tracing::error!(%error, rows = rows.len(), "a pass failed");
                for (at, _) in members {
                    self.running[at].fail(Error::Compute(candle_core::Error::Msg(error.to_string())));
                    finished[at] = true;
                    self.meter.ended("failed");
                }
            }
        }
        let mut finished = finished.into_iter();
        for active in self.running.extract_if(.., |_| finished.next().unwrap_or(false)) {
            active.release(&mut self.blocks);
        }
    }

    fn forget_idle_tenants(&mut self) {
        let (waiting, running) = (&self.waiting, &self.running);
        self.counters.keep(|tenant| has_work(waiting, running, tenant));
    }
}

fn has_work(waiting: &[Pending], running: &[Active], tenant: &str) -> bool {
    waiting.iter().any(|pending| pending.tenant == tenant)
        || running.iter().any(|active| active.tenant == tenant)
}

/// Loads an adapter on a thread of its own.
fn load(registry: Registry, name: String, commands: SyncSender<Command>) {
    let job = move || {
        let result = registry.load(&name);
        // An engine that has stopped does not need it.
        let _ = commands.send(Command::Loaded { name, result });
    };
    if let Err(error) = std::thread::Builder::new().name("lora-load".to_owned()).spawn(job) {
        tracing::error!(%error, "no thread to load an adapter");
    }
}
