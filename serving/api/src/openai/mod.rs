//! OpenAI's chat completions as they travel: requests read leniently, answers, chunks and errors in its shapes.
//!
//! In: the bytes of a body ([`ChatRequest::parse`]) and, from whoever answers, a stream of [`Piece`]s. Out: a response,
//! whole or as server-sent events ([`respond`]), or an [`OpenAiError`]. Nothing here knows what a model or a person is.
//!
//! The types are our own: `async-openai`'s, which a client wants, refuse unknown roles and know no `top_k` or `min_p`,
//! where a server must take what chat programs send and say by name what it does not serve.

mod answer;
mod error;
mod request;

pub(crate) use answer::{FinishReason, Form, Head, Piece, Usage, respond};
pub(crate) use error::OpenAiError;
pub(crate) use request::ChatRequest;
