//! `mandate restore`: what operations does after a backup was restored. Declaring it opens another epoch
//! of every log, as a start does that sees it by itself; the status names what is missing and who has
//! still to confirm; and here operations confirms what counts for the processor. A restore that shows in
//! nothing kept outside is known by its declaration only.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::failure::{Failure, words};
use super::print::{say, warn};
use super::{Context, demo, erase, keys, log_keys};
use crate::base::{Instant, OpsPersonId};
use crate::db::Db;
use crate::db::server::data_home;
use crate::erasure::{BroughtBack, ErasureList, Retention, brought_back};
use crate::evidence::{Outside, origin};
use crate::restore::{OpenedEpoch, ProcessorState, confirm_processor, end_staff, opened_epochs, processor_state, take_in};
use crate::{pack, restore};

/// What can be done after a restore.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Say that the database was restored: every log opens another epoch, and everything permitted before is void
    Declare,
    /// Show the epochs that restores opened, the missing entries, and whose state is unconfirmed
    Status,
    /// Supply the entries that a restore lost, from a pack of the customer that was made before the loss
    Supply {
        /// The pack
        #[arg(long, value_name = "FILE")]
        pack: PathBuf,
    },
    /// Show who and what counts for the processor now: staff, keys, stops of platforms; with --yes, confirm it
    Confirm {
        /// First end the access of this person of the staff, who had ended before the loss
        #[arg(long, value_name = "OPS_PERSON")]
        end: Vec<OpsPersonId>,
        /// Confirm it: platforms' keys are accepted again, and the staff can agree again
        #[arg(long)]
        yes: bool,
    },
}

/// Runs the command.
pub(super) async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    let mut config = context.config()?.with_home(&data_home()?);
    if !config.names_a_database() && log_keys::are_unset(&config) {
        config.evidence.key_file = data_home()?.join(demo::LOG_KEY);
    }
    let eraser = match &command {
        Command::Declare => erase::login(context, &config, None)?,
        Command::Status | Command::Supply { .. } | Command::Confirm { .. } => None,
    };
    let db = keys::open(context, &config).await?;
    let outside = Outside::new(&config.evidence.checkpoint_directory);
    // A key that was published after the backup is known by its file only.
    let own = log_keys::notary(&config).map(|notary| notary.public_keys()).unwrap_or_default();
    let done = act(&db, &outside, &own, command, eraser).await;
    db.close().await;
    done
}

async fn act(db: &Db, outside: &Outside, own: &[[u8; 32]], command: Command, eraser: Option<SecretString>) -> Result<(), Failure> {
    let told = |error| Failure::new(words(&error));
    if let Command::Confirm { end, yes } = command {
        for person in end {
            end_staff(db, person).await.map_err(told)?;
            say(format!("the access of {person} is ended"));
        }
        let state = if yes { confirm_processor(db).await } else { processor_state(db).await }.map_err(told)?;
        counting(&state).iter().for_each(say);
        say("passwords and second factors are those of the backup: whoever changed one since, or lost one, changes it now");
        say(match (yes, state.unconfirmed) {
            (true, _) => "confirmed: this counts",
            (false, true) => "UNCONFIRMED: end (--end), revoke and stop what must not count, then: mandate restore confirm --yes",
            (false, false) => "nothing has to be confirmed",
        });
        return Ok(());
    }
    if matches!(command, Command::Declare) {
        let Some(taken) = take_in(db, outside, own, true).await.map_err(told)? else { return Ok(()) };
        say(format!("{} is taken in ({}): {} logs opened another epoch", taken.restore, taken.ground, taken.opened));
        if let Some(url) = eraser {
            let erased = erase::erased(&db.with_eraser(&url).map_err(told)?, outside, Retention::default()).await?;
            erase::tell_again(&erased);
        }
    }
    if let Command::Supply { pack } = command {
        return supply_from(db, outside, &pack).await;
    }
    status(db, outside).await
}

