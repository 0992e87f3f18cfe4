//! The log file of the private server, and the words of programs that failed.
//! Protects one rule: this process opens the log and the server inherits it, since the server's account has no
//! right to write beside its own two folders. Does not parse what is written there.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;

use super::error::ServerError;
use super::layout::Layout;

/// The log of the server starts afresh above this size, bytes; one older file is kept.
const LOG_MAX: u64 = 8 << 20;

/// Opens the log for appending and returns its present length.
pub(super) fn open(layout: &Layout) -> Result<(File, u64), ServerError> {
    let path = layout.log();
    if fs::metadata(&path).is_ok_and(|meta| meta.len() > LOG_MAX) {
        fs::rename(&path, path.with_extension("log.1")).map_err(ServerError::path("rename", &path))?;
    }
    let log = File::options().append(true).create(true).mode(0o600).open(&path);
    let log = log.map_err(ServerError::path("open", &path))?;
    let length = log.metadata().map_err(ServerError::path("read", &path))?.len();
    Ok((log, length))
}

/// Returns the end of what was logged after `seen` bytes.
pub(super) fn since(layout: &Layout, seen: u64) -> String {
    let mut bytes = Vec::new();
    let read = File::open(layout.log()).and_then(|mut log| {
        log.seek(SeekFrom::Start(seen))?;
        log.read_to_end(&mut bytes)
    });
    match read {
        Ok(_) => tail(&bytes),
        Err(error) => format!("(the log cannot be read: {error})"),
    }
}

/// Returns the last 12 lines of a program's words.
pub(super) fn tail(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.trim().lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}
