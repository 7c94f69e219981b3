//! Memories and tombstones as points of the engine, and back.

use std::collections::HashMap;

use chrono::DateTime;
use crave_schemas::UserId;
use qdrant_edge::{
    Payload, PointId, PointStruct, PointStructPersisted, SparseVector, Vector, VectorInternal,
    VectorStructInternal, Vectors,
};
use serde_json::{Value, json};

use super::filter::{DENSE, SPARSE, key};
use crate::memory::tombstone_id;
use crate::{Memory, SourceKind};

/// A checked memory with its vectors, ready to be written.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    pub(crate) memory: Memory,
    pub(crate) dense: Option<Vec<f32>>,
    pub(crate) sparse: Option<SparseVector>,
    pub(crate) model: Option<&'static str>,
}

impl Prepared {
    pub(super) fn id(&self) -> PointId {
        PointId::Uuid(self.memory.id().0)
    }

    pub(super) fn into_point(self) -> PointStructPersisted {
        let id = self.id();
        let memory = self.memory;
        let mut payload = json!({
            key::USER: memory.user_id.as_str(),
            key::KIND: memory.source_kind.as_str(),
            key::SOURCE: memory.source_id,
            key::CHUNK: memory.chunk,
            key::REVISION: memory.revision,
            key::TIME: memory.event_time.timestamp_micros(),
            key::TEXT: memory.text,
        });
        if let Value::Object(fields) = &mut payload {
            if !memory.attributes.is_empty() {
                fields.insert(key::ATTRIBUTES.to_owned(), Value::Object(memory.attributes));
            }
            if let Some(model) = self.model {
                fields.insert(key::MODEL.to_owned(), model.into());
            }
        }
        let mut vectors: HashMap<String, Vector> = HashMap::new();
        if let Some(dense) = self.dense {
            vectors.insert(DENSE.to_owned(), dense.into());
        }
        if let Some(sparse) = self.sparse {
            vectors.insert(SPARSE.to_owned(), sparse.into());
        }
        PointStruct::new(id, Vectors::from(vectors), payload).into()
    }
}

/// Where the tombstone of a source lies.
pub(super) fn tombstone(user: &UserId, kind: SourceKind, source_id: &str) -> PointId {
    PointId::Uuid(tombstone_id(user, kind, source_id))
}

/// A tombstone: under `owner` and not under `user_id`, so that no filter for a tenant's memories sees it.
pub(super) fn tombstone_point(id: PointId, user: &UserId, through: u32) -> PointStructPersisted {
    let payload = json!({ key::OWNER: user.as_str(), key::REVISION: through });
    PointStruct::new(id, Vectors::from(HashMap::<String, Vector>::new()), payload).into()
}

/// The memory in a payload; `None` if it is a tombstone or not ours.
pub(super) fn memory(payload: &Payload) -> Option<Memory> {
    let text = |name: &str| payload.0.get(name).and_then(Value::as_str);
    let attributes = match payload.0.get(key::ATTRIBUTES) {
        Some(Value::Object(attributes)) => attributes.clone(),
        _ => serde_json::Map::new(),
    };
    Some(Memory {
        user_id: UserId::new(text(key::USER)?).ok()?,
        source_kind: serde_json::from_value(text(key::KIND)?.into()).ok()?,
        source_id: text(key::SOURCE)?.to_owned(),
        chunk: u32::try_from(payload.0.get(key::CHUNK)?.as_u64()?).ok()?,
        revision: revision(payload)?,
        event_time: DateTime::from_timestamp_micros(payload.0.get(key::TIME)?.as_i64()?)?,
        text: text(key::TEXT)?.to_owned(),
        attributes,
    })
}

/// The revision of a memory, or the last one that a tombstone covers.
pub(super) fn revision(payload: &Payload) -> Option<u32> {
    u32::try_from(payload.0.get(key::REVISION)?.as_u64()?).ok()
}

/// Whose point it is, memory or tombstone.
pub(super) fn owner(payload: &Payload) -> Option<&str> {
    payload.0.get(key::USER).or_else(|| payload.0.get(key::OWNER)).and_then(Value::as_str)
}

/// The named dense vector of a point.
pub(super) fn dense(vectors: &VectorStructInternal) -> Option<&[f32]> {
    match named(vectors, DENSE)? {
        VectorInternal::Dense(vector) => Some(vector),
        _ => None,
    }
}

/// The named sparse vector of a point.
pub(super) fn sparse(vectors: &VectorStructInternal) -> Option<&SparseVector> {
    match named(vectors, SPARSE)? {
        VectorInternal::Sparse(vector) => Some(vector),
        _ => None,
    }
}

fn named<'a>(vectors: &'a VectorStructInternal, name: &str) -> Option<&'a VectorInternal> {
    match vectors {
        VectorStructInternal::Named(named) => named.get(name),
        _ => None,
    }
}
