//! Writing a pack, as a stream: each file is compressed as it comes, hashed, and noted in the
//! manifest, which is written last. The tree of each log is computed anew from the leaves.

use std::io::{Error, Result, Write};

use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use zip::write::{SimpleFileOptions, StreamWriter};
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::format::*;
use crate::base::{CustomerId, Digest, Instant, canonical, merkle_leaf, sha256};
use crate::evidence::{Checkpoint, Note, push_leaf, root_of_edge};

/// An entry as it goes into a pack.
#[derive(Debug, Clone)]
pub struct PackEntry {
    /// Leaf data.
    pub leaf: Vec<u8>,
    /// Nonce and record.
    pub record: (Digest, Value),
    /// Subjects with their nonce, where there are some that are not erased.
    pub subjects: Option<(Value, Digest)>,
}

struct File {
    name: String,
    length: u64,
    hash: Sha256,
}

struct OpenLog {
    part: LogPart,
    edge: Vec<Digest>,
}

/// Writes a pack.
pub struct PackWriter<W: Write> {
    zip: ZipWriter<StreamWriter<W>>,
    manifest: Manifest,
    file: Option<File>,
    log: Option<OpenLog>,
    heads: Vec<(PackLog, u32, Checkpoint)>,
    buffer: Vec<u8>,
}

impl<W: Write> std::fmt::Debug for PackWriter<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PackWriter").field("manifest", &self.manifest).finish_non_exhaustive()
    }
}

