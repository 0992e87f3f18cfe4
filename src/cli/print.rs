//! The only place that writes to standard output and standard error, the log aside. A reader that
//! has gone away (`| head`) is no fault.

use std::io::Write;

/// Prints one or more lines.
pub(super) fn say(text: impl AsRef<str>) {
    writeln!(std::io::stdout().lock(), "{}", text.as_ref()).ok();
}

/// Writes over the present line beside the output: for progress on a terminal.
pub(super) fn over(text: impl AsRef<str>) {
    let mut out = std::io::stderr().lock();
    write!(out, "\r\x1b[K{}", text.as_ref()).and_then(|()| out.flush()).ok();
}

/// Prints one or more lines beside the output.
pub(super) fn warn(text: impl AsRef<str>) {
    writeln!(std::io::stderr().lock(), "{}", text.as_ref()).ok();
}
