//! The gate between a model and a person: a sentence goes out only if every claim in it is that of a fact (AN-1). Pure.
//!
//! A model writes `{{name}}`; the value comes from here. Beyond [`ground`](crate::ground), which an author's templates
//! pass, nothing of the sentence is trusted: no digit, number word or numeral of any script; no unit beside a value but
//! its own; what a value stands beside (craving, part of the day, weekday, time, what set it off, what is measured) must
//! be what its SQL counts; a direction must be that of the two values it compares; quotes must be the person's words.
//! The rules say no when they do not understand: a true sentence that is withheld costs little, the composer's is sent.
//!
//! It reads English. Letters of other scripts are refused, and with them what they may spell.

use crave_recall::words::{any, find, words};

use crate::{Fact, Sentence, Value, ground, question, screen};

mod lexicon;
mod scope;
use lexicon as lex;
use scope::{Beside, Others};

/// Longest sentence of a model, in bytes, and the values it may hold.
const SENTENCE_BYTES_MAX: usize = 600;
const PLACES_MAX: usize = 6;

/// Why a sentence is withheld.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Withheld {
    /// Too long, empty, or with too many values.
    #[error("its form")]
    Form,
    /// A character that plain English does not need.
    #[error("the character {0:?}")]
    Character(char),
    /// A number that no fact gave.
    #[error("a number of its own: {0:?}")]
    Number(String),
    /// A place that no fact fills.
    #[error("no such fact: {0:?}")]
    Unknown(String),
    /// A quote that nobody wrote.
    #[error("a quote that is not the person's")]
    Quote,
    /// A unit that is not the value's.
    #[error("a unit beside {0}")]
    Unit(String),
    /// A claim that nothing supports.
    #[error("a claim without a fact")]
    Claim,
    /// A word that the gate does not know.
    #[error("the word {0:?}")]
    Word(String),
    /// Words that do not fit a value.
    #[error("{what} beside {name}")]
    Misfit {
        /// The value's name.
        name: String,
        /// What does not fit.
        what: &'static str,
    },
    /// A direction that the values do not have, or that cannot be checked.
    #[error("a direction")]
    Direction,
}

/// Checks sentences against the facts of one answer.
#[derive(Clone, Copy, Debug)]
pub struct Gate<'a> {
    facts: &'a [(&'a str, &'a Fact)],
    own_words: &'a [&'a str],
}

#[derive(Clone, Debug)]
struct Place<'a> {
    name: &'a str,
    field: &'a str,
    fact: &'a Fact,
    /// Where it stands among all words of the sentence.
    at: usize,
}

/// A part of a sentence that makes one claim.
#[derive(Clone, Debug, Default)]
struct Part<'a> {
    words: Vec<String>,
    places: Vec<Place<'a>>,
    /// How many words stood before the last place.
    before_n: usize,
    /// It is what the one before is compared with.
    compared: bool,
}

/// A sentence taken apart.
#[derive(Debug, Default)]
struct Reading<'a> {
    parts: Vec<Part<'a>>,
    /// All words in order.
    words: Vec<String>,
    /// The same in the writer's case.
    cased: Vec<String>,
    /// Pairs of `{{a}} of {{b}}`.
    within: Vec<(Place<'a>, Place<'a>)>,
    /// Pairs of `from {{a}} to {{b}}`.
    from_to: Vec<(Place<'a>, Place<'a>)>,
    quoted: Vec<&'a str>,
}