impl<W: Write> PackWriter<W> {
    /// Begins a pack of a customer's evidence.
    pub fn new(out: W, customer: CustomerId, made_at: Instant, period: Option<Period>) -> Self {
        let manifest = Manifest {
            format: FORMAT,
            product: env!("CARGO_PKG_VERSION").to_owned(),
            made_at,
            customer,
            logs: Vec::new(),
            period,
            left_out: LeftOut::default(),
            erased: Erased::default(),
            counts: std::collections::BTreeMap::new(),
            files: Vec::new(),
        };
        let zip = ZipWriter::new_stream(out);
        Self { zip, manifest, file: None, log: None, heads: Vec::new(), buffer: Vec::new() }
    }
    /// The manifest as it stands.
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Begins a file.
    ///
    /// # Errors
    /// When the output takes no more.
    pub fn begin(&mut self, name: &str) -> Result<()> {
        self.end()?;
        self.start(name)?;
        self.file = Some(File { name: name.to_owned(), length: 0, hash: Sha256::new() });
        Ok(())
    }
    fn start(&mut self, name: &str) -> Result<()> {
        // The same entries give the same bytes; a file of more than 4 GiB needs ZIP64, which is said ahead.
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .compression_level(Some(1))
            .last_modified_time(DateTime::default())
            .unix_permissions(0o644)
            .large_file(true);
        self.zip.start_file(name, options).map_err(Error::other)
    }
    /// Adds bytes to the file.
    ///
    /// # Errors
    /// When none was begun, or the output takes no more.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let file = self.file.as_mut().ok_or_else(|| Error::other("no file of the pack was begun"))?;
        file.length += bytes.len() as u64;
        file.hash.update(bytes);
        self.zip.write_all(bytes)
    }
    fn end(&mut self) -> Result<()> {
        if let Some(File { name, length, hash }) = self.file.take() {
            self.manifest.files.push(FilePart { name, length, sha256: Digest(hash.finalize().into()) });
        }
        if let Some(OpenLog { part, edge }) = self.log.take() {
            let checkpoint = Checkpoint { origin: part.origin.clone(), size: part.size, root: root_of_edge(&edge) };
            self.heads.push((part.log, part.epoch, checkpoint));
            self.manifest.logs.push(part);
        }
        Ok(())
    }

    /// Writes the public keys of the logs.
    ///
    /// # Errors
    /// When the output takes no more.
    pub fn keys(&mut self, keys: &[PackKey]) -> Result<()> {
        self.begin(KEYS)?;
        self.lines(keys)
    }
    fn lines<T: serde::Serialize>(&mut self, lines: &[T]) -> Result<()> {
        for line in lines {
            self.write(&[canonical(line), b"\n".to_vec()].concat())?;
        }
        Ok(())
    }

    /// Begins a log's epoch; its entries follow in order.
    ///
    /// # Errors
    /// When the output takes no more.
    pub fn begin_log(&mut self, log: PackLog, epoch: u32, origin: &str) -> Result<()> {
        self.begin(&log_file(log, epoch))?;
        let part = LogPart { log, epoch, origin: origin.to_owned(), size: 0 };
        self.log = Some(OpenLog { part, edge: Vec::new() });
        Ok(())
    }

    /// Adds an entry to the log.
    ///
    /// # Errors
    /// When the entry is not one, no log was begun, or the output takes no more.
    pub fn entry(&mut self, entry: &PackEntry) -> Result<()> {
        let leaf_text = std::str::from_utf8(&entry.leaf).map_err(Error::other)?;
        let leaf: Leaf<'_> = serde_json::from_str(leaf_text).map_err(Error::other)?;
        let log = self.log.as_mut().ok_or_else(|| Error::other("no log of the pack was begun"))?;
        push_leaf(&mut log.edge, log.part.size, merkle_leaf(&entry.leaf));
        log.part.size += 1;
        let node = *log.edge.last().ok_or_else(|| Error::other("a tree without a leaf"))?;
        let is_customers = log.part.log == PackLog::Customer;
        let left_out = is_customers && may_be_left_out(self.manifest.period, leaf.word, leaf.at);
        if is_customers {
            *self.manifest.counts.entry(leaf.word.to_owned()).or_default() += 1;
            self.manifest.left_out.records += u64::from(left_out);
            if entry.subjects.is_none() && !left_out && entry.record.1.get("subjects").is_some() {
                *self.manifest.erased.subjects.entry(leaf.word.to_owned()).or_default() += 1;
            }
        }
        let record = raw(&entry.record.1)?;
        let subjects = entry.subjects.as_ref().map(|(list, _)| raw(list)).transpose()?;
        let line = EntryLine {
            leaf: serde_json::from_str(leaf_text).map_err(Error::other)?,
            node,
            nonce: (!left_out).then_some(entry.record.0),
            record: (!left_out).then_some(&*record),
            subjects: subjects.as_deref().filter(|_| !left_out),
            subjects_nonce: entry.subjects.as_ref().map(|(_, nonce)| *nonce).filter(|_| !left_out),
        };
        let mut buffer = std::mem::take(&mut self.buffer);
        line.write(&mut buffer);
        let written = self.write(&buffer);
        self.buffer = buffer;
        written
    }

    /// Notes a document whose bytes were erased.
    pub const fn erased_document(&mut self) {
        self.manifest.erased.documents += 1;
    }
    /// Notes a document that the period leaves out.
    pub const fn left_out_document(&mut self) {
        self.manifest.left_out.documents += 1;
    }

    /// Ends the logs, and says where they stand.
    ///
    /// # Errors
    /// When the output takes no more.
    pub fn heads(&mut self) -> Result<&[(PackLog, u32, Checkpoint)]> {
        self.end()?;
        Ok(&self.heads)
    }

    /// Writes the checkpoints, each signed under its origin, and the manifest with its note; gives
    /// the manifest. `sign`: a name and a text.
    ///
    /// # Errors
    /// When nobody signs, or the output takes no more.
    pub fn finish(mut self, sign: impl Fn(&str, &str) -> Option<Note>) -> Result<(W, Manifest)> {
        let signed = |name: &str, text: &str| sign(name, text).ok_or_else(|| Error::other("nobody signs for the logs"));
        self.end()?;
        let mut checkpoints = Vec::new();
        for (log, epoch, checkpoint) in &self.heads {
            let note = signed(&checkpoint.origin, &checkpoint.to_string())?.to_string();
            checkpoints.push(PackCheckpoint { log: *log, epoch: *epoch, note });
        }
        self.begin(CHECKPOINTS)?;
        self.lines(&checkpoints)?;
        self.end()?;
        let bytes = canonical(&self.manifest);
        self.start(MANIFEST)?;
        self.zip.write_all(&bytes)?;
        self.start(MANIFEST_NOTE)?;
        let note = signed(MANIFEST_NAME, &manifest_text(self.manifest.customer, sha256(&[&bytes])))?;
        self.zip.write_all(note.to_string().as_bytes())?;
        let out = self.zip.finish().map_err(Error::other)?.into_inner();
        Ok((out, self.manifest))
    }
}

fn raw(value: &Value) -> Result<Box<RawValue>> {
    let text = String::from_utf8(canonical(value)).map_err(Error::other)?;
    RawValue::from_string(text).map_err(Error::other)
}
