//! The gate at work, in the order that makes it right: registry lock, head lock, facts and `now`,
//! decide, apply to the facts in memory, insert, commit. A refusal is a result and is committed
//! like a permit; what is signed is signed after the commit. Deciding many requests in one
//! transaction needs no change here but a longer list of asks.

use super::decide::{
    Considered, Decision, Grant, Presented, Refusal, View, decide_again, decide_export, decide_redemption, may_abort, may_complete,
};
use super::permit::{PermitClaims, claims};
use super::store::{self, NewExport, Selection};
use crate::app::App;
use crate::base::{CustomerId, Digest, Error, ExportId, Reference, Result, Selector, Volume, random32, to_value};
use crate::db::{Lock, LogId, Role, WriteTx};
use crate::evidence::{
    Applied, DecisionRecord, Event, ExportFacts, ExportRequest, Facts, GateKey, GrantRecord, NewEntry, Outcome, RULES, Receipt,
    RegistryFacts, StoredEntry, answered, append, apply, finish, head_of,
};
use crate::identity::PlatformCaller;

/// How long a permit can be redeemed, in seconds.
const PERMIT_SECONDS: i64 = 300;

/// What a platform asks.
pub(super) enum Ask {
    /// May this leave? `dry_run`: answer without issuing.
    Export { request: Box<ExportRequest>, dry_run: bool },
    /// This permit is used now; `None`: its signature is not ours.
    Redeem { export: ExportId, presented: Option<Box<PermitClaims>> },
    /// This is what was delivered.
    Complete { export: ExportId, delivered: Volume, sha256: Digest },
    /// Nothing more will be delivered.
    Abort { export: ExportId, delivered: Volume },
}

impl Ask {
    const fn route(&self) -> &'static str {
        match self {
            Self::Export { .. } => "exports",
            Self::Redeem { .. } => "redemptions",
            Self::Complete { .. } => "completions",
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

/// What the gate answers, before anything is signed.
pub(super) enum Answer {
    Permitted { grant: Grant, claims: Box<PermitClaims>, receipt: Receipt, again: bool },
    WouldPermit { record: Box<DecisionRecord>, receipt: Receipt, again: bool },
    Redeemed { export: Box<ExportFacts>, except: Vec<Selector>, receipt: Receipt, again: bool },
    Refused { refusal: Refusal, receipt: Receipt, again: bool },
    Reported { export: ExportId, event: Box<Event>, receipt: Receipt, again: bool },
}

/// Answers one ask of one customer.
///
/// # Errors
/// [`Error::Invalid`] when the key was used for another request; [`Error::NotFound`] and
/// [`Error::Conflict`] for reports about exports that are not there or not in that state.
pub(super) async fn answer(app: &App, customer: CustomerId, asked: &Asked) -> Result<Answer> {
    let tx = app.db.write(Role::Gate, "gate", Lock::RegistryShared, customer.into(), &[]).await?;
    let mut batch = Batch { tx, customer, facts: Facts::default(), registry: RegistryFacts::default(), registry_at: (0, 0) };
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
            (Ask::Export { request, dry_run }, None) => self.export(app, asked, request, *dry_run).await,
            (Ask::Redeem { export, presented }, None) => self.redemption(asked, *export, presented.as_deref(), None).await,
            (Ask::Complete { .. } | Ask::Abort { .. }, None) => self.report(asked).await,
            (_, Some(stored)) => self.again(asked, &stored).await,
        }
    }

    /// Reads the facts: after the locks, so that every earlier commit is in them.
    async fn load(&mut self, asked: &Asked, stored: Option<&StoredEntry>) -> Result<()> {
        let selection = match (&asked.ask, stored.map(StoredEntry::event).transpose()?) {
            (Ask::Export { request, .. }, Some(Event::ExportPermitted { grant, .. })) => Selection::of(request, Some(grant.export)),
            (Ask::Export { request, .. }, _) => Selection::of(request, None),
            (Ask::Redeem { export, .. } | Ask::Complete { export, .. } | Ask::Abort { export, .. }, _) => {
                Selection { terms: Some((asked.caller.platform.clone(), vec!["kind:restriction".to_owned()])), own: Some(*export) }
            }
        };
        let now = self.tx.now();
        self.registry = crate::registry::codes(self.tx.conn()).await?;
        self.registry_at = head_of(self.tx.conn(), LogId::REGISTRY).await?;
        self.facts = store::facts(self.tx.conn(), self.customer, &selection, now).await?;
        Ok(())
    }

