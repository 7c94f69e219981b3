//! The catalogue of a server: collections are called `NAME-NNNNNNNN`; the alias `NAME` names the one in use, `NAME-next`
//! the one on its way. An alias is moved in one step. The model stands in the collection's metadata.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use qdrant_client::Qdrant;
use qdrant_client::qdrant::{
    CreateAliasBuilder, CreateCollectionBuilder, CreateFieldIndexCollectionBuilder, Distance, FieldType,
    IntegerIndexParamsBuilder, KeywordIndexParamsBuilder, SparseVectorParamsBuilder,
    SparseVectorsConfigBuilder, VectorParamsBuilder, VectorsConfigBuilder,
};
use serde_json::json;

use super::super::point::{DENSE, SPARSE, key};
use super::super::{Catalogue, Collection, Held};
use super::{Remote, ServerOptions, codec, failed};
use crate::embed::Model;
use crate::error::ErrorKind;
use crate::{Error, Result};

/// Where the metadata keeps the model.
const MODEL: &str = "crave_model";

/// A server with our collections.
pub(crate) struct Server {
    client: Qdrant,
    url: String,
    name: String,
}

impl Server {
    /// Checks the options; the connection is made with the first request.
    pub(crate) fn connect(options: ServerOptions) -> Result<Self> {
        let ServerOptions { url, key, name, timeout } = options;
        let word = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        if name.is_empty() || name.len() > 200 || !name.chars().all(word) {
            return Err(Error::invalid("collection", "must be 1 to 200 letters, digits, '_' and '-'"));
        }
        let is_address = url.starts_with("https://") || url.starts_with("http://");
        if !is_address || url.contains('@') {
            let why = "must begin with http:// or https:// (the gRPC port, 6334) and hold no password";
            return Err(Error::invalid("url", why));
        }
        let mut config = Qdrant::from_url(&url).timeout(timeout).connect_timeout(timeout);
        // It would print to the console and ask before anybody waits for an answer.
        config.check_compatibility = false;
        if let Some(key) = key {
            config.set_api_key(key.reveal());
        }
        let client = config.build().map_err(|error| failed(&url, error))?;
        Ok(Self { client, url, name })
    }

    fn named(&self, number: u64) -> String {
        format!("{}-{number:08}", self.name)
    }

    fn next_alias(&self) -> String {
        format!("{}-next", self.name)
    }

    fn number(&self, collection: &str) -> Option<u64> {
        let digits = collection.strip_prefix(&self.name)?.strip_prefix('-')?;
        (digits.len() == 8).then(|| digits.parse().ok()).flatten()
    }

    async fn load(&self, number: u64) -> Result<Arc<dyn Collection>> {
        let name = self.named(number);
        let info = self.client.collection_info(&name).await.map_err(|error| failed(&self.url, error))?;
        let metadata = info.result.and_then(|info| info.config).map(|config| config.metadata);
        let model = metadata.unwrap_or_default().remove(MODEL).map(codec::json_of);
        let model =
            model.and_then(|model| serde_json::from_value(model).ok()).ok_or_else(|| Error::Server {
                url: self.url.clone(),
                why: format!("does not tell the model of {name}: it must be version 1.16 or newer"),
                kind: ErrorKind::Internal,
            })?;
        Ok(Arc::new(Remote::new(self.client.clone(), self.url.clone(), name, model)))
    }

    async fn make(&self, number: u64, model: &Model) -> Result<()> {
        let name = self.named(number);
        let failed = |error| failed(&self.url, error);
        // What a crash left; a collection that is not there is no error.
        self.client.delete_collection(&name).await.map_err(failed)?;
        let mut dense = VectorsConfigBuilder::default();
        let dimension = u64::try_from(model.dimension()).unwrap_or(u64::MAX);
        dense.add_named_vector_params(
            DENSE,
            VectorParamsBuilder::new(dimension, Distance::Cosine).on_disk(true),
        );
        // No idf modifier: it would count the words of all tenants; see `crate::lexical`.
        let mut sparse = SparseVectorsConfigBuilder::default();
        sparse.add_named_vector_params(SPARSE, SparseVectorParamsBuilder::default());
        let described = json!({ "name": model.name(), "dimension": model.dimension() });
        let metadata = HashMap::from([(MODEL.to_owned(), codec::value_of(described))]);
        let mut request = CreateCollectionBuilder::new(&name)
            .vectors_config(dense)
            .sparse_vectors_config(sparse)
            .on_disk_payload(true)
            .build();
        request.metadata = metadata;
        self.client.create_collection(request).await.map_err(failed)?;
        let keyword = |field: &str, is_tenant: bool| {
            CreateFieldIndexCollectionBuilder::new(&name, field, FieldType::Keyword)
                .field_index_params(KeywordIndexParamsBuilder::default().is_tenant(is_tenant).build())
                .wait(true)
        };
        let time = CreateFieldIndexCollectionBuilder::new(&name, key::TIME, FieldType::Integer)
            .field_index_params(IntegerIndexParamsBuilder::new(false, true).build())
            .wait(true);
        for index in [
            keyword(key::USER, true),
            keyword(key::OWNER, false),
            keyword(key::KIND, false),
            keyword(key::SOURCE, false),
            time,
        ] {
            self.client.create_field_index(index).await.map_err(failed)?;
        }
        Ok(())
    }

