//! What messages are for.

use crave_insight::intent::{Draft, Intent, intent};

/// Kind, craving, strength, resisted.
type Log = (&'static str, &'static str, Option<u8>, Option<bool>);

const LOGS: &[(&str, Log)] = &[
    ("I just had a cookie, 7/10", ("lapse", "sugar", Some(7), None)),
    ("just had a cookie", ("lapse", "sugar", None, None)),
    ("I just ate chocolate.", ("lapse", "sugar", None, None)),
    ("I just smoked a cigarette", ("lapse", "nicotine", None, None)),
    ("Just gave in to a cigarette", ("lapse", "nicotine", None, None)),
    ("had two glasses of wine just now", ("lapse", "alcohol", None, None)),
    ("I just bought candy and ate it, 8/10", ("lapse", "sugar", Some(8), None)),
    ("I just relapsed on weed", ("lapse", "cannabis", None, None)),
    ("craving sugar right now, 6/10", ("craving", "sugar", Some(6), None)),
    ("craving sugar right now", ("craving", "sugar", None, None)),
    ("I'm craving chocolate 8 out of 10", ("craving", "sugar", Some(8), None)),
    ("I am craving coffee, 3 of 10", ("craving", "caffeine", Some(3), None)),
    ("I want a cigarette so badly now", ("craving", "nicotine", None, None)),
    ("dying for a beer right now", ("craving", "alcohol", None, None)),
    ("I could really use a drink now", ("craving", "alcohol", None, None)),
    ("sugar 7/10", ("craving", "sugar", Some(7), None)),
    ("wine craving 9/10", ("craving", "alcohol", Some(9), None)),
    ("urge to gamble, 5/10", ("craving", "gambling", Some(5), None)),
    ("log a sugar craving, 4/10", ("craving", "sugar", Some(4), None)),
    ("please log a craving for wine 4/10", ("craving", "alcohol", Some(4), None)),
    ("can you log a craving for sugar, 7/10?", ("craving", "sugar", Some(7), None)),
    ("I just resisted a cookie, 6/10", ("craving", "sugar", Some(6), Some(true))),
    ("craving for weed 10/10 right now", ("craving", "cannabis", Some(10), None)),
    ("tempted by candy right now", ("craving", "sugar", None, None)),
    ("Huge urge to smoke right now 9/10", ("craving", "nicotine", Some(9), None)),
    ("0/10 sugar", ("craving", "sugar", Some(0), None)),
];

const QUESTIONS: &[&str] = &[
    "why do I crave sugar at night?",
    "how many cravings did I log last week?",
    "What triggers my cravings?",
    "when do I crave chocolate?",
    "show my cravings",
    "show me my trend for nicotine",
    "is my craving for wine getting worse?",
    "do I resist more often now?",
    "compare my sugar cravings with last month",
    "how strong are my urges now?",
    "how often did I just give in to sugar?",
    "which day has most alcohol cravings?",
    "did I have 7/10 sugar cravings this week?",
    "was my sugar craving 7/10 today?",
    "tell me about my cravings",
    "are my urges at night weaker?",
    "What is my heart rate variability before cravings?",
    "list my lapses",
    "how many cookies did I have today?",
    "Could you tell me why I crave wine?",
];

const TALK: &[&str] = &[
    "hello",
    "thank you!",
    "I had a cookie yesterday",
    "my friend just had a cookie",
    "she just ate chocolate",
    "I didn't have a cookie today",
    "I never smoke now",
    "no sugar today!",
    "I used to crave wine every evening",
    "I will have a cookie later, 7/10",
    "if I had a cookie now I would regret it",
    "I dreamt that I just smoked",
    "my husband wants a beer now",
    "I usually have a coffee now",
    "Yesterday's sugar craving was 7/10",
    "last night I wanted wine, 8/10",
    "I am thinking about cookies now",
    "I feel 7/10 today",
    "work was hard today",
    "I had a bad day",
    "sugar 11/10",
    "sugar 7/100",
    "sugar 2024/10/05",
    "I like coffee",
    "I rated my wine 8/10 years ago",
    "two weeks ago I just had a cookie",
    "I always want chocolate in the afternoon",
    "the cake looked lovely",
    "I wouldn't say that I crave sugar now",
    "my kids just ate all the candy",
    "tomorrow I want a cookie",
    "I had an apple just now",
    "you just had a cookie",
    "they just had cookies",
    "I want to stop smoking now",
    "I want to quit sugar today",
    "I just had a drink of water",
    "I just read about sugar",
];

/// A message, and what it must be.
type Other = (&'static str, fn(&Intent) -> bool);

const OTHER: &[Other] = &[
    ("I want to kill myself", |intent| matches!(intent, Intent::Crisis(_))),
    ("I just had a cookie, 7/10, and I want to die", |intent| matches!(intent, Intent::Crisis(_))),
    ("I took all my pills", |intent| matches!(intent, Intent::Crisis(_))),
    ("should I change my medication?", |intent| *intent == Intent::OutOfScope),
    ("what dose of insulin do I need?", |intent| *intent == Intent::OutOfScope),
    ("diagnose me", |intent| *intent == Intent::OutOfScope),
];

#[test]
fn messages_are_told_apart() {
    let mut wrong = Vec::new();
    for (message, (kind, craving, intensity, resisted)) in LOGS {
        let right = Draft { kind, craving: (*craving).into(), intensity: *intensity, resisted: *resisted };
        let read = intent(message);
        if read != Intent::Log(right) {
            wrong.push(format!("{message} => {read:?}"));
        }
    }
    for message in QUESTIONS {
        let read = intent(message);
        if read != Intent::Question {
            wrong.push(format!("{message} => {read:?}"));
        }
    }
    for message in TALK {
        let read = intent(message);
        if read != Intent::Talk {
            wrong.push(format!("{message} => {read:?}"));
        }
    }
    for (message, right) in OTHER {
        let read = intent(message);
        if !right(&read) {
            wrong.push(format!("{message} => {read:?}"));
        }
    }
    let all = LOGS.len() + QUESTIONS.len() + TALK.len() + OTHER.len();
    assert!(all >= 80, "{all} phrases");
    assert!(wrong.is_empty(), "{} of {all}:\n{}", wrong.len(), wrong.join("\n"));
}
