//! The notary of the logs: signs checkpoints with the private keys this process was given, and
//! keeps the latest one of each log outside the database: before the answer, or for the gate within
//! 10 s. One size has one root: a second one is an alarm, kept as evidence, and no act is answered.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::appending::origin;
use super::checkpoint::Checkpoint;
use super::head::root;
use super::log::{head_by_id, head_of_name, heads};
use super::note::LogSigningKey;
use super::outside::{KeptCheckpoint, Outside};
use super::store::{begin_quarantine, root_at};
use crate::base::{Digest, Error, PageQuery, Result};
use crate::config::KeyFiles;
use crate::db::{CommittedHead, Db, LogId, Notary, Role, Standing};

/// How often the checkpoints of the gate's entries are kept.
const EVERY: Duration = Duration::from_secs(10);
/// Locks that keep two checkpoints of one log from being written at once.
const STRIPES: usize = 64;

/// The private keys of this process, and the folder of checkpoints.
#[derive(Debug)]
pub struct LogNotary {
    files: KeyFiles,
    first: Arc<LogSigningKey>,
    keys: RwLock<BTreeMap<String, Arc<LogSigningKey>>>,
    outside: Outside,
    /// What is to be kept within 10 s.
    behind: Mutex<BTreeMap<LogId, CommittedHead>>,
    /// What this process has kept or checked itself, by origin.
    known: Mutex<BTreeMap<String, (u64, Digest)>>,
    stripes: Vec<tokio::sync::Mutex<()>>,
}

fn read_key(path: &Path) -> Result<LogSigningKey> {
    LogSigningKey::from_pem(&std::fs::read(path).map_err(Error::internal)?)
}

