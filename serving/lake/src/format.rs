//! Answers as text, JSON, CSV or Arrow IPC.

use arrow::{
    array::RecordBatch,
    csv,
    datatypes::Schema,
    error::ArrowError,
    ipc::writer::StreamWriter,
    json::{ArrayWriter, LineDelimitedWriter, WriterBuilder},
    util::pretty::pretty_format_batches,
};

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// A JSON array of objects.
    #[default]
    Json,
    /// Comma-separated with a header.
    Csv,
    /// An Arrow IPC stream.
    Arrow,
}

/// A table for a terminal.
///
/// # Errors
/// When a type cannot be shown.
pub fn to_text(batches: &[RecordBatch]) -> Result<String, ArrowError> {
    Ok(pretty_format_batches(batches)?.to_string())
}

/// A JSON array of objects, nulls written.
///
/// # Errors
/// When a type cannot be written.
pub fn to_json_rows(batches: &[RecordBatch]) -> Result<Vec<u8>, ArrowError> {
    let mut writer: ArrayWriter<Vec<u8>> = WriterBuilder::new().with_explicit_nulls(true).build(Vec::new());
    for batch in batches {
        writer.write(batch)?;
    }
    writer.finish()?;
    let bytes = writer.into_inner();
    Ok(if bytes.is_empty() { b"[]".to_vec() } else { bytes })
}

/// One JSON object a line, nulls written.
///
/// # Errors
/// When a type cannot be written.
pub fn to_ndjson(batches: &[RecordBatch]) -> Result<Vec<u8>, ArrowError> {
    let mut writer: LineDelimitedWriter<Vec<u8>> =
        WriterBuilder::new().with_explicit_nulls(true).build(Vec::new());
    for batch in batches {
        writer.write(batch)?;
    }
    writer.finish()?;
    Ok(writer.into_inner())
}

/// CSV with a header.
///
/// # Errors
/// When a type cannot be written.
pub fn to_csv(schema: &Schema, batches: &[RecordBatch]) -> Result<Vec<u8>, ArrowError> {
    let mut out = Vec::new();
    {
        let mut writer = csv::WriterBuilder::new().with_header(true).build(&mut out);
        writer.write(&RecordBatch::new_empty(schema.clone().into()))?;
        for batch in batches {
            writer.write(batch)?;
        }
    }
    Ok(out)
}

/// An Arrow IPC stream.
///
/// # Errors
/// When a type cannot be written.
pub fn to_ipc(schema: &Schema, batches: &[RecordBatch]) -> Result<Vec<u8>, ArrowError> {
    let mut writer = StreamWriter::try_new(Vec::new(), schema)?;
    for batch in batches {
        writer.write(batch)?;
    }
    writer.finish()?;
    writer.into_inner()
}
