//! Files of the private keys that sign, of whatever kind: made by their command, and what is wrong
//! with those that the settings name.

use std::path::{Path, PathBuf};

use super::failure::{Failure, words};
use super::key_file;
use super::print::say;
use crate::config::KeyFiles;

/// A kind of signing key in a file.
pub(super) struct SigningKeyFile {
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

impl SigningKeyFile {
    /// Writes a new key to a file that does not exist.
    pub(super) fn make(&self, file: &Path) -> Result<(), Failure> {
        key_file::make(file, self.generate)?;
        let section = self.section;
        say(format!("wrote a new key to {}; name it in {section}.key_file, or put it into {section}.key_directory", file.display()));
        Ok(())
    }

    /// The file's path, with a new key in it if it was not there.
    pub(super) fn ensure(&self, file: &Path) -> Result<PathBuf, Failure> {
        key_file::ensure(file, self.generate)
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
        let text = match key_file::read(file, self.name) {
            Ok(text) => text,
            Err(fault) => return Some(fault),
        };
        let told = |error| {
            let (name, kind, command, shown, cause) = (self.name, self.kind, self.command, file.display(), words(&error));
            format!("the {name} {shown} is not a {kind} key in PKCS#8 PEM ({cause}): make one with `{command} generate FILE`")
        };
        (self.read)(&text).err().map(told)
    }
}
