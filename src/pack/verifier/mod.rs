//! Verifying a pack: the seven checks, over nothing but the bytes of the archive. Two passages over
//! the customer's log, each line by line, so that memory does not grow with it. Nothing is written.

mod archive;
mod authority;
mod decisions;
mod documents;
mod finding;
mod leaves;
mod stream;
mod summary;
mod supply;
mod trees;

use std::collections::BTreeSet;
use std::io::{Read, Seek};
use std::time::{Duration, Instant as Moment};

use archive::Archive;
pub use finding::{Check, Finding, Findings, Place, Verdict};
use leaves::Gathered;
pub use summary::Summary;
pub use supply::{Supply, customer_of, supply};

use super::format::*;
use crate::base::{Digest, sha256};
use crate::evidence::Note;

/// What a verification is told beside the pack.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Checkpoints that the customer kept.
    pub pinned: Vec<Note>,
    /// The public key of the logs, as the customer knows it (Ed25519).
    pub key: Option<[u8; 32]>,
    /// Checks that are left out: only to show that each is needed.
    #[doc(hidden)]
    pub skipped: BTreeSet<Check>,
}

/// What came out.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Report {
    /// The outcome.
    pub verdict: Verdict,
    /// How many things were found.
    pub found: u64,
    /// What was found, the first one first; at most 100.
    pub findings: Vec<Finding>,
    /// What the pack holds, as far as it could be read.
    pub summary: Option<Summary>,
    /// Time of everything but deciding again, in milliseconds.
    pub checking_ms: u64,
    /// Time of the second passage, in which every decision is decided again, in milliseconds.
    pub deciding_ms: u64,
}

/// Verifies a pack. `progress` is told how many bytes were unpacked, of how many in all.
pub fn verify<R: Read + Seek>(reader: R, options: &Options, progress: impl FnMut(u64, u64)) -> Report {
    let began = Moment::now();
    let mut verification = Verification {
        found: Findings::without(options.skipped.clone()),
        gathered: Gathered::default(),
        options,
        progress: Box::new(progress),
        passed: 0,
        total: 0,
        decided: 0,
        deciding: Duration::ZERO,
    };
    let manifest = match Archive::open(reader) {
        Ok(mut archive) => verification.run(&mut archive),
        Err(what) => {
            verification.found.undecided(Check::Form, Place::default(), what);
            None
        }
    };
    let Verification { found, gathered, decided, deciding, .. } = verification;
    let verdict = found.verdict();
    let (count, findings) = found.into_list();
    let summary = manifest.map(|manifest| Summary::of(manifest, &gathered, decided, options.pinned.len()));
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let checking = began.elapsed().saturating_sub(deciding);
    Report { verdict, found: count, findings, summary, checking_ms: millis(checking), deciding_ms: millis(deciding) }
}

struct Verification<'a> {
    found: Findings,
    gathered: Gathered,
    options: &'a Options,
    progress: Box<dyn FnMut(u64, u64) + 'a>,
    passed: u64,
    total: u64,
    decided: u64,
    deciding: Duration,
}

/// The major and minor numbers of a version.
fn series(version: &str) -> Option<(u64, u64)> {
    let mut numbers = version.split('.').map(str::parse::<u64>);
    let (major, minor, patch) = (numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok());
    patch.filter(|_| numbers.next().is_none()).map(|_| (major, minor))
}

