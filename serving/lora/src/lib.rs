//! One base model, many LoRA adapters, one batch.
//!
//! In: a Hugging Face folder of the Llama family or a GGUF file, PEFT folders of adapters, chat requests. Out: tokens, each row of a
//! batch as if its adapter alone had been loaded (LR-1).
//!
//! | part | does |
//! |---|---|
//! | [`Model`], [`KvCache`] | one pass over mixed rows; the paged memory of keys and values |
//! | [`AdapterStore`], [`Adapter`], [`Registry`] | adapters onto disk, from there to memory and out again, while requests run |
//! | [`Text`], [`ChatTemplate`], [`Sampling`] | messages to tokens, logits to tokens, tokens to text |
//! | [`Engine`], [`Limits`] | many requests at once: who runs, with how many tokens, fairly by tenant; a load never makes a request wait whose adapter is in memory (LR-2) |
//!
//! Everything runs on the CPU: f32, bf16, or f32 over a quantised base. With the feature `cuda` a [`Model`] may lie on a GPU,
//! with kernels of our own for adapters and attention; that has been compiled, but has not run. Nothing of a prompt or an
//! answer is logged.

mod adapter;
mod engine;
mod error;
#[doc(hidden)]
pub mod fuzz;
mod model;
mod sample;
mod schedule;
mod template;
mod text;

pub use candle_core::DType;

pub use adapter::registry::{AdapterInfo, Lease, Registry, RegistryOptions};
pub use adapter::store::{AdapterStore, Added, Staged, Stored};
pub use adapter::{Adapter, Module};
pub use engine::{Engine, EngineOptions, Event, Finish, Generation, Request, Stats, Usage};
pub use error::{Error, ErrorKind};
pub use model::{KvCache, Model, ModelConfig, RopeScaling, Row};
pub use sample::Sampling;
pub use schedule::Limits;
pub use template::{ChatTemplate, Message};
pub use text::Text;

/// Result of this crate's operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;
