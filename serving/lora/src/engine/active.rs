//! A request that runs: its tokens, its blocks, what of its text is out.

use chrono::{DateTime, Utc};
use tokio::sync::mpsc::Sender;

use super::driver::Pending;
use super::{Event, Finish, Usage};
use crate::adapter::registry::Lease;
use crate::sample::Sampler;
use crate::schedule::blocks::{Blocks, Key, Scope, keys};
use crate::text::{Pieces, Stops};
use crate::{Row, Text};

#[derive(Debug)]
pub(super) struct Active {
    pub(super) tenant: String,
    pub(super) lease: Option<Lease>,
    pub(super) came: DateTime<Utc>,
    /// When its last token was drawn.
    pub(super) drawn_at: Option<DateTime<Utc>>,
    /// Prompt and answer.
    tokens: Vec<u32>,
    /// Of them, those whose keys and values are in the cache.
    done: usize,
    max_tokens: usize,
    blocks: Vec<u32>,
    keys: Vec<Key>,
    sampler: Sampler,
    pieces: Pieces,
    stops: Stops,
    usage: Usage,
    events: Sender<Event>,
}

impl Active {
    /// Takes blocks for the whole request, shared ones first; `None` (and `pending` is lost) if they are not there, which
    /// admission has ruled out.
    pub(super) fn begin(pending: Pending, blocks: &mut Blocks, block_tokens: usize) -> Option<Self> {
        let generation = pending.lease.as_ref().map(|lease| (lease.adapter().name(), lease.generation()));
        let scope = Scope { adapter: generation, tenant: &pending.tenant };
        let keys = keys(&pending.prompt, block_tokens, scope, pending.public);
        // At least the last token must be run: its logits are what the answer begins with.
        let usable = (pending.prompt.len() - 1) / block_tokens;
        let mut own = blocks.share(&keys[..usable.min(keys.len())]);
        let done = own.len() * block_tokens;
        match blocks.take(pending.blocks(block_tokens) - own.len()) {
            Some(more) => own.extend(more),
            None => {
                blocks.release(&own);
                return None;
            }
        }
        let usage = Usage { prompt_tokens: pending.prompt.len(), cached_tokens: done, completion_tokens: 0 };
        Some(Self {
            sampler: Sampler::new(pending.sampling, &pending.prompt),
            tenant: pending.tenant,
            lease: pending.lease,
            came: pending.came,
            drawn_at: None,
            tokens: pending.prompt,
            done,
            max_tokens: pending.max_tokens,
            blocks: own,
            keys,
            pieces: Pieces::default(),
            stops: Stops::new(pending.stop),
            usage,
            events: pending.events,
        })
    }

    /// Tokens that could run now.
    pub(super) fn ready(&self) -> usize {
        self.tokens.len() - self.done
    }

    /// Tokens of the prompt that the cache spared.
    pub(super) fn cached_tokens(&self) -> usize {
        self.usage.cached_tokens
    }

    /// What runs next is of the prompt.
    pub(super) fn in_prompt(&self) -> bool {
        self.done < self.usage.prompt_tokens
    }

    /// The client has gone.
    pub(super) fn cancelled(&self) -> bool {
        self.events.is_closed()
    }

    pub(super) fn row(&self, slot: Option<usize>, tokens: usize) -> Row {
        let end = self.done + tokens;
        Row {
            slot,
            position: self.done,
            tokens: self.tokens[self.done..end].to_vec(),
            blocks: self.blocks.clone(),
            logits: end == self.tokens.len(),
        }
    }

    /// `tokens` more are in the cache: full blocks of the prompt can be found from now on.
    pub(super) fn advance(&mut self, tokens: usize, blocks: &mut Blocks, block_tokens: usize) {
        let before = self.done / block_tokens;
        self.done += tokens;
        let after = (self.done / block_tokens).min(self.keys.len());
        for at in before..after {
            blocks.publish(self.blocks[at], self.keys[at]);
        }
    }

    /// Draws the next token and sends what text it completes. True when that was the last one.
    pub(super) fn draw(&mut self, logits: Vec<f32>, eos: &[u32], text: &Text) -> bool {
        let token = self.sampler.next(logits);
        self.usage.completion_tokens += 1;
        if eos.contains(&token) {
            self.end(Finish::Stop, text);
            return true;
        }
        self.tokens.push(token);
        let (piece, stopped) = self.stops.push(&self.pieces.push(token, text));
        self.send_text(piece);
        if stopped {
            self.done_event(Finish::Stop);
        } else if self.usage.completion_tokens == self.max_tokens {
            self.end(Finish::Length, text);
        } else {
            return false;
        }
        true
    }

    /// Sends what was held back, and the end.
    fn end(&mut self, finish: Finish, text: &Text) {
        let (mut rest, stopped) = self.stops.push(&self.pieces.finish(text));
        if !stopped {
            rest.push_str(&self.stops.finish());
        }
        self.send_text(rest);
        self.done_event(if stopped { Finish::Stop } else { finish });
    }

    fn send_text(&self, text: String) {
        if !text.is_empty() {
            // A client that has gone is noticed before the next pass.
            let _ = self.events.try_send(Event::Text(text));
        }
    }

    fn done_event(&self, finish: Finish) {
        let generation = self.lease.as_ref().map(Lease::generation);
        let _ = self.events.try_send(Event::Done { finish, usage: self.usage, generation });
    }

    pub(super) fn fail(&self, error: crate::Error) {
        let _ = self.events.try_send(Event::Failed(error));
    }

    pub(super) fn release(&self, blocks: &mut Blocks) {
        blocks.release(&self.blocks);
    }
}
