//! PDFs are read by a process of their own: a hostile one may take for ever, or all memory, or make a reader panic.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use crave_recall::document::{TEXT_BYTES_MAX, Unreadable};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::sync::Semaphore;

/// Readers that run at a time; more wait.
pub const AT_ONCE: usize = 2;
/// How long reading may take.
const TIME_MAX: Duration = Duration::from_secs(30);

/// A program that reads a PDF from its input and writes the text; it bounds its own memory. When it exits with another
/// code than 0, its output says why.
#[derive(Clone, Debug)]
pub struct PdfProgram {
    path: PathBuf,
    args: Vec<String>,
    running: Arc<Semaphore>,
}

impl PdfProgram {
    /// The program at `path`, called with `args`; [`AT_ONCE`] run at a time.
    #[must_use]
    pub fn new(path: PathBuf, args: Vec<String>) -> Self {
        Self { path, args, running: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// The text of a PDF.
    ///
    /// # Errors
    /// [`Unreadable`]; a program that cannot be started, or does not end in time, reads nothing.
    pub async fn text(&self, pdf: &[u8]) -> Result<String, Unreadable> {
        let failed = |what: &str| Unreadable::NotPdf(what.to_owned());
        let _running = self.running.acquire().await.map_err(|_| failed("the server is stopping"))?;
        let child = Command::new(&self.path)
            .args(&self.args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let mut child = child.map_err(|_| failed("the program that reads it cannot be started"))?;
        let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed("the program that reads it has no input"));
        };
        let talk = async {
            let write = async {
                // It may end before it has read all.
                let _ = input.write_all(pdf).await;
                drop(input);
            };
            let read = async {
                let mut text = Vec::new();
                let limit = u64::try_from(TEXT_BYTES_MAX).unwrap_or(u64::MAX) + 1;
                output.take(limit).read_to_end(&mut text).await.map(|_| text)
            };
            let ((), text) = tokio::join!(write, read);
            let text = text.map_err(|_| failed("its text cannot be read"))?;
            if text.len() > TEXT_BYTES_MAX {
                return Err(Unreadable::TooLong);
            }
            let status = child.wait().await.map_err(|_| failed("its reader was lost"))?;
            let text = String::from_utf8(text).map_err(|_| failed("its text is not UTF-8"))?;
            match status.code() {
                Some(0) if text.trim().is_empty() => Err(Unreadable::Empty),
                Some(0) => Ok(text),
                Some(_) if !text.is_empty() => Err(failed(text.trim())),
                _ => Err(failed("it takes too much memory or time")),
            }
        };
        let spoken = tokio::time::timeout(TIME_MAX, talk).await;
        spoken.unwrap_or_else(|_| Err(failed("it takes too much memory or time")))
    }
}
