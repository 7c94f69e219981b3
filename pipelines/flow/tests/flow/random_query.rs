//! Queries from pieces: windows of any length, keys and aggregates of every type, filters, HAVING, CASE; joined,
//! united, windowed again, ranked. A number decides all of it, so that a failure can be told by it.

/// Choices from one number (SplitMix64, public domain, by S. Vigna).
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(n).unwrap()).unwrap()
    }

    fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }
}

/// Columns of the source, apart from its time.
pub(crate) const COLUMNS: &str =
    "who TEXT, n BIGINT, i INT, x DOUBLE, flag BOOLEAN, word TEXT, at TIMESTAMP(6), day DATE";

const KEYS: &[(&str, &str)] = &[
    ("who", "TEXT"),
    ("flag", "BOOLEAN"),
    ("word", "TEXT"),
    ("day", "DATE"),
    ("i", "INT"),
    ("n % 3", "BIGINT"),
    ("CASE WHEN x > 30 THEN 'high' WHEN flag THEN 'set' ELSE NULL END", "TEXT"),
    ("upper(who)", "TEXT"),
];

const AGGREGATES: &[(&str, &str)] = &[
    ("count(*)", "BIGINT"),
    ("count(n)", "BIGINT"),
    ("sum(n)", "BIGINT"),
    ("sum(i)", "BIGINT"),
    ("sum(x)", "DOUBLE"),
    ("avg(x)", "DOUBLE"),
    ("avg(n)", "DOUBLE"),
    ("min(word)", "TEXT"),
    ("max(word)", "TEXT"),
    ("max(who)", "TEXT"),
    ("min(at)", "TIMESTAMP(6)"),
    ("max(ts)", "TIMESTAMP(6)"),
    ("min(i)", "INT"),
    ("max(x)", "DOUBLE"),
    ("max(day)", "DATE"),
    ("count(DISTINCT word)", "BIGINT"),
    ("count(DISTINCT i)", "BIGINT"),
    ("sum(DISTINCT n)", "BIGINT"),
    ("bool_and(flag)", "BOOLEAN"),
    ("bool_or(flag)", "BOOLEAN"),
    ("round(stddev(n), 6)", "DOUBLE"),
    ("1 + var_pop(x)", "DOUBLE"),
    ("bit_xor(n)", "BIGINT"),
    ("CAST(approx_distinct(word) AS BIGINT)", "BIGINT"),
    ("median(n)", "BIGINT"),
    ("sum(CASE WHEN flag THEN n ELSE 0 END)", "BIGINT"),
    ("count(*) FILTER (WHERE x > 40)", "BIGINT"),
    ("max(abs(n - 5)) FILTER (WHERE word <> 'oak')", "BIGINT"),
    ("sum(n) * 2 + count(*)", "BIGINT"),
    ("coalesce(max(n), -1) - coalesce(min(n), 0)", "BIGINT"),
];

const FILTERS: &[&str] = &[
    "",
    "",
    "WHERE n % 3 <> 1",
    "WHERE flag",
    "WHERE word LIKE '%a%' OR who IS NULL",
    "WHERE x BETWEEN 10 AND 70",
    "WHERE CASE WHEN flag THEN n > 2 ELSE i IS NOT NULL END",
];

const HAVING: &[&str] =
    &["", "", "", "HAVING count(*) > 1", "HAVING min(n) < 6", "HAVING sum(i) IS NOT NULL OR count(n) = 1"];

/// A query and the columns of its sink.
pub(crate) struct Query {
    pub(crate) columns: String,
    pub(crate) sql: String,
    pub(crate) updating: bool,
}

/// Keys and aggregates of one level: (SQL, type).
struct Level {
    keys: Vec<(&'static str, &'static str)>,
    aggregates: Vec<(&'static str, &'static str)>,
}

impl Level {
    fn new(dice: &mut Dice, keys_min: usize) -> Self {
        let some = |dice: &mut Dice, of: &[(&'static str, &'static str)], count: usize| {
            let mut all = of.to_vec();
            (0..count).map(|_| all.swap_remove(dice.below(all.len()))).collect()
        };
        let keys = keys_min + dice.below(3);
        let aggregates = 1 + dice.below(4);
        Self { keys: some(dice, KEYS, keys), aggregates: some(dice, AGGREGATES, aggregates) }
    }

