//! What is wrong with a configuration: sentences with their lines, bounded, in the order of the file.
//!
//! Filled while a file is read; shown by `config check`, `status`, the log and LuCI. Pure.

use std::fmt;

use crate::outside;

/// How bad a [`Problem`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It is in force all the same.
    Warning,
    /// Something that the file says is not in force.
    Error,
}

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line in the file, from 1; `None`: the file as a whole.
    pub line: Option<u32>,
    /// Warning or error.
    pub severity: Severity,
    /// A sentence that names the value and what is accepted.
    pub message: String,
}

/// What is wrong with a configuration, in the order of its lines. Displayed one problem a line, as
/// `FILE:LINE: error: …` or `FILE:LINE: warning: …`, without a final line end.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Problems {
    /// The file's name as it was given.
    pub file: String,
    /// The first [`MAX_PROBLEMS`] of them.
    pub list: Vec<Problem>,
    /// How many more there are.
    more: usize,
    /// How many errors there are, those that are not listed too.
    errors: usize,
}

/// So many problems of a file are told one by one.
pub const MAX_PROBLEMS: usize = 100;
/// Longest sentence about a problem, and longest name of a file in front of it, in bytes.
const MESSAGE_MAX: usize = 2 * outside::SENTENCE;
const PATH_MAX: usize = 512;

impl Problems {
    /// None yet, of the file of this name.
    pub fn new(file: &str) -> Problems {
        Problems { file: outside::clean(file, PATH_MAX), ..Problems::default() }
    }

    /// Is there nothing wrong?
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Is there an error, so that something of the file is not in force?
    pub fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// Each problem as its line, with its severity, for a log that has levels of its own.
    pub fn lines(&self) -> impl Iterator<Item = (Severity, String)> {
        let more = (self.more > 0).then(|| (Severity::Error, format!("{}: and {} more", self.file, self.more)));
        self.list.iter().map(|problem| (problem.severity, self.line(problem))).chain(more)
    }

    fn line(&self, problem: &Problem) -> String {
        let severity = match problem.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        match problem.line {
            Some(line) => format!("{}:{line}: {severity}: {}", self.file, problem.message),
            None => format!("{}: {severity}: {}", self.file, problem.message),
        }
    }

    /// One more; the line is `None` where it is the file as a whole.
    pub fn add(&mut self, line: impl Into<Option<u32>>, severity: Severity, message: String) {
        self.errors += usize::from(severity == Severity::Error);
        let message = outside::clean(&message, MESSAGE_MAX);
        if self.list.len() < MAX_PROBLEMS {
            self.list.push(Problem { line: line.into(), severity, message });
        } else {
            self.more += 1;
        }
    }

    /// One of the file as a whole, before the others.
    pub fn whole(&mut self, message: String) {
        self.errors += 1;
        let message = outside::clean(&message, MESSAGE_MAX);
        self.list.insert(0, Problem { line: None, severity: Severity::Error, message });
    }

    /// Place of the newest problem; [`usize::MAX`] where it is not listed.
    pub(super) fn newest(&self) -> usize {
        if self.more > 0 { usize::MAX } else { self.list.len().wrapping_sub(1) }
    }

    /// Says what came of the problem at this place.
    pub(super) fn outcome(&mut self, at: usize, text: &str) {
        if let Some(problem) = self.list.get_mut(at) {
            problem.message.push_str(text);
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (_, line)) in self.lines().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{line}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
