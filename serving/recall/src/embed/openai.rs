//! Any service that speaks OpenAI's `/v1/embeddings`: OpenAI, vLLM, Text Embeddings Inference, Ollama and others.
//!
//! The wire's types are `async-openai`'s. The transport is not: its client reads an answer without a bound and writes one
//! that it cannot parse, which may repeat what a person wrote, to the log. Here an answer has a bound, redirects are
//! not followed (they would carry key and text elsewhere), and neither is ever part of an error or a log.

mod answer;
mod pace;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_openai::types::embeddings::{CreateEmbeddingRequest, EmbeddingInput, EncodingFormat};
use async_trait::async_trait;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Client, StatusCode, Url, redirect};

use super::{Embedder, Key, Model};
use crate::error::ErrorKind;
use crate::{Error, LIMITS, Result};
use answer::Answer;
use pace::Pace;

/// Bytes of text in one request.
const REQUEST_BYTES_MAX: usize = 256 << 10;
/// Longest wait for the vector of a question: a person waits too, and words alone find something.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(3);
/// The first pause before a request is repeated; each further one is twice as long.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
/// Longest pause, also where the service asks for a longer one: then the request fails and is made again later.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Where a service is and what may be asked of it.
#[derive(Clone, Debug)]
pub struct OpenAiOptions {
    /// What stands before `/embeddings`, such as `https://api.openai.com/v1`. Without TLS on loopback only.
    pub url: String,
    /// Its key, where it wants one.
    pub key: Option<Key>,
    /// The model, and how long its vectors are.
    pub model: Model,
    /// Whether the service is asked for vectors of that length: for models that can shorten theirs.
    pub shorten: bool,
    /// Most texts in one request, 1 to 2,048.
    pub batch_texts: usize,
    /// A text is cut after so many bytes, at a character.
    pub text_bytes_max: usize,
    /// Most requests a minute, on average; questions are counted but not held back.
    pub requests_per_min: u32,
    /// Longest wait for one answer.
    pub timeout: Duration,
    /// How often a request is repeated that failed in a way that passes.
    pub retries: u32,
}

/// What was asked of a service since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Requests, repeated ones included.
    pub requests: u64,
    /// Requests that were repeats.
    pub retries: u64,
    /// Tokens, as the service counted them.
    pub tokens: u64,
}

/// A remote embedding model. Cloning it is cheap.
#[derive(Clone)]
pub struct OpenAi {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    endpoint: Url,
    authorization: Option<HeaderValue>,
    options: OpenAiOptions,
    pace: Pace,
    requests: AtomicU64,
    retries: AtomicU64,
    tokens: AtomicU64,
}

impl fmt::Debug for OpenAi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAi")
            .field("model", &self.shared.options.model)
            .field("endpoint", &self.shared.endpoint.as_str())
            .finish_non_exhaustive()
    }
}

impl OpenAi {
    /// Checks the options; nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming what is wrong.
    pub fn new(options: OpenAiOptions) -> Result<Self> {
        let endpoint = endpoint(&options.url)?;
        if !(1..=2048).contains(&options.batch_texts) {
            return Err(Error::invalid("batch_texts", "must be 1 to 2048"));
        }
        if !(64..=LIMITS.text_bytes_max * 2).contains(&options.text_bytes_max) {
            let max = LIMITS.text_bytes_max * 2;
            return Err(Error::invalid("text_bytes_max", format!("must be 64 to {max}")));
        }
        if options.requests_per_min == 0 || options.timeout.is_zero() || options.retries > 10 {
            return Err(Error::invalid(
                "requests_per_min, timeout and retries",
                "must be above 0, above 0 s and at most 10",
            ));
        }
        let authorization = options.key.as_ref().map(|key| {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", key.reveal()))
                .map_err(|_| Error::invalid("key", "cannot stand in a header"))?;
            value.set_sensitive(true);
            Ok::<_, Error>(value)
        });
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .connect_timeout(options.timeout.min(Duration::from_secs(10)))
            .build()
            .map_err(|error| Error::Embed(error.to_string()))?;
        let shared = Shared {
            client,
            endpoint,
            authorization: authorization.transpose()?,
            pace: Pace::new(options.requests_per_min),
            options,
            requests: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            tokens: AtomicU64::new(0),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// What was asked so far.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Shared { requests, retries, tokens, .. } = &*self.shared;
        Usage { requests: of(requests), retries: of(retries), tokens: of(tokens) }
    }
}

#[async_trait]
impl Embedder for OpenAi {
    fn model(&self) -> &Model {
        &self.shared.options.model
    }

