//! An instruction as it is written and as it stands in the tables: a draft, signed versions, the
//! withdrawal, contests and their confirmations. Pure.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value, json};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};

use crate::base::{
    Code, ContestId, CustomerId, Decode, Digest, DocumentId, Faults, Instant, InstructionId, InstructionKind, MembershipId, Note, Pointer,
    Recipient, RecipientId, Scope, Selector, VolumeLimits, canonical, sha256,
};

/// The most characters of a typed text.
const MAX_WORDING: usize = 20_000;

/// A text typed in place of a document: lines, and no other control characters.
#[derive(Clone, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct Wording(String);

impl Wording {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// A text that keeps the rule; `None` for any other.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let length = text.chars().count();
        let plain = !text.chars().any(|c| c.is_control() && c != '\n');
        ((1..=MAX_WORDING).contains(&length) && text.trim() == text && plain).then(|| Self(text.to_owned()))
    }
}

impl fmt::Debug for Wording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What was written is nobody's business in a log.
        write!(f, "Wording({} bytes)", self.0.len())
    }
}
impl utoipa::PartialSchema for Wording {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(MAX_WORDING)).into()
    }
}
impl utoipa::ToSchema for Wording {}
impl Decode for Wording {
    fn decode(value: &Value, at: &Pointer, faults: &mut Faults) -> Option<Self> {
        let Some(text) = value.as_str() else {
            faults.add(at, "type", "must be a text");
            return None;
        };
        let read = Self::new(text);
        if read.is_none() {
            faults.add(at, "text", "must be 1 to 20000 characters in lines, without surrounding blanks and other control characters");
        }
        read
    }
}

/// A recipient of a draft: by value, or one of the address book, whose value is then taken over.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum RecipientChoice {
    /// One of the address book.
    Known(RecipientId),
    /// By value.
    Value(Recipient),
}

impl Decode for RecipientChoice {
    fn decode(value: &Value, at: &Pointer, faults: &mut Faults) -> Option<Self> {
        if value.is_string() {
            RecipientId::decode(value, at, faults).map(Self::Known)
        } else {
            Recipient::decode(value, at, faults).map(Self::Value)
        }
    }
}

crate::request! {
    /// The draft of an instruction, whole. Exactly one of `text` and `document` says it in writing.
    pub struct NewInstruction {
        /// What it tells us to do; the same in every version.
        kind: InstructionKind,
        /// The platforms it names.
        platforms: Vec<Code>,
        /// The channels it names: exports only.
        channels: Option<Vec<Code>>,
        /// The purposes it names.
        purposes: Option<Vec<Code>>,
        /// The data categories it names; a special category (GDPR Art. 9) must be named.
        data_categories: Option<Vec<Code>>,
        /// Whose data.
        subjects: Vec<Selector>,
        /// To whom: exports only, at most 200.
        recipients: Option<Vec<RecipientChoice>>,
        /// How much: exports only.
        volume: Option<VolumeLimits>,
        /// True if it serves one export only.
        once: Option<bool>,
        /// Its first instant; from its signature when absent or past.
        valid_from_at: Option<Instant>,
        /// The instant from which it no longer holds; until withdrawn when absent.
        valid_until_at: Option<Instant>,
        /// What is written, if typed.
        text: Option<Wording>,
        /// What is written, if it is a stored document.
        document: Option<DocumentId>,
    }
}

/// How an instruction or a confirmation was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// Typed; rendered to a document when it is signed.
    Text(Wording),
    /// A stored document.
    Document(DocumentId),
}

impl Written {
    /// Exactly one of the two; `None` after noting a fault.
    pub fn one_of(text: Option<&Wording>, document: Option<DocumentId>, faults: &mut Faults) -> Option<Self> {
        match (text, document) {
            (Some(text), None) => Some(Self::Text(text.clone())),
            (None, Some(document)) => Some(Self::Document(document)),
            (None, None) => {
                faults.add_at("text", "required", "is required where there is no document: an instruction is in writing");
                None
            }
            (Some(_), Some(_)) => {
                faults.add_at("document", "one_of", "must not stand beside text: there is one original");
                None
            }
        }
    }
    /// The typed text, if it was typed.
    #[must_use]
    pub const fn text(&self) -> Option<&Wording> {
        match self {
            Self::Text(text) => Some(text),
            Self::Document(_) => None,
        }
    }
    /// The document, if it is one.
    #[must_use]
    pub const fn document(&self) -> Option<DocumentId> {
        match self {
            Self::Text(_) => None,
            Self::Document(document) => Some(*document),
        }
    }
}

