//! The model that speaks, where one does.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use crave_insight::{Backend, Remote, RemoteOptions};
use serde::Deserialize;

/// The key of the model's server, where no file is named; `crave serve-model` takes its own from there.
const KEY: &str = "CRAVE_MODEL_KEY";

/// Section `model`. Its key is in a file or in the environment, never here.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Model {
    pub(crate) url: String,
    pub(crate) key_file: String,
    pub(crate) model: String,
    pub(crate) context: usize,
    #[serde(with = "humantime_serde")]
    pub(crate) patience: Duration,
}

impl Model {
    /// What speaks; none where no server is set.
    pub(crate) fn backend(&self) -> anyhow::Result<Option<Arc<dyn Backend>>> {
        if self.url.is_empty() {
            return Ok(None);
        }
        let key = super::recall::key(&self.key_file, KEY).context("model.key_file")?;
        let Self { url, model, context, patience, .. } = self.clone();
        Ok(Some(Arc::new(Remote::new(RemoteOptions { url, key, model, context, patience })?)))
    }

    pub(super) fn check(&self) -> anyhow::Result<()> {
        let set = !self.url.is_empty();
        anyhow::ensure!(!set || !self.model.is_empty(), "model.model must be set for model.url");
        anyhow::ensure!((256..=1 << 20).contains(&self.context), "model.context must be 256 to 1048576");
        Ok(())
    }
}