    fn is_remote(&self) -> bool {
        true
    }

    async fn embed(&self, texts: Vec<String>) -> Result<Vec<Vec<f32>>> {
        if texts.len() > LIMITS.upsert_memories_max {
            let max = LIMITS.upsert_memories_max;
            return Err(Error::invalid("texts", format!("may be at most {max} at a time")));
        }
        let options = &self.shared.options;
        let mut vectors = Vec::with_capacity(texts.len());
        for batch in batches(texts, options.batch_texts, options.text_bytes_max) {
            vectors.extend(self.shared.with_retries(batch).await?);
        }
        Ok(vectors)
    }

    async fn embed_question(&self, question: String) -> Result<Vec<f32>> {
        let shared = &self.shared;
        let question = cut(question, shared.options.text_bytes_max);
        shared.pace.count();
        let timeout = shared.options.timeout.min(QUESTION_TIMEOUT);
        let mut vectors = shared.once(&[question], timeout).await.map_err(|failed| shared.error(failed))?;
        vectors.pop().ok_or_else(|| Error::Embed("no vector came out".to_owned()))
    }
}

/// Why a request gave no vectors.
pub(super) struct Failed {
    why: String,
    kind: ErrorKind,
    /// The pause that the service asks for.
    pause: Option<Duration>,
}

impl Failed {
    fn passing(why: impl Into<String>) -> Self {
        Self { why: why.into(), kind: ErrorKind::Unavailable, pause: None }
    }

