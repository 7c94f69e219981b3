//! Reads rows and yields their items.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::io::Read;

use chrono::{DateTime, Utc};
use crave_schemas::{Event, UserId};
use serde_json::{Map, Value};

use super::bind::{Columns, Row};
use super::cell;
use super::map::{Cell, CsvMap, EventMap};
use crate::import::bounded::{Bounded, over_budget};
use crate::import::draft::{Draft, identity};
use crate::import::{ImportError, ImportItem, Reason, Rejected};

/// Largest row, in bytes. A quote that is never closed swallows the file up to here.
const ROW_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// The label of items that stand for a whole row.
const ROW: &str = "row";

/// The items of a CSV text; see [`super::items`].
#[derive(Debug)]
pub struct Items<R> {
    csv: csv::Reader<Bounded<R>>,
    map: CsvMap,
    columns: Columns,
    user: Option<UserId>,
    now: DateTime<Utc>,
    row: csv::ByteRecord,
    record: u64,
    ready: VecDeque<ImportItem>,
    done: bool,
}

impl<R: Read> Items<R> {
    pub(super) fn new(
        read: R,
        map: &CsvMap,
        user: Option<UserId>,
        now: DateTime<Utc>,
    ) -> Result<Self, ImportError> {
        // `CsvMap::parse` admits only ASCII here.
        let byte = |c: char| u8::try_from(c).unwrap_or(b',');
        let mut csv = csv::ReaderBuilder::new()
            .delimiter(byte(map.delimiter))
            .quote(byte(map.quote))
            .comment(map.comment.map(byte))
            .flexible(true)
            .from_reader(Bounded::new(read, ROW_BYTES_MAX));
        let header = csv.byte_headers().map_err(|error| match error.into_kind() {
            csv::ErrorKind::Io(source) => {
                ImportError::Io { what: "reading the header of the CSV file", source }
            }
            _ => ImportError::Invalid("the CSV file has no header".into()),
        })?;
        if header.is_empty() {
            return Err(ImportError::Invalid(
                "the CSV file is empty: its first line must name the columns".into(),
            ));
        }
        let columns = Columns::bind(&header.clone(), map)?;
        if map.user.is_none() && user.is_none() {
            return Err(ImportError::Invalid(
                "nobody says whose rows these are: put user into the map or give one".into(),
            ));
        }
        Ok(Self {
            csv,
            map: map.clone(),
            columns,
            user,
            now,
            row: csv::ByteRecord::new(),
            record: 0,
            ready: VecDeque::new(),
            done: false,
        })
    }

    fn step(&mut self) {
        self.csv.get_mut().renew();
        match self.csv.read_byte_record(&mut self.row) {
            Ok(true) => {
                self.record += 1;
                let at = self.row.position().map_or(0, csv::Position::line);
                for (label, what) in self.items_of_row() {
                    self.ready.push_back(ImportItem { record: self.record, at, label, what });
                }
            }
            Ok(false) => self.done = true,
            Err(error) => {
                self.done = true;
                self.record += 1;
                let at = self.csv.position().line();
                self.ready.push_back(ImportItem {
                    record: self.record,
                    at,
                    label: "(end of file)".into(),
                    what: Err(fatal(error)),
                });
            }
        }
    }

    fn items_of_row(&self) -> Vec<(Cow<'static, str>, Result<Event, Rejected>)> {
        let whole = |rejected| vec![(Cow::Borrowed(ROW), Err(rejected))];
        if self.row.len() != self.columns.count {
            let detail = format!("has {} columns, the header has {}", self.row.len(), self.columns.count);
            return whole(Rejected::new(Reason::Columns, "", detail));
        }
        let row = Row { record: &self.row, columns: &self.columns, map: &self.map };
        let user = match row.user(self.user.as_ref()) {
            Ok(user) => user,
            Err(rejected) => return whole(rejected),
        };
        let mut items = Vec::with_capacity(self.map.event.len());
        for event in &self.map.event {
            let what = match row.applies(&event.when, &event.unless) {
                Ok(false) => continue,
                Ok(true) => self.draft(&row, &user, event).and_then(|draft| draft.event(&user, self.now)),
                Err(rejected) => Err(rejected),
            };
            items.push((Cow::Borrowed(event.kind.as_str()), what));
        }
        if items.is_empty() {
            return whole(Rejected::new(
                Reason::NothingToImport,
                "",
                "no event of the map applies to this row",
            ));
        }
        items
    }

    fn draft(&self, row: &Row<'_>, user: &UserId, event: &EventMap) -> Result<Draft, Rejected> {
        let moment = row.moment(event)?;
        let payload = Value::Object(fields(row, &event.fields)?);
        let at = moment.utc.timestamp_micros().to_string();
        // Equal payloads have equal text: the fields of a map are sorted by name.
        let body = payload.to_string();
        Ok(Draft {
            kind: event.kind,
            moment,
            payload,
            device: row.envelope(self.map.device.as_ref())?,
            app_version: row.envelope(self.map.app_version.as_ref())?,
            identity: identity(&["csv", &self.map.name, user.as_str(), event.kind.as_str(), &at, &body]),
        })
    }
}

fn fields(row: &Row<'_>, fields: &BTreeMap<String, Cell>) -> Result<Map<String, Value>, Rejected> {
    let mut object = Map::new();
    for (name, cell) in fields {
        let value = if let Some(column) = &cell.column {
            match row.text(column)? {
                Some(text) => cell::read(cell, column, text, row.map.decimal)?,
                None => None,
            }
        } else if let Some(constant) = &cell.constant {
            Some(serde_json::to_value(constant).unwrap_or_default())
        } else {
            let mut list = Vec::new();
            for part in &cell.list {
                if row.applies(&part.when, &part.unless)? {
                    list.push(Value::Object(self::fields(row, &part.fields)?));
                }
            }
            Some(Value::Array(list))
        };
        if let Some(value) = value {
            object.insert(name.clone(), value);
        }
    }
    Ok(object)
}

fn fatal(error: csv::Error) -> Rejected {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => match over_budget(&error) {
            Some(over) => Rejected::last(Reason::TooLarge, format!("{over}: is a quote not closed?")),
            None => {
                Rejected::last(Reason::Unreadable, format!("the file cannot be read on ({})", error.kind()))
            }
        },
        _ => Rejected::last(Reason::Malformed, "this is not CSV"),
    }
}

impl<R: Read> Iterator for Items<R> {
    type Item = ImportItem;

    fn next(&mut self) -> Option<ImportItem> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Some(item);
            }
            if self.done {
                return None;
            }
            self.step();
        }
    }
}
