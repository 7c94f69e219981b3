//! The same jobs on an Arroyo cluster: what is not portable is said, what is portable is deployed, watched, stopped.
//!
//! In: `.sql` files, our functions, and where the cluster, its brokers and its tables are. Out: findings
//! ([`portable()`]), and running pipelines over Arroyo's REST API. A deployment goes: [`portable()`] judges each program,
//! [`translate()`] puts in Arroyo's options, [`observe`] reads what is in the cluster, [`decide`] makes a [`Plan`],
//! [`validate`] lets Arroyo plan everything, [`deploy()`] carries the plan out and follows the jobs until they run.
//!
//! The API was read in Arroyo's source (0.16-dev); the tests run against a server of our own that follows it, and
//! against a real cluster where `ARROYO_URL` is set.

mod client;
mod deploy;
mod error;
mod follow;
mod plan;
mod portable;
mod translate;
mod wire;

pub use client::Client;
pub use deploy::{Status, Tell, Told, delete, deploy, finish, observe, status, stop, validate};
pub use error::{Error, Kind};
pub use follow::Watch;
pub use plan::{
    Facts, Job, JobAction, PipelineFact, Plan, UDF_PREFIX, Udf, UdfAction, UdfFact, Wanted, decide,
};
pub use portable::{Finding, Level, portable};
pub use translate::{Places, translate};
