//! Walks the export and yields one item a point, workout or other element.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::BufRead;

use chrono::{DateTime, Utc};
use crave_schemas::UserId;

use super::json::{Fault, Json};
use super::metric::{self, Object};
use super::workout;
use crate::import::draft::Draft;
use crate::import::{ImportItem, Reason, Rejected};

/// Largest point of a metric, in bytes.
const POINT_BYTES_MAX: usize = 64 * 1024;
/// Largest workout, in bytes: routes and heart rates second by second are in it.
const WORKOUT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most bytes of points that wait for the name and units of their metric.
const WAITING_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Longest label kept for the report, in characters.
const LABEL_CHARS_MAX: usize = 96;

/// The items of an export; see [`super::items`].
#[derive(Debug)]
pub struct Items<R> {
    json: Json<R>,
    place: Place,
    /// Whether the next member or element is the first of its container, for each place.
    first: [bool; 5],
    section: String,
    metric: Metric,
    /// Whether anything of the expected shape was met.
    known_shape: bool,
    /// Whether `data` stands around the sections.
    wrapped: bool,
    user: UserId,
    now: DateTime<Utc>,
    record: u64,
    ready: VecDeque<ImportItem>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Start,
    Root,
    Data,
    Section,
    Metric,
    Points,
    Done,
}

#[derive(Debug, Default)]
struct Metric {
    name: Option<String>,
    units: Option<Option<String>>,
    waiting: Vec<(u64, Vec<u8>)>,
    waiting_bytes: usize,
}

impl<R: BufRead> Items<R> {
    pub(super) fn new(read: R, user: UserId, now: DateTime<Utc>) -> Self {
        Self {
            json: Json::new(read),
            place: Place::Start,
            first: [true; 5],
            section: String::new(),
            metric: Metric::default(),
            known_shape: false,
            wrapped: false,
            user,
            now,
            record: 0,
            ready: VecDeque::new(),
        }
    }

    fn step(&mut self) -> Result<(), Fault> {
        match self.place {
            Place::Start => {
                self.json.skip_mark()?;
                self.json.expect(b'{', "an object with the member \"data\"")?;
                self.place = Place::Root;
            }
            Place::Root => match self.json.key(&mut self.first[0])? {
                None if self.known_shape => self.place = Place::Done,
                None => {
                    return Err(Fault::Malformed(
                        "the member \"data\" with \"metrics\" or \"workouts\" in it",
                    ));
                }
                Some(key) if key == "data" && self.json.peek()? == b'{' => {
                    self.json.expect(b'{', "an object")?;
                    self.first[1] = true;
                    (self.place, self.known_shape, self.wrapped) = (Place::Data, true, true);
                }
                Some(key) if key == "metrics" || key == "workouts" => self.enter_section(&key)?,
                Some(_) => self.json.skip()?,
            },
            Place::Data => match self.json.key(&mut self.first[1])? {
                None => (self.place, self.wrapped) = (Place::Root, false),
                Some(key) => self.enter_section(&key)?,
            },
            Place::Section => self.element()?,
            Place::Metric => self.member()?,
            Place::Points => self.point()?,
            Place::Done => {}
        }
        Ok(())
    }

    fn enter_section(&mut self, name: &str) -> Result<(), Fault> {
        self.known_shape = true;
        if self.json.peek()? != b'[' {
            return self.json.skip();
        }
        self.json.expect(b'[', "a list")?;
        self.section = name.chars().take(LABEL_CHARS_MAX).collect();
        self.first[2] = true;
        self.place = Place::Section;
        Ok(())
    }

    fn element(&mut self) -> Result<(), Fault> {
        if !self.json.element(&mut self.first[2])? {
            self.place = if self.wrapped { Place::Data } else { Place::Root };
            return Ok(());
        }
        let is_object = self.json.peek()? == b'{';
        let at = self.json.at;
        match self.section.as_str() {
            "metrics" if is_object => {
                self.json.expect(b'{', "an object")?;
                self.metric = Metric::default();
                self.first[3] = true;
                self.place = Place::Metric;
            }
            "workouts" if is_object => {
                let mut raw = Vec::new();
                let fits = self.json.value(Some(&mut raw), WORKOUT_BYTES_MAX)?;
                let draft =
                    object(fits, &raw, WORKOUT_BYTES_MAX).and_then(|workout| workout::draft(&workout));
                self.yield_item(at, "workouts".into(), draft);
            }
            "metrics" | "workouts" => {
                self.json.skip()?;
                let label = self.section.clone();
                self.yield_item(
                    at,
                    label.into(),
                    Err(Rejected::new(Reason::Malformed, "", "must be an object")),
                );
            }
            _ => {
                self.json.skip()?;
                let rejected =
                    Rejected::new(Reason::UnsupportedType, "", "is a kind of record that has no event here");
                let label = self.section.clone();
                self.yield_item(at, label.into(), Err(rejected));
            }
        }
        Ok(())
    }