    fn lasting(why: impl Into<String>) -> Self {
        Self { why: why.into(), kind: ErrorKind::Internal, pause: None }
    }
}

impl Shared {
    async fn with_retries(&self, texts: Vec<String>) -> Result<Vec<Vec<f32>>> {
        let mut attempt = 0;
        loop {
            self.pace.turn().await;
            let failed = match self.once(&texts, self.options.timeout).await {
                Ok(vectors) => return Ok(vectors),
                Err(failed) => failed,
            };
            let pause =
                failed.pause.unwrap_or_else(|| (PAUSE_FIRST * 2_u32.saturating_pow(attempt)).min(PAUSE_MAX));
            let again =
                failed.kind == ErrorKind::Unavailable && attempt < self.options.retries && pause <= PAUSE_MAX;
            if !again {
                return Err(self.error(failed));
            }
            tracing::warn!(why = failed.why, pause_ms = pause.as_millis(), "the embedding service failed");
            tokio::time::sleep(pause).await;
            attempt += 1;
            self.retries.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// One request and its vectors, each of length 1.
    async fn once(&self, texts: &[String], timeout: Duration) -> Result<Vec<Vec<f32>>, Failed> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("crave_embedding_requests_total").increment(1);
        let dimension = self.options.model.dimension();
        let body = CreateEmbeddingRequest {
            model: self.options.model.name().to_owned(),
            input: EmbeddingInput::StringArray(texts.to_vec()),
            encoding_format: Some(EncodingFormat::Float),
            user: None,
            dimensions: self.options.shorten.then(|| u32::try_from(dimension).unwrap_or(u32::MAX)),
        };
        let mut request = self.client.post(self.endpoint.clone()).json(&body).timeout(timeout);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        let response = request.send().await.map_err(|error| unsent(&error))?;
        let status = response.status();
        if !status.is_success() {
            return Err(Failed { pause: answer::pause(response.headers()), ..refused(status) });
        }
        let bytes_max = answer::bytes_max(texts.len(), dimension);
        let Answer { vectors, tokens } = answer::read(response, bytes_max, texts.len(), dimension).await?;
        self.tokens.fetch_add(tokens, Ordering::Relaxed);
        metrics::counter!("crave_embedding_tokens_total").increment(tokens);
        Ok(vectors)
    }

    fn error(&self, failed: Failed) -> Error {
        Error::Remote { url: self.endpoint.to_string(), why: failed.why, kind: failed.kind }
    }
}

/// What a request that got no answer says; `reqwest`'s own text may hold the address with its query only.
fn unsent(error: &reqwest::Error) -> Failed {
    if error.is_timeout() {
        return Failed::passing("did not answer in time");
    }
    Failed::passing("cannot be reached; check `recall.embedder.url` and the network")
}

fn refused(status: StatusCode) -> Failed {
    let code = status.as_u16();
    match code {
        401 | 403 => Failed::lasting(format!("refused the key ({code}); set another")),
        404 => Failed::lasting("has no such model or address (404); check `recall.embedder`"),
        400 | 413 | 422 => Failed {
            kind: ErrorKind::Invalid,
            ..Failed::lasting(format!("refused the texts ({code}); check the model, dimension and text_max"))
        },
        429 => Failed::passing("has too much to do (429)"),
        408 | 425 | 500..=599 => Failed::passing(format!("failed ({code})")),
        _ => Failed::lasting(format!("answered {code}")),
    }
}

/// The full address.
fn endpoint(base: &str) -> Result<Url> {
    let invalid = |why: &str| Error::invalid("url", why);
    let url =
        Url::parse(base).map_err(|_| invalid("must be an address such as https://api.openai.com/v1"))?;
    let loopback = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    if url.scheme() != "https" && !(url.scheme() == "http" && loopback) {
        return Err(invalid("must be https:// off loopback: what people wrote would travel in clear"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err(invalid(
            "must hold no password and no query; the key comes from the environment or a file",
        ));
    }
    let path = format!("{}/embeddings", url.path().trim_end_matches('/'));
    let mut url = url;
    url.set_path(&path);
    Ok(url)
}

/// Texts in requests of bounded size, in their order.
fn batches(texts: Vec<String>, texts_max: usize, text_bytes_max: usize) -> Vec<Vec<String>> {
    let mut batches: Vec<Vec<String>> = Vec::new();
    let mut bytes = 0;
    for text in texts {
        let text = cut(text, text_bytes_max);
        match batches.last_mut() {
            Some(last) if last.len() < texts_max && bytes + text.len() <= REQUEST_BYTES_MAX => {
                bytes += text.len();
                last.push(text);
            }
            _ => {
                bytes = text.len();
                batches.push(vec![text]);
            }
        }
    }
    batches
}

fn cut(mut text: String, bytes_max: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes_max));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked() {
        let table = [
            ("https://api.openai.com/v1", Some("https://api.openai.com/v1/embeddings")),
            ("https://api.openai.com/v1/", Some("https://api.openai.com/v1/embeddings")),
            ("http://127.0.0.1:8080/v1", Some("http://127.0.0.1:8080/v1/embeddings")),
            ("http://embeddings.example/v1", None),
            ("https://me:secret@host/v1", None),
            ("https://host/v1?key=secret", None),
            ("ftp://host", None),
            ("host", None),
        ];
        for (base, expected) in table {
            assert_eq!(endpoint(base).ok().map(String::from).as_deref(), expected, "{base}");
        }
    }

    #[test]
    fn requests_are_bounded_and_texts_keep_their_order() {
        let texts = vec!["a".to_owned(), "bb".to_owned(), "éé".to_owned(), "d".repeat(100)];
        assert_eq!(batches(texts, 2, 3), [vec!["a", "bb"], vec!["é", "ddd"]]);
        let large = vec!["x".repeat(REQUEST_BYTES_MAX / 2 + 1); 3];
        assert_eq!(batches(large, 100, usize::MAX).len(), 3);
        assert!(batches(Vec::new(), 2, 3).is_empty());
    }

    #[test]
    fn only_what_passes_is_tried_again() {
        for (code, kind) in [
            (429, ErrorKind::Unavailable),
            (500, ErrorKind::Unavailable),
            (503, ErrorKind::Unavailable),
            (400, ErrorKind::Invalid),
            (413, ErrorKind::Invalid),
            (401, ErrorKind::Internal),
            (302, ErrorKind::Internal),
        ] {
            assert_eq!(refused(StatusCode::from_u16(code).unwrap()).kind, kind, "{code}");
        }
    }
}
