//! The gate at work, in the order that makes it right: registry lock, head lock, facts and `now`,
//! decide, apply to the facts in memory, insert, commit. A refusal is a result and is committed
//! like a permit; what is signed is signed after the commit. Deciding many requests in one
//! transaction needs no change here but a longer list of asks.

mod chunk;
mod issue;
mod notice;
mod redemption;
mod report;
mod sweep;

use std::sync::Arc;

use super::decide::{Considered, Decision, Grant, Refusal, View};
use super::keys::SigningKey;
use super::permit::PermitClaims;
use super::store::{self, Selection};
use super::verify::SignedPermit;
use crate::app::App;
use crate::base::{CustomerId, Digest, Error, ExportId, Reference, Result, Selector, Volume};
use crate::db::{Lock, LogId, Role, WriteTx};
use crate::evidence::{
    Applied, CompletionRecord, DecisionRecord, Event, ExportFacts, ExportRequest, Facts, GateKey, NewEntry, Outcome, RULES, Receipt,
    RegistryFacts, RequestedBy, SINGLE_CHUNK, StoredEntry, answered, append, apply, finish, head_of,
};
use crate::identity::PlatformCaller;

pub(super) use chunk::AskedChunk;
pub(super) use report::Delivered;
pub use sweep::{run_sweep, sweep};

/// How an export is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// A permit, to be redeemed and handed out in chunks.
    Chunked,
    /// A permit, redeemed at once, with its only chunk authorised.
    Single,
    /// Answered without issuing.
    DryRun,
}

/// What a platform asks.
pub(super) enum Ask {
    /// May this leave?
    Export { request: Box<ExportRequest>, mode: Mode },
    /// This permit is used now; `None`: its signature is not ours.
    Redeem { export: ExportId, presented: Option<Box<SignedPermit>> },
    /// May this part of it leave now?
    Chunk { export: ExportId, chunk: AskedChunk },
    /// This is what was delivered.
    Complete(Delivered),
    /// This is what was delivered of many exports of one customer.
    CompleteMany(Vec<Delivered>),
    /// Nothing more will be delivered.
    Abort { export: ExportId, delivered: Volume },
}

impl Ask {
    const fn route(&self) -> &'static str {
        match self {
            Self::Export { .. } => "exports",
            Self::Redeem { .. } => "redemptions",
            Self::Chunk { .. } => "chunks",
            Self::Complete(_) => "completions",
            Self::CompleteMany(_) => "export-completions",
            Self::Abort { .. } => "abortions",
        }
    }
}

/// An ask with who asks it, under which key.
pub(super) struct Asked {
    pub caller: PlatformCaller,
    /// The customer as the platform named it.
    pub customer_named: Reference,
    pub ask: Ask,
    /// SHA-256 of the idempotency key and of the canonical request.
    pub hashes: (Digest, Digest),
}

/// What the gate answers, before anything is signed. `void`: a restore had ended the export.
pub(super) enum Answer {
    Permitted { grant: Grant, claims: Box<PermitClaims>, key: Arc<SigningKey>, single: bool, receipt: Receipt, again: bool },
    WouldPermit { record: Box<DecisionRecord>, receipt: Receipt, again: bool },
    Redeemed { export: Box<ExportFacts>, except: Vec<Selector>, receipt: Receipt, again: bool },
    ChunkAuthorised { export: ExportId, chunk_no: u32, except: Vec<Selector>, receipt: Receipt, again: bool, unstated: Unstated },
    Refused { refusal: Refusal, receipt: Receipt, again: bool },
    Reported { export: ExportId, event: Box<Event>, void: bool, receipt: Receipt, again: bool },
    ReportedMany { completions: Vec<CompletionRecord>, receipt: Receipt },
}

/// Who asked for an export and its chunk's rows, where the request stated none.
pub(super) type Unstated = Option<(RequestedBy, u64)>;

