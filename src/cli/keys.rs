//! `mandate keys`: the keys that sign permits, from making one to withdrawing it. Whoever holds the
//! login of the ops role may do it, as with the first ops person; each act but `generate` and `list`
//! is an entry. A private key is a file that nobody but the service's account can read.

use std::path::{Path, PathBuf};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use secrecy::ExposeSecret as _;

use super::failure::{Failure, words};
use super::print::say;
use super::signing_key::SigningKeyFile;
use super::{Context, demo, serve};
use crate::app::key_files;
use crate::config::Config;
use crate::db::server::{Cluster, Status, data_home};
use crate::db::{self, Db, PrivateServer, Role};
use crate::evidence::PermitKeyState;
use crate::export::{
    KEY_SET_MAX_AGE, PermitSigner, SigningKey, activate_permit_key, list_permit_keys, publish_permit_key, withdraw_permit_key,
};

/// What can be done with permit keys.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Write a new key to a file that does not exist yet
    Generate {
        /// The file
        file: PathBuf,
    },
    /// Show every key: its state, and whether its file is here
    List,
    /// Put the public half of a key into the key set, ahead of its use
    Publish {
        /// The private key's file
        file: PathBuf,
    },
    /// Let a published key sign, and retire the one that did
    #[command(visible_alias = "rotate")]
    Activate {
        /// The key's id
        #[arg(allow_hyphen_values = true)]
        kid: String,
    },
    /// Take a key out of the key set for good
    Withdraw {
        /// The key's id
        #[arg(allow_hyphen_values = true)]
        kid: String,
        /// At once, whatever its state: its permits are refused from the next decision on
        #[arg(long)]
        emergency: bool,
    },
}

/// Runs the command.
pub(super) async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    if let Command::Generate { file } = command {
        return PERMIT.make(&file);
    }
    let mut config = context.config()?;
    if !config.names_a_database() && are_unset(&config) {
        config.permits.key_file = data_home()?.join(demo::PERMIT_KEY);
    }
    let db = open(context, &config).await?;
    let done = act(&config, &db, command).await;
    db.close().await;
    done
}

async fn act(config: &Config, db: &Db, command: Command) -> Result<(), Failure> {
    match command {
        Command::Generate { .. } => {}
        Command::List => list(config, db).await?,
        Command::Publish { file } => {
            if let Some(fault) = fault(&file) {
                return Err(Failure::new(fault));
            }
            let key = SigningKey::from_pem(&std::fs::read(&file).map_err(|error| Failure::file("read", &file, &error))?)?;
            publish_permit_key(db, &key).await?;
            say(format!("published {}; put its file where every process finds it, and in {KEY_SET_MAX_AGE} s it can sign:", key.kid()));
            say(format!("  mandate keys activate {}", key.kid()));
        }
        Command::Activate { kid } => {
            let retired = activate_permit_key(db, &kid).await?;
            say(format!("{kid} signs permits from now on"));
            if let Some((before, until)) = retired {
                say(format!("{before} stays in the key set until its last permit has expired, at {until}; keep its file until then"));
            }
        }
        Command::Withdraw { kid, emergency } => {
            let next = withdraw_permit_key(db, &kid, emergency).await?;
            say(format!("{kid} is withdrawn: it is out of the key set, and copies of the set end in {KEY_SET_MAX_AGE} s"));
            let keys = list_permit_keys(db).await?.0;
            match next {
                Some(next) => say(format!("{next} signs permits from now on")),
                None if keys.iter().any(|key| key.state() == PermitKeyState::Active) => {}
                None => say("NO KEY SIGNS NOW: no permit can be issued until you publish and activate one"),
            }
        }
    }
    Ok(())
}

async fn list(config: &Config, db: &Db) -> Result<(), Failure> {
    let signer = signer(config);
    let (keys, now) = list_permit_keys(db).await?;
    for key in keys {
        let since = key.withdrawn_at.or(key.retired_at).or(key.activated_at).unwrap_or(key.published_at);
        let set = if key.is_in_set(now) { "in the key set" } else { "not in the key set" };
        let file = if signer.as_ref().is_some_and(|signer| signer.key(&key.kid).is_some()) { "its file is here" } else { "no file here" };
        say(format!("{}  {:9}  since {since}  {set}, {file}", key.kid, key.state()));
    }
    Ok(())
}

