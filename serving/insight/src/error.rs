//! Why a question was not answered.

/// How a caller should react.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The question is out of its bounds.
    Invalid,
    /// The person has nothing of that id.
    NotFound,
    /// Too much at once; try again later.
    Overloaded,
    /// Tables or citations cannot be used at present.
    Unavailable,
    /// A fault of ours.
    Internal,
}

/// A question that was not answered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Empty or too long.
    #[error("must have 1 to {0} characters")]
    Question(usize),
    /// A conversation that does not end with the person's words.
    #[error("the last message must be the person's question, role user")]
    LastMessage,
    /// A conversation's label is too long.
    #[error("a conversation's id may have at most {0} characters")]
    Label(usize),
    /// The server stops.
    #[error("the server stopped before it was kept; ask again")]
    Stopped,
    /// What must be in the prompt does not fit into the model's context.
    #[error(
        "the question does not fit: the model has {context} tokens; rules, facts, persona and question take {prompt}, and the \
         answer needs {answer}; ask a shorter question"
    )]
    ContextLength {
        /// Tokens of the model.
        context: usize,
        /// Tokens of the answer at least.
        answer: usize,
        /// Tokens of what must be in the prompt.
        prompt: usize,
    },
    /// A persona would leave too little room.
    #[error(
        "the persona has {tokens} tokens; at most {max} (20 % of the smallest context) may be served: shorten it"
    )]
    Persona {
        /// Its tokens.
        tokens: usize,
        /// How many it may have.
        max: usize,
    },
    /// The model cannot be used.
    #[error("the model cannot be used: {0}")]
    Model(String),
    /// Whoever asked has left.
    #[error("the client left before the answer was complete")]
    Left,
    /// There is no such thing of this person.
    #[error("no {0} of yours has this id")]
    NotFound(&'static str),
    /// A bound of what is kept.
    #[error("there are too many {0}")]
    TooMany(&'static str),
    /// The memories are not open here.
    #[error("the memories cannot be used at present; the server's log says why")]
    NoMemories,
    /// The memories did not answer.
    #[error("the memories cannot be used at present")]
    Recall(#[from] crave_recall::Error),
    /// The tables did not answer.
    #[error("the facts could not be computed")]
    Lake(#[from] crave_lake::Error),
    /// The tables' version could not be read.
    #[error("the tables cannot be read at present")]
    Tables(#[from] crave_tables::Error),
    /// The log did not take what was confirmed.
    #[error("it could not be logged at present; say it again")]
    Log(#[from] crave_connect::Error),
    /// The citations could not be kept or read.
    #[error("the citations cannot be kept at present; check the disk")]
    Store(#[from] sqlx::Error),
    /// An answer of the tables is not what it must be.
    #[error("the facts could not be read")]
    Rows(#[from] serde_json::Error),
    /// As [`Error::Rows`].
    #[error("the facts could not be read")]
    Arrow(#[from] arrow::error::ArrowError),
}

impl Error {
    /// What a caller can do.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Question(_)
            | Self::LastMessage
            | Self::Label(_)
            | Self::TooMany(_)
            | Self::ContextLength { .. } => Kind::Invalid,
            Self::Persona { .. } | Self::Model(_) | Self::Left => Kind::Unavailable,
            Self::NotFound(_) => Kind::NotFound,
            Self::NoMemories | Self::Stopped => Kind::Unavailable,
            Self::Recall(error) => match error.kind() {
                crave_recall::ErrorKind::Invalid => Kind::Invalid,
                crave_recall::ErrorKind::Overloaded => Kind::Overloaded,
                _ => Kind::Unavailable,
            },
            Self::Lake(error) => match error.kind() {
                crave_lake::Kind::Overloaded => Kind::Overloaded,
                crave_lake::Kind::Unavailable => Kind::Unavailable,
                // The SQL is ours.
                crave_lake::Kind::Invalid => Kind::Internal,
            },
            Self::Tables(_) | Self::Store(_) | Self::Log(_) => Kind::Unavailable,
            Self::Rows(_) | Self::Arrow(_) => Kind::Internal,
        }
    }
}
