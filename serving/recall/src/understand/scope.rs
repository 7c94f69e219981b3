//! What is said of the words in a clause: denied, long past, of somebody else, only supposed. Pure.
//!
//! Rules in the manner of NegEx (Chapman et al., 2001, *A simple algorithm for identifying negated findings*): a
//! trigger word reaches over the words that follow it in its clause.

use serde::Serialize;

/// Words that a denial reaches.
const NEGATION_REACH: usize = 6;

const NEGATIONS: &[&str] = &[
    "not", "no", "never", "without", "nothing", "nobody", "hardly", "neither", "nor", "zero", "didn't",
    "don't", "doesn't", "isn't", "wasn't", "weren't", "aren't", "haven't", "hasn't", "hadn't", "wouldn't",
    "won't", "didnt", "dont", "isnt", "wasnt", "havent", "barely", "nah", "anything",
];
/// Phrases with a negation that deny nothing.
const NOT_DENIALS: &[&str] = &[
    "can't stop",
    "cant stop",
    "couldn't stop",
    "couldn't resist",
    "can't resist",
    "can't wait",
    "no matter",
    "not only",
    "can't help",
    "nothing but",
    "don't know",
    "no idea",
    "can't think",
    "can't get",
    "why not",
    "couldn't be happier",
    "couldn't be prouder",
    "no wonder",
    "can't believe",
    "not even hungry",
    "no doubt",
];
const PAST: &[&str] = &[
    "used to",
    "years ago",
    "back then",
    "last year",
    "last month",
    "last winter",
    "when i was",
    "in those days",
    "as a kid",
    "as a child",
    "as a teenager",
    "in my twenties",
    "months ago",
    "long ago",
    "no longer",
    "anymore",
    "any more",
    "at sixteen",
    "in school",
    "in college",
    "in high school",
    "the old me",
    "before the kids",
    "in the old days",
    "there was a time",
    "there were months",
    "once i'd",
    "lockdown",
    "for years",
    "as an intern",
    "at university",
];
const OTHERS: &[&str] = &[
    "he",
    "she",
    "they",
    "he's",
    "she's",
    "they're",
    "his",
    "her",
    "their",
    "him",
    "them",
    "everyone",
    "everybody",
    "people",
    "you",
    "you'd",
];
const RELATIVES: &[&str] = &[
    "sister",
    "brother",
    "mum",
    "mom",
    "dad",
    "mother",
    "father",
    "son",
    "daughter",
    "husband",
    "wife",
    "boyfriend",
    "girlfriend",
    "partner",
    "friend",
    "colleague",
    "boss",
    "neighbour",
    "neighbor",
    "flatmate",
    "roommate",
    "kids",
    "kid",
    "children",
    "uncle",
    "aunt",
    "cousin",
    "niece",
    "nephew",
    "grandma",
    "grandpa",
    "grandfather",
    "grandmother",
    "ex",
    "dog",
    "cat",
    "manager",
    "parents",
    "friends",
    "colleagues",
    "coworkers",
    "teacher",
    "lad",
    "mate",
    "students",
];
const SELF: &[&str] =
    &["i", "i'm", "i've", "i'd", "i'll", "me", "im", "my", "we", "we're", "us", "myself", "mine"];
const SUPPOSED: &[&str] = &["if", "would", "might", "maybe", "could", "does", "is", "how", "can"];

/// Why a word that speaks for a label does not speak for the writer and for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// "Not stressed."
    Denied,
    /// "I used to be anxious."
    Past,
    /// "My sister is sad."
    Other,
    /// "If I were bored."
    Supposed,
}

impl Standing {
    /// Its name in JSON and tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Past => "past",
            Self::Other => "other",
            Self::Supposed => "supposed",
        }
    }
}

/// What holds for the words of a clause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Scope {
    /// The number of the first word that a denial reaches, and the first after its reach.
    denied: Option<(usize, usize)>,
    pub(super) past: bool,
    /// Another person is the subject.
    pub(super) other: bool,
    pub(super) own: bool,
    pub(super) supposed: bool,
}

