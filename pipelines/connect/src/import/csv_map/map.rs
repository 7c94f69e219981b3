//! The map file: its shape, and the checks that need no data.

use std::collections::BTreeMap;

use chrono::format::{Item, StrftimeItems};
use crave_schemas::Kind;
use serde::Deserialize;

use super::time::Zone;
use crate::import::ImportError;

/// Most events of a map, and most fields of an event.
const ENTRIES_MAX: usize = 64;

/// How the columns of a CSV file become events; see [the module](super) for an example.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CsvMap {
    /// Name of the source, part of every event's identity.
    pub name: String,
    #[serde(default = "comma")]
    pub(super) delimiter: char,
    #[serde(default = "double_quote")]
    pub(super) quote: char,
    pub(super) comment: Option<char>,
    #[serde(default = "point")]
    pub(super) decimal: char,
    #[serde(default)]
    pub(super) blank: Vec<String>,
    pub(super) user: Option<Cell>,
    pub(super) device: Option<Cell>,
    pub(super) app_version: Option<Cell>,
    pub(super) time: Option<Time>,
    pub(super) event: Vec<EventMap>,
}

/// Where a moment stands.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Time {
    pub(super) columns: Vec<String>,
    #[serde(default)]
    pub(super) formats: Vec<String>,
    #[serde(default)]
    pub(super) zone: Zone,
    pub(super) zone_column: Option<String>,
}

/// One kind of event that a row may tell.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventMap {
    pub(super) kind: Kind,
    #[serde(default)]
    pub(super) when: Vec<String>,
    #[serde(default)]
    pub(super) unless: Vec<String>,
    pub(super) time: Option<Time>,
    #[serde(default)]
    pub(super) fields: BTreeMap<String, Cell>,
}

/// Where the value of a field comes from: a column, a constant or a list of objects.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cell {
    pub(super) column: Option<String>,
    #[serde(rename = "const")]
    pub(super) constant: Option<toml::Value>,
    #[serde(default)]
    pub(super) list: Vec<Part>,
    #[serde(default, rename = "type")]
    pub(super) read_as: ReadAs,
    pub(super) scale: Option<f64>,
    pub(super) split: Option<char>,
    #[serde(default)]
    pub(super) values: BTreeMap<String, String>,
}

/// One object of a list.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    #[serde(default)]
    pub(super) when: Vec<String>,
    #[serde(default)]
    pub(super) unless: Vec<String>,
    pub(super) fields: BTreeMap<String, Cell>,
}

/// How the text of a column is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ReadAs {
    #[default]
    Text,
    /// A number, times `scale`.
    Number,
    /// The same, rounded.
    Integer,
    /// `true`, `yes`, `1`, … or `false`, `no`, `0`, …
    Bool,
    /// Labels, parted by `split`.
    Tags,
}

fn comma() -> char {
    ','
}

fn double_quote() -> char {
    '"'
}

fn point() -> char {
    '.'
}

impl CsvMap {
    /// Reads a map and checks all that can be checked without data.
    ///
    /// # Errors
    /// [`ImportError`] that names the part at fault.
    pub fn parse(toml: &str) -> Result<Self, ImportError> {
        let map: Self = toml::from_str(toml).map_err(|error| ImportError::Map(Box::new(error)))?;
        map.check().map_err(|what| ImportError::Invalid(format!("the map is wrong: {what}")))?;
        Ok(map)
    }

    fn check(&self) -> Result<(), String> {
        if self.name.trim().is_empty() {
            return Err("name must not be empty".into());
        }
        for (name, sign) in
            [("delimiter", Some(self.delimiter)), ("quote", Some(self.quote)), ("comment", self.comment)]
        {
            if sign.is_some_and(|c| !c.is_ascii()) {
                return Err(format!("{name} must be an ASCII character"));
            }
        }
        if self.event.is_empty() || self.event.len() > ENTRIES_MAX {
            return Err(format!("there must be 1 to {ENTRIES_MAX} [[event]]"));
        }
        for (name, cell) in
            [("user", &self.user), ("device", &self.device), ("app_version", &self.app_version)]
        {
            if let Some(cell) = cell {
                cell.check(name)?;
            }
        }
        if let Some(time) = &self.time {
            time.check("time")?;
        }
        for (i, event) in self.event.iter().enumerate() {
            let name = format!("event {} ({})", i + 1, event.kind.as_str());
            if matches!(event.kind, Kind::Correct | Kind::Retract) {
                return Err(format!("{name}: corrections cannot be imported"));
            }
            if event.fields.is_empty() {
                return Err(format!("{name}: there must be [event.fields]"));
            }
            match (&event.time, &self.time) {
                (Some(time), _) => time.check(&name)?,
                (None, Some(_)) => {}
                (None, None) => return Err(format!("{name}: there is no [time]")),
            }
            check_fields(&name, &event.fields, true)?;
        }
        Ok(())
    }
}

fn check_fields(name: &str, fields: &BTreeMap<String, Cell>, lists: bool) -> Result<(), String> {
    if fields.len() > ENTRIES_MAX {
        return Err(format!("{name}: there are more than {ENTRIES_MAX} fields"));
    }
    for (field, cell) in fields {
        let name = format!("{name}.{field}");
        cell.check(&name)?;
        if !cell.list.is_empty() && !lists {
            return Err(format!("{name}: a list cannot stand in a list"));
        }
        if cell.list.len() > ENTRIES_MAX {
            return Err(format!("{name}: the list has more than {ENTRIES_MAX} parts"));
        }
        for part in &cell.list {
            check_fields(&name, &part.fields, false)?;
        }
    }
    Ok(())
}

impl Cell {
    fn check(&self, name: &str) -> Result<(), String> {
        let given = [self.column.is_some(), self.constant.is_some(), !self.list.is_empty()];
        if given.into_iter().filter(|given| *given).count() != 1 {
            return Err(format!("{name}: there must be one of column, const and list"));
        }
        if self.scale.is_some_and(|scale| !scale.is_finite()) {
            return Err(format!("{name}: scale must be finite"));
        }
        let numeric = matches!(self.read_as, ReadAs::Number | ReadAs::Integer);
        if self.scale.is_some() && !numeric {
            return Err(format!("{name}: scale needs type = \"number\" or \"integer\""));
        }
        if self.split.is_some() && self.read_as != ReadAs::Tags {
            return Err(format!("{name}: split needs type = \"tags\""));
        }
        Ok(())
    }
}

impl Time {
    fn check(&self, name: &str) -> Result<(), String> {
        if self.columns.is_empty() {
            return Err(format!("{name}: columns must not be empty"));
        }
        for format in &self.formats {
            if StrftimeItems::new(format).any(|item| item == Item::Error) {
                return Err(format!("{name}: \"{format}\" is not a time format; see chrono's strftime"));
            }
        }
        Ok(())
    }
}
