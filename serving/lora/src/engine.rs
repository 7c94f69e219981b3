//! The engine: requests in, tokens out, many at once in one batch (continuous batching, Yu et al., *Orca*, OSDI 2022).
//!
//! One thread owns the cache and runs pass after pass; the decisions are [`crate::schedule`]'s. Adapters are loaded on
//! threads of their own, so that nobody waits whose adapter is in memory (LR-2).

mod active;
mod driver;
mod meter;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use crave_schemas::Clock;
use tokio::sync::mpsc;

use crate::schedule::Limits;
use crate::{ChatTemplate, Error, KvCache, Message, Model, Registry, Result, Sampling, Text};
use driver::{Command, Driver, Pending};
use meter::SharedMeter;
pub use meter::Stats;

/// Commands that wait for the thread.
const COMMANDS_MAX: usize = 1024;
/// Stop strings of a request, and the characters of one.
const STOPS_MAX: usize = 16;
const STOP_CHARS_MAX: usize = 256;
/// Characters of a tenant's id.
const TENANT_CHARS_MAX: usize = 256;

/// How an engine runs.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Bounds of the schedule.
    pub limits: Limits,
    /// Blocks of the key-value cache.
    pub cache_blocks: usize,
    /// Positions in a block.
    pub block_tokens: usize,
    /// How long a request may wait before it runs.
    pub queue_wait_max: Duration,
    /// Adapters that are loaded at once.
    pub loads_max: usize,
    /// Tokens of the answer to a request that names no bound, where the context has room for so many. All of them are
    /// set aside when it begins.
    pub answer_tokens_default: usize,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            cache_blocks: 1024,
            block_tokens: 16,
            queue_wait_max: Duration::from_secs(30),
            loads_max: 2,
            answer_tokens_default: 1024,
        }
    }
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Request {
    /// Who asks: fairness, caps and the prefix cache go by it. The caller has authenticated it.
    pub tenant: String,
    /// The adapter's name; `None` is the base.
    pub adapter: Option<String>,
    /// The conversation, the last turn being the user's.
    pub messages: Vec<Message>,
    /// The leading system message is nobody's secret: its blocks of the cache may serve other tenants too.
    pub public_system: bool,
    /// Tokens of the answer at most; `None` is [`EngineOptions::answer_tokens_default`].
    pub max_tokens: Option<usize>,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// Texts that end the answer, and are not part of it.
    pub stop: Vec<String>,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model ended it, or a stop string came.
    Stop,
    /// It is as long as it may be.
    Length,
}

/// Tokens of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Of the prompt.
    pub prompt_tokens: usize,
    /// Of them, those that the tenant's own or a public prefix in the cache spared.
    pub cached_tokens: usize,
    /// Of the answer.
    pub completion_tokens: usize,
}

/// What comes of a request, in order: texts, then one of the other two.
#[derive(Debug)]
pub enum Event {
    /// The next piece of the answer, not empty.
    Text(String),
    /// The answer is complete.
    Done {
        /// Why it ended.
        finish: Finish,
        /// What it took.
        usage: Usage,
        /// The generation of the adapter that wrote it.
        generation: Option<u64>,
    },
    /// The request failed; what came before is not a whole answer.
    Failed(Error),
}

/// A running request. Dropping it cancels the request.
#[derive(Debug)]
pub struct Generation {
    events: mpsc::Receiver<Event>,
}

impl Generation {
    /// The next event; `None` after the last.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}

/// A model that serves. Cloning it is cheap; its thread ends with the last clone.
#[derive(Clone, Debug)]
pub struct Engine {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    model: Arc<Model>,
    text: Arc<Text>,
    template: ChatTemplate,
    registry: Registry,
    options: EngineOptions,
    clock: Arc<dyn Clock>,
    commands: SyncSender<Command>,
    ids: AtomicU64,
    meter: SharedMeter,
}

impl Drop for Shared {
    fn drop(&mut self) {
        // A thread that has died already needs no telling.
        let _ = self.commands.send(Command::Stop);
    }
}

impl Engine {
    /// Starts an engine for `model` with the tokenizer and chat template of its folder.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an option of 0, [`Error::Io`] and [`Error::Model`] for a folder without tokenizer or
    /// template, [`Error::Compute`] when the cache does not fit into memory.
    pub fn start(
        model: Arc<Model>,
        registry: Registry,
        options: EngineOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let limits = options.limits;
        for (field, value) in [
            ("cache_blocks", options.cache_blocks),
            ("block_tokens", options.block_tokens),
            ("loads_max", options.loads_max),
            ("answer_tokens_default", options.answer_tokens_default),
            ("step_tokens_max", limits.step_tokens_max),
            ("chunk_tokens_max", limits.chunk_tokens_max),
            ("running_max", limits.running_max),
            ("running_tenant_max", limits.running_tenant_max),
        ] {
            if value == 0 {
                return Err(Error::invalid(field, "is 0; it must be at least 1"));
            }
        }
        let text = Arc::new(Text::load(model.path())?);
        let template = ChatTemplate::load(model.path())?;
        let cache = KvCache::new(model.config(), model.dtype(), options.cache_blocks, options.block_tokens)?;
        let (commands, inbox) = sync_channel(COMMANDS_MAX);
        let meter = SharedMeter::default();
        let driver = Driver::new(
            Arc::clone(&model),
            Arc::clone(&text),
            registry.clone(),
            (cache, options.clone()),
            (Arc::clone(&clock), Arc::clone(&meter)),
            (inbox, commands.clone()),
        );
        std::thread::Builder::new()
            .name("lora-engine".to_owned())
            .spawn(move || driver.run())
            .map_err(|error| Error::io("start a thread for", model.path(), error))?;
        let ids = AtomicU64::new(0);
        let shared = Shared { model, text, template, registry, options, clock, commands, ids, meter };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The base model.
    #[must_use]
    pub fn model(&self) -> &Arc<Model> {
        &self.shared.model
    }

    /// The adapters.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.shared.registry
    }

