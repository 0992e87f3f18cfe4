//! Settings: the defaults that are built in, a TOML file, environment variables, flags; later ones
//! win. Every key stands in `config/default.toml`, which is the manual; any other key is an error
//! that names it and its place. Secrets are never shown, and may lie in files of their own.

mod key_files;
mod layers;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::value::Value;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

pub use key_files::KeyFiles;
pub use layers::Environment;

use layers::{Layer, read_secret, shown, told, variable};

use crate::db::RoleUrls;
use crate::http::Rates;

/// The defaults, with the explanation of every key.
const DEFAULTS: &str = include_str!("../config/default.toml");
const PREFIX: &str = "MANDATE__";
/// The URLs of [`crate::db::Role::ALL`], in its order.
const URLS: [&str; 5] = ["app_url", "gate_url", "worker_url", "ops_url", "ops_read_url"];

/// Everything that is wrong with the settings, a line each.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigError(pub Vec<String>);

impl ConfigError {
    fn one(fault: String) -> Self {
        Self(vec![fault])
    }
}

/// All settings.
#[derive(Debug, Clone, Deserialize)]
pub struct Config {
    /// Addresses.
    pub listen: Listen,
    /// Logins.
    pub database: Database,
    /// Bounds.
    pub limits: Limits,
    /// Permits.
    pub permits: Permits,
    /// Keys and checkpoints of the logs.
    pub evidence: Evidence,
    /// What encrypts secrets at rest.
    pub secrets: Secrets,
    /// Outgoing mail.
    pub mail: Mail,
    /// Uploads.
    pub documents: Documents,
    /// Cost of password hashes.
    pub passwords: Passwords,
    /// What is normal at the gate.
    pub alarms: Alarms,
    /// How often callers may ask.
    pub rates: RequestRates,
    /// The log.
    pub log: Log,
    #[serde(skip)]
    shown: Vec<String>,
}

/// Section `listen`.
#[derive(Debug, Clone, Deserialize)]
pub struct Listen {
    /// Where the service is reached.
    pub address: SocketAddr,
    /// Where `/livez`, `/readyz` and `/metrics` are.
    pub health_address: SocketAddr,
}

/// Section `database`.
#[derive(Debug, Clone, Deserialize)]
pub struct Database {
    /// The most connections per role.
    pub connections: u32,
    #[serde(skip)]
    urls: BTreeMap<&'static str, SecretString>,
}

/// Section `limits`.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Limits {
    /// Connections at once.
    pub connections: u32,
    /// Connections of one address at once.
    pub connections_per_address: u32,
    /// Requests at the gate at once.
    pub gate_requests: u32,
    /// All other requests at once.
    pub requests: u32,
    /// Uploads at once.
    pub uploads: u32,
    /// Seconds for a request's headers.
    pub header_seconds: u32,
    /// Seconds for running requests after a signal.
    pub drain_seconds: u32,
}

/// Section `permits`.
#[derive(Debug, Clone, Deserialize)]
pub struct Permits {
    /// The issuer in every permit.
    pub issuer: String,
    /// A private key's file; empty when not set.
    pub key_file: PathBuf,
    /// A folder of private keys' files; empty when not set.
    pub key_directory: PathBuf,
}

/// Section `evidence`.
#[derive(Debug, Clone, Deserialize)]
pub struct Evidence {
    /// A private key that signs checkpoints; empty when not set.
    pub key_file: PathBuf,
    /// A folder of such keys; empty when not set.
    pub key_directory: PathBuf,
    /// The folder that checkpoints are kept in; empty when not set.
    pub checkpoint_directory: PathBuf,
    /// Days for which the subjects of refusals, dry runs and ended exports are kept; 0: until further notice.
    pub subjects_days: u32,
    /// Days for which the bytes of documents that nothing in force cites are kept; 0: until further notice.
    pub documents_days: u32,
}

impl Evidence {
    /// Where the private keys of the logs lie.
    #[must_use]
    pub fn key_files(&self) -> KeyFiles {
        KeyFiles { file: self.key_file.clone(), directory: self.key_directory.clone() }
    }
}

/// Section `secrets`.
#[derive(Debug, Clone, Deserialize)]
pub struct Secrets {
    /// The file of the key that encrypts second factors; empty when not set.
    pub key_file: PathBuf,
    /// The file of the key before it, or after it while it is handed out; empty when not set.
    pub previous_key_file: PathBuf,
}

