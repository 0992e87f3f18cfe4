//! A key in a file of its own: written once, whole, for its owner only, and never replaced, since
//! what an existing one signed or encrypted hangs on it. And what is wrong with such a file.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Result, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::failure::Failure;

/// Writes a new key to a file that does not exist yet.
pub(super) fn make(file: &Path, text: impl FnOnce() -> Result<String>) -> std::result::Result<(), Failure> {
    write(file, text).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Failure::new(format!("{} exists and was left as it is: name another file", file.display())),
        _ => Failure::file("write", file, &error),
    })
}

/// The file's path, with a new key in it if it was not there.
pub(super) fn ensure(file: &Path, text: impl FnOnce() -> Result<String>) -> std::result::Result<PathBuf, Failure> {
    match write(file, text) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(Failure::file("write", file, &error)),
        _ => Ok(file.to_path_buf()),
    }
}

/// Writes beside the final name and links it there, so that a key that has the name is whole.
fn write(file: &Path, text: impl FnOnce() -> Result<String>) -> Result<()> {
    if file.exists() {
        return Err(ErrorKind::AlreadyExists.into());
    }
    let text = text()?;
    let partial = file.with_extension(format!("partial-{}", std::process::id()));
    let mut open = OpenOptions::new().write(true).create_new(true).mode(0o400).open(&partial)?;
    let written = open.write_all(text.as_bytes()).and_then(|()| open.sync_all()).and_then(|()| std::fs::hard_link(&partial, file));
    std::fs::remove_file(&partial)?;
    written
}

/// What lies in the file of a key, or what is wrong with it: others may not read it.
pub(super) fn read(file: &Path, what: &str) -> std::result::Result<Vec<u8>, String> {
    let shown = file.display();
    let read = std::fs::metadata(file).and_then(|meta| Ok((meta.permissions().mode() & 0o777, std::fs::read(file)?)));
    match read {
        Err(error) => Err(format!("the {what} {shown} cannot be read: {error}")),
        Ok((mode, _)) if mode & 0o177 != 0 => Err(format!("the {what} {shown} has mode {mode:04o}: make it 0400, others may not read it")),
        Ok((_, text)) => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_written_once_for_its_owner_and_read_by_nobody_else() {
        let file = std::env::temp_dir().join(format!("mandate-key-file-{}", std::process::id()));
        std::fs::remove_file(&file).ok();
        assert!(read(&file, "key").unwrap_err().contains("cannot be read"));
        make(&file, || Ok("first".to_owned())).unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o400);
        assert!(make(&file, || Ok("second".to_owned())).is_err());
        assert_eq!(ensure(&file, || Ok("third".to_owned())).unwrap(), file);
        assert_eq!(read(&file, "key").unwrap(), b"first");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(read(&file, "key").unwrap_err().contains("has mode 0640"));
        std::fs::remove_file(&file).unwrap();
    }
}
