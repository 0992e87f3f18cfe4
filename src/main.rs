//! The command line's entry; everything it does is in `cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    mandate::cli::main()
}