/// Answers one ask of one customer.
///
/// # Errors
/// [`Error::Invalid`] when the key was used for another request; [`Error::NotFound`] and
/// [`Error::Conflict`] for reports about exports that are not there or not in that state.
pub(super) async fn answer(app: &App, customer: CustomerId, asked: &Asked) -> Result<Answer> {
    let mut tx = app.db.write(Role::Gate, "gate", Lock::RegistryShared, customer.into(), &[]).await?;
    let epoch = u32::try_from(tx.head(customer.into())?.epoch).map_err(Error::internal)?;
    let mut batch = Batch { tx, customer, facts: Facts::default(), registry: RegistryFacts::default(), registry_at: (0, 0), epoch };
    let answer = batch.answer(app, asked).await?;
    if batch.tx.has_entries() {
        finish(batch.tx).await?;
    }
    super::touch::answered(app, customer, asked, &answer);
    Ok(answer)
}

struct Batch {
    tx: WriteTx,
    customer: CustomerId,
    facts: Facts,
    registry: RegistryFacts,
    registry_at: (u32, u64),
    /// The present epoch of the customer's log.
    epoch: u32,
}

impl Batch {
    async fn answer(&mut self, app: &App, asked: &Asked) -> Result<Answer> {
        let log = LogId::from(self.customer);
        let stored = answered(self.tx.conn(), log, &asked.caller.platform, asked.ask.route(), asked.hashes.0).await?;
        if stored.as_ref().is_some_and(|s| s.request_hash != Some(asked.hashes.1)) {
            return Err(Error::invalid("Idempotency-Key", "key_reused", "was used for another request"));
        }
        self.load(asked, stored.as_ref()).await?;
        match (&asked.ask, stored) {
            (Ask::Export { request, mode }, None) => self.export(app, asked, request, *mode).await,
            (Ask::Redeem { export, presented }, None) => self.redemption(asked, *export, presented.as_deref(), None).await,
            (Ask::Chunk { export, chunk }, None) => self.chunk(asked, *export, chunk, None).await,
            (Ask::Complete(_) | Ask::Abort { .. }, None) => self.report(asked).await,
            (Ask::CompleteMany(reports), None) => self.reports(asked, reports).await,
            (_, Some(stored)) => self.again(app, asked, &stored).await,
        }
    }

    /// Reads the facts: after the locks, so that every earlier commit is in them.
    async fn load(&mut self, asked: &Asked, stored: Option<&StoredEntry>) -> Result<()> {
        let platform = &asked.caller.platform;
        let selection = match (&asked.ask, stored.map(StoredEntry::event).transpose()?) {
            (Ask::Export { request, .. }, Some(Event::ExportPermitted { grant, .. } | Event::ExportPermittedSingle { grant, .. })) => {
                Selection::of(request, Some(grant.export)).and_chunk(SINGLE_CHUNK)
            }
            (Ask::Export { request, .. }, _) => Selection::of(request, None),
            (Ask::Redeem { export, .. }, _) => Selection::permitted(platform, vec![*export]),
            (Ask::Chunk { export, chunk }, _) => Selection::permitted(platform, vec![*export]).and_chunk(chunk.number),
            (Ask::Complete(Delivered { export, .. }) | Ask::Abort { export, .. }, _) => Selection::only(vec![*export]),
            (Ask::CompleteMany(reports), _) => Selection::only(reports.iter().map(|r| r.export).collect()),
        };
        let now = self.tx.now();
        self.registry = crate::registry::codes(self.tx.conn()).await?;
        self.registry_at = head_of(self.tx.conn(), LogId::REGISTRY).await?;
        self.facts = store::facts(self.tx.conn(), self.customer, &selection, now).await?;
        Ok(())
    }

    /// The key that signs, as the registry says under its lock; without its file here, another
    /// process must answer.
    fn signing_key(&self, app: &App) -> Result<Arc<SigningKey>> {
        let key = self.registry.active_permit_key().and_then(|kid| app.permits.key(kid));
        key.ok_or(Error::Unavailable { retry_after: 5, cause: "no permit key" })
    }

