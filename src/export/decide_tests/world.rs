//! A small world of facts for the tests of the decision: one customer with one agreement on
//! itslearning, one export instruction that covers one request, and the real code lists.
//! A test starts from a request that is permitted and changes one thing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::LazyLock;

use chrono::Duration;
use uuid::Uuid;

use crate::base::{
    AgreementId, Code, Digest, ExportId, Instant, InstructionId, InstructionKind, Note, Recipient, Reference, Scope, Selector, TypedId,
    Volume, VolumeLimits,
};
use crate::evidence::{
    AgreementFacts, AgreementTerms, Channel, Closed, EeaOnly, ExportFacts, ExportRequest, Facts, GrantRecord, InstructionFacts,
    InstructionRef, Membership, Reason, RegistryFacts, RequestedBy, RequesterKind, Residency, Used, VersionFacts,
};
use crate::export::chunk::{Chunk, decide_chunk};
use crate::export::decide::{Considered, Decision, Grant, Presented, View, decide_again, decide_export, decide_redemption};

/// The agreement in force, the instruction that covers, a restriction, a suspension and an export.
pub const AGR: u128 = 1;
pub const INS: u128 = 10;
pub const RES: u128 = 50;
pub const SUS: u128 = 70;
pub const EXP: u128 = 90;

pub fn id<T: TypedId>(n: u128) -> T {
    T::from(Uuid::from_u128(n))
}
pub fn at(text: &str) -> Instant {
    text.parse().unwrap()
}
pub fn code(text: &str) -> Code {
    text.parse().unwrap()
}
pub fn codes(list: &[&str]) -> BTreeSet<Code> {
    list.iter().map(|c| code(c)).collect()
}
pub fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}
pub fn unit(unit: &str) -> Selector {
    Selector::Unit { unit: reference(unit) }
}
pub fn group(unit: &str, group: &str) -> Selector {
    Selector::Group { unit: reference(unit), group: reference(group) }
}
pub fn subject(name: &str, unit: Option<&str>, groups: &[&str]) -> Selector {
    Selector::Subject { reference: reference(name), unit: unit.map(reference), groups: groups.iter().map(|g| reference(g)).collect() }
}
pub fn recipient(country: &str, ground: Option<&str>) -> Recipient {
    Recipient {
        legal_entity: "Nordvik arkivtjeneste IKS".parse().unwrap(),
        country: code(country),
        role: code("archive"),
        transfer_ground: ground.map(|g| g.parse::<Note>().unwrap()),
    }
}
pub const fn rows(rows: u64) -> Volume {
    Volume { rows: Some(rows), files: None, bytes: None }
}
pub const fn version_of(instruction: InstructionId, version: u32) -> InstructionRef {
    InstructionRef { id: instruction, version }
}

/// The code lists that the service is delivered with.
static REGISTRY: LazyLock<RegistryFacts> = LazyLock::new(|| {
    let mut facts = RegistryFacts::default();
    for row in table(include_str!("../../../config/data/purposes.csv")) {
        facts.purposes.insert(code(&row[0]), &row[2] == "prohibited");
    }
    for row in table(include_str!("../../../config/data/data-categories.csv")) {
        facts.data_categories.insert(code(&row[0]), &row[2] == "true");
    }
    for row in table(include_str!("../../../config/data/channels.csv")) {
        facts.channels.insert(Channel { code: code(&row[0]), platform: code(&row[1]) });
    }
    for row in table(include_str!("../../../config/data/eea-membership.csv")) {
        facts.eea.insert(Membership { country: code(&row[0]), from_on: row[1].parse().unwrap(), until_on: row[2].parse().ok() });
    }
    facts.platforms = codes(&["itslearning", "fronter", "skoleintra"]);
    facts
});

fn table(text: &str) -> Vec<csv::StringRecord> {
    csv::Reader::from_reader(text.as_bytes()).records().map(Result::unwrap).collect()
}

/// Facts, a request and the time.
#[derive(Clone)]
pub struct World {
    pub facts: Facts,
    pub registry: RegistryFacts,
    pub request: ExportRequest,
    pub now: Instant,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { facts, registry, request, now } = self;
        write!(f, "now {now}\nrequest {request:#?}\nfacts {facts:#?}\nplatform suspensions {:?}", registry.suspensions)
    }
}

