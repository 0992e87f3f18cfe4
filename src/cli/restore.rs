//! `mandate restore`: what operations does after a backup was restored. Declaring it opens another epoch
//! of every log, as a start does that sees it by itself; the status names what is missing and who has
//! still to confirm. A restore that shows in nothing kept outside is known by its declaration only.

use secrecy::SecretString;

use super::failure::{Failure, words};
use super::print::{say, warn};
use super::{Context, demo, erase, keys, log_keys};
use crate::db::Db;
use crate::db::server::data_home;
use crate::erasure::{BroughtBack, Retention, brought_back};
use crate::evidence::Outside;
use crate::restore::{OpenedEpoch, opened_epochs, take_in};

/// What can be done after a restore.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Say that the database was restored: every log opens another epoch, and everything permitted before is void
    Declare,
    /// Show the epochs that restores opened, the missing entries, and whose state is unconfirmed
    Status,
}

/// Runs the command.
pub(super) async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    let mut config = context.config()?.with_home(&data_home()?);
    if !config.names_a_database() && log_keys::are_unset(&config) {
        config.evidence.key_file = data_home()?.join(demo::LOG_KEY);
    }
    let eraser = match command {
        Command::Declare => erase::login(context, &config, None)?,
        Command::Status => None,
    };
    let db = keys::open(context, &config).await?;
    let outside = Outside::new(&config.evidence.checkpoint_directory);
    let done = act(&db, &outside, command, eraser).await;
    db.close().await;
    done
}

async fn act(db: &Db, outside: &Outside, command: Command, eraser: Option<SecretString>) -> Result<(), Failure> {
    let told = |error| Failure::new(words(&error));
    if matches!(command, Command::Declare) {
        let Some(taken) = take_in(db, outside, true).await.map_err(told)? else { return Ok(()) };
        say(format!("{} is taken in ({}): {} logs opened another epoch", taken.restore, taken.ground, taken.opened));
        if let Some(url) = eraser {
            let erased = erase::erased(&db.with_eraser(&url).map_err(told)?, outside, Retention::default()).await?;
            erase::tell_again(&erased);
        }
    }
    status(db, outside).await
}

async fn status(db: &Db, outside: &Outside) -> Result<(), Failure> {
    let told = |error| Failure::new(words(&error));
    let opened = opened_epochs(db).await.map_err(told)?;
    if opened.is_empty() {
        say("no restore was taken in");
    }
    // The latest restore, and whatever is unconfirmed.
    let latest = opened.iter().max_by_key(|epoch| epoch.opened_at).map(|epoch| epoch.restore);
    for epoch in opened.iter().filter(|epoch| Some(epoch.restore) == latest || is_unconfirmed(epoch)) {
        say(line(epoch));
    }
    let left = opened.iter().filter(|epoch| is_unconfirmed(epoch)).count();
    say(format!("{left} customers have to confirm their state"));
    let BroughtBack { due, absent } = brought_back(db, outside).await.map_err(told)?;
    if due > 0 {
        warn(format!("{due} subject lists and documents that were erased are in the database again: run mandate erase"));
    }
    say(format!("{due} erasures have to be carried out again, {absent} are of what is not in the database"));
    Ok(())
}

const fn is_unconfirmed(epoch: &OpenedEpoch) -> bool {
    epoch.unconfirmed && epoch.confirmed_at.is_none()
}

fn line(epoch: &OpenedEpoch) -> String {
    let missing = match epoch.missing {
        Some((before, from, until)) => format!("entries {from} to {until} of the epoch {before} are missing"),
        None => "nothing that was kept outside is missing".to_owned(),
    };
    let state = match (epoch.unconfirmed, epoch.confirmed_at) {
        (true, None) => "; UNCONFIRMED".to_owned(),
        (true, Some(at)) => format!("; confirmed at {at}"),
        (false, _) => String::new(),
    };
    format!("{} epoch {} since {}: {missing}{state}", epoch.log, epoch.epoch, epoch.opened_at)
}
