//! Opens the memories' index as the configuration says: where it is, what embeds it, and who agreed to that.

use std::sync::Arc;

use anyhow::Context as _;
use crave_api::Accounts;
use crave_recall::{
    ColdOptions, Consent, Embedder, Embedders, MiniLm, OpenAi, Place, Recall, Understander,
    labelled::Labeller,
};
use crave_schemas::UserId;

use crate::{
    config::{self, EmbedderKind},
    home::Home,
};

/// Opens the index of a home. Whatever can make vectors is brought along: a collection may still hold those of the model
/// that was set before.
pub(crate) async fn open(
    home: &Home,
    config: &config::Recall,
    accounts: &Accounts,
) -> anyhow::Result<Recall> {
    let minilm = minilm(home).await?;
    let labeller = Labeller::new(Understander::new(minilm.clone())?);
    let minilm = minilm.map(|model| Arc::new(model) as Arc<dyn Embedder>);
    let service: Option<Arc<dyn Embedder>> = match config.embedder.is_set() {
        true => Some(Arc::new(OpenAi::new(config.embedder.service()?).context("recall.embedder")?)),
        false => None,
    };
    let (chosen, other) = match config.embedder.kind {
        EmbedderKind::MiniLm => (minilm, service),
        EmbedderKind::OpenAi => (service, minilm),
    };
    let mut embedders = Embedders::new(chosen).consent(consent(accounts.clone()));
    if let Some(other) = other {
        embedders = embedders.or(other);
    }
    let folder = home.memories();
    let server = config.server()?;
    let on_server = server.is_some();
    let place = server.map_or_else(|| Place::Folder(folder.clone()), Place::Server);
    let cold = ColdOptions {
        retention: config.cold.retention,
        user_bytes_max: config.cold.user_max.as_u64(),
        bytes_max: config.cold.disk_max.as_u64(),
        ..ColdOptions::new(folder.join("cold"))
    };
    let recall = Recall::open_with(place, embedders, Some(cold)).await.context("opening the memories")?;
    let recall = recall.labelled_by(labeller);
    if on_server {
        std::fs::create_dir_all(&folder).with_context(|| format!("{}: cannot be made", folder.display()))?;
        if recall.status().await.context("looking at the memories")?.memories == 0 {
            // A new collection, or one that was deleted: it is filled from the start.
            forget_positions(&folder)?;
        }
    }
    tracing::info!(mode = %recall.mode().await, "memories");
    Ok(recall)
}

async fn minilm(home: &Home) -> anyhow::Result<Option<MiniLm>> {
    let folder = home.models();
    let loaded = tokio::task::spawn_blocking(move || MiniLm::load_if_present(&folder)).await?;
    Ok(loaded.unwrap_or_else(|error| {
        tracing::warn!(%error, "the embedding model cannot be used");
        None
    }))
}

/// A person agreed when their profile says so now: nothing is kept from before. When it cannot be read, they did not.
fn consent(accounts: Accounts) -> Consent {
    Arc::new(move |user: UserId| {
        let accounts = accounts.clone();
        Box::pin(async move {
            match accounts.profile(&user).await {
                Ok(chosen) => chosen.profile.remote_processing,
                Err(error) => {
                    tracing::warn!(%error, "a profile cannot be read; nothing is sent");
                    false
                }
            }
        })
    })
}

fn forget_positions(folder: &std::path::Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("position-") {
            std::fs::remove_file(&path).with_context(|| format!("{}: cannot be removed", path.display()))?;
        }
    }
    Ok(())
}
