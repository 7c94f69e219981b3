//! A job's SQL as Arroyo takes it: the same text, with Arroyo's options in each `WITH (…)`.
//!
//! | here | in Arroyo |
//! |---|---|
//! | `connector = 'log'` | `kafka`, the brokers, the topic's name in the cluster; sources from the first record and of committed transactions only; sinks exactly once and partitioned by key as the log does it |
//! | `connector = 'delta'` | the same, as Parquet, a file closed every few seconds (Arroyo itself would wait for 1000 parts) |
//! | `$name` | its value |

use std::{collections::BTreeMap, fmt::Write as _};

use crate::{
    Error,
    portable::script::{self, Table, WithOption},
};

/// Where the cluster finds what the jobs read and write, as its own workers reach it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Kafka brokers, `host:port,host:port`.
    pub brokers: String,
    /// Put before every topic.
    pub topic_prefix: String,
    /// Values of `$name` in the programs; `lake` is the URL of the folder of the tables.
    pub variables: BTreeMap<String, String>,
    /// More options of every Kafka table, such as `auth.type`; they win over ours.
    pub kafka: Vec<(String, String)>,
    /// More options of every Delta table, such as `storage.aws_region`; they win over ours.
    pub delta: Vec<(String, String)>,
}

/// Partitions a key as the event log does, so that a user's records stay together.
const PARTITIONER: &str = "partitioner=murmur2_random";
/// How long rows wait in an open file, at most.
const ROLL: &str = "INTERVAL '10 seconds'";

/// Rewrites a program named `name`.
///
/// # Errors
/// [`Error::Invalid`] when the text cannot be read, a variable has no value, or `lake` is not a URL.
pub fn translate(name: &str, sql: &str, places: &Places) -> Result<String, Error> {
    let script = script::read(sql)
        .map_err(|e| Error::Invalid(format!("{name}:{}:{}: {}", e.at.line, e.at.column, e.message)))?;
    let mut cuts = Vec::new();
    for table in &script.tables {
        let Some(with) = table.with.clone() else { continue };
        cuts.push((with, options(name, table, places)?));
    }
    for (at, variable, range) in &script.placeholders {
        let Some(value) = places.variables.get(variable) else {
            return Err(missing(name, &format!("line {}", at.line), variable));
        };
        let literal = if value.parse::<f64>().is_ok() { value.clone() } else { quoted(value) };
        cuts.push((range.clone(), literal));
    }
    cuts.sort_by_key(|(range, _)| range.start);
    let (mut text, mut done) = (String::with_capacity(sql.len()), 0);
    for (range, new) in cuts.into_iter().filter(|(range, _)| !range.is_empty()) {
        if range.start >= done {
            text.push_str(&sql[done..range.start]);
            text.push_str(&new);
            done = range.end;
        }
    }
    text.push_str(&sql[done..]);
    Ok(text)
}

/// The options of a table as Arroyo takes them, in SQL.
fn options(name: &str, table: &Table, places: &Places) -> Result<String, Error> {
    let mut given = Options::default();
    for option in &table.options {
        given.set(&option.key, value(name, table, option, places)?);
    }
    match table.connector() {
        "log" => kafka(&mut given, table.is_sink(), places)?,
        "delta" => delta(name, &mut given, places)?,
        _ => {}
    }
    Ok(given.text())
}

