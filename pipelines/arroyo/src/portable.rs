//! What Arroyo cannot run of a `.sql` file, or would run otherwise than `flow`: a lint, without a cluster.
//!
//! In: a program's text. Out: [`Finding`]s with line and column. Pure: the rules were read in Arroyo's source (0.16-dev)
//! and stand here as tables and small functions: [`tables`] and [`options`] judge `CREATE TABLE`, [`queries`] the shape
//! of each query (windowed, updating), [`calls`] every function call. What the lint lets pass, Arroyo's own
//! `validate_query` still judges when a job is deployed.

mod calls;
mod finding;
mod functions;
mod options;
mod queries;
pub(crate) mod script;
mod tables;

pub use finding::{Finding, Level};

/// Judges a program named `name` (its job). Findings are in the order of the text; the program is portable when none
/// is of [`Level::Stops`].
#[must_use]
pub fn portable(name: &str, sql: &str) -> Vec<Finding> {
    let script = match script::read(sql) {
        Ok(script) => script,
        Err(unread) => {
            let instead = "write CREATE TABLE, CREATE VIEW and INSERT INTO statements, each ended by ';'";
            return vec![Finding::stops(name, unread.at, "syntax", unread.message, instead)];
        }
    };
    let mut findings = finding::Findings::new(name);
    tables::check(&script, &mut findings);
    queries::check(&script, &mut findings);
    calls::check(&script, &mut findings);
    findings.sorted()
}

#[cfg(test)]
mod tests;
