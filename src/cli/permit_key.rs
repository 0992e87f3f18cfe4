//! `mandate permit-key`: makes the private key that signs permits, and says what is wrong with the
//! file of one. It protects one rule: nobody but the service's account can read it. The key is
//! P-256, so that permits are ES256 and verify everywhere.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};

use super::failure::Failure;
use super::print::say;

/// What can be done with permit keys.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Write a new key to a file that does not exist yet
    Generate {
        /// The file
        file: PathBuf,
    },
}

/// Runs the command.
pub(super) fn run(Command::Generate { file }: Command) -> Result<(), Failure> {
    write(&file).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Failure::new(format!("{} exists and was left as it is: name another file", file.display())),
        _ => Failure::file("write", &file, &error),
    })?;
    say(format!("wrote a new key to {}; set permits.key_file to it", file.display()));
    Ok(())
}

/// The file's path, with a new key in it if it was not there.
pub(super) fn ensure(file: &Path) -> Result<PathBuf, Failure> {
    match write(file) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(Failure::file("write", file, &error)),
        _ => Ok(file.to_path_buf()),
    }
}

/// Writes beside the final name and links it there, so that a key that has the name is whole and
/// an existing one is never replaced.
fn write(file: &Path) -> std::io::Result<()> {
    if file.exists() {
        return Err(ErrorKind::AlreadyExists.into());
    }
    let text = generate()?;
    let partial = file.with_extension(format!("partial-{}", std::process::id()));
    let mut open: File = OpenOptions::new().write(true).create_new(true).mode(0o400).open(&partial)?;
    let written = open.write_all(text.as_bytes()).and_then(|()| open.sync_all()).and_then(|()| std::fs::hard_link(&partial, file));
    std::fs::remove_file(&partial)?;
    written
}

fn generate() -> std::io::Result<String> {
    let failed = |_| std::io::Error::other("the key cannot be made");
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(failed)?;
    let der = pair.to_pkcs8v1().map_err(failed)?;
    Ok(pem::encode_config(&pem::Pem::new("PRIVATE KEY", der.as_ref()), pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF)))
}

/// What is wrong with the file, if anything.
pub(super) fn fault(file: &Path) -> Option<String> {
    if file.as_os_str().is_empty() {
        return Some("permits.key_file is not set: make a key with `mandate permit-key generate FILE`".to_owned());
    }
    let shown = file.display();
    let meta = match std::fs::metadata(file) {
        Ok(meta) => meta,
        Err(error) => return Some(format!("the permit key {shown} cannot be read: {error}")),
    };
    let mode = meta.permissions().mode() & 0o777;
    if mode & 0o177 != 0 {
        return Some(format!("the permit key {shown} has mode {mode:04o}: make it 0400, others may not read it"));
    }
    let text = match std::fs::read(file) {
        Ok(text) => text,
        Err(error) => return Some(format!("the permit key {shown} cannot be read: {error}")),
    };
    let readable = jsonwebtoken::EncodingKey::from_ec_pem(&text).is_ok();
    (!readable)
        .then(|| format!("the permit key {shown} is not a P-256 key in PKCS#8 PEM: make one with `mandate permit-key generate FILE`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_written_once_for_its_owner_and_signs() {
        let file = std::env::temp_dir().join(format!("mandate-permit-key-{}.pem", std::process::id()));
        std::fs::remove_file(&file).ok();
        assert!(fault(&file).unwrap().contains("cannot be read"));
        run(Command::Generate { file: file.clone() }).unwrap();
        let first = std::fs::read_to_string(&file).unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o400);
        assert!(first.starts_with("-----BEGIN PRIVATE KEY-----\n"), "{first}");
        assert_eq!(fault(&file), None);
        let key = jsonwebtoken::EncodingKey::from_ec_pem(first.as_bytes()).unwrap();
        let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256);
        assert!(jsonwebtoken::encode(&header, &serde_json::json!({"sub": "x"}), &key).is_ok());
        assert!(run(Command::Generate { file: file.clone() }).is_err());
        assert_eq!(ensure(&file).unwrap(), file);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), first);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(fault(&file).unwrap().contains("has mode 0640"));
        std::fs::remove_file(&file).unwrap();
        std::fs::write(&file, "no key").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(fault(&file).unwrap().contains("is not a P-256 key"));
        std::fs::remove_file(&file).unwrap();
    }
}
