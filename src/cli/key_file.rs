//! Files of private keys, of whatever kind: written once, whole, and for the service's account only;
//! and what is wrong with one that is there.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::failure::{Failure, words};
use super::print::say;
use crate::config::KeyFiles;

/// A kind of private key in a file.
pub(super) struct KeyFile {
    /// What it is called.
    pub name: &'static str,
    /// The kind of key.
    pub kind: &'static str,
    /// The section of the settings that names it.
    pub section: &'static str,
    /// The command that makes one.
    pub command: &'static str,
    /// Makes a key, in PKCS#8 PEM.
    pub generate: fn() -> std::io::Result<String>,
    /// Says whether bytes are such a key.
    pub read: fn(&[u8]) -> crate::base::Result<()>,
}

impl KeyFile {
    /// Writes a new key to a file that does not exist.
    pub(super) fn make(&self, file: &Path) -> Result<(), Failure> {
        self.write(file).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => Failure::new(format!("{} exists and was left as it is: name another file", file.display())),
            _ => Failure::file("write", file, &error),
        })?;
        let section = self.section;
        say(format!("wrote a new key to {}; name it in {section}.key_file, or put it into {section}.key_directory", file.display()));
        Ok(())
    }

    /// The file's path, with a new key in it if it was not there.
    pub(super) fn ensure(&self, file: &Path) -> Result<PathBuf, Failure> {
        match self.write(file) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(Failure::file("write", file, &error)),
            _ => Ok(file.to_path_buf()),
        }
    }

    /// Writes beside the final name and links it there, so that a key that has the name is whole and
    /// an existing one is never replaced.
    fn write(&self, file: &Path) -> std::io::Result<()> {
        if file.exists() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let text = (self.generate)()?;
        let partial = file.with_extension(format!("partial-{}", std::process::id()));
        let mut open = OpenOptions::new().write(true).create_new(true).mode(0o400).open(&partial)?;
        let written = open.write_all(text.as_bytes()).and_then(|()| open.sync_all()).and_then(|()| std::fs::hard_link(&partial, file));
        std::fs::remove_file(&partial)?;
        written
    }

    /// What is wrong with the files that the settings name, a line each.
    pub(super) fn faults(&self, files: &KeyFiles) -> Vec<String> {
        let (section, command) = (self.section, self.command);
        if files.are_unset() {
            return vec![format!(
                "neither {section}.key_file nor {section}.key_directory is set: make a key with `{command} generate FILE`"
            )];
        }
        let directory = files.directory.display();
        match files.paths() {
            Ok(paths) if paths.is_empty() => {
                vec![format!("{directory} holds no .pem file: make a key with `{command} generate {directory}/1.pem`")]
            }
            Ok(paths) => paths.iter().filter_map(|path| self.fault(path)).collect(),
            Err(error) => vec![format!("{section}.key_directory {directory} cannot be read: {error}")],
        }
    }

    /// What is wrong with the file, if anything.
    pub(super) fn fault(&self, file: &Path) -> Option<String> {
        let (name, shown) = (self.name, file.display());
        let unreadable = |error| Some(format!("the {name} {shown} cannot be read: {error}"));
        let mode = match std::fs::metadata(file) {
            Ok(meta) => meta.permissions().mode() & 0o777,
            Err(error) => return unreadable(error),
        };
        if mode & 0o177 != 0 {
            return Some(format!("the {name} {shown} has mode {mode:04o}: make it 0400, others may not read it"));
        }
        let text = match std::fs::read(file) {
            Ok(text) => text,
            Err(error) => return unreadable(error),
        };
        let told = |error| {
            let (cause, kind, command) = (words(&error), self.kind, self.command);
            format!("the {name} {shown} is not a {kind} key in PKCS#8 PEM ({cause}): make one with `{command} generate FILE`")
        };
        (self.read)(&text).err().map(told)
    }
}
