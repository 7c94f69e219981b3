//! What `CREATE TABLE` may say.

use datafusion::sql::sqlparser::ast::{DataType, TimezoneInfo};

use super::{
    finding::Findings,
    options,
    script::{Column, Script, Table},
};

pub(super) fn check(script: &Script, findings: &mut Findings<'_>) {
    for (at, words) in &script.others {
        let instead = "leave it out; a program holds CREATE TABLE, CREATE VIEW and INSERT INTO";
        if !words.to_lowercase().starts_with("set updating_ttl") {
            findings.stop(
                *at,
                "statement",
                format!("'{words} …' is not a job's statement in Arroyo"),
                instead,
            );
        }
    }
    for table in &script.tables {
        let sink = table.is_sink() || script.inserts.iter().any(|i| i.table == table.name);
        one(table, sink, findings);
        options::check(table, sink, findings);
    }
}

fn one(table: &Table, sink: bool, findings: &mut Findings<'_>) {
    if let Some(at) = table.if_not_exists {
        findings.stop(
            at,
            "ignored",
            "Arroyo ignores IF NOT EXISTS",
            "leave it out; a program defines its own tables",
        );
    }
    if let Some(at) = table.partitioned {
        let reason = "only Arroyo's iceberg tables have a PARTITIONED BY; others ignore it";
        findings.stop(at, "ignored", reason, "leave it out");
    }
    if let Some(watermark) = &table.watermark {
        let column = table.columns.iter().find(|c| c.name == watermark.column);
        if sink {
            let instead = "put WATERMARK FOR on the source";
            findings.stop(watermark.at, "ignored", "Arroyo ignores the watermark of a sink", instead);
        } else if let Some(column) = column.filter(|c| !c.not_null && watermark.expr.is_some()) {
            let reason = format!("the watermark's expression may be NULL, because {} may", column.name);
            findings.stop(watermark.at, "watermark", reason, format!("declare {} NOT NULL", column.name));
        }
    }
    for column in &table.columns {
        self::column(table, column, sink, findings);
    }
    key(table, findings);
}

fn column(table: &Table, column: &Column, sink: bool, findings: &mut Findings<'_>) {
    let delta = table.connector() == "delta";
    let name = &column.name;
    if let Some(supported) = instead_of(&column.data_type) {
        let reason = format!("Arroyo has no type {}", column.data_type);
        findings.stop(column.at, "type", reason, format!("write {name} {supported}"));
    } else if delta && is_timestamp(&column.data_type) && !is_micros(&column.data_type) {
        let reason =
            format!("Arroyo writes Delta timestamps in microseconds, {name} is {}", column.data_type);
        findings.stop(column.at, "delta-timestamp", reason, format!("write {name} TIMESTAMP(6)"));
    }
    if sink && column.generated.is_some() {
        let reason = format!("{name} is generated, and Arroyo's sinks have no generated columns");
        findings.stop(column.at, "ignored", reason, "compute it in the query");
    }
    if let Some((at, words)) = &column.unread {
        let instead = "leave it out, or compute the value in the query";
        findings.stop(*at, "ignored", format!("Arroyo ignores {words} of column {name}"), instead);
    }
    if let Some(at) = column.primary_key.filter(|_| table.value("format") != Some("debezium_json")) {
        let reason = "Arroyo reads PRIMARY KEY only for format = 'debezium_json' and ignores it elsewhere";
        findings.stop(at, "ignored", reason, format!("write {name} … NOT NULL"));
    }
}

fn key(table: &Table, findings: &mut Findings<'_>) {
    let Some(option) = table.option("sink.key_field") else { return };
    let column = table.columns.iter().find(|c| c.name == option.value);
    let text = column.is_some_and(|c| {
        matches!(c.data_type, DataType::Text | DataType::Varchar(_) | DataType::String(_) | DataType::Char(_))
    });
    if !text {
        let reason = format!(
            "Arroyo ignores sink.key_field '{}': it is no TEXT column of {}",
            option.value, table.name
        );
        findings.stop(option.at, "sink-key", reason, "name a TEXT column of the sink");
    }
}

pub(super) const fn is_timestamp(of: &DataType) -> bool {
    matches!(of, DataType::Timestamp(..) | DataType::Datetime(_))
}

pub(super) const fn is_micros(of: &DataType) -> bool {
    matches!(of, DataType::Timestamp(Some(6), TimezoneInfo::None))
}

/// The type to write where Arroyo does not know this one.
const fn instead_of(of: &DataType) -> Option<&'static str> {
    match of {
        DataType::Timestamp(None | Some(0 | 3 | 6 | 9), TimezoneInfo::None) => None,
        DataType::Timestamp(..) => Some("TIMESTAMP or TIMESTAMP(6) (UTC, without a zone)"),
        DataType::CharacterVarying(_) | DataType::Uuid => Some("TEXT"),
        DataType::Int64 => Some("BIGINT"),
        DataType::Int32 => Some("INT"),
        DataType::Int16 => Some("SMALLINT"),
        DataType::UInt64 => Some("BIGINT UNSIGNED"),
        DataType::Float64 => Some("DOUBLE"),
        DataType::Float32 => Some("REAL"),
        DataType::Bytes(_) | DataType::Blob(_) | DataType::Binary(_) | DataType::Varbinary(_) => {
            Some("BYTEA")
        }
        _ => None,
    }
}