impl LogNotary {
    /// Signs with one key only, in PKCS#8 PEM, and keeps checkpoints in this folder.
    ///
    /// # Errors
    /// When the bytes are not an Ed25519 key.
    pub fn from_pem(pem: &[u8], folder: &Path) -> Result<Self> {
        Self::of(vec![LogSigningKey::from_pem(pem)?], KeyFiles::default(), folder)
    }
    /// Signs with the keys of these files, and with those that are put beside them later.
    ///
    /// # Errors
    /// When there is none, or one is not an Ed25519 key.
    pub fn of_files(files: KeyFiles, folder: &Path) -> Result<Self> {
        let paths = files.paths().map_err(Error::internal)?;
        let keys = paths.iter().map(|path| read_key(path)).collect::<Result<_>>()?;
        Self::of(keys, files, folder)
    }
    fn of(keys: Vec<LogSigningKey>, files: KeyFiles, folder: &Path) -> Result<Self> {
        let keys: Vec<Arc<LogSigningKey>> = keys.into_iter().map(Arc::new).collect();
        let first = keys.first().cloned().ok_or_else(|| Error::internal("there is no file of a key of the logs"))?;
        let keys = keys.into_iter().map(|key| (key.kid(), key)).collect();
        let stripes = (0..STRIPES).map(|_| tokio::sync::Mutex::new(())).collect();
        let outside = Outside::new(folder);
        Ok(Self { files, first, keys: RwLock::new(keys), outside, behind: Mutex::default(), known: Mutex::default(), stripes })
    }
    /// The key with which an installation begins, when none ever signed.
    #[must_use]
    pub fn first(&self) -> &LogSigningKey {
        &self.first
    }
    /// The private key of this id, if this process has its file.
    #[must_use]
    pub fn key(&self, kid: &str) -> Option<Arc<LogSigningKey>> {
        let held = || self.keys.read().unwrap_or_else(PoisonError::into_inner).get(kid).cloned();
        held().or_else(|| {
            let found: Vec<_> = self.files.paths().unwrap_or_default().iter().filter_map(|path| read_key(path).ok()).collect();
            let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
            for key in found {
                keys.entry(key.kid()).or_insert_with(|| Arc::new(key));
            }
            drop(keys);
            held()
        })
    }
    /// The public halves of the keys that this process has read.
    #[must_use]
    pub fn public_keys(&self) -> Vec<[u8; 32]> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).values().map(|key| *key.public_key()).collect()
    }
    /// The folder of checkpoints.
    #[must_use]
    pub const fn outside(&self) -> &Outside {
        &self.outside
    }

    /// Keeps the checkpoint of one head, unless a later one of the same tree is kept.
    async fn keep_one(&self, db: &Db, standing: &Standing, kid: &str, head: &CommittedHead) -> Result<()> {
        if head.size == 0 {
            return Ok(());
        }
        let checkpoint = Checkpoint { origin: origin(&head.name, head.epoch), size: head.size, root: root(&head.edge) };
        let stripe = usize::from(head.log.0.as_bytes()[15]) % STRIPES;
        let _one_at_a_time = self.stripes[stripe].lock().await;
        if self.known_of(&checkpoint.origin) == Some((checkpoint.size, checkpoint.root)) {
            return Ok(());
        }
        let note = self.sign(kid, &checkpoint.origin, checkpoint.size, checkpoint.root);
        let note = note.ok_or_else(|| Error::internal("a checkpoint that cannot be signed"))?;
        let kept = KeptCheckpoint { checkpoint: note, system_identifier: standing.system_identifier.clone(), timeline: standing.timeline };
        let (outside, name) = (self.outside.clone(), checkpoint.origin.clone());
        let before = blocking(move || outside.latest(&name)).await?;
        let is_signed = before.as_ref().is_some_and(|before| self.has_signed(before, &checkpoint.origin));
        let before = before.map(|kept| kept.read()).transpose()?;
        // Asked each time: a database can be set back under a process that goes on.
        if let Some(before) = &before
            && let Some(cause) = contradiction(db, head, before, &checkpoint).await?
        {
            if is_signed {
                // Other processes, and the gate, hear of it by this.
                quarantine(db, head.log, &format!("{} at the size {}: {cause}", checkpoint.origin, checkpoint.size)).await?;
            }
            return Err(self.contradicted(&checkpoint, &kept, cause));
        }
        let outside = self.outside.clone();
        let written = checkpoint.clone();
        blocking(move || outside.keep(&written, &kept)).await?;
        let last = before.map(|before| (before.size, before.root)).filter(|(size, _)| *size > checkpoint.size);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(checkpoint.origin, last.unwrap_or((checkpoint.size, checkpoint.root)));
        Ok(())
    }

    /// True if one of this process's keys has signed it for this origin: what nobody signed puts no log in
    /// quarantine.
    fn has_signed(&self, kept: &KeptCheckpoint, origin: &str) -> bool {
        let verified = |note| Checkpoint::verified(&note, &self.public_keys()).is_ok_and(|checkpoint| checkpoint.origin == origin);
        kept.checkpoint.parse().is_ok_and(verified)
    }

    fn known_of(&self, origin: &str) -> Option<(u64, Digest)> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(origin).copied()
    }

    /// Raises the alarm of a log that contradicts its own checkpoint.
    fn contradicted(&self, checkpoint: &Checkpoint, kept: &KeptCheckpoint, cause: &'static str) -> Error {
        tracing::error!(origin = checkpoint.origin, size = checkpoint.size, cause, "ALARM: a log contradicts its checkpoint");
        metrics::counter!("log_contradictions_total").increment(1);
        if let Err(error) = self.outside.keep_contradiction(checkpoint, kept) {
            tracing::error!(cause = %error, "the contradicting checkpoint could not be kept");
        }
        Error::internal(cause)
    }

    /// Keeps what was noted, and the logs that commands write to beside the service.
    ///
    /// # Errors
    /// When the database does not answer; a checkpoint that is not kept is tried again.
    pub async fn keep_noted(&self, db: &Db) -> Result<()> {
        let mut noted = std::mem::take(&mut *self.behind.lock().unwrap_or_else(PoisonError::into_inner));
        let standing = db.standing().await;
        if let Ok(standing) = &standing {
            for name in ["registry", "processor"] {
                if let Ok(Some(head)) = head_of_name(db, name, 0).await {
                    noted.insert(head.log, head);
                }
            }
            if standing.kid.is_some() {
                for (log, head) in std::mem::take(&mut noted) {
                    if let Err(error) = self.keep(db, standing, vec![head.clone()]).await {
                        tracing::warn!(cause = %error, "a checkpoint was not kept outside the database");
                        noted.insert(log, head);
                    }
                }
            }
        }
        self.note(noted.into_values().collect());
        standing.map(drop)
    }

    /// Keeps the checkpoint of every log that has grown since its last one: at the start.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn keep_all(&self, db: &Db) -> Result<()> {
        let mut after = None;
        loop {
            let mut page = PageQuery::read(Some("100"), None, "logs", crate::base::Order::Id)?;
            page.after = after;
            let mut read = db.read(Role::OpsRead, "heads", LogId::REGISTRY).await?;
            let found = heads(read.conn(), &page).await?;
            drop(read);
            let Some(last) = found.last() else { break };
            after = Some(last.log.0);
            self.note(found);
            self.keep_noted(db).await?;
        }
        Ok(())
    }

    /// Sees to it that the checkpoints behind these receipts are kept: before an answer is repeated.
    ///
    /// # Errors
    /// When one is not kept.
    pub async fn keep_again(&self, db: &Db, receipts: &serde_json::Value) -> Result<()> {
        for receipt in receipts.as_array().into_iter().flatten() {
            let (Some(origin), Some(size)) = (receipt["origin"].as_str(), receipt["size"].as_u64()) else { continue };
            if self.known_of(origin).is_some_and(|(known, _)| known >= size) {
                continue;
            }
            let Some((name, epoch)) = origin.strip_prefix("mandate/").and_then(|rest| rest.rsplit_once('/')) else { continue };
            let epoch = epoch.parse().map_err(Error::internal)?;
            let standing = db.standing().await?;
            if let Some(head) = head_of_name(db, name, epoch).await? {
                self.keep(db, &standing, vec![head]).await?;
            }
        }
        Ok(())
    }
}