    fn view(&self) -> View<'_> {
        View { customer: &self.facts, registry: &self.registry }
    }

    fn record(&self, asked: &Asked, request: &ExportRequest, considered: &Considered, again_of: Option<u64>) -> DecisionRecord {
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
            again_of,
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
        let epoch = self.tx.head(self.customer.into())?.epoch;
        let receipt = append(&mut self.tx, &entry).await?;
        let epoch = u32::try_from(epoch).map_err(Error::internal)?;
        apply(&mut self.facts, Applied { epoch, index: receipt.index, event: &entry.event, subjects });
        Ok(receipt)
    }

    async fn export(&mut self, app: &App, asked: &Asked, request: &ExportRequest, dry_run: bool) -> Result<Answer> {
        let now = self.tx.now();
        let considered = decide_export(request, self.view(), now);
        let decision = self.record(asked, request, &considered, None);
        let subjects = Some(request.subjects.as_slice());
        if dry_run {
            let event = Event::ExportTried { decision: decision.clone() };
            let receipt = self.append(asked, asked.caller.key, event, subjects, true).await?;
            return Ok(match considered.decision {
                Decision::Allow(_) => Answer::WouldPermit { record: Box::new(decision), receipt, again: false },
                Decision::Refuse(refusal) => Answer::Refused { refusal, receipt, again: false },
            });
        }
        let grant = match considered.decision {
            Decision::Refuse(refusal) => {
                let receipt = self.append(asked, asked.caller.key, Event::ExportRefused { decision }, subjects, true).await?;
                return Ok(Answer::Refused { refusal, receipt, again: false });
            }
            Decision::Allow(grant) => grant,
        };
        let (agreement, agreement_version) = grant.agreement();
        let granted = GrantRecord {
            export: self.tx.fresh(),
            instruction: grant.instruction(),
            document_sha256: grant.document_sha256(),
            agreement,
            agreement_version,
            selectors_salt: Digest(random32(self.tx.entropy())),
            day: grant.day(),
            issued_at: now,
            expires_at: now.plus(chrono::Duration::seconds(PERMIT_SECONDS)),
        };
        let epoch = self.tx.head(self.customer.into())?.epoch;
        let event = Event::ExportPermitted { decision, grant: granted.clone() };
        let receipt = self.append(asked, granted.export, event, subjects, true).await?;
        let claims = claims(&grant, &granted, app.permits.issuer(), self.customer, request, &receipt);
        let row = NewExport { customer: self.customer, request, grant: &granted, claims: &claims, epoch, decided_at: now };
        store::insert(self.tx.conn(), &row).await?;
        Ok(Answer::Permitted { grant, claims: Box::new(claims), receipt, again: false })
    }

    /// `first`: the entry that answered this key before.
    async fn redemption(
        &mut self,
        asked: &Asked,
        id: ExportId,
        presented: Option<&PermitClaims>,
        first: Option<&StoredEntry>,
    ) -> Result<Answer> {
        let export = self.facts.exports.get(&id).cloned().ok_or(Error::NotFound)?;
        let intact = presented == Some(&store::permit(self.tx.conn(), self.customer, id).await?);
        let mut request = export.request.clone();
        request.subjects = store::kept(export.subjects.as_ref());
        let by = &asked.caller.platform;
        let permit = Presented { export: id, by, intact, first_at: first.map(|s| s.at) };
        let considered = decide_redemption(&permit, &request, self.view(), self.tx.now());
        let decision = self.record(asked, &request, &considered, first.map(|s| s.index));
        match (considered.decision, first) {
            (Decision::Allow(grant), None) => {
                let event = Event::ExportRedeemed { export: id, presented_by: by.clone(), decision };
                let receipt = self.append(asked, id, event, None, true).await?;
                let now = self.tx.now();
                store::redeem(self.tx.conn(), self.customer, &export, now).await?;
                Ok(Answer::Redeemed { export: Box::new(export), except: grant.except().to_vec(), receipt, again: false })
            }
            (Decision::Allow(grant), Some(first)) => {
                let receipt = first.receipt(&self.customer.to_string());
                Ok(Answer::Redeemed { export: Box::new(export), except: grant.except().to_vec(), receipt, again: true })
            }
            (Decision::Refuse(refusal), first) => {
                let event = Event::RedemptionRefused { export: id, presented_by: by.clone(), intact, decision };
                let receipt = self.append(asked, id, event, None, first.is_none()).await?;
                Ok(Answer::Refused { refusal, receipt, again: false })
            }
        }
    }

    async fn report(&mut self, asked: &Asked) -> Result<Answer> {
        let (Ask::Complete { export: id, .. } | Ask::Abort { export: id, .. }) = &asked.ask else {
            return Err(Error::internal("a report is of a completion or an abortion"));
        };
        let export = self.facts.exports.get(id).ok_or(Error::NotFound)?;
        let asked_for = export.request.volume;
        let (event, completed) = match &asked.ask {
            Ask::Complete { delivered, sha256, .. } => {
                may_complete(export)?;
                let over = over(&asked_for, delivered);
                (Event::ExportCompleted { export: *id, delivered: *delivered, sha256: *sha256, over }, true)
            }
            Ask::Abort { delivered, .. } => {
                may_abort(export)?;
                (Event::ExportAborted { export: *id, delivered: *delivered }, false)
            }
            _ => return Err(Error::internal("a report is of a completion or an abortion")),
        };
        let receipt = self.append(asked, id, event.clone(), None, true).await?;
        let now = self.tx.now();
        let report = to_value(&event).get("record").cloned().unwrap_or_default();
        store::close(self.tx.conn(), self.customer, *id, completed, &report, now).await?;
        Ok(Answer::Reported { export: *id, event: Box::new(event), receipt, again: false })
    }

    /// The same key again: a refusal repeats; an allowance only while it would still be given.
    async fn again(&mut self, asked: &Asked, stored: &StoredEntry) -> Result<Answer> {
        let receipt = stored.receipt(&self.customer.to_string());
        match (stored.event()?, &asked.ask) {
            (Event::ExportRefused { decision } | Event::RedemptionRefused { decision, .. }, _) => refused_again(decision, receipt),
            (Event::ExportTried { decision }, _) if decision.outcome != Outcome::Allowed => refused_again(decision, receipt),
            (Event::ExportTried { decision }, _) => Ok(Answer::WouldPermit { record: Box::new(decision), receipt, again: true }),
            (Event::ExportPermitted { grant, .. }, Ask::Export { request, .. }) => self.permit_again(asked, request, &grant, stored).await,
            (Event::ExportRedeemed { .. }, Ask::Redeem { export, presented }) => {
                self.redemption(asked, *export, presented.as_deref(), Some(stored)).await
            }
            (event @ (Event::ExportCompleted { export, .. } | Event::ExportAborted { export, .. }), _) => {
                Ok(Answer::Reported { export, event: Box::new(event), receipt, again: true })
            }
            _ => Err(Error::internal("an entry of another kind answers this key")),
        }
    }

    async fn permit_again(
        &mut self,
        asked: &Asked,
        request: &ExportRequest,
        granted: &GrantRecord,
        stored: &StoredEntry,
    ) -> Result<Answer> {
        let considered = decide_again(granted.export, stored.at, request, self.view(), self.tx.now());
        match considered.decision {
            Decision::Allow(grant) => {
                let claims = store::permit(self.tx.conn(), self.customer, granted.export).await?;
                let receipt = stored.receipt(&self.customer.to_string());
                Ok(Answer::Permitted { grant, claims: Box::new(claims), receipt, again: true })
            }
            Decision::Refuse(ref refusal) => {
                let refusal = refusal.clone();
                let decision = self.record(asked, request, &considered, Some(stored.index));
                let event = Event::ExportRefused { decision };
                let receipt = self.append(asked, granted.export, event, Some(&request.subjects), false).await?;
                Ok(Answer::Refused { refusal, receipt, again: false })
            }
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

/// The dimensions in which more was delivered than permitted.
fn over(permitted: &Volume, delivered: &Volume) -> std::collections::BTreeSet<String> {
    let both = permitted.parts().into_iter().zip(delivered.parts());
    both.filter(|((_, most), (_, given))| given.unwrap_or(0) > most.unwrap_or(u64::MAX)).map(|((name, _), _)| name.to_owned()).collect()
}
