//! Where settings come from: the environment, read once, and the layers that are laid over each
//! other. The only file that reads the environment for settings. A text of the environment stays
//! text until a section's type says otherwise, so that a password of digits stays one.

use std::collections::BTreeMap;
use std::path::Path;

use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use secrecy::{ExposeSecret, SecretString};

use super::{ConfigError, PREFIX, URLS};

const ENVIRONMENT: &str = "the environment";

/// The environment of the process, read once.
#[derive(Debug, Clone, Default)]
pub struct Environment(BTreeMap<String, SecretString>);

impl Environment {
    /// Reads the environment. A variable that is empty or not UTF-8 counts as not set.
    #[must_use]
    pub fn of_process() -> Self {
        Self::of(std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))))
    }

    /// An invented environment.
    pub fn of(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let set = variables.into_iter().filter(|(_, value)| !value.is_empty());
        Self(set.map(|(name, value)| (name, SecretString::from(value))).collect())
    }

    /// A variable.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&SecretString> {
        self.0.get(name)
    }

    /// A secret, given in the variable `name` or in the file that `name_FILE` names.
    ///
    /// # Errors
    /// When both are set, or the file cannot be read.
    pub fn secret(&self, name: &str) -> Result<Option<SecretString>, ConfigError> {
        let twin = format!("{name}_FILE");
        match (self.get(name), self.get(&twin)) {
            (Some(_), Some(_)) => Err(ConfigError::one(format!("{name} and {twin} are both set: keep one"))),
            (Some(value), None) => Ok(Some(value.clone())),
            (None, Some(file)) => read_secret(&twin, Path::new(file.expose_secret())).map(Some).map_err(ConfigError::one),
            (None, None) => Ok(None),
        }
    }

    /// `MANDATE__SECTION__KEY` as `section.key`.
    pub(super) fn layer(&self) -> Layer {
        let mut values = Dict::new();
        for (name, value) in &self.0 {
            let Some(key) = name.strip_prefix(PREFIX) else { continue };
            insert(&mut values, &key.to_lowercase().replace("__", "."), value.expose_secret());
        }
        Layer { name: ENVIRONMENT.to_owned(), values }
    }
}

/// One source of settings.
pub(super) struct Layer {
    name: String,
    values: Dict,
}

impl Layer {
    pub(super) fn toml(name: String, text: &str) -> Result<Self, ConfigError> {
        let values = Toml::from_str::<Dict>(text).map_err(|error| {
            // Without the quoted line between them: it may hold a secret.
            let text = error.to_string();
            let mut lines = text.lines();
            let (place, rule) = (lines.next().unwrap_or_default(), lines.next_back().unwrap_or_default());
            ConfigError::one(format!("{name}: {place}: {rule}"))
        })?;
        Ok(Self { name, values })
    }

    pub(super) fn flags(flags: &[(&str, String)]) -> Self {
        let mut values = Dict::new();
        for (key, value) in flags {
            insert(&mut values, key, value);
        }
        Self { name: "a flag".to_owned(), values }
    }

    /// Names the keys of this layer that are not among the known.
    pub(super) fn unknown(&self, known: &[String]) -> Vec<String> {
        let named = |key: String| {
            let place = if self.name == ENVIRONMENT { format!("the variable {}", variable(&key)) } else { self.name.clone() };
            format!("unknown key {key} in {place}: `mandate config show` lists every key")
        };
        self.keys().into_iter().filter(|key| !known.contains(key)).map(named).collect()
    }

    /// Every key, as `section.key`.
    pub(super) fn keys(&self) -> Vec<String> {
        let mut keys = Vec::new();
        for (section, value) in &self.values {
            match value {
                Value::Dict(_, inner) => keys.extend(inner.keys().map(|key| format!("{section}.{key}"))),
                _ => keys.push(section.clone()),
            }
        }
        keys
    }
}

impl Provider for &Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }
    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Map::from([(Profile::Default, self.values.clone())]))
    }
}

fn insert(values: &mut Dict, key: &str, text: &str) {
    let value = Value::from(text);
    let Some((section, key)) = key.split_once('.') else {
        values.insert(key.to_owned(), value);
        return;
    };
    let slot = values.entry(section.to_owned()).or_insert_with(|| Value::from(Dict::new()));
    if let Value::Dict(_, inner) = slot {
        inner.insert(key.to_owned(), value);
    }
}

/// The variable of a key.
pub(super) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase().replace('.', "__"))
}

/// A fault of the sections' types in words.
pub(super) fn told(error: figment::Error) -> String {
    let source = error.metadata.as_ref().map_or("the settings", |metadata| metadata.name.as_ref());
    format!("{} in {source}: {}", error.path.join("."), error.kind)
}

/// A key with what is in force and where it comes from; a secret only as set or unset.
pub(super) fn shown(figment: &Figment, key: &str) -> String {
    let source = figment.find_metadata(key).map_or_else(String::new, |metadata| metadata.name.to_string());
    let name = key.split_once('.').map_or(key, |(_, name)| name);
    let value = match figment.find_value(key) {
        Ok(Value::String(_, text)) if URLS.contains(&name) => if text.is_empty() { "[unset]" } else { "[set]" }.to_owned(),
        Ok(Value::String(_, text)) => format!("{text:?}"),
        Ok(value) => value.to_i128().map_or_else(String::new, |number| number.to_string()),
        Err(_) => String::new(),
    };
    format!("{key} = {value}  # {source}")
}

/// Reads a secret's file, less one line end.
pub(super) fn read_secret(name: &str, file: &Path) -> Result<SecretString, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("the file {} of {name} cannot be read: {error}", file.display()))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() { Err(format!("the file {} of {name} is empty", file.display())) } else { Ok(SecretString::from(text.to_owned())) }
}
