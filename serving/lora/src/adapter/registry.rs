//! Adapters by name: on disk, in memory, in use; loaded, replaced and dropped while requests run.
//!
//! A request holds a [`Lease`] on one generation of an adapter. A reload makes the next generation; requests that hold
//! the old one end with it, and its memory is freed when the last has. Files are read outside the lock, so that a load
//! never makes a request wait whose adapter is in memory (LR-2).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use crave_schemas::Clock;

use super::CONFIG_FILE;
use super::evict::{Resident, choose};
use super::store::is_name;
use crate::{Adapter, Error, Model, Result};

/// Adapters in the folder that [`Registry::list`] tells of.
const LISTED_MAX: usize = 100_000;

/// How a registry keeps its adapters.
#[derive(Clone, Debug)]
pub struct RegistryOptions {
    /// Memory for adapters.
    pub bytes_max: u64,
    /// Names, beside the model's own, under which adapters may name their base.
    pub base_names: Vec<String>,
}

impl Default for RegistryOptions {
    fn default() -> Self {
        Self { bytes_max: 1 << 30, base_names: Vec::new() }
    }
}

/// An adapter as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterInfo {
    /// Its name, which is its folder's.
    pub name: String,
    /// The generation in memory and the bytes it takes, if it is there.
    pub resident: Option<(u64, u64)>,
    /// It stays in memory.
    pub pinned: bool,
    /// Requests that hold it, of any generation.
    pub leases: usize,
}

/// The adapters of one base. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Registry {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    base: Arc<Model>,
    dir: PathBuf,
    options: RegistryOptions,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Told when a load ends and when a retired generation is freed.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    entries: BTreeMap<String, Entry>,
    generations: u64,
    /// Bytes of loads under way.
    reserved: u64,
}

#[derive(Debug, Default)]
struct Entry {
    current: Option<Loaded>,
    /// Older generations that requests still hold.
    retired: Vec<Loaded>,
    pinned: bool,
    loading: bool,
}

#[derive(Debug)]
struct Loaded {
    adapter: Arc<Adapter>,
    generation: u64,
    used_at: DateTime<Utc>,
    reload_ms: u64,
    leases: usize,
}

/// A request's hold on one generation of an adapter; its memory stays until the lease is dropped.
#[derive(Debug)]
pub struct Lease {
    shared: Arc<Shared>,
    adapter: Arc<Adapter>,
    generation: u64,
}

impl Lease {
    /// The adapter.
    #[must_use]
    pub fn adapter(&self) -> &Arc<Adapter> {
        &self.adapter
    }

    /// Which load of it this is; a number is never used twice in a process.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        let now = self.shared.clock.now();
        let Some(entry) = state.entries.get_mut(self.adapter.name()) else { return };
        if let Some(loaded) = entry.all().find(|loaded| loaded.generation == self.generation) {
            loaded.leases -= 1;
            loaded.used_at = now;
        }
        entry.retired.retain(|loaded| loaded.leases > 0);
        drop(state);
        self.shared.changed.notify_all();
    }
}

impl State {
    fn bytes(&mut self) -> u64 {
        self.entries.values_mut().flat_map(Entry::all).map(|loaded| loaded.adapter.bytes()).sum()
    }
}

/// For the metrics: what is in memory now.
fn tell(state: &mut State) {
    let resident = state.entries.values().filter(|entry| entry.current.is_some()).count();
    metrics::gauge!("crave_lora_adapters_resident").set(resident as f64);
    metrics::gauge!("crave_lora_adapter_bytes").set(state.bytes() as f64);
}

/// The folder that a name stands for now: the name may be moved to another version while one is read.
fn version_of(dir: &std::path::Path) -> Result<PathBuf> {
    dir.canonicalize().map_err(|error| Error::io("find", dir, error))
}

impl Entry {
    fn all(&mut self) -> impl Iterator<Item = &mut Loaded> {
        self.retired.iter_mut().chain(self.current.as_mut())
    }

    fn retire(&mut self) -> Option<u64> {
        let old = self.current.take()?;
        let bytes = old.adapter.bytes();
        if old.leases > 0 {
            self.retired.push(old);
        }
        Some(bytes)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change under the lock is complete before anything in it can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lease(self: &Arc<Self>, loaded: &mut Loaded) -> Lease {
        loaded.leases += 1;
        loaded.used_at = self.clock.now();
        Lease {
            shared: Arc::clone(self),
            adapter: Arc::clone(&loaded.adapter),
            generation: loaded.generation,
        }
    }
}

impl Registry {
    /// The adapters in the folders of `dir`, for `base`. Reads nothing yet.
    #[must_use]
    pub fn new(base: Arc<Model>, dir: PathBuf, options: RegistryOptions, clock: Arc<dyn Clock>) -> Self {
        let (state, changed) = (Mutex::default(), Condvar::new());
        Self { shared: Arc::new(Shared { base, dir, options, clock, state, changed }) }
    }