impl<'a> Gate<'a> {
    /// A gate for the facts of an answer by name, and the texts of the person that may be quoted.
    #[must_use]
    pub fn new(facts: &'a [(&'a str, &'a Fact)], own_words: &'a [&'a str]) -> Self {
        Self { facts, own_words }
    }

    /// The sentence as it may be sent.
    ///
    /// # Errors
    /// Why it is withheld.
    pub fn pass(&self, sentence: &str) -> Result<Sentence, Withheld> {
        let sentence = sentence.trim();
        let reading = self.read(sentence)?;
        if is_caveat(&reading) {
            return Ok(Sentence::plain(sentence));
        }
        Self::free_of_numbers(&reading)?;
        self.known(&reading)?;
        let places: Vec<&Place<'_>> = reading.parts.iter().flat_map(|part| &part.places).collect();
        if places.len() + reading.within.len() > PLACES_MAX {
            return Err(Withheld::Form);
        }
        if any(&reading.words, lex::CLAIMS)
            || question::is_medical(&reading.words)
            || screen(&reading.words.join(" ")).is_some()
            || any(&reading.words, lex::VAGUE)
        {
            return Err(Withheld::Claim);
        }
        if places.is_empty() {
            return if self.is_idle(&reading) { Ok(Sentence::plain(sentence)) } else { Err(Withheld::Claim) };
        }
        if any(&reading.words, lex::NOT) {
            return Err(Withheld::Claim);
        }
        self.fits(&reading)?;
        self.plain_nouns(&reading, &places)?;
        let falls = directed(&reading)?;
        self.written(sentence, falls)
    }

    /// Substitutes; a change whose direction the sentence says is written without its sign.
    fn written(&self, sentence: &str, directed: bool) -> Result<Sentence, Withheld> {
        let magnitudes: Vec<(&str, Fact)> = self
            .facts
            .iter()
            .filter(|(_, fact)| directed && scope::is_change(fact))
            .map(|(name, fact)| {
                let value = scope::number(fact).map_or(Value::Nothing, |number| Value::Number(number.abs()));
                (*name, Fact { value, ..(*fact).clone() })
            })
            .collect();
        let known = |name: &str| {
            let magnitude = magnitudes.iter().find(|(own, _)| *own == name).map(|(_, fact)| fact);
            magnitude.or_else(|| self.named(name).map(|(_, fact)| fact))
        };
        // Digits within quotes were checked to be the person's; `ground` wants none at all, so they are cut out for it.
        let (mut text, mut citations) = (String::with_capacity(sentence.len()), Vec::new());
        let mut rest = sentence;
        while let Some(at) = rest.find("{{") {
            let (before, place) = rest.split_at(at);
            let end = place.find("}}").map_or(place.len(), |end| end + 2);
            let (place, after) = place.split_at(end);
            let said = ground(place, known).map_err(|_| Withheld::Unknown(place.to_owned()))?;
            text.push_str(before);
            text.push_str(&said.text);
            citations
                .extend(said.citations.into_iter().filter(|id| !citations.contains(id)).collect::<Vec<_>>());
            rest = after;
        }
        text.push_str(rest);
        Ok(Sentence { text, citations })
    }

    fn named(&self, name: &str) -> Option<(&'a str, &'a Fact)> {
        self.facts.iter().find(|(own, fact)| *own == name && fact.value != Value::Nothing).copied()
    }

    fn read(&self, sentence: &str) -> Result<Reading<'a>, Withheld> {
        if sentence.is_empty() || sentence.len() > SENTENCE_BYTES_MAX {
            return Err(Withheld::Form);
        }
        let mut reading = Reading { parts: vec![Part::default()], ..Reading::default() };
        let mut rest = sentence;
        let mut plain = String::new();
        while let Some(c) = rest.chars().next() {
            if let Some(after) = rest.strip_prefix("{{") {
                self.take(&mut plain, &mut reading)?;
                let (inner, after) =
                    after.split_once("}}").ok_or_else(|| Withheld::Unknown(after.to_owned()))?;
                self.place(inner.trim(), &mut reading)?;
                rest = after;
                continue;
            }
            let after = &rest[c.len_utf8()..];
            if matches!(c, '“' | '"' | '„' | '«') {
                let close = after.find(['”', '"', '»']).ok_or(Withheld::Quote)?;
                let (quote, after) = after.split_at(close);
                let after = after.char_indices().nth(1).map_or("", |(at, _)| &after[at..]);
                let inner = quote.trim();
                if let Some(name) = inner.strip_prefix("{{").and_then(|one| one.strip_suffix("}}")) {
                    self.take(&mut plain, &mut reading)?;
                    self.place(name.trim(), &mut reading)?;
                } else if inner.contains(['{', '}']) || !self.is_own(inner) {
                    return Err(Withheld::Quote);
                } else {
                    self.take(&mut plain, &mut reading)?;
                    // Quoting a trigger names it.
                    let named = self.facts.iter().find_map(|(_, fact)| match &fact.value {
                        Value::Text(text) if text == inner => Some(text.as_str()),
                        _ => None,
                    });
                    reading.quoted.extend(named);
                }
                rest = after;
                continue;
            }
            plain.push(c);
            rest = after;
        }
        self.take(&mut plain, &mut reading)?;
        merge(&mut reading);
        Ok(reading)
    }

