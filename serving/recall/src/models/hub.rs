//! Fetches files from a Hugging Face hub, going on where an earlier try stopped.

use std::path::Path;
use std::time::Duration;

use reqwest::{Client, Response, StatusCode, header};
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt;

use super::{FileSpec, Progress, verify};
use crate::{Error, Result};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest silence between two pieces of a body.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Tries a file, each going on where the last stopped.
const TRIES_MAX: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// Where on a hub files are, and who asks.
pub(super) struct Place {
    /// What a file's name is put behind.
    prefix: String,
    token: Option<String>,
}

impl Place {
    /// The newest files of `repo` (`owner/name`), which anybody may read.
    pub(super) fn main(hub: &str, repo: &str) -> Self {
        Self::at(hub, repo, "main", None)
    }

    pub(super) fn at(hub: &str, repo: &str, revision: &str, token: Option<&str>) -> Self {
        let prefix = format!("{}/{repo}/resolve/{revision}", hub.trim_end_matches('/'));
        Self { prefix, token: token.map(ToOwned::to_owned) }
    }
}

/// Why a try ended, and whether another makes sense.
pub(super) struct Stopped {
    pub(super) why: String,
    again: bool,
}

impl From<reqwest::Error> for Stopped {
    fn from(error: reqwest::Error) -> Self {
        Self { why: super::chain(&error), again: !error.is_connect() && !error.is_builder() }
    }
}

pub(super) fn client() -> Result<Client> {
    let client = Client::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(READ_TIMEOUT).build();
    client.map_err(|error| Error::Fetch(super::chain(&error)))
}

/// Fetches `files` into `path`, each checked before it gets its name; returns their SHA-256.
pub(super) async fn fetch(
    files: &[FileSpec],
    path: &Path,
    place: &Place,
    on_progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Vec<String>> {
    let client = client()?;
    let mut hashes = Vec::new();
    for file in files {
        let url = format!("{}/{}", place.prefix, file.name);
        let part = path.join(format!("{}.part", file.name));
        let mut pause = FIRST_PAUSE;
        let mut tries = 1;
        while let Err(stopped) = body(&client, (&url, place), file, &part, on_progress).await {
            if !stopped.again || tries == TRIES_MAX {
                return Err(Error::Fetch(format!("{}: {}", file.name, stopped.why)));
            }
            tokio::time::sleep(pause).await;
            (pause, tries) = (pause * 2, tries + 1);
        }
        hashes.push(verify::accept(file, &part, path, on_progress).await?);
    }
    Ok(hashes)
}

/// Appends what is missing of a file to its part.
async fn body(
    client: &Client,
    (url, place): (&str, &Place),
    file: &FileSpec,
    part: &Path,
    on_progress: &mut (dyn FnMut(Progress) + Send),
) -> std::result::Result<(), Stopped> {
    let on_disk =
        |error: std::io::Error| Stopped { why: format!("{}: {error}", part.display()), again: false };
    let have = tokio::fs::metadata(part).await.map_or(0, |metadata| metadata.len());
    let mut request = client.get(url).header(header::ACCEPT_ENCODING, "identity");
    if let Some(token) = &place.token {
        // reqwest takes it off when the hub sends us on to another host.
        request = request.bearer_auth(token);
    }
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
        status => return Err(answered(url, status)),
    };
    let total_bytes = response.content_length().map(|rest| done + rest);
    let written = loop {
        on_progress(Progress::Fetching { file: file.name.to_string(), done_bytes: done, total_bytes });
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

/// What a status that is no success means.
pub(super) fn answered(url: &str, status: StatusCode) -> Stopped {
    let hint = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            "; a gated or private repository needs a token in HF_TOKEN"
        }
        StatusCode::NOT_FOUND => "; is the name right? A private repository needs a token in HF_TOKEN",
        _ => "",
    };
    let again = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
    Stopped { why: format!("{url} answered {status}{hint}"), again }
}

fn starts_at(response: &Response, have: u64) -> bool {
    let range = response.headers().get(header::CONTENT_RANGE).and_then(|value| value.to_str().ok());
    range.is_some_and(|range| range.starts_with(&format!("bytes {have}-")))
}
