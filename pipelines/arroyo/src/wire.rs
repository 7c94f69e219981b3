//! What travels to and from Arroyo's REST API (`/api/v1`), as far as it is needed; fields not named here are left out.
//!
//! Read in Arroyo's source, 0.16-dev. Fields that older releases lack have defaults.

use serde::{Deserialize, Serialize};

/// A list that comes in one piece, or in pages (then `hasMore` says whether there is another).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Collection<T> {
    pub(crate) data: Vec<T>,
    #[serde(default)]
    pub(crate) has_more: bool,
}

/// An error's body.
#[derive(Debug, Deserialize)]
pub(crate) struct ErrorBody {
    pub(crate) error: String,
}

/// A function's text beside a query.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Udf {
    pub(crate) definition: String,
    pub(crate) language: String,
}

/// A function that the cluster holds for every query.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct GlobalUdf {
    pub(crate) id: String,
    pub(crate) prefix: String,
    pub(crate) name: String,
    pub(crate) definition: String,
}

/// Publishes a function.
#[derive(Debug, Serialize)]
pub(crate) struct UdfPost<'a> {
    pub(crate) prefix: &'a str,
    pub(crate) language: &'static str,
    pub(crate) definition: &'a str,
    pub(crate) description: &'a str,
}

/// Asks whether a function compiles.
#[derive(Debug, Serialize)]
pub(crate) struct ValidateUdf<'a> {
    pub(crate) definition: &'a str,
    pub(crate) language: &'static str,
}

/// Whether it does.
#[derive(Debug, Deserialize)]
pub(crate) struct UdfValidation {
    #[serde(default)]
    pub(crate) errors: Vec<String>,
}

/// Asks whether a query can be planned.
#[derive(Debug, Serialize)]
pub(crate) struct ValidateQuery<'a> {
    pub(crate) query: &'a str,
    pub(crate) udfs: &'a [Udf],
}

/// Whether it can: no errors.
#[derive(Debug, Deserialize)]
pub(crate) struct QueryValidation {
    #[serde(default)]
    pub(crate) errors: Vec<Diagnostic>,
}

/// An error of planning; a bare text up to 0.15.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Diagnostic {
    Text(String),
    Placed {
        message: String,
        #[serde(default)]
        span: Option<Span>,
    },
}

#[derive(Debug, Deserialize)]
pub(crate) struct Span {
    pub(crate) start: Location,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Location {
    pub(crate) line: u64,
    pub(crate) column: u64,
}

/// Creates a pipeline and its job.
#[derive(Debug, Serialize)]
pub(crate) struct PipelinePost<'a> {
    pub(crate) name: &'a str,
    pub(crate) query: &'a str,
    pub(crate) parallelism: u64,
    pub(crate) checkpoint_interval_micros: u64,
}

/// Changes a pipeline; what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct PipelinePatch {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parallelism: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) checkpoint_interval_micros: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stop: Option<Stop>,
}

/// How a job is stopped; `None` lets it run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stop {
    None,
    Checkpoint,
    Graceful,
    Immediate,
    Force,
}

/// Starts a failed job again, from its last checkpoint.
#[derive(Debug, Serialize)]
pub(crate) struct Restart {
    pub(crate) force: bool,
    pub(crate) ignore_state: bool,
}

/// A pipeline.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Pipeline {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) query: String,
    pub(crate) checkpoint_interval_micros: u64,
    #[serde(default)]
    pub(crate) preview: bool,
    #[serde(default)]
    pub(crate) graph: Graph,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Graph {
    #[serde(default)]
    pub(crate) nodes: Vec<Node>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Node {
    pub(crate) parallelism: u64,
}

/// A pipeline's job.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) running_desired: bool,
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) failure_reason: Option<FailureReason>,
    /// Up to 0.15.
    #[serde(default)]
    pub(crate) failure_message: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct FailureReason {
    pub(crate) error: String,
}

/// An error that a job reported.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct LogMessage {
    pub(crate) message: String,
    #[serde(default)]
    pub(crate) details: String,
}

/// A checkpoint of a job.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Checkpoint {
    pub(crate) epoch: u64,
    #[serde(default)]
    pub(crate) finish_time: Option<u64>,
}
