//! A hub of our own on loopback: commits, files, ranges, a token, a line that breaks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const REPO: &str = "crave/tiny";
const WEIGHTS_BYTES: usize = 300_000;

/// What the hub holds and has seen.
#[derive(Default)]
struct State {
    commit: String,
    files: HashMap<String, Vec<u8>>,
    token: Option<String>,
    /// Bodies of files that are still to be broken off in the middle.
    breaks: usize,
    requests: Vec<String>,
}

struct TestHub {
    url: String,
    state: Arc<Mutex<State>>,
    models: TempDir,
}

fn weights(seed: u8) -> Vec<u8> {
    (0..WEIGHTS_BYTES).map(|at| (at % 251) as u8 ^ seed).collect()
}

impl TestHub {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State { commit: "aa11".to_owned(), ..State::default() }));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                answer(socket, &shared).await;
            }
        });
        let hub = Self { url, state, models: TempDir::new().unwrap() };
        for (name, bytes) in [
            ("config.json", b"{}".to_vec()),
            ("tokenizer.json", b"{\"a\":1}".to_vec()),
            ("README.md", b"# no".to_vec()),
            ("model.safetensors", weights(0)),
            ("consolidated.safetensors", weights(1)),
            ("tiny.Q4_K_M.gguf", weights(2)),
            ("onnx/model.safetensors", weights(3)),
        ] {
            hub.put(name, bytes);
        }
        hub
    }

    fn put(&self, name: &str, bytes: Vec<u8>) {
        self.state.lock().unwrap().files.insert(name.to_owned(), bytes);
    }

    async fn pull(&self, request: &RepoRequest, token: Option<&str>) -> Result<Pulled> {
        pull_repo(self.models.path(), &self.url, token, request, &mut |_| {}).await
    }

    fn file(&self, name: &str) -> Vec<u8> {
        std::fs::read(request().folder(self.models.path()).join(name)).unwrap()
    }

    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(request().folder(self.models.path())).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Requests since the last call.
    fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().requests)
    }
}

fn request() -> RepoRequest {
    RepoRequest::parse(REPO).unwrap()
}

/// Weights are told with their hash, as files in LFS are; the rest only with its size.
fn description(state: &State) -> Value {
    let siblings = state.files.iter().map(|(name, bytes)| {
        let mut sibling = json!({ "rfilename": name, "size": bytes.len() });
        if bytes.len() > 100 {
            sibling["lfs"] = json!({ "sha256": hex::encode(Sha256::digest(bytes)), "size": bytes.len() });
        }
        sibling
    });
    json!({ "sha": state.commit, "siblings": siblings.collect::<Vec<_>>() })
}

async fn answer(mut socket: TcpStream, state: &Mutex<State>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let header = |name: &str| {
        head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then(|| value.to_owned())
        })
    };
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let from: usize = header("range")
        .map_or(0, |range| range.trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap());
    let (status, body, length) = {
        let mut state = state.lock().unwrap();
        state.requests.push(format!("{path} from {from}"));
        let prefix = format!("/{REPO}/resolve/{}/", state.commit);
        let allowed = state
            .token
            .as_ref()
            .is_none_or(|token| header("authorization") == Some(format!("Bearer {token}")));
        let file = path.strip_prefix(&prefix).and_then(|name| state.files.get(name)).cloned();
        match (allowed, file) {
            (false, _) => ("401 Unauthorized".to_owned(), Vec::new(), 0),
            (true, None) if path.starts_with("/api/models/") => {
                let body = description(&state).to_string().into_bytes();
                ("200 OK".to_owned(), body.clone(), body.len())
            }
            (true, None) => ("404 Not Found".to_owned(), Vec::new(), 0),
            (true, Some(file)) => {
                let total = file.len();
                let mut body = file[from..].to_vec();
                let length = body.len();
                if state.breaks > 0 && total > 100 {
                    state.breaks -= 1;
                    body.truncate(length / 2);
                }
                match from {
                    0 => ("200 OK".to_owned(), body, length),
                    _ => {
                        let last = total - 1;
                        let range =
                            format!("206 Partial Content\r\ncontent-range: bytes {from}-{last}/{total}");
                        (range, body, length)
                    }
                }
            }
        }
    };
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(&body).await.ok();
    socket.shutdown().await.ok();
}

#[tokio::test]
async fn a_model_is_fetched_once_and_pinned() {
    let hub = TestHub::new().await;
    let pulled = hub.pull(&request(), None).await.unwrap();
    assert_eq!((pulled.origin, pulled.path), (Origin::Hub, hub.models.path().join("crave--tiny")));
    assert_eq!(
        hub.files(),
        [".lock", "config.json", "crave.lock.json", "model.safetensors", "tokenizer.json"],
        "what makes a model, and nothing else of the repository"
    );
    assert_eq!(hub.file("model.safetensors"), weights(0));
    let lock: Lock = serde_json::from_slice(&hub.file("crave.lock.json")).unwrap();
    assert_eq!(lock.commit, "aa11");
    for file in &lock.files {
        assert_eq!(file.sha256, Some(hex::encode(Sha256::digest(hub.file(&file.name)))), "{}", file.name);
    }
    hub.requests();
    assert_eq!(hub.pull(&request(), None).await.unwrap().origin, Origin::Present);
    assert!(hub.requests().is_empty(), "what is there and right needs no hub");
    let listed = list_repos(hub.models.path()).unwrap();
    assert_eq!((listed[0].0.as_str(), listed[0].2), ("crave/tiny@main", true));
}