    fn view(&self) -> View<'_> {
        View { customer: &self.facts, registry: &self.registry, recorded: None }
    }

    fn record(&self, asked: &Asked, request: &ExportRequest, considered: &Considered, first: Option<&StoredEntry>) -> DecisionRecord {
        let outcome = match &considered.decision {
            Decision::Allow(_) => Outcome::Allowed,
            Decision::Refuse(refusal) => Outcome::Refused { reasons: refusal.reasons.clone(), more_candidates: refusal.more_candidates },
        };
        DecisionRecord {
            request: request.clone(),
            customer_named: asked.customer_named.clone(),
            api_key: asked.caller.key,
            rules: RULES,
            now: self.tx.now(),
            registry_epoch: self.registry_at.0,
            registry_size: self.registry_at.1,
            candidates: considered.candidates.clone(),
            subject_verdict: considered.subject_verdict.clone(),
            again_of: first.map(|first| first.index),
            again_of_epoch: first.map(|first| first.epoch).filter(|epoch| *epoch != self.epoch),
            outcome,
        }
    }

    /// Appends the entry and takes it into the facts, as replay will.
    async fn append(
        &mut self,
        asked: &Asked,
        object: impl std::fmt::Display,
        event: Event,
        subjects: Option<&[Selector]>,
        first: bool,
    ) -> Result<Receipt> {
        let key = GateKey { platform: asked.caller.platform.clone(), route: asked.ask.route(), hashes: first.then_some(asked.hashes) };
        let mut entry = NewEntry::new(self.customer, object, &asked.caller.actor(), event).at_gate(key);
        entry.subjects = subjects.map(<[Selector]>::to_vec);
        let receipt = append(&mut self.tx, &entry).await?;
        apply(&mut self.facts, Applied { epoch: self.epoch, index: receipt.index, event: &entry.event, subjects });
        Ok(receipt)
    }

    /// The same key again: a refusal repeats; an allowance only while it would still be given.
    async fn again(&mut self, app: &App, asked: &Asked, stored: &StoredEntry) -> Result<Answer> {
        let receipt = stored.receipt(&self.customer.to_string());
        match (stored.event()?, &asked.ask) {
            (Event::ExportRefused { decision } | Event::RedemptionRefused { decision, .. } | Event::ChunkRefused { decision, .. }, _) => {
                refused_again(decision, receipt)
            }
            (Event::ExportTried { decision }, _) if decision.outcome != Outcome::Allowed => refused_again(decision, receipt),
            (Event::ExportTried { decision }, Ask::Export { request, .. }) => self.tried_again(asked, request, decision, stored).await,
            (Event::ExportPermitted { grant, .. }, Ask::Export { request, .. }) => {
                self.permit_again(app, asked, request, &grant, false, stored).await
            }
            (Event::ExportPermittedSingle { grant, .. }, Ask::Export { request, .. }) => {
                self.permit_again(app, asked, request, &grant, true, stored).await
            }
            (Event::ExportRedeemed { .. }, Ask::Redeem { export, presented }) => {
                self.redemption(asked, *export, presented.as_deref(), Some(stored)).await
            }
            (Event::ChunkAuthorised { .. }, Ask::Chunk { export, chunk }) => self.chunk(asked, *export, chunk, Some(stored)).await,
            (
                event @ (Event::ExportCompleted { export, .. }
                | Event::ExportAborted { export, .. }
                | Event::ExportReportedLate { export, .. }),
                _,
            ) => Ok(Answer::Reported { export, event: Box::new(event), void: self.is_void(export), receipt, again: true }),
            (Event::ExportsCompleted { completions }, _) => Ok(Answer::ReportedMany { completions, receipt }),
            _ => Err(Error::internal("an entry of another kind answers this key")),
        }
    }
}

fn refused_again(decision: DecisionRecord, receipt: Receipt) -> Result<Answer> {
    match decision.outcome {
        Outcome::Refused { reasons, more_candidates } => {
            Ok(Answer::Refused { refusal: Refusal { reasons, more_candidates }, receipt, again: true })
        }
        Outcome::Allowed => Err(Error::internal("a refusal without reasons")),
    }
}
