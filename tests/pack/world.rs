//! A customer's history, made by the gate's own decisions on facts in memory: nothing of it needs a
//! database, and every decision comes out the same when it is decided again.

use std::collections::BTreeSet;

use base64::Engine as _;
use chrono::Duration;
use mandate::base::*;
use mandate::evidence::*;
use mandate::export::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::contents::{Contents, Entry, key};

pub fn id<T: TypedId>(number: u64) -> T {
    T::from(Uuid::from_u128(0x0190_a0b0_c0d0_7000_8000_0000_0000_0000 + u128::from(number)))
}
fn code(text: &str) -> Code {
    text.parse().unwrap()
}
fn codes(list: &[&str]) -> BTreeSet<Code> {
    list.iter().map(|text| code(text)).collect()
}

/// The member who has authority, the one who has none, and what is signed.
pub const KARI: u64 = 1;
pub const JONAS: u64 = 2;
pub const AGREEMENT: u64 = 10;
pub const STANDING: u64 = 20;
pub const ONCE: u64 = 21;
pub const RESTRICTION: u64 = 22;

/// A history as it grows. Every entry is handed on; it keeps the facts only.
pub struct World<S: FnMut(bool, Entry)> {
    pub now: Instant,
    pub facts: Facts,
    registry_facts: RegistryFacts,
    registry_size: u64,
    size: u64,
    number: u64,
    sink: S,
}

impl<S: FnMut(bool, Entry)> World<S> {
    /// Begins a history; `sink` takes each entry, and whether it is the registry's.
    pub fn new(sink: S) -> Self {
        let now = "2026-09-01T08:00:00.000Z".parse().unwrap();
        let (facts, registry_facts) = (Facts::default(), RegistryFacts::default());
        let mut world = Self { now, facts, registry_facts, registry_size: 0, size: 0, number: 0, sink };
        world.registry();
        world
    }

    fn fresh(&mut self) -> u64 {
        self.number += 1;
        1_000 + self.number
    }
    fn in_registry(&mut self, event: Event) {
        let number = self.fresh();
        apply_registry(&mut self.registry_facts, &event);
        self.registry_size += 1;
        (self.sink)(true, Entry::new(number, self.now, &event, None));
    }
    /// Appends an entry to the customer's log, a second later.
    pub fn append(&mut self, event: &Event, subjects: Option<&[Selector]>) -> u64 {
        let number = self.fresh();
        let index = self.size;
        apply(&mut self.facts, Applied { epoch: 1, index, event, subjects });
        self.size += 1;
        let list = subjects.map(|list| serde_json::to_value(list).unwrap());
        (self.sink)(false, Entry::new(number, self.now, event, list));
        self.now = self.now.plus(Duration::seconds(1));
        index
    }

    fn registry(&mut self) {
        let key = key();
        let public_key = base64::engine::general_purpose::STANDARD.encode(key.public_key());
        self.in_registry(Event::LogKeyPublished { kid: key.kid(), public_key });
        self.in_registry(Event::LogKeyActivated { kid: key.kid(), before: None });
        self.in_registry(Event::PlatformRegistered { platform: code("itslearning") });
        for (list, rows) in [
            ("purposes", json!([{"code": "archiving", "rule": "allowed"}, {"code": "marketing", "rule": "prohibited"}])),
            ("data-categories", json!([{"code": "identity", "special": false}, {"code": "health", "special": true}])),
            ("channels", json!([{"platform": "itslearning", "code": "organisation-api"}])),
            ("eea-membership", json!([{"country": "NO", "from_on": "1994-01-01", "until_on": null}])),
        ] {
            self.in_registry(Event::ReferenceLoaded { list: list.to_owned(), sha256: sha256(&[list.as_bytes()]), rows });
        }
        self.in_registry(Event::PermitKeyPublished { kid: "permits".to_owned(), public_key: json!({"kty": "EC"}) });
        self.in_registry(Event::PermitKeyActivated { kid: "permits".to_owned() });
    }

