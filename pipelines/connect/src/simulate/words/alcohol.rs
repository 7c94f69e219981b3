//! Alcohol at the weekend, in company.

use crate::simulate::script::{Script, Trigger};

pub(in crate::simulate) static ALCOHOL: Script = Script {
    craving: "alcohol",
    triggers: &[
        Trigger {
            label: "friends",
            weight: 0.62,
            stress: false,
            causes: &[
                "Out with {who} and the others, the first round is on the table.",
                "Friends came over with a crate.",
                "Everyone met at the bar after the match.",
                "{who}'s birthday, and the toast is coming up.",
                "Board games at {who}'s place, bottles in the middle.",
                "The whole group is at the beer garden.",
                "Concert with the gang, long queue at the bar.",
                "Met old friends, and we always used to drink together.",
                "Barbecue at the lake, cool box full.",
            ],
        },
        Trigger {
            label: "party",
            weight: 0.25,
            stress: false,
            causes: &[
                "House party, music loud, everyone has a glass.",
                "Wedding reception, waiters with trays everywhere.",
                "Club night, feeling out of place without a drink.",
                "Street festival, a stall every ten metres.",
            ],
        },
        Trigger {
            label: "end of the week",
            weight: 0.13,
            stress: false,
            causes: &[
                "The week is done and I want to mark it.",
                "Laptop closed, weekend, that switch in my head.",
                "Friday feeling on the way home.",
            ],
        },
    ],
    things: &[
        "a beer",
        "a glass of wine",
        "a gin and tonic",
        "a cocktail",
        "a shot with them",
        "a cold cider",
    ],
    wants: &[
        "I want {thing} badly.",
        "Holding a water and staring at {thing}.",
        "{thing} would make talking so much easier.",
        "One of them offered me {thing} twice.",
        "I can almost taste {thing}.",
        "Being the only one without {thing} is hard.",
        "Told myself no, now I am bargaining about {thing}.",
        "It would be so easy to order {thing}.",
    ],
    resisted: &[
        "Ordered tonic with lime, nobody asked.",
        "Danced instead, it passed.",
        "Drove {who} home, so no.",
        "Left at eleven, sober and glad.",
        "Alcohol-free beer did the trick.",
    ],
    gave_in: &[
        "One became four.",
        "Had the first at eight and stopped counting.",
        "Drank more than I planned, again.",
        "Took the glass when {who} handed it to me.",
        "Fun, but I will pay for it tomorrow.",
        "Mixed beer and shots, bad idea.",
    ],
    places: &["bar", "bar", "friend's place", "restaurant", "park"],
    amounts: &[
        "two beers",
        "three glasses of wine",
        "four drinks",
        "one beer",
        "a bottle of wine",
        "five drinks",
    ],
};
