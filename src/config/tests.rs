//! Which layer wins, what is refused and how it is named, and that no secret is ever shown.

use std::collections::BTreeSet;

use super::*;

fn environment(variables: &[(&str, &str)]) -> Environment {
    Environment::of(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

fn load(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::load(&environment(variables), None, &[])
}

/// A file of one test, deleted at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("mandate-config-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
    fn text(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

#[test]
fn later_layers_win() {
    let file = Scratch::new("layers.toml", "[database]\nconnections = 2\n[listen]\naddress = \"127.0.0.1:2\"\n[log]\nlevel = \"warn\"");
    let environment = environment(&[
        ("MANDATE_CONFIG", file.text()),
        ("MANDATE__DATABASE__CONNECTIONS", "3"),
        ("MANDATE__LISTEN__ADDRESS", "127.0.0.1:3"),
    ]);
    let config = Config::load(&environment, None, &[("listen.address", "127.0.0.1:4".to_owned())]).unwrap();
    assert_eq!(config.listen.address.port(), 4, "flag");
    assert_eq!(config.database.connections, 3, "environment");
    assert_eq!(config.log.level, LogLevel::Warn, "file");
    assert_eq!(config.listen.health_address.port(), 8081, "default");
    let shown = config.shown().join("\n");
    for line in ["listen.address = \"127.0.0.1:4\"  # a flag", "passwords.iterations = 3  # the defaults"] {
        assert!(shown.contains(line), "{shown}");
    }
}

#[test]
fn an_unknown_key_is_named_with_its_place() {
    let file = Scratch::new("unknown.toml", "[listen]\nadress = \"x\"\n[tls]\nkey = \"x\"");
    let error = Config::load(&environment(&[("MANDATE__LOG__LEVLE", "info")]), Some(&file.0), &[]).unwrap_err();
    assert_eq!(error.0.len(), 3, "{error}");
    assert!(error.0[0].starts_with(&format!("unknown key listen.adress in {}", file.text())), "{error}");
    assert!(error.0[1].starts_with("unknown key tls.key"), "{error}");
    assert!(error.0[2].starts_with("unknown key log.levle in the variable MANDATE__LOG__LEVLE"), "{error}");
}

#[test]
fn wrong_values_are_refused() {
    for (name, value, expected) in [
        ("MANDATE__LISTEN__ADDRESS", "nowhere", "listen.address in the environment"),
        ("MANDATE__DATABASE__CONNECTIONS", "0", "database.connections is 0: it must be 1 to 1000"),
        ("MANDATE__DATABASE__CONNECTIONS", "many", "database.connections in the environment"),
        ("MANDATE__PASSWORDS__MEMORY_KIB", "4", "passwords.memory_kib is 4"),
        ("MANDATE__LOG__LEVEL", "loud", "log.level in the environment"),
    ] {
        let error = load(&[(name, value)]).unwrap_err();
        assert!(error.0[0].starts_with(expected), "{error}");
    }
}

#[test]
fn a_secret_is_text_comes_from_its_key_or_its_file_and_is_not_shown() {
    let file = Scratch::new("secret", "postgres://two:hunter2@db/x\n");
    let config = load(&[("MANDATE__DATABASE__APP_URL", "12345"), ("MANDATE__DATABASE__GATE_URL_FILE", file.text())]).unwrap();
    assert!(config.names_a_database() && !load(&[]).unwrap().names_a_database());
    assert_eq!(config.database.urls["app_url"].expose_secret(), "12345");
    assert_eq!(config.database.urls["gate_url"].expose_secret(), "postgres://two:hunter2@db/x");
    let missing = config.role_urls().unwrap_err();
    assert_eq!(missing.0.len(), 3);
    assert!(missing.0[0].contains("MANDATE__DATABASE__WORKER_URL"), "{missing}");
    let shown = format!("{:?} {:?}", config, config.shown());
    assert!(shown.contains("database.app_url = [set]") && shown.contains("database.worker_url = [unset]"), "{shown}");
    assert!(!shown.contains("12345") && !shown.contains("hunter2"), "{shown}");

    let both = load(&[("MANDATE__DATABASE__APP_URL", "x"), ("MANDATE__DATABASE__APP_URL_FILE", "y")]).unwrap_err();
    assert!(both.0[0].contains("keep one"), "{both}");
    let absent = load(&[("MANDATE__DATABASE__APP_URL_FILE", "/nowhere/secret")]).unwrap_err();
    assert!(absent.0[0].contains("/nowhere/secret of database.app_url_file cannot be read"), "{absent}");
}

#[test]
fn a_broken_file_is_told_without_its_text() {
    let file = Scratch::new("broken.toml", "[database]\napp_url = \"postgres://one:hunter2@db/x\n");
    let error = Config::load(&environment(&[]), Some(&file.0), &[]).unwrap_err();
    assert!(error.0[0].contains("line 2") && !error.to_string().contains("hunter2"), "{error}");
}

#[test]
fn a_variable_outside_the_layers_has_a_file_twin_too() {
    let file = Scratch::new("migrate", "postgres://owner@db/x\r\n");
    let found = environment(&[("MANDATE_MIGRATE_URL_FILE", file.text())]).secret("MANDATE_MIGRATE_URL").unwrap();
    assert_eq!(found.unwrap().expose_secret(), "postgres://owner@db/x");
    assert!(environment(&[("DATABASE_URL", "")]).get("DATABASE_URL").is_none(), "empty counts as not set");
    assert!(environment(&[("A", "x"), ("A_FILE", "y")]).secret("A").is_err());
}

#[test]
fn every_default_has_its_explanation_and_every_folder_its_place() {
    let mut explained = false;
    for line in DEFAULTS.lines() {
        let secret_or_twin = URLS.iter().any(|key| line.starts_with(key));
        assert!(!line.contains(" = ") || line.starts_with('#') || explained || secret_or_twin, "{line}");
        explained = line.starts_with('#');
    }
    let sections: BTreeSet<&str> = DEFAULTS.lines().filter(|line| line.starts_with('[')).collect();
    assert_eq!(sections.len(), 12);
    let config = load(&[("MANDATE__MAIL__DIRECTORY", "/mail")]).unwrap().with_home(Path::new("/home"));
    assert_eq!(config.mail.directory, Path::new("/mail"));
    assert_eq!(config.documents.spool_directory, Path::new("/home/spool"));
    assert_eq!(config.evidence.checkpoint_directory, Path::new("/home/checkpoints"));
}
