//! The result of a check: its level, text and remedy.

use std::fmt;

use serde::Serialize;

/// How bad a finding is. A report is as bad as its worst.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing to do.
    Pass,
    /// Works, and something should change.
    Warn,
    /// Does not work, or will fail under load.
    Fail,
}

/// One line of the checklist.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What was looked at: the same word in every release, for programs.
    pub check: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub says: String,
    /// What to change, where something is to be changed.
    pub change: Option<String>,
}

/// The checklist of one database.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The database's URL, its password hidden.
    pub database: String,
    /// The level of the worst finding.
    pub worst: Level,
    /// The findings, in the order in which they were looked for.
    pub findings: Vec<Finding>,
}

impl Finding {
    /// Creates a finding that asks for nothing.
    pub fn pass(check: &'static str, says: impl Into<String>) -> Self {
        Self {
            check,
            level: Level::Pass,
            says: says.into(),
            change: None,
        }
    }

    /// Creates a finding that asks for a change.
    pub fn warn(check: &'static str, says: impl Into<String>, change: impl Into<String>) -> Self {
        Self {
            level: Level::Warn,
            change: Some(change.into()),
            ..Self::pass(check, says)
        }
    }

    /// Creates a finding that has to be mended.
    pub fn fail(check: &'static str, says: impl Into<String>, change: impl Into<String>) -> Self {
        Self {
            level: Level::Fail,
            ..Self::warn(check, says, change)
        }
    }
}

impl Report {
    pub(crate) fn new(database: String) -> Self {
        Self {
            database,
            worst: Level::Pass,
            findings: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, finding: Finding) {
        self.worst = self.worst.max(finding.level);
        self.findings.push(finding);
    }

    /// 0 where everything passed, 1 for a warning, 2 for a failure.
    pub fn exit_code(&self) -> u8 {
        self.worst as u8
    }

    /// The report as JSON, one object.
    ///
    /// # Errors
    ///
    /// None that texts and words could cause.
    pub fn json(&self) -> serde_json::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    fn count(&self, level: Level) -> usize {
        self.findings
            .iter()
            .filter(|finding| finding.level == level)
            .count()
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "pass",
            Self::Warn => "WARN",
            Self::Fail => "FAIL",
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.database)?;
        for finding in &self.findings {
            writeln!(f, "{}  {:<12} {}", finding.level, finding.check, finding.says)?;
            if let Some(change) = &finding.change {
                writeln!(f, "{:<19}-> {change}", "")?;
            }
        }
        let [passed, warned, failed] = [Level::Pass, Level::Warn, Level::Fail].map(|level| self.count(level));
        let verdict = match self.worst {
            Level::Pass => "ready for production",
            Level::Warn => "it works; read the warnings before production",
            Level::Fail => "not ready for production",
        };
        writeln!(
            f,
            "\n{passed} passed, {warned} warnings, {failed} failed: {verdict}"
        )
    }
}
