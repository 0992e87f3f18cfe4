//! `mandate erase`: takes away whose data refusals, dry runs and ended exports were about, once the days
//! of the setting are over. A step of its own with a login of its own, which the service never has.

use std::path::PathBuf;

use secrecy::SecretString;

use super::failure::{Failure, words};
use super::print::{say, warn};
use super::{Context, demo, keys, log_keys};
use crate::db::server::data_home;
use crate::erasure::erase_expired;

/// Its arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// File that holds the URL of the login of mandate_eraser [env: MANDATE_ERASE_URL, MANDATE_ERASE_URL_FILE]
    #[arg(long, value_name = "FILE")]
    database_url_file: Option<PathBuf>,
}

/// Runs the command.
pub(super) async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    let mut config = context.config()?.with_home(&data_home()?);
    let days = config.evidence.subjects_days;
    if days == 0 {
        return Err(Failure::usage("evidence.subjects_days is 0: nothing is erased until it says for how many days subjects are kept"));
    }
    let url = url(context, &arguments)?;
    if !config.names_a_database() && log_keys::are_unset(&config) {
        config.evidence.key_file = data_home()?.join(demo::LOG_KEY);
    }
    let db = keys::open(context, &config).await?.with_eraser(&url)?;
    let done = erase_expired(&db, days).await;
    db.close().await;
    let (erased, left) = done.map_err(|error| Failure::new(words(&error)))?;
    for (word, count) in &erased {
        say(format!("{count} subject lists of {word}"));
    }
    say(format!("erased {} subject lists that were older than {days} days", erased.values().sum::<u64>()));
    for name in &left {
        warn(format!("{name} is in quarantine and was passed over"));
    }
    if left.is_empty() { Ok(()) } else { Err(Failure::silent(1)) }
}

fn url(context: &Context, arguments: &Arguments) -> Result<SecretString, Failure> {
    if let Some(file) = &arguments.database_url_file {
        let text = std::fs::read_to_string(file).map_err(|error| Failure::file("read", file, &error))?;
        return Ok(text.trim_end().to_owned().into());
    }
    let missing = "no login of the eraser: give --database-url-file FILE, or set MANDATE_ERASE_URL or MANDATE_ERASE_URL_FILE";
    context.environment.secret("MANDATE_ERASE_URL")?.ok_or_else(|| Failure::usage(missing))
}
