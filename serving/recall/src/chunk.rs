//! Cuts long texts where a reader would pause. Pure.
//!
//! The model reads 256 tokens of a text and passes over the rest, so a journal entry becomes several memories. The
//! pieces follow each other without a gap; each tells its byte range, so that a citation can open the exact span.

use std::ops::Range;

use serde_json::json;

use crate::Memory;

/// Longest piece, in bytes: about 200 tokens of English, and still under 256 where words are rare.
pub const CHUNK_BYTES_MAX: usize = 800;

/// The attribute that tells a chunk's place in its source: `[from, to)` in bytes.
pub const BYTES_ATTRIBUTE: &str = "bytes";

/// Cuts `text` into ranges of at most `bytes_max` bytes (at least 4, so that any character fits) which together are
/// the whole of it: after a paragraph if one ends in the second half of a piece, else after a sentence, else after a
/// word, else between two characters.
#[must_use]
pub fn split(text: &str, bytes_max: usize) -> Vec<Range<usize>> {
    let bytes_max = bytes_max.max(4);
    let (mut pieces, mut from) = (Vec::new(), 0);
    while let Some(rest) = text.get(from..).filter(|rest| !rest.is_empty()) {
        let length = if rest.len() <= bytes_max { rest.len() } else { cut(rest, bytes_max) };
        pieces.push(from..from + length);
        from += length;
    }
    pieces
}

fn cut(text: &str, bytes_max: usize) -> usize {
    let limit = text.floor_char_boundary(bytes_max);
    let head = text.get(..limit).unwrap_or(text);
    let late = |at: &usize| *at > limit / 2;
    let after = |marks: &[&str]| {
        let ends = marks.iter().filter_map(|mark| head.rfind(mark).map(|at| at + mark.len()));
        ends.max().filter(late)
    };
    after(&["\n\n"])
        .or_else(|| after(&[". ", "! ", "? ", "… ", ".\n", "!\n", "?\n", "。", "\n"]))
        .or_else(|| {
            head.char_indices().rev().find(|(_, c)| c.is_whitespace()).map(|(at, c)| at + c.len_utf8())
        })
        .unwrap_or(limit)
}

impl Memory {
    /// The memory as the chunks it should be stored as: itself if it is short, else pieces of at most
    /// [`CHUNK_BYTES_MAX`] bytes, numbered from 0, each with its byte range in [`BYTES_ATTRIBUTE`].
    #[must_use]
    pub fn into_chunks(self) -> Vec<Self> {
        if self.text.len() <= CHUNK_BYTES_MAX {
            return vec![self];
        }
        let ranges = split(&self.text, CHUNK_BYTES_MAX);
        let pieces = ranges.into_iter().filter_map(|range| {
            let text = self.text.get(range.clone())?;
            (!text.trim().is_empty()).then(|| (range, text.to_owned()))
        });
        (0..)
            .zip(pieces)
            .map(|(chunk, (range, text))| {
                let mut attributes = self.attributes.clone();
                attributes.insert(BYTES_ATTRIBUTE.to_owned(), json!([range.start, range.end]));
                Self {
                    user_id: self.user_id.clone(),
                    source_kind: self.source_kind,
                    source_id: self.source_id.clone(),
                    chunk,
                    revision: self.revision,
                    event_time: self.event_time,
                    text,
                    attributes,
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use crave_schemas::UserId;
    use proptest::prelude::*;

    use super::*;
    use crate::SourceKind;

    fn pieces(text: &str, bytes_max: usize) -> Vec<&str> {
        split(text, bytes_max).into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn cuts_where_a_reader_pauses() {
        let table: &[(&str, usize, &[&str])] = &[
            ("", 10, &[]),
            ("short", 10, &["short"]),
            ("One two. Three four five", 14, &["One two. ", "Three four ", "five"]),
            ("First line\n\nSecond. Third", 20, &["First line\n\n", "Second. Third"]),
            // A sentence that ends early in the piece is no reason to cut there.
            ("Hi. abcdefgh ijkl mnop", 16, &["Hi. abcdefgh ", "ijkl mnop"]),
            ("abcdefghij", 4, &["abcd", "efgh", "ij"]),
            ("ééééé", 5, &["éé", "éé", "é"]),
            ("🙂🙂", 1, &["🙂", "🙂"]),
        ];
        for (text, bytes_max, expected) in table {
            assert_eq!(&pieces(text, *bytes_max), expected, "{text:?}");
        }
    }

    #[test]
    fn chunks_carry_their_place() {
        let text = format!("{}\n\n{}", "A day at work. ".repeat(40), "An evening at home. ".repeat(30));
        let whole =
            Memory::new(UserId::new("u").unwrap(), SourceKind::Journal, "j1", DateTime::UNIX_EPOCH, text);
        let chunks = whole.clone().into_chunks();
        assert!(chunks.len() == 2, "{}", chunks.len());
        for (number, chunk) in (0..).zip(&chunks) {
            chunk.check().unwrap();
            let place = chunk.attributes[BYTES_ATTRIBUTE].as_array().unwrap();
            let place = |at: usize| usize::try_from(place[at].as_u64().unwrap()).unwrap();
            assert_eq!((chunk.chunk, chunk.text.as_str()), (number, &whole.text[place(0)..place(1)]));
        }
        let short = Memory { text: "short".to_owned(), ..whole };
        assert_eq!(short.clone().into_chunks(), [short]);
    }

    proptest! {
        #[test]
        fn pieces_are_the_whole_and_none_is_too_long(text in "[a-zé🙂 .\n]{0,200}", bytes_max in 0_usize..50) {
            let pieces = pieces(&text, bytes_max);
            prop_assert_eq!(pieces.concat(), text.as_str());
            prop_assert!(pieces.iter().all(|piece| !piece.is_empty() && piece.len() <= bytes_max.max(4)));
        }
    }
}
