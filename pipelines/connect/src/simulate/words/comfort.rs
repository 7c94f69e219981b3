//! Comfort food when it is dark and cold.

use crate::simulate::script::{Script, Trigger};

pub(in crate::simulate) static COMFORT: Script = Script {
    craving: "comfort food",
    triggers: &[
        Trigger {
            label: "dark evening",
            weight: 0.6,
            stress: false,
            causes: &[
                "Dark since four and the evening feels endless.",
                "Left work in the dark, came home in the dark.",
                "No daylight at all today, grey and then black.",
                "The lamps go on at half past three, and my mood goes down with the sun.",
                "Another pitch-dark afternoon.",
                "Have not seen the sun for a week.",
                "It got dark while I was still on the bus, and I felt low at once.",
                "These long dark evenings do something to me.",
            ],
        },
        Trigger {
            label: "cold weather",
            weight: 0.28,
            stress: false,
            causes: &[
                "Sleet on the way home, chilled to the bone.",
                "The heating is weak and my feet are ice.",
                "Minus eight outside, nobody wants to go anywhere.",
                "Came in from the frost with {who}.",
                "Wind and snow all day.",
            ],
        },
        Trigger {
            label: "loneliness",
            weight: 0.12,
            stress: true,
            causes: &[
                "Nobody around this evening.",
                "{who} cancelled, so I am alone again.",
                "Quiet flat, quiet phone.",
            ],
        },
    ],
    things: &[
        "macaroni cheese",
        "a mountain of pasta",
        "fresh bread with butter",
        "a plate of fries",
        "pizza",
        "dumplings",
        "potato gratin",
        "grilled cheese",
        "a stew with too much bread",
    ],
    wants: &[
        "I want {thing}, warm and lots of it.",
        "Only {thing} would help now.",
        "Thinking about {thing} since noon.",
        "Something heavy like {thing} and then the blanket.",
        "Not hungry as such, but {thing} sounds like a hug.",
        "The delivery app is open at {thing}.",
        "My body shouts for {thing}.",
    ],
    resisted: &[
        "Made vegetable soup instead.",
        "Turned on the daylight lamp and waited, it eased.",
        "Went to the gym, which took all my will.",
        "Had tea under the blanket and skipped it.",
        "A hot bath did it.",
    ],
    gave_in: &[
        "Ordered it and ate for two.",
        "Second helping, then a third.",
        "Ate in bed in front of a film.",
        "Full and sleepy and no happier.",
        "Gave in on the way home already.",
    ],
    places: &["home", "home", "home", "canteen", "kitchen"],
    amounts: &["two plates", "a large pizza", "half a loaf", "one plate", "a family pack"],
};
