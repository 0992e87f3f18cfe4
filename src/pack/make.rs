//! Making a pack, as slow work: the logs as they stand when it begins, read in steps of a transaction
//! each, compressed as they come. An entry never changes; only an erasure takes something away, so
//! a pack during which one was recorded is begun again.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use futures_util::future::BoxFuture;

use super::format::*;
use super::write::{PackEntry, PackWriter};
use crate::app::App;
use crate::base::{Digest, DocumentId, Error, Instant, Result, from_value};
use crate::db::{CommittedHead, LogId, Role};
use crate::document::{PART, document_part};
use crate::evidence::{Event, StoredEntry, entries, head_by_id, origin, root_of_edge};
use crate::http::{Access, CustomerRole, Json, Route, routes as http};
use crate::identity::InstitutionCaller;
use crate::operation::{Accepted, Finished, OperationView, Running, Work, begin};

const KIND: &str = "evidence-pack";
/// The slow work of this feature.
pub const WORK: (&str, Work) = (KIND, make);
/// Entries that are read at a time: one may name thousands of subjects.
const STEP: usize = 100;
/// Bytes of the archive that are stored at a time.
const STORED: usize = 1024 * 1024;
/// Types of entries that say something was erased.
const ERASURES: [&str; 2] = ["subjects.erased", "document.erased"];

/// The routes of packs.
#[must_use]
pub fn routes() -> Vec<Route> {
    vec![Route::new(Access::institution(CustomerRole::ALL), http!(create_pack))]
}

crate::request! {
    /// A pack of the customer's evidence.
    pub struct NewPack {
        /// The first instant of the period to which refusals, dry runs and documents are limited; absent with
        /// `until_at`: all of them.
        from_at: Option<Instant>,
        /// The first instant after it.
        until_at: Option<Instant>,
    }
}

/// Asks for a pack: the customer's evidence as one file.
///
/// It is verified with `mandate verify`, without the service. It holds every entry, and every record
/// that carries state; a period limits only refusals, dry runs and the bytes of documents. The answer
/// is an operation that shows progress and then the result.
#[utoipa::path(post, path = "/api/v1/evidence/packs", request_body = NewPack,
    responses((status = 202, body = OperationView, description = "Accepted; Location is the operation.")))]
async fn create_pack(State(app): State<App>, caller: InstitutionCaller, Json(new): Json<NewPack>) -> Result<Accepted> {
    let mut tx = app.db.housekeeping(Role::App, "create_pack", caller.log()).await?;
    let period = match (new.from_at, new.until_at) {
        (None, None) => None,
        (Some(from_at), Some(until_at)) if from_at < until_at => Some(Period { from_at, until_at }),
        (Some(_), Some(_)) => return Err(Error::invalid("from_at", "range", "must lie before until_at")),
        (None, Some(_)) => return Err(Error::invalid("from_at", "required", "is required with until_at")),
        (Some(_), None) => return Err(Error::invalid("until_at", "required", "is required with from_at")),
    };
    let view = begin(&app, &mut tx, &caller, KIND, serde_json::json!({"period": period})).await?;
    tx.commit_effect().await?;
    Ok(Accepted(view))
}

#[derive(serde::Deserialize)]
struct Asked {
    period: Option<Period>,
}