    /// `k0 TEXT, …, a0 BIGINT, …`, the aggregates under this letter.
    fn columns(&self, keys: bool, letter: char) -> Vec<String> {
        let key = self.keys.iter().enumerate().filter(|_| keys).map(|(i, (_, of))| format!("k{i} {of}"));
        let aggregates = self.aggregates.iter().enumerate().map(|(i, (_, of))| format!("{letter}{i} {of}"));
        key.chain(aggregates).collect()
    }

    fn names(&self, keys: bool, letter: char) -> Vec<String> {
        let names = self.columns(keys, letter).into_iter();
        names.map(|column| column.split(' ').next().unwrap().to_owned()).collect()
    }

    /// The grouped query; with `window` as its first column where there is one.
    fn grouped(&self, dice: &mut Dice, window: Option<&str>, letter: char) -> String {
        let mut select: Vec<String> = window.iter().map(|window| format!("{window} AS window")).collect();
        let mut by: Vec<String> = window.iter().map(|_| "window".into()).collect();
        for (i, (key, _)) in self.keys.iter().enumerate() {
            select.push(format!("{key} AS k{i}"));
            by.push((*key).to_owned());
        }
        for (i, (aggregate, _)) in self.aggregates.iter().enumerate() {
            select.push(format!("{aggregate} AS {letter}{i}"));
        }
        let (filter, having) = (dice.pick(FILTERS), dice.pick(HAVING));
        format!("SELECT {} FROM source {filter} GROUP BY {} {having}", select.join(", "), by.join(", "))
    }
}

fn tumble_or_hop(dice: &mut Dice) -> String {
    let slide = [2, 5, 10, 15, 20, 60][dice.below(6)];
    match dice.below(2) {
        0 => format!("tumble(INTERVAL '{slide} seconds')"),
        _ => format!("hop(INTERVAL '{slide} seconds', INTERVAL '{} seconds')", slide * (1 + dice.below(6))),
    }
}

fn window(dice: &mut Dice) -> String {
    match dice.below(3) {
        0 => format!("session(INTERVAL '{} seconds')", [3, 5, 10, 30][dice.below(4)]),
        _ => tumble_or_hop(dice),
    }
}

const BOUNDS: &str = "window_start TIMESTAMP(6), window_end TIMESTAMP(6)";

