//! Text to tokens and back: the folder's tokenizer, pieces of text as tokens come, stop strings.

use std::path::Path;

use tokenizers::Tokenizer;

use crate::{Error, Result};

/// The tokenizer of a model's folder.
#[derive(Debug)]
pub struct Text {
    tokenizer: Tokenizer,
}

impl Text {
    /// Reads `tokenizer.json` of `dir`.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read, [`Error::Model`] when it is not there or no tokenizer.
    pub fn load(dir: &Path) -> Result<Self> {
        let path = dir.join("tokenizer.json");
        let bytes = std::fs::read(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::model(
                dir,
                "it has no tokenizer.json; put the original model's beside the weights (a GGUF file's own vocabulary is \
                 not read)",
            ),
            _ => Error::io("read", &path, error),
        })?;
        let mut tokenizer = Tokenizer::from_bytes(bytes)
            .map_err(|error| Error::model(dir, format!("tokenizer.json: {error}")))?;
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(None)
            .map_err(|error| Error::model(dir, format!("tokenizer.json: {error}")))?;
        Ok(Self { tokenizer })
    }

    /// The tokens of a text, special tokens in it recognised; `special` adds those of the tokenizer's own (a rendered
    /// chat template has them already).
    ///
    /// # Errors
    /// [`Error::Invalid`] when the tokenizer refuses the text.
    pub fn encode(&self, text: &str, special: bool) -> Result<Vec<u32>> {
        match self.tokenizer.encode_fast(text, special) {
            Ok(encoding) => Ok(encoding.get_ids().to_vec()),
            Err(error) => Err(Error::invalid("prompt", format!("cannot be made into tokens: {error}"))),
        }
    }

    /// The text of tokens, without special ones. Tokens that the tokenizer does not know have none.
    #[must_use]
    pub fn decode(&self, tokens: &[u32]) -> String {
        self.tokenizer.decode(tokens, true).unwrap_or_default()
    }
}

/// Text as its tokens come: a piece is given out once no later token can change it.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    tokens: Vec<u32>,
    /// Tokens from here on are decoded again, since a tokenizer may join a token's text to the one before.
    context: usize,
    /// Tokens up to here are given out.
    given: usize,
}

impl Pieces {
    /// The text that `token` completes; empty while it ends within a character.
    pub(crate) fn push(&mut self, token: u32, text: &Text) -> String {
        self.tokens.push(token);
        self.take(text, false)
    }

    /// What is left, a torn character included.
    pub(crate) fn finish(&mut self, text: &Text) -> String {
        self.take(text, true)
    }

    fn take(&mut self, text: &Text, last: bool) -> String {
        let before = text.decode(&self.tokens[self.context..self.given]);
        let after = text.decode(&self.tokens[self.context..]);
        if !last && after.ends_with(char::REPLACEMENT_CHARACTER) {
            return String::new();
        }
        let Some(piece) = after.get(before.len()..).filter(|piece| !piece.is_empty()) else {
            return String::new();
        };
        (self.context, self.given) = (self.given, self.tokens.len());
        piece.to_owned()
    }
}

/// Holds back text that may turn out to be the start of a stop string.
#[derive(Debug, Default)]
pub(crate) struct Stops {
    stops: Vec<String>,
    held: String,
}

impl Stops {
    pub(crate) fn new(stops: Vec<String>) -> Self {
        Self { stops, held: String::new() }
    }

    /// The text that may be given out, and whether a stop string has come; neither it nor what follows is given out.
    pub(crate) fn push(&mut self, piece: &str) -> (String, bool) {
        self.held.push_str(piece);
        if let Some(at) = self.stops.iter().filter_map(|stop| self.held.find(stop.as_str())).min() {
            self.held.truncate(at);
            return (std::mem::take(&mut self.held), true);
        }
        let starts =
            |(at, _): &(usize, char)| self.stops.iter().any(|stop| stop.starts_with(&self.held[*at..]));
        let keep = self.held.char_indices().find(starts).map_or(self.held.len(), |(at, _)| at);
        let kept = self.held.split_off(keep);
        (std::mem::replace(&mut self.held, kept), false)
    }

    pub(crate) fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(stops: &[&str], pieces: &[&str]) -> (Vec<String>, bool) {
        let mut held = Stops::new(stops.iter().map(ToString::to_string).collect());
        let mut out = Vec::new();
        for piece in pieces {
            let (text, stopped) = held.push(piece);
            out.push(text);
            if stopped {
                return (out, true);
            }
        }
        out.push(held.finish());
        (out, false)
    }

    #[test]
    fn stop_strings_are_found_across_pieces_and_never_shown() {
        for (stops, pieces, shown, stopped) in [
            (&["END"][..], &["one E", "ND two"][..], &["one ", ""][..], true),
            (&["END"], &["one E", "N"], &["one ", "", "EN"], false),
            (&["END"], &["EE", "ND"], &["E", ""], true),
            (&["b", "ab"], &["xab"], &["x"], true),
            (&["é!"], &["café", "s"], &["caf", "és", ""], false),
            (&[], &["all", "of it"], &["all", "of it", ""], false),
        ] {
            let (out, found) = run(stops, pieces);
            assert_eq!(
                (out.as_slice(), found),
                (&shown.iter().map(ToString::to_string).collect::<Vec<_>>()[..], stopped)
            );
        }
    }
}
