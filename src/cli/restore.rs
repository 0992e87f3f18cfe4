//! `mandate restore`: what operations does after a backup was restored. Declaring it opens another epoch
//! of every log, as a start does that sees it by itself; the status names what is missing and who has
//! still to confirm; and here operations confirms what counts for the processor. A restore that shows in nothing kept outside is known by its declaration only.

use std::collections::BTreeSet;

use super::failure::{Failure, words};
use super::print::say;
use super::{Context, demo, keys, log_keys};
use crate::base::Instant;
use crate::db::Db;
use crate::db::server::data_home;
use crate::evidence::Outside;
use crate::restore::{OpenedEpoch, ProcessorState, confirm_processor, opened_epochs, processor_state, take_in};

/// What can be done after a restore.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Say that the database was restored: every log opens another epoch, and everything permitted before is void
    Declare,
    /// Show the epochs that restores opened, the missing entries, and whose state is unconfirmed
    Status,
    /// Show who and what counts for the processor now: staff, keys, stops of platforms; with --yes, confirm it
    Confirm {
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
    let db = keys::open(context, &config).await?;
    let outside = Outside::new(&config.evidence.checkpoint_directory);
    let done = act(&db, &outside, command).await;
    db.close().await;
    done
}

async fn act(db: &Db, outside: &Outside, command: Command) -> Result<(), Failure> {
    let told = |error| Failure::new(words(&error));
    if let Command::Confirm { yes } = command {
        let state = if yes { confirm_processor(db).await } else { processor_state(db).await }.map_err(told)?;
        counting(&state).iter().for_each(say);
        say(match (yes, state.unconfirmed) {
            (true, _) => "confirmed: this counts",
            (false, true) => "UNCONFIRMED: end, revoke and stop what must not count, then: mandate restore confirm --yes",
            (false, false) => "nothing has to be confirmed",
        });
        return Ok(());
    }
    if matches!(command, Command::Declare) {
        let Some(taken) = take_in(db, outside, true).await.map_err(told)? else { return Ok(()) };
        say(format!("{} is taken in ({}): {} logs opened another epoch", taken.restore, taken.ground, taken.opened));
    }
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
    let state = match (epoch.unconfirmed, epoch.confirmed_at) {
        (true, None) => "; UNCONFIRMED".to_owned(),
        (true, Some(at)) => format!("; confirmed at {at}"),
        (false, _) => String::new(),
    };
    format!("{} epoch {} since {}: {missing}{state}", epoch.log, epoch.epoch, epoch.opened_at)
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
            confirmed_at: confirmed.then(|| Instant::from_millis(1).unwrap()),
        };
        let epochs = [opened("cus_1", 2, false), opened("cus_1", 3, false), opened("cus_2", 2, true), opened("processor", 2, false)];
        assert_eq!(customers_left(&epochs), 1);
        assert_eq!(customers_left(&epochs[2..]), 0);
    }
}
