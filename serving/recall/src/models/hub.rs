//! Fetches files from a Hugging Face hub, going on where an earlier try stopped.

use std::path::Path;
use std::time::Duration;

use reqwest::{Client, Response, StatusCode, header};
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt;

use super::{FileSpec, MODEL_NAME, Progress, verify};
use crate::{Error, Result};

const OWNER: &str = "sentence-transformers";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest silence between two pieces of a body.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Tries a file, each going on where the last stopped.
const TRIES_MAX: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// Why a try ended, and whether another makes sense.
struct Stopped {
    why: String,
    again: bool,
}

impl From<reqwest::Error> for Stopped {
    fn from(error: reqwest::Error) -> Self {
        Self { why: super::chain(&error), again: !error.is_connect() && !error.is_builder() }
    }
}

pub(super) async fn fetch(
    files: &[FileSpec],
    path: &Path,
    hub: &str,
    on_progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<()> {
    let client = Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .build()
        .map_err(|error| Error::Fetch(super::chain(&error)))?;
    for file in files {
        let url = format!("{}/{OWNER}/{MODEL_NAME}/resolve/main/{}", hub.trim_end_matches('/'), file.name);
        let part = path.join(format!("{}.part", file.name));
        let mut pause = FIRST_PAUSE;
        let mut tries = 1;
        while let Err(stopped) = body(&client, &url, file, &part, on_progress).await {
            if !stopped.again || tries == TRIES_MAX {
                return Err(Error::Fetch(format!("{}: {}", file.name, stopped.why)));
            }
            tokio::time::sleep(pause).await;
            (pause, tries) = (pause * 2, tries + 1);
        }
        verify::accept(file, &part, path, on_progress).await?;
    }
    Ok(())
}

/// Appends what is missing of a file to its part.
async fn body(
    client: &Client,
    url: &str,
    file: &FileSpec,
    part: &Path,
    on_progress: &mut (dyn FnMut(Progress) + Send),
) -> std::result::Result<(), Stopped> {
    let on_disk =
        |error: std::io::Error| Stopped { why: format!("{}: {error}", part.display()), again: false };
    let have = tokio::fs::metadata(part).await.map_or(0, |metadata| metadata.len());
    let mut request = client.get(url).header(header::ACCEPT_ENCODING, "identity");
    if have > 0 {
        request = request.header(header::RANGE, format!("bytes={have}-"));
    }
    let mut response = request.send().await?;
    let (mut out, mut done) = match response.status() {
        StatusCode::PARTIAL_CONTENT if starts_at(&response, have) => {
            (OpenOptions::new().append(true).open(part).await.map_err(on_disk)?, have)
        }
        StatusCode::OK => (File::create(part).await.map_err(on_disk)?, 0),
        // Our part is not a beginning of their file (416), or they answered another range: begin anew.
        StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::PARTIAL_CONTENT => {
            tokio::fs::remove_file(part).await.map_err(on_disk)?;
            return Err(Stopped { why: "the server has another file than before".to_owned(), again: true });
        }
        status => {
            let again = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
            return Err(Stopped { why: format!("{url} answered {status}"), again });
        }
    };
    let total_bytes = response.content_length().map(|rest| done + rest);
    let written = loop {
        on_progress(Progress::Fetching { file: file.name.to_owned(), done_bytes: done, total_bytes });
        let piece = match response.chunk().await {
            Ok(Some(piece)) => piece,
            Ok(None) => break Ok(()),
            Err(error) => break Err(Stopped::from(error)),
        };
        done += piece.len() as u64;
        if done > file.bytes_max {
            break Err(Stopped { why: format!("is larger than {} bytes", file.bytes_max), again: false });
        }
        if let Err(error) = out.write_all(&piece).await {
            break Err(on_disk(error));
        }
    };
    out.flush().await.map_err(on_disk)?;
    written
}

fn starts_at(response: &Response, have: u64) -> bool {
    let range = response.headers().get(header::CONTENT_RANGE).and_then(|value| value.to_str().ok());
    range.is_some_and(|range| range.starts_with(&format!("bytes {have}-")))
}
