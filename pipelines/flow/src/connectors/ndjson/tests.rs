//! Order, offsets, ends and errors, over files larger than a piece.

use std::fmt::Write as _;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};

use super::*;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("n", DataType::Int64, false),
        Field::new("text", DataType::Utf8, true),
    ]))
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

/// Lines of many lengths, some longer than a piece.
fn lines(count: usize, end: &str) -> String {
    let mut text = String::new();
    for n in 0..count {
        let filling = if n % 1000 == 500 { PIECE_BYTES + 7 } else { n % 90 };
        let _ = write!(text, "{{\"n\":{n},\"text\":\"{}\"}}", "x".repeat(filling));
        text.push_str(if n % 7 == 0 { "\r\n" } else { "\n" });
        if n % 11 == 0 {
            text.push('\n');
        }
    }
    text.truncate(text.trim_end().len());
    text + end
}

async fn read(path: &Path, batch_rows: usize, from: u64) -> Result<Vec<(Vec<i64>, u64)>> {
    let mut reader = NdjsonReader::open(path, Wanted::all(&schema()), batch_rows, from)?;
    let mut all = Vec::new();
    loop {
        match reader.next().await? {
            Polled::Rows { batch, next_offset } => {
                assert!(batch.num_rows() > 0 && batch.num_rows() <= batch_rows);
                all.push((batch.column(0).as_primitive::<Int64Type>().values().to_vec(), next_offset));
            }
            Polled::End => return Ok(all),
            Polled::Idle => panic!("a file is never idle"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_come_in_order_and_every_offset_leads_to_the_next_row() {
    for end in ["", "\n", "\n\n"] {
        let file = file(&lines(30_000, end));
        let all = read(file.path(), 700, 0).await.unwrap();
        let numbers = all.iter().flat_map(|(n, _)| n).copied().collect::<Vec<_>>();
        assert_eq!(numbers, (0..30_000).collect::<Vec<_>>());
        for (rows, next_offset) in all.iter().step_by(9) {
            let rest = read(file.path(), 5000, *next_offset).await.unwrap();
            let first = rest.first().and_then(|(n, _)| n.first()).copied().unwrap_or(30_000);
            assert_eq!(first, rows.last().unwrap() + 1);
            assert_eq!(rest.iter().map(|(n, _)| n.len() as i64).sum::<i64>(), 30_000 - first);
        }
    }
    assert!(read(file("").path(), 10, 0).await.unwrap().is_empty());
    assert!(read(file("\n \n").path(), 10, 0).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_line_is_named_and_what_comes_before_its_piece_is_read() {
    let good = lines(20_000, "\n");
    let cases = [
        ("{\"n\":1", "cut"),
        ("{\"n\":\"one\"}", "a word for a number"),
        ("{\"text\":\"no n\"}", "a missing field"),
        ("nonsense", "not JSON"),
        ("{\"n\":2,\"text\":\"\u{1}\"}{", "half of a second object"),
    ];
    for (bad, what) in cases {
        let file = file(&format!("{good}{bad}\n{{\"n\":5}}\n"));
        let error = read(file.path(), 4096, 0).await.unwrap_err();
        let line = good.lines().count() + 1;
        let place = format!("line {line}, byte {}", good.len());
        assert!(error.to_string().contains(&place), "{what}: {error}");
        assert!(error.to_string().contains("correct the line"), "{what}: {error}");
        assert_eq!(error.kind(), crate::ErrorKind::Corrupt, "{what}");
    }
    let short = read(file("{\"n\":1}\n").path(), 10, 99).await.unwrap_err();
    assert!(short.to_string().contains("put the file back"), "{short}");
}
