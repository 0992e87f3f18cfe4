//! `mandate secrets-key`: makes the key that second factors are encrypted with, seals them anew when
//! it is exchanged, and says what is wrong with its file. Sealing anew is done with the owner's login,
//! which no service has: to the service a stored secret cannot change.

use std::path::{Path, PathBuf};

use secrecy::ExposeSecret;

use super::failure::Failure;
use super::print::say;
use super::{Context, key_file, migrate};
use crate::base::{SystemEntropy, random32};
use crate::config::Config;
use crate::db::{self, Db};
use crate::identity::{Sealing, SecretsKey, reseal_secrets, sealed_secrets};

/// What can be done with secrets keys.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Write a new key to a file that does not exist yet
    Generate {
        /// The file
        file: PathBuf,
    },
    /// Seal everything that is sealed under secrets.previous_key_file under secrets.key_file
    Rotate(migrate::Arguments),
}

/// Runs the command.
pub(super) async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::Generate { file } => {
            key_file::make(&file, generate)?;
            say(format!("wrote a new key to {}; set secrets.key_file to it", file.display()));
            Ok(())
        }
        Command::Rotate(arguments) => rotate(context, arguments).await,
    }
}

async fn rotate(context: &Context, arguments: migrate::Arguments) -> Result<(), Failure> {
    let config = context.config()?;
    if config.secrets.previous_key_file.as_os_str().is_empty() {
        return Err(Failure::usage("secrets.previous_key_file is not set: there is nothing to seal anew"));
    }
    let key = key(&config)?;
    let url = migrate::url(context, arguments)?;
    let mut conn = db::connect(url.expose_secret()).await?;
    let done = reseal_secrets(&mut conn, &key, &SystemEntropy).await?;
    say(format!("sealed {} secrets anew; {} were under the present key", done.previous, done.present));
    match done.neither {
        0 => {
            say("secrets.previous_key_file can be taken out once `mandate doctor` finds none under it either");
            Ok(())
        }
        lost => Err(Failure::new(format!("{lost} secrets open with neither key: their persons enrol another second factor"))),
    }
}

/// The key of the settings, with the one before it.
fn key(config: &Config) -> Result<SecretsKey, Failure> {
    let faults = faults(config);
    if faults.is_empty() {
        Ok(SecretsKey::of_files(&config.secrets.key_file, &config.secrets.previous_key_file)?)
    } else {
        Err(Failure::all(faults))
    }
}

/// Secrets of the database that are not under the present key, a line for each kind; `None` without
/// a key to tell by.
pub(super) async fn left(config: &Config, db: &Db) -> crate::base::Result<Option<Vec<String>>> {
    let Ok(key) = key(config) else { return Ok(None) };
    let Sealing { previous, neither, .. } = sealed_secrets(db, &key).await?;
    let mut lines = Vec::new();
    if previous > 0 {
        lines.push(format!("{previous} are sealed under secrets.previous_key_file: run `mandate secrets-key rotate`"));
    }
    if neither > 0 {
        lines.push(format!("{neither} open with no key that is set: set the one before it as secrets.previous_key_file"));
    }
    Ok(Some(lines))
}

fn generate() -> std::io::Result<String> {
    Ok(format!("{}\n", hex::encode(random32(&SystemEntropy))))
}

/// The file's path, with a new key in it if it was not there.
pub(super) fn ensure(file: &Path) -> Result<PathBuf, Failure> {
    key_file::ensure(file, generate)
}

/// What is wrong with the files that the settings name, a line each.
pub(super) fn faults(config: &Config) -> Vec<String> {
    let previous = &config.secrets.previous_key_file;
    let previous = (!previous.as_os_str().is_empty()).then(|| fault(previous)).flatten();
    fault(&config.secrets.key_file).into_iter().chain(previous).collect()
}

fn fault(file: &Path) -> Option<String> {
    if file.as_os_str().is_empty() {
        return Some("secrets.key_file is not set: make a key with `mandate secrets-key generate FILE`".to_owned());
    }
    let text = match key_file::read(file, "secrets key") {
        Ok(text) => text,
        Err(fault) => return Some(fault),
    };
    let shown = file.display();
    let is_key = std::str::from_utf8(&text).is_ok_and(|text| SecretsKey::from_text(text).is_ok());
    (!is_key).then(|| format!("the secrets key {shown} is not 64 hexadecimal digits: make one with `mandate secrets-key generate FILE`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_secrets_key_is_one_and_another_text_is_none() {
        let file = std::env::temp_dir().join(format!("mandate-secrets-key-{}", std::process::id()));
        std::fs::remove_file(&file).ok();
        assert!(fault(Path::new("")).unwrap().contains("is not set"));
        ensure(&file).unwrap();
        assert_eq!(fault(&file), None);
        std::fs::remove_file(&file).unwrap();
        key_file::make(&file, || Ok("no key".to_owned())).unwrap();
        assert!(fault(&file).unwrap().contains("is not 64 hexadecimal digits"));
        std::fs::remove_file(&file).unwrap();
    }
}
