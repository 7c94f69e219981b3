//! From the text of a cell to a JSON value.

use serde_json::Value;

use super::map::{Cell, ReadAs};
use crate::import::{Reason, Rejected};

/// Reads the text of `column` as the map says; `None` when the map turns it into nothing.
pub(super) fn read(cell: &Cell, column: &str, text: &str, decimal: char) -> Result<Option<Value>, Rejected> {
    let text = text.trim();
    let text = cell.values.get(text).map_or(text, String::as_str);
    if text.is_empty() {
        return Ok(None);
    }
    Ok(Some(match cell.read_as {
        ReadAs::Text => text.into(),
        ReadAs::Number => number(cell, column, text, decimal)?.into(),
        ReadAs::Integer => {
            let value = number(cell, column, text, decimal)?.round();
            if value.abs() > 9e15 {
                return Err(Rejected::new(Reason::Number, column, "is too large"));
            }
            // Whole and small by the line above, so the cast is exact.
            (value as i64).into()
        }
        ReadAs::Bool => match text.to_lowercase().as_str() {
            "true" | "yes" | "y" | "t" | "1" => true.into(),
            "false" | "no" | "n" | "f" | "0" => false.into(),
            _ => {
                return Err(Rejected::new(Reason::Value, column, "must be true or false, yes or no, 1 or 0"));
            }
        },
        ReadAs::Tags => {
            let tags: Vec<Value> = text
                .split(cell.split.unwrap_or(','))
                .map(str::trim)
                .map(|tag| cell.values.get(tag).map_or(tag, String::as_str))
                .filter(|tag| !tag.is_empty())
                .map(Value::from)
                .collect();
            if tags.is_empty() {
                return Ok(None);
            }
            tags.into()
        }
    }))
}

fn number(cell: &Cell, column: &str, text: &str, decimal: char) -> Result<f64, Rejected> {
    let bad = || {
        Rejected::new(Reason::Number, column, format!("must be a number with {decimal:?} as decimal point"))
    };
    let plain = match decimal {
        '.' => text.parse(),
        _ if text.contains('.') => return Err(bad()),
        decimal => text.replace(decimal, ".").parse(),
    };
    let value: f64 = plain.map_err(|_| bad())?;
    if !value.is_finite() {
        return Err(bad());
    }
    // Without a scale not even the last digit changes.
    Ok(cell.scale.map_or(value, |scale| (value * scale * 1e9).round() / 1e9))
}
