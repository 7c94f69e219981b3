//! Places where tests kill the process, or make a step fail.

use std::sync::{
    Arc, OnceLock, PoisonError, RwLock,
    atomic::{AtomicU32, Ordering},
};

use crate::{Error, Result};

/// Says of each failpoint that is passed, by name, whether it fails.
pub type Striker = Arc<dyn Fn(&str) -> bool + Send + Sync>;

static STRIKER: RwLock<Option<Striker>> = RwLock::new(None);

/// Marks a place between two steps that both leave something durable behind. Passes, except in tests: aborts the process,
/// as `kill -9` would, when `CRAVE_FAILPOINT` is `name` or `name@N` and this is the N-th time that `name` is passed.
///
/// # Errors
/// When the [`Striker`] says so.
pub fn failpoint(name: &str) -> Result<()> {
    static ARMED: OnceLock<Option<(String, u32)>> = OnceLock::new();
    static PASSED: AtomicU32 = AtomicU32::new(0);
    let armed = ARMED.get_or_init(|| {
        let text = std::env::var("CRAVE_FAILPOINT").ok()?;
        let (name, nth) = text.split_once('@').unwrap_or((&text, "1"));
        Some((name.to_owned(), nth.parse().unwrap_or(1)))
    });
    if let Some((_, nth)) = armed.as_ref().filter(|(armed, _)| armed == name)
        && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *nth
    {
        std::process::abort();
    }
    let striker = STRIKER.read().unwrap_or_else(PoisonError::into_inner).clone();
    match striker {
        Some(strikes) if strikes(name) => {
            Err(Error::connector(format!("failpoint '{name}'"), true, "a test says so"))
        }
        _ => Ok(()),
    }
}

/// Lets a simulation decide which failpoints of this process fail; `None`: none.
pub fn strike_failpoints(striker: Option<Striker>) {
    *STRIKER.write().unwrap_or_else(PoisonError::into_inner) = striker;
}