fn make<'a>(app: &'a App, running: &'a mut Running) -> BoxFuture<'a, Result<Finished>> {
    Box::pin(async move {
        let Asked { period } = from_value(&running.request).map_err(Error::internal)?;
        let customer = LogId::from(running.customer);
        let mut read = app.db.read(Role::Worker, "pack_heads", customer).await?;
        // The registry last: it holds at least what any decision in the customer's log has seen.
        let own = head_by_id(read.conn(), customer).await?;
        let registry = head_by_id(read.conn(), LogId::REGISTRY).await?;
        let made_at = read.now();
        drop(read);
        let signing = app.db.standing().await?.kid.and_then(|kid| app.notary.key(&kid));
        let signing = signing.ok_or(Error::Unavailable { retry_after: 5, cause: "the key of the logs is not here" })?;
        running.expect(app, i64::try_from(own.size + registry.size).map_err(Error::internal)?).await?;

        let sink = Sink::default();
        let writer = PackWriter::new(sink.clone(), running.customer, made_at, period);
        let mut making =
            Making { app, running, sink, writer: Some(writer), period, done: 0, documents: BTreeMap::new(), erased: BTreeMap::new() };
        let keys = making.keys(&registry).await?;
        making.with(move |writer| writer.keys(&keys)).await?;
        making.log(PackLog::Registry, &registry).await?;
        making.log(PackLog::Customer, &own).await?;
        making.heads([&registry, &own]).await?;
        making.documents().await?;
        making.nothing_erased_since(&own).await?;
        let writer = making.writer.take().ok_or_else(|| Error::internal("a pack without its writer"))?;
        let finish = move || writer.finish(|name, text| signing.sign(name, text)).map(|_| ());
        tokio::task::spawn_blocking(finish).await.map_err(Error::internal)?.map_err(Error::internal)?;
        making.store(1).await?;
        Ok(Finished { media_type: "application/zip" })
    })
}

/// Where the archive's bytes wait until they are stored.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    fn take(&self, at_least: usize) -> Vec<u8> {
        let mut bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes.len() < at_least { Vec::new() } else { std::mem::take(&mut *bytes) }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct StoredDocument {
    id: DocumentId,
    sha256: Digest,
    length: u64,
    at: Instant,
}

struct Making<'a> {
    app: &'a App,
    running: &'a mut Running,
    sink: Sink,
    writer: Option<PackWriter<Sink>>,
    period: Option<Period>,
    done: i64,
    /// Those last stored with their bytes, by these.
    documents: BTreeMap<Digest, StoredDocument>,
    erased: BTreeMap<Digest, DocumentId>,
}

