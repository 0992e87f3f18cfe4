//! The only place that writes to standard output and standard error, the log aside. A reader that
//! has gone away (`| head`) is no fault.

use std::io::Write;

/// Prints one or more lines.
pub(super) fn say(text: impl AsRef<str>) {
    writeln!(std::io::stdout().lock(), "{}", text.as_ref()).ok();
}

/// Prints one or more lines beside the output.
pub(super) fn warn(text: impl AsRef<str>) {
    writeln!(std::io::stderr().lock(), "{}", text.as_ref()).ok();
}
