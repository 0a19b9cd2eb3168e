//! The result of a check: its level, text and remedy.

use std::fmt;

use serde::Serialize;

/// The severity of a finding.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing needs to change.
    Pass,
    /// It works, but something should change.
    Warn,
    /// It does not work, or will fail under load.
    Fail,
}

/// The result of one check.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// The name of the check, for programs: it stays the same in all releases.
    pub check: &'static str,
    /// The severity.
    pub level: Level,
    /// What was found.
    pub says: String,
    /// The remedy, unless the check passed.
    pub change: Option<String>,
}

/// The findings about one database.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The database's URL, its password hidden.
    pub database: String,
    /// The level of the worst finding.
    pub worst: Level,
    /// The findings, in the order of the checks.
    pub findings: Vec<Finding>,
}

impl Finding {
    /// Creates a finding of a check that passed.
    pub fn pass(check: &'static str, says: impl Into<String>) -> Self {
        Self {
            check,
            level: Level::Pass,
            says: says.into(),
            change: None,
        }
    }

    /// Creates a warning with its remedy.
    pub fn warn(check: &'static str, says: impl Into<String>, change: impl Into<String>) -> Self {
        Self {
            level: Level::Warn,
            change: Some(change.into()),
            ..Self::pass(check, says)
        }
    }

    /// Creates a failure with its remedy.
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

    /// Returns 0 if all checks passed, 1 if the worst finding is a warning, 2 if it is a failure.
    pub fn exit_code(&self) -> u8 {
        self.worst as u8
    }

    /// Returns the report as a JSON object.
    ///
    /// # Errors
    ///
    /// None in practice: the report consists of text and numbers.
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
            Level::Warn => "works; read the warnings before production",
            Level::Fail => "not ready for production",
        };
        writeln!(
            f,
            "\n{passed} passed, {warned} warnings, {failed} failed: {verdict}"
        )
    }
}
