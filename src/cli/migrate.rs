//! `mandate migrate`: the step of its own, with a login of its own, that brings a database up to
//! this program's schema. The service never does this.

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

use super::Context;
use super::failure::{Failure, words};
use super::print::say;
use crate::db;

/// Its arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Login of mandate_owner, or of a member of it [env: MANDATE_MIGRATE_URL]
    #[arg(long, value_name = "URL", conflicts_with = "database_url_file")]
    database_url: Option<String>,
    /// File that holds this URL [env: MANDATE_MIGRATE_URL_FILE]
    #[arg(long, value_name = "FILE")]
    database_url_file: Option<PathBuf>,
}

/// Runs the command.
pub(super) async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    let url = url(context, arguments)?;
    let failed = |error: crate::base::Error| Failure::new(format!("cannot migrate: {}", words(&error)));
    let mut conn = db::connect(url.expose_secret()).await.map_err(failed)?;
    let done = db::migrate_as_owner(&mut conn).await.map_err(failed)?;
    for role in &done.roles {
        say(format!("made the role {role}"));
    }
    for migration in &done.ran {
        say(format!("ran {migration}"));
    }
    say(format!("the schema is that of this program ({})", db::fingerprint()));
    if !done.without_login.is_empty() {
        say("\nThese roles of the service cannot log in. Give each a password of its own, or make a login of yours a member of it:");
        for role in &done.without_login {
            say(format!("  ALTER ROLE {role} LOGIN PASSWORD '...';"));
        }
    }
    Ok(())
}

/// The login to work with.
pub(super) fn url(context: &Context, arguments: Arguments) -> Result<SecretString, Failure> {
    if let Some(url) = arguments.database_url {
        return Ok(url.into());
    }
    if let Some(file) = arguments.database_url_file {
        let text = std::fs::read_to_string(&file).map_err(|error| Failure::file("read", &file, &error))?;
        return Ok(text.trim_end().to_owned().into());
    }
    let missing = "no login of the owner: give --database-url-file FILE, or set MANDATE_MIGRATE_URL or MANDATE_MIGRATE_URL_FILE";
    context.environment.secret("MANDATE_MIGRATE_URL")?.ok_or_else(|| Failure::usage(missing))
}
