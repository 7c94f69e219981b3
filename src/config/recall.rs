//! Where memories are kept and what embeds them.

use std::{path::Path, time::Duration};

use anyhow::Context as _;
use bytesize::ByteSize;
use crave_recall::{Key, Model, OpenAiOptions, ServerOptions};
use serde::Deserialize;

/// The key of a Qdrant server, where no file is named.
const QDRANT_KEY: &str = "QDRANT_API_KEY";
/// The key of an embedding service, where no file is named.
const EMBEDDER_KEY: &str = "CRAVE_EMBEDDER_KEY";

/// Section `recall`. Keys are in files or in the environment, never here.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recall {
    pub(crate) store: Store,
    pub(crate) url: String,
    pub(crate) key_file: String,
    pub(crate) collection: String,
    #[serde(with = "humantime_serde")]
    pub(crate) timeout: Duration,
    pub(crate) embedder: Embedder,
    pub(crate) cold: Cold,
}

/// Section `recall.cold`: what moves to the cold index of memories, and how large that may become.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cold {
    #[serde(with = "humantime_serde")]
    pub(crate) retention: Duration,
    pub(crate) user_max: ByteSize,
    pub(crate) disk_max: ByteSize,
}

/// Which vector store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Store {
    /// In a folder of the home, by an engine in this process.
    Edge,
    /// A Qdrant server.
    Qdrant,
}

/// Section `recall.embedder`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Embedder {
    pub(crate) kind: EmbedderKind,
    pub(crate) url: String,
    pub(crate) key_file: String,
    pub(crate) model: String,
    pub(crate) dimension: usize,
    pub(crate) shorten: bool,
    pub(crate) batch_texts: usize,
    pub(crate) text_max: ByteSize,
    pub(crate) requests_per_min: u32,
    #[serde(with = "humantime_serde")]
    pub(crate) timeout: Duration,
    pub(crate) retries: u32,
}

/// Which embedding model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EmbedderKind {
    /// MiniLM in this process.
    MiniLm,
    /// A service that speaks OpenAI's embeddings.
    OpenAi,
}

impl Recall {
    /// The Qdrant server, where one is set.
    pub(crate) fn server(&self) -> anyhow::Result<Option<ServerOptions>> {
        if self.store != Store::Qdrant {
            return Ok(None);
        }
        Ok(Some(ServerOptions {
            url: self.url.clone(),
            key: key(&self.key_file, QDRANT_KEY).context("recall.key_file")?,
            name: self.collection.clone(),
            timeout: self.timeout,
        }))
    }

    pub(super) fn check(&self) -> anyhow::Result<()> {
        let qdrant = self.store == Store::Qdrant;
        anyhow::ensure!(!qdrant || !self.url.is_empty(), "recall.url must be set for recall.store = qdrant");
        anyhow::ensure!(!self.timeout.is_zero(), "recall.timeout must be above 0s");
        let remote = self.embedder.kind == EmbedderKind::OpenAi;
        anyhow::ensure!(
            !remote || self.embedder.is_set(),
            "recall.embedder.url, model and dimension must be set for recall.embedder.kind = openai"
        );
        Ok(())
    }
}

impl Embedder {
    /// Whether a service is described, in use or not.
    pub(crate) fn is_set(&self) -> bool {
        !self.url.is_empty() && !self.model.is_empty() && self.dimension > 0
    }

    /// The service that is described.
    pub(crate) fn service(&self) -> anyhow::Result<OpenAiOptions> {
        Ok(OpenAiOptions {
            url: self.url.clone(),
            key: key(&self.key_file, EMBEDDER_KEY).context("recall.embedder.key_file")?,
            model: Model::new(self.model.clone(), self.dimension).context("recall.embedder")?,
            shorten: self.shorten,
            batch_texts: self.batch_texts,
            text_bytes_max: usize::try_from(self.text_max.as_u64()).unwrap_or(usize::MAX),
            requests_per_min: self.requests_per_min,
            timeout: self.timeout,
            retries: self.retries,
        })
    }
}

/// The key in a file, or in the environment; none where neither is there.
pub(super) fn key(file: &str, variable: &str) -> anyhow::Result<Option<Key>> {
    if !file.is_empty() {
        return Ok(Some(Key::from_file(Path::new(file))?));
    }
    match std::env::var(variable) {
        Ok(key) if !key.is_empty() => Ok(Some(Key::new(&key).context(variable.to_owned())?)),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn load(text: &str) -> anyhow::Result<Config> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("crave.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(Some(&path))
    }

    #[test]
    fn nothing_leaves_the_machine_by_default() {
        let recall = Config::load(None).unwrap().recall;
        assert_eq!((recall.store, recall.embedder.kind), (Store::Edge, EmbedderKind::MiniLm));
        assert!(recall.server().unwrap().is_none() && !recall.embedder.is_set());
    }

    #[test]
    fn a_server_and_a_service_are_set_with_their_addresses() {
        for (text, expected) in [
            ("[recall]\nstore = \"qdrant\"\n", "recall.url"),
            ("[recall.embedder]\nkind = \"openai\"\n", "recall.embedder.url"),
            ("[recall.embedder]\nkey = \"sk-secret\"\n", "key"),
        ] {
            let error = format!("{:#}", load(text).unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
        let config = load(
            "[recall]\nstore = \"qdrant\"\nurl = \"http://127.0.0.1:6334\"\n\
             [recall.embedder]\nkind = \"openai\"\nurl = \"https://api.openai.com/v1\"\n\
             model = \"text-embedding-3-small\"\ndimension = 512\nshorten = true\n",
        );
        let recall = config.unwrap().recall;
        assert_eq!(recall.server().unwrap().unwrap().name, "crave-memories");
        let service = recall.embedder.service().unwrap();
        assert_eq!((service.model.dimension(), service.shorten, service.batch_texts), (512, true, 128));
    }

    #[cfg(unix)]
    #[test]
    fn a_key_comes_from_a_file_of_its_owner_and_is_not_printed() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "sk-secret").unwrap();
        let set = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        set(0o600);
        let config = load(&format!(
            "[recall]\nstore = \"qdrant\"\nurl = \"http://127.0.0.1:6334\"\nkey_file = \"{}\"\n",
            path.display()
        ))
        .unwrap();
        let server = config.recall.server().unwrap().unwrap();
        assert!(server.key.is_some() && !format!("{config:?} {server:?}").contains("sk-secret"));
        set(0o640);
        assert!(format!("{:#}", config.recall.server().unwrap_err()).contains("chmod 600"));
    }
}