/// Verifies the pack against the checkpoints outside, and supplies what is missing from it.
async fn supply_from(db: &Db, outside: &Outside, path: &Path) -> Result<(), Failure> {
    let told = |error| Failure::new(words(&error));
    let open = || File::open(path).map(BufReader::new).map_err(|error| Failure::file("read", path, &error));
    let customer = pack::customer_of(open()?).map_err(Failure::new)?;
    let missing = restore::missing(db, customer).await.map_err(told)?;
    if missing.is_empty() {
        say(format!("nothing is missing of the log of {customer}"));
        return Ok(());
    }
    let mut pinned = Vec::new();
    for missing in &missing {
        let kept = outside.latest(&origin(&customer.to_string(), missing.epoch)).map_err(told)?;
        let kept = kept.ok_or_else(|| Failure::new(format!("no checkpoint of the epoch {} was kept outside", missing.epoch)))?;
        pinned.push(kept.checkpoint.parse().map_err(|_| Failure::new("a checkpoint outside cannot be read"))?);
    }
    let report = pack::verify(open()?, &pack::Options { pinned, ..pack::Options::default() }, |_, _| {});
    if report.verdict != pack::Verdict::Verified {
        say(report.to_string());
        return Err(Failure::new("nothing is supplied from a pack that does not verify against the checkpoints outside"));
    }
    for missing in missing {
        let supply = pack::supply(open()?, missing.epoch, (missing.from, missing.until)).map_err(Failure::new)?;
        let said = restore::supply(db, customer, missing, supply.before, &supply.entries).await.map_err(told)?;
        ErasureList::beside(outside).add_supplied(customer, missing.epoch, &supply.entries).map_err(told)?;
        say(format!("entries {} to {} of the epoch {} of {customer} are supplied", missing.from, missing.until, missing.epoch));
        for act in &said.narrowing {
            say(format!("to be ended again before the state is confirmed, if it is not: {}", act.told()));
        }
        for act in &said.widening {
            say(format!("not given again: {act}"));
        }
    }
    Ok(())
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
    say(format!("{} customers have to confirm their state", customers_left(&opened)));
    if opened.iter().any(|epoch| epoch.log == "processor" && is_unconfirmed(epoch)) {
        say("no platform's key is accepted and the staff agrees on nothing before: mandate restore confirm");
    }
    let BroughtBack { due, absent } = brought_back(db, outside).await.map_err(told)?;
    if due > 0 {
        warn(format!("{due} subject lists and documents that were erased are in the database again: run mandate erase"));
    }
    say(format!("{due} erasures have to be carried out again, {absent} are of what is not in the database"));
    Ok(())
}

/// How many customers have something to confirm, however many epochs that are.
fn customers_left(opened: &[OpenedEpoch]) -> usize {
    let left = opened.iter().filter(|epoch| epoch.log != "processor" && is_unconfirmed(epoch));
    left.map(|epoch| &epoch.log).collect::<BTreeSet<_>>().len()
}

/// What counts for the processor, a line each.
fn counting(state: &ProcessorState) -> Vec<String> {
    let since = |word: &str, at: Option<Instant>| at.map_or_else(|| format!("not {word}"), |at| format!("{word} {at}"));
    let mut lines = vec![format!("epoch {} of the processor's log", state.epoch)];
    let staff = state.staff.iter();
    lines.extend(
        staff.map(|person| format!("staff {} {} {}: {}", person.id, person.email, person.role, since("admitted", person.admitted_at))),
    );
    lines.extend(state.api_keys.iter().map(|key| match &key.platform {
        Some(platform) => {
            format!("key {} of {platform} ({}): {}, until {}", key.id, key.name, since("approved", key.approved_at), key.expires_at)
        }
        None => format!("key {} of the admin surface ({}), until {}", key.id, key.name, key.expires_at),
    }));
    lines.extend(state.stops.iter().map(|stop| format!("stop {} of {}: {}", stop.id, stop.platform, stop.ground)));
    lines.extend(state.permit_keys.iter().map(|key| {
        let retired = key.retired_at.map(|at| format!(", retired {at}")).unwrap_or_default();
        format!("permit key {}: {}{retired}", key.kid, since("activated", key.activated_at))
    }));
    lines
}

const fn is_unconfirmed(epoch: &OpenedEpoch) -> bool {
    epoch.unconfirmed && epoch.confirmed_at.is_none()
}

fn line(epoch: &OpenedEpoch) -> String {
    let missing = match epoch.missing {
        Some((before, from, until)) => format!("entries {from} to {until} of the epoch {before} are missing"),
        None => "nothing that was kept outside is missing".to_owned(),
    };
    let supplied = if epoch.supplied > 0 { format!(", {} of them were supplied", epoch.supplied) } else { String::new() };
    let state = match (epoch.unconfirmed, epoch.confirmed_at) {
        (true, None) => "; UNCONFIRMED".to_owned(),
        (true, Some(at)) => format!("; confirmed at {at}"),
        (false, _) => String::new(),
    };
    format!("{} epoch {} since {}: {missing}{supplied}{state}", epoch.log, epoch.epoch, epoch.opened_at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::RestoreId;

    #[test]
    fn customers_are_counted_once_and_the_processor_is_none() {
        let opened = |log: &str, epoch, confirmed: bool| OpenedEpoch {
            log: log.to_owned(),
            epoch,
            restore: RestoreId::from(uuid::Uuid::from_u128(1)),
            missing: None,
            unconfirmed: true,
            opened_at: Instant::from_millis(0).unwrap(),
            supplied: 0,
            confirmed_at: confirmed.then(|| Instant::from_millis(1).unwrap()),
        };
        let epochs = [opened("cus_1", 2, false), opened("cus_1", 3, false), opened("cus_2", 2, true), opened("processor", 2, false)];
        assert_eq!(customers_left(&epochs), 1);
        assert_eq!(customers_left(&epochs[2..]), 0);
    }
}
