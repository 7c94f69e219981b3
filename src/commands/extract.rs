//! `crave extract-pdf`: the text of a PDF from standard input, for the server, which reads none itself.

use std::io::{Read as _, Write as _};
use std::process::ExitCode;

use crave_recall::document::{DOCUMENT_BYTES_MAX, Format, extract};
use rustix::process::{Resource, Rlimit, setrlimit};

/// Address space that reading may take: the allocator's own, and many times the largest document.
const MEMORY_MAX: u64 = 4 << 30;
/// Seconds of one core.
const CPU_S_MAX: u64 = 20;

/// Writes the text and ends with 0, or writes why not and ends with 1.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let to = |limit: u64| Rlimit { current: Some(limit), maximum: Some(limit) };
    setrlimit(Resource::As, to(MEMORY_MAX))?;
    setrlimit(Resource::Cpu, to(CPU_S_MAX))?;
    setrlimit(Resource::Core, to(0))?;
    let mut pdf = Vec::new();
    let limit = u64::try_from(DOCUMENT_BYTES_MAX)? + 1;
    std::io::stdin().lock().take(limit).read_to_end(&mut pdf)?;
    match extract(Format::Pdf, &pdf) {
        Ok(text) => {
            std::io::stdout().lock().write_all(text.as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
        Err(crave_recall::document::Unreadable::NotPdf(why)) => {
            println!("{why}");
            Ok(ExitCode::FAILURE)
        }
        Err(why) => {
            println!("it {why}");
            Ok(ExitCode::FAILURE)
        }
    }
}
