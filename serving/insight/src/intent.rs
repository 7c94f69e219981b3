//! What a message is for. Pure.
//!
//! | intent | what happens |
//! |---|---|
//! | crisis | the vetted answer, and nothing else |
//! | log this | the event is proposed, and taken in when the person confirms it |
//! | out of scope | advice that only a professional may give |
//! | question | answered from the log |
//! | talk | remembered and answered as talk |

use std::fmt;

use crave_recall::words::{any, find, words};
use serde::Serialize;

use crate::{Crisis, question, screen};

/// What a message is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Someone is in crisis.
    Crisis(Crisis),
    /// A craving or a lapse to log.
    Log(Draft),
    /// A question about one's own log.
    Question,
    /// Advice that only a professional may give.
    OutOfScope,
    /// Anything else.
    Talk,
}

/// An event as a message tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Draft {
    /// `craving` or `lapse`.
    pub kind: &'static str,
    /// What is craved.
    pub craving: String,
    /// How strong, 0 to 10, where it is said.
    pub intensity: Option<u8>,
    /// Whether it was resisted, where it is said.
    pub resisted: Option<bool>,
}

impl fmt::Display for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.craving)?;
        self.intensity.map_or(Ok(()), |strength| write!(f, ", {strength} of 10"))
    }
}

/// Reads a message.
#[must_use]
pub fn intent(message: &str) -> Intent {
    if let Some(crisis) = screen(message) {
        return Intent::Crisis(crisis);
    }
    let words = words(message);
    if question::is_medical(&words) {
        return Intent::OutOfScope;
    }
    let asks = message.trim_end().ends_with('?')
        || find(&words, "why|what|when|how|which|do|does|did|is|are|am|was|were|can|could|should|show|tell|compare|list|summarise|summarize|explain")
            .is_some_and(|(at, _)| at == 0);
    let asked_to_log = any(
        &words,
        &["log|record|track|add|note|save this|that|it|a|an|my|one|another|me|craving|urge|lapse"],
    ) && find(&words, "please|can|could|log|record|track|add|note|save")
        .is_some_and(|(at, _)| at == 0);
    if (!asks || asked_to_log)
        && let Some(draft) = draft(message, &words)
    {
        return Intent::Log(draft);
    }
    if asks && (question::is_about_log(&words) || !question::named(&words).is_empty()) {
        Intent::Question
    } else {
        Intent::Talk
    }
}

/// Not now, or not the person.
const ELSEWHERE: &[&str] = &[
    "yesterday|yesterdays|tomorrow|later|tonight|ago|always|usually|sometimes|often|never|every|used|would|will|might|if|when|last|next|years|normally",
    "my friend|partner|wife|husband|brother|sister|mother|father|mom|dad|boss|son|daughter|kid|kids|colleague|boyfriend|girlfriend|roommate|dog",
    "he|she|they|we|who",
    "you ?just had|ate|smoked|drank|want|crave",
    "thinking of|about",
    "to quit|stop|avoid|reduce",
    "quit|stop smoking|drinking|eating|vaping|sugar",
    "water|juice|tea|milk",
    "dream*",
];
const NOT: &[&str] = &["dont|didnt|doesnt|wouldnt|wont|cant|isnt|not|no|without|havent|hadnt"];
/// Giving in.
const HAD: &[&str] =
    &["had|ate|smoked|drank|bought|finished|devoured|vaped", "gave in", "lapsed|relapsed|slipped"];
/// Wanting.
const WANT: &[&str] = &[
    "crav*",
    "urge|urges",
    "want|wanting|need a|an|some|to ~ now|badly|bad",
    "dying for",
    "tempted",
    "fancy a|an|some",
    "could ?really use|do ?with a|an|some",
    "desperate for",
    "really|so want|need",
    "itching for",
];
const RESISTED: &[&str] = &["resisted", "walked away", "held out", "said no", "stayed strong"];
/// It is now.
const NOW: &[&str] = &[
    "just",
    "now",
    "right now",
    "currently",
    "this minute|moment|second|morning|afternoon|evening",
    "again",
    "log|record|track|add|save",
    "im|i am crav*|dying|tempted|desperate|itching",
    "having",
    "today",
    "got",
];

fn draft(message: &str, words: &[String]) -> Option<Draft> {
    let craving = (*question::named(words).first()?).to_owned();
    let resisted = any(words, RESISTED);
    // "I said no" is no denial of the craving.
    let denied = any(words, NOT) && !any(words, &["said no"]);
    let (had, wants) = (any(words, HAD), any(words, WANT) || resisted);
    let intensity = strength(message);
    let now = any(words, NOW) || intensity.is_some();
    let plain = words.len() <= 5 && intensity.is_some();
    if any(words, ELSEWHERE) || denied || !now || !(had || wants || plain) {
        return None;
    }
    let kind = if had && !wants { "lapse" } else { "craving" };
    Some(Draft { kind, craving, intensity, resisted: resisted.then_some(true) })
}

/// `7/10`, `7 of 10`, `7 out of 10`; nothing where it is not one of 0 to 10.
pub(crate) fn strength(message: &str) -> Option<u8> {
    let plain = message.to_lowercase().replace("out of", "/").replace(" of ", "/").replace(' ', "");
    let at = plain.find("/10")?;
    if plain.get(at + 3..).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit() || c == '/')) {
        return None;
    }
    let before = plain.get(..at)?;
    let digits = before.chars().rev().take_while(char::is_ascii_digit).count();
    let own = before.get(before.len() - digits..)?;
    if before.get(..before.len() - digits).is_some_and(|rest| rest.ends_with(['.', ',', '-', '/']))
        && !rest_is_text(before, digits)
    {
        return None;
    }
    own.parse().ok().filter(|strength| *strength <= 10)
}

/// Whether a comma before the number ends a clause, rather than being a part of the number.
fn rest_is_text(before: &str, digits: usize) -> bool {
    let rest = before.get(..before.len() - digits).unwrap_or_default();
    let mut back = rest.chars().rev();
    matches!(back.next(), Some(',' | '-' | '.')) && back.next().is_some_and(|c| !c.is_ascii_digit())
}
