//! `mandate totp`: a code of the second factor of a person of the demo world, which has no
//! authenticator. It protects one rule: only a private database's factors are ever computed, and
//! only from the file with the demo's logins, which its owner alone can read.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::failure::{Failure, words};
use super::print::say;
use crate::base::{Clock, Email, SystemClock};
use crate::db;
use crate::demo::Access;
use crate::identity::{TotpSecret, last_step_of};

/// Its arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// E-mail of a person of the demo world
    email: String,
    /// The file with the demo's logins, instead of the newest in the folder for data
    #[arg(long, value_name = "FILE")]
    logins: Option<PathBuf>,
}

/// Runs the command: prints a code that was not used yet, after waiting for its time if need be.
pub(super) async fn run(Arguments { email, logins }: Arguments) -> Result<(), Failure> {
    let email: Email = email.parse().map_err(|error: crate::base::BadText| Failure::usage(format!("the address {error}")))?;
    let file = match logins {
        Some(file) => file,
        None => newest(&db::server::data_home()?)?,
    };
    let read = Access::read(&file).map_err(|error| Failure::new(format!("cannot read {}: {}", file.display(), words(&error))))?;
    let access = read.ok_or_else(|| missing(&file))?;
    let login = access.logins.iter().find(|login| login.email == email.as_str());
    let secret = login.and_then(|login| login.totp_secret.as_deref());
    let secret = secret.ok_or_else(|| Failure::new(format!("{} names no second factor of {}", file.display(), email.as_str())))?;
    let secret = TotpSecret::from_base32(secret)?;
    let mut conn = db::connect(&access.database).await?;
    let facts = db::installation_at(&mut conn).await?;
    if !facts.private {
        return Err(Failure::new("codes are computed for a private database only"));
    }
    let clock = SystemClock::default();
    clock.set_offset_millis(facts.clock_offset_millis);
    let last = last_step_of(&mut conn, &email).await?;
    let (code, wait) = secret.unused(clock.now(), last);
    drop(conn);
    tokio::time::sleep(Duration::from_millis(wait)).await;
    say(code);
    Ok(())
}

/// Why a file gave no logins.
fn missing(file: &Path) -> Failure {
    let shown = file.display();
    if file.exists() {
        return Failure::new(format!(
            "{shown} does not hold a demo's logins, or another version wrote it: name another file, or start the demo again"
        ));
    }
    Failure::new(format!("there is no file {shown}: start the demo first"))
}

/// The newest file with logins in the folder for data.
fn newest(home: &Path) -> Result<PathBuf, Failure> {
    let files = std::fs::read_dir(home).map_err(|error| Failure::file("read", home, &error))?;
    let is_logins = |file: &std::fs::DirEntry| file.file_name().to_str().is_some_and(|name| name.starts_with("demo-logins-"));
    let written = |file: &std::fs::DirEntry| file.metadata().and_then(|meta| meta.modified()).ok();
    let newest = files.filter_map(Result::ok).filter(is_logins).max_by_key(written);
    newest.map(|file| file.path()).ok_or_else(|| Failure::new(format!("there is no demo in {}: run `mandate` first", home.display())))
}
