//! Adapters that are refused, and the registry: loading, replacing, dropping, making room.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use candle_core::DType;
use chrono::{DateTime, TimeDelta};
use crave_lora::{Adapter, ErrorKind, Model, Module, Registry, RegistryOptions};
use crave_schemas::{Clock, ManualClock, SystemClock};
use serde_json::json;
use tempfile::TempDir;

use crate::fixture::{Lora, Tensors, config, lora, save, weights, write_lora, write_model};

struct World {
    dir: TempDir,
    model: Arc<Model>,
}

impl World {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let config = config(&json!({}));
        write_model(&dir.path().join("tiny"), &config, &weights(&config, 1));
        let model = Arc::new(Model::load(&dir.path().join("tiny"), DType::F32).unwrap());
        Self { dir, model }
    }

    fn write(&self, name: &str, lora: &Lora) -> std::path::PathBuf {
        let dir = self.dir.path().join("adapters").join(name);
        write_lora(&dir, &config(&json!({})), lora);
        dir
    }

    fn registry(&self, bytes_max: u64, clock: Arc<dyn Clock>) -> Registry {
        let options = RegistryOptions { bytes_max, ..RegistryOptions::default() };
        Registry::new(Arc::clone(&self.model), self.dir.path().join("adapters"), options, clock)
    }
}

fn small(seed: u64) -> Lora {
    lora(&config(&json!({})), 4, 8.0, &[Module::Q], seed)
}

/// Bytes of [`small`]: two layers of 4 × (64 + 64) numbers.
const SMALL_BYTES: u64 = 2 * 4 * 128 * 4;

#[test]
fn adapters_that_do_not_fit_are_refused_with_the_reason() {
    let world = World::new();
    let refuse = |change: &dyn Fn(&mut Lora), after: &dyn Fn(&Path), word: &str| {
        let mut lora = small(1);
        change(&mut lora);
        let dir = world.write("bad", &lora);
        after(&dir);
        let error = Adapter::load("bad", &dir, &world.model, &[]).unwrap_err();
        std::fs::remove_dir_all(&dir).unwrap();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains(word), "{error} lacks {word}");
    };
    let nothing = |_: &Path| ();
    refuse(&|lora| lora.config["use_dora"] = json!(true), &nothing, "use_dora");
    refuse(&|lora| lora.config["bias"] = json!("lora_only"), &nothing, "bias");
    refuse(&|lora| lora.config["base_model_name_or_path"] = json!("meta/Other-7B"), &nothing, "another base");
    refuse(&|lora| lora.config["r"] = json!(8), &nothing, "must have [8, 64]");
    refuse(&|lora| lora.config["target_modules"] = json!(["v_proj"]), &nothing, "not in target_modules");
    refuse(
        &|_| (),
        &|dir| std::fs::write(dir.join("crave_adapter.json"), r#"{"base_sha256": "00"}"#).unwrap(),
        "another base: sha-256 00",
    );
    let tensor = |name: &'static str| {
        move |dir: &Path| {
            let tensors: Tensors = [(name.to_owned(), (vec![4, 64], vec![0.0; 256]))].into();
            save(&tensors, &dir.join("adapter_model.safetensors"));
        }
    };
    for (name, word) in [
        ("base_model.model.lm_head.lora_A.weight", "not the lora_A"),
        ("base_model.model.model.embed_tokens.lora_embedding_A", "not the lora_A"),
        ("base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector", "not the lora_A"),
        ("base_model.model.model.layers.2.self_attn.q_proj.lora_A.weight", "layer 2; the base has 2"),
        ("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", "has no lora_B"),
    ] {
        refuse(&|_| (), &tensor(name), word);
    }
    refuse(
        &|_| (),
        &|dir| std::fs::write(dir.join("adapter_model.safetensors"), b"short").unwrap(),
        "header",
    );
}

#[test]
fn a_base_may_be_named_by_hash_or_by_another_name() {
    let world = World::new();
    let mut foreign = small(1);
    foreign.config["base_model_name_or_path"] = json!("/home/x/Tiny-Copy/");
    let dir = world.write("foreign", &foreign);
    Adapter::load("foreign", &dir, &world.model, &["org/tiny-copy".to_owned()]).unwrap();
    let hash = json!({"base_sha256": world.model.sha256()}).to_string();
    std::fs::write(dir.join("crave_adapter.json"), hash).unwrap();
    Adapter::load("foreign", &dir, &world.model, &[]).unwrap();
}

