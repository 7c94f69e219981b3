//! Any server that speaks OpenAI's `/v1/chat/completions`.
//!
//! That is `crave serve-model` on this machine, or a service elsewhere: then what a person said leaves the machine, only
//! for those who allowed it. The
//! transport is ours, as for embeddings: an answer has a bound, redirects are not followed (they would carry key and
//! text elsewhere), and neither is ever part of an error or a log.

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use crave_lora::Message;
use crave_recall::Key;
use reqwest::{Client, RequestBuilder, Url, redirect};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;

use super::{Backend, PIECES_MAX, Piece, Pieces, Prompt};
use crate::{
    Error, Result,
    budget::{ByChars, Count},
};

/// Bytes of an answer, and of one event of its stream.
const ANSWER_BYTES_MAX: usize = 1 << 20;
const EVENT_BYTES_MAX: usize = 64 << 10;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait for the list of models, and how long it is believed.
const LIST_TIMEOUT: Duration = Duration::from_secs(2);
const OFFERED_MAX_AGE: Duration = Duration::from_secs(60);

/// Where a server is.
#[derive(Clone)]
pub struct RemoteOptions {
    /// What stands before `/chat/completions`, such as `https://api.openai.com/v1`. Without TLS on loopback only.
    pub url: String,
    /// Its key, where it wants one.
    pub key: Option<Key>,
    /// The model.
    pub model: String,
    /// Tokens of prompt and answer together.
    pub context: usize,
    /// How long an answer may take.
    pub patience: Duration,
}

impl fmt::Debug for RemoteOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteOptions")
            .field("url", &self.url)
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

/// A server of OpenAI's API.
#[derive(Debug)]
pub struct Remote(Arc<Server>);

#[derive(Debug)]
struct Server {
    client: Client,
    chat: Url,
    models: Url,
    /// It is on this machine.
    here: bool,
    options: RemoteOptions,
    counter: Learning,
    offered: tokio::sync::Mutex<Option<Offered>>,
}

/// The models that the server has, and when it said so.
#[derive(Debug)]
struct Offered {
    at: Instant,
    names: HashSet<String>,
}

/// Counts by characters, with the margin that the server's own counts have taught.
#[derive(Debug, Default)]
struct Learning(Mutex<ByChars>);

impl Learning {
    fn now(&self) -> ByChars {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn learn(&self, estimated: usize, counted: usize) {
        let mut now = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *now = now.corrected(estimated, counted);
    }
}

impl Count for Learning {
    fn prompt(&self, messages: &[Message]) -> Result<usize> {
        self.now().prompt(messages)
    }
}

impl Remote {
    /// Speaks with the server that `options` name.
    ///
    /// # Errors
    /// [`Error::Model`] for an address that is none, or without TLS off loopback.
    pub fn new(options: RemoteOptions) -> Result<Self> {
        let wrong = |why: &str| Error::Model(format!("model.url {why}"));
        let parse = |path: &str| {
            let url = format!("{}/{path}", options.url.trim_end_matches('/'));
            Url::parse(&url).map_err(|_| wrong("is not a URL"))
        };
        let (chat, models) = (parse("chat/completions")?, parse("models")?);
        let here = matches!(chat.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
        if chat.scheme() != "https" && !(chat.scheme() == "http" && here) {
            return Err(wrong("must begin with https://, or http:// on this machine"));
        }
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .build()
            .map_err(|_| wrong("cannot be used: no TLS"))?;
        let (counter, offered) = (Learning::default(), tokio::sync::Mutex::default());
        Ok(Self(Arc::new(Server { client, chat, models, here, options, counter, offered })))
    }
}

impl Server {
    fn keyed(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.options.key {
            Some(key) => request.bearer_auth(key.reveal()),
            None => request,
        }
    }

    /// Whether the server lists this adapter. Only listed names are ever sent: a service without adapters does not
    /// learn who a person is as a craver.
    async fn has(&self, adapter: &str) -> bool {
        let mut offered = self.offered.lock().await;
        let fresh = offered.take().filter(|offered| offered.at.elapsed() < OFFERED_MAX_AGE);
        let now = match fresh {
            Some(fresh) => fresh,
            None => Offered { at: Instant::now(), names: self.listed().await.unwrap_or_default() },
        };
        offered.insert(now).names.contains(adapter)
    }

