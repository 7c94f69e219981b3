//! The engine whole: text in, text out, with a byte-pair tokenizer trained here.

use std::sync::Arc;
use std::time::Duration;

use candle_core::DType;
use crave_lora::{
    Engine, EngineOptions, ErrorKind, Event, Finish, Limits, Message, Model, Module, Registry,
    RegistryOptions, Request, Sampling, Usage,
};
use crave_schemas::SystemClock;
use serde_json::json;
use tempfile::TempDir;

use crate::fixture::{config, lora, weights, write_lora, write_model, write_tokenizer};

struct World {
    dir: TempDir,
    engine: Engine,
}

impl World {
    fn new(options: EngineOptions) -> Self {
        let dir = TempDir::new().unwrap();
        let config = config(&json!({}));
        write_model(&dir.path().join("tiny"), &config, &weights(&config, 1));
        write_tokenizer(&dir.path().join("tiny"));
        for (number, rank) in [4, 16, 64].into_iter().enumerate() {
            let lora = lora(&config, rank, 16.0, &Module::ALL, 20 + number as u64);
            write_lora(&dir.path().join("adapters").join(format!("a{number}")), &config, &lora);
        }
        let model = Arc::new(Model::load(&dir.path().join("tiny"), DType::F32).unwrap());
        let clock = Arc::new(SystemClock);
        let adapters = dir.path().join("adapters");
        let registry = Registry::new(Arc::clone(&model), adapters, RegistryOptions::default(), clock.clone());
        let engine = Engine::start(model, registry, options, clock).unwrap();
        Self { dir, engine }
    }

    async fn ask(&self, request: Request) -> Result<(String, Finish, Usage), crave_lora::Error> {
        let mut generation = self.engine.generate(request)?;
        let mut text = String::new();
        while let Some(event) = generation.next().await {
            match event {
                Event::Text(piece) => text.push_str(&piece),
                Event::Done { finish, usage, .. } => return Ok((text, finish, usage)),
                Event::Failed(error) => return Err(error),
            }
        }
        panic!("no end");
    }

    async fn prompt_tokens(&self, adapter: &str, words: &str) -> usize {
        self.ask(request("counts", Some(adapter), words)).await.unwrap().2.prompt_tokens
    }

