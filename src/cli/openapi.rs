//! `mandate openapi`: the document of every route, as the running service shows it.

use super::failure::Failure;
use super::print::say;

/// Runs the command.
pub(super) fn run() -> Result<(), Failure> {
    let document = crate::http::openapi(&crate::app::table());
    say(document.to_pretty_json().map_err(|error| Failure::new(format!("the document cannot be written: {error}")))?);
    Ok(())
}