    /// What it did since its start.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.meter.stats()
    }

    /// Begins a request. Renders and tokenises the prompt on the calling thread (milliseconds), then returns.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Template`] and [`Error::ContextLength`] for a request that cannot run,
    /// [`Error::NoAdapter`], [`Error::Overloaded`], [`Error::Stopped`]. What goes wrong later comes as [`Event::Failed`].
    pub fn generate(&self, request: Request) -> Result<Generation> {
        let shared = &self.shared;
        check(&request)?;
        if let Some(name) = &request.adapter {
            // Only whether there is such an adapter; the lease is taken when the request's turn comes.
            drop(shared.registry.resident(name)?);
        }
        let now = shared.clock.now();
        let prompt = shared.text.encode(&shared.template.render(&request.messages, now)?, false)?;
        let public = if request.public_system { self.public_tokens(&request.messages, &prompt) } else { 0 };
        let room = self.context().saturating_sub(prompt.len());
        let max_tokens = request.max_tokens.unwrap_or(room.min(shared.options.answer_tokens_default).max(1));
        if prompt.is_empty() {
            return Err(Error::invalid("messages", "make an empty prompt"));
        }
        if max_tokens == 0 {
            return Err(Error::invalid("max_tokens", "is 0; it must be at least 1"));
        }
        if max_tokens > room {
            return Err(Error::ContextLength {
                prompt_tokens: prompt.len(),
                answer_tokens: max_tokens,
                context_tokens: self.context(),
            });
        }
        // At most one text a token, one at the end, and the end itself: a send never finds the channel full.
        let (sender, events) = mpsc::channel(max_tokens + 2);
        let pending = Pending {
            id: shared.ids.fetch_add(1, Ordering::Relaxed),
            tenant: request.tenant,
            adapter: request.adapter,
            lease: None,
            cold: false,
            came: now,
            prompt,
            public,
            max_tokens,
            sampling: request.sampling,
            stop: request.stop,
            events: sender,
            deadline_ms: now.timestamp_millis() + shared.options.queue_wait_max.as_millis() as i64,
        };
        match shared.commands.try_send(Command::Submit(Box::new(pending))) {
            Ok(()) => Ok(Generation { events }),
            Err(TrySendError::Full(_)) => Err(Error::Overloaded("too many requests came at once".to_owned())),
            Err(TrySendError::Disconnected(_)) => Err(Error::Stopped),
        }
    }

    /// Tokens that a request may have in all: the model's positions, or as many as the whole cache holds.
    #[must_use]
    pub fn context(&self) -> usize {
        let options = &self.shared.options;
        self.shared.model.config().positions.min(options.cache_blocks * options.block_tokens)
    }

    /// How many tokens of `prompt` the leading system message alone makes.
    fn public_tokens(&self, messages: &[Message], prompt: &[u32]) -> usize {
        let Some(system) = messages.first().filter(|message| message.role == "system") else { return 0 };
        let alone = self.shared.template.render(std::slice::from_ref(system), self.shared.clock.now());
        // Some templates refuse a conversation without a user; then nothing is public.
        let alone = alone.and_then(|text| self.shared.text.encode(&text, false)).unwrap_or_default();
        alone.iter().zip(prompt).take_while(|(a, b)| a == b).count()
    }
}

fn check(request: &Request) -> Result<()> {
    request.sampling.check()?;
    if request.messages.is_empty() {
        return Err(Error::invalid("messages", "is empty"));
    }
    if request.tenant.is_empty() || request.tenant.len() > TENANT_CHARS_MAX {
        return Err(Error::invalid("tenant", format!("must have 1 to {TENANT_CHARS_MAX} characters")));
    }
    if request.stop.len() > STOPS_MAX {
        return Err(Error::invalid("stop", format!("may be at most {STOPS_MAX} texts")));
    }
    if request.stop.iter().any(|stop| stop.is_empty() || stop.chars().count() > STOP_CHARS_MAX) {
        return Err(Error::invalid("stop", format!("must have 1 to {STOP_CHARS_MAX} characters each")));
    }
    Ok(())
}
