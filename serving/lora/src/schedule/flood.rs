//! A flood of one tenant beside another's chat, in passes: the engine's decisions with a model that costs nothing.

use std::collections::HashMap;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::fair::{Counters, OUTPUT_WEIGHT};
use super::{Limits, Readiness, Waiting, admit, plan};

const BLOCK_TOKENS: usize = 16;
const BLOCKS: usize = 1024;
const CHAT: &str = "chat";

struct Request {
    id: u64,
    tenant: &'static str,
    came: u64,
    prompt_left: usize,
    answer_left: usize,
    blocks: usize,
}

struct World {
    limits: Limits,
    counters: Counters,
    waiting: Vec<Request>,
    running: Vec<Request>,
    pass: u64,
    ids: u64,
    /// Tokens run so far.
    tokens: u64,
    /// Of each request of the chat: passes, and tokens of all tenants, until its first token.
    firsts: Vec<(u64, u64)>,
    tokens_at: HashMap<u64, u64>,
}

impl World {
    fn new(limits: Limits) -> Self {
        Self {
            limits,
            counters: Counters::default(),
            waiting: vec![],
            running: vec![],
            pass: 0,
            ids: 0,
            tokens: 0,
            firsts: vec![],
            tokens_at: HashMap::new(),
        }
    }

    fn submit(&mut self, tenant: &'static str, prompt: usize, answer: usize) {
        if self.waiting.iter().filter(|waiting| waiting.tenant == tenant).count()
            >= self.limits.waiting_tenant_max
        {
            return;
        }
        self.ids += 1;
        let (waiting, running) = (&self.waiting, &self.running);
        let has_work = |tenant: &str| waiting.iter().chain(running).any(|request| request.tenant == tenant);
        self.counters.arrive(tenant, has_work);
        let blocks = (prompt + answer).div_ceil(BLOCK_TOKENS);
        let (id, came) = (self.ids, self.pass);
        self.tokens_at.insert(id, self.tokens);
        self.waiting.push(Request { id, tenant, came, prompt_left: prompt, answer_left: answer, blocks });
    }

    /// What [`crate::engine`]'s thread does in one round.
    fn step(&mut self) {
        let waiting: Vec<Waiting> = self
            .waiting
            .iter()
            .map(|request| Waiting {
                id: request.id,
                tenant: request.tenant.to_owned(),
                adapter: Readiness::Ready,
                blocks: request.blocks,
                deadline_ms: i64::MAX,
            })
            .collect();
        let mut running: HashMap<String, usize> = HashMap::new();
        for request in &self.running {
            *running.entry(request.tenant.to_owned()).or_default() += 1;
        }
        let free = BLOCKS - self.running.iter().map(|request| request.blocks).sum::<usize>();
        for id in admit(&waiting, &running, &self.counters, free, &self.limits, 0).admitted {
            let at = self.waiting.iter().position(|request| request.id == id).unwrap();
            self.running.push(self.waiting.remove(at));
        }
        let ready: Vec<usize> = self.running.iter().map(|request| request.prompt_left.max(1)).collect();
        let served: Vec<u64> =
            self.running.iter().map(|request| self.counters.served(request.tenant)).collect();
        let taken = plan(&ready, &served, &self.limits);
        self.pass += 1;
        self.tokens += taken.iter().sum::<usize>() as u64;
        for (request, taken) in self.running.iter_mut().zip(taken).filter(|(_, taken)| *taken > 0) {
            if request.prompt_left > 0 {
                self.counters.charge(request.tenant, taken as u64);
                request.prompt_left -= taken;
                if request.prompt_left > 0 {
                    continue;
                }
                if request.tenant == CHAT {
                    let tokens = self.tokens - self.tokens_at[&request.id];
                    self.firsts.push((self.pass - request.came, tokens));
                }
            }
            self.counters.charge(request.tenant, OUTPUT_WEIGHT);
            request.answer_left -= 1;
        }
        self.running.retain(|request| request.answer_left > 0);
        let (waiting, running) = (&self.waiting, &self.running);
        self.counters.keep(|tenant| waiting.iter().chain(running).any(|request| request.tenant == tenant));
    }
}

/// The 99th percentile of passes and of tokens to the first token of 500 chat turns, beside `flooders` tenants that
/// always have as much waiting as they may.
fn p99(limits: Limits, flooders: &[&'static str]) -> (u64, u64) {
    // Each its own, so that the chat is the same with and without a flood.
    let (mut rng, mut flood) = (ChaCha8Rng::seed_from_u64(7), ChaCha8Rng::seed_from_u64(8));
    let mut world = World::new(limits);
    for turn in 0..500 {
        // A turn: the person thinks, asks, reads.
        let (pause, prompt, answer) =
            (rng.random_range(1..40), rng.random_range(64..900), rng.random_range(1..60));
        for at in 0..pause + answer + 8 {
            for &flooder in flooders {
                for _ in 0..4 {
                    world.submit(flooder, flood.random_range(500..4000), flood.random_range(1..400));
                }
            }
            if at == pause {
                world.submit(CHAT, prompt, answer);
            }
            world.step();
        }
        while world.firsts.len() <= turn {
            world.step();
        }
    }
    let percentile = |mut all: Vec<u64>| {
        all.sort_unstable();
        all[all.len() * 99 / 100]
    };
    (
        percentile(world.firsts.iter().map(|first| first.0).collect()),
        percentile(world.firsts.iter().map(|first| first.1).collect()),
    )
}

#[test]
fn a_flood_of_one_tenant_at_most_doubles_anothers_time_to_first_token() {
    let limits = Limits::default();
    let alone = p99(limits, &[]);
    let beside = p99(limits, &["flood"]);
    assert!(beside.0 <= 2 * alone.0, "passes: {beside:?} beside a flood, {alone:?} alone");
    assert!(beside.1 <= 2 * alone.1, "tokens: {beside:?} beside a flood, {alone:?} alone");
}

/// The credit is bounded: those who send without end get their share in the end.
#[test]
fn short_chats_do_not_starve_a_long_prompt() {
    let mut world = World::new(Limits::default());
    world.submit("long", 4000, 1);
    let chats = ["a", "b", "c", "d", "e", "f"];
    for pass in 0..4000 {
        for chat in chats {
            world.submit(chat, 100, 1);
        }
        world.step();
        let long = |request: &Request| request.tenant == "long";
        if !world.running.iter().any(long) && !world.waiting.iter().any(long) {
            // Alone it takes 25 passes; its share beside six others is a seventh.
            assert!(pass < 25 * 7 * 2, "it took {pass} passes");
            return;
        }
    }
    panic!("it starves");
}
