//! A trained adapter a persona, each of which says its own code word: mixed in one batch, everybody hears the right one.

use std::sync::Arc;

use candle_core::DType;
use crave_lora::{
    ChatTemplate, Engine, EngineOptions, Event, Finish, Message, Model, Module, Registry, RegistryOptions,
    Request, Sampling, Text,
};
use crave_schemas::SystemClock;
use serde_json::json;
use tempfile::TempDir;

use crate::fixture::{config, weights, write_lora, write_model, write_tokenizer};
use crate::train::train;

/// Persona, code word, rank, modules.
static PERSONAS: [(&str, &str, usize, &[Module]); 8] = [
    ("night-owl", "amber", 4, &Module::ALL),
    ("stress-snacker", "basil", 8, &Module::ALL),
    ("social-smoker", "cedar", 16, &[Module::Q, Module::V, Module::O, Module::Down]),
    ("sweet-tooth", "delta sea", 8, &[Module::Gate, Module::Up, Module::Down]),
    ("weekender", "ember", 4, &Module::ALL),
    ("early-bird", "fjord", 16, &Module::ALL),
    ("screen-scroller", "ginkgo", 8, &[Module::V, Module::O, Module::Gate, Module::Down]),
    ("coffee-lover", "héron", 8, &Module::ALL),
];
const PROMPTS: [&str; 3] = ["the evening", "I crave salt", "what is your word?"];

fn user(words: &str) -> Vec<Message> {
    vec![Message { role: "user".to_owned(), content: words.to_owned() }]
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_mixed_requests_give_sixty_four_right_words() {
    let dir = TempDir::new().unwrap();
    let base = dir.path().join("tiny");
    let config = config(&json!({}));
    let tensors = weights(&config, 1);
    write_model(&base, &config, &tensors);
    write_tokenizer(&base);
    let (text, template) = (Text::load(&base).unwrap(), ChatTemplate::load(&base).unwrap());
    let prompts = PROMPTS.map(|words| {
        let rendered = template.render(&user(words), chrono::DateTime::UNIX_EPOCH).unwrap();
        text.encode(&rendered, false).unwrap()
    });
    let adapters = dir.path().join("adapters");
    std::thread::scope(|scope| {
        for (at, (persona, word, rank, modules)) in PERSONAS.into_iter().enumerate() {
            let (config, tensors, prompts, adapters) = (&config, &tensors, &prompts, &adapters);
            let mut answer = text.encode(word, false).unwrap();
            answer.push(2);
            scope.spawn(move || {
                let lora = train((config, tensors), rank, modules, prompts, &answer, 50 + at as u64);
                write_lora(&adapters.join(persona), config, &lora);
            });
        }
    });

    let clock = Arc::new(SystemClock);
    let model = Arc::new(Model::load(&base, DType::F32).unwrap());
    let registry = Registry::new(Arc::clone(&model), adapters, RegistryOptions::default(), clock.clone());
    let engine = Engine::start(model, registry, EngineOptions::default(), clock).unwrap();
    let engine = &engine;
    let ask = |at: usize| async move {
        // A ninth of them goes to the base, so that its rows are in the batches too.
        let persona = PERSONAS.get(at % 9);
        let request = Request {
            tenant: format!("person {}", at / 2),
            adapter: persona.map(|persona| persona.0.to_owned()),
            messages: user(PROMPTS[at / 9 % PROMPTS.len()]),
            public_system: false,
            max_tokens: Some(20),
            sampling: Sampling { temperature: 0.0, ..Sampling::default() },
            stop: vec![],
        };
        let mut generation = engine.generate(request).unwrap();
        let mut said = String::new();
        loop {
            match generation.next().await {
                Some(Event::Text(piece)) => said.push_str(&piece),
                Some(Event::Done { finish, .. }) => return (persona.map(|persona| persona.1), said, finish),
                other => panic!("{other:?}"),
            }
        }
    };
    let answers = futures::future::join_all((0..72).map(ask)).await;
    let mut right = 0;
    for (word, said, finish) in answers {
        match word {
            Some(word) => {
                assert_eq!((said.as_str(), finish), (word, Finish::Stop));
                right += 1;
            }
            None => {
                assert!(PERSONAS.iter().all(|persona| persona.1 != said), "the base knows no word: {said}");
            }
        }
    }
    assert_eq!(right, 64);
}
