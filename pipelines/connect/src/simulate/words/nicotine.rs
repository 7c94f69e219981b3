//! Nicotine where the stress of work peaks.

use crate::simulate::script::{Script, Trigger};

pub(in crate::simulate) static NICOTINE: Script = Script {
    craving: "nicotine",
    triggers: &[
        Trigger {
            label: "work stress",
            weight: 0.66,
            stress: true,
            causes: &[
                "Stand-up turned into a blame game.",
                "The pipeline is red and everybody looks at me.",
                "Phone rings without end today.",
                "{who} dropped an urgent ticket on me, due at noon.",
                "Just out of a meeting that should have been a mail.",
                "My manager wants numbers by four that do not exist.",
                "Deadline stress, I have not looked up for two hours.",
                "A customer was rude and I had to smile through it.",
                "Got feedback on my draft, all of it red.",
                "Two people called in sick, so the counter is all mine.",
                "The audit people are in the building and everyone is tense.",
                "Had to explain the delay to the whole floor.",
            ],
        },
        Trigger {
            label: "coffee break",
            weight: 0.22,
            stress: false,
            causes: &[
                "Coffee in hand, and the old reflex is right there.",
                "Break on the terrace with {who}, who smokes.",
                "Everyone went outside after lunch.",
                "The smell at the door of the canteen.",
                "First coffee of the day.",
            ],
        },
        Trigger {
            label: "waiting",
            weight: 0.12,
            stress: false,
            causes: &[
                "The train is late, and platforms mean smoking to me.",
                "Waiting for {who} in front of the building.",
                "Stuck in traffic with nothing to do.",
                "Queue at the office, and my fingers want to hold something.",
            ],
        },
    ],
    things: &["a cigarette", "a smoke", "the vape", "one roll-up", "a quick drag"],
    wants: &[
        "I need {thing}.",
        "My hand went to my pocket by itself for {thing}.",
        "Everything in me wants {thing}.",
        "Five minutes outside with {thing}, that is all I want.",
        "Chest tight, thinking of {thing}.",
        "Could have asked {who} for {thing}.",
        "The thought of {thing} will not leave.",
        "I keep looking at the door and imagining {thing}.",
    ],
    resisted: &[
        "Walked round the block without one.",
        "Chewed gum until it faded.",
        "Box breathing for three minutes, it worked.",
        "Drank two glasses of water instead.",
        "Told {who} I quit, saying it out loud helped.",
        "Stayed at my desk, it was gone after the call.",
    ],
    gave_in: &[
        "Bummed one from {who}.",
        "Went down and had two in a row.",
        "Smoked it half, threw it away, lit another.",
        "Gave in behind the building.",
        "It calmed me for about a minute.",
        "So much for the quit date.",
    ],
    places: &["office", "office", "office", "street", "station"],
    amounts: &["one cigarette", "two cigarettes", "half a cigarette", "a few drags"],
};
