//! Reads what the file transport wrote: the demo's persons open their invitations like anybody.

use std::path::Path;

use crate::base::{Error, Result};
use crate::identity::TotpSecret;

/// The token of the newest invitation to an address.
///
/// # Errors
/// When no message to the address holds one.
pub fn invitation(mail: &Path, address: &str) -> Result<String> {
    mailed(mail, address, "mdi_")
}

/// The newest token of a kind in the messages to an address: `mdi_` for an invitation, `mdr_` for a
/// recovery.
///
/// # Errors
/// When no message to the address holds one.
pub fn mailed(mail: &Path, address: &str, prefix: &str) -> Result<String> {
    let mut newest: Option<(std::ffi::OsString, String)> = None;
    for file in std::fs::read_dir(mail).map_err(Error::internal)? {
        let file = file.map_err(Error::internal)?;
        let text = std::fs::read_to_string(file.path()).map_err(Error::internal)?;
        let is_to = text.lines().any(|line| line.starts_with("To:") && line.contains(address));
        if let Some(token) = token(&text, prefix).filter(|_| is_to)
            && newest.as_ref().is_none_or(|(name, _)| *name < file.file_name())
        {
            newest = Some((file.file_name(), token));
        }
    }
    newest.map(|(_, token)| token).ok_or_else(|| Error::internal("no such token was delivered to a person of the demo world"))
}

/// The secret in the address that an authenticator reads.
///
/// # Errors
/// When there is none.
pub fn secret_of(otpauth_uri: &str) -> Result<TotpSecret> {
    let uri = url::Url::parse(otpauth_uri).map_err(Error::internal)?;
    let secret = uri.query_pairs().find(|(name, _)| name == "secret").map(|(_, secret)| secret.into_owned());
    TotpSecret::from_base32(&secret.ok_or_else(|| Error::internal("an authenticator's address without a secret"))?)
}

/// The token in a message: its prefix and 64 hexadecimal digits, whatever soft line breaks stand in it.
fn token(text: &str, prefix: &str) -> Option<String> {
    let text = text.replace("=\r\n", "").replace("=\n", "");
    let start = text.find(prefix)?;
    let token: String = text[start..].chars().take(4 + 64).collect();
    (token.len() == 68 && token[4..].bytes().all(|b| b.is_ascii_hexdigit())).then_some(token)
}
