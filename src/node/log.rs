//! The event log that the configuration asks for; `writes` where this process admits and runs the jobs.

use std::sync::Arc;

use crave_connect::log::{EventLog, KafkaLog, KafkaOptions, LocalLog, LocalOptions};

use crate::{
    config::{Log, LogKind},
    home::Home,
};

pub(super) async fn open(home: &Home, config: &Log, writes: bool) -> anyhow::Result<Arc<dyn EventLog>> {
    let partitions = config.partitions;
    Ok(match config.kind {
        LogKind::Local => {
            let options = LocalOptions { partitions, disk_bytes_max: config.disk_max.as_u64() };
            Arc::new(LocalLog::open(&home.log(), options)?)
        }
        LogKind::Kafka => {
            let pairs = config.client.iter().filter_map(|setting| setting.split_once('='));
            let options = KafkaOptions {
                brokers: config.brokers.clone(),
                prefix: config.prefix.clone(),
                partitions,
                client: pairs.map(|(key, value)| (key.trim().into(), value.trim().into())).collect(),
                writes,
            };
            Arc::new(Box::pin(KafkaLog::open(&home.log_kafka_ids(), options)).await?)
        }
    })
}
