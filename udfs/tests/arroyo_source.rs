//! The text that Arroyo gets, compiled as its compiler service does it, and run beside our own functions.
//!
//! `a_stand_in_…` uses a stand-in for `arroyo-udf-plugin` (its macro only makes the function public), because the real
//! one brings its own Arrow and is not in this workspace; everything else is the real text with the real dependencies.
//! `the_real_plugin_…` is ignored: it fetches the plugin and builds Arrow 51, some minutes; it also calls a function over
//! the plugin's own C interface. Run it after a change of a function: `cargo test --workspace -- --ignored real_plugin`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{fmt::Write as _, fs, path::Path, process::Command};

use crave_udfs::{ArroyoUdf, arroyo_udfs, register};
use datafusion::{arrow::util::display::array_value_to_string, prelude::SessionContext};

/// (call in the generated file's types, the same in SQL).
const TABLE: &[(&str, &str)] = &[
    ("recency_weight(44.0, 7.0, 0.3)", "recency_weight(44, 7, 0.3)"),
    ("recency_weight(51.5, 14.0, 0.0)", "recency_weight(51.5, 14, 0)"),
    ("day_part(4)", "day_part(4)"),
    ("day_part(23)", "day_part(23)"),
    ("day_part(-1)", "day_part(-1)"),
    ("season(12, Some(\"false\"))", "season(12, false)"),
    ("season(4, Some(\"true\"))", "season(4, true)"),
    ("season(13, None)", "season(13, NULL)"),
    (
        "local_time(\"2026-03-29T00:59:59.123456\", None, Some(\"Europe/Berlin\"))",
        "local_time(TIMESTAMP '2026-03-29T00:59:59.123456', NULL, 'Europe/Berlin')",
    ),
    (
        "local_time(\"2026-03-29T01:00:00\", Some(0), Some(\"Europe/Berlin\"))",
        "local_time(TIMESTAMP '2026-03-29T01:00:00', 0, 'Europe/Berlin')",
    ),
    (
        "local_date(\"2026-01-10T12:00:00\", Some(840), None)",
        "local_date(TIMESTAMP '2026-01-10T12:00:00', 840, NULL)",
    ),
    (
        "local_hour(\"2026-07-10T12:00:00\", None, Some(\"America/New_York\"))",
        "local_hour(TIMESTAMP '2026-07-10T12:00:00', NULL, 'America/New_York')",
    ),
    (
        "local_dow(\"2026-01-10T12:00:00\", Some(99999), Some(\"Mars/Olympus\"))",
        "local_dow(TIMESTAMP '2026-01-10T12:00:00', 99999, 'Mars/Olympus')",
    ),
    ("tz_known(Some(0), None)", "tz_known(0, NULL)"),
    ("tz_known(Some(5000), Some(\"nowhere\"))", "tz_known(5000, 'nowhere')"),
    (
        r##"sleep_minutes(r#"{"stages":[{"stage":"deep","duration_s":1800},{"stage":"awake","duration_s":9}]}"#)"##,
        r#"sleep_minutes('{"stages":[{"stage":"deep","duration_s":1800},{"stage":"awake","duration_s":9}]}')"#,
    ),
    (r#"sleep_minutes("{")"#, "sleep_minutes('{')"),
    (
        "trend_marker(\"sugar\", \"2026-06-01T00:00:00\", \"2026-12-01T00:00:00\", 81, 518, Some(3), Some(5), Some(8), \
         Some(15), Some(50), Some(58))",
        "trend_marker('sugar', TIMESTAMP '2026-06-01', TIMESTAMP '2026-12-01', 81, 518, 3, 5, 8, 15, 50, 58)",
    ),
    (
        "trend_marker(\"salt\", \"2026-01-03T00:00:00\", \"2026-02-02T00:00:00\", 0, 0, None, None, None, None, None, None)",
        "trend_marker('salt', TIMESTAMP '2026-01-03', TIMESTAMP '2026-02-02', 0, 0, NULL, NULL, NULL, NULL, NULL, NULL)",
    ),
    (
        "period_marker(\"half_year\", \"sugar\", \"2026-06-01\", \"2026-12-01\", 81, Some(80), Some(512.0), Some(3), \
         Some(5), Some(8), Some(15), Some(50), Some(2.213))",
        "period_marker('half_year', 'sugar', DATE '2026-06-01', DATE '2026-12-01', 81, 80, 512.0, 3, 5, 8, 15, 50, 2.213)",
    ),
];

const STAND_IN: &str = r#"
use proc_macro::TokenStream;
#[proc_macro_attribute]
pub fn udf(_: TokenStream, item: TokenStream) -> TokenStream {
    ["pub".parse().unwrap(), item].into_iter().collect()
}
"#;

const SHOW: &str = r#"
trait Show { fn show(&self) -> String; }
impl Show for i64 { fn show(&self) -> String { self.to_string() } }
impl Show for f64 { fn show(&self) -> String { format!("{self:?}") } }
impl Show for String { fn show(&self) -> String { self.clone() } }
impl<T: Show> Show for Option<T> {
    fn show(&self) -> String { self.as_ref().map_or(String::new(), Show::show) }
}
"#;

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A crate of the generated text, as Arroyo's compiler service lays it out.
fn write_crate(folder: &Path, udf: &ArroyoUdf, kind: &str, plugin: &str) {
    let header = udf.source.strip_prefix("/*\n").unwrap().split("*/").next().unwrap();
    let manifest = format!(
        "[package]\nname = \"udf_{0}\"\nversion = \"1.0.0\"\nedition = \"2024\"\n[lib]\ncrate-type = [\"{kind}\"]\n{header}\
         arroyo-udf-plugin = {plugin}\n",
        udf.name
    );
    let folder = folder.join(udf.name);
    write(&folder.join("Cargo.toml"), &manifest);
    write(&folder.join("src/lib.rs"), &udf.source);
}

fn write_workspace(folder: &Path, extra: &[&str]) {
    let names = arroyo_udfs().into_iter().map(|u| u.name);
    let members: Vec<_> = names.chain(extra.iter().copied()).map(|m| format!("{m:?}")).collect();
    let members = members.join(", ");
    let profile = "[profile.dev]\ndebug = false\n";
    write(
        &folder.join("Cargo.toml"),
        &format!("[workspace]\nresolver = \"3\"\nmembers = [{members}]\n{profile}"),
    );
}

fn cargo(folder: &Path, arguments: &[&str]) -> String {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(arguments).current_dir(folder).env("CARGO_TARGET_DIR", folder.join("target"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

async fn ours(sql: &str) -> String {
    let context = SessionContext::new();
    register(&context);
    let batches = context.sql(&format!("SELECT {sql}")).await.unwrap().collect().await.unwrap();
    array_value_to_string(batches[0].column(0), 0).unwrap()
}

#[tokio::test]
async fn a_stand_in_for_the_macro_gives_the_same_values() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // Offline: the versions that this workspace already has.
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    write_workspace(folder, &["plugin", "driver"]);
    let package =
        |name: &str| format!("[package]\nname = \"{name}\"\nversion = \"0.2.0\"\nedition = \"2024\"\n");
    let plugin = package("arroyo-udf-plugin") + "[lib]\nproc-macro = true\n";
    write(&folder.join("plugin/Cargo.toml"), &plugin);
    write(&folder.join("plugin/src/lib.rs"), STAND_IN);
    let mut manifest = package("driver") + "[dependencies]\n";
    for udf in arroyo_udfs() {
        write_crate(folder, &udf, "rlib", "{ path = \"../plugin\" }");
        writeln!(manifest, "udf_{0} = {{ path = \"../{0}\" }}", udf.name).unwrap();
    }
    let mut main = format!("{SHOW}fn main() {{\n");
    for (call, _) in TABLE {
        let name = call.split('(').next().unwrap();
        writeln!(main, "    println!(\"{{}}\", udf_{name}::{call}.show());").unwrap();
    }
    main.push_str("}\n");
    write(&folder.join("driver/Cargo.toml"), &manifest);
    write(&folder.join("driver/src/main.rs"), &main);

    let printed = cargo(folder, &["run", "--offline", "--quiet", "--bin", "driver"]);
    let printed: Vec<_> = printed.lines().collect();
    assert_eq!(printed.len(), TABLE.len());
    for ((call, sql), theirs) in TABLE.iter().zip(printed) {
        assert_eq!(ours(sql).await, theirs, "{call}");
    }
}

/// Calls the function as an Arroyo worker does: columns in over the C interface, NULLs among them, a column out.
const RUN: &str = r#"
    #[test]
    fn columns() {
        use arroyo_udf_plugin::arrow::array::{Array, Int64Array, StringArray, make_array};
        use arroyo_udf_plugin::{FfiArraySchema, FfiArrays, RunResult, arrow::ffi::from_ffi};
        let utc = StringArray::from(vec![Some("2026-01-10T23:30:00"), Some("2026-07-10T12:00:00"), None]);
        let offset = Int64Array::from(vec![Some(60), None, Some(0)]);
        let zone = StringArray::from(vec![None, Some("America/New_York"), None]);
        let given = FfiArrays::from_vec(vec![utc.to_data(), offset.to_data(), zone.to_data()]);
        let RunResult::Ok(FfiArraySchema(array, schema)) = super::__run(given) else { panic!("it panicked") };
        let hours = make_array(unsafe { from_ffi(array, &schema) }.unwrap());
        let hours = hours.as_any().downcast_ref::<Int64Array>().unwrap();
        assert_eq!(hours.iter().collect::<Vec<_>>(), [Some(0), Some(8), None]);
    }
"#;

#[tokio::test]
#[ignore = "fetches arroyo-udf-plugin and builds Arrow 51: some minutes"]
async fn the_real_plugin_compiles_each_and_gives_the_same_values() {
    let folder = tempfile::tempdir().unwrap();
    write_workspace(folder.path(), &[]);
    for mut udf in arroyo_udfs() {
        let mut checks = String::new();
        for (call, sql) in TABLE.iter().filter(|(call, _)| call.split('(').next() == Some(udf.name)) {
            writeln!(checks, "        assert_eq!(super::{call}.show(), {:?});", ours(sql).await).unwrap();
        }
        let run = if udf.name == "local_hour" { RUN } else { "" };
        let values = format!("    #[test]\n    fn values() {{\n{checks}    }}\n");
        writeln!(udf.source, "\n#[cfg(test)]\nmod check {{\n{SHOW}{values}{run}}}").unwrap();
        write_crate(folder.path(), &udf, "cdylib", "\"^0.2.0\"");
    }
    // As Arroyo builds it, then with the checks.
    cargo(folder.path(), &["build", "--quiet"]);
    cargo(folder.path(), &["test", "--quiet"]);
}
