//! Coffee, for the people without a pattern.

use crate::simulate::script::{Script, Trigger};

pub(in crate::simulate) static CAFFEINE: Script = Script {
    craving: "caffeine",
    triggers: &[
        Trigger {
            label: "tiredness",
            weight: 0.5,
            stress: false,
            causes: &[
                "Slept badly and my eyes close by themselves.",
                "That dip again, I read the same line three times.",
                "Up since five because of the neighbour's dog.",
                "Yawning through the afternoon.",
            ],
        },
        Trigger {
            label: "habit",
            weight: 0.3,
            stress: false,
            causes: &[
                "Passing the machine is enough.",
                "It is simply that time.",
                "{who} asked who wants one.",
            ],
        },
        Trigger {
            label: "work stress",
            weight: 0.2,
            stress: true,
            causes: &["Too much to do and too few hours.", "Report due today, nerves thin."],
        },
    ],
    things: &["an espresso", "a flat white", "a big filter coffee", "an energy drink", "iced coffee"],
    wants: &[
        "Need {thing}.",
        "{thing} would save me.",
        "Dreaming of {thing}.",
        "Only {thing} gets me through this.",
    ],
    resisted: &["Had water and a walk.", "Herbal tea it was.", "Skipped it, want to sleep tonight."],
    gave_in: &["Had it, and a second.", "Drank it too late, will lie awake.", "Worth it."],
    places: &["office", "home", "café"],
    amounts: &["one cup", "two cups", "a can"],
};
