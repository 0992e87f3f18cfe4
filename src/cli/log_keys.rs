//! `mandate log-keys`: the keys that sign checkpoints and receipts, from making one to withdrawing
//! it. Whoever holds the login of the ops role may do it; each act but `generate` and `list` is an
//! entry. A private key is a file that nobody but the service's account can read.

use std::path::{Path, PathBuf};

use super::failure::Failure;
use super::print::say;
use super::signing_key::SigningKeyFile;
use super::{Context, demo, keys};
use crate::config::Config;
use crate::db::Db;
use crate::db::server::data_home;
use crate::evidence::{LogNotary, LogSigningKey};
use crate::log::{activate_log_key, list_log_keys, publish_log_key, withdraw_log_key};

/// What a file of a key of the logs is.
const LOG: SigningKeyFile = SigningKeyFile {
    name: "key of the logs",
    kind: "Ed25519",
    section: "evidence",
    command: "mandate log-keys",
    generate: LogSigningKey::generate_pem,
    read: |bytes| LogSigningKey::from_pem(bytes).map(drop),
};

/// What can be done with the keys of the logs.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Write a new key to a file that does not exist yet
    Generate {
        /// The file
        file: PathBuf,
    },
    /// Show every key: its state, and whether its file is here
    List,
    /// Publish the public half of a key, ahead of its use
    Publish {
        /// The private key's file
        file: PathBuf,
    },
    /// Hand over to a published key: it signs from here on, the one before no more
    #[command(visible_alias = "rotate")]
    Activate {
        /// The key's id
        kid: String,
    },
    /// Withdraw a key that is lost or in other hands; the next published one signs in its place
    Withdraw {
        /// The key's id
        kid: String,
    },
}

/// Runs the command.
pub(super) async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    if let Command::Generate { file } = command {
        return LOG.make(&file);
    }
    let home = data_home()?;
    let mut config = context.config()?.with_home(&home);
    if !config.names_a_database() && are_unset(&config) {
        config.evidence.key_file = home.join(demo::LOG_KEY);
    }
    let db = keys::open(context, &config).await?;
    let done = act(&config, &db, command).await;
    db.close().await;
    done
}

async fn act(config: &Config, db: &Db, command: Command) -> Result<(), Failure> {
    match command {
        Command::Generate { .. } => {}
        Command::List => {
            let notary = notary(config);
            for key in list_log_keys(db).await? {
                let since = key.withdrawn_at.or(key.retired_at).or(key.activated_at).unwrap_or(key.published_at);
                let here = notary.as_ref().is_some_and(|notary| notary.key(&key.kid).is_some());
                say(format!("{}  {:9}  since {since}  {}", key.kid, key.state(), if here { "its file is here" } else { "no file here" }));
            }
        }
        Command::Publish { file } => {
            if let Some(fault) = LOG.fault(&file) {
                return Err(Failure::new(fault));
            }
            let key = LogSigningKey::from_pem(&std::fs::read(&file).map_err(|error| Failure::file("read", &file, &error))?)?;
            publish_log_key(db, &key).await?;
            say(format!("published {}; put its file where every process finds it, then hand over:", key.kid()));
            say(format!("  mandate log-keys activate {}", key.kid()));
        }
        Command::Activate { kid } => {
            let before = activate_log_key(db, &kid).await?;
            say(format!("{kid} signs checkpoints from now on"));
            if let Some(before) = before {
                say(format!("{before} stays published for ever; its file is not needed any more"));
            }
        }
        Command::Withdraw { kid } => {
            let next = withdraw_log_key(db, &kid).await?;
            say(format!("{kid} is withdrawn: of what it signed, only what was kept elsewhere before counts"));
            if let Some(next) = next {
                say(format!("{next} signs checkpoints from now on"));
            }
        }
    }
    Ok(())
}

pub(super) fn notary(config: &Config) -> Option<LogNotary> {
    LogNotary::of_files(config.evidence.key_files(), &config.evidence.checkpoint_directory).ok()
}

/// True if the settings name no private key.
pub(super) fn are_unset(config: &Config) -> bool {
    config.evidence.key_files().are_unset()
}

/// The file's path, with a new key in it if it was not there.
pub(super) fn ensure(file: &Path) -> Result<PathBuf, Failure> {
    LOG.ensure(file)
}

/// What is wrong with the files that the settings name, a line each.
pub(super) fn faults(config: &Config) -> Vec<String> {
    LOG.faults(&config.evidence.key_files())
}

/// The keys that sign, or are to sign next, and whose files are not here.
pub(super) async fn missing(config: &Config, db: &Db) -> crate::base::Result<Vec<String>> {
    let notary = notary(config);
    let here = |kid: &str| notary.as_ref().is_some_and(|notary| notary.key(kid).is_some());
    let keys = list_log_keys(db).await?;
    let wanted = keys.iter().filter(|key| key.retired_at.is_none() && key.withdrawn_at.is_none());
    Ok(wanted.filter(|key| !here(&key.kid)).map(|key| format!("the file of {}, which is {}, is not here", key.kid, key.state())).collect())
}