    /// Waits until no request holds an adapter.
    async fn until_idle(&self) {
        let idle = || self.engine.registry().list().unwrap().iter().all(|info| info.leases == 0);
        for _ in 0..1000 {
            if idle() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("a lease is still held");
    }
}

fn request(tenant: &str, adapter: Option<&str>, words: &str) -> Request {
    Request {
        tenant: tenant.to_owned(),
        adapter: adapter.map(ToOwned::to_owned),
        messages: vec![Message { role: "user".to_owned(), content: words.to_owned() }],
        public_system: false,
        max_tokens: Some(24),
        sampling: Sampling { temperature: 0.0, ..Sampling::default() },
        stop: vec![],
    }
}

fn small() -> EngineOptions {
    let limits = Limits { step_tokens_max: 24, chunk_tokens_max: 5, ..Limits::default() };
    EngineOptions { limits, cache_blocks: 80, block_tokens: 4, ..EngineOptions::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_mixed_requests_at_once_answer_as_each_alone() {
    let world = World::new(small());
    let adapters = [None, Some("a0"), Some("a1"), Some("a2")];
    let words = ["the evening", "sweet", "salt and the sea", "I crave", "é ü 🍫"];
    let mut alone = Vec::new();
    for adapter in adapters {
        for words in words {
            alone.push(world.ask(request("solo", adapter, words)).await.unwrap());
        }
    }
    let texts: std::collections::HashSet<&str> = alone.iter().map(|(text, ..)| text.as_str()).collect();
    assert!(texts.len() > 15, "the adapters must differ for this to show anything: {texts:?}");
    let world = World::new(small());
    let all = (0..40).map(|at| {
        let case = at % alone.len();
        let request =
            request(&format!("tenant {}", at % 7), adapters[case / words.len()], words[case % words.len()]);
        world.ask(request)
    });
    let answers = futures::future::join_all(all).await;
    for (at, answer) in answers.into_iter().enumerate() {
        let (text, finish, usage) = answer.unwrap();
        let expected = &alone[at % alone.len()];
        assert_eq!((&text, finish), (&expected.0, expected.1), "request {at}");
        assert_eq!(usage.completion_tokens, expected.2.completion_tokens);
    }
    world.until_idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_repeats_and_a_stop_string_ends_the_answer_before_it() {
    let world = World::new(small());
    let sampled = |seed, stop: &[&str]| {
        let mut request = request("t", Some("a1"), "sweet");
        request.sampling = Sampling { temperature: 1.5, seed, ..Sampling::default() };
        request.stop = stop.iter().map(ToString::to_string).collect();
        world.ask(request)
    };
    let (text, ..) = sampled(3, &[]).await.unwrap();
    assert_eq!(sampled(3, &[]).await.unwrap().0, text);
    assert_ne!(sampled(4, &[]).await.unwrap().0, text);
    let middle: String = text.chars().skip(text.chars().count() / 2).take(3).collect();
    let (cut, finish, usage) = sampled(3, &[&middle]).await.unwrap();
    assert_eq!(cut, text[..text.find(&middle).unwrap()]);
    assert_eq!(finish, Finish::Stop);
    assert!(usage.completion_tokens < 24);
}

/// Nobody learns from the cache what another tenant asked; a public system message is shared.
#[tokio::test(flavor = "multi_thread")]
async fn the_prefix_cache_parts_tenants_and_adapters() {
    let world = World::new(small());
    let system = Message {
        role: "system".to_owned(),
        content: "salt and sweet and the sea, the evening sea".to_owned(),
    };
    let ask = |tenant: &str, adapter, public| {
        let mut request = request(tenant, adapter, "the craving for sweet things comes in the evening");
        request.messages.insert(0, system.clone());
        request.public_system = public;
        world.ask(request)
    };
    let cached = |answer: Result<(String, Finish, Usage), crave_lora::Error>| {
        let (text, _, usage) = answer.unwrap();
        (text, usage.cached_tokens)
    };
    let (first, none) = cached(ask("a", Some("a0"), false).await);
    assert_eq!(none, 0);
    let (again, own) = cached(ask("a", Some("a0"), false).await);
    assert_eq!(again, first);
    assert!(own > 0);
    assert_eq!(cached(ask("b", Some("a0"), false).await), (first.clone(), 0));
    assert_eq!(cached(ask("a", Some("a1"), false).await).1, 0);
    assert_eq!(cached(ask("a", None, false).await).1, 0);
    cached(ask("a", Some("a0"), true).await);
    let (shared, public) = cached(ask("b", Some("a0"), true).await);
    assert_eq!(shared, first);
    assert!(public > 0 && public < own, "{public} of {own}");
    world.engine.registry().reload("a0").unwrap();
    assert_eq!(cached(ask("a", Some("a0"), false).await), (first, 0), "a new generation begins anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_frees_its_place() {
    let mut options = small();
    options.limits.running_max = 1;
    let world = World::new(options);
    let mut long = request("a", Some("a0"), "sweet");
    long.max_tokens = Some(100);
    let generation = world.engine.generate(long).unwrap();
    drop(generation);
    world.ask(request("b", None, "salt")).await.unwrap();
    world.until_idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bounds_are_told_apart() {
    let mut options = small();
    options.limits.waiting_tenant_max = 0;
    options.queue_wait_max = Duration::from_secs(5);
    let world = World::new(options);
    let kind = |request| {
        let ask = world.ask(request);
        async { ask.await.unwrap_err().kind() }
    };
    assert_eq!(kind(request("t", None, "sweet")).await, ErrorKind::Overloaded);
    assert_eq!(kind(request("t", Some("nobody"), "sweet")).await, ErrorKind::NotFound);
    let long = Request { max_tokens: Some(1000), ..request("t", None, "sweet") };
    assert_eq!(kind(long).await, ErrorKind::Invalid);
    let empty = Request { messages: vec![], ..request("t", None, "") };
    assert_eq!(kind(empty).await, ErrorKind::Invalid);
    let hot = Sampling { temperature: 9.0, ..Sampling::default() };
    assert_eq!(kind(Request { sampling: hot, ..request("t", None, "sweet") }).await, ErrorKind::Invalid);
    assert_eq!(
        kind(Request { stop: vec![String::new()], ..request("t", None, "s") }).await,
        ErrorKind::Invalid
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_adapter_fails_its_own_requests_only() {
    let world = World::new(small());
    std::fs::write(world.dir.path().join("adapters/a1/adapter_model.safetensors"), b"torn").unwrap();
    let (bad, good) = tokio::join!(
        world.ask(request("a", Some("a1"), "sweet")),
        world.ask(request("b", Some("a2"), "sweet"))
    );
    assert_eq!(bad.unwrap_err().kind(), ErrorKind::Unavailable);
    good.unwrap();
}

/// LR-2, with a load that does not end: the adapter's file is a pipe that nobody writes to.
#[tokio::test(flavor = "multi_thread")]
async fn a_load_holds_up_nobody_whose_adapter_is_there() {
    let world = World::new(small());
    let pipe = world.dir.path().join("adapters/a1/adapter_model.safetensors");
    std::fs::remove_file(&pipe).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut stuck = world.engine.generate(request("a", Some("a1"), "sweet")).unwrap();
    for adapter in [None, Some("a0"), Some("a2")] {
        world.ask(request("a", adapter, "sweet")).await.unwrap();
    }
    assert!(tokio::time::timeout(Duration::from_millis(50), stuck.next()).await.is_err(), "it still waits");
    drop(std::fs::OpenOptions::new().write(true).open(&pipe).unwrap());
    let Some(Event::Failed(error)) = stuck.next().await else { panic!("an empty file is no adapter") };
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

/// By counted tokens, not by the clock: what one person asked makes nobody else's answer come sooner.
#[tokio::test(flavor = "multi_thread")]
async fn equal_prompts_of_two_people_cost_the_same() {
    let world = World::new(small());
    let words = "the craving for sweet things comes in the evening, the evening sea";
    let cost = async |tenant: &str| {
        let before = world.engine.stats();
        let (.., usage) = world.ask(request(tenant, Some("a0"), words)).await.unwrap();
        let after = world.engine.stats();
        (after.prefill_tokens - before.prefill_tokens, after.passes - before.passes, usage.cached_tokens)
    };
    let first = cost("ada").await;
    assert_eq!((first.0, first.2), (world.prompt_tokens("a0", words).await as u64, 0));
    let second = cost("bob").await;
    assert_eq!(second, first, "tokens run, passes, tokens spared");
    let own = cost("ada").await;
    assert!(own.0 < first.0 && own.1 < first.1 && own.2 > 0, "the cache works: {own:?} after {first:?}");
}