impl Notary for LogNotary {
    fn has_key(&self, kid: &str) -> bool {
        self.key(kid).is_some()
    }
    fn sign(&self, kid: &str, origin: &str, size: u64, root: Digest) -> Option<String> {
        let checkpoint = Checkpoint { origin: origin.to_owned(), size, root };
        Some(checkpoint.sign(&*self.key(kid)?)?.to_string())
    }
    fn keep<'n>(&'n self, db: &'n Db, standing: &'n Standing, heads: Vec<CommittedHead>) -> BoxFuture<'n, Result<()>> {
        Box::pin(async move {
            // Before the first key was published nothing can be signed.
            let Some(kid) = &standing.kid else { return Ok(()) };
            for head in &heads {
                self.keep_one(db, standing, kid, head).await?;
            }
            Ok(())
        })
    }
    fn note(&self, heads: Vec<CommittedHead>) {
        let mut behind = self.behind.lock().unwrap_or_else(PoisonError::into_inner);
        for head in heads {
            let is_later = |noted: &CommittedHead| (noted.epoch, noted.size) >= (head.epoch, head.size);
            if !behind.get(&head.log).is_some_and(is_later) {
                behind.insert(head.log, head);
            }
        }
    }
}

/// The signed checkpoint of a log as it is committed now, with its head. What goes out is first compared with
/// what was kept before: a log that was changed has no say. `None`: no key was published yet.
///
/// # Errors
/// When the database does not answer, or the log does not continue what was kept.
pub async fn signed_head(db: &Db, log: LogId) -> Result<Option<(CommittedHead, String)>> {
    let standing = db.standing().await?;
    let (Some(kid), Some(notary)) = (&standing.kid, db.notary()) else { return Ok(None) };
    let mut read = db.read(Role::Worker, "signed_head", log).await?;
    let head = head_by_id(read.conn(), log).await?;
    drop(read);
    notary.keep(db, &standing, vec![head.clone()]).await?;
    let note = notary.sign(kid, &origin(&head.name, head.epoch), head.size, root(&head.edge));
    Ok(Some((head, note.ok_or_else(|| Error::internal("a checkpoint that cannot be signed"))?)))
}

/// What is wrong between a log and a checkpoint that somebody else kept, if anything is.
async fn contradiction(db: &Db, head: &CommittedHead, before: &Checkpoint, now: &Checkpoint) -> Result<Option<&'static str>> {
    if before.size == now.size {
        return Ok((before.root != now.root).then_some("one size of a log has two roots"));
    }
    Ok(match root_at(db, head.log, head.epoch, before.size).await? {
        None => Some("a log is shorter than its checkpoint"),
        Some(root) if root != before.root => Some("a log does not continue its checkpoint"),
        Some(_) => None,
    })
}

/// A log that contradicts what was kept of it records nothing more, until operations have looked at it.
async fn quarantine(db: &Db, log: LogId, cause: &str) -> Result<()> {
    let mut tx = db.housekeeping(Role::Ops, "quarantine", log).await?;
    let now = tx.now();
    begin_quarantine(tx.conn(), log, cause, now).await?;
    tx.commit_housekeeping().await?;
    metrics::counter!("log_quarantines_total").increment(1);
    Ok(())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)?
}

/// Keeps the checkpoints of what the gate has recorded, every 10 s, until told to stop; then once more.
pub async fn run_notary(notary: Arc<LogNotary>, db: Db, stop: CancellationToken) {
    loop {
        // Only the pause is cut short, never the work before it.
        let ends = tokio::select! {
            () = stop.cancelled() => true,
            () = tokio::time::sleep(EVERY) => false,
        };
        if let Err(error) = notary.keep_noted(&db).await {
            tracing::warn!(cause = %error, "checkpoints were not kept outside the database");
        }
        if ends {
            return;
        }
    }
}
