//! Sentences that are true of the facts, as a model may put them.

/// Before a sentence.
const OPENERS: [&str; 4] = ["", "So, ", "Looking at your log, ", "In short: "];

const NIGHT: &[&str] = &[
    "You logged {{total.number}} sugar cravings {{total.when}}.",
    "You logged {{total.number}} {{total.subject}} {{total.when}}.",
    "There were {{total.number}} sugar cravings {{total.when}}.",
    "Your log has {{total.number}} cravings for sugar {{total.when}}.",
    "At night there were {{in_slot.number}} of them.",
    "At night you logged {{in_slot.number}} sugar cravings {{in_slot.when}}.",
    "{{in_slot.number}} of {{total.number}} sugar cravings came at night.",
    "{{slot_share}} of your sugar cravings came at night.",
    "{{slot_share}} of your {{total.subject}} {{total.when}} came at night: {{in_slot.number}} of {{total.number}}.",
    "Of your {{total.number}} sugar cravings, {{in_slot.number}} came at night.",
    "The nights account for {{slot_share}} of your sugar cravings.",
    "Their mean intensity at night is {{mean}}.",
    "On average your sugar cravings at night have an intensity of {{mean}}.",
    "Your sugar cravings are stronger at night than at other times: {{mean}} against {{mean_elsewhen}}.",
    "At night they are stronger, {{mean}} on average, than at other times, with {{mean_elsewhen}}.",
    "At other times the mean intensity is {{mean_elsewhen}}.",
    "What set them off most often at night was “{{trigger}}”.",
    "At night “{{trigger}}” set off {{trigger_n.number}} of {{in_slot.number}} cravings.",
    "Your most common trigger at night is “{{trigger}}”, with {{trigger_share}}.",
    "“{{trigger}}” was behind {{trigger_share}} of your sugar cravings at night.",
    "At night you resisted {{resisted_share}} of those where you noted it.",
    "You resisted {{resisted_share}} of your sugar cravings at night.",
    "At night that is more than in the same time before: {{in_slot.number}} against {{previous.number}}.",
    "You logged {{in_slot.number}} at night {{in_slot.when}}, more than in the same time before, which had {{previous.number}}.",
    "Your nights went from {{previous.number}} before to {{in_slot.number}}.",
    "That is a change of {{change}} for your nights.",
    "Your sugar cravings at night rose by {{change}}.",
    "Your heart rate variability in the hours before your sugar cravings at night was {{sdnn_before}} on average.",
    "Before your sugar cravings at night your SDNN was {{sdnn_before}}, lower than your usual {{sdnn_usual}}.",
    "Your usual heart rate variability is {{sdnn_usual}}.",
    "You wrote: “{{note_a}}”",
    "You wrote {{note_a.when}}: “{{note_a}}”",
    "Thank you for asking.",
    "Here is what your log shows.",
    "That sounds hard, and it is good that you look at it.",
    "This goes together in your log; it does not prove that one causes the other.",
    "This does not prove a cause.",
    "You asked about “the late shift”, and {{in_slot.number}} of your sugar cravings came at night.",
];

/// The same, written after the rules; as they are.
const NIGHT_AFTER: &[&str] = &[
    "Over this time you noted {{total.number}} sugar cravings.",
    "In all, your log holds {{total.number}} sugar cravings {{total.when}}.",
    "I can see {{total.number}} sugar cravings in your log {{total.when}}.",
    "Nearly half of them come at night: {{slot_share}}.",
    "Nights stand out: {{slot_share}} of your sugar cravings fall there.",
    "{{in_slot.number}} of your {{total.number}} sugar cravings happened at night.",
    "At night, your sugar cravings average {{mean}} in intensity.",
    "Your nighttime sugar cravings reach {{mean}} on average in strength.",
    "Compared with other times, at {{mean_elsewhen}}, your nights are stronger.",
    "The usual trigger for you at night is “{{trigger}}”.",
    "“{{trigger}}” comes up most often as what sets them off at night.",
    "Half of your night cravings, {{trigger_share}}, follow “{{trigger}}”.",
    "You held out against {{resisted_share}} of them at night.",
    "You managed to resist {{resisted_share}} of those at night.",
    "Your nights now have {{in_slot.number}}, up from {{previous.number}} before.",
    "There were {{previous.number}} at night in the same time before.",
    "At night your sugar cravings increased by {{change}}.",
    "Your SDNN before sugar cravings at night was {{sdnn_before}}, while your usual is {{sdnn_usual}}.",
    "Your own words were “{{note_a}}”.",
    "I hear you.",
    "That is a good question.",
    "You are not alone with this.",
    "Well done for keeping a log.",
    "Let us look at what your log says.",
    "Please be kind to yourself.",
];

const WHOLE: &[&str] = &[
    "You logged {{total.number}} sugar cravings {{total.when}}.",
    "Most of them come {{part}}: {{part_share}}.",
    "The day with the most is {{weekday}}, with {{weekday_share}}.",
    "Your sugar cravings come most often on a {{weekday}}.",
    "{{weekday_share}} of your sugar cravings came on Fridays.",
    "Your mean intensity is {{mean}}.",
    "They were rated {{mean}} on average.",
    "You resisted {{resisted_share}} of those that say so.",
    "You logged {{total.number}} {{total.when}}, fewer than in the same time before, which had {{previous.number}}.",
    "Your sugar cravings went from {{previous.number}} before to {{total.number}}.",
    "Your sugar cravings fell by {{change}}.",
    "That is down {{change}} against the time before.",
    "By calendar month there are {{rate.number}} a week.",
    "By calendar month the change is {{rate_change}} against the month before.",
];

const TWO: &[&str] = &[
    "You logged {{sugar_n.number}} sugar cravings and {{coffee_n.number}} coffee cravings.",
    "There were {{sugar_n.number}} cravings for sugar and {{coffee_n.number}} for coffee.",
    "Sugar has {{sugar_n.number}}, coffee {{coffee_n.number}}.",
    "Your sugar cravings are more than your coffee cravings: {{sugar_n.number}} against {{coffee_n.number}} for coffee.",
    "For coffee the mean intensity is {{coffee_mean}}.",
    "Your sugar cravings have an intensity of {{sugar_mean}} on average.",
    "Your coffee cravings have an intensity of {{coffee_mean}} on average.",
];

/// Which facts, and the sentence.
pub(super) fn all() -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    all.extend(NIGHT_AFTER.iter().map(|sentence| ("night", (*sentence).to_owned())));
    for (of, templates) in [("night", NIGHT), ("whole", WHOLE), ("two", TWO)] {
        for template in templates {
            for opener in OPENERS {
                let mut sentence = (*template).to_owned();
                if !opener.is_empty() && !sentence.starts_with(['{', '“']) && !sentence.starts_with("Sugar")
                {
                    let first = sentence.remove(0).to_lowercase().to_string();
                    sentence.insert_str(0, &first);
                }
                all.push((of, format!("{opener}{sentence}")));
            }
        }
    }
    all
}