fn kafka(given: &mut Options, sink: bool, places: &Places) -> Result<(), Error> {
    if places.brokers.is_empty() {
        let say = "set arroyo.brokers (or log.brokers) to the Kafka brokers that Arroyo's workers reach";
        return Err(Error::Invalid(say.into()));
    }
    given.set("connector", quoted("kafka"));
    given.set("bootstrap_servers", quoted(&places.brokers));
    if let Some(topic) = given.text_of("topic") {
        given.set("topic", quoted(&format!("{}{topic}", places.topic_prefix)));
    }
    let ours: &[(&str, &str)] = if sink {
        &[("sink.commit_mode", "exactly_once"), ("client_configs", PARTITIONER)]
    } else {
        &[("source.offset", "earliest"), ("source.read_mode", "read_committed")]
    };
    for (key, value) in ours {
        given.unless_set(key, quoted(value));
    }
    for (key, value) in &places.kafka {
        // Settings of a consumer are none of a producer, and the other way round.
        if (sink && key.starts_with("source.")) || (!sink && key.starts_with("sink.")) {
            continue;
        }
        let joined = match given.text_of("client_configs").filter(|_| key == "client_configs") {
            Some(ours) if !value.contains("partitioner=") => format!("{ours},{value}"),
            _ => value.clone(),
        };
        given.set(key, quoted(&joined));
    }
    Ok(())
}

fn delta(name: &str, given: &mut Options, places: &Places) -> Result<(), Error> {
    let path = given.text_of("path").unwrap_or_default();
    if !path.contains("://") && !path.starts_with("file:") {
        return Err(Error::Invalid(format!(
            "{name}: Arroyo writes tables to a URL, not to '{path}'; set arroyo.lake to s3://bucket/lake, gs://…, or \
             file:///folder that its workers share"
        )));
    }
    given.unless_set("format", quoted("parquet"));
    given.unless_set("type", quoted("sink"));
    given.unless_set("rolling_policy.interval", ROLL.into());
    for (key, value) in &places.delta {
        given.set(key, quoted(value));
    }
    Ok(())
}

/// A value in SQL, its variables replaced.
fn value(name: &str, table: &Table, option: &WithOption, places: &Places) -> Result<String, Error> {
    if !option.quoted {
        return Ok(option.value.clone());
    }
    let (mut text, mut rest) = (String::new(), option.value.as_str());
    while let Some(at) = rest.find('$') {
        let (before, after) = rest.split_at(at);
        let after = &after[1..];
        let end = after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(after.len());
        let (variable, left) = after.split_at(end);
        text.push_str(before);
        match places.variables.get(variable) {
            Some(value) => text.push_str(value),
            None if variable.is_empty() => text.push('$'),
            None => return Err(missing(name, &format!("table {}", table.name), variable)),
        }
        rest = left;
    }
    text.push_str(rest);
    Ok(quoted(&text))
}

