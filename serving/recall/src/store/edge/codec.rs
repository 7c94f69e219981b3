//! Points as the engine has them, and back.

use std::collections::HashMap;

use qdrant_edge::{
    Payload, PointId, PointStruct, PointStructPersisted, Record, Vector, VectorInternal,
    VectorStructInternal, Vectors,
};

use super::super::point::{DENSE, Point, SPARSE};

pub(super) fn persisted(point: Point) -> PointStructPersisted {
    let mut vectors: HashMap<String, Vector> = HashMap::new();
    if let Some(dense) = point.dense {
        vectors.insert(DENSE.to_owned(), dense.into());
    }
    if let Some(sparse) = point.sparse {
        vectors.insert(SPARSE.to_owned(), sparse.into());
    }
    let payload = serde_json::Value::Object(point.payload);
    PointStruct::new(PointId::Uuid(point.id), Vectors::from(vectors), payload).into()
}

/// `None` for a point that is not ours: all ours have UUIDs.
pub(super) fn point(
    id: PointId,
    payload: Option<Payload>,
    vectors: Option<VectorStructInternal>,
) -> Option<Point> {
    let PointId::Uuid(id) = id else { return None };
    let mut point =
        Point { id, payload: payload.map(|payload| payload.0).unwrap_or_default(), ..Point::default() };
    if let Some(VectorStructInternal::Named(named)) = vectors {
        for (name, vector) in named {
            match vector {
                VectorInternal::Dense(dense) if name == DENSE => point.dense = Some(dense),
                VectorInternal::Sparse(sparse) if name == SPARSE => point.sparse = Some(sparse),
                _ => {}
            }
        }
    }
    Some(point)
}

pub(super) fn record(record: Record) -> Option<Point> {
    point(record.id, record.payload, record.vector)
}
