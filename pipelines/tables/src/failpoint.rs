//! Places where the crash tests kill the process.

use std::sync::{
    OnceLock,
    atomic::{AtomicU32, Ordering},
};

/// Aborts the process, as `kill -9` would, when `CRAVE_FAILPOINT` is `name` or `name@N` and this is the N-th
/// time that `name` is passed. Costs one load where the variable is not set.
pub fn failpoint(name: &str) {
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
}
