//! A decoder for the JSON that machines write: flat objects, plain strings and numbers.
//!
//! It gives up ([`None`]) at the first thing out of the ordinary (an escape, a nested value, a number in a text
//! column, a missing NOT NULL field, …); arrow's decoder then does the piece again, and says what is wrong if
//! something is. What it does decode is what arrow decodes (a property test compares them), but each value goes
//! straight into its column instead of onto a tape first.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Float64Builder, Int64Builder, RecordBatch, StringBuilder,
    TimestampNanosecondBuilder,
};
use arrow::compute::kernels::cast_utils::string_to_datetime;
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use chrono::Utc;

/// Fields it keeps track of in one object.
const FIELDS_MAX: usize = 64;

/// Rows and how many bytes of the text they end at.
pub(super) type Rows = (RecordBatch, usize);

/// Decodes a whole text into batches of at most `batch_rows`; `None` when it holds something unusual.
pub(super) fn decode(schema: &SchemaRef, text: &str, batch_rows: usize) -> Option<Vec<Rows>> {
    let mut columns = columns(schema, batch_rows)?;
    let mut cursor = Cursor { text, bytes: text.as_bytes(), at: 0 };
    let (mut batches, mut rows) = (Vec::new(), 0);
    loop {
        cursor.skip_space();
        let end = cursor.at == cursor.bytes.len();
        if rows > 0 && (end || rows == batch_rows) {
            let arrays = columns.iter_mut().map(|c| c.values.finish()).collect();
            batches.push((RecordBatch::try_new(Arc::clone(schema), arrays).ok()?, cursor.at));
            rows = 0;
        }
        if end {
            return Some(batches);
        }
        object(&mut cursor, &mut columns)?;
        rows += 1;
    }
}

struct Column {
    name: String,
    nullable: bool,
    values: Values,
}

enum Values {
    Text(StringBuilder),
    Integer(Int64Builder),
    Float(Float64Builder),
    Boolean(BooleanBuilder),
    Time(TimestampNanosecondBuilder),
}

fn columns(schema: &SchemaRef, rows: usize) -> Option<Vec<Column>> {
    if schema.fields().len() > FIELDS_MAX {
        return None;
    }
    let column = |field: &Arc<arrow::datatypes::Field>| {
        let values = match field.data_type() {
            DataType::Utf8 => Values::Text(StringBuilder::with_capacity(rows, rows * 8)),
            DataType::Int64 => Values::Integer(Int64Builder::with_capacity(rows)),
            DataType::Float64 => Values::Float(Float64Builder::with_capacity(rows)),
            DataType::Boolean => Values::Boolean(BooleanBuilder::with_capacity(rows)),
            DataType::Timestamp(TimeUnit::Nanosecond, None) => {
                Values::Time(TimestampNanosecondBuilder::with_capacity(rows))
            }
            _ => return None,
        };
        Some(Column { name: field.name().clone(), nullable: field.is_nullable(), values })
    };
    schema.fields().iter().map(column).collect()
}

impl Values {
    fn null(&mut self) {
        match self {
            Self::Text(b) => b.append_null(),
            Self::Integer(b) => b.append_null(),
            Self::Float(b) => b.append_null(),
            Self::Boolean(b) => b.append_null(),
            Self::Time(b) => b.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Text(b) => Arc::new(b.finish()),
            Self::Integer(b) => Arc::new(b.finish()),
            Self::Float(b) => Arc::new(b.finish()),
            Self::Boolean(b) => Arc::new(b.finish()),
            Self::Time(b) => Arc::new(b.finish()),
        }
    }
}