fn missing(name: &str, place: &str, variable: &str) -> Error {
    let set = match variable {
        "lake" => "set arroyo.lake to the URL of the folder of the tables".to_owned(),
        other => format!("give ${other} a value"),
    };
    Error::Invalid(format!("{name}: {place}: ${variable} has no value; {set}"))
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Options in the order in which they came.
#[derive(Default)]
struct Options(Vec<(String, String)>);

impl Options {
    fn set(&mut self, key: &str, value: String) {
        match self.0.iter_mut().find(|(known, _)| known == key) {
            Some(known) => known.1 = value,
            None => self.0.push((key.into(), value)),
        }
    }

    fn unless_set(&mut self, key: &str, value: String) {
        if !self.0.iter().any(|(known, _)| known == key) {
            self.0.push((key.into(), value));
        }
    }

    /// A string's value, without its quotes.
    fn text_of(&self, key: &str) -> Option<String> {
        let value = &self.0.iter().find(|(known, _)| known == key)?.1;
        Some(value.strip_prefix('\'')?.strip_suffix('\'')?.replace("''", "'"))
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (i, (key, value)) in self.0.iter().enumerate() {
            let comma = if i + 1 < self.0.len() { "," } else { "" };
            let bare = key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            let key = if bare { key.clone() } else { quoted(key) };
            let _ = write!(text, "\n  {key} = {value}{comma}");
        }
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Level, portable};

    fn places() -> Places {
        Places {
            brokers: "k1:9092,k2:9092".into(),
            topic_prefix: "prod.".into(),
            variables: BTreeMap::from([
                ("lake".into(), "s3://bucket/lake".into()),
                ("most".into(), "7".into()),
            ]),
            kafka: vec![
                ("client_configs".into(), "security.protocol=ssl".into()),
                ("source.group_id_prefix".into(), "crave".into()),
            ],
            delta: vec![("storage.aws_region".into(), "eu-west-1".into())],
        }
    }

    #[test]
    fn options_are_arroyos_and_the_rest_is_as_it_was() {
        let sql = "-- é: a comment with $signs in it\nCREATE TABLE e (id TEXT) WITH (\n  connector = 'log', topic = 'crave.events.v1', format = 'json', type = 'source'\n);\n\
                   CREATE TABLE m (id TEXT) WITH (connector = 'log', topic = 't', format = 'json', 'sink.key_field' = 'id', type = 'sink');\n\
                   CREATE TABLE d (id TEXT) WITH (connector = 'delta', path = '$lake/d', type = 'sink');\n\
                   INSERT INTO d SELECT id FROM e WHERE length(id) < $most; -- it's done";
        let expected = "-- é: a comment with $signs in it\nCREATE TABLE e (id TEXT) WITH (
  connector = 'kafka',
  topic = 'prod.crave.events.v1',
  format = 'json',
  type = 'source',
  bootstrap_servers = 'k1:9092,k2:9092',
  'source.offset' = 'earliest',
  'source.read_mode' = 'read_committed',
  client_configs = 'security.protocol=ssl',
  'source.group_id_prefix' = 'crave'
);
CREATE TABLE m (id TEXT) WITH (
  connector = 'kafka',
  topic = 'prod.t',
  format = 'json',
  'sink.key_field' = 'id',
  type = 'sink',
  bootstrap_servers = 'k1:9092,k2:9092',
  'sink.commit_mode' = 'exactly_once',
  client_configs = 'partitioner=murmur2_random,security.protocol=ssl'
);
CREATE TABLE d (id TEXT) WITH (
  connector = 'delta',
  path = 's3://bucket/lake/d',
  type = 'sink',
  format = 'parquet',
  'rolling_policy.interval' = INTERVAL '10 seconds',
  'storage.aws_region' = 'eu-west-1'
);
INSERT INTO d SELECT id FROM e WHERE length(id) < 7; -- it's done";
        assert_eq!(translate("job", sql, &places()).unwrap(), expected);
    }

    #[test]
    fn what_cannot_be_resolved_is_named() {
        let delta = "CREATE TABLE d (id TEXT) WITH (connector = 'delta', path = '$lake/d', type = 'sink');";
        let log = "CREATE TABLE e (id TEXT) WITH (connector = 'log', topic = 't', type = 'source');";
        let table = [
            (delta, Places::default(), "$lake has no value; set arroyo.lake"),
            (
                delta,
                Places {
                    variables: BTreeMap::from([("lake".into(), "/home/lake".into())]),
                    ..Places::default()
                },
                "not to '/home/lake/d'",
            ),
            (log, Places::default(), "set arroyo.brokers"),
            ("INSERT INTO d SELECT $n;", places(), "$n has no value"),
            ("CREATE TABLE (;", places(), "job:1:"),
        ];
        for (sql, places, says) in table {
            let error = translate("job", sql, &places).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        }
    }

    /// The lint is of what is deployed, too.
    #[test]
    fn every_job_is_portable_after_it_too() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sql/jobs");
        for entry in std::fs::read_dir(folder).unwrap() {
            let sql = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            let places = Places { kafka: Vec::new(), ..places() };
            let text = translate("job", &sql, &places).unwrap();
            assert!(!text.contains("'log'") && !text.contains("$lake"), "{text}");
            let stops: Vec<_> =
                portable("job", &text).into_iter().filter(|f| f.level == Level::Stops).collect();
            assert_eq!(stops, []);
        }
    }
}
