//! `mandate doctor`: says of each thing that serving needs whether it is well, a line each, and
//! what to do where it is not. It changes nothing and starts nothing.

use std::path::Path;

use secrecy::ExposeSecret;

use super::failure::{Failure, words};
use super::print::say;
use super::serve::{migration, open};
use super::{Context, demo, keys, log_keys, secrets_key};
use crate::base::{Clock, SystemClock};
use crate::config::Config;
use crate::db::server::{Cluster, Status, data_home};
use crate::db::{self, Db, PrivateServer, Role, RoleUrls};

/// The most that the clocks of this machine and of the database may differ, milliseconds.
const CLOCKS: i64 = 5_000;

/// What was found.
#[derive(Default)]
struct Findings {
    bad: usize,
}

impl Findings {
    fn well(&self, line: impl AsRef<str>) {
        say(format!("ok   {}", line.as_ref()));
    }
    fn bad(&mut self, line: impl AsRef<str>) {
        self.bad += 1;
        say(format!("BAD  {}", line.as_ref()));
    }
    fn judge(&mut self, thing: &str, faults: Vec<String>) {
        if faults.is_empty() {
            self.well(thing);
        }
        for fault in faults {
            self.bad(format!("{thing}: {fault}"));
        }
    }
}

/// Runs the command.
pub(super) async fn run(context: &Context) -> Result<(), Failure> {
    let mut findings = Findings::default();
    let home = data_home()?;
    let mut config = match context.config() {
        Ok(config) => config.with_home(&home),
        Err(failure) => {
            findings.bad("settings");
            return Err(failure);
        }
    };
    findings.well("settings");
    let installation = config.names_a_database();
    let demo_key = home.join(demo::PERMIT_KEY);
    if !installation && keys::are_unset(&config) && demo_key.exists() {
        config.permits.key_file = demo_key;
    }
    let demo_key = home.join(demo::LOG_KEY);
    if !installation && log_keys::are_unset(&config) && demo_key.exists() {
        config.evidence.key_file = demo_key;
    }
    let demo_key = home.join(demo::SECRETS_KEY);
    if !installation && config.secrets.key_file.as_os_str().is_empty() && demo_key.exists() {
        config.secrets.key_file = demo_key;
    }
    let urls = if installation { installed(&config, &mut findings) } else { private(context, &home, &mut findings).await };
    if let Some(urls) = urls {
        database(&config, &urls, installation, &mut findings).await?;
    }
    if installation || !keys::are_unset(&config) {
        findings.judge("permit keys", keys::faults(&config));
    }
    if installation || !log_keys::are_unset(&config) {
        findings.judge("keys of the logs", log_keys::faults(&config));
    }
    if installation || !config.secrets.key_file.as_os_str().is_empty() {
        findings.judge("secrets key", secrets_key::faults(&config));
    }
    let checkpoints = ("checkpoint directory", &config.evidence.checkpoint_directory);
    for (thing, folder) in [("mail directory", &config.mail.directory), ("document spool", &config.documents.spool_directory), checkpoints]
    {
        findings.judge(thing, unwritable(folder).into_iter().collect());
    }
    match findings.bad {
        0 => Ok(()),
        1 => Err(Failure::new("1 thing is wrong")),
        bad => Err(Failure::new(format!("{bad} things are wrong"))),
    }
}

fn installed(config: &Config, findings: &mut Findings) -> Option<RoleUrls> {
    match config.role_urls() {
        Ok(urls) => Some(urls),
        Err(faults) => {
            findings.judge("database logins", faults.0);
            None
        }
    }
}

/// The private database, when there is one to look at.
async fn private(context: &Context, home: &Path, findings: &mut Findings) -> Option<RoleUrls> {
    let given = context.environment.get("DATABASE_URL");
    let dir = demo::cluster(home);
    if given.is_none() {
        match Cluster::status(&dir) {
            Ok(Status::Running { version_major, pid, .. }) => {
                findings.well(format!("private database: Postgres {version_major} runs in {} (process {pid})", dir.display()));
            }
            Ok(Status::Stopped { version_major }) => {
                findings.well(format!("private database: Postgres {version_major} in {} is stopped; `mandate` starts it", dir.display()));
                return None;
            }
            Ok(Status::Absent) => {
                findings.well(format!("private database: none in {} yet; `mandate` makes it", dir.display()));
                return None;
            }
            Err(error) => {
                findings.bad(format!("private database: {error}"));
                return None;
            }
        }
    }
    match PrivateServer::find(given, &dir) {
        Ok(server) => Some(server.urls(demo::DATABASE)),
        Err(error) => {
            findings.bad(format!("private database: {error}"));
            None
        }
    }
}

