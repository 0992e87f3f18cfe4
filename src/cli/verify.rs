//! `mandate verify`: says whether a pack of evidence is what was recorded. It needs the file and
//! nothing else: no settings, no network, no database; and it writes nothing.

use std::fs::File;
use std::io::{BufReader, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::failure::Failure;
use super::print::{over, say};
use crate::evidence::{Note, NoteKey};
use crate::pack::{Options, Verdict, verify};

/// What is verified, and against what.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The pack
    pack: PathBuf,
    /// A checkpoint that was received earlier, as a file; may be given several times
    #[arg(long, value_name = "CHECKPOINT")]
    pinned: Vec<PathBuf>,
    /// The public key of the logs: base64 of its 32 bytes, NAME+HASH+KEY, or a file with either
    #[arg(long)]
    key: Option<String>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// The most bytes of a checkpoint or key.
const LONGEST: u64 = 1 << 20;

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let key = arguments.key.as_deref().map(public_key).transpose()?;
    let pinned = arguments.pinned.iter().map(|path| checkpoint(path)).collect::<Result<_, _>>()?;
    let file = File::open(&arguments.pack).map_err(|error| unreadable(&arguments.pack, &error))?;
    let options = Options { pinned, key, ..Options::default() };
    let mut bar = Bar { shown: std::io::stderr().is_terminal().then_some(u64::MAX) };
    let report = verify(BufReader::with_capacity(1 << 16, file), &options, |passed, total| bar.show(passed, total));
    bar.clear();
    if arguments.json {
        say(serde_json::to_string_pretty(&report).map_err(|error| Failure::new(error.to_string()))?);
    } else {
        say(report.to_string().trim_end());
    }
    match report.verdict {
        Verdict::Verified => Ok(()),
        other => Err(Failure::silent(other.exit_code())),
    }
}

/// A line that grows, on a terminal only.
struct Bar {
    shown: Option<u64>,
}

impl Bar {
    const WIDTH: u64 = 40;
    fn show(&mut self, passed: u64, total: u64) {
        let Some(shown) = self.shown else { return };
        let percent = passed.saturating_mul(100).checked_div(total).unwrap_or(0).min(100);
        if percent != shown {
            self.shown = Some(percent);
            let filled = usize::try_from(percent * Self::WIDTH / 100).unwrap_or(0);
            over(format!("verifying [{:<40}] {percent:>3} %", "#".repeat(filled)));
        }
    }
    fn clear(&self) {
        if self.shown.is_some() {
            over("");
        }
    }
}

// What cannot be read decides nothing: exit code 2, as for a pack that does not.
fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("cannot read {}: {error}", path.display()))
}

fn text(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    file.take(LONGEST).read_to_string(&mut text).map_err(|error| unreadable(path, &error))?;
    Ok(text)
}

fn checkpoint(path: &Path) -> Result<Note, Failure> {
    text(path)?.parse().map_err(|_| Failure::usage(format!("{} is no signed checkpoint", path.display())))
}

fn public_key(given: &str) -> Result<[u8; 32], Failure> {
    let read = |text: &str| {
        let bytes = |text: &str| STANDARD.decode(text).ok()?.try_into().ok();
        bytes(text).or_else(|| text.parse::<NoteKey>().ok().map(|key| *key.public_key()))
    };
    let key = read(given).or_else(|| read(text(Path::new(given)).ok()?.trim()));
    key.ok_or_else(|| Failure::usage("--key is neither base64 of 32 bytes, nor NAME+HASH+KEY, nor a file with either"))
}
