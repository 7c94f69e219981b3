//! Walks the elements of an export and yields one item a record.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::{self, BufRead};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use crave_schemas::UserId;
use quick_xml::events::{BytesStart, Event as Xml};
use quick_xml::{Error, Reader};

use super::element::Attributes;
use super::prologue::{self, Body};
use super::workout::Totals;
use super::{ELEMENT_BYTES_MAX, record, summary, workout};
use crate::import::bounded::{Bounded, over_budget};
use crate::import::{ImportItem, Reason, Rejected};

/// Deepest nesting; real exports have five levels.
const DEPTH_MAX: u32 = 64;
/// Longest name of a record type kept for the report, in characters.
const LABEL_CHARS_MAX: usize = 96;

/// The items of an export; see [`super::items`].
#[derive(Debug)]
pub struct Items<R: BufRead> {
    source: Source<R>,
    user: UserId,
    now: DateTime<Utc>,
    buf: Vec<u8>,
    depth: u32,
    /// The record whose children are being read.
    open: Option<Open>,
    record: u64,
    ready: VecDeque<ImportItem>,
}

#[derive(Debug)]
enum Source<R: BufRead> {
    New(R),
    Open {
        xml: Box<Reader<Bounded<Body<R>>>>,
        /// Bytes before the root element.
        before: u64,
        root_closed: bool,
    },
    Done,
}

/// A record that waits for its children.
#[derive(Debug)]
struct Open {
    element: Element,
    at: u64,
    depth: u32,
    attributes: Result<Attributes, Rejected>,
    tz: Option<Tz>,
    totals: Totals,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Element {
    Record,
    Workout,
    Summary,
    /// A record of a kind that is not read at all: clinical records, audiograms, prescriptions.
    Other,
}

impl<R: BufRead> Items<R> {
    pub(super) fn new(read: R, user: UserId, now: DateTime<Utc>) -> Self {
        Self {
            source: Source::New(read),
            user,
            now,
            buf: Vec::new(),
            depth: 0,
            open: None,
            record: 0,
            ready: VecDeque::new(),
        }
    }

    fn start(&mut self) {
        let Source::New(read) = std::mem::replace(&mut self.source, Source::Done) else { return };
        match prologue::skip(read) {
            Ok((body, before)) => {
                let mut xml = Reader::from_reader(Bounded::new(body, ELEMENT_BYTES_MAX));
                // Elements stand alone, so a wrong end tag need not stop the import.
                xml.config_mut().check_end_names = false;
                xml.config_mut().allow_unmatched_ends = true;
                self.source = Source::Open { xml: Box::new(xml), before, root_closed: false };
            }
            Err(rejected) => self.end(0, rejected),
        }
    }

    /// Reads one piece of markup.
    fn step(&mut self) {
        let Source::Open { xml, before, root_closed } = &mut self.source else { return };
        let at = *before + xml.buffer_position();
        let mut buf = std::mem::take(&mut self.buf);
        buf.clear();
        xml.get_mut().renew();
        match xml.read_event_into(&mut buf) {
            Ok(Xml::Start(tag)) => {
                self.depth += 1;
                if self.depth > DEPTH_MAX {
                    let detail = format!("elements are nested more than {DEPTH_MAX} deep");
                    self.end(at, Rejected::last(Reason::Malformed, detail));
                } else {
                    self.enter(&tag, at);
                }
            }
            Ok(Xml::Empty(tag)) => {
                self.depth += 1;
                self.enter(&tag, at);
                self.leave();
            }
            Ok(Xml::End(tag)) => {
                *root_closed |= tag.name().as_ref() == b"HealthData";
                self.leave();
            }
            Ok(Xml::Eof) if *root_closed => self.source = Source::Done,
            Ok(Xml::Eof) => self.end(at, cut()),
            Ok(_) => {}
            Err(error) => self.end(at, fatal(&error)),
        }
        self.buf = buf;
    }

    fn enter(&mut self, tag: &BytesStart<'_>, at: u64) {
        let name = tag.name();
        let element = match name.as_ref() {
            b"Record" => Element::Record,
            b"Workout" => Element::Workout,
            b"ActivitySummary" => Element::Summary,
            b"HealthData" | b"ExportDate" | b"Me" | b"Correlation" => return,
            child => {
                if self.open.is_some() {
                    self.child(child, tag);
                    return;
                }
                // Not inside a record: at the top level it is a kind of record we do not read.
                if self.depth != 2 {
                    return;
                }
                Element::Other
            }
        };
        self.finish();
        let mut attributes = Attributes::of(tag);
        if element == Element::Other {
            let name = String::from_utf8_lossy(name.as_ref());
            let label: String = name.chars().take(LABEL_CHARS_MAX).collect();
            attributes = Err(Rejected::new(
                Reason::UnsupportedType,
                label,
                "is a kind of record that has no event here",
            ));
        }
        self.open =
            Some(Open { element, at, depth: self.depth, attributes, tz: None, totals: Totals::default() });
    }