impl Verification<'_> {
    fn run<R: Read + Seek>(&mut self, archive: &mut Archive<R>) -> Option<Manifest> {
        let manifest = self.manifest(archive)?;
        self.files(archive, &manifest);
        let keys = self.keys(archive, &manifest)?;
        self.note(archive, &manifest, &keys);
        let checkpoints = self.checkpoints(archive, &manifest)?;
        self.wanted(&manifest, &checkpoints);
        // The second passage reads the customer's log and what the gate reads of the registry's again.
        let logs = |part: &&FilePart| part.name.starts_with("logs/");
        self.total = manifest.files.iter().filter(logs).map(|part| part.length * 2).sum();
        for part in &manifest.logs {
            self.first_passage(archive, &manifest, part);
        }
        self.trees(&manifest, &keys, &checkpoints);
        self.pinned(&manifest);
        if self.is_whole(&manifest, PackLog::Customer) {
            self.documents(archive, &manifest);
            leaves::erasures(&self.gathered, &manifest, &mut self.found);
            self.counts(&manifest);
            if self.is_whole(&manifest, PackLog::Registry) {
                self.second_passage(archive, &manifest);
            }
        }
        Some(manifest)
    }

    fn manifest<R: Read + Seek>(&mut self, archive: &mut Archive<R>) -> Option<Manifest> {
        let (bytes, ..) = self.small(archive, MANIFEST)?;
        let place = Place::file(MANIFEST);
        let value: serde_json::Value = match crate::base::parse_strict(&bytes) {
            Ok(value) => value,
            Err(what) => return self.unreadable(place, what),
        };
        // Versions first: another version may have another shape.
        match value.get("format").and_then(serde_json::Value::as_u64) {
            Some(format) if format == u64::from(FORMAT) => {}
            Some(format) => return self.unreadable(place, format!("it is of format {format}, and this program knows format {FORMAT}")),
            None => return self.unreadable(place, "it names no format"),
        }
        let own = env!("CARGO_PKG_VERSION");
        match value.get("product").and_then(serde_json::Value::as_str).map(|product| (product, series(product))) {
            Some((_, Some(made_by))) if Some(made_by) <= series(own) => {}
            Some((product, _)) => {
                let what =
                    format!("the pack was made by version {product:?} of the product, and this is {own}: use that version or a later one");
                return self.unreadable(place, what);
            }
            None => return self.unreadable(place, "it names no version of the product"),
        }
        let manifest: Manifest = match crate::base::from_value(&value) {
            Ok(manifest) => manifest,
            Err(error) => return self.unreadable(place, format!("it is no manifest: {error}")),
        };
        if crate::base::canonical(&manifest) != bytes {
            self.found.tampered(Check::Form, place, "it is not canonical JSON");
        }
        Some(manifest)
    }

    fn unreadable<T>(&mut self, place: Place, what: impl Into<String>) -> Option<T> {
        self.found.undecided(Check::Form, place, what);
        None
    }

    /// Reads a small file whole.
    fn small<R: Read + Seek>(&mut self, archive: &mut Archive<R>, name: &str) -> Option<(Vec<u8>, u64, Digest)> {
        if !archive.names().contains(name) {
            return self.unreadable(Place::file(name), "it is missing");
        }
        match archive.small(name) {
            Ok(read) => Some(read),
            Err(what) => self.unreadable(Place::file(name), what),
        }
    }

    /// Reads a small file whole, and holds it against the manifest.
    fn listed<R: Read + Seek>(&mut self, archive: &mut Archive<R>, manifest: &Manifest, name: &str) -> Option<Vec<u8>> {
        let (bytes, length, sha256) = self.small(archive, name)?;
        self.as_listed(manifest, name, length, sha256);
        Some(bytes)
    }

    fn as_listed(&mut self, manifest: &Manifest, name: &str, length: u64, sha256: Digest) {
        let part = manifest.files.iter().find(|part| part.name == name);
        if part.is_some_and(|part| part.length != length || part.sha256 != sha256) {
            self.found.tampered(Check::Form, Place::file(name), "its bytes are not those that the manifest lists");
        }
    }

    /// The manifest lists every file, once, and no other.
    fn files<R: Read + Seek>(&mut self, archive: &Archive<R>, manifest: &Manifest) {
        let listed: BTreeSet<&str> = manifest.files.iter().map(|part| part.name.as_str()).collect();
        if listed.len() != manifest.files.len() {
            self.found.tampered(Check::Form, Place::file(MANIFEST), "it lists a file twice");
        }
        for name in archive.names() {
            if ![MANIFEST, MANIFEST_NOTE].contains(&name.as_str()) && !listed.contains(name.as_str()) {
                self.found.tampered(Check::Form, Place::file(name), "the manifest does not list it");
            }
        }
        for name in listed.iter().filter(|name| !archive.names().contains(**name)) {
            self.found.undecided(Check::Form, Place::file(name), "it is missing");
        }
        let mut files: BTreeSet<String> = manifest.logs.iter().map(|part| log_file(part.log, part.epoch)).collect();
        let one_each = files.len() == manifest.logs.len();
        let ordered = manifest.logs.windows(2).all(|pair| {
            (pair[0].log, pair[0].epoch + 1) == (pair[1].log, pair[1].epoch)
                || (pair[0].log, pair[1].log, pair[1].epoch) == (PackLog::Registry, PackLog::Customer, 1)
        });
        let first = manifest.logs.first().is_some_and(|part| (part.log, part.epoch) == (PackLog::Registry, 1));
        let last = manifest.logs.last().is_some_and(|part| part.log == PackLog::Customer);
        if !(one_each && ordered && first && last) {
            self.found.undecided(Check::Form, Place::file(MANIFEST), "it does not name every epoch of both logs");
        }
        for part in &manifest.logs {
            let name = if part.log == PackLog::Registry { "registry".to_owned() } else { manifest.customer.to_string() };
            if part.origin != crate::evidence::origin(&name, part.epoch) {
                self.found.tampered(Check::Form, Place::log(part.log, part.epoch), "it is named as another log");
            }
        }
        files.retain(|name| !listed.contains(name.as_str()));
        for name in files {
            self.found.undecided(Check::Form, Place::file(&name), "it is missing");
        }
    }

    /// The note over the manifest.
    fn note<R: Read + Seek>(&mut self, archive: &mut Archive<R>, manifest: &Manifest, keys: &[[u8; 32]]) {
        let Some((bytes, ..)) = self.small(archive, MANIFEST_NOTE) else { return };
        let text = manifest_text(manifest.customer, sha256(&[&crate::base::canonical(manifest)]));
        let what = self
            .signed(&bytes, MANIFEST_NAME, keys)
            .and_then(|read| if read == text { Ok(()) } else { Err("it is not over this manifest".to_owned()) });
        if let Err(what) = what {
            self.found.tampered(Check::Trees, Place::file(MANIFEST_NOTE), what);
        }
    }
}
