//! Words that carry numbers, directions and claims, and those that carry none.

use crave_recall::words::any;

/// Number words. Those of other languages and misspelt ones are not of the [`VOCABULARY`].
const NUMBERS: &[&str] = &[
    "zero",
    "nil",
    "nought",
    "one",
    "ones",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
    "thirty",
    "forty",
    "fourty",
    "fifty",
    "sixty",
    "seventy",
    "eighty",
    "ninety",
    "hundred",
    "hundreds",
    "thousand",
    "thousands",
    "million",
    "millions",
    "billion",
    "dozen",
    "dozens",
    "half",
    "halves",
    "halved",
    "halving",
    "third",
    "thirds",
    "quarter",
    "quarters",
    "fourth",
    "fifth",
    "fifths",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "tenths",
    "eleventh",
    "twelfth",
    "twentieth",
    "thirtieth",
    "hundredth",
    "first",
    "second",
    "once",
    "twice",
    "thrice",
    "double",
    "doubles",
    "doubled",
    "doubling",
    "twofold",
    "triple",
    "tripled",
    "treble",
    "trebled",
    "quadruple",
    "quadrupled",
    "tenfold",
    "couple",
    "pair",
    "trio",
    "percent",
    "percentage",
    "percents",
    "cent",
    "pct",
    "decade",
    "fortnight",
    "score",
    "grand",
    "gross",
    "umpteen",
];
/// What number words of more than one part begin with.
const TENS: &[&str] =
    &["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety", "hundred"];

/// Whether a lower-case word is a number.
pub(super) fn is_number(word: &str) -> bool {
    let is = |word: &str| NUMBERS.contains(&word);
    is(word)
        || TENS.iter().any(|ten| word.strip_prefix(ten).is_some_and(is))
        || word.strip_suffix("fold").is_some_and(is)
        || word.strip_suffix('s').is_some_and(|one| TENS.contains(&one))
}

/// Whether a lower-case word is one that these tables know.
pub(super) fn is_known(word: &str) -> bool {
    let tables = [
        VAGUE, BLUR, NOT, UP, DOWN, SAME, UNITS, TIMES, BEFORE, STRENGTH, HEART, RESIST, TRIGGER, OTHERWISE,
        WHOLE, JOINTS, DID,
    ];
    let part = PARTS.iter().any(|(_, its)| its.contains(&word));
    let day = DAYS.iter().any(|day| word == *day || word.strip_suffix('s') == Some(day));
    let word = [word.to_owned()];
    part || day
        || VOCABULARY.split_whitespace().any(|own| own == word[0])
        || tables.iter().any(|table| any(&word, table))
}

/// Whether a word, as it is written, is a Roman numeral; the pronoun is none.
pub(super) fn is_roman(word: &str) -> bool {
    word != "I" && !word.is_empty() && word.chars().all(|c| "IVXLCDM".contains(c))
        || word.len() > 1 && word.chars().all(|c| "ivx".contains(c))
}

