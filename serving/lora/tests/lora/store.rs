//! The folder of adapters: added, replaced while requests run, pinned, removed.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use candle_core::DType;
use crave_lora::{Adapter, AdapterStore, Error, ErrorKind, Model, Module, Registry, RegistryOptions};
use crave_schemas::SystemClock;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fixture::{config, lora, weights, write_lora, write_model};

struct World {
    dir: TempDir,
    config: Value,
    model: Arc<Model>,
    store: AdapterStore,
    registry: Registry,
}

impl World {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let config = config(&json!({}));
        write_model(&dir.path().join("tiny"), &config, &weights(&config, 1));
        let model = Arc::new(Model::load(&dir.path().join("tiny"), DType::F32).unwrap());
        let adapters = dir.path().join("adapters");
        let store = AdapterStore::open(&adapters).unwrap();
        let options = RegistryOptions::default();
        let registry = Registry::new(Arc::clone(&model), adapters, options, Arc::new(SystemClock));
        Self { dir, config, model, store, registry }
    }

    /// Writes an adapter somewhere else; returns where.
    fn source(&self, name: &str, seed: u64) -> String {
        let dir = self.dir.path().join("sources").join(name);
        write_lora(&dir, &self.config, &lora(&self.config, 4, 8.0, &[Module::Q, Module::Up], seed));
        dir.to_str().unwrap().to_owned()
    }

    async fn add(&self, name: &str, source: &str) -> Result<crave_lora::Added, Error> {
        let staged = self.store.fetch(name, source).await?;
        self.store.add(&staged, &self.model, &[])
    }

    fn versions(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.path().join("adapters/.versions")).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[tokio::test]
async fn an_adapter_is_added_replaced_and_removed() {
    let world = World::new();
    let added = world.add("sarah", &world.source("one", 1)).await.unwrap();
    assert!(!added.replaced && added.bytes > 0);
    let held = world.registry.load("sarah").unwrap();
    assert_eq!(held.adapter().version(), added.version);

    // From an object store this time.
    let url = format!("file://{}", world.source("two", 2));
    let replaced = world.add("sarah", &url).await.unwrap();
    assert!(replaced.replaced && replaced.version != added.version);
    assert_eq!(world.store.list().unwrap()[0].version, Some(replaced.version.clone()));
    let generation = world.registry.reload("sarah").unwrap();
    assert!(generation > held.generation());
    world.store.sweep("sarah").unwrap();
    assert_eq!(world.versions().len(), 1);
    assert_eq!(held.adapter().version(), added.version, "who holds the old version keeps it");
    assert_eq!(world.registry.load("sarah").unwrap().adapter().version(), replaced.version);
    drop(held);

    // The same again is the same version.
    let again = world.add("sarah", &url).await.unwrap();
    assert!(!again.replaced && again.version == replaced.version);

    world.store.remove("sarah").unwrap();
    let bytes = world.registry.unload("sarah", Duration::from_secs(1)).unwrap();
    assert_eq!(bytes, again.bytes);
    world.store.sweep("sarah").unwrap();
    assert!(world.versions().is_empty() && world.store.list().unwrap().is_empty());
    assert_eq!(world.registry.load("sarah").unwrap_err().kind(), ErrorKind::NotFound);
    assert!(matches!(world.store.remove("sarah"), Err(Error::NoAdapter(_))));
}

#[tokio::test]
async fn what_is_no_adapter_of_this_base_changes_nothing() {
    let world = World::new();
    let good = world.source("good", 1);
    let before = world.add("sarah", &good).await.unwrap();

    let other = world.source("other", 2);
    let other_config = json!({ "base_sha256": "00" });
    std::fs::write(Path::new(&other).join("crave_adapter.json"), other_config.to_string()).unwrap();
    let torn = world.source("torn", 3);
    std::fs::write(Path::new(&torn).join("adapter_model.safetensors"), b"torn").unwrap();
    let lacking = world.source("lacking", 4);
    std::fs::remove_file(Path::new(&lacking).join("adapter_config.json")).unwrap();
    for (source, kind, says) in [
        (other.as_str(), ErrorKind::Corrupt, "another base"),
        (&torn, ErrorKind::Corrupt, "cut off"),
        (&lacking, ErrorKind::Invalid, "adapter_config.json"),
        ("/nowhere", ErrorKind::Invalid, "cannot be fetched"),
        ("nowhere://bucket/sarah", ErrorKind::Invalid, "cannot be fetched"),
    ] {
        let error = world.add("sarah", source).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        let text = error.to_string();
        assert!(text.contains(says) || text.contains("header"), "{text}");
    }
    for name in ["", ".hidden", "a/b", "..", "é"] {
        assert!(matches!(world.add(name, &good).await, Err(Error::Invalid { field: "name", .. })), "{name}");
    }
    assert_eq!(world.versions().len(), 1, "nothing is left behind");
    assert_eq!(world.registry.load("sarah").unwrap().adapter().version(), before.version);
    // Its base's hash is noted, so that it is refused on another base of the same name.
    let base = world.dir.path().join("tiny2");
    write_model(&base, &world.config, &weights(&world.config, 9));
    let base = Model::load(&base, DType::F32).unwrap();
    let error = Adapter::load("sarah", &world.dir.path().join("adapters/sarah"), &base, &[]).unwrap_err();
    assert!(error.to_string().contains("another base"), "{error}");
}

#[tokio::test]
async fn what_killed_fetches_left_is_deleted_by_the_next_one() {
    let world = World::new();
    let left = world.dir.path().join("adapters/.versions/.incoming-tom-1-0");
    std::fs::create_dir(&left).unwrap();
    std::fs::write(left.join("adapter_model.safetensors"), b"half of it").unwrap();
    let held = world.store.fetch("sarah", &world.source("one", 1)).await.unwrap();
    assert_eq!(world.versions().len(), 1, "only what was just fetched: {:?}", world.versions());
    // A fetch that is under way is not touched by another.
    world.add("tom", &world.source("two", 2)).await.unwrap();
    assert!(!world.store.add(&held, &world.model, &[]).unwrap().replaced);
    drop(held);
    let versions = world.versions();
    assert!(versions.len() == 2 && versions.iter().all(|name| !name.starts_with('.')), "{versions:?}");
}

#[tokio::test]
async fn pins_are_kept_and_folders_put_there_by_hand_are_served() {
    let world = World::new();
    write_lora(
        &world.dir.path().join("adapters/hand"),
        &world.config,
        &lora(&world.config, 4, 8.0, &[Module::V], 5),
    );
    world.add("sarah", &world.source("one", 1)).await.unwrap();
    world.store.pin("sarah", true).unwrap();
    assert!(matches!(world.store.pin("nobody", true), Err(Error::NoAdapter(_))));
    let stored = AdapterStore::open(&world.dir.path().join("adapters")).unwrap().list().unwrap();
    let told: Vec<(&str, bool, bool)> =
        stored.iter().map(|one| (one.name.as_str(), one.version.is_some(), one.pinned)).collect();
    assert_eq!(told, [("hand", false, false), ("sarah", true, true)]);
    let error = world.add("hand", &world.source("two", 2)).await.unwrap_err();
    assert!(error.to_string().contains("by hand"), "{error}");
    world.store.remove("hand").unwrap();
    world.store.sweep("hand").unwrap();
    world.store.remove("sarah").unwrap();
    assert!(world.store.pins().unwrap().is_empty());
}