impl World {
    /// The request is permitted here.
    pub fn new() -> Self {
        let now = at("2026-09-01T10:00:00.000Z");
        let agreement = AgreementFacts {
            version: 1,
            platform: code("itslearning"),
            terms: AgreementTerms {
                zone: chrono_tz::Europe::Oslo,
                residency: Residency::EeaOnly(EeaOnly::EeaOnly),
                purposes: codes(&["archiving", "data-portability"]),
                data_categories: codes(&["identity", "assessment", "portfolio", "health"]),
            },
            from: at("2026-01-01T12:00:00.000Z"),
            until: Some(at("2026-12-31T23:00:00.000Z")),
        };
        let mut facts = Facts::default();
        facts.agreements.insert(id(AGR), agreement);
        let versions = BTreeMap::from([(1, version())]);
        facts.instructions.insert(id(INS), InstructionFacts { kind: InstructionKind::Export, revoked: false, versions });
        Self { facts, registry: REGISTRY.clone(), request: request(), now }
    }

    pub fn view(&self) -> View<'_> {
        View { customer: &self.facts, registry: &self.registry, recorded: None }
    }
    pub fn agreement(&mut self) -> &mut AgreementFacts {
        self.facts.agreements.get_mut(&id(AGR)).unwrap()
    }
    pub fn instruction(&mut self) -> &mut InstructionFacts {
        self.facts.instructions.get_mut(&id(INS)).unwrap()
    }
    /// The first version of the instruction.
    pub fn version(&mut self) -> &mut VersionFacts {
        self.instruction().versions.get_mut(&1).unwrap()
    }
    /// Adds a version like the first one of the world, changed.
    pub fn sign(&mut self, instruction: u128, number: u32, index: u64, change: impl FnOnce(&mut VersionFacts)) {
        let mut signed = version();
        signed.signed = (1, index);
        change(&mut signed);
        let new = || InstructionFacts { kind: InstructionKind::Export, revoked: false, versions: BTreeMap::new() };
        self.facts.instructions.entry(id(instruction)).or_insert_with(new).versions.insert(number, signed);
    }
    /// Adds a restriction in force.
    pub fn restrict(&mut self, instruction: u128, subjects: Vec<Selector>) -> &mut InstructionFacts {
        self.sign(instruction, 1, 3, |v| v.subjects = Some(subjects));
        let restriction = self.facts.instructions.get_mut(&id(instruction)).unwrap();
        restriction.kind = InstructionKind::Restriction;
        restriction
    }
    /// Adds the permit that the world's request would get of this version at this instant.
    pub fn permit(&mut self, export: u128, cited: InstructionRef, issued: Instant) -> ExportId {
        let zone = self.facts.agreements.get(&id(AGR)).map_or(chrono_tz::UTC, |a| a.terms.zone);
        let grant = GrantRecord {
            export: id(export),
            instruction: cited,
            document_sha256: Digest([7; 32]),
            agreement: id::<AgreementId>(AGR),
            agreement_version: 1,
            selectors_salt: Digest([9; 32]),
            day: issued.date_in(zone),
            issued_at: issued,
            expires_at: issued.plus(Duration::seconds(300)),
        };
        let subjects = Some(self.request.subjects.clone());
        let request = ExportRequest { subjects: Vec::new(), ..self.request.clone() };
        self.facts.exports.insert(id(export), ExportFacts::permitted(request, subjects, grant));
        id(export)
    }
    /// Marks a permit redeemed, and counts its volume.
    pub fn redeem(&mut self, export: ExportId) {
        let export = self.facts.exports.get_mut(&export).unwrap();
        export.redeemed = true;
        export.active_at = Some(self.now);
        export.counted = Used::default().plus(&export.request.volume);
        let used = self.facts.usage.entry(export.grant.instruction).or_default().entry(export.grant.day).or_default();
        *used = used.plus(&export.request.volume);
    }

    pub fn decide(&self) -> Considered {
        decide_export(&self.request, self.view(), self.now)
    }
    pub fn later(&mut self, millis: i64) -> &mut Self {
        self.now = self.now.plus(Duration::milliseconds(millis));
        self
    }
    /// What was asked for with the export's permit.
    pub fn request_of(&self, export: ExportId) -> ExportRequest {
        self.facts.exports.get(&export).map_or_else(
            || self.request.clone(),
            |e| ExportRequest { subjects: e.subjects.clone().unwrap_or_default(), ..e.request.clone() },
        )
    }
    /// Redeems an untouched permit by its own platform, with a key that was not used before.
    pub fn redemption(&self, export: ExportId) -> Considered {
        self.present(export, "itslearning", true, None)
    }
    pub fn present(&self, export: ExportId, by: &str, intact: bool, first_at: Option<Instant>) -> Considered {
        let presented = Presented { export, by: &code(by), intact, kid: Some("kid"), first_at };
        decide_redemption(&presented, &self.request_of(export), self.view(), self.now)
    }
    /// Ends an export.
    pub fn close(&mut self, export: ExportId, how: Closed) {
        self.facts.exports.get_mut(&export).unwrap().closed = Some(how);
    }
    /// Asks for a chunk of an export.
    pub fn chunk(&self, export: ExportId, number: u32, volume: Volume, first_at: Option<Instant>) -> Considered {
        let chunk = Chunk { export, by: &code("itslearning"), number, volume, first_at };
        decide_chunk(&chunk, &self.request_of(export), self.view(), self.now)
    }
    /// Takes a chunk into the facts as authorised.
    pub fn authorise(&mut self, export: ExportId, number: u32, volume: Volume) {
        let export = self.facts.exports.get_mut(&export).unwrap();
        export.chunks += 1;
        export.active_at = Some(self.now);
        export.authorised = export.authorised.plus(&volume);
        export.chunk_numbers.insert(number);
    }
    /// Asks for the answer of a permit again.
    pub fn again(&self, export: ExportId, first_at: Instant) -> Considered {
        decide_again(export, first_at, &self.request_of(export), self.view(), self.now)
    }
}