async fn database(config: &Config, urls: &RoleUrls, installation: bool, findings: &mut Findings) -> Result<(), Failure> {
    let mut reached = true;
    for (role, url) in Role::ALL.into_iter().zip(&urls.urls) {
        match db::log_in(url.expose_secret()).await {
            Ok(login) => findings.well(format!("login for {}: {} on Postgres {}", role.name(), login.name, login.server)),
            Err(error) => {
                reached = false;
                findings.bad(format!("login for {}: {}", role.name(), words(&error)));
            }
        }
    }
    if reached {
        let db = open(config, urls)?;
        schema(config, &db, installation, findings).await;
        db.close().await;
    }
    Ok(())
}

async fn schema(config: &Config, db: &Db, installation: bool, findings: &mut Findings) {
    match db::pending(db).await {
        Ok(pending) => {
            let migrated = pending.is_empty();
            findings.judge("migrations", pending.iter().map(|line| format!("{}: run `mandate migrate`", migration(line))).collect());
            if !migrated {
                return;
            }
        }
        Err(error) => return findings.bad(format!("migrations: {}", words(&error))),
    }
    match db::guard(db).await {
        Ok(faults) => findings.judge("guard", faults),
        Err(error) => findings.bad(format!("guard: {}", words(&error))),
    }
    match keys::missing(config, db).await {
        Ok(missing) => findings.judge("permit keys of the database", missing),
        Err(error) => findings.bad(format!("permit keys of the database: {}", words(&error))),
    }
    match log_keys::missing(config, db).await {
        Ok(missing) => findings.judge("keys of the logs in the database", missing),
        Err(error) => findings.bad(format!("keys of the logs in the database: {}", words(&error))),
    }
    match secrets_key::left(config, db).await {
        Ok(None) => {}
        Ok(Some(left)) => findings.judge("secrets of the database", left),
        Err(error) => findings.bad(format!("secrets of the database: {}", words(&error))),
    }
    match db.installation().await {
        Ok(facts) => clocks(facts, installation, findings),
        Err(error) => findings.bad(format!("clock: {}", words(&error))),
    }
}

fn clocks(facts: db::Installation, installation: bool, findings: &mut Findings) {
    let off = SystemClock::default().now().millis() - facts.database_at.millis();
    if off.abs() > CLOCKS {
        findings.bad(format!("clock: {off} ms off the database's: set both by NTP"));
    } else {
        findings.well(format!("clock: {off} ms off the database's"));
    }
    match facts.clock_offset_millis {
        0 => {}
        offset if installation => findings.bad(format!("test clock: {offset} ms ahead; `mandate serve` refuses: make a new database")),
        offset => findings.well(format!("test clock: {offset} ms ahead")),
    }
}

/// What keeps this account from writing to a folder; one that is missing is made at the start, if
/// its parent allows.
fn unwritable(folder: &Path) -> Option<String> {
    let existing = folder.ancestors().find(|place| place.is_dir())?;
    let probe = existing.join(format!(".mandate-doctor-{}", std::process::id()));
    let written = std::fs::OpenOptions::new().write(true).create_new(true).open(&probe);
    match written {
        Ok(_) => {
            std::fs::remove_file(&probe).ok();
            None
        }
        Err(error) => Some(format!("cannot write to {}: {error}", existing.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_can_be_made_is_well_and_a_file_in_the_way_is_not() {
        let base = std::env::temp_dir();
        assert_eq!(unwritable(&base.join("mandate-not-there/mail")), None);
        assert!(unwritable(Path::new("/proc/mail")).is_some());
    }
}
