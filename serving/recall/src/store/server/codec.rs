//! Points as the server has them, and back.

use std::collections::HashMap;

use qdrant_client::qdrant::point_id::PointIdOptions;
use qdrant_client::qdrant::value::Kind;
use qdrant_client::qdrant::vector_output::Vector as Read;
use qdrant_client::qdrant::vectors_output::VectorsOptions;
use qdrant_client::qdrant::with_vectors_selector::SelectorOptions;
use qdrant_client::qdrant::{
    ListValue, PointId, PointStruct, Struct, Value, Vector, Vectors, VectorsOutput, VectorsSelector,
};
use qdrant_edge::SparseVector;
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::super::Parts;
use super::super::point::{DENSE, Point, SPARSE};

pub(super) fn id(id: Uuid) -> PointId {
    PointId { point_id_options: Some(PointIdOptions::Uuid(id.to_string())) }
}

pub(super) fn uuid(id: &PointId) -> Option<Uuid> {
    match id.point_id_options.as_ref()? {
        PointIdOptions::Uuid(id) => id.parse().ok(),
        PointIdOptions::Num(_) => None,
    }
}

pub(super) fn pairs(vector: SparseVector) -> Vec<(u32, f32)> {
    vector.indices.into_iter().zip(vector.values).collect()
}

pub(super) fn vectors(parts: Parts) -> SelectorOptions {
    match parts {
        Parts::Payload => SelectorOptions::Enable(false),
        Parts::Words => SelectorOptions::Include(VectorsSelector { names: vec![SPARSE.to_owned()] }),
        Parts::All => SelectorOptions::Enable(true),
    }
}

pub(super) fn sent(point: Point) -> PointStruct {
    let mut vectors: HashMap<String, Vector> = HashMap::new();
    if let Some(dense) = point.dense {
        vectors.insert(DENSE.to_owned(), dense.into());
    }
    if let Some(sparse) = point.sparse {
        vectors.insert(SPARSE.to_owned(), pairs(sparse).into());
    }
    PointStruct {
        id: Some(id(point.id)),
        payload: point.payload.into_iter().map(|(name, value)| (name, value_of(value))).collect(),
        vectors: Some(Vectors::from(vectors)),
    }
}

/// `None` for a point that is not ours: all ours have UUIDs.
pub(super) fn read(
    id: Option<PointId>,
    payload: HashMap<String, Value>,
    vectors: Option<VectorsOutput>,
) -> Option<Point> {
    let id = uuid(&id?)?;
    let payload = payload.into_iter().map(|(name, value)| (name, json_of(value))).collect();
    let mut point = Point { id, payload, ..Point::default() };
    if let Some(VectorsOptions::Vectors(named)) = vectors.and_then(|vectors| vectors.vectors_options) {
        for (name, vector) in named.vectors {
            match vector.into_vector() {
                Read::Dense(dense) if name == DENSE => point.dense = Some(dense.data),
                Read::Sparse(sparse) if name == SPARSE => {
                    point.sparse = Some(sorted(sparse.indices.into_iter().zip(sparse.values).collect()));
                }
                _ => {}
            }
        }
    }
    Some(point)
}

/// Scores are computed from sorted words; the protocol promises no order.
fn sorted(mut pairs: Vec<(u32, f32)>) -> SparseVector {
    pairs.sort_unstable_by_key(|(word, _)| *word);
    let (indices, values) = pairs.into_iter().unzip();
    SparseVector { indices, values }
}

/// Whole numbers stay whole where 64 bits with a sign hold them.
pub(super) fn value_of(json: Json) -> Value {
    let kind = match json {
        Json::Null => Kind::NullValue(0),
        Json::Bool(value) => Kind::BoolValue(value),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Kind::IntegerValue(whole),
            None => Kind::DoubleValue(number.as_f64().unwrap_or_default()),
        },
        Json::String(text) => Kind::StringValue(text),
        Json::Array(values) => {
            Kind::ListValue(ListValue { values: values.into_iter().map(value_of).collect() })
        }
        Json::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| (name, value_of(value))).collect();
            Kind::StructValue(Struct { fields })
        }
    };
    Value { kind: Some(kind) }
}

pub(super) fn json_of(value: Value) -> Json {
    match value.kind {
        None | Some(Kind::NullValue(_)) => Json::Null,
        Some(Kind::BoolValue(value)) => value.into(),
        Some(Kind::IntegerValue(value)) => value.into(),
        Some(Kind::DoubleValue(value)) => value.into(),
        Some(Kind::StringValue(text)) => text.into(),
        Some(Kind::ListValue(list)) => list.values.into_iter().map(json_of).collect(),
        Some(Kind::StructValue(fields)) => {
            let fields = fields.fields.into_iter().map(|(name, value)| (name, json_of(value)));
            Json::Object(fields.collect::<Map<_, _>>())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_payload_comes_back_as_it_went_in() {
        let payload = json!({ "user_id": "u1", "t": 1_790_000_000_123_456_i64, "rev": u32::MAX, "none": null,
            "attrs": { "importance": 0.25, "emotions": { "sad": 1.0 }, "list": [1, "two", false, [-3]] } });
        assert_eq!(json_of(value_of(payload.clone())), payload);
    }

    #[test]
    fn ids_and_vectors_are_ours() {
        let one = Uuid::new_v5(&Uuid::NAMESPACE_OID, b"x");
        assert_eq!(uuid(&id(one)), Some(one));
        assert_eq!(uuid(&PointId { point_id_options: Some(PointIdOptions::Num(7)) }), None);
        let point = Point {
            id: one,
            dense: Some(vec![0.6, 0.8]),
            sparse: Some(SparseVector { indices: vec![3, 9], values: vec![1.0, 2.0] }),
            ..Point::default()
        };
        let sent = sent(point);
        assert_eq!(sent.id, Some(id(one)));
        assert_eq!(sorted(vec![(9, 2.0), (3, 1.0)]).indices, [3, 9]);
    }
}
