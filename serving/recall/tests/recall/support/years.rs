//! Years of one person's notes, and questions that are each about one of them. The same seed gives the same notes.

use chrono::{DateTime, Datelike as _, Duration, Utc};
use crave_recall::{IMPORTANCE, Memory, SourceKind};
use crave_schemas::UserId;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

const TRIGGERS: &[&str] = &[
    "after the meeting",
    "because the deadline moved",
    "while waiting for the bus",
    "after we argued",
    "since dinner was late",
    "when the rain would not stop",
    "after a bad night",
    "out of plain boredom",
    "after the gym",
    "while cooking for six",
    "because the shop was on the way",
    "when the invoice came",
    "after the phone call",
    "during the film",
    "before the exam",
    "when the house was empty",
    "after the long drive",
    "at the end of the shift",
    "while scrolling",
    "when everybody left",
];
const CRAVED: &[&str] = &[
    "chocolate",
    "a cigarette",
    "crisps",
    "a glass of wine",
    "ice cream",
    "liquorice",
    "salted peanuts",
    "a beer",
    "gummy bears",
    "cheesecake",
    "coffee",
    "pizza",
    "a doughnut",
    "toast with honey",
    "cola",
    "marzipan",
    "chips",
    "a cinnamon roll",
    "caramel",
    "popcorn",
];
const DID: &[&str] = &[
    "gave in at once",
    "waited ten minutes and it passed",
    "had half of it",
    "went for a walk instead",
    "called my sister",
    "drank two glasses of water",
    "ate far too much",
    "brushed my teeth",
    "read a chapter",
    "wrote it down and let it be",
    "took a shower",
    "had an apple",
    "played the piano",
    "went to bed early",
    "watered the plants",
];
const ADJECTIVES: &[&str] = &[
    "copper",
    "crooked",
    "velvet",
    "speckled",
    "rusty",
    "turquoise",
    "wooden",
    "cracked",
    "striped",
    "enormous",
    "tiny",
    "silver",
    "foggy",
    "plastic",
    "knitted",
    "marble",
    "yellow",
    "antique",
    "inflatable",
    "leather",
    "porcelain",
    "neon",
    "dusty",
    "scarlet",
    "bamboo",
    "broken",
    "paper",
    "frozen",
    "golden",
    "muddy",
    "floral",
    "magnetic",
    "hollow",
    "woollen",
    "transparent",
    "purple",
    "creaking",
    "spotless",
    "dented",
    "borrowed",
];
const NOUNS: &[&str] = &[
    "kettle",
    "bicycle",
    "umbrella",
    "lantern",
    "piano",
    "heron",
    "ladder",
    "suitcase",
    "mirror",
    "tractor",
    "accordion",
    "fountain",
    "staircase",
    "canoe",
    "typewriter",
    "scarecrow",
    "telescope",
    "wheelbarrow",
    "aquarium",
    "trumpet",
    "chandelier",
    "hammock",
    "windmill",
    "globe",
    "sewing machine",
    "rocking chair",
    "birdcage",
    "jukebox",
    "compass",
    "totem",
    "carousel",
    "barrel",
    "statue",
    "easel",
    "weather vane",
    "snow globe",
    "music box",
    "periscope",
    "gramophone",
    "sundial",
];
const PLACES: &[&str] = &[
    "on the balcony",
    "by the canal",
    "in the stairwell",
    "at the flea market",
    "in the garden shed",
    "at the station",
    "behind the library",
    "in the attic",
    "at my uncle's",
    "in the waiting room",
    "under the bridge",
    "on the ferry",
    "in the museum cafe",
    "at the campsite",
    "on the roof",
    "by the bakery",
    "in the car park",
    "at the allotment",
    "in the lobby",
    "near the harbour",
];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// A question about one note.
pub struct Needle {
    pub question: String,
    pub source_id: String,
    /// It names the month.
    pub names_time: bool,
}

/// `days` days of `per_day` notes each from `first` on, with the needles of all of them in their order.
pub fn years(
    user: &UserId,
    first: DateTime<Utc>,
    days: i64,
    per_day: i64,
    seed: u64,
) -> (Vec<Memory>, Vec<Needle>) {
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let (mut notes, mut needles) = (Vec::new(), Vec::new());
    for day in 0..days {
        for n in 0..per_day {
            let mut pick = |words: &[&'static str]| words[dice.random_range(0..words.len())];
            let (trigger, craved, did) = (pick(TRIGGERS), pick(CRAVED), pick(DID));
            let (adjective, noun, place) = (pick(ADJECTIVES), pick(NOUNS), pick(PLACES));
            let intensity = dice.random_range(1..=10);
            let text = match dice.random_range(0..4) {
                0 => format!(
                    "Wanted {craved} {trigger}, {intensity}/10. There was a {adjective} {noun} {place}. I {did}."
                ),
                1 => format!(
                    "{place}, next to a {adjective} {noun}: craving for {craved}, {intensity} of 10, {trigger}. I {did}."
                ),
                2 => format!(
                    "Saw a {adjective} {noun} {place} today. {craved} would have been nice {trigger} ({intensity}/10), but I {did}."
                ),
                _ => format!(
                    "Craving {craved} {trigger}. I {did}. The {adjective} {noun} {place} made me smile. Intensity {intensity}."
                ),
            };
            let at = first + Duration::days(day) + Duration::minutes(dice.random_range(420..1380));
            let source_id = format!("n{day:05}-{n}");
            let mut note = Memory::new(user.clone(), SourceKind::Note, source_id.clone(), at, text);
            note.attributes.insert(IMPORTANCE.to_owned(), (f64::from(intensity) / 20.0).into());
            let names_time = dice.random_range(0..3) == 0;
            let when = if names_time {
                format!(" in {} {}", MONTHS[at.month0() as usize], at.year())
            } else {
                String::new()
            };
            let question = match dice.random_range(0..3) {
                0 => format!("What did I crave when I saw the {adjective} {noun} {place}{when}?"),
                1 => format!("What happened with the {adjective} {noun} {place}{when}?"),
                _ => format!("Did I give in when there was a {adjective} {noun} {place}{when}?"),
            };
            notes.push(note);
            needles.push(Needle { question, source_id, names_time });
        }
    }
    (notes, needles)
}
