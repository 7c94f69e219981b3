//! The gate before everything else: a message of someone in crisis gets a fixed, vetted answer. Pure.
//!
//! It reads words, not meanings, and when in doubt it answers with help: a wrong alarm costs a moment, a missed one
//! may cost a life. Idioms that people use about cravings ("dying for a cigarette") are taken out first.

use crave_recall::words::{any, find, words};

#[cfg(test)]
mod tests;

/// What kind of help is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crisis {
    /// Someone has taken too much of something.
    Overdose,
    /// Someone may harm or kill themselves.
    SelfHarm,
    /// Someone may harm others, or is being harmed.
    Violence,
}

/// Whether the text is that of someone in crisis, the most urgent kind first.
#[must_use]
pub fn screen(text: &str) -> Option<Crisis> {
    let words = without_idioms(words(text));
    let table = [(Crisis::Overdose, OVERDOSE), (Crisis::SelfHarm, SELF_HARM), (Crisis::Violence, VIOLENCE)];
    table.into_iter().find(|(_, patterns)| any(&words, patterns)).map(|(crisis, _)| crisis)
}

/// Cuts idioms out; each leaves a word that joins nothing.
fn without_idioms(mut words: Vec<String>) -> Vec<String> {
    for idiom in IDIOMS {
        while let Some((from, to)) = find(&words, idiom) {
            words.splice(from..to, ["…".to_owned()]);
        }
    }
    words
}

const IDIOMS: &[&str] = &[
    "kill|killing|killed time|it",
    "killed|kill|killing myself laughing",
    "killed|kill|killing myself with laughter",
    "suicide squad",
    "shoot|shooting|shot myself in the foot",
    "cut|cutting myself ?a|some slack|slice|piece|deal",
    "cut|cutting myself off|shaving",
    "cut|hurt|harm|hurting myself running|climbing|skiing|cooking|exercising",
    "cut|hurt|harm|hurting myself at the gym",
    "taking|take|took my life back|seriously|in",
    "want|wanted|wanna|could ?to die of|from",
    "want|could ?to die laughing",
    "cant|cannot go on a|the|my|holiday|vacation|with|without",
    "live without sugar|chocolate|coffee|caffeine|cigarettes|nicotine|alcohol|sweets|wine|beer|snacks|it|them|my",
    "overdos* on sugar|chocolate|sweets|candy|coffee|caffeine|cake|cookies|carbs|netflix|tv|cheese|pizza|ice|snacks|food|work|news",
    "beat|beats me|him|her|them at|to",
    "hurt|hurts his|her|their feelings",
    "kill|murder for|a|an|some",
];

const OVERDOSE: &[&str] = &[
    "overdos*",
    "od|oded on",
    "too many ~ pills|tablets|painkillers|meds|medication|sleeping|opioids|paracetamol|ibuprofen|benzos|xanax",
    "took|taken|swallowed|take|swallow ~ whole|entire|full ~ bottle|pack|packet|box|strip|blister",
    "took|taken|swallowed ~ all|handful ~ pills|tablets|meds|medication|painkillers",
    "took|taken|swallowed|mixed ~ pills|tablets|xanax|benzos|opioids ~ with ~ alcohol|vodka|whisky|wine|beer",
    "alcohol poisoning",
    "überdosis",
];

const SELF_HARM: &[&str] = &[
    "suicid*",
    "suizid*",
    "selbstmord*",
    "kill|killing|killed|end|ending|hang|hanging|shoot|drown|stab|hurt|hurting|harm|harming|cut|cutting|injure|injuring|starve myself",
    "self harm*|injur*",
    "selfharm*",
    "end|ending|take|taking ?it ?all my ?own life",
    "end|ending it all",
    "want|wanna|wants|wanted|ready|going|deserve|rather ?to die",
    "want|wish|wanna ~ be|was|were dead",
    "wish ~ die|died",
    "wish ~ never ?been born",
    "better off dead",
    "better off without me",
    "dont|not|no|never want|wanna ?to live|exist|wake ?up ?anymore",
    "dont|not want|wanna ?to be alive",
    "dont|not want|wanna ?to be here anymore",
    "cant|cannot go on ?anymore|living",
    "no|any reason|point ?to|in|of live|living",
    "no|any reason|point ?to|in|of go|going on",
    "life|living ~ not|isnt|never worth living",
    "nothing|nobody ?left to live for",
    "tired of living|life|being alive|existing",
    "hate being alive",
    "jump|jumping off|from|in|before ~ bridge|roof|building|balcony|window|train",
    "slit|slitting ~ wrist|wrists|throat",
    "umbringen",
    "nicht mehr leben|weiterleben",
    "will|möchte ~ sterben",
    "matarme|suicidarme",
    "quiero morir|morirme",
    "me suicider|tuer",
    "envie de mourir",
];

const VIOLENCE: &[&str] = &[
    "kill|murder|stab|shoot|strangle|hurt|poison him|her|them|someone|somebody|people|everyone|everybody|you",
    "kill|murder|stab|shoot|strangle|hurt|beat|hit|attack my wife|husband|partner|boyfriend|girlfriend|ex|kid|kids|child|children|son|daughter|baby|mother|mom|mum|father|dad|parents|brother|sister|boss|neighbour|neighbor|roommate|colleague",
    "he|she|husband|wife|partner|boyfriend|girlfriend|ex|father|dad|stepfather|mother|mom|mum|brother|son hits|hit|beats|beat|chokes|choked|strangles|strangled|abuses|abused|threatens|threatened|rapes|raped|kicked|kicks me",
    "hits|beats|chokes|abuses|raped me again",
    "raped|assaulted me",
    "was|been|being|got|getting raped|assaulted|abused|beaten|molested",
    "will|going|gonna|wants|threatens|threatened ?to kill|hurt me",
];