impl Making<'_> {
    /// Does something with the writer where compressing keeps nobody waiting, and stores what came of it.
    async fn with(&mut self, work: impl FnOnce(&mut PackWriter<Sink>) -> std::io::Result<()> + Send + 'static) -> Result<()> {
        let mut writer = self.writer.take().ok_or_else(|| Error::internal("a pack without its writer"))?;
        let done = tokio::task::spawn_blocking(move || work(&mut writer).map(|()| writer)).await.map_err(Error::internal)?;
        self.writer = Some(done.map_err(Error::internal)?);
        self.store(STORED).await
    }

    async fn store(&mut self, at_least: usize) -> Result<()> {
        let bytes = self.sink.take(at_least);
        for part in bytes.chunks(STORED) {
            self.running.write(self.app, part, self.done).await?;
        }
        Ok(())
    }

    /// Entries of a log from a place on, as far as its head.
    async fn entries(&self, head: &CommittedHead, from: (u32, u64), words: Option<&[String]>) -> Result<Vec<StoredEntry>> {
        let mut read = self.app.db.read(Role::Worker, "pack_entries", LogId::from(self.running.customer)).await?;
        let limit = i64::try_from(STEP).map_err(Error::internal)?;
        let mut found = entries(read.conn(), head.log, from, limit, words).await?;
        let epoch = u32::try_from(head.epoch).map_err(Error::internal)?;
        found.retain(|entry| (entry.epoch, entry.index) < (epoch, head.size));
        Ok(found)
    }

    /// The public keys that the registry has published.
    async fn keys(&self, registry: &CommittedHead) -> Result<Vec<PackKey>> {
        let words = ["log_key.published".to_owned()];
        let (mut from, mut keys) = ((1, 0), Vec::new());
        loop {
            let found = self.entries(registry, from, Some(&words)).await?;
            let Some(last) = found.last() else { return Ok(keys) };
            from = (last.epoch, last.index + 1);
            for entry in &found {
                keys.push(from_value(&entry.record).map_err(Error::internal)?);
            }
        }
    }

    /// Writes all epochs of a log.
    async fn log(&mut self, log: PackLog, head: &CommittedHead) -> Result<()> {
        for epoch in 1..=u32::try_from(head.epoch).map_err(Error::internal)? {
            let name = origin(&head.name, epoch);
            self.with(move |writer| writer.begin_log(log, epoch, &name)).await?;
            let mut index = 0;
            loop {
                let mut found = self.entries(head, (epoch, index), None).await?;
                found.retain(|entry| entry.epoch == epoch);
                let Some(last) = found.last() else { break };
                index = last.index + 1;
                self.done += i64::try_from(found.len()).map_err(Error::internal)?;
                if log == PackLog::Customer {
                    found.iter().try_for_each(|entry| self.remember(entry))?;
                }
                let packed: Vec<PackEntry> = found.into_iter().map(packed).collect();
                self.with(move |writer| packed.iter().try_for_each(|entry| writer.entry(entry))).await?;
            }
        }
        Ok(())
    }

    fn remember(&mut self, entry: &StoredEntry) -> Result<()> {
        match entry.word.as_str() {
            "document.stored" => {
                if let Event::DocumentStored { document: id, sha256, length, .. } = entry.event()? {
                    self.documents.insert(sha256, StoredDocument { id, sha256, length, at: entry.at });
                }
            }
            "document.erased" => {
                if let Event::DocumentErased { document, document_sha256, .. } = entry.event()? {
                    self.erased.insert(document_sha256, document);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The leaves give the heads of the database, or there is no pack: fsck says more.
    async fn heads(&mut self, heads: [&CommittedHead; 2]) -> Result<()> {
        let expected = heads.map(|head| (origin(&head.name, head.epoch), head.size, root_of_edge(&head.edge)));
        self.with(move |writer| {
            let written: Vec<_> = writer.heads()?.iter().map(|(.., c)| (c.origin.clone(), c.size, c.root)).collect();
            let fits = expected.iter().all(|head| written.contains(head));
            if fits { Ok(()) } else { Err(std::io::Error::other("the entries of a log do not give its head")) }
        })
        .await
    }

    async fn documents(&mut self) -> Result<()> {
        for (sha256, document) in std::mem::take(&mut self.documents) {
            let erased = self.erased.get(&sha256).copied();
            if erased.is_some() {
                self.with(|writer| {
                    writer.erased_document();
                    Ok(())
                })
                .await?;
            }
            // Bytes that were erased may be there again, as another document.
            if erased == Some(document.id) {
                continue;
            }
            if self.period.is_some_and(|period| !period.holds(document.at)) {
                self.with(|writer| {
                    writer.left_out_document();
                    Ok(())
                })
                .await?;
            } else {
                self.document(&document).await?;
            }
        }
        Ok(())
    }

    async fn document(&mut self, document: &StoredDocument) -> Result<()> {
        let name = document_file(document.sha256);
        self.with(move |writer| writer.begin(&name)).await?;
        let customer = self.running.customer;
        let parts = i32::try_from(document.length.div_ceil(PART as u64)).map_err(Error::internal)?;
        for part in 0..parts {
            let mut read = self.app.db.read(Role::Worker, "pack_document", customer.into()).await?;
            let bytes = document_part(read.conn(), customer, document.id, part).await?;
            drop(read);
            self.with(move |writer| writer.write(&bytes)).await?;
        }
        Ok(())
    }

    async fn nothing_erased_since(&self, own: &CommittedHead) -> Result<()> {
        let words = ERASURES.map(str::to_owned);
        let mut read = self.app.db.read(Role::Worker, "pack_erasures", own.log).await?;
        let from = (u32::try_from(own.epoch).map_err(Error::internal)?, own.size);
        let found = entries(read.conn(), own.log, from, 1, Some(&words)).await?;
        if found.is_empty() { Ok(()) } else { Err(Error::Unavailable { retry_after: 1, cause: "something was erased meanwhile" }) }
    }
}

fn packed(entry: StoredEntry) -> PackEntry {
    PackEntry { leaf: entry.leaf, record: (entry.nonce, entry.record), subjects: entry.subjects }
}