impl Scope {
    pub(super) fn of(words: &[&str]) -> Self {
        let line = words.join(" ");
        let excused = NOT_DENIALS.iter().any(|phrase| has(&line, phrase));
        let denial = words.iter().position(|word| NEGATIONS.contains(word)).filter(|_| !excused);
        let first_own =
            words.iter().position(|word| matches!(*word, "i" | "i'm" | "i've" | "i'd" | "im" | "i'll"));
        let first_other = words.iter().enumerate().position(|(at, word)| {
            let before = at.checked_sub(1).and_then(|at| words.get(at)).copied();
            let relative = RELATIVES.contains(word)
                && (at <= 3)
                && !matches!(before, Some("with" | "for" | "from" | "at" | "by" | "to" | "of"));
            let someone = OTHERS.contains(word) && at <= 3;
            relative || someone
        });
        Self {
            denied: denial.map(|at| (at, at + 1 + NEGATION_REACH)),
            past: PAST.iter().any(|phrase| has(&line, phrase)),
            other: first_other.is_some_and(|other| first_own.is_none_or(|own| other < own)),
            own: words.iter().any(|word| SELF.contains(word)),
            supposed: words.first().is_some_and(|word| SUPPOSED.contains(word))
                || words.contains(&"if")
                || words.contains(&"would"),
        }
    }

    /// Why the word at `at` does not hold, if it doesn't; what others feel or what is supposed says nothing of the writer
    /// where it is `personal`.
    pub(super) fn standing(&self, at: usize, personal: bool) -> Option<Standing> {
        match self {
            _ if self.denies(at) => Some(Standing::Denied),
            Self { past: true, .. } => Some(Standing::Past),
            Self { other: true, .. } if personal => Some(Standing::Other),
            Self { supposed: true, .. } if personal => Some(Standing::Supposed),
            _ => None,
        }
    }

    fn denies(&self, at: usize) -> bool {
        self.denied.is_some_and(|(from, to)| (from..to).contains(&at))
    }

    pub(super) fn has_denial(&self) -> bool {
        self.denied.is_some()
    }
}

/// Whether `line` holds `phrase` as whole words.
fn has(line: &str, phrase: &str) -> bool {
    line.match_indices(phrase).any(|(at, _)| {
        let before = line.get(..at).is_none_or(|head| head.is_empty() || head.ends_with(' '));
        let after = line.get(at + phrase.len()..).is_none_or(|tail| tail.is_empty() || tail.starts_with(' '));
        before && after
    })
}

/// Words with which the writer comes in again: "my boss shouts and I want to smoke".
const TURNS: &[&str] = &["and", "so", "because", "while"];

/// The clauses of a text, in lower case: cut at punctuation, before "but", and where the writer becomes the subject.
pub(super) fn clauses(text: &str) -> Vec<String> {
    let mut text = text.to_lowercase().replace(['’', '‘'], "'").replace(" but ", ", but ");
    for turn in TURNS {
        for own in ["i ", "i'"] {
            text = text.replace(&format!(" {turn} {own}"), &format!(", {turn} {own}"));
        }
    }
    text.split([',', '.', ';', ':', '!', '?', '\n', '—', '–', '(', ')', '…'])
        .map(|clause| {
            let words = clause.split(|c: char| !(c.is_alphanumeric() || c == '\'' || c == '-'));
            words
                .map(|word| word.trim_matches('\''))
                .filter(|word| !word.is_empty())
                .collect::<Vec<_>>()
                .join(" ")
        })
        .filter(|clause| !clause.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_word() {
        let scope = |text: &str| Scope::of(&text.split(' ').collect::<Vec<_>>());
        assert!(scope("i am not stressed").denies(3));
        assert!(!scope("stressed and not hungry").denies(0));
        assert!(!scope("i can't stop thinking of cake").has_denial());
        assert!(scope("i used to be anxious").past);
        assert!(scope("my sister is sad").other && !scope("i am sad for my sister").other);
        assert!(scope("would i smoke again").supposed);
        assert_eq!(Scope::of(&[]), Scope::default());
    }

    #[test]
    fn texts_are_cut_into_clauses() {
        assert_eq!(clauses("Not sad, just Tired. OK?"), ["not sad", "just tired", "ok"]);
        assert_eq!(clauses("I’m full but want cake…"), ["i'm full", "but want cake"]);
        assert_eq!(clauses("She sings and I'm sad"), ["she sings", "and i'm sad"]);
        assert_eq!(clauses(" ,;. "), [""; 0]);
    }
}