    /// A document's entry; gives its hash.
    pub fn document(&mut self, number: u64, bytes: &[u8]) -> Digest {
        let sha256 = sha256(&[bytes]);
        let media_type = "text/plain".to_owned();
        self.append(&Event::DocumentStored { document: id(number), sha256, length: bytes.len() as u64, media_type }, None);
        sha256
    }

    /// The customer, its people, its agreement.
    pub fn customer(&mut self, document: &[u8]) {
        self.append(
            &Event::CustomerRegistered {
                name: "Nordvik kommune".parse().unwrap(),
                kind: "municipality".to_owned(),
                country: code("NO"),
                zone: "Europe/Oslo".to_owned(),
                language: code("nb"),
                privacy_contacts: Vec::new(),
                second_contacts: Vec::new(),
            },
            None,
        );
        for (member, person) in [(KARI, 101), (JONAS, 102)] {
            let role = "customer_admin".to_owned();
            self.append(&Event::MembershipBegan { membership: id(member), person: id(person), role, until_on: None }, None);
        }
        for kind in ["agreement", "export", "restriction"] {
            let begins_at = self.now;
            self.append(&Event::AuthorityGranted { membership: id(KARI), kind: kind.to_owned(), units: None, begins_at }, None);
        }
        let document_sha256 = self.document(30, document);
        let terms = AgreementTerms {
            zone: chrono_tz::Europe::Oslo,
            residency: Residency::EeaOnly(EeaOnly::EeaOnly),
            purposes: codes(&["archiving"]),
            data_categories: codes(&["identity", "health"]),
        };
        let accepted = Event::AgreementAccepted {
            agreement: id(AGREEMENT),
            version: 1,
            membership: id(KARI),
            platform: code("itslearning"),
            external_id: "nordvik".parse().unwrap(),
            document_sha256,
            terms,
            in_force_from_at: self.now,
            in_force_until_at: None,
        };
        self.append(&accepted, None);
    }

    /// Signs an instruction for these subjects.
    pub fn sign(&mut self, number: u64, kind: InstructionKind, once: bool, document_sha256: Digest, subjects: &[Selector]) {
        let per_day = (number == STANDING).then_some(Volume { rows: Some(1_000_000_000), files: None, bytes: None });
        let scope = Scope {
            platforms: codes(&["itslearning"]),
            channels: codes(&["organisation-api"]),
            purposes: codes(&["archiving"]),
            data_categories: codes(&["identity"]),
            recipients: vec![recipient()],
            volume: VolumeLimits { per_export: None, per_day, total: None },
            once,
            valid_from_at: None,
            valid_until_at: None,
        };
        let signed = Event::InstructionSigned {
            instruction: id(number),
            version: 1,
            kind,
            scope,
            valid_from_at: self.now,
            valid_until_at: None,
            document: id(31),
            document_sha256,
            membership: id(KARI),
        };
        self.append(&signed, Some(subjects));
    }

