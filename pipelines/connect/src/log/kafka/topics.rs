//! The topics in the cluster: made when absent, refused when they have another shape.

use std::{sync::Arc, time::Duration};

use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    error::KafkaError,
    types::RDKafkaErrorCode,
};

use super::{
    ANSWER_MAX, blocking,
    client::{self, Client},
    context::Context,
};
use crate::{Error, log::Topic};

/// Id entries and positions of `admit`, compacted; partitioned as the inbox is.
pub(super) const IDS: &str = "crave.ids.v1";
/// Epochs of writers, compacted; one partition.
pub(super) const EPOCHS: &str = "crave.epochs.v1";

/// How long new topics may take to be known to every broker.
const SETTLE_TRIES: u32 = 100;
const SETTLE_PAUSE: Duration = Duration::from_millis(100);

/// The broker's own default number of replicas.
const REPLICATION: TopicReplication<'static> = TopicReplication::Fixed(-1);

/// Makes the topics that are absent and waits until all have leaders.
pub(super) async fn ensure(
    admin: &Arc<AdminClient<Context>>,
    client: &Client,
    partitions: u32,
) -> Result<(), Error> {
    let wanted = wanted(client, partitions);
    let new = wanted.iter().map(|(name, partitions, compact)| {
        let topic = NewTopic::new(name, client::partition(*partitions), REPLICATION);
        // The log trims itself; a changelog keeps the last of each key. The broker turns whatever
        // compression a producer chose into one that this client can read.
        let topic = topic.set("compression.type", "lz4");
        if *compact {
            topic.set("cleanup.policy", "compact").set("segment.bytes", "67108864")
        } else {
            topic.set("cleanup.policy", "delete").set("retention.ms", "-1").set("retention.bytes", "-1")
        }
    });
    let new: Vec<_> = new.collect();
    let options = AdminOptions::new().request_timeout(Some(ANSWER_MAX)).operation_timeout(Some(ANSWER_MAX));
    let made = admin.create_topics(&new, &options).await.map_err(client::doing("making topics"))?;
    for result in made {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, code)) => {
                return Err(Error::Kafka { what: "making topics", source: KafkaError::AdminOp(code) });
            }
        }
    }
    let mut tries = 0;
    for (name, wanted, _) in wanted {
        loop {
            let (admin, topic) = (Arc::clone(admin), name.clone());
            let found = blocking(move || {
                let metadata = admin.inner().fetch_metadata(Some(&topic), ANSWER_MAX);
                let metadata = metadata.map_err(client::doing("looking at topics"))?;
                let of_topic = metadata.topics().first();
                let led = |t: &rdkafka::metadata::MetadataTopic| {
                    t.partitions().iter().filter(|p| p.leader() >= 0 && p.error().is_none()).count()
                };
                Ok(of_topic.map_or((0, 0), |t| (t.partitions().len(), led(t))))
            });
            match found.await? {
                (known, led) if known == wanted as usize && led == known => break,
                (known, led) if known > 0 && led == known => {
                    let found = u32::try_from(known).unwrap_or(u32::MAX);
                    return Err(Error::Repartitioned { found, wanted });
                }
                _ if tries < SETTLE_TRIES => {
                    tries += 1;
                    tokio::time::sleep(SETTLE_PAUSE).await;
                }
                _ => return Err(client::no_answer("waiting for the topics' leaders")),
            }
        }
    }
    Ok(())
}

/// Name, partitions, whether it is compacted.
fn wanted(client: &Client, partitions: u32) -> Vec<(String, u32, bool)> {
    let logs = Topic::ALL.map(|topic| (client.topic(topic.as_str()), partitions, false));
    let changelogs = [(client.topic(IDS), partitions, true), (client.topic(EPOCHS), 1, true)];
    logs.into_iter().chain(changelogs).collect()
}
