//! What the lint says.

use std::fmt;

use super::script::At;

/// How much a [`Finding`] matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Arroyo would refuse the program, lose rows, or silently do something else: it is not deployed.
    Stops,
    /// Arroyo runs it with a known fault of its own: it is deployed, and said.
    Note,
}

/// One thing that Arroyo cannot run, or runs otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Name of the program.
    pub program: String,
    /// Line in its text, from 1.
    pub line: u64,
    /// Column in characters, from 1.
    pub column: u64,
    /// The rule's name, stable, for scripts and tests.
    pub rule: &'static str,
    /// Whether it stops a deployment.
    pub level: Level,
    /// What is wrong.
    pub reason: String,
    /// What to write instead.
    pub instead: String,
}

impl Finding {
    pub(super) fn stops(
        program: &str,
        at: At,
        rule: &'static str,
        reason: impl Into<String>,
        instead: impl Into<String>,
    ) -> Self {
        let (reason, instead) = (reason.into(), instead.into());
        Self {
            program: program.into(),
            line: at.line,
            column: at.column,
            rule,
            level: Level::Stops,
            reason,
            instead,
        }
    }
}

/// `recency:34:3: delta-timestamp: …; …`
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let note = if self.level == Level::Note { "note: " } else { "" };
        write!(f, "{}:{}:{}: {note}{}: ", self.program, self.line, self.column, self.rule)?;
        write!(f, "{}; {}", self.reason, self.instead)
    }
}

/// Findings as they are made.
pub(super) struct Findings<'a> {
    program: &'a str,
    found: Vec<Finding>,
}

impl<'a> Findings<'a> {
    pub(super) fn new(program: &'a str) -> Self {
        Self { program, found: Vec::new() }
    }

    pub(super) fn stop(
        &mut self,
        at: At,
        rule: &'static str,
        reason: impl Into<String>,
        instead: impl Into<String>,
    ) {
        self.found.push(Finding::stops(self.program, at, rule, reason, instead));
    }

    pub(super) fn note(
        &mut self,
        at: At,
        rule: &'static str,
        reason: impl Into<String>,
        instead: impl Into<String>,
    ) {
        let finding = Finding::stops(self.program, at, rule, reason, instead);
        self.found.push(Finding { level: Level::Note, ..finding });
    }

    /// In the order of the text, each once (a view is judged once for every query that reads it).
    pub(super) fn sorted(mut self) -> Vec<Finding> {
        self.found.sort_by(|a, b| {
            (a.line, a.column, a.rule, &a.reason).cmp(&(b.line, b.column, b.rule, &b.reason))
        });
        self.found.dedup();
        self.found
    }
}