/// The windowed query of this number.
pub(crate) fn windowed(number: u64) -> Query {
    let dice = &mut Dice(number);
    let level = Level::new(dice, 0);
    let columns = [vec![BOUNDS.to_owned()], level.columns(true, 'a')].concat().join(", ");
    let selected = |level: &Level| {
        [vec!["window.start".into(), "window.end".into()], level.names(true, 'a')].concat().join(", ")
    };
    let plain = |dice: &mut Dice, level: &Level, window: &str| {
        format!("SELECT {} FROM ({})", selected(level), level.grouped(dice, Some(window), 'a'))
    };
    let (columns, sql) = match dice.below(9) {
        0 => {
            // United: windows of two shapes, filters of their own.
            let (first, second) = (tumble_or_hop(dice), tumble_or_hop(dice));
            let sides = [plain(dice, &level, &first), plain(dice, &level, &second)];
            (columns, sides.join(" UNION ALL "))
        }
        1 | 2 => {
            // Joined as the windows close.
            let (window, other) = (window(dice), Level { keys: level.keys.clone(), ..Level::new(dice, 0) });
            let kind = dice.pick(&["JOIN", "LEFT JOIN"]);
            let on: Vec<String> = ["a.window = b.window".to_owned()]
                .into_iter()
                .chain((0..level.keys.len()).map(|i| format!("a.k{i} = b.k{i}")))
                .collect();
            let names = |side: char, level: &Level, keys: bool| {
                level
                    .names(keys, side)
                    .into_iter()
                    .map(move |name| format!("{side}.{name}"))
                    .collect::<Vec<_>>()
            };
            let (left, right) =
                (level.grouped(dice, Some(&window), 'a'), other.grouped(dice, Some(&window), 'b'));
            let selected = [names('a', &level, true), names('b', &other, false)].concat().join(", ");
            let sql = format!(
                "SELECT a.window.start, a.window.end, {selected} FROM ({left}) a {kind} ({right}) b ON {}",
                on.join(" AND ")
            );
            (format!("{columns}, {}", other.columns(false, 'b').join(", ")), sql)
        }
        3 => {
            // Windowed again: a hop or a tumble of tumbles.
            let inner = format!("tumble(INTERVAL '{} seconds')", [5, 10][dice.below(2)]);
            let outer =
                ["tumble(INTERVAL '20 seconds')", "hop(INTERVAL '20 seconds', INTERVAL '60 seconds')"];
            let outer = outer[dice.below(2)];
            let inner = level.grouped(dice, Some(&inner), 'a').replacen("AS window", "AS inner_window", 1);
            let inner = inner.replacen("GROUP BY window", "GROUP BY inner_window", 1);
            let keys = (0..level.keys.len()).map(|i| format!(", k{i}")).collect::<String>();
            let keys_columns = level.columns(true, 'a');
            let keys_columns =
                keys_columns[..level.keys.len()].iter().map(|c| format!(", {c}")).collect::<String>();
            let sql = format!(
                "SELECT window.start, window.end{keys}, parts, most FROM (
                   SELECT {outer} AS window{keys}, count(*) AS parts, max(a0) AS most FROM ({inner}) GROUP BY window{keys})"
            );
            (format!("{BOUNDS}{keys_columns}, parts BIGINT, most {}", level.aggregates[0].1), sql)
        }
        4 => {
            // Grouped again by its window alone.
            let window = window(dice);
            let sql = format!(
                "SELECT window.start, window.end, parts, most FROM (
                   SELECT window, count(*) AS parts, max(a0) AS most FROM ({}) GROUP BY window)",
                level.grouped(dice, Some(&window), 'a')
            );
            (format!("{BOUNDS}, parts BIGINT, most {}", level.aggregates[0].1), sql)
        }
        5 => {
            // Ranked within each window; the keys decide between equals.
            let window = window(dice);
            let order =
                [level.names(true, 'a')[level.keys.len()..].to_vec(), level.names(true, 'a')].concat();
            let sql = format!(
                "SELECT {} FROM (SELECT *, row_number() OVER (PARTITION BY window ORDER BY {}) AS place FROM ({})) WHERE place <= {}",
                selected(&level),
                order.join(", "),
                level.grouped(dice, Some(&window), 'a'),
                1 + dice.below(3)
            );
            (columns, sql)
        }
        _ => {
            let window = window(dice);
            (columns, plain(dice, &level, &window))
        }
    };
    Query { columns, sql, updating: false }
}

/// The updating query of this number. It has a key: a total over nothing is a row in a batch only.
pub(crate) fn updating(number: u64) -> Query {
    let dice = &mut Dice(number);
    let level = Level::new(dice, 1);
    let columns = level.columns(true, 'a').join(", ");
    let (columns, sql) = match dice.below(5) {
        0 => (columns, [level.grouped(dice, None, 'a'), level.grouped(dice, None, 'a')].join(" UNION ALL ")),
        1 => {
            let sql = format!(
                "SELECT k0, count(*), max(a0), count(DISTINCT a0) FROM ({}) GROUP BY k0",
                level.grouped(dice, None, 'a')
            );
            let (key, most) = (level.keys[0].1, level.aggregates[0].1);
            (format!("k0 {key}, parts BIGINT, most {most}, kinds BIGINT"), sql)
        }
        2 => {
            let other = Level { keys: level.keys.clone(), ..Level::new(dice, 0) };
            let kind = dice.pick(&["JOIN", "LEFT JOIN"]);
            let on =
                (0..level.keys.len()).map(|i| format!("a.k{i} = b.k{i}")).collect::<Vec<_>>().join(" AND ");
            let (left, right) = (level.grouped(dice, None, 'a'), other.grouped(dice, None, 'b'));
            let names = |side: char, level: &Level, keys: bool| {
                level
                    .names(keys, side)
                    .into_iter()
                    .map(move |name| format!("{side}.{name}"))
                    .collect::<Vec<_>>()
            };
            let selected = [names('a', &level, true), names('b', &other, false)].concat().join(", ");
            let sql = format!("SELECT {selected} FROM ({left}) a {kind} ({right}) b ON {on}");
            (format!("{columns}, {}", other.columns(false, 'b').join(", ")), sql)
        }
        _ => (columns, level.grouped(dice, None, 'a')),
    };
    Query { columns, sql, updating: true }
}
