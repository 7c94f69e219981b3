//! The HTTP face: routes, authentication, limits. No business rules: a handler reads a request, calls the
//! crate that knows, and writes the answer.

mod accounts;
mod auth;
mod body;
mod coach;
mod erasures;
mod error;
#[doc(hidden)]
pub mod fuzz;
mod limits;
mod model_server;
mod openai;
mod openapi;
mod routes;
mod secret;
mod sse;
mod state;

pub use accounts::{Accounts, AccountsError, Chosen, Consent, PersonaExample};
pub use body::{BadBody, split};
pub use coach::personas;
pub use erasures::{Erasure, Erasures};
pub use limits::{Limits, RateLimit};
pub use model_server::{Keys, KeysError, ModelLimits, ModelServer};
pub use routes::{page_file, router};
pub use secret::new_secret;
pub use state::{App, Faces, Health};
