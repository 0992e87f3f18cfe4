//! Why a command failed: lines that say what is wrong and what to do, and the exit code.

use std::process::ExitCode;

use super::print::warn;
use crate::base::Error;
use crate::config::ConfigError;
use crate::db::PrivateError;
use crate::db::server::ServerError;

/// A failed command.
#[derive(Debug)]
pub(super) struct Failure {
    code: u8,
    lines: Vec<String>,
}

impl Failure {
    /// Fails with one line.
    pub(super) fn new(line: impl Into<String>) -> Self {
        Self { code: 1, lines: vec![line.into()] }
    }
    /// Fails with a line for each fault.
    pub(super) const fn all(lines: Vec<String>) -> Self {
        Self { code: 1, lines }
    }
    /// Fails because it was asked for wrongly.
    pub(super) fn usage(line: impl Into<String>) -> Self {
        Self { code: 2, lines: vec![line.into()] }
    }
    /// Ends with a code when all that is to be said was printed.
    pub(super) const fn silent(code: u8) -> Self {
        Self { code, lines: Vec::new() }
    }
    /// Fails as a check that could not be made: that something is wrong is another code.
    pub(super) fn undecided(self) -> Self {
        Self { code: 2, ..self }
    }
    /// Fails at a file.
    pub(super) fn file(action: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::new(format!("cannot {action} {}: {error}", path.display()))
    }
    /// Prints the lines and gives the exit code.
    pub(super) fn tell(&self) -> ExitCode {
        for line in &self.lines {
            warn(format!("mandate: {line}"));
        }
        ExitCode::from(self.code)
    }
}

/// An error of the service in words for an operator, its causes included: unlike a client, who
/// gets fixed words, the operator needs them.
pub(super) fn words(error: &Error) -> String {
    match error {
        Error::Conflict { detail, .. } => (*detail).to_owned(),
        Error::Invalid(faults) => {
            let words: Vec<String> =
                faults.iter().map(|fault| format!("{}: {}", fault.pointer.trim_start_matches('/'), fault.detail)).collect();
            words.join("; ")
        }
        Error::Internal(source) => {
            let mut text = source.to_string();
            let mut cause = source.source();
            while let Some(error) = cause {
                let more = error.to_string();
                if !text.contains(&more) {
                    text = format!("{text}: {more}");
                }
                cause = error.source();
            }
            text
        }
        _ => error.to_string(),
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(words(&error))
    }
}

impl From<ServerError> for Failure {
    fn from(error: ServerError) -> Self {
        Self { code: error.exit_code(), lines: vec![error.to_string()] }
    }
}

impl From<PrivateError> for Failure {
    fn from(error: PrivateError) -> Self {
        match error {
            PrivateError::Server(error) => error.into(),
            PrivateError::Database(error) => Self::new(format!("the private database cannot be set up: {}", words(&error))),
            PrivateError::Address => Self::usage(error.to_string()),
            PrivateError::ForeignRole(_) => Self::new(error.to_string()),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(ConfigError(lines): ConfigError) -> Self {
        Self { code: 2, lines }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_reads_the_causes_and_what_to_do() {
        let refused = Error::internal(sqlx_like());
        assert_eq!(words(&refused), "cannot reach the database: refused");
        assert_eq!(words(&Error::conflict("not_private", "only there")), "only there");
        assert_eq!(words(&Error::invalid("email", "email", "must be an address")), "email: must be an address");
    }

    fn sqlx_like() -> Outer {
        Outer(std::io::Error::other("refused"))
    }

    #[derive(Debug, thiserror::Error)]
    #[error("cannot reach the database")]
    struct Outer(#[source] std::io::Error);
}
