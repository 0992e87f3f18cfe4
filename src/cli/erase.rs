//! `mandate erase`: takes away whose data refusals, dry runs and ended exports were about, and the bytes
//! of documents that nothing in force cites, once the days of the settings are over; and before that, what a
//! restore brought back of what was erased. A step of its own with a login of its own, which the service never has.

use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::failure::{Failure, words};
use super::print::{say, warn};
use super::{Context, demo, keys, log_keys};
use crate::config::Config;
use crate::db::server::data_home;
use crate::db::{Db, guard_eraser};
use crate::erasure::{Erased, ErasureList, Retention, erase};
use crate::evidence::Outside;

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
    let outside = Outside::new(&config.evidence.checkpoint_directory);
    let has_list = !ErasureList::beside(&outside).customers().map_err(|error| Failure::new(words(&error)))?.is_empty();
    if retention == Retention::default() && !has_list {
        let what =
            "evidence.subjects_days and evidence.documents_days are 0: nothing is erased until one says for how many days it is kept";
        return Err(Failure::usage(what));
    }
    if !config.names_a_database() && log_keys::are_unset(&config) {
        config.evidence.key_file = data_home()?.join(demo::LOG_KEY);
    }
    let Some(url) = login(context, &config, arguments.database_url_file.as_deref())? else {
        let missing = "no login of the eraser: give --database-url-file FILE, or set MANDATE_ERASE_URL or MANDATE_ERASE_URL_FILE";
        return Err(Failure::usage(missing));
    };
    let db = keys::open(context, &config).await?.with_eraser(&url)?;
    let done = erased(&db, &outside, retention).await;
    db.close().await;
    let erased = done?;
    tell_again(&erased);
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

/// Says what a restore had brought back.
pub(super) fn tell_again(erased: &Erased) {
    if erased.again + erased.waiting + erased.absent > 0 {
        say(format!("erased again {} subject lists and documents that a restore had brought back", erased.again));
        say(format!("{} that the list names are not in the database", erased.absent));
    }
    if erased.waiting > 0 {
        warn(format!("{} that a restore has brought back have effect again: they are erased once that is ended", erased.waiting));
    }
}

/// Erases, with the eraser's login.
pub(super) async fn erased(db: &Db, outside: &Outside, retention: Retention) -> Result<Erased, Failure> {
    let faults = guard_eraser(db).await.map_err(|error| Failure::new(format!("the eraser's login does not work: {}", words(&error))))?;
    if !faults.is_empty() {
        return Err(Failure::all(faults));
    }
    erase(db, outside, retention).await.map_err(|error| Failure::new(words(&error)))
}

/// The login to work with; that of the private database where the settings name none.
pub(super) fn login(context: &Context, config: &Config, file: Option<&Path>) -> Result<Option<SecretString>, Failure> {
    if let Some(file) = file {
        let text = std::fs::read_to_string(file).map_err(|error| Failure::file("read", file, &error))?;
        return Ok(Some(text.trim_end().to_owned().into()));
    }
    if let Some(url) = context.environment.secret("MANDATE_ERASE_URL")? {
        return Ok(Some(url));
    }
    if config.names_a_database() {
        return Ok(None);
    }
    Ok(Some(keys::private_server(context)?.eraser_url(demo::DATABASE)))
}
