//! The gate that every sentence passes: its numbers are facts' values, and it cites them (AN-1). Pure.
//!
//! A template holds `{{name}}` (a fact's value as it is written), `{{name.number}}` (without its unit),
//! `{{name.subject}}` and `{{name.when}}`. Whoever wrote it, an author here or a model later: one that has a digit of
//! its own, or names a fact that is not there, is refused.

use crate::{Fact, Sentence};

/// A template that may not be said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ungrounded {
    /// It has a number that no fact gave.
    #[error("the template has a digit of its own; every number must be {{{{a fact}}}}")]
    Digit,
    /// It names what is not there.
    #[error("the template names {{{{{0}}}}}, which is no fact of this answer")]
    Unknown(String),
}

/// Substitutes the facts that `of` knows, and cites each once, in the order in which they come.
///
/// # Errors
/// See [`Ungrounded`].
pub fn ground<'f>(template: &str, of: impl Fn(&str) -> Option<&'f Fact>) -> Result<Sentence, Ungrounded> {
    let (mut text, mut citations, mut rest) = (String::with_capacity(template.len()), Vec::new(), template);
    let own = |own: &str| if own.chars().any(char::is_numeric) { Err(Ungrounded::Digit) } else { Ok(()) };
    while let Some((before, after)) = rest.split_once("{{") {
        own(before)?;
        text.push_str(before);
        let (place, after) = after.split_once("}}").ok_or_else(|| Ungrounded::Unknown(after.to_owned()))?;
        let (name, field) = place.trim().split_once('.').unwrap_or((place.trim(), ""));
        let fact = of(name).ok_or_else(|| Ungrounded::Unknown(name.to_owned()))?;
        match field {
            "" => text.push_str(&fact.written()),
            "number" => text.push_str(&fact.value.written()),
            "subject" => text.push_str(&fact.subject),
            "when" => text.push_str(&fact.when),
            _ => return Err(Ungrounded::Unknown(place.to_owned())),
        }
        if !citations.contains(&fact.id) {
            citations.push(fact.id);
        }
        rest = after;
    }
    own(rest)?;
    text.push_str(rest);
    Ok(Sentence { text, citations })
}
