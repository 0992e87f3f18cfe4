//! The demo at start: loads the world into a fresh private database, or finds it there, and says
//! how to get in.

use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::Duration;
use secrecy::{ExposeSecret as _, SecretString};

use super::access::Access;
use super::{load, tour};
use crate::app::App;
use crate::base::{Error, FixedClock, Result, random32, sha256};
use crate::db::note_world_loaded;
use crate::http::{Limits, Rates};
use crate::identity::{PasswordHasher, PasswordParams};

/// Where the demo runs.
pub struct Place {
    /// The address that the tour's commands call.
    pub base_url: String,
    /// The folder for data: keys and mail of the demo lie here.
    pub home: PathBuf,
    /// Where mail is written.
    pub mail: PathBuf,
    /// The owner's login, for what only the owner may note.
    pub owner_url: SecretString,
    /// The path of this program: the tour calls it where it is not on the PATH.
    pub program: PathBuf,
}

/// Loads the world if it is not loaded, and returns what to print: logins, keys and the tour.
///
/// # Errors
/// When the world cannot be loaded, or its logins were lost.
pub async fn start(app: &App, place: &Place) -> Result<String> {
    let mark = sha256(&[place.owner_url.expose_secret().as_bytes()]).to_string();
    let file = place.home.join(format!("demo-logins-{}.json", &mark[..12]));
    let access = if app.db.installation().await?.world_loaded {
        Access::read(&file)?.ok_or_else(|| {
            Error::internal(format!(
                "the demo's logins are not at {}, or are another version's: remove the database mandate_demo to start anew",
                file.display()
            ))
        })?
    } else {
        let access = loaded(app, place).await?;
        access.write(&file)?;
        note_world_loaded(place.owner_url.expose_secret()).await?;
        access
    };
    let totp = format!("{} totp --logins {}", quoted(&place.program), quoted(&file));
    let script = tour(&place.base_url, &totp, &access);
    write_tour(&place.home.join("tour.sh"), &script).map_err(Error::internal)?;
    Ok(welcome(place, &access, &totp, &script))
}

async fn loaded(app: &App, place: &Place) -> Result<Access> {
    let now = app.db.clock().now();
    let clock = Arc::new(FixedClock::new(now));
    let mut loader = app.clone();
    loader.db = app.db.with_clock(clock.clone());
    // The loader's acts are not a caller's: the settings do not slow them down.
    loader.rates = Arc::new(Limits::new(Rates::all(NonZeroU32::MAX)));
    // A hundred hashes at the cost of a person's password would take most of the first start. The demo's
    // password is 72 random bits, to which no cost adds.
    loader.passwords = Arc::new(PasswordHasher::new(PasswordParams { memory_kib: 8, passes: 1, lanes: 1 })?);
    let password = hex::encode(&random32(app.db.entropy())[..9]);
    let mut access = load(&loader, &clock, &place.mail, &password, now.plus(-Duration::minutes(2))).await?;
    access.database = place.owner_url.expose_secret().to_owned();
    Ok(access)
}

/// A path as one word of a POSIX shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}

fn welcome(place: &Place, access: &Access, totp: &str, script: &str) -> String {
    let mut text = String::new();
    let base = &place.base_url;
    let mut line = |words: std::fmt::Arguments<'_>| {
        writeln!(text, "{words}").ok();
    };
    line(format_args!("Mandate serves on {base} (API pages: {base}/docs)"));
    line(format_args!(""));
    line(format_args!("Logins. Password of all: {}", access.password));
    let mut place_before = None;
    for login in &access.logins {
        let here = login.customer.as_ref().map(|(id, name)| format!("{name} ({id})"));
        if place_before.as_ref() != Some(&here) {
            line(format_args!("  {}", here.as_deref().unwrap_or("Ops of the processor (/api/admin/v1)")));
            place_before = Some(here);
        }
        line(format_args!("    {:<36} {:<20} {}", login.email, login.name, login.role));
    }
    line(format_args!(""));
    line(format_args!("A code of the second factor, for a step-up and for every login of ops:"));
    line(format_args!("    {totp} EMAIL"));
    line(format_args!(""));
    line(format_args!("Keys of the platforms (/gate/v1)"));
    for key in &access.keys {
        line(format_args!("    {:<12} {}", key.platform, key.key));
    }
    line(format_args!(""));
    line(format_args!("Mail is written to {}", place.mail.display()));
    line(format_args!(""));
    line(format_args!("A tour. Paste it into another terminal, or run: sh {}", place.home.join("tour.sh").display()));
    line(format_args!(""));
    line(format_args!("{script}"));
    text
}

/// Writes the tour for its owner only: it holds a key and a password.
fn write_tour(file: &std::path::Path, script: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
    let mut open = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)?;
    open.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    open.write_all(script.as_bytes())
}
