//! Checkpoints outside the database: a file for each epoch of each log, replaced as a whole and
//! synced. A later checkpoint is never replaced by an earlier one, nor one of another database by this
//! one's: that is a restore which was not taken in. What contradicts is kept beside it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::checkpoint::Checkpoint;
use super::note::Note;
use crate::base::{Digest, Error, Result};

/// A checkpoint as it is kept: the signed note, and which database it was of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptCheckpoint {
    /// The signed note.
    pub checkpoint: String,
    /// Postgres's system identifier.
    pub system_identifier: String,
    /// Postgres's timeline.
    pub timeline: u32,
}

impl KeptCheckpoint {
    /// The checkpoint in the note; who signed it is not asked here.
    ///
    /// # Errors
    /// When the file does not hold one.
    pub fn read(&self) -> Result<Checkpoint> {
        let note: Note = self.checkpoint.parse().map_err(Error::internal)?;
        Checkpoint::of(&note).map_err(Error::internal)
    }
    /// True if it was of the database with this system identifier and timeline.
    #[must_use]
    pub fn is_of(&self, system_identifier: &str, timeline: u32) -> bool {
        self.system_identifier == system_identifier && self.timeline == timeline
    }
}

/// What ends the name of a file that says how far a log was verified.
const VERIFIED: &str = "verified.json";

/// How far a log was verified.
#[derive(Debug, Serialize, Deserialize)]
struct Verified {
    size: u64,
    root: Digest,
}

/// The folder of checkpoints.
#[derive(Debug, Clone)]
pub struct Outside(PathBuf);

impl Outside {
    /// This folder.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self(folder.to_path_buf())
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// The file of an origin. Origins are made of the names of logs, which hold no dots.
    fn file(&self, origin: &str) -> Result<PathBuf> {
        let fits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
        if !origin.split('/').all(fits) {
            return Err(Error::internal("an origin that cannot name a file"));
        }
        Ok(self.0.join(format!("{origin}.json")))
    }

    /// The latest checkpoint of an origin; `None`: none was kept.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn latest(&self, origin: &str) -> Result<Option<KeptCheckpoint>> {
        read(&self.file(origin)?)
    }

    /// The latest checkpoint of every epoch of every log, by the log's name; `None` for a file that holds
    /// none, which is an alarm.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn all(&self) -> Result<BTreeMap<String, BTreeMap<u32, Option<KeptCheckpoint>>>> {
        let (mut found, mut folders) = (BTreeMap::<String, BTreeMap<_, _>>::new(), vec![(String::new(), self.0.join("mandate"))]);
        while let Some((name, folder)) = folders.pop() {
            let listed = match std::fs::read_dir(&folder) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                listed => listed.map_err(Error::internal)?,
            };
            for entry in listed {
                let path = entry.map_err(Error::internal)?.path();
                let Some(part) = path.file_name().and_then(|part| part.to_str()) else { continue };
                if path.is_dir() {
                    let below = if name.is_empty() { part.to_owned() } else { format!("{name}/{part}") };
                    folders.push((below, path));
                } else if let Some(epoch) = part.strip_suffix(".json").and_then(|part| part.parse().ok()) {
                    let kept = read(&path).unwrap_or_else(|error| {
                        tracing::error!(cause = %error, "ALARM: a file of the folder of checkpoints holds none");
                        None
                    });
                    found.entry(name.clone()).or_default().insert(epoch, kept);
                }
            }
        }
        Ok(found)
    }

    /// Sets the checkpoints of a log aside of which the database holds nothing, once that is recorded.
    ///
    /// # Errors
    /// When a file cannot be renamed.
    pub fn set_aside(&self, origin: &str) -> Result<()> {
        self.renamed(origin, "lost.json")
    }

    /// Sets a file aside that holds no checkpoint, or one that no key of the logs has signed.
    ///
    /// # Errors
    /// As [`Self::set_aside`].
    pub fn set_aside_unsigned(&self, origin: &str) -> Result<()> {
        self.renamed(origin, "unsigned.json")
    }

    fn renamed(&self, origin: &str, to: &str) -> Result<()> {
        let file = self.file(origin)?;
        match std::fs::rename(&file, file.with_extension(to)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::internal(error)),
            _ => Ok(()),
        }
    }

    /// Keeps a checkpoint, synced, unless a later one is there.
    ///
    /// # Errors
    /// When it cannot be written, or the last one is of another database or timeline.
    pub fn keep(&self, checkpoint: &Checkpoint, kept: &KeptCheckpoint) -> Result<()> {
        let file = self.file(&checkpoint.origin)?;
        let folder = file.parent().ok_or_else(|| Error::internal("a file without a folder"))?;
        make_folder(folder, &self.0).map_err(Error::internal)?;
        let lock = File::open(folder).map_err(Error::internal)?;
        // Other processes write here too.
        lock.lock().map_err(Error::internal)?;
        if let Some(before) = read(&file)? {
            if !before.is_of(&kept.system_identifier, kept.timeline) {
                return Err(Error::internal("the last checkpoint is of another database or timeline: a restore that was not taken in"));
            }
            if before.read()?.size >= checkpoint.size {
                return Ok(());
            }
        }
        replace(&file, kept).and_then(|()| lock.sync_all()).map_err(Error::internal)
    }

    /// The size of an origin that was verified last, with its root; `None`: none was, or it cannot be read.
    #[must_use]
    pub fn verified(&self, origin: &str) -> Option<(u64, Digest)> {
        let bytes = std::fs::read(self.file(origin).ok()?.with_extension(VERIFIED)).ok()?;
        let Verified { size, root } = serde_json::from_slice(&bytes).ok()?;
        Some((size, root))
    }

    /// Notes the size of an origin that was verified, so that the next start begins there.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn note_verified(&self, origin: &str, size: u64, root: Digest) -> Result<()> {
        let file = self.file(origin)?;
        let folder = file.parent().ok_or_else(|| Error::internal("a file without a folder"))?;
        make_folder(folder, &self.0).map_err(Error::internal)?;
        replace(&file.with_extension(VERIFIED), &Verified { size, root }).map_err(Error::internal)
    }

    /// Keeps what contradicts the latest checkpoint beside it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep_contradiction(&self, checkpoint: &Checkpoint, kept: &KeptCheckpoint) -> Result<()> {
        let file = self.file(&checkpoint.origin)?.with_extension(format!("contradiction-{}.json", checkpoint.size));
        replace(&file, kept).map_err(Error::internal)
    }
}

