//! The demo world: what a newcomer finds after one command. Loaded once, through the same handlers
//! that everybody uses; nothing here is part of an installation.

use std::path::PathBuf;

use secrecy::SecretString;

use crate::app::App;
use crate::base::{Email, Error, Name, OpsPersonId, Result};
use crate::db::Db;

/// Where the demo runs.
pub struct Place {
    /// The address that the tour's commands call.
    pub base_url: String,
    /// The folder for data: keys and mail of the demo lie here.
    pub home: PathBuf,
    /// The owner's login, for what only the owner may note (the world is loaded, the test clock).
    pub owner_url: SecretString,
}

/// Loads the world if it is not loaded, and returns what to print: logins, keys and the tour.
///
/// # Errors
/// When the world cannot be loaded.
pub async fn start(app: &App, place: &Place) -> Result<String> {
    app.db.ping().await?;
    Ok(format!("Mandate answers on {}", place.base_url))
}

/// Stands for `identity`'s until both meet.
pub struct PasswordHasher;

impl PasswordHasher {
    /// Stands for `identity`'s.
    ///
    /// # Errors
    /// None.
    pub fn new(_cost: crate::config::Passwords) -> Result<Self> {
        Ok(Self)
    }
}

/// Stands for `identity`'s.
///
/// # Errors
/// Always.
pub async fn bootstrap_ops(_db: &Db, _hasher: &PasswordHasher, _email: Email, _name: Name, _password: SecretString) -> Result<OpsPersonId> {
    Err(Error::internal("operations persons cannot be made yet"))
}