/// `{"name":value,…}` into the columns; one that is absent becomes NULL.
fn object(cursor: &mut Cursor<'_>, columns: &mut [Column]) -> Option<()> {
    cursor.take(b'{')?;
    let mut seen = 0_u64;
    // Fields mostly come in the order of the table.
    let mut expected = 0;
    cursor.skip_space();
    while cursor.peek()? != b'}' {
        let name = cursor.string()?;
        cursor.skip_space();
        cursor.take(b':')?;
        cursor.skip_space();
        let found = match columns.get(expected) {
            Some(column) if column.name == name => Some(expected),
            _ => columns.iter().position(|c| c.name == name),
        };
        match found {
            Some(index) => {
                let bit = 1 << index;
                if seen & bit != 0 {
                    return None;
                }
                seen |= bit;
                value(cursor, &mut columns[index])?;
                expected = index + 1;
            }
            None => cursor.skip_value()?,
        }
        cursor.skip_space();
        match cursor.peek()? {
            b',' => {
                cursor.at += 1;
                cursor.skip_space();
                // Not an end after a comma.
                (cursor.peek()? == b'"').then_some(())?;
            }
            b'}' => {}
            _ => return None,
        }
    }
    cursor.at += 1;
    if seen.count_ones() as usize != columns.len() {
        for (index, column) in columns.iter_mut().enumerate() {
            if seen & (1 << index) == 0 {
                column.nullable.then(|| column.values.null())?;
            }
        }
    }
    Some(())
}

fn value(cursor: &mut Cursor<'_>, column: &mut Column) -> Option<()> {
    if cursor.peek()? == b'n' {
        cursor.word("null")?;
        return column.nullable.then(|| column.values.null());
    }
    match &mut column.values {
        Values::Text(b) => b.append_value(cursor.string()?),
        Values::Time(b) => {
            let time = string_to_datetime(&Utc, cursor.string()?).ok()?;
            b.append_value(time.timestamp_nanos_opt()?);
        }
        Values::Integer(b) => b.append_value(cursor.integer()?),
        Values::Float(b) => b.append_value(cursor.number()?.parse().ok()?),
        Values::Boolean(b) if cursor.peek()? == b't' => {
            cursor.word("true")?;
            b.append_value(true);
        }
        Values::Boolean(b) => {
            cursor.word("false")?;
            b.append_value(false);
        }
    }
    Some(())
}

struct Cursor<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.bytes[self.at..].starts_with(word.as_bytes()).then(|| self.at += word.len())
    }

    /// A string without escapes.
    fn string(&mut self) -> Option<&'a str> {
        self.take(b'"')?;
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|b| matches!(b, b'"' | b'\\'))?;
        if rest[length] == b'\\' {
            return None;
        }
        let string = &self.text[self.at..self.at + length];
        self.at += length + 1;
        Some(string)
    }

    /// Digits that fit an `i64` whatever they are, and nothing of a float behind them.
    fn integer(&mut self) -> Option<i64> {
        let negative = self.peek()? == b'-';
        self.at += usize::from(negative);
        let begin = self.at;
        let mut number = 0_i64;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            if self.at - begin == 18 {
                return None;
            }
            number = number * 10 + i64::from(digit - b'0');
            self.at += 1;
        }
        let digits = &self.bytes[begin..self.at];
        let plain = !digits.is_empty() && (digits.len() == 1 || digits[0] != b'0');
        let ends = !matches!(self.peek(), Some(b'.' | b'e' | b'E' | b'+' | b'-'));
        (plain && ends).then_some(if negative { -number } else { number })
    }

    /// A number as JSON has it: `-?digits(.digits)?([eE][+-]?digits)?`, without leading zeros.
    fn number(&mut self) -> Option<&'a str> {
        let begin = self.at;
        self.at += usize::from(self.peek()? == b'-');
        let whole = self.digits()?;
        if whole > 1 && self.bytes[self.at - whole] == b'0' {
            return None;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        let ends = !matches!(self.peek(), Some(b'.' | b'e' | b'E' | b'+' | b'-'));
        ends.then(|| &self.text[begin..self.at])
    }

    fn digits(&mut self) -> Option<usize> {
        let count = self.bytes[self.at..].iter().take_while(|b| b.is_ascii_digit()).count();
        self.at += count;
        (count > 0).then_some(count)
    }

    /// A value of a field the table does not have.
    fn skip_value(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => self.string().map(drop),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => self.number().map(drop),
        }
    }
}

#[cfg(test)]
mod tests;
