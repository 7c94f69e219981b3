//! A shorter text of what a person said that keeps the peaks. Pure and extractive: every sentence is their own.

use super::facts::sentences;

/// Share of the words that a summary may keep.
const KEPT: f64 = 0.3;
/// Longest summary, in words, however long the conversation.
const WORDS_MAX: usize = 600;

/// Words of strong feeling, by their beginning.
const STRONG: &[&str] = &[
    "asham",
    "guilt",
    "proud",
    "relaps",
    "panic",
    "terribl",
    "awful",
    "cried",
    "cry",
    "afraid",
    "scared",
    "furious",
    "angry",
    "lonely",
    "hopeless",
    "worst",
    "best",
    "happiest",
    "amazing",
    "desperate",
    "hate",
    "love",
    "died",
    "lost",
    "finally",
    "never",
    "craving",
    "binge",
    "stress",
    "anxi",
    "sad",
];

/// How much a sentence matters, 0 to 1: strong feeling, an intensity ("8/10"), numbers, themselves, an exclamation.
pub(super) fn weight(sentence: &str) -> f64 {
    let lower = sentence.to_lowercase();
    let words: Vec<&str> =
        lower.split(|c: char| !(c.is_alphanumeric() || c == '/')).filter(|word| !word.is_empty()).collect();
    let intense = words.iter().any(|word| {
        word.split_once("/10").and_then(|(n, _)| n.parse::<u32>().ok()).is_some_and(|n| (7..=10).contains(&n))
    });
    let strong =
        words.iter().filter(|word| STRONG.iter().any(|begin| word.starts_with(begin))).count().min(2);
    let number = words.iter().any(|word| word.chars().any(|c| c.is_ascii_digit()));
    let own = words.iter().any(|word| matches!(*word, "i" | "my" | "me"));
    let share = |holds: bool, weight: f64| if holds { weight } else { 0.0 };
    let strong = [0.0, 0.3, 0.4].get(strong).copied().unwrap_or_default();
    (0.1 + strong
        + share(intense, 0.3)
        + share(number, 0.1)
        + share(own, 0.1)
        + share(lower.ends_with('!'), 0.1))
    .min(1.0)
}

/// The sentences of `messages` that weigh most, in their order, within the budget of words; the heaviest is always
/// kept.
pub(super) fn summarise<'a>(messages: impl IntoIterator<Item = &'a str>) -> String {
    let all: Vec<&str> = messages.into_iter().flat_map(sentences).collect();
    let length = |sentence: &str| sentence.split_whitespace().count();
    let words: usize = all.iter().map(|sentence| length(sentence)).sum();
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let budget = ((words as f64 * KEPT) as usize).min(WORDS_MAX);
    let mut by_weight: Vec<usize> = (0..all.len()).collect();
    let weigh = |at: &usize| all.get(*at).map_or(0.0, |sentence| weight(sentence));
    by_weight.sort_by(|a, b| weigh(b).total_cmp(&weigh(a)).then(a.cmp(b)));
    let (mut kept, mut used) = (Vec::new(), 0);
    for at in by_weight {
        let Some(sentence) = all.get(at) else { continue };
        if kept.is_empty() || used + length(sentence) <= budget {
            used += length(sentence);
            kept.push(at);
        }
    }
    kept.sort_unstable();
    kept.iter().filter_map(|at| all.get(*at).copied()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_short_and_keeps_the_peaks() {
        let peak = "I relapsed at the party and I was so ashamed, 9/10.";
        let mut messages: Vec<String> = (0..40)
            .map(|n| format!("The weather was grey on that day and there was little to tell about walk {n}."))
            .collect();
        messages.insert(17, format!("{peak} Then there was tea."));
        let summary = summarise(messages.iter().map(String::as_str));
        let words = |text: &str| text.split_whitespace().count();
        assert!(summary.contains(peak), "{summary}");
        assert!(words(&summary) * 10 <= words(&messages.join(" ")) * 3, "{}", words(&summary));
        assert_eq!(summarise([]), "");
        assert_eq!(summarise(["Only this."]), "Only this.");
        let endless = "I was proud of day seven. ".repeat(10_000);
        assert!(words(&summarise([endless.as_str()])) <= WORDS_MAX);
    }

    #[test]
    fn peaks_weigh_more_than_plain_days() {
        let in_order =
            ["The bus was late.", "I took the bus.", "I ate 3 rolls!", "I relapsed, 9/10, and cried!"];
        assert!(in_order.is_sorted_by(|a, b| weight(a) < weight(b)));
        assert!(in_order.iter().all(|text| (0.0..=1.0).contains(&weight(text))));
    }
}