    async fn listed(&self) -> Option<HashSet<String>> {
        #[derive(Deserialize)]
        struct List {
            data: Vec<Listed>,
        }
        #[derive(Deserialize)]
        struct Listed {
            id: String,
        }
        let mut response =
            self.keyed(self.client.get(self.models.clone())).timeout(LIST_TIMEOUT).send().await.ok()?;
        let mut body = Vec::new();
        while let Some(bytes) = response.chunk().await.ok()? {
            body.extend_from_slice(&bytes);
            if body.len() > ANSWER_BYTES_MAX {
                return None;
            }
        }
        let list: List = serde_json::from_slice(&body).ok()?;
        Some(list.data.into_iter().map(|listed| listed.id).collect())
    }

    /// Asks, and sends what comes; how it ends is the result.
    async fn tell(
        &self,
        prompt: Prompt,
        sender: &mpsc::Sender<Piece>,
    ) -> Result<Option<Usage>, &'static str> {
        let adapter = match prompt.adapter {
            Some(adapter) if self.has(&adapter).await => Some(adapter),
            _ => None,
        };
        if let Some(adapter) = &adapter {
            sender.send(Piece::Adapter(adapter.clone())).await.map_err(|_| "nobody listens")?;
        }
        let body = json!({
            "model": adapter.as_ref().unwrap_or(&self.options.model), "messages": prompt.messages,
            "max_tokens": prompt.max_tokens, "temperature": 0.3,
            "stream": true, "stream_options": {"include_usage": true},
        });
        let request =
            self.keyed(self.client.post(self.chat.clone())).json(&body).timeout(self.options.patience);
        stream(request, sender).await
    }
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Delta,
}

#[derive(Default, Deserialize)]
struct Delta {
    content: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
struct Usage {
    prompt_tokens: usize,
    completion_tokens: usize,
}

impl Backend for Remote {
    fn speak(&self, prompt: Prompt) -> Result<Pieces> {
        let estimated = self.0.counter.prompt(&prompt.messages)?;
        let server = Arc::clone(&self.0);
        let (sender, pieces) = mpsc::channel(PIECES_MAX);
        tokio::spawn(async move {
            let told = async {
                let end = match server.tell(prompt, &sender).await {
                    Ok(usage) => {
                        if let Some(usage) = usage {
                            server.counter.learn(estimated, usage.prompt_tokens);
                        }
                        Piece::Done {
                            prompt_tokens: usage.map(|usage| usage.prompt_tokens),
                            completion_tokens: usage.map(|usage| usage.completion_tokens),
                        }
                    }
                    Err(why) => Piece::Failed(why.to_owned()),
                };
                let _ = sender.send(end).await;
            };
            // Dropping the request ends the connection, and with it the server's work.
            tokio::select! {
                () = told => {}
                () = sender.closed() => {}
            }
        });
        Ok(pieces)
    }

    fn context(&self) -> usize {
        self.0.options.context
    }

    fn counter(&self) -> &dyn Count {
        &self.0.counter
    }

    fn model(&self) -> &str {
        &self.0.options.model
    }

    fn is_remote(&self) -> bool {
        !self.0.here
    }
}

/// Reads the events; why it failed is one of our own sentences, never the server's.
async fn stream(
    request: RequestBuilder,
    sender: &mpsc::Sender<Piece>,
) -> Result<Option<Usage>, &'static str> {
    let mut response = request.send().await.map_err(|_| "the model's server cannot be reached")?;
    if !response.status().is_success() {
        return Err("the model's server refused the request");
    }
    let (mut usage, mut read, mut line) = (None, 0, Vec::new());
    while let Some(bytes) = response.chunk().await.map_err(|_| "the model's server broke off")? {
        read += bytes.len();
        if read > ANSWER_BYTES_MAX {
            return Err("the model's answer is too long");
        }
        for byte in bytes {
            if byte != b'\n' {
                line.push(byte);
                if line.len() > EVENT_BYTES_MAX {
                    return Err("the model's answer is too long");
                }
                continue;
            }
            let event = std::mem::take(&mut line);
            let Some(data) = event.strip_prefix(b"data:").map(<[u8]>::trim_ascii) else { continue };
            if data == b"[DONE]" {
                return Ok(usage);
            }
            let chunk: Chunk =
                serde_json::from_slice(data).map_err(|_| "the model's server does not speak OpenAI's API")?;
            usage = chunk.usage.or(usage);
            let text = chunk.choices.into_iter().next().and_then(|choice| choice.delta.content);
            if let Some(text) = text.filter(|text| !text.is_empty())
                && sender.send(Piece::Text(text)).await.is_err()
            {
                return Ok(usage);
            }
        }
    }
    Err("the model's server broke off")
}
