//! `crave serve-model` and `crave adapters` as processes, on the tiny model of crave-lora's tests.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crave_lora::Module;
use serde_json::{Value, json};

use crate::{
    support::{Server, binary, crave, python},
    tiny,
};

const OPERATOR: &str = "the operator's key, long enough";

/// A folder with the tiny base and where adapters may be taken from.
pub(crate) struct World {
    dir: tempfile::TempDir,
    config: Value,
}

impl World {
    fn new() -> Self {
        Self::of_context(512)
    }

    pub(crate) fn of_context(tokens: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = tiny::config(&json!({ "max_position_embeddings": tokens }));
        tiny::write_model(&dir.path().join("tiny"), &config, &tiny::weights(&config, 1));
        tiny::write_tokenizer(&dir.path().join("tiny"));
        Self { dir, config }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes an adapter to be added.
    pub(crate) fn source(&self, name: &str, seed: u64) -> String {
        let path = self.path(name);
        tiny::write_lora(&path, &self.config, &tiny::lora(&self.config, 8, 16.0, &Module::ALL, seed));
        path.to_str().unwrap().to_owned()
    }

    pub(crate) fn adapters(&self, args: &[&str]) -> (i32, Vec<Value>) {
        let adapters = self.path("adapters");
        let with = ["--json", "adapters", "--adapters", adapters.to_str().unwrap()];
        let (code, text) = crave(&self.path("home"), &[&with[..], args].concat());
        (code, text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    pub(crate) fn serve(&self, args: &[&str], key: Option<&str>) -> Server {
        let (model, adapters) = (self.path("tiny"), self.path("adapters"));
        let with = ["--model", model.to_str().unwrap(), "--adapters", adapters.to_str().unwrap()];
        let mut command = binary();
        command.arg("--home").arg(self.path("home")).args(["serve-model", "--listen", "127.0.0.1:0"]);
        command.args(with).args(args).env_remove("CRAVE_MODEL_KEY");
        command.envs(key.map(|key| ("CRAVE_MODEL_KEY", key)));
        Server::spawn(command).expect("it serves")
    }

    /// A line of a keys file.
    fn key(key: &str, tenant: &str, owns: &[&str]) -> String {
        use sha2::Digest as _;
        let hash =
            sha2::Sha256::digest(key).iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        json!({ "key_sha256": hash, "tenant": tenant, "owns": owns }).to_string() + "\n"
    }
}

fn chat(model: &str, max_tokens: usize) -> Value {
    json!({ "model": model, "temperature": 0, "max_tokens": max_tokens,
            "messages": [{ "role": "user", "content": "the sea in the evening" }] })
}

#[tokio::test(flavor = "multi_thread")]
async fn openais_client_passes_a_session() {
    let world = World::new();
    let model = world.path("tiny");
    for (name, seed) in [("ada-coach", 1), ("other", 2)] {
        let source = world.source(&format!("source-{name}"), seed);
        let (code, added) = world.adapters(&["add", name, &source, "--model", model.to_str().unwrap()]);
        assert_eq!(code, 0, "{added:?}");
    }
    let keys = world.path("keys.jsonl");
    let lines = World::key("ada's key", "ada", &["ada-coach"]) + &World::key("bob's key", "bob", &[]);
    std::fs::write(&keys, lines).unwrap();
    let server = world.serve(&["--keys", keys.to_str().unwrap()], Some(OPERATOR));

    let url = server.url.clone();
    let session = tokio::task::spawn_blocking(move || {
        let client = python::package(python::OPENAI);
        python::run("openai_session.py", &client, &[&url, "ada's key", "bob's key", "ada-coach"])
    });
    let seen = session.await.unwrap();
    assert_eq!(seen["models"], json!(["ada-coach", "tiny"]));
    assert_eq!(seen["parents"], json!({ "ada-coach": "tiny", "tiny": null }));
    assert_eq!(seen["bobs_models"], json!(["tiny"]));
    assert_eq!((&seen["finish"], &seen["base_differs"]), (&json!("length"), &json!(true)));
    let bad = |code: Value, param: &str| json!(["BadRequestError", 400, code, param]);
    let none = json!(["NotFoundError", 404, "model_not_found", "model"]);
    assert_eq!(
        seen["errors"],
        json!({
            "key": ["AuthenticationError", 401, "invalid_api_key", null], "model": none, "not_owned": none,
            "n": bad(Value::Null, "n"), "temperature": bad(Value::Null, "temperature"),
            "long": bad(json!("context_length_exceeded"), "messages"),
            "tokens": bad(Value::Null, "max_tokens"), "image": bad(Value::Null, "messages"),
        })
    );

    // The stream that was left does not run on, and holds nothing.
    let mut metrics = String::new();
    server
        .until(Duration::from_secs(10), async |server| {
            metrics = server
                .http
                .get(format!("{}/metrics", server.url))
                .send()
                .await
                .unwrap()
                .text()
                .await
                .unwrap();
            metrics.contains("crave_lora_requests{state=\"running\"} 0")
        })
        .await;
    assert!(metrics.contains("crave_lora_requests_total{outcome=\"cancelled\"} 1"), "{metrics}");
    for name in [
        "crave_lora_tokens_total{kind=\"answer\"}",
        "crave_lora_time_to_first_token_seconds_bucket",
        "crave_lora_inter_token_seconds_bucket",
        "crave_lora_batch_rows_bucket",
        "crave_lora_kv_used_ratio",
        "crave_lora_adapters_resident 1",
        "crave_lora_adapter_requests_total{tier=\"disk\"} 1",
        "crave_lora_adapter_requests_total{tier=\"memory\"}",
        "crave_lora_adapter_load_seconds_count{tier=\"disk\"} 1",
        "crave_lora_queue_seconds_count{tenant=",
    ] {
        assert!(metrics.contains(name), "{name} is not told:\n{metrics}");
    }
    let names = ["ada-coach", "bob", "someone"];
    assert!(names.iter().all(|name| !metrics.contains(name)), "nobody's name: {metrics}");

    // A key that is taken out of the file is soon worth nothing; a broken file changes nothing.
    std::fs::write(&keys, World::key("ada's key", "ada", &["ada-coach"])).unwrap();
    server
        .until(Duration::from_secs(10), async |server| server.get("bob's key", "/v1/models").await.0 == 401)
        .await;
    std::fs::write(&keys, "nonsense").unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(server.get("ada's key", "/v1/models").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn adapters_change_while_they_are_served() {
    let world = Arc::new(World::new());
    let server = world.serve(&["--running-tenant-max", "8"], Some(OPERATOR));
    assert_eq!(server.post(OPERATOR, "/v1/chat/completions", &chat("coach", 8)).await.0, 404);
    let (code, added) = world.adapters(&["add", "coach", &world.source("one", 1)]);
    assert_eq!((code, &added[0]["added"]["replaced"]), (0, &json!(false)), "{added:?}");
    let say = async || {
        let (status, answer) = server.post(OPERATOR, "/v1/chat/completions", &chat("coach", 8)).await;
        assert_eq!(status, 200, "{answer}");
        answer["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
    };
    let first = say().await;
    assert_eq!(say().await, first);

    // Requests go on while it is replaced; each is answered by the one or the other, whole.
    let (there, second) = (Arc::clone(&world), world.source("two", 2));
    let replacing = tokio::task::spawn_blocking(move || there.adapters(&["add", "coach", &second]));
    let mut asked = Vec::new();
    while !replacing.is_finished() {
        asked.extend(futures::future::join_all((0..4).map(|_| say())).await);
    }
    let (code, replaced) = replacing.await.unwrap();
    assert_eq!((code, &replaced[0]["added"]["replaced"]), (0, &json!(true)), "{replaced:?}");
    let now = say().await;
    assert_ne!(now, first);
    assert!(asked.iter().all(|said| *said == first || *said == now), "{asked:?}");

    let bytes = replaced[0]["added"]["bytes"].clone();
    let (_, pinned) = world.adapters(&["pin", "coach"]);
    assert!(pinned.is_empty());
    let (_, listed) = world.adapters(&["list"]);
    let (version, generation) = (&replaced[0]["added"]["version"], &replaced[0]["added"]["generation"]);
    assert_eq!(
        listed,
        [
            json!({ "name": "coach", "version": version, "pinned": true, "generation": generation, "bytes": bytes, "requests": 0 })
        ]
    );
    let (_, freed) = world.adapters(&["unload", "coach"]);
    assert_eq!(freed, [json!({ "name": "coach", "freed_bytes": bytes })]);
    assert_eq!(say().await, now, "it is loaded again");
    let (_, freed) = world.adapters(&["rm", "coach"]);
    assert_eq!(freed, [json!({ "name": "coach", "freed_bytes": bytes })]);
    assert_eq!(server.post(OPERATOR, "/v1/chat/completions", &chat("coach", 8)).await.0, 404);
    assert_ne!(world.adapters(&["rm", "coach"]).0, 0);
    assert_ne!(world.adapters(&["rm", "../coach"]).0, 0);
    let torn = world.source("torn", 3);
    std::fs::write(Path::new(&torn).join("adapter_model.safetensors"), b"torn").unwrap();
    assert_ne!(world.adapters(&["add", "coach", &torn]).0, 0);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_made_once_and_kept_private() {
    let world = World::new();
    let server = world.serve(&[], None);
    let file = world.path("home/model.key");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let key = std::fs::read_to_string(&file).unwrap();
    assert_eq!(server.get("", "/v1/models").await.0, 401);
    assert_eq!(server.get(key.trim(), "/v1/models").await.0, 200);
    assert_eq!(server.get("", "/health").await, (200, json!({ "status": "ok" })));
    // A proxy's caller is not of this machine.
    let forwarded =
        server.http.get(format!("{}/metrics", server.url)).header("x-forwarded-for", "203.0.113.7");
    assert_eq!(forwarded.send().await.unwrap().status(), 401);
    server.stop();
    let server = world.serve(&[], None);
    assert_eq!(server.get(key.trim(), "/v1/models").await.0, 200, "the same key");
    server.stop();

    let refuses = |key: Option<&str>| {
        let mut command = binary();
        command.arg("--home").arg(world.path("home")).args(["serve-model", "--listen", "0.0.0.0:0"]);
        let (model, adapters) = (world.path("tiny"), world.path("adapters"));
        command.arg("--model").arg(model).arg("--adapters").arg(adapters).env_remove("CRAVE_MODEL_KEY");
        let output = command.envs(key.map(|key| ("CRAVE_MODEL_KEY", key))).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(refuses(Some("")).contains("CRAVE_MODEL_KEY"), "no key, no listening");
    assert!(refuses(Some("short")).contains("characters"));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let why = refuses(None);
    assert!(why.contains("others can read it") && !why.contains(key.trim()), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_says_so_and_a_stopping_one_finishes() {
    let world = World::new();
    let server =
        world.serve(&["--running-max", "1", "--waiting-max", "1", "--body-max", "10KB"], Some(OPERATOR));
    let url = format!("{}/v1/chat/completions", server.url);
    let send = |body: &Value| server.http.post(&url).bearer_auth(OPERATOR).json(body).send();
    let mut stream = chat("tiny", 250);
    stream["stream"] = json!(true);
    let mut running = send(&stream).await.unwrap();
    let waiting = tokio::spawn(send(&chat("tiny", 4)));
    server
        .until(Duration::from_secs(10), async |server| {
            let metrics = server.http.get(format!("{}/metrics", server.url)).send().await.unwrap();
            metrics.text().await.unwrap().contains("crave_lora_requests{state=\"waiting\"} 1")
        })
        .await;
    let full = send(&chat("tiny", 4)).await.unwrap();
    assert_eq!((full.status().as_u16(), full.headers()["retry-after"].to_str().unwrap()), (429, "1"));
    assert_eq!(full.json::<Value>().await.unwrap()["error"]["code"], "rate_limit_exceeded");
    let mut large = chat("tiny", 4);
    large["messages"][0]["content"] = json!("x".repeat(20_000));

    server.terminate();
    let mut text = String::new();
    while let Some(piece) = running.chunk().await.unwrap() {
        text.push_str(std::str::from_utf8(&piece).unwrap());
    }
    assert!(text.trim_end().ends_with("data: [DONE]"), "an answer under way is finished: {text}");
    assert_eq!(waiting.await.unwrap().unwrap().status(), 200, "and so is one that was taken");
    server.ended();

    let server = world.serve(&["--body-max", "10KB"], Some(OPERATOR));
    assert_eq!(server.post(OPERATOR, "/v1/chat/completions", &large).await.0, 413);
}
