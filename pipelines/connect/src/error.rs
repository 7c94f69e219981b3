//! What can go wrong at the log's edge, by what a caller can do about it.

use rdkafka::types::RDKafkaErrorCode;

/// How a caller should react; HTTP and retry read only this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request is wrong; sending it again will not help.
    Invalid,
    /// Too much at once: try again later.
    Overloaded,
    /// The store cannot be written or read at present.
    Unavailable,
    /// Stored bytes are not what was written.
    Corrupt,
}

/// A failure of the event log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The queue to the log's writer, or the log's room on disk, is full.
    #[error("the event log is full ({what}); send again in {retry_after_s} s")]
    Full {
        /// Which bound was met.
        what: &'static str,
        /// When a retry has a chance.
        retry_after_s: u32,
    },
    /// The embedded store failed; once a write has failed it refuses all writes until a restart.
    #[error("the event log's store failed; check the disk, then restart")]
    Store(#[from] fjall::Error),
    /// The writer has stopped.
    #[error("the event log is closed")]
    Closed,
    /// A stored batch does not decode.
    #[error(
        "{topic} partition {partition} at offset {offset}: stored batch does not decode; restore from a backup"
    )]
    Corrupt {
        /// Topic.
        topic: &'static str,
        /// Partition.
        partition: u32,
        /// First offset of the batch.
        offset: u64,
    },
    /// No such partition.
    #[error("partition {partition} does not exist; the log has {partitions}")]
    Partition {
        /// Asked for.
        partition: u32,
        /// How many there are.
        partitions: u32,
    },
    /// The folder was written with another number of partitions.
    #[error(
        "the log in this home has {found} partitions but {wanted} are configured; set log.partitions = {found}"
    )]
    Repartitioned {
        /// On disk.
        found: u32,
        /// In the configuration.
        wanted: u32,
    },
    /// This process was opened to follow the log, not to admit or run jobs.
    #[error("this process follows the log; another one admits and runs the jobs")]
    Follows,
    /// Kafka failed, or did not answer in time.
    #[error("kafka: {what} failed; check that log.brokers is reachable and its disk is not full")]
    Kafka {
        /// What was tried.
        what: &'static str,
        /// What the client says.
        source: rdkafka::error::KafkaError,
    },
    /// Another process has taken over this one's transactions.
    #[error(
        "another process writes to this log as {id}: this one stops writing; stop one of them, or give each its own log.prefix"
    )]
    Fenced {
        /// The transactional id.
        id: String,
    },
    /// The local id index has seen more of a changelog than there is.
    #[error(
        "{topic} partition {partition} is shorter than it was: the topic was made anew; delete log-kafka-ids in the home to build the id index from it"
    )]
    Recreated {
        /// The changelog.
        topic: String,
        /// Partition.
        partition: u32,
    },
}

impl Error {
    /// What a caller can do.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Full { .. } => Kind::Overloaded,
            Self::Kafka { source, .. } => match source.rdkafka_error_code() {
                Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize) => {
                    Kind::Invalid
                }
                _ => Kind::Unavailable,
            },
            Self::Store(_) | Self::Closed | Self::Fenced { .. } | Self::Follows => Kind::Unavailable,
            Self::Corrupt { .. } | Self::Recreated { .. } => Kind::Corrupt,
            Self::Partition { .. } | Self::Repartitioned { .. } => Kind::Invalid,
        }
    }
}
