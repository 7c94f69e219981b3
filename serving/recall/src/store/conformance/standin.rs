//! A stand-in for a Qdrant server: its protocol over a map in memory, as far as ours goes, and strict about it. It shows
//! that requests are well formed and answers are read; it is no proof of what a server does.
#![allow(clippy::result_large_err, reason = "the protocol's own error")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use qdrant_client::qdrant::alias_operations::Action;
use qdrant_client::qdrant::collections_server::{Collections, CollectionsServer};
use qdrant_client::qdrant::condition::ConditionOneOf;
use qdrant_client::qdrant::r#match::MatchValue;
use qdrant_client::qdrant::payload_index_params::IndexParams;
use qdrant_client::qdrant::points_selector::PointsSelectorOneOf;
use qdrant_client::qdrant::points_server::{Points, PointsServer};
use qdrant_client::qdrant::value::Kind;
use qdrant_client::qdrant::vector_input::Variant;
use qdrant_client::qdrant::vectors_config::Config as Dense;
use qdrant_client::qdrant::vectors_output::VectorsOptions as Output;
use qdrant_client::qdrant::with_payload_selector::SelectorOptions as WantedPayload;
use qdrant_client::qdrant::with_vectors_selector::SelectorOptions as WantedVectors;
use qdrant_client::qdrant::{self as q, query, vector, vector_output, vectors};
use tonic::{Request, Response, Status};

type Answer<T> = Result<Response<T>, Status>;

#[derive(Default)]
struct Collection {
    metadata: HashMap<String, q::Value>,
    dimensions: HashMap<String, u64>,
    sparse: BTreeSet<String>,
    tenant: Option<String>,
    points: BTreeMap<String, Point>,
}

#[derive(Clone, Default)]
struct Point {
    payload: HashMap<String, q::Value>,
    dense: HashMap<String, Vec<f32>>,
    sparse: HashMap<String, q::SparseVector>,
}

#[derive(Default)]
struct State {
    collections: BTreeMap<String, Collection>,
    aliases: BTreeMap<String, String>,
}

#[derive(Clone, Default)]
struct StandIn(Arc<Mutex<State>>);

