//! What was erased, told outside the database: a file for each customer's log beside the checkpoints, a
//! line for each erasure, synced before the erasure commits. A backup brings back what was erased after it
//! was made; only this list says so. It names entries and documents, never whose data they held.
//!
//! A line may stand here whose erasure never committed: what it names was over all the same.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::{CustomerId, Error, Result};
use crate::evidence::{Event, Outside, SuppliedEntry};

/// One erasure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// The customer, whose log holds the entry.
    pub log: CustomerId,
    /// Epoch of the entry.
    pub epoch: u32,
    /// Index of the entry.
    pub index: u64,
    /// What the entry says: which entries or which document, and the ground.
    pub event: Event,
    /// How many entries of each type lost their subjects.
    pub kinds: BTreeMap<String, u64>,
}

/// The folder of these files.
#[derive(Debug, Clone)]
pub struct ErasureList(PathBuf);

impl ErasureList {
    /// The list beside these checkpoints.
    #[must_use]
    pub fn beside(outside: &Outside) -> Self {
        Self(outside.folder().join("erased"))
    }

    fn file(&self, log: CustomerId) -> PathBuf {
        self.0.join(format!("{log}.ndjson"))
    }

    /// The customers of whom something was erased.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn customers(&self) -> Result<Vec<CustomerId>> {
        let listed = match std::fs::read_dir(&self.0) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            listed => listed.map_err(Error::internal)?,
        };
        let mut found = Vec::new();
        for entry in listed {
            let name = entry.map_err(Error::internal)?.file_name();
            found.extend(name.to_str().and_then(|name| name.strip_suffix(".ndjson")?.parse::<CustomerId>().ok()));
        }
        found.sort();
        Ok(found)
    }

    /// What was erased of one customer, in the order in which it was.
    ///
    /// # Errors
    /// When the file cannot be read, or a line of it is none.
    pub fn read(&self, log: CustomerId) -> Result<Vec<Line>> {
        let text = match std::fs::read_to_string(self.file(log)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            text => text.map_err(Error::internal)?,
        };
        // What follows the last line was broken off, and its erasure with it.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).map_err(Error::internal)).collect()
    }

    /// Adds lines to a customer's file, synced.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn add(&self, log: CustomerId, lines: &[Line]) -> Result<()> {
        let mut bytes = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut bytes, line).map_err(Error::internal)?;
            bytes.push(b'\n');
        }
        self.append(&self.file(log), &bytes).map_err(Error::internal)
    }

    /// Adds the erasures that entries tell of which a restore had lost and a pack supplied.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn add_supplied(&self, log: CustomerId, epoch: u32, entries: &[SuppliedEntry]) -> Result<()> {
        let mut lines = Vec::new();
        for entry in entries.iter().filter(|entry| ["subjects.erased", "document.erased"].contains(&entry.word.as_str())) {
            lines.extend(entry.event()?.map(|event| Line { log, epoch, index: entry.index, event, kinds: BTreeMap::new() }));
        }
        if lines.is_empty() { Ok(()) } else { self.add(log, &lines) }
    }

    fn append(&self, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
        make_folder(&self.0)?;
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        // Another run writes here too.
        file.lock()?;
        let whole = end_of_last_line(&mut file)?;
        if whole < file.metadata()?.len() {
            file.set_len(whole)?;
        }
        file.write_all(bytes)?;
        file.sync_all()?;
        File::open(&self.0)?.sync_all()
    }
}

/// Makes the folder, and syncs its name. The one above is made by whoever configured it.
fn make_folder(folder: &Path) -> std::io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made.and_then(|()| folder.parent().map_or(Ok(()), |above| File::open(above)?.sync_all())),
    }
}

fn end_of_last_line(file: &mut File) -> std::io::Result<u64> {
    let length = file.seek(SeekFrom::End(0))?;
    let mut end = length;
    let mut byte = [0];
    while end > 0 {
        file.seek(SeekFrom::Start(end - 1))?;
        file.read_exact(&mut byte)?;
        if byte == *b"\n" {
            break;
        }
        end -= 1;
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Code;

    fn line(log: CustomerId, index: u64) -> Line {
        let event = Event::SubjectsErased { entries: vec![(1, index)], ground: Code::fixed("retention") };
        Line { log, epoch: 1, index: index + 100, event, kinds: BTreeMap::from([("export.refused".to_owned(), 1)]) }
    }

    #[test]
    fn what_was_broken_off_is_no_line_and_spoils_none() {
        let folder = std::env::temp_dir().join(format!("mandate-erased-{}", std::process::id()));
        let list = ErasureList::beside(&Outside::new(&folder));
        let log = CustomerId::from(uuid::Uuid::from_u128(7));
        // Negative control: without its folder nothing is kept, and that is told.
        assert!(list.add(log, &[line(log, 1)]).is_err());
        std::fs::create_dir_all(&folder).unwrap();
        assert_eq!((list.customers().unwrap(), list.read(log).unwrap()), (Vec::new(), Vec::new()));
        list.add(log, &[line(log, 1), line(log, 2)]).unwrap();
        OpenOptions::new().append(true).open(list.file(log)).unwrap().write_all(b"{\"log\":\"cus_").unwrap();
        assert_eq!(list.read(log).unwrap(), [line(log, 1), line(log, 2)]);
        list.add(log, &[line(log, 3)]).unwrap();
        assert_eq!(list.read(log).unwrap(), [line(log, 1), line(log, 2), line(log, 3)]);
        assert_eq!(list.customers().unwrap(), [log]);
        std::fs::write(list.file(log), "{}\n").unwrap();
        assert!(list.read(log).is_err(), "a line that says nothing is not passed over");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
