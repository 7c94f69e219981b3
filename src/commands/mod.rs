//! The commands, one a file.

pub(crate) mod adapters;
pub(crate) mod backup;
pub(crate) mod bench;
pub(crate) mod dead;
pub(crate) mod deploy;
pub(crate) mod doctor;
pub(crate) mod emotion;
pub(crate) mod erase;
pub(crate) mod extract;
pub(crate) mod feedback;
pub(crate) mod flow;
pub(crate) mod import;
pub(crate) mod memories;
pub(crate) mod models;
pub(crate) mod persona;
pub(crate) mod reconcile;
pub(crate) mod search;
pub(crate) mod serve_model;
pub(crate) mod simulate;
pub(crate) mod sql;
pub(crate) mod token;
pub(crate) mod up;
pub(crate) mod verify;
