//! Text out of what a person uploads: plain text, Markdown, PDF and exports of chats. Pure.
//!
//! [`extract`] gives the text that passages and citations point into, [`passages`] cuts it into overlapping pieces with
//! their byte ranges and, where the text tells it (chats), when each was written.

mod chat;
mod pdf;

use std::ops::Range;

use chrono::NaiveDateTime;

use crate::chunk::split;

/// Longest document, in bytes.
pub const DOCUMENT_BYTES_MAX: usize = 10 << 20;
/// Longest text that is taken from one: a page of a PDF may unfold to much more than it weighs.
pub const TEXT_BYTES_MAX: usize = 16 << 20;
/// New bytes of a passage: with its overlap about 200 tokens, less than the model reads.
const PASSAGE_BYTES: usize = 640;
/// What a passage may repeat of the one before it: the end of a thought that was cut in two.
const OVERLAP_BYTES: usize = 160;

/// What a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text in UTF-8: notes, Markdown, a chat exported as text (WhatsApp).
    Text,
    /// A chat exported as JSON (Telegram's `result.json`).
    ChatJson,
    /// PDF with text in it; scanned pages have none.
    Pdf,
}

impl Format {
    /// The format of a file called `name`, or of this media type; `None` when it is none of ours.
    #[must_use]
    pub fn of(name: &str, media_type: Option<&str>) -> Option<Self> {
        let by_name = match name.rsplit_once('.').map(|(_, end)| end.to_ascii_lowercase()).as_deref() {
            Some("txt" | "text" | "md" | "markdown") => Some(Self::Text),
            Some("json") => Some(Self::ChatJson),
            Some("pdf") => Some(Self::Pdf),
            _ => None,
        };
        let media_type = media_type.map(|m| m.split(';').next().unwrap_or(m).trim().to_ascii_lowercase());
        by_name.or(match media_type.as_deref() {
            Some("text/plain" | "text/markdown") => Some(Self::Text),
            Some("application/pdf") => Some(Self::Pdf),
            Some("application/json") => Some(Self::ChatJson),
            _ => None,
        })
    }
}

/// Why a document gives no text; the message is for the person who sent it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is larger than [`DOCUMENT_BYTES_MAX`].
    #[error("is larger than {} MiB; split it", DOCUMENT_BYTES_MAX >> 20)]
    TooLarge,
    /// Not UTF-8.
    #[error("is not text in UTF-8 (byte {0}); save it as UTF-8 and send it again")]
    NotText(usize),
    /// Not an export that we know.
    #[error("is not a chat export: {0}; export it from Telegram as JSON, or from WhatsApp as text")]
    NotChat(String),
    /// Not a PDF that can be read.
    #[error("is not a PDF that can be read: {0}; save it as PDF once more, or send its text")]
    NotPdf(String),
    /// Nothing to remember.
    #[error("holds no text; a scanned document needs text recognition first")]
    Empty,
    /// More text than [`TEXT_BYTES_MAX`].
    #[error("holds more than {} MiB of text; split it", TEXT_BYTES_MAX >> 20)]
    TooLong,
}

/// The text of a document. Of text it is the document itself, so that a byte range holds for both.
///
/// # Errors
/// [`Unreadable`], with what to do. A hostile PDF may take long or much memory: read those in a process of their own.
pub fn extract(format: Format, bytes: &[u8]) -> Result<String, Unreadable> {
    if bytes.len() > DOCUMENT_BYTES_MAX {
        return Err(Unreadable::TooLarge);
    }
    let text = match format {
        Format::Text => utf8(bytes)?.to_owned(),
        Format::ChatJson => chat::from_json(utf8(bytes)?)?,
        Format::Pdf => pdf::text(bytes)?,
    };
    if text.trim().is_empty() {
        return Err(Unreadable::Empty);
    }
    if text.len() > TEXT_BYTES_MAX {
        return Err(Unreadable::TooLong);
    }
    Ok(text)
}

fn utf8(bytes: &[u8]) -> Result<&str, Unreadable> {
    std::str::from_utf8(bytes).map_err(|error| Unreadable::NotText(error.valid_up_to()))
}

/// A piece of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    /// Its place in the text, in bytes.
    pub bytes: Range<usize>,
    /// When it was written, by the clock on the wall of who wrote it; `None` where the text does not tell.
    pub written: Option<NaiveDateTime>,
}