    /// Whether a text is a person's, word for word.
    fn is_own(&self, quote: &str) -> bool {
        let fact = |(_, fact): &(&str, &Fact)| matches!(&fact.value, Value::Text(text) if text == quote);
        !quote.is_empty()
            && (self.facts.iter().any(fact)
                || self.own_words.iter().any(|own| words(quote).len() > 1 && own.contains(quote)))
    }

    fn place(&self, inner: &str, reading: &mut Reading<'a>) -> Result<(), Withheld> {
        let unknown = || Withheld::Unknown(inner.to_owned());
        let (name, field) = inner.split_once('.').unwrap_or((inner, ""));
        let (name, fact) = self.named(name).ok_or_else(unknown)?;
        let field =
            ["", "number", "subject", "when"].into_iter().find(|own| *own == field).ok_or_else(unknown)?;
        // Without its unit a value could be read as anything.
        let bare = field == "number" && matches!(fact.unit.as_deref(), Some("%" | "ms" | "of 10"));
        if bare {
            return Err(unknown());
        }
        if let Value::Text(text) = &fact.value {
            reading.quoted.push(text);
        }
        let place = Place { name, field, fact, at: reading.words.len() };
        let Some(part) = reading.parts.last_mut() else { return Ok(()) };
        if matches!(field, "subject" | "when") {
            part.places.push(place);
            return Ok(());
        }
        let between: Vec<&str> = part.words.iter().skip(part.before_n).map(String::as_str).collect();
        let of = matches!(between.as_slice(), ["of" | "out", ..] if between.len() <= 3 && between.iter().all(|word| matches!(*word, "of" | "out" | "your" | "the" | "all" | "those")));
        let last =
            part.places.iter().rev().find(|place| place.field != "when" && place.field != "subject").cloned();
        if let Some(head) = last {
            if of {
                if !scope::within(head.fact, fact) {
                    return Err(Withheld::Misfit { name: name.to_owned(), what: "what it is a part of" });
                }
                reading.within.push((head, place));
                return Ok(());
            }
            // "from {{a}} to {{b}}": two claims.
            if between.last() == Some(&"to") && part.words.iter().any(|word| word == "from") {
                part.words.pop();
                reading.from_to.push((head, place.clone()));
                reading.parts.push(Part::default());
            }
        }
        let Some(part) = reading.parts.last_mut() else { return Ok(()) };
        part.places.push(place);
        part.before_n = part.words.len();
        Ok(())
    }

    /// Takes plain text in.
    fn take(&self, plain: &mut String, reading: &mut Reading<'a>) -> Result<(), Withheld> {
        let mut word = String::new();
        let text = std::mem::take(plain);
        for c in text.chars().chain([' ']) {
            if c.is_numeric() {
                return Err(Withheld::Number(c.to_string()));
            }
            if c.is_alphabetic() {
                // Letters of other scripts may look like these, or spell a number.
                if c > '\u{24f}' {
                    return Err(Withheld::Character(c));
                }
                word.push(c);
                continue;
            }
            if matches!(c, '\'' | '’' | '‘') {
                continue;
            }
            let plain = c == ' '
                || matches!(c, ',' | '.' | ';' | ':' | '!' | '?' | '(' | ')' | '-' | '–' | '—' | '…');
            if !plain {
                return Err(Withheld::Character(c));
            }
            if !word.is_empty() {
                let lower = word.to_lowercase();
                if lex::JOINTS.contains(&lower.as_str()) {
                    let compared =
                        matches!(lower.as_str(), "than" | "against" | "versus" | "vs" | "compared");
                    reading.parts.push(Part { compared, ..Part::default() });
                }
                if let Some(part) =
                    reading.parts.last_mut().filter(|_| !lex::JOINTS.contains(&lower.as_str()))
                {
                    part.words.push(lower.clone());
                }
                reading.words.push(lower);
                reading.cased.push(std::mem::take(&mut word));
            }
            if matches!(c, ',' | ';' | ':' | '(' | ')' | '–' | '—' | '.' | '!' | '?' | '…') {
                reading.parts.push(Part::default());
            }
        }
        Ok(())
    }

    fn free_of_numbers(reading: &Reading<'_>) -> Result<(), Withheld> {
        let number = |(lower, cased): &(&String, &String)| lex::is_number(lower) || lex::is_roman(cased);
        if let Some((word, _)) = reading.words.iter().zip(&reading.cased).find(number) {
            return Err(Withheld::Number(word.clone()));
        }
        // Spelled letter by letter, or in two halves.
        let letters =
            reading.words.windows(3).any(|three| three.iter().all(|word| word.chars().count() == 1));
        let joined = reading.words.windows(2).find(|two| {
            let whole = two.concat();
            whole.len() > 4 && lex::is_number(&whole)
        });
        match joined {
            Some(two) => Err(Withheld::Number(two.join(" "))),
            None if letters => Err(Withheld::Number("letters".to_owned())),
            None => Ok(()),
        }
    }

