//! `mandate fsck`: checks every log where it is kept, against its own tree, its keys, the checkpoints
//! outside and the tables. What fails is quarantined; after it was examined, the same command opens
//! it again, if all of it is clean.

use std::io::IsTerminal as _;

use super::failure::{Failure, words};
use super::print::{over, say};
use super::{Context, keys, log_keys};
use crate::db::server::data_home;
use crate::evidence::Outside;
use crate::fsck::{Report, Verdict, check, release};

/// What is checked.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The log of this name only: registry, processor, cus_…, platform/…
    #[arg(long, value_name = "NAME")]
    log: Option<String>,
    /// End the quarantine of the log of this name, if all of it is clean
    #[arg(long, value_name = "NAME", conflicts_with = "log")]
    release: Option<String>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    let report = checked(context, &arguments).await.map_err(Failure::undecided)?;
    if arguments.json {
        let mut value = serde_json::to_value(&report).map_err(|error| Failure::new(error.to_string()))?;
        value["verdict"] = report.verdict().to_string().into();
        say(serde_json::to_string_pretty(&value).map_err(|error| Failure::new(error.to_string()))?);
    } else {
        say(report.to_string());
    }
    match report.verdict() {
        Verdict::Clean => Ok(()),
        Verdict::Differs => Err(Failure::silent(1)),
        Verdict::Undecided => Err(Failure::silent(2)),
    }
}

async fn checked(context: &Context, arguments: &Arguments) -> Result<Report, Failure> {
    let mut config = context.config()?.with_home(&data_home()?);
    if !config.names_a_database() && log_keys::are_unset(&config) {
        config.evidence.key_file = data_home()?.join(super::demo::LOG_KEY);
    }
    let db = keys::open(context, &config).await?;
    let outside = Outside::new(&config.evidence.checkpoint_directory);
    let shows = std::io::stderr().is_terminal();
    let report = match &arguments.release {
        Some(name) => release(&db, &outside, name).await,
        None => {
            let told = |report: &Report| {
                if shows {
                    over(format!("checking: {} logs, {} entries", report.logs, report.entries));
                }
            };
            check(&db, &outside, arguments.log.as_deref(), told).await
        }
    };
    if shows {
        over("");
    }
    db.close().await;
    report.map_err(|error| Failure::new(words(&error)))
}