    pub fn request(&self, purpose: &str, subject: u64) -> ExportRequest {
        let unit = Some(if subject.is_multiple_of(2) { "S01" } else { "S02" }.parse().unwrap());
        let reference = format!("pupil-{subject}").parse().unwrap();
        ExportRequest {
            platform: code("itslearning"),
            channel: code("organisation-api"),
            purpose: code(purpose),
            data_categories: codes(&["identity"]),
            subjects: vec![Selector::Subject { reference, unit, groups: BTreeSet::new() }],
            recipient: recipient(),
            engagement: None,
            volume: Volume { rows: Some(100), files: None, bytes: None },
            requested_by: RequestedBy { kind: RequesterKind::Job, reference: "nightly".parse().unwrap() },
        }
    }
    fn decision(&self, request: &ExportRequest, considered: &Considered, again_of: Option<u64>) -> DecisionRecord {
        let outcome = match &considered.decision {
            Decision::Allow(_) => Outcome::Allowed,
            Decision::Refuse(refusal) => Outcome::Refused { reasons: refusal.reasons.clone(), more_candidates: refusal.more_candidates },
        };
        DecisionRecord {
            request: request.clone(),
            customer_named: "nordvik".parse().unwrap(),
            api_key: id(3),
            rules: RULES,
            now: self.now,
            registry_epoch: 1,
            registry_size: self.registry_size,
            candidates: considered.candidates.clone(),
            subject_verdict: considered.subject_verdict.clone(),
            again_of,
            again_of_epoch: None,
            outcome,
        }
    }
    fn view(&self) -> View<'_> {
        View { customer: &self.facts, registry: &self.registry_facts, recorded: None }
    }

    /// Asks the gate for an export; gives it when it is permitted, and the entry's index.
    pub fn ask(&mut self, request: &ExportRequest, dry_run: bool, again: Option<(u64, ExportId, Instant)>) -> (Option<ExportId>, u64) {
        let considered = match again {
            None => decide_export(request, self.view(), self.now),
            Some((_, export, first_at)) => decide_again(export, first_at, request, self.view(), self.now),
        };
        let decision = self.decision(request, &considered, again.map(|(index, ..)| index));
        let (export, event) = match &considered.decision {
            _ if dry_run => (None, Event::ExportTried { decision }),
            Decision::Refuse(_) => (None, Event::ExportRefused { decision }),
            Decision::Allow(grant) => {
                let export = id(self.fresh());
                let grant = GrantRecord {
                    export,
                    instruction: grant.instruction(),
                    document_sha256: grant.document_sha256(),
                    agreement: grant.agreement().0,
                    agreement_version: grant.agreement().1,
                    selectors_salt: Digest([7; 32]),
                    day: grant.day(),
                    issued_at: self.now,
                    expires_at: self.now.plus(Duration::seconds(300)),
                };
                (Some(export), Event::ExportPermitted { decision, grant })
            }
        };
        (export, self.append(&event, Some(&request.subjects.clone())))
    }

    fn own_request(&self, export: ExportId) -> ExportRequest {
        let own = &self.facts.exports[&export];
        ExportRequest { subjects: own.subjects.clone().unwrap_or_default(), ..own.request.clone() }
    }

    /// Presents a permit; true when it is redeemed.
    pub fn redeem(&mut self, export: ExportId) -> bool {
        let (request, by, kid) = (self.own_request(export), code("itslearning"), Some("permits".to_owned()));
        let presented = Presented { export, by: &by, intact: true, kid: kid.as_deref(), first_at: None };
        let considered = decide_redemption(&presented, &request, self.view(), self.now);
        let decision = self.decision(&request, &considered, None);
        let redeemed = decision.outcome == Outcome::Allowed;
        let event = if redeemed {
            Event::ExportRedeemed { export, presented_by: by, kid, decision }
        } else {
            Event::RedemptionRefused { export, presented_by: by, intact: true, kid, decision }
        };
        self.append(&event, None);
        redeemed
    }

    /// Asks for a chunk.
    pub fn chunk(&mut self, export: ExportId, number: u32) {
        let (request, by) = (self.own_request(export), code("itslearning"));
        let volume = Volume { rows: Some(50), files: None, bytes: None };
        let asked = Chunk { export, by: &by, number, volume, first_at: None };
        let considered = decide_chunk(&asked, &request, self.view(), self.now);
        let decision = self.decision(&request, &considered, None);
        let chunk = ChunkRecord { chunk_no: number, volume, last: None };
        let event = match &considered.decision {
            Decision::Allow(_) => Event::ChunkAuthorised { export, chunk, decision },
            Decision::Refuse(refusal) => {
                Event::ChunkRefused { export, chunk, stops: stops(&self.facts.exports[&export], refusal), decision }
            }
        };
        self.append(&event, None);
    }

    /// Reports completion.
    pub fn complete(&mut self, export: ExportId, rows: u64) {
        let delivered = Volume { rows: Some(rows), files: None, bytes: None };
        let reconciled = Some(reconcile(&self.facts.exports[&export], Closed::Completed, &delivered));
        self.append(&Event::ExportCompleted { export, delivered, sha256: Digest([3; 32]), over: BTreeSet::new(), reconciled }, None);
    }

    /// An ordinary export from its permit to its completion, and a refusal beside it: six entries.
    pub fn day(&mut self, number: u64) {
        let request = self.request("archiving", number);
        let export = self.ask(&request, false, None).0.unwrap();
        self.redeem(export);
        self.chunk(export, 1);
        self.chunk(export, 2);
        self.complete(export, 100);
        let refused = self.request(if number.is_multiple_of(2) { "marketing" } else { "elsewhere" }, number);
        self.ask(&refused, false, None);
    }
}

