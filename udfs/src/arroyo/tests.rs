use datafusion::arrow::util::display::array_value_to_string;
use datafusion::prelude::SessionContext;
use syn::{FnArg, Item, ReturnType, Type};

use super::wrappers::{
    day_part, local_date, local_dow, local_hour, local_time, period_marker, recency_weight, season,
    sleep_minutes, trend_marker, tz_known,
};
use super::*;

/// The types of `arroyo-udf-plugin` 0.2 that compile (tried).
const TAKES: [&str; 6] = ["i64", "f64", "& str", "Option < i64 >", "Option < f64 >", "Option < & str >"];
const GIVES: [&str; 6] = ["i64", "f64", "String", "Option < i64 >", "Option < f64 >", "Option < String >"];

fn text_of(of: &Type) -> String {
    let mut text = String::new();
    match of {
        Type::Reference(r) => text = format!("& {}", text_of(&r.elem)),
        Type::Path(path) => {
            let last = path.path.segments.last().unwrap();
            text.push_str(&last.ident.to_string());
            if let syn::PathArguments::AngleBracketed(inner) = &last.arguments {
                let syn::GenericArgument::Type(inner) = inner.args.first().unwrap() else { panic!("{text}") };
                text = format!("{text} < {} >", text_of(inner));
            }
        }
        _ => panic!("another kind of type"),
    }
    text
}

/// What Arroyo does first with a definition: one function with `#[udf]`, of types that it knows.
#[test]
fn arroyo_can_parse_each() {
    let udfs = arroyo_udfs();
    assert_eq!(udfs.len(), ALL.len());
    for udf in &udfs {
        let file =
            syn::parse_file(&udf.source).unwrap_or_else(|e| panic!("{}: {e}\n{}", udf.name, udf.source));
        let marked = file.items.iter().filter_map(|item| match item {
            Item::Fn(f) if f.attrs.iter().any(|a| a.path().is_ident("udf")) => Some(f),
            _ => None,
        });
        let [function] = marked.collect::<Vec<_>>()[..] else { panic!("{}: not one #[udf]", udf.name) };
        assert_eq!(function.sig.ident, udf.name);
        for argument in &function.sig.inputs {
            let FnArg::Typed(argument) = argument else { panic!("{}: self", udf.name) };
            let of = text_of(&argument.ty);
            assert!(TAKES.contains(&of.as_str()), "{}: takes {of}", udf.name);
        }
        let ReturnType::Type(_, of) = &function.sig.output else { panic!("{}: gives nothing", udf.name) };
        assert!(GIVES.contains(&text_of(of).as_str()), "{}: gives {}", udf.name, text_of(of));
        assert!(udf.source.starts_with("/*\n[dependencies]\n"), "the header that Arroyo looks for");
        assert!(!udf.source.contains("cfg(test)") && !udf.source.contains("proptest"), "{}", udf.name);
    }
}

/// All functions but those that Arroyo has itself are published.
#[test]
fn none_is_forgotten() {
    let native = ["extract_json", "extract_json_string", "get_first_json_object"];
    let mut ours: Vec<_> = crate::functions().iter().map(|f| f.name().to_owned()).collect();
    ours.retain(|name| !native.contains(&name.as_str()));
    ours.sort();
    assert_eq!(ours, arroyo_udfs().iter().map(|u| u.name).collect::<Vec<_>>());
}

#[test]
fn both_engines_have_the_same_zones() {
    let lock = include_str!("../../../Cargo.lock");
    let version = CHRONO_TZ.split('"').nth(1).unwrap().trim_start_matches('=');
    assert!(
        lock.contains(&format!("name = \"chrono-tz\"\nversion = \"{version}\"")),
        "Cargo.lock holds another chrono-tz than {version}: change CHRONO_TZ"
    );
}

#[tokio::test]
async fn wrappers_answer_as_the_registered_functions() {
    fn shown<T: ToString>(value: Option<T>) -> String {
        value.map_or(String::new(), |v| v.to_string())
    }
    let at = "2026-01-10T23:30:00";
    let counts = (Some(0), Some(0), None, Some(0), Some(3));
    let table = [
        (recency_weight(37.0, 7.0, 0.0).to_string(), "recency_weight(37, 7, 0)"),
        (shown(day_part(22)), "day_part(22)"),
        (shown(day_part(24)), "day_part(24)"),
        (shown(season(7, Some("true"))), "season(7, true)"),
        (shown(season(7, Some("false"))), "season(7, false)"),
        (shown(season(7, None)), "season(7, NULL)"),
        (shown(local_time(at, Some(60), None)), "local_time(TIMESTAMP '2026-01-10T23:30:00', 60, NULL)"),
        (shown(local_date(at, Some(60), None)), "local_date(TIMESTAMP '2026-01-10T23:30:00', 60, NULL)"),
        (
            shown(local_hour(at, None, Some("Asia/Kolkata"))),
            "local_hour(TIMESTAMP '2026-01-10T23:30:00', NULL, 'Asia/Kolkata')",
        ),
        (shown(local_dow(at, None, None)), "local_dow(TIMESTAMP '2026-01-10T23:30:00', NULL, NULL)"),
        (tz_known(None, Some("Asia/Tokyo")), "tz_known(NULL, 'Asia/Tokyo')"),
        (tz_known(None, None), "tz_known(NULL, NULL)"),
        (
            shown(sleep_minutes(r#"{"stages":[{"stage":"rem","duration_s":90}]}"#)),
            r#"sleep_minutes('{"stages":[{"stage":"rem","duration_s":90}]}')"#,
        ),
        (
            shown(trend_marker(
                "sugar",
                "2026-01-03T00:00:00",
                "2026-02-02T00:00:00",
                3,
                12,
                counts.0,
                counts.1,
                counts.2,
                counts.3,
                counts.4,
                None,
            )),
            "trend_marker('sugar', TIMESTAMP '2026-01-03', TIMESTAMP '2026-02-02', 3, 12, 0, 0, NULL, 0, 3, NULL)",
        ),
        (
            shown(period_marker(
                "month",
                "sugar",
                "2026-02-01",
                "2026-03-01",
                8,
                Some(8),
                Some(32.0),
                counts.0,
                Some(8),
                counts.2,
                counts.3,
                counts.0,
                Some(1.0),
            )),
            "period_marker('month', 'sugar', DATE '2026-02-01', DATE '2026-03-01', 8, 8, 32.0, 0, 8, NULL, 0, 0, 1.0)",
        ),
    ];
    let context = SessionContext::new();
    crate::register(&context);
    for (wrapped, sql) in table {
        let batches = context.sql(&format!("SELECT {sql}")).await.unwrap().collect().await.unwrap();
        assert_eq!(array_value_to_string(batches[0].column(0), 0).unwrap(), wrapped, "{sql}");
    }
}