    async fn point_alias(&self, alias: &str, number: u64) -> Result<()> {
        // The server replaces an alias of the same name.
        let request = CreateAliasBuilder::new(self.named(number), alias);
        self.client.create_alias(request).await.map(drop).map_err(|error| failed(&self.url, error))
    }

    async fn delete_next(&self) -> Result<()> {
        let deleted = self.client.delete_alias(self.next_alias()).await;
        deleted.map(drop).map_err(|error| failed(&self.url, error))
    }
}

#[async_trait]
impl Catalogue for Server {
    async fn open(&self, model: &Model) -> Result<Held> {
        let aliases = self.client.list_aliases().await.map_err(|error| failed(&self.url, error))?.aliases;
        let of = |name: &str| {
            let alias = aliases.iter().find(|alias| alias.alias_name == name)?;
            self.number(&alias.collection_name)
        };
        let (current, mut next) = (of(&self.name), of(&self.next_alias()));
        if next.is_some() && next == current {
            // The switch was made; only its last step is missing.
            self.delete_next().await?;
            next = None;
        }
        let all = self.client.list_collections().await.map_err(|error| failed(&self.url, error))?;
        for number in all.collections.iter().filter_map(|collection| self.number(&collection.name)) {
            if Some(number) != current && Some(number) != next {
                self.remove(number).await?;
            }
        }
        let Some(current) = current else {
            self.make(1, model).await?;
            let first = self.load(1).await?;
            self.point_alias(&self.name, 1).await?;
            return Ok(Held::first(1, first));
        };
        let next = match next {
            Some(number) => Some((number, self.load(number).await?)),
            None => None,
        };
        Ok(Held { current: (current, self.load(current).await?), next })
    }

    async fn create(&self, number: u64, model: &Model) -> Result<Arc<dyn Collection>> {
        self.make(number, model).await?;
        self.load(number).await
    }

    async fn set_current(&self, number: u64) -> Result<()> {
        self.point_alias(&self.name, number).await
    }

    async fn set_next(&self, number: Option<u64>) -> Result<()> {
        match number {
            Some(number) => self.point_alias(&self.next_alias(), number).await,
            None => self.delete_next().await,
        }
    }

    async fn promote(&self, number: u64) -> Result<()> {
        self.point_alias(&self.name, number).await?;
        self.delete_next().await
    }

    async fn remove(&self, number: u64) -> Result<()> {
        let removed = self.client.delete_collection(self.named(number)).await;
        removed.map(drop).map_err(|error| failed(&self.url, error))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_collections_of_our_own_name_are_ours() {
        let options = ServerOptions {
            url: "http://127.0.0.1:6334".into(),
            key: None,
            name: "crave".into(),
            timeout: Duration::from_secs(1),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _inside = runtime.enter();
        let server = Server::connect(options.clone()).unwrap();
        assert_eq!(server.named(7), "crave-00000007");
        for (name, number) in [
            ("crave-00000007", Some(7)),
            ("crave-next", None),
            ("crave-7", None),
            ("crave-x-00000007", None),
            ("other-00000007", None),
            ("crave", None),
        ] {
            assert_eq!(server.number(name), number, "{name}");
        }
        for (url, name) in
            [("localhost:6334", "crave"), ("http://h:1", ""), ("http://h:1", "a/b"), ("http://me:x@h", "c")]
        {
            let bad = ServerOptions { url: url.into(), name: name.into(), ..options.clone() };
            assert!(matches!(Server::connect(bad), Err(Error::Invalid { .. })), "{url} {name}");
        }
    }
}
