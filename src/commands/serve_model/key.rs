//! The operator's key: from the environment, else from a file in the home that only its owner can read.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
};

use anyhow::Context as _;

use crate::home::Home;

const VARIABLE: &str = "CRAVE_MODEL_KEY";

/// The key; made on first start. It is never printed, only where it is.
pub(super) fn operators(home: &Home) -> anyhow::Result<String> {
    if let Some(key) = std::env::var_os(VARIABLE) {
        let key = key.into_string().ok().filter(|key| !key.trim().is_empty());
        return key.with_context(|| format!("{VARIABLE} is set but is no key; unset it or put a key there"));
    }
    let path = home.path().join("model.key");
    if let Ok(metadata) = fs::metadata(&path) {
        let mode = metadata.permissions().mode() & 0o777;
        anyhow::ensure!(
            mode & 0o077 == 0,
            "{}: others can read it (mode {mode:o}); `chmod 600` it, or delete it for a new key",
            path.display()
        );
        let key = fs::read_to_string(&path).with_context(|| format!("{}: cannot be read", path.display()))?;
        return Ok(key.trim().to_owned());
    }
    let key = crave_api::new_secret().context("the system has no randomness to give")?;
    let made = File::options().write(true).create_new(true).mode(0o600).open(&path);
    made.and_then(|mut file| {
        writeln!(file, "{key}")?;
        file.sync_all()
    })
    .with_context(|| format!("{}: cannot be written", path.display()))?;
    eprintln!("crave: a key was made: {}", path.display());
    Ok(key)
}
