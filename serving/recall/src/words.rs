//! Text as lower-case words, and a small pattern language over them. Pure.

/// The words of `text`: lower case, without apostrophes and punctuation ("Don't!" is `dont`).
#[must_use]
pub fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    for c in text.chars().flat_map(char::to_lowercase) {
        if c.is_alphanumeric() {
            word.push(c);
        } else if !matches!(c, '\'' | '’' | '‘' | '`') && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Whether `pattern` fits the words from some place on; returns that place and the one after it. A pattern is a list
/// of elements: `a|b` is either, `a*` any word that begins so, `~` up to three words of any kind, `?a` perhaps `a`.
#[must_use]
pub fn find(words: &[String], pattern: &str) -> Option<(usize, usize)> {
    let elements: Vec<&str> = pattern.split_whitespace().collect();
    (0..words.len()).find_map(|at| Some((at, fits(words, at, &elements)?)))
}

/// Whether any of `patterns` fits.
#[must_use]
pub fn any(words: &[String], patterns: &[&str]) -> bool {
    patterns.iter().any(|pattern| find(words, pattern).is_some())
}

fn fits(words: &[String], at: usize, elements: &[&str]) -> Option<usize> {
    let Some((element, rest)) = elements.split_first() else { return Some(at) };
    if *element == "~" {
        return (0..=3).find_map(|gap| fits(words, at + gap, rest));
    }
    if let Some(optional) = element.strip_prefix('?') {
        let taken = words.get(at).is_some_and(|word| is(word, optional));
        return taken.then(|| fits(words, at + 1, rest)).flatten().or_else(|| fits(words, at, rest));
    }
    words.get(at).filter(|word| is(word, element))?;
    fits(words, at + 1, rest)
}

fn is(word: &str, element: &str) -> bool {
    element.split('|').any(|one| match one.strip_suffix('*') {
        Some(beginning) => word.starts_with(beginning),
        None => word == one,
    })
}

/// Whether two words are the same but for a plural.
#[must_use]
pub fn same(one: &str, other: &str) -> bool {
    let stem =
        |word: &str| word.strip_suffix("es").or_else(|| word.strip_suffix('s')).unwrap_or(word).to_owned();
    one == other
        || stem(one) == stem(other)
        || one.strip_suffix('s') == Some(other)
        || other.strip_suffix('s') == Some(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_find_words() {
        let table = [
            ("I don't WANT to live.", "dont want to live", true),
            ("take my own life", "take my ?own life", true),
            ("take my life", "take my ?own life", true),
            ("jump off the high bridge", "jump off ~ bridge|roof", true),
            ("jump off a b c d bridge", "jump off ~ bridge", false),
            ("suicidal", "suicid*", true),
            ("killing time", "kill myself", false),
            ("", "a", false),
        ];
        for (text, pattern, found) in table {
            assert_eq!(find(&words(text), pattern).is_some(), found, "{text} / {pattern}");
        }
    }

    #[test]
    fn plurals_are_the_same() {
        for (one, other, alike) in [
            ("cravings", "craving", true),
            ("sweets", "sweet", true),
            ("wine", "wines", true),
            ("cat", "dog", false),
        ] {
            assert_eq!(same(one, other), alike, "{one} {other}");
        }
    }
}
