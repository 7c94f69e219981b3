//! Alcohol after dinner, on the way out of it.

use crate::simulate::script::{Script, Trigger};

pub(in crate::simulate) static RECOVERY: Script = Script {
    craving: "alcohol",
    triggers: &[
        Trigger {
            label: "after dinner",
            weight: 0.62,
            stress: false,
            causes: &[
                "Dinner is done, dishes are done, and this was always the hour of the first glass.",
                "Table cleared, and my hand misses the corkscrew.",
                "After dinner is still the hardest part of the day.",
                "The old routine after dinner knocks at the door.",
                "Plates in the sink, and out of habit I looked for a glass.",
                "Ate with {who}, and when the plates were empty it came.",
                "Right after dinner, like clockwork.",
                "The gap between dinner and bed is wide.",
            ],
        },
        Trigger {
            label: "old places",
            weight: 0.2,
            stress: false,
            causes: &[
                "Walked past the corner pub, door open.",
                "Drove by the old off-licence.",
                "Found a forgotten bottle behind the flour.",
                "Met {who} from the old crowd.",
            ],
        },
        Trigger {
            label: "bad news",
            weight: 0.18,
            stress: true,
            causes: &[
                "A letter from the tax office.",
                "Argument on the phone with {who}.",
                "Mum's results were not good.",
                "The car failed its inspection.",
            ],
        },
    ],
    things: &["a glass of red", "a beer", "a whisky", "just one drink", "the taste of wine"],
    wants: &[
        "Thought of {thing}.",
        "For a while I wanted {thing}.",
        "The wish for {thing} came in a wave.",
        "Could picture {thing} in detail.",
        "My head argued for {thing}.",
        "Missed {thing}, or rather the evening it stood for.",
    ],
    resisted: &[
        "Called my sponsor, it passed in ten minutes.",
        "Took the dog out instead.",
        "Played the tape to the end, as they say in the group, and left it.",
        "Ginger ale, feet up, another day.",
        "Wrote it down here rather than acting on it.",
        "It is getting quieter, I notice.",
    ],
    gave_in: &[
        "Slipped. Two glasses. Starting again tomorrow.",
        "Drank, told {who} about it straight away.",
        "Had one and poured the rest away.",
        "Not proud, but writing it down.",
        "A setback, not the end.",
    ],
    places: &["home", "home", "kitchen", "street"],
    amounts: &["one glass", "two glasses", "a beer", "half a bottle"],
};
