//! The language model's side of answers: what goes in, what comes out, what never does.
mod budget;
mod gate;
mod intent;
mod remote;
