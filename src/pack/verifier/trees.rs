//! Check 1 and check 4: who signs for the logs, that every checkpoint is the root of the leaves that
//! are there, and that those which the customer kept are a beginning of them.

use std::io::{Read, Seek};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Verification;
use super::archive::Archive;
use super::decisions;
use super::finding::{Check, Place};
use super::leaves;
use super::stream;
use crate::base::sha256;
use crate::evidence::{Checkpoint, Note, NoteKey};
use crate::pack::format::*;

/// A checkpoint of the pack: where it stands, the note, and what it says.
pub(super) type Signed = (PackLog, u32, Note, Checkpoint);

fn public_key(text: &str) -> Option<[u8; 32]> {
    let key: [u8; 32] = STANDARD.decode(text).ok()?.try_into().ok()?;
    (STANDARD.encode(key) == text).then_some(key)
}

impl Verification<'_> {
    /// The public keys: of a form, and the given one among them.
    pub(super) fn keys<R: Read + Seek>(&mut self, archive: &mut Archive<R>, manifest: &Manifest) -> Option<Vec<[u8; 32]>> {
        let bytes = self.listed(archive, manifest, KEYS)?;
        let place = Place::file(KEYS);
        let mut keys = Vec::new();
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let read = serde_json::from_slice::<PackKey>(line).ok();
            let key = read.as_ref().and_then(|key| public_key(&key.public_key).filter(|bytes| sha256(&[bytes]).to_string() == key.kid));
            let Some(key) = key else { return self.unreadable(place, "a line is no public key of the logs") };
            keys.push(key);
        }
        if keys.is_empty() {
            return self.unreadable(place, "it holds no key: nobody has signed for this pack");
        }
        if self.options.key.is_some_and(|given| !keys.contains(&given)) {
            return self.unreadable(place, "the given key is none of those that sign for these logs");
        }
        Some(keys)
    }

    /// The text of a note that one of the keys has signed under a name; under the given key, if one is.
    pub(super) fn signed(&self, bytes: &[u8], name: &str, keys: &[[u8; 32]]) -> Result<String, String> {
        let note: Note = std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()).ok_or("it is no signed note")?;
        let keys = self.options.key.map_or_else(|| keys.to_vec(), |given| vec![given]);
        let keys: Vec<NoteKey> = keys.iter().filter_map(|key| NoteKey::new(name, *key)).collect();
        note.verify(&keys).map(str::to_owned).map_err(|fault| fault.to_string())
    }

    /// Reads the checkpoints, signed or not.
    pub(super) fn checkpoints<R: Read + Seek>(&mut self, archive: &mut Archive<R>, manifest: &Manifest) -> Option<Vec<Signed>> {
        let bytes = self.listed(archive, manifest, CHECKPOINTS)?;
        let mut all = Vec::new();
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let read = || {
                let PackCheckpoint { log, epoch, note } = serde_json::from_slice(line).ok()?;
                let note: Note = note.parse().ok()?;
                let checkpoint = Checkpoint::of(&note).ok()?;
                Some((log, epoch, note, checkpoint))
            };
            let Some(read) = read() else { return self.unreadable(Place::file(CHECKPOINTS), "a line is no checkpoint") };
            all.push(read);
        }
        Some(all)
    }

    /// Asks the first passage for the root of every size that a checkpoint speaks of.
    pub(super) fn wanted(&mut self, manifest: &Manifest, checkpoints: &[Signed]) {
        let roots = &mut self.gathered.roots;
        roots.extend(checkpoints.iter().map(|(log, epoch, _, checkpoint)| ((*log, *epoch, checkpoint.size), None)));
        for checkpoint in self.options.pinned.iter().filter_map(|note| Checkpoint::of(note).ok()) {
            let part = manifest.logs.iter().find(|part| part.origin == checkpoint.origin);
            roots.extend(part.map(|part| ((part.log, part.epoch, checkpoint.size), None)));
        }
    }

    /// The first passage over a log.
    pub(super) fn first_passage<R: Read + Seek>(&mut self, archive: &mut Archive<R>, manifest: &Manifest, part: &LogPart) {
        let name = log_file(part.log, part.epoch);
        // What is missing has been said.
        if !archive.names().contains(&name) {
            return;
        }
        let Self { found, gathered, progress, passed, total, .. } = self;
        let read = archive.file(&name).and_then(|mut file| {
            let mut passage = leaves::Passage { part, period: manifest.period, found, gathered };
            let more = |bytes| {
                *passed += bytes;
                progress(*passed, *total);
            };
            let ((), error) = stream::lines(&mut file, more, |lines| passage.run(lines));
            error.map_or_else(|| file.end(), Err).map_err(|error| format!("it cannot be read: {error}"))
        });
        match read {
            Ok((length, sha256)) => self.as_listed(manifest, &name, length, sha256),
            Err(what) => {
                self.gathered.sizes.remove(&(part.log, part.epoch));
                self.found.undecided(Check::Form, Place::file(&name), what);
            }
        }
    }

    /// True if every epoch of a log was read to its end: of less than that nothing is said.
    pub(super) fn is_whole(&self, manifest: &Manifest, log: PackLog) -> bool {
        let mut parts = manifest.logs.iter().filter(|part| part.log == log);
        parts.all(|part| self.gathered.sizes.contains_key(&(part.log, part.epoch)))
    }

    /// Check 1: every checkpoint is signed and is the root of its leaves; the keys are those that the
    /// registry's log has published.
    pub(super) fn trees(&mut self, manifest: &Manifest, keys: &[[u8; 32]], checkpoints: &[Signed]) {
        for part in &manifest.logs {
            let place = Place::log(part.log, part.epoch);
            let held = self.gathered.sizes.get(&(part.log, part.epoch)).copied();
            if held.is_some_and(|held| held != part.size) {
                let what = format!("the manifest counts {} entries, and there are {}", part.size, held.unwrap_or(0));
                self.found.tampered(Check::Trees, Place { index: held, ..place.clone() }, what);
            }
            let of_part = || checkpoints.iter().filter(|(log, epoch, ..)| (*log, *epoch) == (part.log, part.epoch));
            for (.., note, checkpoint) in of_part() {
                if let Err(what) = self.checkpoint(part, note, checkpoint, keys) {
                    self.found.tampered(Check::Trees, place.clone(), what);
                }
            }
            let latest = of_part().map(|(.., checkpoint)| checkpoint.size).max();
            match (latest, held) {
                (None, _) => self.found.undecided(Check::Trees, place, "no checkpoint of it is signed"),
                (Some(latest), Some(held)) if latest < held => {
                    let what = format!("its checkpoint is of {latest} entries, and there are {held}: an older head");
                    self.found.tampered(Check::Trees, Place { index: Some(latest), ..place }, what);
                }
                _ => {}
            }
        }
        if checkpoints.iter().any(|(log, epoch, ..)| !manifest.logs.iter().any(|part| (part.log, part.epoch) == (*log, *epoch))) {
            self.found.tampered(Check::Trees, Place::file(CHECKPOINTS), "it speaks of a log that the pack does not hold");
        }
        self.epochs(manifest);
        let published: Vec<Option<[u8; 32]>> = self.gathered.keys.iter().map(|key| public_key(&key.public_key)).collect();
        if self.is_whole(manifest, PackLog::Registry) && published != keys.iter().map(|key| Some(*key)).collect::<Vec<_>>() {
            self.found.tampered(Check::Trees, Place::file(KEYS), "its keys are not those that the registry's log has published");
        }
    }

    /// Every later epoch begins with an opening, and one of them says how each earlier epoch ended: with
    /// these leaves, and with which checkpoint known.
    fn epochs(&mut self, manifest: &Manifest) {
        for part in &manifest.logs {
            let (log, epoch) = (part.log, part.epoch);
            let Some(held) = self.gathered.sizes.get(&(log, epoch)).copied() else { continue };
            if epoch > 1 && held > 0 && !self.gathered.opened.contains_key(&(log, epoch)) {
                self.found.tampered(Check::Trees, Place::entry(log, epoch, 0), "the epoch does not begin with its opening");
            }
            let is_last = !manifest.logs.iter().any(|other| other.log == log && other.epoch > epoch);
            let root = self.gathered.roots.get(&(log, epoch, held)).copied().flatten();
            let what = match self.gathered.ended(log, epoch) {
                None if is_last => continue,
                None => "it ended, and no opening of a later epoch says how",
                Some(told) if told.size != held || Some(told.root) != root || !told.is_consistent() => {
                    "the opening of a later epoch says otherwise how it ended"
                }
                Some(_) => continue,
            };
            self.found.tampered(Check::Trees, Place { index: Some(held), ..Place::log(log, epoch) }, what);
        }
    }

    fn checkpoint(&self, part: &LogPart, note: &Note, checkpoint: &Checkpoint, keys: &[[u8; 32]]) -> Result<(), String> {
        self.signed(note.to_string().as_bytes(), &part.origin, keys).map_err(|what| format!("its checkpoint does not hold: {what}"))?;
        if checkpoint.origin != part.origin {
            return Err(format!("its checkpoint is of {}", checkpoint.origin));
        }
        let signer = |kid: &String| {
            let key = keys.iter().find(|key| sha256(&[&key[..]]).to_string() == *kid);
            let key = key.and_then(|key| NoteKey::new(&part.origin, *key));
            key.is_some_and(|key| note.signatures().iter().any(|signature| signature.hash == key.hash()))
        };
        if self.gathered.withdrawn.iter().any(signer) {
            return Err("its checkpoint is signed by a key that was withdrawn".to_owned());
        }
        match self.gathered.roots.get(&(part.log, part.epoch, checkpoint.size)) {
            Some(Some(root)) if *root == checkpoint.root => Ok(()),
            _ if !self.gathered.sizes.contains_key(&(part.log, part.epoch)) => Ok(()),
            Some(Some(_)) => Err(format!("the root of its first {} entries is not the one that was signed", checkpoint.size)),
            _ => Err(format!("its checkpoint is of {} entries, and some of them are missing", checkpoint.size)),
        }
    }

    /// Check 4: every checkpoint that the customer kept is a beginning of its log.
    pub(super) fn pinned(&mut self, manifest: &Manifest) {
        for note in &self.options.pinned {
            let Ok(checkpoint) = Checkpoint::of(note) else {
                self.found.undecided(Check::Pinned, Place::default(), "a pinned file is no checkpoint");
                continue;
            };
            let Some(part) = manifest.logs.iter().find(|part| part.origin == checkpoint.origin) else {
                let what = format!("a pinned checkpoint is of {}, which is no log of this pack", checkpoint.origin);
                self.found.undecided(Check::Pinned, Place::default(), what);
                continue;
            };
            let keys: Vec<[u8; 32]> = self.gathered.keys.iter().filter_map(|key| public_key(&key.public_key)).collect();
            let place = Place::log(part.log, part.epoch);
            if let Err(fault) = Checkpoint::verified(note, &keys) {
                let what = format!("the pinned checkpoint of {} entries is not of these keys: {fault}", checkpoint.size);
                self.found.undecided(Check::Pinned, place, what);
                continue;
            }
            let held = self.gathered.sizes.get(&(part.log, part.epoch)).copied();
            // What could not be read was said.
            let Some(held) = held else { continue };
            let root = self.gathered.roots.get(&(part.log, part.epoch, checkpoint.size)).copied().flatten();
            if root == Some(checkpoint.root) {
                continue;
            }
            let told = self.gathered.ended(part.log, part.epoch).filter(|ended| ended.is_missing(checkpoint.size.saturating_sub(1)));
            if let Some((known, (from, _))) = told.and_then(|ended| ended.known.zip(ended.missing)) {
                // What was lost was told, and up to what was kept.
                if (known.size, known.root) == (checkpoint.size, checkpoint.root) {
                    continue;
                }
                if known.size > checkpoint.size {
                    let size = checkpoint.size;
                    let what = format!(
                        "a checkpoint that was kept is of {size} entries; those from {from} on were lost in a restore, as the next epoch says"
                    );
                    self.found.undecided(Check::Pinned, place, what);
                    continue;
                }
            }
            let what = match root {
                Some(_) => format!("its first {} entries are not those of the checkpoint that was kept", checkpoint.size),
                None => format!("the checkpoint that was kept is of {} entries, and here are fewer", checkpoint.size),
            };
            self.found.tampered(Check::Pinned, Place { index: Some(checkpoint.size.min(held)), ..place }, what);
        }
    }

    /// Checks 5 and 6.
    pub(super) fn second_passage<R: Read + Seek>(&mut self, archive: &mut Archive<R>, manifest: &Manifest) {
        if !self.found.asks(Check::Decisions) && !self.found.asks(Check::Mandates) {
            return;
        }
        let began = std::time::Instant::now();
        let Self { found, gathered, progress, passed, total, .. } = self;
        let mut more = |bytes| {
            *passed += bytes;
            progress(*passed, *total);
        };
        let mut registry = Vec::new();
        for part in manifest.logs.iter().filter(|part| part.log == PackLog::Registry) {
            // What cannot be read was said at the first passage.
            let Ok(file) = archive.file(&log_file(part.log, part.epoch)) else { return };
            let (read, _) = stream::lines(file, &mut more, |lines| decisions::registry_events(part.epoch, lines, &mut registry));
            if let Err(index) = read {
                let place = Place::entry(part.log, part.epoch, index);
                return found.undecided(Check::Decisions, place, "its record does not have the shape of its type");
            }
        }
        let mut passage = decisions::Passage::new(found, gathered, &registry);
        for part in manifest.logs.iter().filter(|part| part.log == PackLog::Customer) {
            let Ok(file) = archive.file(&log_file(part.log, part.epoch)) else { return };
            stream::lines(file, &mut more, |lines| passage.run(part.epoch, lines));
        }
        self.decided = passage.decided;
        self.deciding = began.elapsed();
    }
}