/// Claims of an amount that no fact has, or that a fact cannot be checked against.
pub(super) const VAGUE: &[&str] = &[
    "several",
    "few",
    "lots",
    "loads",
    "plenty",
    "handful",
    "majority",
    "minority",
    "mostly",
    "rarely",
    "seldom",
    "always",
    "never",
    "every",
    "none",
    "nobody",
    "everything",
    "nothing",
    "both",
    "least",
    "fewest",
    "lowest",
    "highest",
    "strongest",
    "weakest",
    "peak*",
    "record",
    "maximum",
    "minimum",
    "max",
    "min",
    "top",
    "tons",
    "constantly",
    "countless",
    "numerous",
    "approx*",
    "approximately",
    "circa",
    "roughly",
    "nearly",
    "almost",
    "virtually",
    "respectively",
    "vice",
    "latter",
    "former",
    "reverse*",
    "opposite",
    "multiple",
    "each",
];
/// Before a number they make it another.
pub(super) const BLUR: &[&str] = &[
    "about", "around", "over", "under", "above", "below", "some", "least", "most", "upto", "beyond", "past",
    "to", "near", "x", "minus", "plus",
];
/// They turn a claim round.
pub(super) const NOT: &[&str] = &[
    "all but",
    "not",
    "no",
    "never",
    "neither",
    "nor",
    "without",
    "except",
    "excluding",
    "dont",
    "didnt",
    "doesnt",
    "isnt",
    "wasnt",
    "arent",
    "werent",
    "cannot",
    "cant",
    "wont",
    "wouldnt",
    "havent",
    "hasnt",
    "hadnt",
    "hardly",
    "barely",
    "scarcely",
    "false",
    "untrue",
    "instead",
    "unlike",
    "lack*",
    "gave",
    "give",
    "gives",
    "giving",
    "lapse*",
    "yield*",
    "fail*",
    "missed",
    "absent",
];
/// Claims that nobody's log supports, and promises that nobody may make.
pub(super) const CLAIMS: &[&str] = &[
    "because",
    "cause",
    "causes",
    "caused",
    "causing",
    "due to",
    "leads|lead|leading|led to",
    "result|results ?of|in|from",
    "thanks to",
    "owing to",
    "makes|made you",
    "guarantee*",
    "promise*",
    "heal|heals|healed",
    "cured|cures|curing",
    "will stop|disappear|vanish|end|fade|improve|get|be|go",
    "youll",
    "it|they|that|this will",
    "wont",
    "risk",
    "risks",
    "disease*",
    "disorder*",
    "diabet*",
    "depress*",
    "anxiety disorder",
    "addict*",
    "alcoholi*",
    "withdrawal*",
    "weight",
    "calori*",
    "deficien*",
    "hormon*",
    "dopamine",
    "serotonin",
    "cortisol",
    "doctor*",
    "pill|pills",
    "supplement*",
    "normal for",
    "healthy",
    "unhealthy",
    "other people|users",
    "everyone",
    "studies",
    "research",
    "science",
    "scientists",
    "statistic*",
    "expert*",
    "i|we recommend|prescribe|diagnose",
    "safe",
    "danger*",
    "blood",
    "sugar level|levels",
    "you should|must take|stop|quit|fast",
];
/// Ways of saying that something is more than another.
pub(super) const UP: &[&str] = &[
    "more",
    "higher",
    "rising",
    "rose",
    "risen",
    "rise",
    "rises",
    "increas*",
    "growing",
    "grew",
    "grown",
    "grow",
    "stronger",
    "greater",
    "up",
    "larger",
    "bigger",
    "worse",
    "worsen*",
    "climb*",
    "jump*",
    "surg*",
    "soar*",
    "upward*",
    "heavier",
    "exceed*",
    "outnumber*",
    "intensif*",
    "spike*",
    "spiking",
    "often er",
    "uptick",
    "gain*",
];
/// The other way round.
pub(super) const DOWN: &[&str] = &[
    "fewer",
    "less",
    "lower",
    "falling",
    "fell",
    "fallen",
    "fall",
    "falls",
    "decreas*",
    "drop*",
    "weaker",
    "down",
    "declin*",
    "reduc*",
    "eased",
    "easing",
    "smaller",
    "shrink*",
    "shrank",
    "shrunk",
    "better",
    "improv*",
    "downward*",
    "lighter",
    "milder",
    "dip*",
    "sank",
    "sink*",
    "cut",
    "diminish*",
    "lessen*",
    "subsid*",
];
/// Neither.
pub(super) const SAME: &[&str] = &[
    "unchanged",
    "stable",
    "steady",
    "equal",
    "equally",
    "constant",
    "flat",
    "identical",
    "as many|strong|high|much",
];
/// Units; the one of a fact is written by the server.
pub(super) const UNITS: &[&str] = &[
    "ms",
    "millisecond*",
    "second",
    "seconds",
    "minute",
    "minutes",
    "hour",
    "hours",
    "hourly",
    "day",
    "days",
    "daily",
    "nights",
    "week",
    "weeks",
    "weekly",
    "month",
    "months",
    "monthly",
    "year",
    "years",
    "yearly",
    "annually",
    "point",
    "points",
    "stars",
    "bpm",
    "beats",
    "kg",
    "kilo*",
    "gram*",
    "g",
    "mg",
    "ml",
    "litre*",
    "liter*",
    "cups",
    "glasses",
    "units",
    "drinks",
    "cigarettes",
    "cookies",
    "dollars",
    "euros",
    "hz",
    "degrees",
    "steps",
    "people",
    "apiece",
    "per",
    "of ten",
    "bars",
    "packs",
    "beers",
    "coffees",
];
/// Words of a time; a fact's own are allowed beside it.
pub(super) const TIMES: &[&str] = &[
    "today",
    "yesterday",
    "tonight",
    "tomorrow",
    "week",
    "weeks",
    "weekly",
    "month",
    "months",
    "monthly",
    "year",
    "years",
    "yearly",
    "season",
    "winter",
    "summer",
    "spring",
    "autumn",
    "january",
    "february",
    "march",
    "april",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "ago",
    "lately",
    "recently",
    "lifetime",
    "ever",
    "forever",
    "christmas",
    "easter",
    "daily",
    "hourly",
];
/// What happened before.
pub(super) const BEFORE: &[&str] =
    &["before", "previous", "previously", "earlier", "prior", "preceding", "then"];
