use super::*;

#[test]
fn a_crisis_is_seen() {
    let table = [
        ("I want to kill myself", Crisis::SelfHarm),
        ("i don't want to live anymore", Crisis::SelfHarm),
        ("I don’t want to be alive", Crisis::SelfHarm),
        ("Everyone would be better off without me", Crisis::SelfHarm),
        ("I keep cutting myself when the craving comes", Crisis::SelfHarm),
        ("thinking about suicide again tonight", Crisis::SelfHarm),
        ("feeling suicidal", Crisis::SelfHarm),
        ("I just want to end it all", Crisis::SelfHarm),
        ("i wanna die", Crisis::SelfHarm),
        ("I wish I was dead", Crisis::SelfHarm),
        ("there is no reason to live", Crisis::SelfHarm),
        ("I am going to take my own life", Crisis::SelfHarm),
        ("I could jump off the bridge on my way home", Crisis::SelfHarm),
        ("ich will mich umbringen", Crisis::SelfHarm),
        ("Why do I crave sugar at night? I want to die.", Crisis::SelfHarm),
        ("I think I overdosed", Crisis::Overdose),
        ("I took too many sleeping pills", Crisis::Overdose),
        ("she swallowed the whole bottle of tablets", Crisis::Overdose),
        ("i took all my pills", Crisis::Overdose),
        ("took xanax with a lot of vodka", Crisis::Overdose),
        ("I overdosed on chocolate and then on oxycodone, I overdosed", Crisis::Overdose),
        ("I want to hurt someone", Crisis::Violence),
        ("I am going to kill my wife", Crisis::Violence),
        ("my husband hits me when he drinks", Crisis::Violence),
        ("my boyfriend choked me", Crisis::Violence),
        ("I was raped", Crisis::Violence),
    ];
    let wrong: Vec<_> = table.into_iter().filter(|(text, crisis)| screen(text) != Some(*crisis)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn ways_of_speaking_are_not_a_crisis() {
    let table = [
        "why do I crave sugar at night?",
        "I could kill for chocolate",
        "I could murder a burger",
        "dying for a cigarette",
        "this cake is to die for",
        "My boss is killing me",
        "these deadlines are killing me",
        "how do I kill the craving",
        "killing time until the bus comes",
        "I overdosed on chocolate last night",
        "overdosing on coffee again",
        "I should cut myself some slack",
        "I cut myself off from sugar",
        "cut myself shaving",
        "I shot myself in the foot with that snack",
        "I hurt myself running",
        "I want to die of embarrassment",
        "I want to take my life back from nicotine",
        "I don't want to live without chocolate",
        "she beat me at chess and I wanted a drink",
        "the craving hit me hard",
        "stress hits me after work",
        "I watched Suicide Squad and ate popcorn",
        "I want to end my sugar habit",
        "does it get worse at the end of the day?",
        "too many cookies, too many coffees",
        "I took a whole week off",
        "I can't go on a diet",
        "there is no point in going to the gym",
        "dead tired, then I want sweets",
        "",
    ];
    let wrong: Vec<_> = table.into_iter().filter_map(|text| Some((text, screen(text)?))).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

proptest::proptest! {
    #[test]
    fn any_text_is_read(text in "\\PC{0,300}") {
        let _ = screen(&text);
    }

    #[test]
    fn what_surrounds_a_crisis_does_not_hide_it(before in "[a-z ]{0,60}", after in "[a-z ]{0,60}") {
        let text = format!("{before}. I want to kill myself. {after}");
        let hidden = find(&words(&after), "laughing").is_some();
        proptest::prop_assume!(!hidden);
        proptest::prop_assert!(screen(&text).is_some());
    }
}