    fn member(&mut self) -> Result<(), Fault> {
        match self.json.key(&mut self.first[3])?.as_deref() {
            None => {
                self.metric.units.get_or_insert(None);
                self.flush();
                self.place = Place::Section;
            }
            Some("name") => self.metric.name = self.json.text()?,
            Some("units") => self.metric.units = Some(self.json.text()?),
            Some("data") if self.json.peek()? == b'[' => {
                self.json.expect(b'[', "a list")?;
                self.first[4] = true;
                self.place = Place::Points;
            }
            Some(_) => self.json.skip()?,
        }
        Ok(())
    }

    fn point(&mut self) -> Result<(), Fault> {
        if !self.json.element(&mut self.first[4])? {
            self.place = Place::Metric;
            return Ok(());
        }
        self.json.peek()?;
        let at = self.json.at;
        let mut raw = Vec::new();
        let fits = self.json.value(Some(&mut raw), POINT_BYTES_MAX)?;
        if self.metric.name.is_some() && self.metric.units.is_some() {
            self.flush();
            self.yield_point(at, fits, &raw);
            return Ok(());
        }
        // A point over the limit waits as an empty one: it is refused all the same.
        self.metric.waiting_bytes += raw.len() + 32;
        self.metric.waiting.push((at, raw));
        if self.metric.waiting_bytes > WAITING_BYTES_MAX {
            return Err(Fault::Malformed(
                "the name and units of a metric within 256 MiB of its points; export a shorter range",
            ));
        }
        Ok(())
    }

    /// Yields the points that waited for the name of their metric.
    fn flush(&mut self) {
        for (at, raw) in std::mem::take(&mut self.metric.waiting) {
            self.yield_point(at, !raw.is_empty(), &raw);
        }
        self.metric.waiting_bytes = 0;
    }

    fn yield_point(&mut self, at: u64, fits: bool, raw: &[u8]) {
        let units = self.metric.units.as_ref().and_then(|u| u.as_deref());
        let (label, draft) = match &self.metric.name {
            None => (Cow::Borrowed("(metric without a name)"), Err(metric::missing("name"))),
            Some(name) => (
                name.chars().take(LABEL_CHARS_MAX).collect::<String>().into(),
                object(fits, raw, POINT_BYTES_MAX).and_then(|point| metric::draft(name, units, &point)),
            ),
        };
        self.yield_item(at, label, draft);
    }

    fn yield_item(&mut self, at: u64, label: Cow<'static, str>, draft: Result<Draft, Rejected>) {
        self.record += 1;
        let what = draft.and_then(|draft| draft.event(&self.user, self.now));
        self.ready.push_back(ImportItem { record: self.record, at, label, what });
    }

    fn end(&mut self, fault: &Fault) {
        // Points that wait for a name that never came are lost with it; they are counted one by one.
        self.flush();
        let rejected = match fault {
            Fault::Cut => Rejected::last(
                Reason::Truncated,
                "the file ends in the middle: everything up to here was read; export or copy it again and import it \
                 once more for the rest",
            ),
            Fault::Io(error) => {
                Rejected::last(Reason::Unreadable, format!("the file cannot be read on ({})", error.kind()))
            }
            Fault::Malformed(expected) => Rejected::last(
                Reason::Malformed,
                format!("this is not JSON of Health Auto Export: expected {expected}"),
            ),
        };
        self.yield_item(self.json.at, "(end of file)".into(), Err(rejected));
        self.place = Place::Done;
    }
}

fn object(fits: bool, raw: &[u8], bytes_max: usize) -> Result<Object, Rejected> {
    if !fits {
        return Err(Rejected::new(Reason::TooLarge, "", format!("has more than {bytes_max} bytes")));
    }
    serde_json::from_slice(raw).map_err(|_| Rejected::new(Reason::Malformed, "", "is not a JSON object"))
}

impl<R: BufRead> Iterator for Items<R> {
    type Item = ImportItem;

    fn next(&mut self) -> Option<ImportItem> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Some(item);
            }
            if self.place == Place::Done {
                return None;
            }
            if let Err(fault) = self.step() {
                self.end(&fault);
            }
        }
    }
}