/// The database of the settings, or the private one. Nothing is started, and nothing made.
pub(super) async fn open(context: &Context, config: &Config) -> Result<Db, Failure> {
    let urls = if config.names_a_database() { config.role_urls()? } else { private_server(context)?.urls(demo::DATABASE) };
    let login = &urls.urls[Role::Ops as usize];
    db::log_in(login.expose_secret())
        .await
        .map_err(|error| Failure::new(format!("the login for {} does not work: {}", Role::Ops.name(), words(&error))))?;
    serve::open(config, &urls)
}

/// The server of the private database, which must run.
pub(super) fn private_server(context: &Context) -> Result<PrivateServer, Failure> {
    let (given, dir) = (context.environment.get("DATABASE_URL"), demo::cluster(&data_home()?));
    if given.is_none() && !matches!(Cluster::status(&dir)?, Status::Running { .. }) {
        let home = dir.display();
        return Err(Failure::new(format!(
            "no database: the settings name none, and no private one runs in {home}; name one, or start the demo"
        )));
    }
    Ok(PrivateServer::find(given, &dir)?)
}

fn signer(config: &Config) -> Option<PermitSigner> {
    PermitSigner::of_files(key_files(config), &config.permits.issuer).ok()
}

/// True if the settings name no private key.
pub(super) fn are_unset(config: &Config) -> bool {
    key_files(config).are_unset()
}

/// What is wrong with the files that the settings name, a line each.
pub(super) fn faults(config: &Config) -> Vec<String> {
    PERMIT.faults(&key_files(config))
}

/// The keys that sign, or are to sign next, and whose files are not here.
pub(super) async fn missing(config: &Config, db: &Db) -> crate::base::Result<Vec<String>> {
    let signer = signer(config);
    let here = |kid: &str| signer.as_ref().is_some_and(|signer| signer.key(kid).is_some());
    let (keys, _) = list_permit_keys(db).await?;
    let wanted = keys.iter().filter(|key| matches!(key.state(), PermitKeyState::Published | PermitKeyState::Active));
    Ok(wanted.filter(|key| !here(&key.kid)).map(|key| format!("the file of {}, which is {}, is not here", key.kid, key.state())).collect())
}

/// The file's path, with a new key in it if it was not there.
pub(super) fn ensure(file: &Path) -> Result<PathBuf, Failure> {
    PERMIT.ensure(file)
}

fn fault(file: &Path) -> Option<String> {
    PERMIT.fault(file)
}

fn generate() -> std::io::Result<String> {
    let failed = |_| std::io::Error::other("the key cannot be made");
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(failed)?;
    let der = pair.to_pkcs8v1().map_err(failed)?;
    Ok(pem::encode_config(&pem::Pem::new("PRIVATE KEY", der.as_ref()), pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF)))
}

/// What a file of a permit key is.
const PERMIT: SigningKeyFile = SigningKeyFile {
    name: "permit key",
    kind: "P-256",
    section: "permits",
    command: "mandate keys",
    generate,
    read: |bytes| SigningKey::from_pem(bytes).map(drop),
};

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_new_key_signs_and_another_text_is_none() {
        let file = std::env::temp_dir().join(format!("mandate-permit-key-{}.pem", std::process::id()));
        std::fs::remove_file(&file).ok();
        ensure(&file).unwrap();
        assert_eq!(fault(&file), None);
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("-----BEGIN PRIVATE KEY-----\n"), "{text}");
        let key = jsonwebtoken::EncodingKey::from_ec_pem(text.as_bytes()).unwrap();
        let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256);
        assert!(jsonwebtoken::encode(&header, &serde_json::json!({"sub": "x"}), &key).is_ok());
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&file, "no key").unwrap();
        assert!(fault(&file).unwrap().contains("is not a P-256 key"));
        std::fs::remove_file(&file).unwrap();
    }
}
