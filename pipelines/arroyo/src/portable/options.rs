//! What may stand in `WITH (…)`: the options of Arroyo's connectors, and of our own names for them.
//!
//! `log` is Arroyo's `kafka`, filled in when a job is deployed; a misspelt option stops a job in Arroyo as well, but
//! only once it is deployed.

use super::{
    finding::Findings,
    script::{At, Table},
};

/// Read by Arroyo for every connector.
const COMMON: &[&str] = &[
    "connector",
    "type",
    "format",
    "connection_profile",
    "event_time_field",
    "watermark_field",
    "idle_micros",
    "bad_data",
    "framing",
    "framing.newline.max_length",
    "lookup.cache.max_bytes",
    "lookup.cache.ttl",
];

/// Options of a format: its name, then the options.
const FORMATS: &[(&str, &[&str])] = &[
    ("json", JSON),
    ("debezium_json", JSON),
    ("avro", &["avro.confluent_schema_registry", "avro.raw_datums", "avro.into_unstructured_json"]),
    ("parquet", &["parquet.compression", "parquet.row_group_size"]),
    ("raw_string", &[]),
    ("raw_bytes", &[]),
];

const JSON: &[&str] = &[
    "json.confluent_schema_registry",
    "json.include_schema",
    "json.unstructured",
    "json.timestamp_format",
    "json.decimal_encoding",
    "json.compression",
];

/// Options of a connector as a source, and as a sink; a name that ends in a dot allows all that begin with it.
const CONNECTORS: &[(&str, &[&str], &[&str])] = &[
    ("log", &["topic"], &["topic", "sink.key_field"]),
    (
        "kafka",
        &[
            "topic",
            "bootstrap_servers",
            "client_configs",
            "value.subject",
            "auth.",
            "schema_registry.",
            "source.offset",
            "source.read_mode",
            "source.group_id",
            "source.group_id_prefix",
        ],
        &[
            "topic",
            "bootstrap_servers",
            "client_configs",
            "value.subject",
            "auth.",
            "schema_registry.",
            "sink.commit_mode",
            "sink.timestamp_field",
            "sink.key_field",
        ],
    ),
    ("delta", &[], FILES),
    ("filesystem", &["path", "source.regex_pattern", "source.compression", "storage."], FILES),
    ("single_file", &["path", "wait_for_control"], &["path", "wait_for_control"]),
    ("impulse", &["event_rate", "event_time_interval", "message_count"], &[]),
    ("blackhole", &[], &[]),
    ("stdout", &[], &[]),
];

const FILES: &[&str] = &[
    "path",
    "storage.",
    "rolling_policy.file_size",
    "rolling_policy.interval",
    "rolling_policy.inactivity_interval",
    "rolling_policy.watermark_expiration",
    "filename.prefix",
    "filename.suffix",
    "filename.strategy",
    "partitioning.time_pattern",
    "partitioning.fields",
    "shuffle_by_partition.enabled",
    "multipart.target_part_size",
    "multipart.max_parts",
    "multipart.minimum_multipart_size",
    "sink.version",
];

/// Connectors that Arroyo has and whose options are left to it.
const OTHERS: &[&str] = &[
    "memory",
    "confluent",
    "fluvio",
    "iceberg",
    "kinesis",
    "mqtt",
    "nats",
    "nexmark",
    "polling_http",
    "preview",
    "rabbitmq",
    "redis",
    "sse",
    "webhook",
    "websocket",
];

pub(super) fn check(table: &Table, sink: bool, findings: &mut Findings<'_>) {
    let connector = table.connector();
    let Some((_, source, into)) = CONNECTORS.iter().find(|c| c.0 == connector) else {
        if !OTHERS.contains(&connector) {
            let at = place(table, "connector");
            let known = CONNECTORS.iter().map(|c| c.0).collect::<Vec<_>>().join(", ");
            findings.stop(
                at,
                "connector",
                format!("Arroyo has no connector '{connector}'"),
                format!("use {known}"),
            );
        }
        return;
    };
    if connector == "delta" && table.value("type") == Some("source") {
        let instead = "read the topic, or a view of the same program";
        findings.stop(place(table, "type"), "delta-source", "Arroyo's Delta tables are sinks only", instead);
        return;
    }
    if table.value("type").is_none() && !matches!(connector, "blackhole" | "stdout" | "impulse") {
        let instead = format!("add type = '{}'", if sink { "sink" } else { "source" });
        findings.stop(table.at, "option", format!("table {} has no option 'type'", table.name), instead);
    }
    let format = table.value("format").unwrap_or(if connector == "delta" { "parquet" } else { "json" });
    let of_format = FORMATS.iter().find(|f| f.0 == format).map_or(&[][..], |f| f.1);
    let allowed = [COMMON, of_format, if sink { into } else { source }].concat();
    for option in &table.options {
        let known =
            allowed.iter().any(|a| *a == option.key || (a.ends_with('.') && option.key.starts_with(a)));
        if !known {
            let side = if sink { "sinks" } else { "sources" };
            let reason = format!("'{}' is no option of {connector} {side} with format {format}", option.key);
            findings.stop(option.at, "option", reason, "leave it out, or check its spelling");
        }
        if connector == "delta"
            && (option.key.starts_with("partitioning.") || option.key.starts_with("shuffle_by_"))
        {
            let reason =
                "Arroyo partitions the folders of a Delta table but does not tell Delta, so no reader knows";
            findings.stop(option.at, "delta-partition", reason, "leave partitioning out");
        }
    }
    kafka(table, sink, findings);
}

/// Defaults that lose or double rows without a word.
fn kafka(table: &Table, sink: bool, findings: &mut Findings<'_>) {
    if table.connector() != "kafka" {
        return;
    }
    if let (Some(_), Some(prefix)) = (table.option("source.group_id"), table.option("source.group_id_prefix"))
    {
        let reason = "Arroyo ignores source.group_id_prefix beside source.group_id";
        findings.stop(prefix.at, "ignored", reason, "leave one of them out");
    }
    let defaults: &[(&str, &str, &str)] = if sink {
        &[("sink.commit_mode", "at_least_once, which doubles rows after a failure", "exactly_once")]
    } else {
        &[
            ("source.offset", "latest, which skips what is in the topic", "earliest"),
            (
                "source.read_mode",
                "read_uncommitted, which reads transactions that were aborted",
                "read_committed",
            ),
        ]
    };
    for (key, default, wanted) in defaults {
        if table.option(key).is_none() {
            let reason = format!("without {key} Arroyo takes {default}");
            findings.stop(table.at, "default", reason, format!("add '{key}' = '{wanted}'"));
        }
    }
}

fn place(table: &Table, key: &str) -> At {
    table.option(key).map_or(table.at, |option| option.at)
}
