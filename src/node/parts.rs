//! Which parts of the platform a process runs: all on one machine, or some beside others over a log in Kafka.

/// A part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// Takes events in: durable in the inbox before they are answered.
    Ingest,
    /// Admits events, runs the streaming jobs, writes and repairs the tables: once a log.
    Flow,
    /// Answers: SQL, analytics, feed, insights, the page. Remembers notes.
    Serve,
}

impl Part {
    /// The whole platform.
    pub(crate) const ALL: [Self; 3] = [Self::Ingest, Self::Flow, Self::Serve];

    /// Its name on the command line.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Flow => "flow",
            Self::Serve => "serve",
        }
    }
}