/// Section `mail`.
#[derive(Debug, Clone, Deserialize)]
pub struct Mail {
    /// The folder that mail is written to; empty when not set.
    pub directory: PathBuf,
}

/// Section `documents`.
#[derive(Debug, Clone, Deserialize)]
pub struct Documents {
    /// The folder for uploads under way; empty when not set.
    pub spool_directory: PathBuf,
}

/// Section `passwords`.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Passwords {
    /// Memory of one hash, KiB.
    pub memory_kib: u32,
    /// Passes.
    pub iterations: u32,
    /// Lanes.
    pub parallelism: u32,
}

/// Section `alarms`: what is normal in an hour, for each kind of subject.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Alarms {
    /// Customers that one platform key asks for.
    pub key_customers_per_hour: u64,
    /// Records that one platform key asks for.
    pub key_rows_per_hour: u64,
    /// Customers that one job asks for.
    pub job_customers_per_hour: u64,
    /// Records that one job asks for.
    pub job_rows_per_hour: u64,
    /// Customers that one person or user asks for.
    pub person_customers_per_hour: u64,
    /// Records that one person or user asks for.
    pub person_rows_per_hour: u64,
}

/// Section `rates`: requests in a minute.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct RequestRates {
    /// For each address.
    pub address: u32,
    /// For each session.
    pub session: u32,
    /// For each API key.
    pub api_key: u32,
    /// For each platform's key.
    pub platform_key: u32,
}

impl RequestRates {
    /// The rates; [`Config::load`] refuses zero.
    #[must_use]
    pub fn rates(&self) -> Rates {
        let rate = |rate| NonZeroU32::new(rate).unwrap_or(NonZeroU32::MIN);
        Rates {
            address: rate(self.address),
            session: rate(self.session),
            api_key: rate(self.api_key),
            platform_key: rate(self.platform_key),
        }
    }
}

/// Section `log`.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Log {
    /// How a line looks.
    pub format: LogFormat,
    /// The least that is logged.
    pub level: LogLevel,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// The least that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Faults.
    Error,
    /// And what may become one.
    Warn,
    /// And every request.
    Info,
    /// And details.
    Debug,
    /// And everything.
    Trace,
}

impl Config {
    /// Reads all layers. `flags` are keys as in the manual, with the text given.
    ///
    /// # Errors
    /// Every unknown key, every value of the wrong kind, every secret that cannot be read.
    pub fn load(environment: &Environment, file: Option<&Path>, flags: &[(&str, String)]) -> Result<Self, ConfigError> {
        let defaults = Layer::toml("the defaults".to_owned(), DEFAULTS)?;
        let known = defaults.keys();
        let mut layers = vec![defaults];
        let variable = environment.get("MANDATE_CONFIG").map(|path| PathBuf::from(path.expose_secret()));
        if let Some(path) = file.map(Path::to_path_buf).or(variable) {
            let text = std::fs::read_to_string(&path)
                .map_err(|error| ConfigError::one(format!("the settings file {} cannot be read: {error}", path.display())))?;
            layers.push(Layer::toml(path.display().to_string(), &text)?);
        }
        layers.push(environment.layer());
        layers.push(Layer::flags(flags));
        let mut faults: Vec<String> = layers.iter().flat_map(|layer| layer.unknown(&known)).collect();
        if !faults.is_empty() {
            return Err(ConfigError(faults));
        }
        let figment = layers.iter().fold(Figment::new(), |figment, layer| figment.merge(layer));
        let mut config: Self = figment.extract_lossy().map_err(|error| ConfigError(error.into_iter().map(told).collect()))?;
        config.shown = known.iter().map(|key| shown(&figment, key)).collect();
        config.database.urls = URLS.iter().filter_map(|key| Some((*key, url(&figment, key, &mut faults)?))).collect();
        config.check(&mut faults);
        if faults.is_empty() { Ok(config) } else { Err(ConfigError(faults)) }
    }