/// Starts one on a free port and gives its address.
pub(super) async fn start() -> String {
    let state = StandIn::default();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let served = tonic::transport::Server::builder()
        .add_service(CollectionsServer::new(state.clone()))
        .add_service(PointsServer::new(state))
        .serve(address);
    tokio::spawn(served);
    for _ in 0..200 {
        if tokio::net::TcpStream::connect(address).await.is_ok() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    format!("http://{address}")
}

fn bad(why: impl Into<String>) -> Status {
    Status::invalid_argument(why)
}

impl StandIn {
    fn with<T>(&self, name: &str, work: impl FnOnce(&mut Collection) -> Result<T, Status>) -> Answer<T> {
        let mut state = self.0.lock().unwrap();
        let name = state.aliases.get(name).cloned().unwrap_or_else(|| name.to_owned());
        let collection = state.collections.get_mut(&name).ok_or_else(|| Status::not_found(name))?;
        work(collection).map(Response::new)
    }
}

fn id(id: Option<q::PointId>) -> Result<String, Status> {
    match id.and_then(|id| id.point_id_options) {
        Some(q::point_id::PointIdOptions::Uuid(id)) => Ok(id),
        _ => Err(bad("no UUID")),
    }
}

fn point_id(id: &str) -> Option<q::PointId> {
    Some(q::PointId { point_id_options: Some(q::point_id::PointIdOptions::Uuid(id.to_owned())) })
}

fn number(value: &q::Value) -> Option<f64> {
    match value.kind {
        #[allow(clippy::cast_precision_loss)]
        Some(Kind::IntegerValue(whole)) => Some(whole as f64),
        Some(Kind::DoubleValue(double)) => Some(double),
        _ => None,
    }
}

fn fits(at: &str, point: &Point, filter: &q::Filter) -> Result<bool, Status> {
    let holds = |condition: &q::Condition| -> Result<bool, Status> {
        Ok(match condition.condition_one_of.as_ref().ok_or_else(|| bad("an empty condition"))? {
            ConditionOneOf::IsEmpty(field) => !point.payload.contains_key(&field.key),
            ConditionOneOf::HasVector(vector) => {
                point.dense.contains_key(&vector.has_vector) || point.sparse.contains_key(&vector.has_vector)
            }
            ConditionOneOf::Filter(filter) => fits(at, point, filter)?,
            ConditionOneOf::HasId(ids) => ids.has_id.contains(&point_id(at).unwrap_or_default()),
            ConditionOneOf::Field(field) => {
                let value = point.payload.get(&field.key);
                if let Some(range) = &field.range {
                    value.and_then(number).is_some_and(|x| {
                        range.gte.is_none_or(|bound| x >= bound)
                            && range.gt.is_none_or(|bound| x > bound)
                            && range.lte.is_none_or(|bound| x <= bound)
                            && range.lt.is_none_or(|bound| x < bound)
                    })
                } else if let Some(MatchValue::Keyword(word)) =
                    field.r#match.as_ref().and_then(|m| m.match_value.as_ref())
                {
                    value.is_some_and(|value| value.kind == Some(Kind::StringValue(word.clone())))
                } else {
                    return Err(bad("a condition that is not known here"));
                }
            }
            _ => return Err(bad("a condition that is not known here")),
        })
    };
    let all = |conditions: &[q::Condition]| conditions.iter().map(holds).collect::<Result<Vec<_>, _>>();
    let (must, should, must_not) = (all(&filter.must)?, all(&filter.should)?, all(&filter.must_not)?);
    let one = should.is_empty() || should.contains(&true);
    Ok(!must.contains(&false) && one && !must_not.contains(&true))
}

impl Collection {
    fn matching(&self, filter: Option<&q::Filter>) -> Result<Vec<(&String, &Point)>, Status> {
        let all = self.points.iter();
        let kept = all.map(|(id, point)| {
            let fit = filter.map_or(Ok(true), |filter| fits(id, point, filter))?;
            Ok(fit.then_some((id, point)))
        });
        kept.filter_map(Result::transpose).collect()
    }

    fn insert(&mut self, sent: q::PointStruct) -> Result<(), Status> {
        let mut point = Point { payload: sent.payload, ..Point::default() };
        let named = match sent.vectors.and_then(|vectors| vectors.vectors_options) {
            Some(vectors::VectorsOptions::Vectors(named)) => named.vectors,
            _ => return Err(bad("vectors without names")),
        };
        for (name, vector) in named {
            match vector.vector.ok_or_else(|| bad("a vector in the old form"))? {
                vector::Vector::Dense(dense) => {
                    let wanted =
                        self.dimensions.get(&name).ok_or_else(|| bad(format!("no vector {name}")))?;
                    if dense.data.len() as u64 != *wanted {
                        return Err(bad(format!("expected dim: {wanted}, got {}", dense.data.len())));
                    }
                    point.dense.insert(name, dense.data);
                }
                vector::Vector::Sparse(sparse) if self.sparse.contains(&name) => {
                    point.sparse.insert(name, sparse);
                }
                _ => return Err(bad("a vector of another kind")),
            }
        }
        self.points.insert(id(sent.id)?, point);
        Ok(())
    }
}

fn payload(point: &Point, wanted: Option<q::WithPayloadSelector>) -> HashMap<String, q::Value> {
    match wanted.and_then(|wanted| wanted.selector_options) {
        Some(WantedPayload::Enable(true)) => point.payload.clone(),
        _ => HashMap::new(),
    }
}

fn output(point: &Point, wanted: Option<&q::WithVectorsSelector>) -> Option<q::VectorsOutput> {
    let wants = |name: &str| match wanted.and_then(|wanted| wanted.selector_options.as_ref()) {
        Some(WantedVectors::Enable(all)) => *all,
        Some(WantedVectors::Include(some)) => some.names.iter().any(|wanted| wanted == name),
        _ => false,
    };
    let of = |vector| q::VectorOutput { vector: Some(vector), ..q::VectorOutput::default() };
    let mut vectors = HashMap::new();
    for (name, dense) in point.dense.iter().filter(|(name, _)| wants(name)) {
        let dense = q::DenseVector { data: dense.clone() };
        vectors.insert(name.clone(), of(vector_output::Vector::Dense(dense)));
    }
    for (name, sparse) in point.sparse.iter().filter(|(name, _)| wants(name)) {
        vectors.insert(name.clone(), of(vector_output::Vector::Sparse(sparse.clone())));
    }
    let options = Output::Vectors(q::NamedVectorsOutput { vectors });
    Some(q::VectorsOutput { vectors_options: Some(options) })
}

/// The real methods, and a refusal for each of the rest.
macro_rules! service {
    ($service:ident { $($real:tt)* } $($name:ident($request:ident) -> $response:ident;)*) => {
        #[tonic::async_trait]
        impl $service for StandIn {
            $($real)*
            $(async fn $name(&self, _: Request<q::$request>) -> Answer<q::$response> {
                Err(Status::unimplemented(stringify!($name)))
            })*
        }
    };
}

fn done() -> q::PointsOperationResponse {
    q::PointsOperationResponse::default()
}

fn waits(wait: Option<bool>) -> Result<(), Status> {
    wait.filter(|wait| *wait).map(drop).ok_or_else(|| bad("a write that does not wait"))
}

service! { Points {
    async fn upsert(&self, request: Request<q::UpsertPoints>) -> Answer<q::PointsOperationResponse> {
        let request = request.into_inner();
        waits(request.wait)?;
        if request.points.is_empty() || request.points.len() > 1000 {
            return Err(bad("no points, or too many"));
        }
        self.with(&request.collection_name, |collection| {
            request.points.into_iter().try_for_each(|point| collection.insert(point)).map(|()| done())
        })
    }

    async fn delete(&self, request: Request<q::DeletePoints>) -> Answer<q::PointsOperationResponse> {
        let request = request.into_inner();
        waits(request.wait)?;
        let selected = request.points.and_then(|points| points.points_selector_one_of);
        let Some(PointsSelectorOneOf::Filter(filter)) = selected else { return Err(bad("not by filter")) };
        self.with(&request.collection_name, |collection| {
            let gone: Vec<String> =
                collection.matching(Some(&filter))?.into_iter().map(|(id, _)| id.clone()).collect();
            collection.points.retain(|id, _| !gone.contains(id));
            Ok(done())
        })
    }

    async fn get(&self, request: Request<q::GetPoints>) -> Answer<q::GetResponse> {
        let request = request.into_inner();
        self.with(&request.collection_name, |collection| {
            let mut result = Vec::new();
            for wanted in request.ids {
                let name = id(Some(wanted))?;
                if let Some(point) = collection.points.get(&name) {
                    result.push(q::RetrievedPoint {
                        id: point_id(&name),
                        payload: payload(point, request.with_payload.clone()),
                        vectors: output(point, request.with_vectors.as_ref()),
                        ..q::RetrievedPoint::default()
                    });
                }
            }
            Ok(q::GetResponse { result, ..q::GetResponse::default() })
        })
    }

    async fn scroll(&self, request: Request<q::ScrollPoints>) -> Answer<q::ScrollResponse> {
        let request = request.into_inner();
        let from = request.offset.map(|offset| id(Some(offset))).transpose()?;
        let limit = request.limit.unwrap_or(10) as usize;
        self.with(&request.collection_name, |collection| {
            let mut found = collection.matching(request.filter.as_ref())?;
            found.retain(|(id, _)| from.as_ref().is_none_or(|from| *id >= from));
            let next_page_offset = found.get(limit).and_then(|(id, _)| point_id(id));
            let result = found.into_iter().take(limit).map(|(id, point)| q::RetrievedPoint {
                id: point_id(id),
                payload: payload(point, request.with_payload.clone()),
                vectors: output(point, request.with_vectors.as_ref()),
                ..q::RetrievedPoint::default()
            });
            Ok(q::ScrollResponse { result: result.collect(), next_page_offset, ..q::ScrollResponse::default() })
        })
    }

    async fn count(&self, request: Request<q::CountPoints>) -> Answer<q::CountResponse> {
        let request = request.into_inner();
        if request.exact != Some(true) {
            return Err(bad("an inexact count"));
        }
        self.with(&request.collection_name, |collection| {
            let count = collection.matching(request.filter.as_ref())?.len() as u64;
            Ok(q::CountResponse { result: Some(q::CountResult { count }), ..q::CountResponse::default() })
        })
    }

    async fn query(&self, request: Request<q::QueryPoints>) -> Answer<q::QueryResponse> {
        let request = request.into_inner();
        let using = request.using.unwrap_or_default();
        let Some(query::Variant::Nearest(input)) = request.query.and_then(|query| query.variant) else {
            return Err(bad("no nearest"));
        };
        let near = input.variant.ok_or_else(|| bad("no vector"))?;
        self.with(&request.collection_name, |collection| {
            let filter = request.filter.as_ref().ok_or_else(|| bad("a search of everybody"))?;
            let tenant = collection.tenant.clone().ok_or_else(|| bad("no tenant index"))?;
            let names_tenant = |condition: &q::Condition| {
                matches!(&condition.condition_one_of, Some(ConditionOneOf::Field(field)) if field.key == tenant)
            };
            if !filter.must.iter().any(names_tenant) {
                return Err(bad("a search without its tenant"));
            }
            let score = |point: &Point| match &near {
                Variant::Dense(near) => {
                    let stored = point.dense.get(&using)?;
                    Some(near.data.iter().zip(stored).map(|(a, b)| a * b).sum::<f32>())
                }
                Variant::Sparse(near) => {
                    let stored = point.sparse.get(&using)?;
                    let weight = |word: &u32| {
                        let at = stored.indices.iter().position(|other| other == word)?;
                        stored.values.get(at)
                    };
                    let pairs = near.indices.iter().zip(&near.values);
                    let common: Vec<f32> = pairs.filter_map(|(word, x)| Some(x * weight(word)?)).collect();
                    (!common.is_empty()).then(|| common.iter().sum())
                }
                _ => None,
            };
            let mut scored: Vec<(f32, &String, &Point)> = collection
                .matching(Some(filter))?
                .into_iter()
                .filter_map(|(id, point)| Some((score(point)?, id, point)))
                .collect();
            scored.sort_by(|a, b| b.0.total_cmp(&a.0));
            let limit = usize::try_from(request.limit.unwrap_or(10)).unwrap();
            let result = scored.into_iter().take(limit).map(|(score, id, point)| q::ScoredPoint {
                id: point_id(id),
                score,
                payload: payload(point, request.with_payload.clone()),
                vectors: output(point, request.with_vectors.as_ref()),
                ..q::ScoredPoint::default()
            });
            Ok(q::QueryResponse { result: result.collect(), ..q::QueryResponse::default() })
        })
    }

    async fn create_field_index(
        &self,
        request: Request<q::CreateFieldIndexCollection>,
    ) -> Answer<q::PointsOperationResponse> {
        let request = request.into_inner();
        waits(request.wait)?;
        self.with(&request.collection_name, |collection| {
            let params = request.field_index_params.and_then(|params| params.index_params);
            if let Some(IndexParams::KeywordIndexParams(params)) = params
                && params.is_tenant == Some(true)
            {
                collection.tenant = Some(request.field_name);
            }
            Ok(done())
        })
    }
}
    update_vectors(UpdatePointVectors) -> PointsOperationResponse;
    delete_vectors(DeletePointVectors) -> PointsOperationResponse;
    set_payload(SetPayloadPoints) -> PointsOperationResponse;
    overwrite_payload(SetPayloadPoints) -> PointsOperationResponse;
    delete_payload(DeletePayloadPoints) -> PointsOperationResponse;
    clear_payload(ClearPayloadPoints) -> PointsOperationResponse;
    delete_field_index(DeleteFieldIndexCollection) -> PointsOperationResponse;
    create_vector_name(CreateVectorNameRequest) -> PointsOperationResponse;
    delete_vector_name(DeleteVectorNameRequest) -> PointsOperationResponse;
    search(SearchPoints) -> SearchResponse;
    search_batch(SearchBatchPoints) -> SearchBatchResponse;
    search_groups(SearchPointGroups) -> SearchGroupsResponse;
    recommend(RecommendPoints) -> RecommendResponse;
    recommend_batch(RecommendBatchPoints) -> RecommendBatchResponse;
    recommend_groups(RecommendPointGroups) -> RecommendGroupsResponse;
    discover(DiscoverPoints) -> DiscoverResponse;
    discover_batch(DiscoverBatchPoints) -> DiscoverBatchResponse;
    update_batch(UpdateBatchPoints) -> UpdateBatchResponse;
    query_batch(QueryBatchPoints) -> QueryBatchResponse;
    query_groups(QueryPointGroups) -> QueryGroupsResponse;
    facet(FacetCounts) -> FacetResponse;
    search_matrix_pairs(SearchMatrixPoints) -> SearchMatrixPairsResponse;
    search_matrix_offsets(SearchMatrixPoints) -> SearchMatrixOffsetsResponse;
}

service! { Collections {
    async fn get(&self, request: Request<q::GetCollectionInfoRequest>) -> Answer<q::GetCollectionInfoResponse> {
        self.with(&request.into_inner().collection_name, |collection| {
            let config =
                q::CollectionConfig { metadata: collection.metadata.clone(), ..q::CollectionConfig::default() };
            let result = q::CollectionInfo { config: Some(config), ..q::CollectionInfo::default() };
            Ok(q::GetCollectionInfoResponse {
                result: Some(result),
                ..q::GetCollectionInfoResponse::default()
            })
        })
    }

    async fn list(&self, _: Request<q::ListCollectionsRequest>) -> Answer<q::ListCollectionsResponse> {
        let names = self.0.lock().unwrap().collections.keys().cloned().collect::<Vec<_>>();
        let collections = names.into_iter().map(|name| q::CollectionDescription { name }).collect();
        Ok(Response::new(q::ListCollectionsResponse { collections, ..q::ListCollectionsResponse::default() }))
    }

    async fn create(&self, request: Request<q::CreateCollection>) -> Answer<q::CollectionOperationResponse> {
        let request = request.into_inner();
        let Some(Dense::ParamsMap(dense)) = request.vectors_config.and_then(|config| config.config) else {
            return Err(bad("vectors without names"));
        };
        let sparse = request.sparse_vectors_config.map(|config| config.map).unwrap_or_default();
        if sparse.values().any(|params| params.modifier.is_some()) {
            return Err(bad("an idf of all tenants"));
        }
        let collection = Collection {
            metadata: request.metadata,
            dimensions: dense.map.into_iter().map(|(name, params)| (name, params.size)).collect(),
            sparse: sparse.into_keys().collect(),
            ..Collection::default()
        };
        let mut state = self.0.lock().unwrap();
        if state.collections.insert(request.collection_name, collection).is_some() {
            return Err(Status::already_exists("a collection of this name"));
        }
        Ok(Response::new(q::CollectionOperationResponse { result: true, time: 0.0 }))
    }

    async fn delete(&self, request: Request<q::DeleteCollection>) -> Answer<q::CollectionOperationResponse> {
        let name = request.into_inner().collection_name;
        let result = self.0.lock().unwrap().collections.remove(&name).is_some();
        Ok(Response::new(q::CollectionOperationResponse { result, time: 0.0 }))
    }

    async fn update_aliases(
        &self,
        request: Request<q::ChangeAliases>,
    ) -> Answer<q::CollectionOperationResponse> {
        let mut state = self.0.lock().unwrap();
        for operation in request.into_inner().actions {
            match operation.action {
                Some(Action::CreateAlias(new)) if state.collections.contains_key(&new.collection_name) => {
                    state.aliases.insert(new.alias_name, new.collection_name);
                }
                Some(Action::DeleteAlias(old)) => {
                    state.aliases.remove(&old.alias_name);
                }
                _ => return Err(Status::not_found("a collection for the alias")),
            }
        }
        Ok(Response::new(q::CollectionOperationResponse { result: true, time: 0.0 }))
    }

    async fn list_aliases(&self, _: Request<q::ListAliasesRequest>) -> Answer<q::ListAliasesResponse> {
        let state = self.0.lock().unwrap();
        let one = |(alias, collection): (&String, &String)| q::AliasDescription {
            alias_name: alias.clone(),
            collection_name: collection.clone(),
        };
        let aliases = state.aliases.iter().map(one).collect();
        Ok(Response::new(q::ListAliasesResponse { aliases, ..q::ListAliasesResponse::default() }))
    }
}
    update(UpdateCollection) -> CollectionOperationResponse;
    list_collection_aliases(ListCollectionAliasesRequest) -> ListAliasesResponse;
    collection_cluster_info(CollectionClusterInfoRequest) -> CollectionClusterInfoResponse;
    collection_exists(CollectionExistsRequest) -> CollectionExistsResponse;
    update_collection_cluster_setup(UpdateCollectionClusterSetupRequest) -> UpdateCollectionClusterSetupResponse;
    create_shard_key(CreateShardKeyRequest) -> CreateShardKeyResponse;
    delete_shard_key(DeleteShardKeyRequest) -> DeleteShardKeyResponse;
    list_shard_keys(ListShardKeysRequest) -> ListShardKeysResponse;
}
