//! Ties the names of a map to the columns of a header.

use std::collections::HashMap;

use crave_schemas::UserId;

use super::map::{Cell, CsvMap, EventMap, Time};
use super::time::{self, Zone};
use crate::import::draft::Moment;
use crate::import::{ImportError, Reason, Rejected};

/// The columns of a header, by name.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    index: HashMap<String, usize>,
    pub(super) count: usize,
}

impl Columns {
    /// Reads a header and checks that every column the map names stands in it exactly once.
    pub(super) fn bind(header: &csv::ByteRecord, map: &CsvMap) -> Result<Self, ImportError> {
        let mut index = HashMap::new();
        let mut twice = Vec::new();
        for (i, name) in header.iter().enumerate() {
            let name = String::from_utf8_lossy(name);
            let name = name.trim_start_matches('\u{feff}').trim().to_owned();
            if index.insert(name.clone(), i).is_some() {
                twice.push(name);
            }
        }
        for name in named(map) {
            let wrong = if twice.iter().any(|t| t == name) {
                "stands twice in the header"
            } else if !index.contains_key(name) {
                "is not in the header; check the delimiter and the first line"
            } else {
                continue;
            };
            return Err(ImportError::Invalid(format!("the column \"{name}\" of the map {wrong}")));
        }
        Ok(Self { index, count: header.len() })
    }
}

/// Every column a map names.
fn named(map: &CsvMap) -> Vec<&str> {
    let mut names = Vec::new();
    fn of_cell<'a>(cell: &'a Cell, names: &mut Vec<&'a str>) {
        names.extend(cell.column.as_deref());
        for part in &cell.list {
            names.extend(part.when.iter().chain(&part.unless).map(String::as_str));
            part.fields.values().for_each(|cell| of_cell(cell, names));
        }
    }
    fn of_time<'a>(time: &'a Time, names: &mut Vec<&'a str>) {
        names.extend(time.columns.iter().chain(&time.zone_column).map(String::as_str));
    }
    for cell in [&map.user, &map.device, &map.app_version].into_iter().flatten() {
        of_cell(cell, &mut names);
    }
    if let Some(time) = &map.time {
        of_time(time, &mut names);
    }
    for event in &map.event {
        names.extend(event.when.iter().chain(&event.unless).map(String::as_str));
        if let Some(time) = &event.time {
            of_time(time, &mut names);
        }
        event.fields.values().for_each(|cell| of_cell(cell, &mut names));
    }
    names
}

/// A row, read by the names of its columns.
pub(super) struct Row<'a> {
    pub(super) record: &'a csv::ByteRecord,
    pub(super) columns: &'a Columns,
    pub(super) map: &'a CsvMap,
}

impl<'a> Row<'a> {
    /// The trimmed text of a column; `None` when it is blank.
    pub(super) fn text(&self, column: &str) -> Result<Option<&'a str>, Rejected> {
        let raw = self.columns.index.get(column).and_then(|i| self.record.get(*i)).unwrap_or_default();
        let text = std::str::from_utf8(raw)
            .map_err(|_| Rejected::new(Reason::Encoding, column, "is not UTF-8; convert the file"))?
            .trim();
        Ok((!text.is_empty() && !self.map.blank.iter().any(|blank| blank == text)).then_some(text))
    }

    /// Whether a rule's conditions hold.
    pub(super) fn applies(&self, when: &[String], unless: &[String]) -> Result<bool, Rejected> {
        for column in when {
            if self.text(column)?.is_none() {
                return Ok(false);
            }
        }
        for column in unless {
            if self.text(column)?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The text of a cell of the envelope.
    pub(super) fn envelope(&self, cell: Option<&Cell>) -> Result<Option<String>, Rejected> {
        let Some(cell) = cell else { return Ok(None) };
        if let Some(column) = &cell.column {
            return Ok(self
                .text(column)?
                .map(|text| cell.values.get(text).map_or(text, String::as_str).to_owned()));
        }
        Ok(cell.constant.as_ref().map(|value| match value {
            toml::Value::String(text) => text.clone(),
            other => other.to_string(),
        }))
    }

    /// Whose row it is.
    pub(super) fn user(&self, default: Option<&UserId>) -> Result<UserId, Rejected> {
        let bad = |detail: &str| Rejected::new(Reason::User, "user", detail);
        match (self.envelope(self.map.user.as_ref())?, &self.map.user, default) {
            (Some(id), _, _) => UserId::new(id).map_err(|refusal| bad(&refusal.reason)),
            (None, None, Some(user)) => Ok(user.clone()),
            (None, _, _) => Err(bad("is blank")),
        }
    }

    /// When an event of this row happened.
    pub(super) fn moment(&self, event: &EventMap) -> Result<Moment, Rejected> {
        let Some(rule) = event.time.as_ref().or(self.map.time.as_ref()) else {
            return Err(Rejected::new(Reason::Time, "time", "is not in the map"));
        };
        let field = rule.columns.first().map_or("time", String::as_str);
        let mut text = String::new();
        for column in &rule.columns {
            if let Some(part) = self.text(column)? {
                text.push_str(part);
                text.push(' ');
            }
        }
        if text.is_empty() {
            return Err(Rejected::new(Reason::Missing, field, "is blank"));
        }
        let mut zone = rule.zone;
        if let Some(column) = &rule.zone_column
            && let Some(name) = self.text(column)?
        {
            zone = Zone::read(name)
                .ok_or_else(|| Rejected::new(Reason::Time, column, "is not a known time zone"))?;
        }
        time::read(&text, &rule.formats, zone)
            .ok_or_else(|| Rejected::new(Reason::Time, field, "has none of the formats in the map"))
    }
}