/// Cuts a text into passages of about 640 new bytes, each but the first beginning with the end of the one before: the
/// last sentence, of at most 160 bytes.
#[must_use]
pub fn passages(text: &str) -> Vec<Passage> {
    let moments = chat::moments(text);
    let written = |at: usize| {
        let next = moments.partition_point(|(from, _)| *from <= at);
        next.checked_sub(1).and_then(|i| moments.get(i)).map(|(_, written)| *written)
    };
    let pieces = split(text, PASSAGE_BYTES).into_iter();
    let pieces = pieces.filter(|piece| text.get(piece.clone()).is_some_and(|t| !t.trim().is_empty()));
    let passage = |piece: Range<usize>| {
        let begin = overlap(text, piece.start);
        // A passage is as old as what is new in it.
        let first = text.get(piece.clone()).unwrap_or_default();
        let at = piece.start + (first.len() - first.trim_start().len());
        Passage { bytes: begin..piece.end, written: written(at) }
    };
    pieces.map(passage).collect()
}

/// Where the last sentence before `at` begins; `at` itself when it is too long to repeat.
fn overlap(text: &str, at: usize) -> usize {
    let from = text.floor_char_boundary(at.saturating_sub(OVERLAP_BYTES));
    let Some(before) = text.get(from..at) else { return at };
    let body = before.trim_end();
    // The sentence that ends here, not the end itself.
    let inner = body.get(..body.len().saturating_sub(1)).map_or(0, str::len);
    let inner = body.get(..body.floor_char_boundary(inner)).unwrap_or_default();
    let ends = [". ", "! ", "? ", "\n"].iter().filter_map(|mark| inner.rfind(mark).map(|i| i + mark.len()));
    match ends.max() {
        Some(start) => from + start,
        None if from == 0 => 0,
        None => at,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_format_is_known_by_name_or_media_type() {
        let table = [
            ("diary.TXT", None, Some(Format::Text)),
            ("notes.md", None, Some(Format::Text)),
            ("result.json", None, Some(Format::ChatJson)),
            ("letter.pdf", Some("application/octet-stream"), Some(Format::Pdf)),
            ("letter", Some("Application/PDF"), Some(Format::Pdf)),
            ("letter", Some("text/plain; charset=utf-8"), Some(Format::Text)),
            ("photo.jpg", Some("image/jpeg"), None),
            ("archive", None, None),
        ];
        for (name, media_type, expected) in table {
            assert_eq!(Format::of(name, media_type), expected, "{name} {media_type:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        assert_eq!(extract(Format::Text, b"ab\xff"), Err(Unreadable::NotText(2)));
        assert_eq!(extract(Format::Text, b" \n"), Err(Unreadable::Empty));
        assert_eq!(extract(Format::Text, &vec![b'a'; DOCUMENT_BYTES_MAX + 1]), Err(Unreadable::TooLarge));
        assert!(matches!(extract(Format::ChatJson, b"{}"), Err(Unreadable::NotChat(_))));
        assert!(matches!(extract(Format::Pdf, b"%PDF-1.4 cut"), Err(Unreadable::NotPdf(_))));
    }

    #[test]
    fn a_passage_begins_with_the_last_sentence_of_the_one_before() {
        let text = "I went for a walk after dinner today. ".repeat(60);
        let passages = passages(&text);
        assert!(passages.len() > 3);
        for pair in passages.windows(2) {
            let shared = &text[pair[1].bytes.start..pair[0].bytes.end];
            assert_eq!(shared, "I went for a walk after dinner today. ");
            assert!(pair[1].bytes.len() <= PASSAGE_BYTES + OVERLAP_BYTES);
        }
    }

    #[test]
    fn a_passage_of_a_chat_knows_when_it_was_written() {
        let line = |day: u32| format!("[{day:02}.03.24, 21:15:03] Ana: {}\n", "craving again ".repeat(40));
        let text = format!("{}{}", line(12), line(13));
        let days: Vec<_> =
            passages(&text).iter().map(|p| p.written.unwrap().format("%Y-%m-%d").to_string()).collect();
        assert_eq!(days, ["2024-03-12", "2024-03-13"]);
        assert_eq!(passages("No dates here.")[0].written, None);
    }

    proptest! {
        #[test]
        fn passages_cover_all_that_is_not_blank(text in "[a-zé🙂 .!?\n]{0,3000}") {
            let passages = passages(&text);
            let mut covered = vec![false; text.len()];
            for passage in &passages {
                prop_assert!(text.get(passage.bytes.clone()).is_some_and(|t| !t.trim().is_empty()));
                prop_assert!(passage.bytes.len() <= PASSAGE_BYTES + OVERLAP_BYTES);
                covered[passage.bytes.clone()].fill(true);
            }
            for (at, byte) in text.bytes().enumerate() {
                prop_assert!(covered[at] || byte.is_ascii_whitespace(), "byte {} is in no passage", at);
            }
        }

        #[test]
        fn nothing_that_is_sent_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400), format in 0_usize..3) {
            let format = [Format::Text, Format::ChatJson, Format::Pdf][format];
            let _ = extract(format, &bytes);
            if let Ok(text) = std::str::from_utf8(&bytes) {
                let _ = passages(text);
            }
        }
    }
}
