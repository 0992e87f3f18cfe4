//! `mandate config show`: every key with what is in force and where it comes from, without secrets.

use super::Context;
use super::failure::Failure;
use super::print::say;

/// What can be asked of the settings.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Print every key, its value and its source; secrets only as set or unset
    Show,
}

/// Prints the settings.
pub(super) fn show(context: &Context) -> Result<(), Failure> {
    for line in context.config()?.shown() {
        say(line);
    }
    Ok(())
}