    /// Every word is one that the rules know, or a fact's own.
    fn known(&self, reading: &Reading<'_>) -> Result<(), Withheld> {
        let mut own: Vec<String> = Vec::new();
        for (_, fact) in self.facts {
            for text in [&fact.subject, &fact.when, &fact.label] {
                own.extend(words(text));
            }
            if let Value::Text(text) = &fact.value {
                own.extend(words(text));
            }
        }
        let known = |word: &&String| {
            lex::is_known(word)
                || own.contains(word)
                || !question::named(std::slice::from_ref(*word)).is_empty()
        };
        reading
            .words
            .iter()
            .find(|word| !known(word))
            .map_or(Ok(()), |word| Err(Withheld::Word(word.clone())))
    }

    /// Whether a sentence without values claims nothing about the person.
    fn is_idle(&self, reading: &Reading<'_>) -> bool {
        let all = &reading.words;
        let tables = [
            lex::UP,
            lex::DOWN,
            lex::SAME,
            lex::TIMES,
            lex::STRENGTH,
            lex::HEART,
            lex::TRIGGER,
            lex::DID,
            lex::UNITS,
            lex::BEFORE,
            lex::NOT,
            &["crav*|urge*|habit*"],
        ];
        let part = lex::PARTS.iter().any(|(_, its)| any(all, its));
        let day = all
            .iter()
            .any(|word| lex::DAYS.iter().any(|day| word.starts_with(day)) || word.starts_with("week"));
        !part
            && !day
            && reading.quoted.is_empty()
            && question::named(all).is_empty()
            && !tables.iter().any(|table| any(all, table))
    }

    /// Each value beside its own words.
    fn fits(&self, reading: &Reading<'_>) -> Result<(), Withheld> {
        let subjects: Vec<Option<&str>> = self
            .facts
            .iter()
            .filter_map(|(_, fact)| scope::select(fact))
            .map(|of| of.craving.as_deref())
            .collect();
        let several = subjects.iter().any(|one| Some(one) != subjects.first().as_ref().map(|one| *one));
        let mut near: Vec<String> = Vec::new();
        let values = |place: &&Place<'_>| !matches!(place.field, "when" | "subject");
        let whens: Vec<&Place<'_>> = reading.parts.iter().flat_map(|part| &part.places).collect();
        for place in whens.iter().filter(|place| place.field == "when") {
            let other = |one: &&&Place<'_>| one.fact.when != place.fact.when;
            if self.is_before(place.fact)
                || whens.iter().filter(|one| one.field != "when").any(|one| other(&one))
            {
                return Err(Withheld::Misfit { name: place.name.to_owned(), what: "another time" });
            }
        }
        for part in &reading.parts {
            near.extend(part.words.iter().cloned());
            let numbers =
                part.places.iter().filter(values).filter(|place| scope::number(place.fact).is_some()).count();
            if numbers > 1 {
                return Err(Withheld::Form);
            }
            for place in &part.places {
                let misfit = |what| Withheld::Misfit { name: place.name.to_owned(), what };
                if place.field == "subject" {
                    let other = |one: &Place<'_>| one.fact.subject != place.fact.subject;
                    if part.places.iter().any(other) {
                        return Err(misfit("another subject"));
                    }
                    continue;
                }
                if place.field == "when" {
                    continue;
                }
                let beside =
                    Beside { own: &part.words, near: &near, all: &reading.words, quoted: &reading.quoted };
                let others = Others { subjects: several, before: self.is_before(place.fact) };
                if let Some(what) = scope::misfit(place.fact, &beside, &others) {
                    return Err(misfit(what));
                }
                unit(place, &reading.words)?;
            }
        }
        // What was comes first.
        if let Some((_, now)) =
            reading.from_to.iter().find(|(was, now)| self.is_before(now.fact) && !self.is_before(was.fact))
        {
            return Err(Withheld::Misfit { name: now.name.to_owned(), what: "the time before" });
        }
        for (head, whole) in &reading.within {
            if self.is_before(whole.fact) != self.is_before(head.fact) {
                return Err(Withheld::Misfit { name: whole.name.to_owned(), what: "the time before" });
            }
            unit(whole, &reading.words)?;
        }
        Ok(())
    }

