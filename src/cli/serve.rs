//! `mandate serve`: an installation. It refuses to serve, with a line for each reason, a database
//! that is not exactly migrated, whose guard finds a fault, whose clock was moved for a trial, or
//! without the keys for permits and for secrets.

use std::sync::Arc;

use secrecy::ExposeSecret;

use super::failure::{Failure, words};
use super::serving::{Ending, Listeners};
use super::{Context, keys, log_keys, logging, secrets_key, serving};
use crate::app::App;
use crate::base::{SystemClock, SystemEntropy};
use crate::config::Config;
use crate::db::{self, Db, Role, RoleUrls};
use crate::evidence::LogNotary;

/// Runs the command.
pub(super) async fn run(context: &Context) -> Result<(), Failure> {
    let config = context.config()?;
    let config = config.with_home(&db::server::data_home()?);
    logging::start_log(config.log)?;
    let urls = config.role_urls()?;
    let listeners = Listeners::bind(&config).await?;
    let db = open(&config, &urls)?;
    let refusals = refusals(&config, &urls, &db).await;
    if !refusals.is_empty() {
        return Err(Failure::all(refusals.into_iter().map(|line| format!("will not serve: {line}")).collect()));
    }
    make_folders(&config)?;
    let app = App::of(&config, db, Some(logging::start_metrics()?))?;
    serving::run(app, listeners, Ending::listen()?, || ()).await
}

/// The database of the settings, not yet connected. Where the settings name keys of the logs, what is
/// recorded is signed, and its checkpoints are kept, by a command too.
pub(super) fn open(config: &Config, urls: &RoleUrls) -> Result<Db, Failure> {
    let db = Db::new(urls, config.database.connections, Arc::new(SystemClock::default()), Arc::new(SystemEntropy))?;
    match LogNotary::of_files(config.evidence.key_files(), &config.evidence.checkpoint_directory) {
        Ok(notary) if config.evidence.checkpoint_directory.is_dir() => Ok(db.with_notary(Arc::new(notary))),
        // The service keeps them within 10 s, or when it starts.
        _ => Ok(db),
    }
}

/// Makes the folders that the service writes to, for its own account only.
pub(super) fn make_folders(config: &Config) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt;
    for folder in [&config.mail.directory, &config.documents.spool_directory, &config.evidence.checkpoint_directory] {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| Failure::file("create", folder, &error))?;
    }
    Ok(())
}

/// Every reason not to serve.
async fn refusals(config: &Config, urls: &RoleUrls, db: &Db) -> Vec<String> {
    let mut reasons: Vec<String> = keys::faults(config);
    reasons.extend(log_keys::faults(config));
    reasons.extend(secrets_key::faults(config));
    let unreached = unreached(urls).await;
    if !unreached.is_empty() {
        reasons.extend(unreached);
        return reasons;
    }
    match schema_faults(db).await {
        Ok(faults) => reasons.extend(faults),
        Err(error) => reasons.push(words(&error)),
    }
    reasons
}

/// A line for every login that does not work.
async fn unreached(urls: &RoleUrls) -> Vec<String> {
    let mut lines = Vec::new();
    for (role, url) in Role::ALL.into_iter().zip(&urls.urls) {
        if let Err(error) = db::log_in(url.expose_secret()).await {
            lines.push(format!("the login for {} does not work: {}", role.name(), words(&error)));
        }
    }
    lines
}

/// What is wrong with the database that the logins reach.
async fn schema_faults(db: &Db) -> crate::base::Result<Vec<String>> {
    let pending = db::pending(db).await?;
    if !pending.is_empty() {
        return Ok(pending.into_iter().map(|line| format!("{}: run `mandate migrate` of this version", migration(&line))).collect());
    }
    let mut faults = db::guard(db).await?;
    let offset = db.installation().await?.clock_offset_millis;
    if offset != 0 {
        faults.push(format!("the test clock of this database is {offset} ms ahead: it is for trying; make a new database"));
    }
    Ok(faults)
}

/// A migration's difference as a sentence.
pub(super) fn migration(line: &str) -> String {
    if line.starts_with(|c: char| c.is_ascii_digit()) { format!("migration {line}") } else { line.to_owned() }
}
