//! One typed configuration: defaults, then `crave.toml`, then `CRAVE__SECTION__KEY`, unknown keys refused.

mod model;
mod recall;

use std::{net::SocketAddr, path::Path, time::Duration};

use anyhow::Context as _;
use bytesize::ByteSize;
use serde::Deserialize;

pub(crate) use self::recall::{EmbedderKind, Recall, Store};

/// Everything that can be set.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) server: Server,
    pub(crate) log: Log,
    pub(crate) shared: Shared,
    pub(crate) flow: Flow,
    pub(crate) repair: Repair,
    pub(crate) limits: Limits,
    pub(crate) sql: Sql,
    pub(crate) recall: Recall,
    pub(crate) model: model::Model,
    pub(crate) arroyo: Arroyo,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Server {
    pub(crate) listen: SocketAddr,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Log {
    pub(crate) kind: LogKind,
    pub(crate) brokers: String,
    pub(crate) prefix: String,
    pub(crate) client: Vec<String>,
    pub(crate) partitions: u32,
    pub(crate) disk_max: ByteSize,
    #[serde(with = "humantime_serde")]
    pub(crate) heartbeat: Duration,
}

/// What processes on one machine share beside a log in Kafka; each has a home of its own for the rest.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shared {
    pub(crate) lake: String,
    pub(crate) accounts: String,
}

/// Where the event log is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogKind {
    Local,
    Kafka,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Flow {
    pub(crate) jobs: String,
    #[serde(with = "humantime_serde")]
    pub(crate) checkpoint_interval: Duration,
    pub(crate) parallelism: usize,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Repair {
    #[serde(with = "humantime_serde")]
    pub(crate) interval: Duration,
    #[serde(with = "humantime_serde")]
    pub(crate) maintain_interval: Duration,
    #[serde(with = "humantime_serde")]
    pub(crate) verify_interval: Duration,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    pub(crate) body_max: ByteSize,
    pub(crate) batch_events_max: usize,
    pub(crate) events_per_s: f64,
    pub(crate) events_burst: f64,
    pub(crate) feeds_max: usize,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sql {
    pub(crate) rows_max: usize,
    pub(crate) memory_max: ByteSize,
    #[serde(with = "humantime_serde")]
    pub(crate) time_max: Duration,
    pub(crate) concurrent_max: usize,
}

/// Where an Arroyo cluster is, and what it reaches; its token comes from the environment only.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arroyo {
    pub(crate) url: String,
    pub(crate) lake: String,
    pub(crate) brokers: String,
    pub(crate) parallelism: u64,
    #[serde(with = "humantime_serde")]
    pub(crate) checkpoint_interval: Duration,
    pub(crate) kafka: Vec<String>,
    pub(crate) delta: Vec<String>,
}

impl Config {
    /// Reads and checks the configuration; `file` must exist when it is given.
    pub(crate) fn load(file: Option<&Path>) -> anyhow::Result<Self> {
        let defaults = config::File::from_str(include_str!("config.toml"), config::FileFormat::Toml);
        let mut builder = config::Config::builder().add_source(defaults);
        builder = match file {
            Some(path) => builder.add_source(config::File::from(path)),
            None => {
                builder.add_source(config::File::new("crave.toml", config::FileFormat::Toml).required(false))
            }
        };
        let environment = config::Environment::with_prefix("CRAVE").prefix_separator("__").separator("__");
        let config: Self = builder
            .add_source(environment.try_parsing(true))
            .build()
            .and_then(config::Config::try_deserialize)
            .context("the configuration is not valid; src/config.toml lists every key")?;
        config.check()?;
        Ok(config)
    }

    /// For a command that ends by itself: time is told often, so that windows close before it returns, and nothing is
    /// begun on a schedule.
    pub(crate) fn one_shot(&self) -> Self {
        let heartbeat = self.log.heartbeat.min(Duration::from_millis(250));
        let repair = Repair { verify_interval: Duration::ZERO, ..self.repair };
        Self { log: Log { heartbeat, ..self.log.clone() }, repair, ..self.clone() }
    }

    fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!((1..=256).contains(&self.log.partitions), "log.partitions must be 1 to 256");
        let kafka = self.log.kind == LogKind::Kafka;
        anyhow::ensure!(
            !kafka || !self.log.brokers.is_empty(),
            "log.brokers must be set for log.kind = kafka"
        );
        let word = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let prefix = &self.log.prefix;
        anyhow::ensure!(
            prefix.len() <= 200 && prefix.chars().all(word),
            "log.prefix must be letters, digits, '.', '_' and '-'"
        );
        let pairs = self.log.client.iter().all(|setting| setting.contains('='));
        anyhow::ensure!(pairs, "log.client must hold KEY=VALUE strings");
        anyhow::ensure!((1..=256).contains(&self.flow.parallelism), "flow.parallelism must be 1 to 256");
        let interval = self.flow.checkpoint_interval;
        let sensible = Duration::from_millis(50)..=Duration::from_secs(600);
        anyhow::ensure!(sensible.contains(&interval), "flow.checkpoint_interval must be 50ms to 10m");
        anyhow::ensure!(self.limits.events_per_s > 0.0, "limits.events_per_s must be above 0");
        anyhow::ensure!(self.limits.batch_events_max > 0, "limits.batch_events_max must be above 0");
        self.recall.check()?;
        self.model.check()?;
        self.arroyo.check()
    }
}

