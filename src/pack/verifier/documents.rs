//! Check 3: every document that was stored is there and fits its SHA-256, unless the period leaves
//! it out or an entry says that it was erased. And, of check 6, that the counts agree.

use std::io::{Read, Seek};

use super::Verification;
use super::archive::Archive;
use super::finding::{Check, Place};
use crate::base::Digest;
use crate::pack::format::*;

impl Verification<'_> {
    pub(super) fn documents<R: Read + Seek>(&mut self, archive: &mut Archive<R>, manifest: &Manifest) {
        let mut left_out = 0;
        for (sha256, ((epoch, index), at, length)) in std::mem::take(&mut self.gathered.documents) {
            let name = document_file(sha256);
            let place = Place::entry(PackLog::Customer, epoch, index);
            if archive.names().contains(&name) {
                self.document(archive, manifest, &name, sha256, length);
            } else if self.gathered.erased_documents.get(&sha256).is_none_or(|erased| *erased < (epoch, index)) {
                if manifest.period.is_some_and(|period| !period.holds(at)) {
                    left_out += 1;
                } else {
                    self.found.undecided(Check::Documents, place, format!("the document that it stored is missing: {name}"));
                }
            }
            self.gathered.documents.insert(sha256, ((epoch, index), at, length));
        }
        if left_out != manifest.left_out.documents || self.gathered.left_out != manifest.left_out.records {
            self.found.tampered(Check::Documents, Place::file(MANIFEST), "it says otherwise how much it leaves out than it does");
        }
        for name in archive.names().iter().filter(|name| name.starts_with(DOCUMENTS)) {
            let sha256 = name.strip_prefix(DOCUMENTS).and_then(|hash| hash.parse().ok());
            if !sha256.is_some_and(|sha256: Digest| self.gathered.documents.contains_key(&sha256)) {
                self.found.tampered(Check::Documents, Place::file(name), "no entry has stored it");
            }
        }
    }

    fn document<R: Read + Seek>(&mut self, archive: &mut Archive<R>, manifest: &Manifest, name: &str, sha256: Digest, length: u64) {
        let read = archive.file(name).and_then(|file| file.end().map_err(|error| format!("it cannot be read: {error}")));
        match read {
            Ok((read_length, read_sha256)) => {
                self.as_listed(manifest, name, read_length, read_sha256);
                if (read_length, read_sha256) != (length, sha256) {
                    self.found.tampered(Check::Documents, Place::file(name), "its bytes are not those that were stored");
                }
            }
            Err(what) => self.found.undecided(Check::Form, Place::file(name), what),
        }
    }

    /// The manifest counts the entries of each type as they are.
    pub(super) fn counts(&mut self, manifest: &Manifest) {
        let counts = self.gathered.counts.iter().map(|(word, count)| (*word, *count));
        if !counts.eq(manifest.counts.iter().map(|(word, count)| (word.as_str(), *count))) {
            self.found.tampered(
                Check::Mandates,
                Place::file(MANIFEST),
                "it counts permits, refusals and other entries otherwise than they are",
            );
        }
    }
}