fn recipient() -> Recipient {
    Recipient {
        legal_entity: "Nordvik arkivtjeneste IKS".parse().unwrap(),
        country: code("NO"),
        role: code("archive"),
        transfer_ground: None,
    }
}

pub const AGREED: &[u8] = b"The agreement between the institution and the processor.";
pub const WRITTEN: &[u8] = b"Hand out what is to be archived to the archive.";
pub const GONE: &[u8] = b"A letter that was erased.";

/// A small history in which everything happens once.
pub fn everything() -> Contents {
    let (mut registry, mut log) = (Vec::new(), Vec::new());
    let mut w = World::new(|is_registry, entry| if is_registry { registry.push(entry) } else { log.push(entry) });
    w.customer(AGREED);
    let written = w.document(31, WRITTEN);
    w.document(32, GONE);
    w.sign(STANDING, InstructionKind::Export, false, written, &[Selector::Whole]);
    w.sign(ONCE, InstructionKind::Export, true, written, &[Selector::Whole]);
    w.sign(RESTRICTION, InstructionKind::Restriction, false, written, &[w.request("archiving", 66).subjects[0].clone()]);
    // The one-time instruction is used first, then held by nobody and exhausted.
    w.day(1);
    w.day(2);
    w.ask(&w.request("archiving", 66), false, None);
    w.ask(&w.request("archiving", 3), true, None);
    // Asked again too late.
    let request = w.request("archiving", 4);
    let first_at = w.now;
    let (export, index) = w.ask(&request, false, None);
    w.now = w.now.plus(Duration::seconds(301));
    w.ask(&request, false, Some((index, export.unwrap(), first_at)));
    // A permit that has expired, an export that is revoked under way, and one that is never heard of.
    w.redeem(export.unwrap());
    let running = w.ask(&w.request("archiving", 5), false, None).0.unwrap();
    w.redeem(running);
    w.chunk(running, 1);
    w.append(&Event::AuthorityEnded { membership: id(KARI), kind: "agreement".to_owned() }, None);
    w.append(&Event::InstructionRevoked { instruction: id(STANDING), membership: id(KARI) }, None);
    w.chunk(running, 2);
    w.ask(&w.request("archiving", 7), false, None);
    w.now = w.now.plus(Duration::hours(40));
    let reconciled = reconcile(&w.facts.exports[&running], Closed::Swept, &Volume::default());
    w.append(&Event::ExportSwept { export: running, reconciled }, None);
    let ground = code("gdpr-17");
    w.append(&Event::DocumentErased { document: id(32), document_sha256: sha256(&[GONE]), ground: ground.clone() }, None);
    let erased: Vec<(u32, u64)> = vec![(1, erased_index())];
    w.append(&Event::SubjectsErased { entries: erased, ground }, None);
    drop(w);
    let at = usize::try_from(erased_index()).unwrap();
    assert!(log[at].subjects.is_some() && log[at].word == "export.permitted", "{}", log[at].word);
    log[at].subjects = None;
    let documents = [AGREED, WRITTEN].map(|bytes| (sha256(&[bytes]), bytes.to_vec())).to_vec();
    Contents { customer: id(500), registry, log, documents, period: None }
}

/// The permit whose subjects were erased.
pub const fn erased_index() -> u64 {
    13
}

/// The entries of a type, by place.
pub fn places(contents: &Contents, word: &str) -> Vec<usize> {
    (0..contents.log.len()).filter(|at| contents.log[*at].word == word).collect()
}

/// A value in a record, for changing it.
pub fn member<'v>(record: &'v mut Value, pointer: &str) -> &'v mut Value {
    record.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}"))
}