#[test]
fn a_reload_gives_new_requests_the_new_generation_and_lets_old_ones_end() {
    let world = World::new();
    world.write("one", &small(1));
    let registry = world.registry(1 << 20, Arc::new(SystemClock));
    assert!(registry.resident("one").unwrap().is_none());
    let old = registry.load("one").unwrap();
    world.write("one", &small(2));
    assert_eq!(registry.load("one").unwrap().generation(), old.generation());
    let generation = registry.reload("one").unwrap();
    let new = registry.resident("one").unwrap().unwrap();
    assert_eq!(new.generation(), generation);
    assert!(new.generation() > old.generation());
    assert_ne!(new.adapter().version(), old.adapter().version());
    assert_eq!(registry.bytes(), 2 * SMALL_BYTES);
    drop(old);
    assert_eq!(registry.bytes(), SMALL_BYTES);
}

#[test]
fn a_failed_reload_keeps_the_generation_in_memory() {
    let world = World::new();
    let dir = world.write("one", &small(1));
    let registry = world.registry(1 << 20, Arc::new(SystemClock));
    let generation = registry.load("one").unwrap().generation();
    std::fs::write(dir.join("adapter_model.safetensors"), b"torn").unwrap();
    assert_eq!(registry.reload("one").unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(registry.resident("one").unwrap().unwrap().generation(), generation);
}

#[test]
fn unload_waits_for_requests_and_reports_the_bytes() {
    let world = World::new();
    world.write("one", &small(1));
    let registry = world.registry(1 << 20, Arc::new(SystemClock));
    let lease = registry.load("one").unwrap();
    let error = registry.unload("one", Duration::from_millis(10)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded);
    assert_eq!(registry.bytes(), SMALL_BYTES);
    drop(lease);
    assert_eq!(registry.bytes(), 0);
    let lease = registry.load("one").unwrap();
    let waiting = {
        let registry = registry.clone();
        std::thread::spawn(move || registry.unload("one", Duration::from_secs(20)))
    };
    while registry.resident("one").unwrap().is_some() {
        std::thread::yield_now();
    }
    drop(lease);
    assert_eq!(waiting.join().unwrap().unwrap(), SMALL_BYTES);
    assert_eq!(registry.bytes(), 0);
}

#[test]
fn the_longest_idle_leaves_and_pinned_and_used_ones_stay() {
    let world = World::new();
    for (seed, name) in ["a", "b", "c", "d"].into_iter().enumerate() {
        world.write(name, &small(seed as u64));
    }
    let clock = Arc::new(ManualClock::at(DateTime::UNIX_EPOCH));
    let registry = world.registry(2 * SMALL_BYTES, Arc::clone(&clock) as Arc<dyn Clock>);
    let resident = || -> String {
        registry
            .list()
            .unwrap()
            .into_iter()
            .filter(|info| info.resident.is_some())
            .map(|info| info.name)
            .collect()
    };
    for name in ["a", "b"] {
        drop(registry.load(name).unwrap());
        clock.advance(TimeDelta::seconds(1));
    }
    drop(registry.load("c").unwrap());
    assert_eq!(resident(), "bc");
    registry.pin("b", true).unwrap();
    clock.advance(TimeDelta::seconds(1));
    let lease = registry.load("d").unwrap();
    assert_eq!(resident(), "bd");
    let error = registry.load("a").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded, "{error}");
    drop(lease);
    drop(registry.load("a").unwrap());
    assert_eq!(resident(), "ab");
}

#[test]
fn names_that_are_no_adapters_are_not_found() {
    let world = World::new();
    world.write("one", &small(1));
    let registry = world.registry(1 << 20, Arc::new(SystemClock));
    for name in ["", "two", "../adapters/one", "one/", ".", "..", "öne", &"x".repeat(65)] {
        assert_eq!(registry.load(name).unwrap_err().kind(), ErrorKind::NotFound, "{name}");
    }
}
