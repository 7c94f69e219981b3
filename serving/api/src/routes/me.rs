//! `GET /v1/me`: whom the token stands for.

use axum::Json;
use serde_json::{Value, json};

use crate::accounts::Caller;

pub(super) async fn me(caller: Caller) -> Json<Value> {
    Json(json!({ "user_id": caller.user_id, "device_id": caller.device_id }))
}
