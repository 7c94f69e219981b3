//! Clients from PyPI, for tests that speak with the server as other people's programs do.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// OpenAI's client.
pub(crate) const OPENAI: &str = "openai==3.57.0";

/// Installs a package once, beside the other things that tests fetch, and gives its folder; where pip cannot, the test
/// says so and fails.
pub(crate) fn package(name: &str) -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"), PathBuf::from);
    let target = cache.join("crave-wave/python").join(name.replace("==", "-"));
    if !target.is_dir() {
        let part = target.with_extension(format!("part-{}", std::process::id()));
        let pip = Command::new("python3")
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"])
            .args([part.as_os_str(), name.as_ref()])
            .output();
        let pip = pip.expect("python3 is needed for this test: run `make setup`");
        let why = String::from_utf8_lossy(&pip.stderr);
        assert!(pip.status.success(), "pip cannot install {name}, which this test needs: {why}");
        // Another run may have been first.
        let _ = std::fs::rename(&part, &target);
        let _ = std::fs::remove_dir_all(&part);
    }
    target
}

/// Runs a script of `tests/system` with a package to its end and gives the JSON object that it prints.
pub(crate) fn run(script: &str, package_folder: &Path, args: &[&str]) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/system").join(script);
    let ran = Command::new("python3").arg(script).args(args).env("PYTHONPATH", package_folder).output();
    let ran = ran.unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    serde_json::from_slice(&ran.stdout).unwrap()
}