    /// Whether a fact is about the time before that of another.
    fn is_before(&self, fact: &Fact) -> bool {
        let Some(own) = scope::select(fact) else { return false };
        self.facts.iter().filter_map(|(_, other)| scope::select(other)).any(|other| {
            let same = crate::Select { since: own.since, until: own.until, ..other.clone() };
            same == *own && own.until <= other.since
        })
    }

    /// What stands right before "cravings" is nothing that the facts do not know.
    fn plain_nouns(&self, reading: &Reading<'_>, places: &[&Place<'_>]) -> Result<(), Withheld> {
        let known: Vec<String> = places.iter().flat_map(|place| words(&place.fact.subject)).collect();
        let odd = |at: usize, word: &String| {
            let noun = word.starts_with("craving") || word.starts_with("urge");
            let Some(before) = at.checked_sub(1).and_then(|at| reading.words.get(at)).filter(|_| noun) else {
                return false;
            };
            // A value or a quote in between.
            let filled = places
                .iter()
                .copied()
                .chain(reading.within.iter().map(|(_, whole)| whole))
                .any(|place| place.at == at);
            let part = lex::PARTS.iter().any(|(_, its)| its.contains(&before.as_str()));
            let day = lex::DAYS.contains(&before.as_str()) || before.starts_with("week");
            !(filled
                || part
                || day
                || known.contains(before)
                || lex::PLAIN.contains(&before.as_str())
                || !question::named(std::slice::from_ref(before)).is_empty())
        };
        match reading.words.iter().enumerate().any(|(at, word)| odd(at, word)) {
            true => Err(Withheld::Claim),
            false => Ok(()),
        }
    }
}

/// Whether it denies a claim in one of our ways, after words that are none.
fn is_caveat(reading: &Reading<'_>) -> bool {
    let opener = |to: usize| {
        let before = reading.words.get(..to).unwrap_or_default();
        before.len() <= 5 && before.iter().all(|word| lex::OPENERS.contains(&word.as_str()))
    };
    let whole = |pattern: &&str| {
        find(&reading.words, pattern).is_some_and(|(from, to)| to == reading.words.len() && opener(from))
    };
    reading.quoted.is_empty()
        && reading.parts.iter().all(|part| part.places.is_empty())
        && lex::CAVEATS.iter().any(whole)
}

/// Parts without a value belong to the next that has one, or to the last; what the first of two values is compared with
/// ("more than before: {{a}} against {{b}}") to the second.
fn merge(reading: &mut Reading<'_>) {
    let mut merged: Vec<Part<'_>> = Vec::new();
    let mut waiting: Vec<String> = Vec::new();
    let mut compared: Vec<String> = Vec::new();
    let parts = std::mem::take(&mut reading.parts);
    let two = parts.iter().filter(|part| !part.places.is_empty()).count() == 2
        && parts.iter().rev().find(|part| !part.places.is_empty()).is_some_and(|part| part.compared);
    for mut part in parts {
        if part.places.is_empty() {
            let to = if two && merged.is_empty() && (part.compared || !compared.is_empty()) {
                &mut compared
            } else {
                &mut waiting
            };
            to.append(&mut part.words);
            continue;
        }
        let mut own = std::mem::take(&mut waiting);
        own.append(&mut part.words);
        if !merged.is_empty() {
            own.append(&mut compared);
        }
        merged.push(Part { words: own, ..part });
    }
    match merged.last_mut() {
        Some(last) => last.words.append(&mut waiting),
        None => merged.push(Part { words: waiting, ..Part::default() }),
    }
    reading.parts = merged;
}