#[tokio::test]
async fn it_goes_on_where_the_line_broke_also_in_another_run() {
    let hub = TestHub::new().await;
    hub.state.lock().unwrap().breaks = 1;
    hub.pull(&request(), None).await.unwrap();
    assert_eq!(hub.file("model.safetensors"), weights(0));
    let ranges: Vec<String> =
        hub.requests().into_iter().filter(|request| !request.ends_with("from 0")).collect();
    assert_eq!(ranges, ["/crave/tiny/resolve/aa11/model.safetensors from 150000"]);

    let hub = TestHub::new().await;
    hub.state.lock().unwrap().breaks = usize::MAX;
    hub.pull(&request(), None).await.unwrap_err();
    hub.state.lock().unwrap().breaks = 0;
    hub.requests();
    hub.pull(&request(), None).await.unwrap();
    assert_eq!(hub.file("model.safetensors"), weights(0));
    let requests = hub.requests();
    assert!(requests.len() == 1 && !requests[0].ends_with("from 0"), "{requests:?}");
}

#[tokio::test]
async fn a_revision_stays_what_it_was_until_it_is_updated() {
    let hub = TestHub::new().await;
    hub.pull(&request(), None).await.unwrap();
    // The branch moves on; a file here is damaged.
    hub.state.lock().unwrap().commit = "bb22".to_owned();
    hub.put("model.safetensors", weights(9));
    std::fs::write(request().folder(hub.models.path()).join("tokenizer.json"), "damaged").unwrap();
    let error = hub.pull(&request(), None).await.unwrap_err().to_string();
    assert!(error.contains("resolve/aa11/tokenizer.json"), "the locked commit is asked: {error}");
    let update = RepoRequest { update: true, ..request() };
    hub.pull(&update, None).await.unwrap();
    assert_eq!(hub.file("model.safetensors"), weights(9));
    // Other bytes under the same commit are not taken.
    hub.put("config.json", b"[]".to_vec());
    std::fs::remove_file(request().folder(hub.models.path()).join("config.json")).unwrap();
    let error = hub.pull(&request(), None).await.unwrap_err();
    assert!(matches!(&error, Error::Hash { file, .. } if file == "config.json"), "{error}");
}

#[tokio::test]
async fn exact_files_sizes_and_a_token() {
    let hub = TestHub::new().await;
    let gguf = RepoRequest { files: vec!["tiny.Q4_K_M.gguf".to_owned()], ..request() };
    hub.pull(&gguf, None).await.unwrap();
    assert_eq!(hub.files(), [".lock", "crave.lock.json", "tiny.Q4_K_M.gguf"]);
    // More of the same commit is added to what is there.
    hub.pull(&request(), None).await.unwrap();
    assert_eq!(hub.files().len(), 6, "{:?}", hub.files());
    hub.requests();
    assert_eq!(hub.pull(&gguf, None).await.unwrap().origin, Origin::Present);
    assert!(hub.requests().is_empty());
    let absent = RepoRequest { files: vec!["other.gguf".to_owned()], ..request() };
    assert!(matches!(hub.pull(&absent, None).await, Err(Error::Invalid { .. })));
    let small = RepoRequest { bytes_max: 1_000, update: true, ..request() };
    assert!(matches!(hub.pull(&small, None).await, Err(Error::Invalid { .. })));

    hub.state.lock().unwrap().token = Some("hf_x".to_owned());
    let update = RepoRequest { update: true, ..request() };
    let error = hub.pull(&update, None).await.unwrap_err().to_string();
    assert!(error.contains("401") && error.contains("HF_TOKEN") && !error.contains("hf_x"), "{error}");
    hub.pull(&update, Some("hf_x")).await.unwrap();
    let elsewhere =
        pull_repo(hub.models.path(), "http://hub.example", Some("hf_x"), &update, &mut |_| {}).await;
    assert!(matches!(elsewhere, Err(Error::Invalid { field: "hub", .. })));
}

#[test]
fn repositories_and_revisions() {
    let parsed = |text: &str| RepoRequest::parse(text).map(|request| (request.repo, request.revision));
    let pair = |repo: &str, revision: &str| (repo.to_owned(), revision.to_owned());
    assert_eq!(parsed("Qwen/Qwen2.5-0.5B-Instruct").unwrap(), pair("Qwen/Qwen2.5-0.5B-Instruct", "main"));
    assert_eq!(parsed("gpt2@refs/pr/1").unwrap(), pair("gpt2", "refs/pr/1"));
    for wrong in ["", "a/b/c", "../b", "a/..", "a/b@", "a/b@../x", "a b/c", "a/b@x@y?"] {
        parsed(wrong).unwrap_err();
    }
}

#[test]
fn a_token_goes_over_https_or_stays_here() {
    for (hub, private) in [
        ("https://huggingface.co", true),
        ("http://127.0.0.1:9", true),
        ("http://localhost/x", true),
        ("http://127.0.0.1.evil.org", false),
        ("http://127.0.0.1:80@evil.org", false),
        ("http://huggingface.co", false),
    ] {
        assert_eq!(is_private(hub), private, "{hub}");
    }
}
