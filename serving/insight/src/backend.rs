//! What speaks: a server that understands OpenAI's API.
//!
//! A backend gives pieces of text as they come. Nothing it gives is sent to a person before [`crate::Gate`] has passed it.

use crave_lora::Message;
use tokio::sync::mpsc;

use crate::{Result, budget::Count};

mod remote;
pub use remote::{Remote, RemoteOptions};

/// What a backend is asked.
#[derive(Clone, Debug)]
pub struct Prompt {
    /// The conversation.
    pub messages: Vec<Message>,
    /// The adapter that should speak, if the server has it; else the base does.
    pub adapter: Option<String>,
    /// Tokens of the answer at most.
    pub max_tokens: usize,
}

/// What comes of a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Comes first where an adapter speaks: its name.
    Adapter(String),
    /// Text.
    Text(String),
    /// The end, with the tokens of prompt and answer where they are known.
    Done {
        /// Of the prompt.
        prompt_tokens: Option<usize>,
        /// Of the answer.
        completion_tokens: Option<usize>,
    },
    /// It failed; what came before is no whole answer.
    Failed(String),
}

/// Pieces as they come; dropping it cancels the request.
pub type Pieces = mpsc::Receiver<Piece>;

/// Speaks.
pub trait Backend: Send + Sync + std::fmt::Debug {
    /// Begins to answer.
    ///
    /// # Errors
    /// When it cannot begin; what goes wrong later comes as [`Piece::Failed`].
    fn speak(&self, prompt: Prompt) -> Result<Pieces>;
    /// Tokens of prompt and answer together.
    fn context(&self) -> usize;
    /// How its tokens are counted.
    fn counter(&self) -> &dyn Count;
    /// The model's name, for the answer's metadata.
    fn model(&self) -> &str;
    /// Whether words leave this machine: then the person must have allowed it.
    fn is_remote(&self) -> bool;
}

/// Pieces that wait for whoever reads them.
const PIECES_MAX: usize = 64;
