//! A table as a `.sql` file declares it: columns, connector options, event time and watermark.

use std::collections::BTreeMap;

use arrow::datatypes::SchemaRef;

use crate::{Error, Result};

/// Which side of a program a table is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableKind {
    /// Read from.
    Source,
    /// Written to.
    Sink,
}

/// A column computed from the physical ones as a row is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generated {
    /// Name of the column.
    pub name: String,
    /// Its expression, as SQL over the physical columns.
    pub expr: String,
}

/// How far event time has come, judged by one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watermark {
    /// The event time column (physical or generated).
    pub column: String,
    /// SQL over the table's columns; `None` means the column itself.
    pub expr: Option<String>,
}

/// One `CREATE TABLE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableDef {
    /// Name in the program.
    pub name: String,
    /// Source or sink (`type = '…'`, or by use).
    pub kind: TableKind,
    /// The columns a [`Reader`](crate::Reader) yields or a [`Sink`](crate::Sink) is given.
    /// `TIMESTAMP` is nanoseconds without a zone (UTC), `TIMESTAMP(6)` microseconds.
    pub physical: SchemaRef,
    /// [`Self::physical`] and the generated columns, in the order declared.
    pub schema: SchemaRef,
    /// The generated columns.
    pub generated: Vec<Generated>,
    /// What stands in `WITH (…)`, variables replaced.
    pub options: BTreeMap<String, String>,
    /// `WATERMARK FOR`; a source without one never closes a window until it ends.
    pub watermark: Option<Watermark>,
    /// Normalised text of the definition before variables are replaced: what state depends on.
    pub identity: String,
}

impl TableDef {
    /// The `connector` option.
    ///
    /// # Errors
    /// When it is missing.
    pub fn connector(&self) -> Result<&str> {
        self.option("connector")
    }

    /// The same to be shown.
    pub(crate) fn connector_name(&self) -> &str {
        self.options.get("connector").map_or("none", String::as_str)
    }

    /// A required option.
    ///
    /// # Errors
    /// When it is missing, naming it and the table.
    pub fn option(&self, name: &str) -> Result<&str> {
        self.options.get(name).map(String::as_str).ok_or_else(|| {
            Error::Invalid(format!(
                "table {}: option '{name}' is missing; add {name} = '…' to WITH (…)",
                self.name
            ))
        })
    }

    /// Whether a sink is given Debezium changes (`format = 'debezium_json'`) instead of rows.
    #[must_use]
    pub fn writes_changes(&self) -> bool {
        self.kind == TableKind::Sink && self.options.get("format").is_some_and(|f| f == "debezium_json")
    }

    /// Two programs with this key equal share one reader: same name, columns and options.
    #[must_use]
    pub fn source_key(&self) -> String {
        format!("{}{:?}", self.identity, self.options)
    }
}