fn read(file: &Path) -> Result<Option<KeptCheckpoint>> {
    let told = |error: &dyn std::fmt::Display| Error::internal(format!("{}: {error}", file.display()));
    match std::fs::read(file) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| told(&error)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(told(&error)),
    }
}

/// Makes the folders below `root` and syncs each in the one above: a name that is not synced is lost
/// with what it names. The root itself is made by whoever configured it.
fn make_folder(folder: &Path, root: &Path) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if !folder.starts_with(root) || folder == root {
        return Err(ErrorKind::NotFound.into());
    }
    if let Some(above) = folder.parent() {
        make_folder(above, root)?;
        match std::fs::DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => File::open(above)?.sync_all()?,
        }
    }
    Ok(())
}

/// Writes beside the name, syncs, and takes the name: a reader sees the old or the new.
fn replace(file: &Path, kept: &impl Serialize) -> std::io::Result<()> {
    let partial = file.with_extension(format!("partial-{}", std::process::id()));
    let mut bytes = serde_json::to_vec(kept)?;
    bytes.push(b'\n');
    let mut open = OpenOptions::new().write(true).create(true).truncate(true).open(&partial)?;
    open.set_permissions(Permissions::from_mode(0o600))?;
    open.write_all(&bytes)?;
    open.sync_all()?;
    std::fs::rename(&partial, file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::merkle_leaf;
    use crate::evidence::LogSigningKey;

    fn kept(size: u64, timeline: u32) -> (Checkpoint, KeptCheckpoint) {
        let key = LogSigningKey::from_pem(LogSigningKey::generate_pem().unwrap().as_bytes()).unwrap();
        let checkpoint = Checkpoint { origin: "mandate/platform/fronter/1".to_owned(), size, root: merkle_leaf(&size.to_be_bytes()) };
        let note = checkpoint.sign(&key).unwrap().to_string();
        (checkpoint, KeptCheckpoint { checkpoint: note, system_identifier: "7".to_owned(), timeline })
    }

    #[test]
    fn the_latest_checkpoint_stays_and_another_database_replaces_none() {
        let folder = std::env::temp_dir().join(format!("mandate-checkpoints-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let outside = Outside::new(&folder);
        let size = |outside: &Outside| outside.latest("mandate/platform/fronter/1").unwrap().unwrap().read().unwrap().size;
        assert_eq!(outside.latest("mandate/platform/fronter/1").unwrap(), None);
        for (given, expected) in [(5, 5), (3, 5), (6, 6)] {
            let (checkpoint, kept) = kept(given, 1);
            outside.keep(&checkpoint, &kept).unwrap();
            assert_eq!(size(&outside), expected);
        }
        let (checkpoint, later) = kept(2, 2);
        assert!(outside.keep(&checkpoint, &later).is_err());
        assert_eq!(size(&outside), 6);
        outside.note_verified("mandate/platform/fronter/1", 6, checkpoint.root).unwrap();
        let all = outside.all().unwrap();
        assert_eq!(all.keys().collect::<Vec<_>>(), ["platform/fronter"]);
        assert_eq!(all["platform/fronter"].keys().collect::<Vec<_>>(), [&1]);
        outside.set_aside("mandate/platform/fronter/1").unwrap();
        assert!(outside.all().unwrap().is_empty());
        for origin in ["mandate/../x", "mandate//1", "mandate/a.b/1", ""] {
            assert!(outside.latest(origin).is_err(), "{origin}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
        // Negative control: without its folder nothing is kept, and that is told.
        assert!(outside.keep(&checkpoint, &later).is_err());
    }
}