impl Arroyo {
    fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!((1..=1024).contains(&self.parallelism), "arroyo.parallelism must be 1 to 1024");
        let allowed = Duration::from_secs(1)..=Duration::from_secs(86_400);
        let interval = &self.checkpoint_interval;
        anyhow::ensure!(allowed.contains(interval), "arroyo.checkpoint_interval must be 1s to 1d");
        let mut options = self.kafka.iter().chain(&self.delta);
        anyhow::ensure!(
            options.all(|option| option.contains('=')),
            "arroyo.kafka and arroyo.delta must hold KEY=VALUE strings"
        );
        Ok(())
    }
}

impl Flow {
    /// The folder of jobs, where one is set.
    pub(crate) fn jobs(&self) -> Option<&Path> {
        (!self.jobs.is_empty()).then(|| Path::new(&self.jobs))
    }
}

impl Limits {
    pub(crate) fn api(self) -> crave_api::Limits {
        crave_api::Limits {
            body_bytes_max: usize::try_from(self.body_max.as_u64()).unwrap_or(usize::MAX),
            batch_events_max: self.batch_events_max,
            events_per_s: self.events_per_s,
            events_burst: self.events_burst,
            feeds_max: self.feeds_max,
        }
    }
}

impl Sql {
    pub(crate) fn bounds(self) -> crave_lake::Bounds {
        crave_lake::Bounds {
            rows_max: self.rows_max,
            memory_bytes_max: usize::try_from(self.memory_max.as_u64()).unwrap_or(usize::MAX),
            time_max: self.time_max,
            concurrent_max: self.concurrent_max,
            ..crave_lake::Bounds::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        let config = Config::load(None).unwrap();
        assert_eq!(config.log.partitions, 4);
        assert_eq!(config.flow.checkpoint_interval, Duration::from_millis(500));
    }

    #[test]
    fn a_misspelt_key_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("crave.toml");
        std::fs::write(&path, "[log]\npartitons = 8\n").unwrap();
        let error = format!("{:#}", Config::load(Some(&path)).unwrap_err());
        assert!(error.contains("partitons"), "{error}");
        std::fs::write(&path, "[flow]\ncheckpoint_interval = \"1ms\"\n").unwrap();
        assert!(format!("{:#}", Config::load(Some(&path)).unwrap_err()).contains("checkpoint_interval"));
    }
}
