//! What it decodes equals what arrow decodes; what is unusual it leaves alone.

use arrow::datatypes::{Field, Schema};
use arrow::json::ReaderBuilder;
use proptest::prelude::*;

use super::*;

fn schema(nullable: bool) -> SchemaRef {
    let field = |name: &str, data_type| Field::new(name, data_type, nullable);
    Arc::new(Schema::new(vec![
        field("t", DataType::Timestamp(TimeUnit::Nanosecond, None)),
        field("s", DataType::Utf8),
        field("i", DataType::Int64),
        field("f", DataType::Float64),
        field("b", DataType::Boolean),
    ]))
}

fn by_arrow(schema: &SchemaRef, text: &str) -> Option<RecordBatch> {
    let mut decoder = ReaderBuilder::new(Arc::clone(schema)).with_batch_size(1000).build_decoder().unwrap();
    let used = decoder.decode(text.as_bytes()).ok()?;
    assert_eq!(used, text.len());
    decoder.flush().ok().map(|b| b.unwrap_or_else(|| RecordBatch::new_empty(Arc::clone(schema))))
}

fn by_us(schema: &SchemaRef, text: &str) -> Option<RecordBatch> {
    let batches = decode(schema, text, 1000)?;
    let batch = batches.into_iter().next().map(|(batch, _)| batch);
    Some(batch.unwrap_or_else(|| RecordBatch::new_empty(Arc::clone(schema))))
}

#[test]
fn plain_rows_are_decoded() {
    let text = r#"{"t":"2026-01-01T00:00:01.5Z","s":"café","i":-12,"f":4.25,"b":true}
        { "x" : 1.5e3 , "b" : false, "i":0, "f" : -7, "s":"", "t":"2026-01-01 00:00:00" , "y":"z", "n":null }
        {}"#;
    let ours = by_us(&schema(true), text).unwrap();
    assert_eq!(Some(&ours), by_arrow(&schema(true), text).as_ref());
    assert_eq!(ours.num_rows(), 3);
    // Batches end behind their rows.
    let batches = decode(&schema(true), text, 2).unwrap();
    assert_eq!(batches.iter().map(|b| b.0.num_rows()).collect::<Vec<_>>(), [2, 1]);
    assert_eq!((&text[batches[0].1..], batches[1].1), ("{}", text.len()));
}

#[test]
fn what_is_unusual_is_left_to_arrow() {
    for text in [
        r#"{"s":"a\n"}"#,
        r#"{"s":5}"#,
        r#"{"i":1.0}"#,
        r#"{"i":"1"}"#,
        r#"{"i":01}"#,
        r#"{"i":9223372036854775807}"#,
        r#"{"f":"1"}"#,
        r#"{"f":1.}"#,
        r#"{"b":1}"#,
        r#"{"t":5}"#,
        r#"{"t":"yesterday"}"#,
        r#"{"x":[1]}"#,
        r#"{"x":{}}"#,
        r#"{"i":1,"i":2}"#,
        r#"{"i":1,}"#,
        r#"{"i":1 "f":2}"#,
        r#"{"i":1"#,
        r#"{"i":tru}"#,
        r#"[{"i":1}]"#,
        "null",
    ] {
        assert!(by_us(&schema(true), text).is_none(), "{text}");
    }
    assert!(by_us(&schema(false), r#"{"i":1}"#).is_none(), "a missing field");
    let nested = Arc::new(Schema::new(vec![Field::new("d", DataType::Date32, true)]));
    assert!(decode(&nested, "{}", 10).is_none());
}

/// Pieces that JSON is made of, and some that it is not.
fn token() -> impl Strategy<Value = String> {
    let fixed = [
        "null",
        "true",
        "false",
        "0",
        "-0",
        "-1",
        "1e3",
        "1E-2",
        "1.5",
        "0.1e+1",
        "-",
        "1.",
        "01",
        "+1",
        "1e",
        "\"\"",
        "\"a\"",
        "\"é\"",
        "\"\\n\"",
        "\"2026-01-01\"",
        "\"2026-06-01T10:00:00+02:00\"",
        "\"12:00\"",
        "[]",
        "{}",
        "\"",
        "nul",
        "123456789012345678",
        "1234567890123456789",
        "9.9e307",
        "1e400",
        "5e-324",
    ];
    prop_oneof![
        4 => proptest::sample::select(fixed.to_vec()).prop_map(str::to_owned),
        1 => any::<i64>().prop_map(|n| n.to_string()),
        1 => any::<f64>().prop_map(|n| format!("{n}")),
        1 => any::<f64>().prop_map(|n| format!("{n:e}")),
        1 => "[a-z \u{e9}\u{4e16}]{0,6}".prop_map(|s| format!("\"{s}\"")),
        2 => (0i64..4_000_000_000, 0u32..1_000_000_000).prop_map(|(s, ns)| {
            let time = chrono::DateTime::from_timestamp(s, ns).unwrap();
            format!("\"{}\"", time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true))
        }),
    ]
}

/// A field, mostly of the kind its column takes.
fn field() -> impl Strategy<Value = (&'static str, String)> {
    let time = (0i64..4_000_000_000, 0u32..1_000_000_000).prop_map(|(s, ns)| {
        let time = chrono::DateTime::from_timestamp(s, ns).unwrap();
        format!("\"{}\"", time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true))
    });
    let name = proptest::sample::select(vec!["t", "s", "i", "f", "b", "x"]);
    prop_oneof![
        2 => time.prop_map(|v| ("t", v)),
        2 => "[a-z \u{e9}\u{4e16}]{0,6}".prop_map(|v| ("s", format!("\"{v}\""))),
        2 => any::<i32>().prop_map(|v| ("i", v.to_string())),
        1 => any::<f64>().prop_map(|v| ("f", format!("{v}"))),
        1 => any::<f64>().prop_map(|v| ("f", format!("{v:e}"))),
        1 => any::<bool>().prop_map(|v| ("b", v.to_string())),
        1 => (name, token()),
    ]
}

fn row() -> impl Strategy<Value = String> {
    let comma = prop_oneof![20 => Just(","), 3 => Just(" , "), 1 => Just("")];
    let fields = proptest::collection::vec((field(), comma), 0..4);
    fields.prop_map(|fields| {
        let text = fields.iter().map(|((n, v), c)| format!("\"{n}\":{v}{c}")).collect::<String>();
        format!("{{{}}}", text.trim_end_matches([',', ' ']))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn what_it_decodes_is_what_arrow_decodes(rows in proptest::collection::vec(row(), 1..4), nullable: bool) {
        let text = rows.join("\n");
        if let Some(ours) = by_us(&schema(nullable), &text) {
            prop_assert_eq!(Some(ours), by_arrow(&schema(nullable), &text));
        }
    }
}
