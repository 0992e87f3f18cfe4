//! `mandate secrets-key`: makes the key that second factors are encrypted with, and says what is
//! wrong with the file of one. It protects one rule: nobody but the service's account can read it,
//! and an existing one is never replaced, since what it encrypted would be lost with it.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::failure::Failure;
use super::print::say;
use crate::base::{SystemEntropy, random32};
use crate::identity::SecretsKey;

/// What can be done with secrets keys.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Write a new key to a file that does not exist yet
    Generate {
        /// The file
        file: PathBuf,
    },
}

/// Runs the command.
pub(super) fn run(Command::Generate { file }: Command) -> Result<(), Failure> {
    write(&file).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Failure::new(format!("{} exists and was left as it is: name another file", file.display())),
        _ => Failure::file("write", &file, &error),
    })?;
    say(format!("wrote a new key to {}; set secrets.key_file to it", file.display()));
    Ok(())
}

/// The file's path, with a new key in it if it was not there.
pub(super) fn ensure(file: &Path) -> Result<PathBuf, Failure> {
    match write(file) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(Failure::file("write", file, &error)),
        _ => Ok(file.to_path_buf()),
    }
}

/// Writes beside the final name and links it there, so that a key that has the name is whole.
fn write(file: &Path) -> std::io::Result<()> {
    if file.exists() {
        return Err(ErrorKind::AlreadyExists.into());
    }
    let text = format!("{}\n", hex::encode(random32(&SystemEntropy)));
    let partial = file.with_extension(format!("partial-{}", std::process::id()));
    let mut open = OpenOptions::new().write(true).create_new(true).mode(0o400).open(&partial)?;
    let written = open.write_all(text.as_bytes()).and_then(|()| open.sync_all()).and_then(|()| std::fs::hard_link(&partial, file));
    std::fs::remove_file(&partial)?;
    written
}

/// What is wrong with the file, if anything.
pub(super) fn fault(file: &Path) -> Option<String> {
    if file.as_os_str().is_empty() {
        return Some("secrets.key_file is not set: make a key with `mandate secrets-key generate FILE`".to_owned());
    }
    let shown = file.display();
    let read = std::fs::metadata(file).and_then(|meta| Ok((meta.permissions().mode() & 0o777, std::fs::read_to_string(file)?)));
    match read {
        Err(error) => Some(format!("the secrets key {shown} cannot be read: {error}")),
        Ok((mode, _)) if mode & 0o177 != 0 => {
            Some(format!("the secrets key {shown} has mode {mode:04o}: make it 0400, others may not read it"))
        }
        Ok((_, text)) if SecretsKey::from_text(&text).is_err() => {
            Some(format!("the secrets key {shown} is not 64 hexadecimal digits: make one with `mandate secrets-key generate FILE`"))
        }
        Ok(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secrets_key_is_written_once_for_its_owner() {
        let file = std::env::temp_dir().join(format!("mandate-secrets-key-{}", std::process::id()));
        std::fs::remove_file(&file).ok();
        assert!(fault(Path::new("")).unwrap().contains("is not set"));
        assert!(fault(&file).unwrap().contains("cannot be read"));
        run(Command::Generate { file: file.clone() }).unwrap();
        let first = std::fs::read_to_string(&file).unwrap();
        assert_eq!((std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, first.len()), (0o400, 65));
        assert_eq!(fault(&file), None);
        assert!(run(Command::Generate { file: file.clone() }).is_err());
        ensure(&file).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), first);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(fault(&file).unwrap().contains("has mode 0640"));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&file, "no key").unwrap();
        assert!(fault(&file).unwrap().contains("is not 64 hexadecimal digits"));
        std::fs::remove_file(&file).unwrap();
    }
}