crate::words! {
    /// Where an instruction, or one of its versions, stands.
    pub enum InstructionState {
        /// Not signed.
        Draft = "draft",
        /// Signed; its window has not begun.
        NotYetValid = "not_yet_valid",
        /// In force.
        InForce = "in_force",
        /// Withdrawn.
        Revoked = "revoked",
        /// Stopped: it appears to infringe the law (GDPR Art. 28(3)) and was not confirmed.
        Contested = "contested",
        /// A newer version holds.
        Superseded = "superseded",
        /// Its window is over.
        Expired = "expired",
        /// A one-time instruction that was used.
        Exhausted = "exhausted",
    }
}

/// What a draft says, checked.
#[derive(Debug, Clone)]
pub struct Content {
    /// What it covers, without subjects.
    pub scope: Scope,
    /// Whose data.
    pub subjects: Vec<Selector>,
    /// How it is written.
    pub written: Written,
}

impl Content {
    /// SHA-256 over all of it: what is signed is what was seen.
    #[must_use]
    pub fn digest(&self, id: InstructionId, version: u32, kind: InstructionKind) -> Digest {
        let whole = json!({
            "instruction": id, "version": version, "kind": kind, "scope": self.scope, "subjects": self.subjects,
            "text": self.written.text(), "document": self.written.document(),
        });
        sha256(&[&canonical(&whole)])
    }
}

/// The draft of a next version.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The version it will be.
    pub version: u32,
    /// What it says.
    pub content: Content,
    /// SHA-256 over the content.
    pub digest: Digest,
    /// Who wrote it last.
    pub prepared_by: String,
    /// When.
    pub changed_at: Instant,
}

/// A written confirmation of a contested version.
#[derive(Debug, Clone)]
pub struct Confirmation {
    /// What was written.
    pub document: DocumentId,
    /// When.
    pub at: Instant,
    /// By whom.
    pub by: MembershipId,
}

/// A mark of a version as appearing to infringe the law.
#[derive(Debug, Clone)]
pub struct Contest {
    /// Id.
    pub id: ContestId,
    /// Legal reason.
    pub ground: Note,
    /// When.
    pub at: Instant,
    /// Text id of the ops person.
    pub by: String,
    /// What ended it, if anything did.
    pub confirmation: Option<Confirmation>,
}

/// A signed version.
#[derive(Debug, Clone)]
pub struct Version {
    /// What it covers, without subjects.
    pub scope: Scope,
    /// Whose data; empty where a list left them out.
    pub subjects: Vec<Selector>,
    /// What was written.
    pub document: DocumentId,
    /// Its hash.
    pub document_sha256: Digest,
    /// Start of its window.
    pub valid_from: Instant,
    /// First instant after its window.
    pub valid_until: Option<Instant>,
    /// When it was signed.
    pub signed_at: Instant,
    /// By whom.
    pub signed_by: MembershipId,
    /// Epoch and index of its entry.
    pub signed: (u32, u64),
    /// When a permit that cites it was first redeemed.
    pub used_at: Option<Instant>,
    /// Contests, first one first.
    pub contests: Vec<Contest>,
}

impl Version {
    /// True while a contest was not answered in writing.
    #[must_use]
    pub fn is_contested(&self) -> bool {
        self.contests.iter().any(|contest| contest.confirmation.is_none())
    }
}

/// An instruction with all that happened to it.
#[derive(Debug, Clone)]
pub struct Instruction {
    /// Id.
    pub id: InstructionId,
    /// The customer.
    pub customer: CustomerId,
    /// Kind.
    pub kind: InstructionKind,
    /// When its first draft was made.
    pub created_at: Instant,
    /// The draft of its next version.
    pub draft: Option<Draft>,
    /// Signed versions.
    pub versions: BTreeMap<u32, Version>,
    /// When and by whom it was withdrawn.
    pub revoked: Option<(Instant, MembershipId)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typed_text_has_lines_and_no_other_control_characters() {
        for right in ["Export to the archive.", "One line\nand another"] {
            assert!(Wording::new(right).is_some(), "{right:?}");
        }
        for wrong in ["", " a", "a\n", "a\r\nb", "a\u{0}b", "a\u{1b}[2Jb"] {
            assert!(Wording::new(wrong).is_none(), "{wrong:?}");
        }
        assert!(Wording::new(&"a".repeat(20_001)).is_none());
        assert_eq!(format!("{:?}", Wording::new("secret").unwrap()), "Wording(6 bytes)");
    }

    #[test]
    fn something_is_written_exactly_once() {
        let text = Wording::new("Do it.").unwrap();
        let document = "doc_0190a0b0c0d0700080000123456789ab".parse().unwrap();
        for (text, document, whole) in
            [(Some(&text), None, true), (None, Some(document), true), (None, None, false), (Some(&text), Some(document), false)]
        {
            let mut faults = Faults::default();
            assert_eq!(Written::one_of(text, document, &mut faults).is_some(), whole);
            assert_eq!(faults.is_empty(), whole);
        }
    }
}
