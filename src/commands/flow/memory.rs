//! How much memory this process has needed.

/// The most bytes this process had in memory at a time (`VmHWM`); `None` where the kernel does not say.
pub(super) fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn this_process_needs_some() {
        assert!(super::peak_bytes().unwrap() > 100_000);
    }
}
