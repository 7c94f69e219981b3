//! Settings of the librdkafka clients, and what their errors mean to a caller.

use rdkafka::{
    ClientConfig,
    admin::AdminClient,
    config::FromClientConfigAndContext,
    consumer::{BaseConsumer, StreamConsumer},
    error::KafkaError,
    producer::FutureProducer,
    types::RDKafkaErrorCode,
};

use super::{KafkaOptions, context::Context};
use crate::{Error, log::Offset};

/// A producer that tells of each record's delivery.
pub(super) type Producer = FutureProducer<Context>;

/// Makes clients of one cluster.
pub(super) struct Client {
    options: KafkaOptions,
}

impl Client {
    pub(super) fn new(options: KafkaOptions) -> Self {
        Self { options }
    }

    /// A topic's name in the cluster.
    pub(super) fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.options.prefix)
    }

    pub(super) fn prefix(&self) -> &str {
        &self.options.prefix
    }

    fn config(&self, settings: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.options.brokers).set("client.id", "crave");
        // A broker that restarts is met again within half a second.
        config.set("reconnect.backoff.ms", "50").set("reconnect.backoff.max.ms", "500");
        for (key, value) in settings {
            config.set(*key, *value);
        }
        for (key, value) in &self.options.client {
            config.set(key, value);
        }
        config
    }

    fn create<T: FromClientConfigAndContext<Context>>(&self, settings: &[(&str, &str)]) -> Result<T, Error> {
        self.config(settings).create_with_context(Context).map_err(doing("connecting"))
    }

    pub(super) fn admin(&self) -> Result<AdminClient<Context>, Error> {
        self.create(&[])
    }

    /// Idempotent: a retry inside the client makes no duplicate.
    pub(super) fn appender(&self) -> Result<Producer, Error> {
        self.create(&[
            ("enable.idempotence", "true"),
            ("acks", "all"),
            ("compression.type", "lz4"),
            ("linger.ms", "2"),
            ("message.timeout.ms", "30000"),
            ("queue.buffering.max.kbytes", "131072"),
            ("queue.buffering.max.messages", "1000000"),
        ])
    }

    /// `id` without the prefix.
    pub(super) fn transactional(&self, id: &str) -> Result<Producer, Error> {
        self.create(&[
            ("transactional.id", &self.topic(id)),
            ("transaction.timeout.ms", "60000"),
            ("message.timeout.ms", "30000"),
            ("compression.type", "lz4"),
            ("linger.ms", "5"),
            ("queue.buffering.max.kbytes", "131072"),
            ("queue.buffering.max.messages", "1000000"),
        ])
    }

    /// Follows one partition.
    pub(super) fn tail(&self) -> Result<StreamConsumer<Context>, Error> {
        self.create(&[
            ("group.id", &self.topic("crave")),
            ("enable.auto.commit", "false"),
            ("isolation.level", "read_committed"),
            ("auto.offset.reset", "earliest"),
            ("fetch.message.max.bytes", "4194304"),
            ("queued.max.messages.kbytes", "8192"),
            ("fetch.queue.backoff.ms", "10"),
        ])
    }

    /// Looks at ends: the broker answers at once, and says where a partition ends.
    pub(super) fn scan(&self) -> Result<BaseConsumer<Context>, Error> {
        self.create(&[
            ("group.id", &self.topic("crave")),
            ("enable.auto.commit", "false"),
            ("isolation.level", "read_committed"),
            ("auto.offset.reset", "earliest"),
            ("enable.partition.eof", "true"),
            ("fetch.wait.max.ms", "1"),
            ("fetch.queue.backoff.ms", "1"),
        ])
    }
}

/// Wraps an error with what was tried.
pub(super) fn doing(what: &'static str) -> impl Fn(KafkaError) -> Error + Copy {
    move |source| Error::Kafka { what, source }
}

/// An error of sending: a full queue is the caller's to wait for.
pub(super) fn sending(error: KafkaError) -> Error {
    match error {
        KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) => {
            Error::Full { what: "records waiting", retry_after_s: 1 }
        }
        source => Error::Kafka { what: "appending", source },
    }
}

/// The broker did not answer in time.
pub(super) fn no_answer(what: &'static str) -> Error {
    Error::Kafka { what, source: KafkaError::Global(RDKafkaErrorCode::OperationTimedOut) }
}

/// Kafka's numbers are signed; ours are far below the sign bit.
pub(super) fn signed(offset: Offset) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}

/// A real offset; negative ones are Kafka's special values.
pub(super) fn offset(signed: i64) -> Offset {
    Offset::try_from(signed).unwrap_or_default()
}

pub(super) fn partition(partition: u32) -> i32 {
    i32::try_from(partition).unwrap_or(i32::MAX)
}