fn version() -> VersionFacts {
    let (valid_from, valid_until) = (at("2026-08-01T08:00:00.000Z"), Some(at("2026-11-30T23:00:00.000Z")));
    VersionFacts {
        scope: Scope {
            platforms: codes(&["itslearning"]),
            channels: codes(&["organisation-api", "support-export"]),
            purposes: codes(&["archiving"]),
            data_categories: codes(&["identity", "assessment"]),
            recipients: vec![recipient("NO", None)],
            volume: VolumeLimits::default(),
            once: false,
            valid_from_at: Some(valid_from),
            valid_until_at: valid_until,
        },
        subjects: Some(vec![unit("S03")]),
        valid_from,
        valid_until,
        document_sha256: Digest([7; 32]),
        signed: (1, 4),
        contests: BTreeSet::new(),
    }
}

fn request() -> ExportRequest {
    ExportRequest {
        platform: code("itslearning"),
        channel: code("organisation-api"),
        purpose: code("archiving"),
        data_categories: codes(&["identity", "assessment"]),
        subjects: vec![group("S03", "7B")],
        recipient: recipient("NO", None),
        engagement: None,
        volume: rows(100),
        requested_by: RequestedBy { kind: RequesterKind::Job, reference: reference("nightly") },
    }
}

/// The grant, or a failed test.
#[track_caller]
pub fn allowed(considered: &Considered) -> &Grant {
    match &considered.decision {
        Decision::Allow(grant) => grant,
        Decision::Refuse(refusal) => panic!("refused: {:?}", refusal.reasons),
    }
}

/// The reasons; none if it is permitted.
pub fn reasons(considered: &Considered) -> Vec<Reason> {
    match &considered.decision {
        Decision::Allow(_) => Vec::new(),
        Decision::Refuse(refusal) => refusal.reasons.clone(),
    }
}

/// The words of the reasons, in order.
pub fn words(considered: &Considered) -> Vec<&'static str> {
    reasons(considered).iter().map(|r| r.code.word()).collect()
}