    /// A lease on `name` if it is in memory, `None` if it must be loaded. Never reads a file's content.
    ///
    /// # Errors
    /// [`Error::NoAdapter`].
    pub fn resident(&self, name: &str) -> Result<Option<Lease>> {
        let mut state = self.shared.lock();
        if let Some(loaded) = state.entries.get_mut(name).and_then(|entry| entry.current.as_mut()) {
            return Ok(Some(self.shared.lease(loaded)));
        }
        drop(state);
        self.folder(name).map(|_| None)
    }

    /// A lease on `name`, which is loaded first if it is not in memory; one load serves all who ask meanwhile. Blocks.
    ///
    /// # Errors
    /// [`Error::NoAdapter`], [`Error::AdapterMemory`], and those of [`Adapter::load`].
    pub fn load(&self, name: &str) -> Result<Lease> {
        self.bring(name, false)
    }

    /// Loads `name` anew and puts it in the place of the generation in memory; requests that hold that one keep it. Returns
    /// the new generation. Blocks.
    ///
    /// # Errors
    /// Those of [`Registry::load`]; the generation in memory then stays.
    pub fn reload(&self, name: &str) -> Result<u64> {
        self.bring(name, true).map(|lease| lease.generation())
    }

    /// The files of `name` have changed: reloads it where it is in memory, on its way there, or pinned. Returns the new
    /// generation, `None` where the next request will find the new files anyway. Blocks.
    ///
    /// # Errors
    /// Those of [`Registry::reload`].
    pub fn refresh(&self, name: &str) -> Result<Option<u64>> {
        let state = self.shared.lock();
        let kept = |entry: &Entry| entry.current.is_some() || entry.loading || entry.pinned;
        let is_kept = state.entries.get(name).is_some_and(kept);
        drop(state);
        // A load that begins only now reads the new files.
        if is_kept { self.reload(name).map(Some) } else { Ok(None) }
    }

