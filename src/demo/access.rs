//! How to get into a demo world: logins and keys, kept in a file beside the private database
//! (mode 0600), because the database holds only their hashes.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::base::{Error, Result};

/// One person's login.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Login {
    /// The customer's id and name; none for ops.
    pub customer: Option<(String, String)>,
    /// Name.
    pub name: String,
    /// E-mail.
    pub email: String,
    /// Role, and authority in words.
    pub role: String,
    /// The secret of the second factor, in base 32, of who has one.
    pub totp_secret: Option<String>,
}

/// One platform's key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PlatformKey {
    /// The platform.
    pub platform: String,
    /// The key.
    pub key: String,
}

/// Everything a newcomer needs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Access {
    /// The owner's login to the private database: `mandate totp` asks it which codes were used.
    pub database: String,
    /// The one password of all demo persons, drawn at random when the world was loaded.
    pub password: String,
    /// Persons.
    pub logins: Vec<Login>,
    /// Keys of the platforms.
    pub keys: Vec<PlatformKey>,
}

impl Access {
    /// Reads the file; `None` if it is not there, or was written by another version.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        match std::fs::read(path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::internal(error)),
        }
    }
    /// Writes the file, readable by its owner only.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_vec_pretty(self).map_err(Error::internal)?;
        let mut file =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).map_err(Error::internal)?;
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(Error::internal)
    }
}
