//! `crave emotion < texts`: what each line tells of a craving, its trigger, company, place and emotions.
//!
//! Whatever comes in has its line in what goes out: of one that is too long the start is read, and bytes that are no
//! UTF-8 are read as signs that mean nothing; both are told.

use std::{
    io::{self, BufRead, Read as _, Write as _},
    process::ExitCode,
};

use anyhow::Context as _;
use crave_recall::{LIMITS, MiniLm, Understander, Understanding, understand::Label};
use serde_json::json;

use crate::home::Home;

/// Lines read at once.
const BATCH_LINES: usize = 256;

pub(crate) async fn run(home: &Home, json: bool) -> anyhow::Result<ExitCode> {
    let model = MiniLm::load_if_present(&home.models())?;
    if model.is_none() {
        eprintln!("crave: no embedding model here, reading by words alone; run `crave models pull`");
    }
    let reader = Understander::new(model)?;
    let (mut input, mut out) = (io::stdin().lock(), io::stdout().lock());
    let mut line_n = 0_u64;
    loop {
        let mut lines = Vec::with_capacity(BATCH_LINES);
        while lines.len() < BATCH_LINES {
            let Some(line) = next(&mut input).context("reading")? else { break };
            lines.push(line);
        }
        if lines.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        let texts: Vec<String> = lines.iter().map(|line| line.text.clone()).collect();
        for (line, understood) in lines.iter().zip(reader.understand(&texts).await?) {
            line_n += 1;
            if json {
                writeln!(out, "{}", object(line_n, line, &understood)?)?;
            } else {
                writeln!(out, "{line_n}: {}", plain(&understood))?;
            }
        }
    }
}

/// A line of the input.
#[derive(Debug, PartialEq)]
struct Line {
    text: String,
    /// It is longer than what is read at a time.
    cut: bool,
    /// It has bytes that are no UTF-8.
    invalid_utf8: bool,
}

/// The next line; of a long one only the start is ever in memory.
fn next(input: &mut impl BufRead) -> io::Result<Option<Line>> {
    let mut bytes = Vec::new();
    let max = LIMITS.text_bytes_max;
    if input.by_ref().take(u64::try_from(max).unwrap_or(u64::MAX)).read_until(b'\n', &mut bytes)? == 0 {
        return Ok(None);
    }
    let ended = bytes.pop_if(|last| *last == b'\n').is_some();
    let cut = !ended && bytes.len() == max && skip_line(input)? > 0;
    let whole: &[u8] = match std::str::from_utf8(&bytes) {
        // Cut within a character.
        Err(error) if cut && error.error_len().is_none() => {
            bytes.get(..error.valid_up_to()).unwrap_or_default()
        }
        _ => &bytes,
    };
    let mut text = String::from_utf8_lossy(whole).into_owned();
    let invalid_utf8 = std::str::from_utf8(whole).is_err();
    // The sign for what is no UTF-8 is longer than the byte that it stands for.
    text.truncate(text.floor_char_boundary(max));
    Ok(Some(Line { text, cut, invalid_utf8 }))
}

/// Passes over the rest of a line; says how many bytes of it there were.
fn skip_line(input: &mut impl BufRead) -> io::Result<u64> {
    let mut skipped = 0;
    loop {
        let held = input.fill_buf()?;
        let (used, ended) = match held.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (held.len(), held.is_empty()),
        };
        skipped += u64::try_from(if ended { used.saturating_sub(1) } else { used }).unwrap_or(u64::MAX);
        input.consume(used);
        if ended {
            return Ok(skipped);
        }
    }
}

fn object(line_n: u64, line: &Line, understood: &Understanding) -> anyhow::Result<serde_json::Value> {
    let mut object = json!({ "line": line_n });
    if let Some(fields) = object.as_object_mut() {
        if line.cut {
            fields.insert("read_bytes".to_owned(), json!(line.text.len()));
        }
        if line.invalid_utf8 {
            fields.insert("invalid_utf8".to_owned(), json!(true));
        }
        if let serde_json::Value::Object(labels) = serde_json::to_value(understood)? {
            fields.extend(labels);
        }
    }
    Ok(object)
}

fn plain(understood: &Understanding) -> String {
    let labels = |labels: &[Label]| {
        labels.iter().map(|l| format!("{} {:.2}", l.label, l.confidence)).collect::<Vec<_>>().join(", ")
    };
    let kinds = [
        ("craved", &understood.craved),
        ("trigger", &understood.trigger),
        ("company", &understood.company),
        ("place", &understood.place),
        ("emotions", &understood.emotions),
    ];
    let kinds = kinds.iter().filter(|(_, list)| !list.is_empty());
    let told: Vec<String> = kinds.map(|(kind, list)| format!("; {kind}: {}", labels(list))).collect();
    format!("craving {}{}", labels(&[understood.craving]), told.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(mut input: &[u8]) -> Vec<Line> {
        std::iter::from_fn(|| next(&mut input).unwrap()).collect()
    }

    #[test]
    fn every_line_is_read_whatever_is_in_it() {
        let max = LIMITS.text_bytes_max;
        let read = lines(b"one\n\n\xff\xfe two\nlast");
        let texts: Vec<&str> = read.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(texts, ["one", "", "\u{fffd}\u{fffd} two", "last"]);
        assert_eq!(
            read.iter().map(|line| line.invalid_utf8).collect::<Vec<_>>(),
            [false, false, true, false]
        );
        let just = [vec![b'x'; max], b"\nnext".to_vec()].concat();
        assert_eq!(lines(&just).iter().map(|line| line.cut).collect::<Vec<_>>(), [false, false]);
        let long = [b"x".to_vec(), "\u{e9}".repeat(max).into_bytes(), b"\nnext\n".to_vec()].concat();
        let read = lines(&long);
        assert_eq!((read.len(), read[0].cut, read[0].invalid_utf8), (2, true, false));
        assert!(read[0].text.len() <= max && read[1].text == "next");
        let broken = lines(&vec![0xff; 3 * max]);
        assert!(broken.len() == 1 && broken[0].text.len() <= max && broken[0].invalid_utf8);
    }
}