    fn bring(&self, name: &str, anew: bool) -> Result<Lease> {
        self.folder(name)?;
        let shared = &self.shared;
        let mut state = shared.lock();
        while state.entries.get(name).is_some_and(|entry| entry.loading) {
            state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let entry = state.entries.entry(name.to_owned()).or_default();
        match entry.current.as_mut().filter(|_| !anew) {
            Some(loaded) => return Ok(shared.lease(loaded)),
            None => entry.loading = true,
        }
        drop(state);
        let loaded = self.folder(name).and_then(|dir| self.read(name, &version_of(&dir)?));
        let mut state = shared.lock();
        let entry = state.entries.entry(name.to_owned()).or_default();
        entry.loading = false;
        let lease = loaded.map(|mut loaded| {
            let lease = shared.lease(&mut loaded);
            entry.retire();
            entry.current = Some(loaded);
            lease
        });
        tell(&mut state);
        drop(state);
        shared.changed.notify_all();
        lease
    }

    /// Reads an adapter after making room for it.
    fn read(&self, name: &str, dir: &std::path::Path) -> Result<Loaded> {
        let shared = &self.shared;
        let needed = Adapter::bytes_of(dir, shared.base.dtype())?;
        // Dropped outside the lock: freeing much memory takes a while.
        let _evicted = self.reserve(name, needed)?;
        let started = shared.clock.now();
        let adapter = Adapter::load(name, dir, &shared.base, &shared.options.base_names);
        let now = shared.clock.now();
        let mut state = shared.lock();
        state.reserved -= needed;
        let adapter = Arc::new(adapter?);
        state.generations += 1;
        let generation = state.generations;
        drop(state);
        metrics::histogram!("crave_lora_adapter_load_seconds", "tier" => "disk")
            .record((now - started).as_seconds_f64().max(0.0));
        let reload_ms = (now - started).num_milliseconds().max(0) as u64;
        tracing::info!(adapter = name, generation, bytes = adapter.bytes(), reload_ms, "adapter loaded");
        Ok(Loaded { adapter, generation, used_at: now, reload_ms, leases: 0 })
    }

    fn reserve(&self, name: &str, needed: u64) -> Result<Vec<Loaded>> {
        let now = self.shared.clock.now();
        let mut state = self.shared.lock();
        let mut names = Vec::new();
        let mut residents = Vec::new();
        let mut held = state.reserved;
        for (name, entry) in &state.entries {
            held += entry.retired.iter().map(|old| old.adapter.bytes()).sum::<u64>();
            let Some(loaded) = &entry.current else { continue };
            names.push(name.clone());
            residents.push(Resident {
                bytes: loaded.adapter.bytes(),
                idle_ms: (now - loaded.used_at).num_milliseconds().max(0) as u64,
                reload_ms: loaded.reload_ms,
                held: entry.pinned || loaded.leases > 0 || entry.loading,
            });
        }
        let max = self.shared.options.bytes_max.saturating_sub(held);
        let chosen = choose(&residents, needed, max).map_err(|free_bytes| Error::AdapterMemory {
            name: name.to_owned(),
            needed_bytes: needed,
            free_bytes,
        })?;
        state.reserved += needed;
        let gone =
            chosen.iter().filter_map(|at| state.entries.get_mut(&names[*at])?.current.take()).collect();
        Ok(gone)
    }

    /// Takes `name` out of memory: no new request gets this generation; waits up to `drain_max` for those that hold it,
    /// then reports the bytes freed. Its files stay, and the next request loads it again. Blocks.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] when it is not in memory; [`Error::Overloaded`] when requests still hold it after the wait:
    /// it is freed when they end.
    pub fn unload(&self, name: &str, drain_max: Duration) -> Result<u64> {
        let shared = &self.shared;
        // A load under way would bring it back.
        let loading = |state: &mut State| state.entries.get(name).is_some_and(|entry| entry.loading);
        let waited = shared.changed.wait_timeout_while(shared.lock(), drain_max, loading);
        let (mut state, wait) = waited.unwrap_or_else(PoisonError::into_inner);
        if wait.timed_out() {
            return Err(Error::Overloaded(format!("adapter {name:?} is being loaded")));
        }
        let entry = state.entries.get_mut(name).ok_or_else(|| Error::NoAdapter(name.to_owned()))?;
        entry.pinned = false;
        let bytes = entry.retire().ok_or_else(|| Error::NoAdapter(name.to_owned()))?;
        tell(&mut state);
        let held = |state: &mut State| state.entries.get(name).is_some_and(|entry| !entry.retired.is_empty());
        let (state, wait) =
            shared.changed.wait_timeout_while(state, drain_max, held).unwrap_or_else(PoisonError::into_inner);
        drop(state);
        match wait.timed_out() {
            true => Err(Error::Overloaded(format!("requests still hold adapter {name:?}"))),
            false => Ok(bytes),
        }
    }

    /// Whether there is such an adapter, in memory or not.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.folder(name).is_ok()
    }

    /// Keeps `name` in memory from its next load on, or no longer.
    ///
    /// # Errors
    /// [`Error::NoAdapter`].
    pub fn pin(&self, name: &str, pinned: bool) -> Result<()> {
        self.folder(name)?;
        self.shared.lock().entries.entry(name.to_owned()).or_default().pinned = pinned;
        Ok(())
    }

    /// Every adapter in the folder, by name.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder cannot be read.
    pub fn list(&self) -> Result<Vec<AdapterInfo>> {
        let dir = &self.shared.dir;
        let entries = std::fs::read_dir(dir).map_err(|error| Error::io("list", dir, error))?;
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| self.folder(name).is_ok())
            .take(LISTED_MAX)
            .collect();
        names.sort_unstable();
        let mut state = self.shared.lock();
        let infos = names.into_iter().map(|name| {
            let entry = state.entries.get_mut(&name);
            let (resident, pinned, leases) = entry.map_or((None, false, 0), |entry| {
                let current = entry.current.as_ref();
                let resident = current.map(|loaded| (loaded.generation, loaded.adapter.bytes()));
                (resident, entry.pinned, entry.all().map(|loaded| loaded.leases).sum())
            });
            AdapterInfo { name, resident, pinned, leases }
        });
        Ok(infos.collect())
    }

    /// Bytes of all adapters in memory, older generations among them.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.shared.lock().bytes()
    }

    /// The folder of `name`, if the name is one and the folder is an adapter's.
    fn folder(&self, name: &str) -> Result<PathBuf> {
        let dir = self.shared.dir.join(name);
        match is_name(name) && dir.join(CONFIG_FILE).is_file() {
            true => Ok(dir),
            false => Err(Error::NoAdapter(name.to_owned())),
        }
    }
}