    fn child(&mut self, name: &[u8], tag: &BytesStart<'_>) {
        let Some(open) = &mut self.open else { return };
        // Only direct children: the parts of a workout (iOS 16) have statistics of their own.
        if self.depth != open.depth + 1 || !matches!(name, b"MetadataEntry" | b"WorkoutStatistics") {
            return;
        }
        let Ok(attributes) = Attributes::of(tag) else { return };
        if name == b"WorkoutStatistics" {
            open.totals.add(&attributes);
        } else if attributes.get("key") == Some("HKTimeZone") {
            open.tz = attributes.get("value").and_then(|zone| zone.parse().ok());
        }
    }

    fn leave(&mut self) {
        if self.open.as_ref().is_some_and(|open| open.depth >= self.depth) {
            self.finish();
        }
        self.depth = self.depth.saturating_sub(1);
    }

    /// Yields the record that was open.
    fn finish(&mut self) {
        let Some(Open { element, at, attributes, tz, totals, .. }) = self.open.take() else { return };
        self.record += 1;
        let label = label(element, &attributes);
        let what = attributes
            .and_then(|a| match element {
                Element::Record => record::draft(&a, tz),
                Element::Workout => workout::draft(&a, tz, totals),
                Element::Summary => summary::draft(&a, self.now),
                Element::Other => Err(Rejected::new(Reason::UnsupportedType, "", "has no event here")),
            })
            .and_then(|draft| draft.event(&self.user, self.now));
        self.ready.push_back(ImportItem { record: self.record, at, label, what });
    }

    /// Yields a last item that says why reading ends.
    fn end(&mut self, at: u64, rejected: Rejected) {
        // A record whose children were cut off is the record that was cut.
        let (at, label) = match self.open.take() {
            Some(open) => (open.at, label(open.element, &open.attributes)),
            None => (at, Cow::Borrowed("(end of file)")),
        };
        self.source = Source::Done;
        self.record += 1;
        self.ready.push_back(ImportItem { record: self.record, at, label, what: Err(rejected) });
    }
}

impl<R: BufRead> Iterator for Items<R> {
    type Item = ImportItem;

    fn next(&mut self) -> Option<ImportItem> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Some(item);
            }
            match self.source {
                Source::New(_) => self.start(),
                Source::Open { .. } => self.step(),
                Source::Done => return None,
            }
        }
    }
}

fn label(element: Element, attributes: &Result<Attributes, Rejected>) -> Cow<'static, str> {
    match (element, attributes) {
        (Element::Workout, _) => "Workout".into(),
        (Element::Summary, _) => "ActivitySummary".into(),
        (Element::Other, Err(rejected)) => rejected.field.clone().into(),
        (_, Ok(attributes)) => attributes
            .get("type")
            .unwrap_or("Record")
            .chars()
            .take(LABEL_CHARS_MAX)
            .collect::<String>()
            .into(),
        (_, Err(_)) => "Record".into(),
    }
}

fn cut() -> Rejected {
    Rejected::last(
        Reason::Truncated,
        "the file ends before </HealthData>: everything up to here was read; export or copy it again and import \
         it once more for the rest",
    )
}

fn fatal(error: &Error) -> Rejected {
    match error {
        Error::Io(error) => broken(error),
        Error::Syntax(quick_xml::errors::SyntaxError::InvalidBangMarkup) => {
            Rejected::last(Reason::Malformed, "this is not XML")
        }
        Error::Syntax(_) => cut(),
        _ => Rejected::last(Reason::Malformed, "this is not XML"),
    }
}

/// Why the text cannot be read on.
pub(super) fn broken(error: &io::Error) -> Rejected {
    if let Some(over) = over_budget(error) {
        return Rejected::last(Reason::TooLarge, format!("{over}: is a quote not closed?"));
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof => cut(),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => Rejected::last(
            Reason::Unreadable,
            "the compressed data is damaged: export or copy the file again",
        ),
        kind => Rejected::last(Reason::Unreadable, format!("the file cannot be read on ({kind})")),
    }
}
