//! Reading the archive: only names that the format knows, nothing twice, nothing beside the files,
//! nothing that unpacks to more than it says. Files are read as streams and written nowhere.

use std::collections::BTreeSet;
use std::io::{Read, Seek, Take};

use sha2::{Digest as _, Sha256};
use zip::read::ZipFile;
use zip::{CompressionMethod, ZipArchive};

use crate::base::Digest;
use crate::pack::format::*;

/// The most files of a pack.
const MOST_FILES: usize = 200_000;
/// Up to this length a file may be compressed as well as it goes.
const FREE: u64 = 64 * 1024 * 1024;
/// Beyond that: no entries or documents of this size compress better.
const MOST_RATIO: u64 = 200;
/// The most bytes of a file that is read at once.
pub(super) const MOST_SMALL: u64 = 64 * 1024 * 1024;

/// An archive whose form is that of a pack.
pub(super) struct Archive<R> {
    zip: ZipArchive<R>,
    names: BTreeSet<String>,
}

fn is_name(name: &str) -> bool {
    let of_log = |rest: &str| {
        let epoch = rest.strip_suffix(".ndjson")?;
        let number: u32 = epoch.parse().ok()?;
        (number > 0 && number.to_string() == epoch).then_some(())
    };
    let fixed = [MANIFEST, MANIFEST_NOTE, KEYS, CHECKPOINTS].contains(&name);
    let log = PackLog::ALL.iter().any(|log| name.strip_prefix(&format!("logs/{log}/")).and_then(of_log).is_some());
    fixed || log || name.strip_prefix(DOCUMENTS).is_some_and(|hash| hash.parse::<Digest>().is_ok())
}

impl<R: Read + Seek> Archive<R> {
    /// Opens it; the error is why it is no pack.
    pub(super) fn open(reader: R) -> Result<Self, String> {
        let mut zip = ZipArchive::new(reader).map_err(|error| format!("the file is no whole ZIP archive: {error}"))?;
        if zip.len() > MOST_FILES {
            return Err(format!("the archive holds {} files, more than a pack can", zip.len()));
        }
        zip.validate_header_consistency().map_err(|error| format!("the archive contradicts itself: {error}"))?;
        if zip.offset() != 0 || !zip.comment().is_empty() {
            return Err("the archive holds bytes beside its files".to_owned());
        }
        let mut names = BTreeSet::new();
        for index in 0..zip.len() {
            let file = zip.by_index_raw(index).map_err(|error| format!("file {index} of the archive cannot be read: {error}"))?;
            let name = std::str::from_utf8(file.name_raw()).map_err(|_| "a file's name is not UTF-8".to_owned())?;
            if !is_name(name) {
                return Err(format!("a pack holds no file {name:?}"));
            }
            if file.encrypted() || !matches!(file.compression(), CompressionMethod::Stored | CompressionMethod::Deflated) {
                return Err(format!("file {name} is neither stored nor deflated"));
            }
            if file.size() > FREE && file.size() / MOST_RATIO > file.compressed_size() {
                return Err(format!("file {name} unpacks {} bytes to {}: that is no pack", file.compressed_size(), file.size()));
            }
            names.insert(name.to_owned());
        }
        Ok(Self { zip, names })
    }
    pub(super) const fn names(&self) -> &BTreeSet<String> {
        &self.names
    }
    /// Opens a file for reading; what it says to hold is the most that is read.
    pub(super) fn file<'a>(&'a mut self, name: &str) -> Result<Hashed<Take<ZipFile<'a, R>>>, String> {
        let file = self.zip.by_name(name).map_err(|error| format!("it cannot be read: {error}"))?;
        let size = file.size();
        // One more than it says, so that a longer one is found out.
        Ok(Hashed { inner: file.take(size.saturating_add(1)), hash: Sha256::new(), length: 0 })
    }
    /// Reads a small file at once, with its hash.
    pub(super) fn small(&mut self, name: &str) -> Result<(Vec<u8>, u64, Digest), String> {
        let mut file = self.file(name)?;
        let mut bytes = Vec::new();
        (&mut file).take(MOST_SMALL).read_to_end(&mut bytes).map_err(|error| format!("it cannot be read: {error}"))?;
        let (length, sha256) = file.end().map_err(|error| format!("it cannot be read: {error}"))?;
        if length >= MOST_SMALL { Err("it is longer than such a file can be".to_owned()) } else { Ok((bytes, length, sha256)) }
    }
}

/// A reader that hashes what passes.
pub(super) struct Hashed<R> {
    inner: R,
    hash: Sha256,
    length: u64,
}

impl<R: Read> Hashed<R> {
    /// Reads the rest, and gives length and SHA-256 of all.
    pub(super) fn end(mut self) -> std::io::Result<(u64, Digest)> {
        std::io::copy(&mut self, &mut std::io::sink())?;
        Ok((self.length, Digest(self.hash.finalize().into())))
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(into)?;
        self.hash.update(&into[..read]);
        self.length += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn only_names_of_the_format_are_names() {
        let hash = "0".repeat(64);
        for good in ["manifest.json", "logs/registry/1.ndjson", "logs/customer/12.ndjson", &format!("documents/{hash}")] {
            assert!(is_name(good), "{good}");
        }
        for bad in [
            "",
            "..",
            "../manifest.json",
            "/manifest.json",
            "logs/customer/01.ndjson",
            "logs/customer/0.ndjson",
            "logs/other/1.ndjson",
            "logs/customer/../1.ndjson",
            "documents/",
            "documents/../x",
            "documents\\x",
            "manifest.json/",
            &format!("documents/{hash}/"),
        ] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
