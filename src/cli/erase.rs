//! `mandate erase`: takes away whose data refusals, dry runs and ended exports were about, and the bytes
//! of documents that nothing in force cites, once the days of the settings are over. A step of its own
//! with a login of its own, which the service never has.

use std::path::PathBuf;

use secrecy::SecretString;

use super::failure::{Failure, words};
use super::print::{say, warn};
use super::{Context, demo, keys, log_keys};
use crate::config::Config;
use crate::db::server::data_home;
use crate::db::{Db, guard_eraser};
use crate::erasure::{Erased, Retention, erase_expired};

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
    let retention = Retention { subjects_days: config.evidence.subjects_days, documents_days: config.evidence.documents_days };
    if retention == (Retention { subjects_days: 0, documents_days: 0 }) {
        let what =
            "evidence.subjects_days and evidence.documents_days are 0: nothing is erased until one says for how many days it is kept";
        return Err(Failure::usage(what));
    }
    if !config.names_a_database() && log_keys::are_unset(&config) {
        config.evidence.key_file = data_home()?.join(demo::LOG_KEY);
    }
    let url = url(context, &config, &arguments)?;
    let db = keys::open(context, &config).await?.with_eraser(&url)?;
    let done = erased(&db, retention).await;
    db.close().await;
    let erased = done?;
    for (word, count) in &erased.subjects {
        say(format!("{count} subject lists of {word}"));
    }
    say(format!("{} requests of no subject list that is left", erased.requests));
    say(format!("erased {} subject lists and {} documents", erased.subjects.values().sum::<u64>(), erased.documents));
    for name in &erased.passed_over {
        warn(format!(
            "{name} is in quarantine and was passed over: nothing of it is erased until mandate fsck finds it clean and ends that"
        ));
    }
    for (name, cause) in &erased.failed {
        warn(format!("{name} was not gone through: {cause}"));
    }
    if erased.passed_over.is_empty() && erased.failed.is_empty() { Ok(()) } else { Err(Failure::silent(1)) }
}

async fn erased(db: &Db, retention: Retention) -> Result<Erased, Failure> {
    let faults = guard_eraser(db).await.map_err(|error| Failure::new(format!("the eraser's login does not work: {}", words(&error))))?;
    if !faults.is_empty() {
        return Err(Failure::all(faults));
    }
    erase_expired(db, retention).await.map_err(|error| Failure::new(words(&error)))
}

/// The login to work with; that of the private database where the settings name none.
fn url(context: &Context, config: &Config, arguments: &Arguments) -> Result<SecretString, Failure> {
    if let Some(file) = &arguments.database_url_file {
        let text = std::fs::read_to_string(file).map_err(|error| Failure::file("read", file, &error))?;
        return Ok(text.trim_end().to_owned().into());
    }
    if let Some(url) = context.environment.secret("MANDATE_ERASE_URL")? {
        return Ok(url);
    }
    if config.names_a_database() {
        let missing = "no login of the eraser: give --database-url-file FILE, or set MANDATE_ERASE_URL or MANDATE_ERASE_URL_FILE";
        return Err(Failure::usage(missing));
    }
    Ok(keys::private_server(context)?.eraser_url(demo::DATABASE))
}