/// Parts of the day with their words.
pub(super) const PARTS: &[(&str, &[&str])] = &[
    (
        "night",
        &[
            "night",
            "nights",
            "nighttime",
            "nightly",
            "midnight",
            "small",
            "bedtime",
            "overnight",
            "sleep",
            "late",
        ],
    ),
    ("evening", &["evening", "evenings", "dinner", "dinnertime", "late", "early", "sunset", "dusk"]),
    ("afternoon", &["afternoon", "afternoons", "noon", "midday", "lunch", "lunchtime", "daytime"]),
    ("morning", &["morning", "mornings", "breakfast", "dawn", "sunrise", "waking"]),
];
/// Weekdays, 0 = Sunday, and their words.
pub(super) const DAYS: [&str; 7] =
    ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
/// What a strength is called.
pub(super) const STRENGTH: &[&str] =
    &["intens*", "strong", "stronger", "strength", "severe", "severity", "weak", "weaker", "rated", "rating"];
/// What the heart's measure is called.
pub(super) const HEART: &[&str] = &["hrv", "sdnn", "rmssd", "heart", "variability", "pulse"];
/// What resisting is called.
pub(super) const RESIST: &[&str] = &["resist*", "withstood", "overcame", "overcome"];
/// What setting off is called.
pub(super) const TRIGGER: &[&str] = &["trigger*", "set", "sets", "setting", "behind"];
/// All the rest.
pub(super) const OTHERWISE: &[&str] = &["other", "otherwise", "elsewhere", "rest", "outside", "remaining"];
/// All of it.
pub(super) const WHOLE: &[&str] = &["overall", "total", "altogether", "whole", "all"];
/// Where a sentence's parts meet.
pub(super) const JOINTS: &[&str] = &[
    "and", "but", "while", "whereas", "against", "than", "versus", "vs", "compared", "with", "which", "who",
    "or", "yet", "though",
];
/// A claim about what a person did.
pub(super) const DID: &[&str] = &[
    "logged",
    "log|logs|noted that",
    "had",
    "wrote",
    "said",
    "felt",
    "resist*",
    "drank",
    "smoked",
    "ate",
    "crave|craved",
    "slept",
    "often",
    "usually",
    "most",
    "frequent*",
    "typical*",
    "tend|tends",
    "pattern|patterns",
    "trend|trends",
    "main",
    "mainly",
    "common*",
    "all",
    "many",
    "much",
    "any",
];
/// Words that may stand before `cravings`.
pub(super) const PLAIN: &[&str] = &[
    "your", "the", "these", "those", "of", "such", "all", "logged", "had", "were", "are", "more", "fewer",
    "and", "their", "my", "as", "other", "before", "resisted", "with", "many", "most", "log", "recorded",
    "noted", "for", "to", "those", "when", "that", "in",
];
/// Caveats that deny a claim, whole.
pub(super) const CAVEATS: &[&str] = &[
    "this|that|these|they goes|go together in your log ?but it|this does|do not prove that one causes the other",
    "this|that|it|which|log does not prove that one causes the other",
    "this|that|it|which|log does not|cannot prove ?a|any|the cause",
    "this|that|it is not|no proof ?of ?a ?cause",
    "this|that|it is not ?a diagnosis ?or ?medical ?advice",
];
/// Words that may stand before a caveat.
pub(super) const OPENERS: &[&str] = &[
    "so", "but", "and", "still", "looking", "at", "your", "log", "in", "short", "of", "course", "also",
    "note", "please", "that",
];
/// Rates that a count is not.
pub(super) const RATES: &[&str] = &[
    "a|an|per|each|every day|days|night|morning|afternoon|evening|week|weekend|month|year|hour|minute|season",
    "per",
    "by the day|night|hour|month|year",
];
/// Who else may have said something.
pub(super) const SPEAKERS: &[&str] = &[
    "he|she|they|who|i|we|someone|somebody|mother|father|friend|friends|partner|wife|husband|boss|colleague|others",
];
/// All other words that a coach has: whoever uses another is not understood.
pub(super) const VOCABULARY: &str = "
a an the this that these those it its they them their theirs there here you your yours yourself i me my we us our
and or but while whereas though yet so also too as than with without of in on at to for from by into during through
between within among across over about after before since until till then when where which who what how if whether why
is are was were be been being am has have had do does did can could may might seem seems seemed appear appears
come comes came coming go goes went going happen happens happened occur occurs occurred stand stands stood sit sits sat
log logs logged logging note notes noted noting record recorded records recorded entry entries entered count counts counted
counting show shows showed shown showing see sees saw seen look looks looked looking find found finds tell tells told say
says said write writes wrote written mark marked mention mentioned report reported describe described list listed
account accounts accounted accounting make up makes made add adds added total totals sum totals number figure figures value data
share part parts portion percentage rest other others same all any some many much such only just even still now again
already overall altogether whole together alone apart exactly
average mean averages averaged averaging rate rated rating intensity strength level strong stronger strongest weak weaker
intense score scored out
craving cravings crave craved urge urges habit habits trigger triggers triggered set off behind reason sets setting
resist resisted resisting resists resistance overcame withstood
heart variability hrv sdnn rmssd usual usually typical typically baseline normal normally hours reading readings
night nights nighttime evening evenings afternoon afternoons morning mornings midday noon late early small day days week
weeks weekly month months year years time times date weekday weekdays weekend weekends calendar period span stretch today
last past recent recently lately previous previously earlier prior preceding
change changes changed changing difference compare compared comparing comparison against versus vs relative
most often main mainly common commonly frequent frequently top pattern patterns trend trends
good great fair hard tough difficult honest honestly clear clearly plain plainly short simply simple well kind gentle
helpful useful worth interesting important notable brave real understandable okay ok fine
thank thanks you welcome sorry glad happy hello hi hey yes sure please question questions answer answers ask asked asking
thing things way ways word words fact facts picture side view case cases point
feel feels felt feeling feelings sound sounds sounded hear heard know knows think thought want wants need needs
take takes took taking give keep keeps kept let lets get gets got start starts started tend tends tended fall falls
holds hold held reach reaches reached manage manages managed done follow follows followed stay stays stayed kind yourself
sharing shared looked honest wish like liked
own
";
