//! `mandate clock`: the test clock of a private database, so that a term of days can be tried in a
//! minute. It only moves forward, as a log's time does; a running demo follows at once.

use std::str::FromStr;

use chrono::Duration;
use secrecy::{ExposeSecret, SecretString};

use super::failure::Failure;
use super::print::say;
use super::{Context, demo};
use crate::base::{Clock, SystemClock};
use crate::db;

/// What can be done with the clock.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Move it forward
    Advance {
        /// How far: a number with s, m, h or d, such as 72h or 3d
        by: Ahead,
        #[command(flatten)]
        which: Which,
    },
    /// Print its time
    Show {
        #[command(flatten)]
        which: Which,
    },
}

/// The database that is meant.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// Login of the owner of another private database than the demo's
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
}

/// A time span in the form people write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ahead(Duration);

impl FromStr for Ahead {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const RULE: &str = "must be a number above 0 with s, m, h or d, ten years at most, such as 72h or 3d";
        let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or(RULE)?;
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return Err(RULE),
        };
        let number: i64 = number.parse().map_err(|_| RULE)?;
        let span = number.checked_mul(seconds).filter(|span| (1..=3_660 * 86_400).contains(span)).ok_or(RULE)?;
        Ok(Self(Duration::seconds(span)))
    }
}

/// Runs the command.
pub(super) async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    let (by, which) = match command {
        Command::Advance { by, which } => (Some(by), which),
        Command::Show { which } => (None, which),
    };
    if let Some(url) = which.database_url {
        return turn(&url.into(), by).await;
    }
    let home = db::server::data_home()?;
    let server = demo::server(context, &home).await?;
    let turned = match server.open(demo::DATABASE, true).await {
        Ok(opened) => turn(&opened.owner_url, by).await,
        Err(error) => Err(error.into()),
    };
    let stopped = server.stop().await;
    turned?;
    Ok(stopped?)
}

async fn turn(owner_url: &SecretString, by: Option<Ahead>) -> Result<(), Failure> {
    let mut conn = db::connect(owner_url.expose_secret()).await?;
    if let Some(Ahead(duration)) = by {
        db::advance_clock(&mut conn, duration).await?;
    }
    let offset = db::installation_at(&mut conn).await?.clock_offset_millis;
    let clock = SystemClock::default();
    clock.set_offset_millis(offset);
    say(format!("{} ({} s ahead)", clock.now(), offset / 1_000));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_with_their_unit_and_only_forward() {
        for (text, seconds) in [("72h", 259_200), ("3d", 259_200), ("90m", 5_400), ("1s", 1)] {
            assert_eq!(text.parse(), Ok(Ahead(Duration::seconds(seconds))), "{text}");
        }
        for wrong in ["", "h", "3", "-3d", "0h", "3w", "3 d", "3d4h", "1e3s", "9223372036854775807d", "4000d", "3é"] {
            assert!(wrong.parse::<Ahead>().is_err(), "{wrong}");
        }
    }
}
