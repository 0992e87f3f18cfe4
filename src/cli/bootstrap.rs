//! `mandate ops bootstrap`: the first operations person of an installation. Every later one is made
//! by an operations person over HTTP.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;

use secrecy::SecretString;

use super::failure::Failure;
use super::print::{say, warn};
use super::{Context, serve};
use crate::base::{BadText, Email, Name};
use crate::identity::{PasswordHasher, PasswordParams, bootstrap_ops};

/// What can be done with operations persons.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make the first operations person; the password is read from standard input
    Bootstrap(Arguments),
}

/// Its arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// E-mail address, in lower case
    #[arg(long)]
    email: String,
    /// Name
    #[arg(long)]
    name: String,
    /// File that holds the password, instead of standard input
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

/// Runs the command.
pub(super) async fn run(context: &Context, Command::Bootstrap(arguments): Command) -> Result<(), Failure> {
    let config = context.config()?;
    let wrong = |flag: &'static str| move |error: BadText| Failure::usage(format!("{flag} {error}"));
    let email: Email = arguments.email.parse().map_err(wrong("--email"))?;
    let name: Name = arguments.name.parse().map_err(wrong("--name"))?;
    let db = serve::open(&config, &config.role_urls()?)?;
    let cost = config.passwords;
    let hasher = PasswordHasher::new(PasswordParams { memory_kib: cost.memory_kib, passes: cost.iterations, lanes: cost.parallelism })?;
    let password = password(arguments.password_file)?;
    let id = bootstrap_ops(&db, &hasher, email, name, password).await?;
    say(format!("made {id}: the first login can do nothing but enrol a second factor"));
    Ok(())
}

fn password(file: Option<PathBuf>) -> Result<SecretString, Failure> {
    let text = match file {
        Some(file) => std::fs::read_to_string(&file).map_err(|error| Failure::file("read", &file, &error))?,
        None => {
            let mut text = String::new();
            let mut input = std::io::stdin().lock();
            if input.is_terminal() {
                warn("Type the password and Enter. It shows: a pipe or --password-file keeps it off the screen.");
                std::io::BufRead::read_line(&mut input, &mut text).map(|_| ())
            } else {
                input.read_to_string(&mut text).map(|_| ())
            }
            .map_err(|error| Failure::new(format!("the password cannot be read: {error}")))?;
            text
        }
    };
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() { Err(Failure::usage("the password is empty")) } else { Ok(text.to_owned().into()) }
}
