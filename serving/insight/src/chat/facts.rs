//! What a person says of themselves, as facts to keep. Pure rules: no model, nothing inferred.
//!
//! A fact is taken from a sentence that says it outright, in the first person and the present. Questions, conditions,
//! hedges and what somebody else said give none. Only the person's own message goes in here: never what was recalled
//! or answered, so that nothing can confirm itself.

use serde::Serialize;

/// A fact as a message says it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Said {
    /// What it is about. Facts of one slot replace each other: there is one home, and one taste of coffee.
    pub slot: String,
    /// The fact in a sentence.
    pub text: String,
    /// How sure it is, 0 to 1.
    pub confidence: f64,
}

/// Longest value, in characters.
const VALUE_CHARS_MAX: usize = 60;
/// Facts of one message.
const FACTS_MAX: usize = 8;

/// How a sentence begins, the slot (`{}` stands for the value), the fact, and how sure it is.
const RULES: &[(&str, &str, &str, f64)] = &[
    ("my name is ", "name", "is called {}", 0.95),
    ("call me ", "name", "is called {}", 0.8),
    ("i live in ", "home", "lives in {}", 0.9),
    ("i moved to ", "home", "lives in {}", 0.8),
    ("i work as ", "work", "works as {}", 0.9),
    ("i am allergic to ", "allergy:{}", "is allergic to {}", 0.95),
    ("i am vegetarian", "diet", "is vegetarian", 0.9),
    ("i am vegan", "diet", "is vegan", 0.9),
    ("i love ", "taste:{}", "loves {}", 0.7),
    ("i like ", "taste:{}", "likes {}", 0.6),
    ("i hate ", "taste:{}", "hates {}", 0.7),
    ("i do not like ", "taste:{}", "does not like {}", 0.6),
    ("i quit ", "habit:{}", "has quit {}", 0.8),
    ("i stopped ", "habit:{}", "has stopped {}", 0.7),
    ("i gave up ", "habit:{}", "has given up {}", 0.8),
    ("i started ", "habit:{}", "has started {}", 0.6),
    ("my goal is to ", "goal", "wants to {}", 0.9),
    ("i want to stop ", "goal:{}", "wants to stop {}", 0.8),
    ("i want to quit ", "goal:{}", "wants to quit {}", 0.8),
    ("my wife is called ", "wife", "has a wife called {}", 0.9),
    ("my husband is called ", "husband", "has a husband called {}", 0.9),
    ("my partner is called ", "partner", "has a partner called {}", 0.9),
];

/// Words after which nothing in the sentence is certain.
const UNCERTAIN: &[&str] = &[
    "if", "maybe", "perhaps", "might", "wish", "would", "could", "pretend", "joking", "said", "says", "told",
];

/// Words that end a value.
const ENDS: &[&str] =
    &["and", "but", "because", "since", "so", "when", "while", "though", "although", "which", "with"];

/// The facts that a person's own message states, each slot once; the last of a slot holds.
pub(super) fn facts(message: &str) -> Vec<Said> {
    let mut found: Vec<Said> = Vec::new();
    for sentence in sentences(message) {
        let plain = plain(sentence);
        let asks = sentence.trim_end().ends_with('?');
        if asks || plain.split(' ').any(|word| UNCERTAIN.contains(&word)) {
            continue;
        }
        // A sentence may say two things: "I live in Ghent and I work as a nurse".
        let starts =
            std::iter::once(0).chain(plain.match_indices(" and i ").map(|(at, _)| at + " and ".len()));
        for start in starts {
            let Some(clause) = plain.get(start..) else { continue };
            if let Some(said) = RULES.iter().find_map(|rule| read(clause, *rule)) {
                found.retain(|other| other.slot != said.slot);
                found.push(said);
            }
        }
    }
    found.truncate(FACTS_MAX);
    found
}

fn read(clause: &str, (begin, slot, fact, confidence): (&str, &str, &str, f64)) -> Option<Said> {
    let rest = clause.strip_prefix(begin)?;
    if !fact.contains("{}") {
        return Some(Said { slot: slot.to_owned(), text: fact.to_owned(), confidence });
    }
    let value: Vec<&str> = rest.split(' ').take_while(|word| !ENDS.contains(word)).collect();
    let value = value.join(" ");
    let value = value.trim();
    // "I like to move it", "I hate it": a value must name something.
    let empty = value.is_empty() || matches!(value, "it" | "that" | "this" | "them" | "you" | "to");
    if empty || value.chars().count() > VALUE_CHARS_MAX {
        return None;
    }
    Some(Said { slot: slot.replace("{}", value), text: fact.replace("{}", value), confidence })
}

/// The sentences of a text, each with the mark that ends it.
pub(super) fn sentences(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(['.', '!', '?', '\n', ';']).map(str::trim).filter(|sentence| !sentence.is_empty())
}

/// Lower case, long forms, words apart by one blank, without marks; commas end a clause.
fn plain(sentence: &str) -> String {
    let lower = sentence.to_lowercase().replace('’', "'");
    let lower = lower.replace("i'm ", "i am ").replace("don't", "do not").replace(',', " and ");
    let kept: String = lower
        .chars()
        .filter(|c| c.is_alphanumeric() || c.is_whitespace() || matches!(c, '-' | '\''))
        .collect();
    kept.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_what_is_said_outright() {
        let table: &[(&str, &[(&str, &str)])] = &[
            ("My name is Ada.", &[("name", "is called ada")]),
            (
                "I live in Ghent, and I work as a nurse because I like people",
                &[("home", "lives in ghent"), ("work", "works as a nurse")],
            ),
            ("I'm allergic to peanuts!", &[("allergy:peanuts", "is allergic to peanuts")]),
            ("I don’t like coffee", &[("taste:coffee", "does not like coffee")]),
            ("I love coffee. I hate coffee.", &[("taste:coffee", "hates coffee")]),
            ("I quit smoking but it is hard", &[("habit:smoking", "has quit smoking")]),
            ("My goal is to sleep by eleven", &[("goal", "wants to sleep by eleven")]),
            ("Do I like cake?", &[]),
            ("If I live in Rome, what then", &[]),
            ("She said I live in Rome", &[]),
            ("He lives in Rome", &[]),
            ("I like it", &[]),
            ("I used to live in Rome", &[]),
            ("", &[]),
        ];
        for (message, expected) in table {
            let found = facts(message);
            let found: Vec<(&str, &str)> =
                found.iter().map(|said| (said.slot.as_str(), said.text.as_str())).collect();
            assert_eq!(&found, expected, "{message}");
        }
    }

    #[test]
    fn a_message_gives_few_facts_and_any_text_is_read() {
        let long: String = (0..50).map(|n| format!("I like thing{n}. ")).collect();
        assert_eq!(facts(&long).len(), FACTS_MAX);
        for odd in ["İ live in İ", "i like \u{0}", "....", "i live in", &"i like ".repeat(1_000)] {
            assert!(facts(odd).len() <= FACTS_MAX, "{odd}");
        }
    }
}
