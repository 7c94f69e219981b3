//! Arroyo's REST API over HTTP: each call with a time limit, a bounded answer, and retries where they are harmless.

mod retry;

use std::{fmt, time::Duration};

use reqwest::{
    Method, Url,
    header::{AUTHORIZATION, HeaderMap, HeaderValue},
};
use retry::again;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Error,
    wire::{
        Checkpoint, Collection, ErrorBody, GlobalUdf, Job, LogMessage, Pipeline, PipelinePatch, PipelinePost,
        QueryValidation, Restart, Udf, UdfPost, UdfValidation, ValidateQuery, ValidateUdf,
    },
};

/// Bytes of an answer, at most: a page of pipelines carries their queries and graphs.
const ANSWER_BYTES_MAX: usize = 32 << 20;
/// Time for a call that only reads or writes the cluster's database.
const CALL_MAX: Duration = Duration::from_secs(30);
/// Time for a call in which the cluster compiles Rust; the first one builds Arrow too (5 minutes on two cores).
const COMPILE_MAX: Duration = Duration::from_secs(20 * 60);
/// Pipelines a page, and pages at most.
const PAGE: usize = 50;
const PAGES_MAX: usize = 100;

/// A token that no log shows.
struct Token(HeaderValue);

/// A cluster's API.
pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: Option<Token>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the cluster at `url`, such as `http://127.0.0.1:5115`; `token` is sent as a bearer token.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the address is none, holds a password, or would carry the token in clear text over a
    /// network.
    pub fn new(url: &str, token: Option<&str>) -> Result<Self, Error> {
        let invalid =
            |why: &str| Error::Invalid(format!("the address of Arroyo {why}, such as http://127.0.0.1:5115"));
        let mut base = Url::parse(url.trim()).map_err(|_| invalid("must be a URL"))?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
            return Err(invalid("must begin with http:// or https://"));
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(invalid("must hold no user or password: set ARROYO_API_TOKEN"));
        }
        let local = base.host_str().is_some_and(|h| matches!(h, "localhost" | "127.0.0.1" | "[::1]"));
        if token.is_some() && base.scheme() == "http" && !local {
            return Err(invalid("must be https://, or the token would cross the network in clear text"));
        }
        let path = base.path().trim_end_matches('/');
        let path = format!("{}/api/v1/", path.strip_suffix("/api/v1").unwrap_or(path));
        base.set_path(&path);
        base.set_query(None);
        let token = token.map(|token| {
            let value = HeaderValue::from_str(&format!("Bearer {}", token.trim()));
            let mut value =
                value.map_err(|_| Error::Invalid("the token holds characters that no header may".into()))?;
            value.set_sensitive(true);
            Ok(Token(value))
        });
        let http = reqwest::Client::builder().connect_timeout(Duration::from_secs(10)).build();
        let http = http.map_err(|e| Error::Invalid(format!("no HTTP client: {e}")))?;
        Ok(Self { http, base, token: token.transpose()? })
    }

    /// The address, for messages.
    #[must_use]
    pub fn address(&self) -> &str {
        self.base.as_str().trim_end_matches("/api/v1/")
    }

    /// Whether there is an Arroyo.
    pub(crate) async fn ping(&self) -> Result<(), Error> {
        let said: String = self.get("ping", "asking for a sign of life").await?;
        if said == "Pong" { Ok(()) } else { Err(answer("asking for a sign of life", "no Pong")) }
    }

    pub(crate) async fn udfs(&self) -> Result<Vec<GlobalUdf>, Error> {
        Ok(self.get::<Collection<_>>("udfs", "listing functions").await?.data)
    }

    /// Compiles and publishes a function; not repeated, since it may have arrived.
    pub(crate) async fn create_udf(&self, post: &UdfPost<'_>) -> Result<GlobalUdf, Error> {
        self.send(Method::POST, "udfs", Some(post), "publishing a function", COMPILE_MAX, false).await
    }

    pub(crate) async fn validate_udf(&self, post: &ValidateUdf<'_>) -> Result<UdfValidation, Error> {
        self.send(Method::POST, "udfs/validate", Some(post), "compiling a function", COMPILE_MAX, true).await
    }

    pub(crate) async fn delete_udf(&self, id: &str) -> Result<(), Error> {
        self.bare(Method::DELETE, &format!("udfs/{id}"), "removing a function").await
    }

    pub(crate) async fn validate_query(&self, query: &str, udfs: &[Udf]) -> Result<QueryValidation, Error> {
        let post = ValidateQuery { query, udfs };
        self.send(Method::POST, "pipelines/validate_query", Some(&post), "planning a query", CALL_MAX, true)
            .await
    }

    /// Every pipeline but previews, newest first.
    pub(crate) async fn pipelines(&self) -> Result<Vec<Pipeline>, Error> {
        let mut all: Vec<Pipeline> = Vec::new();
        for _ in 0..PAGES_MAX {
            let after = all.last().map(|p| format!("&starting_after={}", p.id)).unwrap_or_default();
            let path = format!("pipelines?limit={PAGE}{after}");
            let page: Collection<Pipeline> = self.get(&path, "listing pipelines").await?;
            let done = !page.has_more || page.data.is_empty();
            all.extend(page.data);
            if done {
                all.retain(|p| !p.preview);
                return Ok(all);
            }
        }
        Err(Error::Invalid(format!("the cluster has more than {} pipelines; delete some", PAGE * PAGES_MAX)))
    }

    /// Creates a pipeline; not repeated, since it may have arrived.
    pub(crate) async fn create_pipeline(&self, post: &PipelinePost<'_>) -> Result<Pipeline, Error> {
        self.send(Method::POST, "pipelines", Some(post), "creating a pipeline", COMPILE_MAX, false).await
    }

    pub(crate) async fn patch_pipeline(&self, id: &str, patch: &PipelinePatch) -> Result<Pipeline, Error> {
        let path = format!("pipelines/{id}");
        self.send(Method::PATCH, &path, Some(patch), "changing a pipeline", CALL_MAX, true).await
    }

    pub(crate) async fn restart_pipeline(&self, id: &str) -> Result<Pipeline, Error> {
        let (path, post) = (format!("pipelines/{id}/restart"), Restart { force: false, ignore_state: false });
        self.send(Method::POST, &path, Some(&post), "restarting a pipeline", CALL_MAX, false).await
    }

    pub(crate) async fn delete_pipeline(&self, id: &str) -> Result<(), Error> {
        self.bare(Method::DELETE, &format!("pipelines/{id}"), "deleting a pipeline").await
    }

    /// A pipeline's one job.
    pub(crate) async fn job(&self, pipeline: &str) -> Result<Job, Error> {
        let path = format!("pipelines/{pipeline}/jobs");
        let jobs: Collection<Job> = self.get(&path, "looking at a job").await?;
        jobs.data.into_iter().next().ok_or_else(|| answer("looking at a job", "the pipeline has none"))
    }

    /// The newest errors that a job reported.
    pub(crate) async fn errors(&self, pipeline: &str, job: &str) -> Result<Vec<LogMessage>, Error> {
        let path = format!("pipelines/{pipeline}/jobs/{job}/errors?limit=5");
        Ok(self.get::<Collection<_>>(&path, "reading a job's errors").await?.data)
    }

    pub(crate) async fn checkpoints(&self, pipeline: &str, job: &str) -> Result<Vec<Checkpoint>, Error> {
        let path = format!("pipelines/{pipeline}/jobs/{job}/checkpoints");
        Ok(self.get::<Collection<_>>(&path, "reading a job's checkpoints").await?.data)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str, what: &str) -> Result<T, Error> {
        self.send(Method::GET, path, None::<&()>, what, CALL_MAX, true).await
    }

    async fn send<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&B>,
        what: &str,
        limit: Duration,
        repeatable: bool,
    ) -> Result<T, Error> {
        let body = body.map(serde_json::to_vec).transpose().map_err(|e| answer(what, &e.to_string()))?;
        let bytes = self.tries(method, path, body, what, limit, repeatable).await?;
        serde_json::from_slice(&bytes).map_err(|e| answer(what, &e.to_string()))
    }

    /// A call whose answer has no body.
    async fn bare(&self, method: Method, path: &str, what: &str) -> Result<(), Error> {
        self.tries(method, path, None, what, CALL_MAX, true).await.map(drop)
    }

    async fn tries(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
        what: &str,
        limit: Duration,
        repeatable: bool,
    ) -> Result<Vec<u8>, Error> {
        let mut tried = 0;
        loop {
            let error = match Box::pin(self.once(method.clone(), path, body.clone(), what, limit)).await {
                Ok(bytes) => return Ok(bytes),
                Err(error) => error,
            };
            tried += 1;
            let Some(pause) = again(&error, repeatable, tried) else { return Err(error) };
            tracing::debug!(what, tried, cause = ?error, "asking Arroyo again");
            tokio::time::sleep(pause).await;
        }
    }

    async fn once(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
        what: &str,
        limit: Duration,
    ) -> Result<Vec<u8>, Error> {
        let url = self.base.join(path).map_err(|_| Error::Invalid(format!("{what}: '{path}' is no path")))?;
        let mut headers = HeaderMap::new();
        if let Some(Token(token)) = &self.token {
            headers.insert(AUTHORIZATION, token.clone());
        }
        let mut request = self.http.request(method, url).headers(headers).timeout(limit);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let gone = |source: reqwest::Error| {
            let sent = !source.is_connect();
            Error::Unreachable { what: what.to_owned(), sent, source: source.without_url() }
        };
        let mut response = request.send().await.map_err(gone)?;
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(gone)? {
            if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(answer(what, &format!("it is longer than {ANSWER_BYTES_MAX} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
        if status.is_success() {
            return Ok(bytes);
        }
        let said = serde_json::from_slice::<ErrorBody>(&bytes).map(|b| b.error);
        let said =
            said.unwrap_or_else(|_| String::from_utf8_lossy(&bytes[..bytes.len().min(500)]).into_owned());
        Err(Error::Refused { what: what.to_owned(), status: status.as_u16(), said })
    }
}

fn answer(what: &str, why: &str) -> Error {
    Error::Answer { what: what.to_owned(), why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let table = [
            ("http://127.0.0.1:5115", None, Ok("http://127.0.0.1:5115/api/v1/")),
            ("http://arroyo:5115/", None, Ok("http://arroyo:5115/api/v1/")),
            ("https://a.example/arroyo/api/v1?x=1", Some("t"), Ok("https://a.example/arroyo/api/v1/")),
            ("http://localhost:5115", Some("t"), Ok("http://localhost:5115/api/v1/")),
            ("http://arroyo:5115", Some("t"), Err("clear text")),
            ("https://ada:secret@a.example", None, Err("ARROYO_API_TOKEN")),
            ("arroyo:5115", None, Err("begin with http")),
            ("", None, Err("must be a URL")),
            ("https://a.example", Some("two\nlines"), Err("characters")),
        ];
        for (url, token, expected) in table {
            match (Client::new(url, token), expected) {
                (Ok(client), Ok(base)) => assert_eq!(client.base.as_str(), base),
                (Err(error), Err(says)) => assert!(error.to_string().contains(says), "{error}"),
                (other, _) => panic!("{url}: {other:?}"),
            }
        }
    }

    #[test]
    fn no_text_shows_the_token_or_a_password() {
        let client = Client::new("https://a.example", Some("very-secret")).unwrap();
        assert!(!format!("{client:?}").contains("secret"));
        let error = Client::new("https://ada:secret@a.example", None).unwrap_err();
        assert!(!format!("{error:?}").contains("secret"));
    }
}
