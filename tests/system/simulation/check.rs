//! What must hold once all faults are over: IN-1, IN-2, FL-1, FL-3.

use std::collections::{BTreeMap, BTreeSet};

use arrow::json::LineDelimitedWriter;
use crave_connect::log::Topic;
use crave_schemas::Admitted;
use datafusion::prelude::SessionContext;
use serde_json::Value;

use super::{
    node::{Durable, Node, now},
    world::{World, canonical},
};

/// Compares the tables with what was sent.
pub(super) async fn check(node: &Node, durable: &Durable, world: &World) {
    let verdicts = node.repair.verify(None).await.unwrap();
    assert!(verdicts.len() == 5 && verdicts.iter().any(|v| v.table == "spells"), "{verdicts:?}");
    for verdict in &verdicts {
        assert!(verdict.holds(), "FL-1: {verdict:?}");
    }
    assert_eq!(node.repair.drain().await.unwrap(), crave_tables::Repaired::default(), "verify drains");

    let rows = rows(node, "events").await;
    let mut stored = BTreeMap::new();
    for row in &rows {
        let id = row["event_id"].as_str().unwrap().to_owned();
        assert!(stored.insert(id, row).is_none(), "IN-1: {row} is stored twice");
    }
    for (id, sent) in &world.events {
        assert!(sent.acknowledged, "the driver sends until it is acknowledged");
        let row =
            stored.remove(id).unwrap_or_else(|| panic!("IN-1: {id} was acknowledged and is not in events"));
        let expected = Admitted::new(&canonical(&sent.body, now(durable)), now(durable));
        let fields = [
            ("user_id", expected.user_id.into()),
            ("kind", expected.kind.into()),
            ("payload", expected.payload.into()),
            ("tz_offset_min", expected.tz_offset_min.into()),
            ("tz", expected.tz.into()),
            ("app_version", expected.app_version.into()),
        ];
        for (name, value) in fields {
            let value: Value = value;
            assert_eq!(row.get(name).unwrap_or(&Value::Null), &value, "IN-1: {name} of {row}");
        }
    }
    assert!(stored.is_empty(), "nothing appears that was not sent: {stored:?}");

    let dead = texts(durable, Topic::Dead);
    for (mark, acknowledged) in &world.garbage {
        let buried = dead.iter().filter(|letter| letter.contains(mark.as_str())).count();
        assert!(buried <= 1 && (buried == 1 || !acknowledged), "IN-2: {mark} is buried {buried} times");
    }
    let conflicts = dead.iter().filter(|letter| letter.contains("another body")).count();
    assert!(conflicts >= world.conflicts.len(), "IN-2: {conflicts} of {} conflicts", world.conflicts.len());

    let mut remembered = BTreeSet::new();
    for text in texts(durable, Topic::Memories) {
        let memory: Value = serde_json::from_str(&text).unwrap();
        let id = memory["memory_id"].as_str().unwrap().to_owned();
        assert!(remembered.insert(id), "an epoch was appended twice: {text}");
    }
    let noted = |row: &&Value| {
        let payload: Value = serde_json::from_str(row["payload"].as_str().unwrap()).unwrap();
        let kind = row["kind"].as_str().unwrap();
        kind == "journal"
            || (["craving", "mood"].contains(&kind) && payload.get("note").is_some_and(Value::is_string))
    };
    let expected: BTreeSet<_> =
        rows.iter().filter(noted).map(|row| row["event_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(remembered, expected, "each text is told once");
}

/// The rows of a table that readers see.
async fn rows(node: &Node, table: &str) -> Vec<Value> {
    let table = node.tables.get(table).unwrap();
    let context = SessionContext::new();
    table.register_store(&context).await.unwrap();
    let frame = context.read_table(table.provider().await.unwrap()).unwrap();
    let mut json = LineDelimitedWriter::new(Vec::new());
    for batch in Box::pin(frame.collect()).await.unwrap() {
        json.write(&batch).unwrap();
    }
    json.finish().unwrap();
    let text = String::from_utf8(json.into_inner()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn texts(durable: &Durable, topic: Topic) -> Vec<String> {
    let records = durable.log.records(topic).into_iter();
    records.map(|record| String::from_utf8(record.value).unwrap()).collect()
}