/// No unit beside a value but its own, and nothing before it that makes it another.
fn unit(place: &Place<'_>, all: &[String]) -> Result<(), Withheld> {
    if scope::number(place.fact).is_none() {
        return Ok(());
    }
    let wrong = || Withheld::Unit(place.name.to_owned());
    let after: Vec<String> = all.iter().skip(place.at).take(3).cloned().collect();
    let own = words(place.fact.unit.as_deref().unwrap_or_default());
    let is_rate = own.iter().any(|word| word == "week");
    let unit = |word: &String| any(std::slice::from_ref(word), lex::UNITS);
    // "the last days" follows a count; a unit follows at once, or after an article.
    let near = after.iter().take(
        if matches!(after.first().map(String::as_str), Some("a" | "an" | "per" | "times" | "cravings")) {
            3
        } else {
            1
        },
    );
    if near
        .into_iter()
        .any(|word| unit(word) && !(is_rate && (word == "week" || word == "weekly" || word == "per")))
    {
        return Err(wrong());
    }
    if any(all, lex::RATES) && !(is_rate && any(all, &["a|per week"])) {
        return Err(wrong());
    }
    let has_unit = matches!(place.fact.unit.as_deref(), Some("%" | "ms" | "of 10"));
    if has_unit
        && after
            .first()
            .is_some_and(|word| word.starts_with("craving") || word.starts_with("time") || word == "entries")
    {
        return Err(wrong());
    }
    let before = place.at.checked_sub(1).and_then(|at| all.get(at));
    let from_to = before.is_some_and(|word| word == "to") && all.iter().any(|word| word == "from");
    if !from_to && before.is_some_and(|word| lex::BLUR.contains(&word.as_str())) {
        return Err(wrong());
    }
    Ok(())
}

/// Whether the sentence says a direction, and the values have it.
fn directed(reading: &Reading<'_>) -> Result<bool, Withheld> {
    let places: Vec<&Place<'_>> = reading
        .parts
        .iter()
        .flat_map(|part| &part.places)
        .filter(|place| !matches!(place.field, "when" | "subject"))
        .collect();
    let top = places.iter().any(|place| matches!(place.fact.measure, crate::Measure::Top { .. }));
    if any(&reading.words, &["most", "often", "usually", "main|mainly", "common*", "frequent*", "typical*"])
        && !top
    {
        return Err(Withheld::Claim);
    }
    let one = |table: &[&str]| {
        (0..reading.words.len()).find(|at| {
            let rest = reading.words.get(*at..).unwrap_or_default();
            table.iter().any(|pattern| find(rest, pattern).is_some_and(|(from, _)| from == 0))
        })
    };
    let said: Vec<(usize, i8)> = [(lex::UP, 1), (lex::DOWN, -1), (lex::SAME, 0)]
        .into_iter()
        .filter_map(|(table, sign)| one(table).map(|at| (at, sign)))
        .collect();
    let (at, sign) = match said.as_slice() {
        [] => return Ok(false),
        [one] => *one,
        _ => return Err(Withheld::Direction),
    };
    let holds = |ordering: std::cmp::Ordering| ordering as i8 == sign;
    let numbers: Vec<(&Place<'_>, f64)> =
        places.iter().filter_map(|place| Some((*place, scope::number(place.fact)?))).collect();
    let changes: Vec<f64> =
        numbers.iter().filter(|(place, _)| scope::is_change(place.fact)).map(|(_, number)| *number).collect();
    if changes.iter().any(|change| !holds(change.total_cmp(&0.0))) {
        return Err(Withheld::Direction);
    }
    let compared: Vec<&(&Place<'_>, f64)> = numbers
        .iter()
        .filter(|(place, _)| {
            !scope::is_change(place.fact) && !matches!(place.fact.measure, crate::Measure::Share { .. })
        })
        .collect();
    match compared.as_slice() {
        [] | [_] if !changes.is_empty() => Ok(true),
        [(first, a), (second, b)] if first.fact.unit == second.fact.unit => {
            let than = |from: usize| {
                let rest = reading.words.get(from..).unwrap_or_default();
                any(rest, &["than", "against", "compared", "versus|vs"]) || sign == 0 && any(rest, &["as"])
            };
            let from_to = any(&reading.words, &["from"])
                && first
                    .at
                    .checked_sub(1)
                    .and_then(|at| reading.words.get(at))
                    .is_some_and(|word| word == "from")
                && any(reading.words.get(first.at..second.at).unwrap_or_default(), &["to"]);
            let ordering = if from_to {
                b.total_cmp(a)
            } else if than(at) && at < second.at.max(first.at) {
                a.total_cmp(b)
            } else {
                return Err(Withheld::Direction);
            };
            // "than" before the first value turns the comparison round.
            let turned = !from_to
                && any(reading.words.get(at..first.at).unwrap_or_default(), &["than", "against", "compared"])
                && !any(
                    reading.words.get(first.at..).unwrap_or_default(),
                    &["against", "compared", "than", "versus|vs"],
                );
            let ordering = if turned { ordering.reverse() } else { ordering };
            if !turned && holds(ordering) { Ok(!changes.is_empty()) } else { Err(Withheld::Direction) }
        }
        _ => Err(Withheld::Direction),
    }
}