    fn check(&self, faults: &mut Vec<String>) {
        let Passwords { memory_kib, iterations, parallelism } = self.passwords;
        let limits = self.limits;
        let ranges = [
            ("database.connections", self.database.connections, 1, 1_000),
            ("limits.connections", limits.connections, 1, 100_000),
            ("limits.connections_per_address", limits.connections_per_address, 1, 100_000),
            ("evidence.subjects_days", self.evidence.subjects_days, 0, 36_500),
            ("evidence.documents_days", self.evidence.documents_days, 0, 36_500),
            ("limits.gate_requests", limits.gate_requests, 1, 100_000),
            ("limits.requests", limits.requests, 1, 100_000),
            ("limits.uploads", limits.uploads, 1, 1_000),
            ("limits.header_seconds", limits.header_seconds, 1, 600),
            ("limits.drain_seconds", limits.drain_seconds, 1, 600),
            ("passwords.memory_kib", memory_kib, 8_u32.saturating_mul(parallelism).max(8), 1 << 20),
            ("passwords.iterations", iterations, 1, 100),
            ("passwords.parallelism", parallelism, 1, 16),
            ("rates.address", self.rates.address, 1, 100_000_000),
            ("rates.session", self.rates.session, 1, 100_000_000),
            ("rates.api_key", self.rates.api_key, 1, 100_000_000),
            ("rates.platform_key", self.rates.platform_key, 1, 100_000_000),
        ];
        for (key, value, least, most) in ranges {
            if !(least..=most).contains(&value) {
                faults.push(format!("{key} is {value}: it must be {least} to {most}"));
            }
        }
        let Alarms { key_customers_per_hour, job_customers_per_hour, person_customers_per_hour, .. } = self.alarms;
        if [key_customers_per_hour, job_customers_per_hour, person_customers_per_hour].contains(&0) {
            faults.push("alarms: a normal of 0 customers makes every request an alarm: set 1 or more".to_owned());
        }
        if self.permits.issuer.is_empty() {
            faults.push("permits.issuer is empty: set it to the service's public address".to_owned());
        }
    }

    /// Gives every folder that is not set its place in the folder for data.
    #[must_use]
    pub fn with_home(mut self, home: &Path) -> Self {
        let checkpoints = &mut self.evidence.checkpoint_directory;
        for (folder, name) in
            [(&mut self.mail.directory, "mail"), (&mut self.documents.spool_directory, "spool"), (checkpoints, "checkpoints")]
        {
            if folder.as_os_str().is_empty() {
                *folder = home.join(name);
            }
        }
        self
    }

    /// The five logins of the service.
    ///
    /// # Errors
    /// Every one that is not set.
    pub fn role_urls(&self) -> Result<RoleUrls, ConfigError> {
        let missing = |key: &&str| !self.database.urls.contains_key(*key);
        let faults: Vec<String> = URLS
            .into_iter()
            .filter(missing)
            .map(|key| format!("database.{key} is not set: set it, or database.{key}_file, or {}", variable(&format!("database.{key}"))))
            .collect();
        if !faults.is_empty() {
            return Err(ConfigError(faults));
        }
        Ok(RoleUrls { urls: URLS.map(|key| self.database.urls.get(key).cloned().unwrap_or_default()) })
    }

    /// True if any login of the service is set: this is an installation and not a trial.
    #[must_use]
    pub fn names_a_database(&self) -> bool {
        !self.database.urls.is_empty()
    }

    /// What is in force, a line for each key with its source; secrets only as set or unset.
    #[must_use]
    pub fn shown(&self) -> &[String] {
        &self.shown
    }
}

/// A login, from its key or from the file that its twin names.
fn url(figment: &Figment, key: &str, faults: &mut Vec<String>) -> Option<SecretString> {
    let mut text = |key: &str| match figment.find_value(key) {
        Ok(Value::String(_, text)) => Some(text).filter(|text| !text.is_empty()),
        _ => {
            faults.push(format!("{key} must be a text"));
            None
        }
    };
    let (key, twin) = (format!("database.{key}"), format!("database.{key}_file"));
    let fault = match (text(&key), text(&twin)) {
        (None, None) => return None,
        (Some(url), None) => return Some(SecretString::from(url)),
        (None, Some(file)) => match read_secret(&twin, Path::new(&file)) {
            Ok(secret) => return Some(secret),
            Err(fault) => fault,
        },
        (Some(_), Some(_)) => format!("{key} and {twin} are both set: keep one"),
    };
    faults.push(fault);
    None
}

#[cfg(test)]
mod tests;
