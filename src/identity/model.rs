//! Words of who acts: kinds of authority, units they hold for, secrets as they are sent. Authority
//! is apart from the role and is granted per kind and unit; losing it later does not end what was
//! signed with it. A secret can be read by one method only and is shown by none. Pure.

use std::collections::BTreeSet;
use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use utoipa::openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, Type};

use crate::base::{Decode, Faults, Instant, InstructionKind, OpsPersonId, PersonId, Pointer, Reference, Selector, TypedId as _};

crate::words! {
    /// What a member can have authority for.
    pub enum AuthorityKind {
        /// Sign instructions to process.
        Processing = "processing",
        /// Sign instructions to export; release the customer's suspension.
        Export = "export",
        /// Sign instructions to delete.
        Deletion = "deletion",
        /// Sign instructions to restrict.
        Restriction = "restriction",
        /// Accept and end agreements.
        Agreement = "agreement",
        /// Approve and object to sub-processors.
        SubProcessor = "sub_processor",
        /// Grant and end memberships and authority of this customer.
        People = "people",
    }
}

impl From<InstructionKind> for AuthorityKind {
    fn from(kind: InstructionKind) -> Self {
        match kind {
            InstructionKind::Processing => Self::Processing,
            InstructionKind::Export => Self::Export,
            InstructionKind::Deletion => Self::Deletion,
            InstructionKind::Restriction => Self::Restriction,
        }
    }
}

/// One authority of a member, as it stands in the tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// For what.
    pub kind: AuthorityKind,
    /// For which units; `None`: all.
    pub units: Option<BTreeSet<Reference>>,
    /// From when.
    pub begins_at: Instant,
}

/// What an act needs authority for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Needs {
    /// Any unit will do: the act is about no unit.
    Kind,
    /// All units.
    AllUnits,
    /// Each of these units.
    Units(BTreeSet<Reference>),
}

impl Needs {
    /// What signing a scope with these subjects needs: every unit named; all units for `whole` and
    /// for a subject without a unit.
    #[must_use]
    pub fn of_subjects<'a>(subjects: impl IntoIterator<Item = &'a Selector>) -> Self {
        let units: Option<BTreeSet<Reference>> = subjects.into_iter().map(|s| s.unit().cloned()).collect();
        units.map_or(Self::AllUnits, Self::Units)
    }
}

/// True if the authorities cover the act at `now`.
#[must_use]
pub fn covers(held: &[Authority], kind: AuthorityKind, needs: &Needs, now: Instant) -> bool {
    held.iter().filter(|a| a.kind == kind && a.begins_at <= now).any(|a| match (&a.units, needs) {
        (None, _) | (Some(_), Needs::Kind) => true,
        (Some(_), Needs::AllUnits) => false,
        (Some(held), Needs::Units(asked)) => asked.is_subset(held),
    })
}

/// Somebody with a password, of either surface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account {
    /// A person of customers.
    Person(PersonId),
    /// A person of the processor's staff.
    Ops(OpsPersonId),
}

impl Account {
    /// The id of a person of customers.
    #[must_use]
    pub const fn person(self) -> Option<PersonId> {
        match self {
            Self::Person(person) => Some(person),
            Self::Ops(_) => None,
        }
    }
    /// The id of an ops person.
    #[must_use]
    pub const fn ops_person(self) -> Option<OpsPersonId> {
        match self {
            Self::Person(_) => None,
            Self::Ops(ops_person) => Some(ops_person),
        }
    }
    /// The bare id.
    #[must_use]
    pub fn uuid(self) -> uuid::Uuid {
        match self {
            Self::Person(person) => person.uuid(),
            Self::Ops(ops_person) => ops_person.uuid(),
        }
    }
}

crate::words! {
    /// The two ops roles that together name a customer's first signatory.
    pub enum NamingRole {
        /// Customers, platforms, people.
        OpsAdmin = "ops_admin",
        /// Agreements, sub-processors, breaches, deletion.
        OpsPrivacy = "ops_privacy",
    }
}

crate::words! {
    /// What an API key of a customer may do; it never signs, accepts or approves.
    pub enum KeyRole {
        /// Reads and changes.
        CustomerAdmin = "customer_admin",
        /// Reads.
        CustomerReader = "customer_reader",
    }
}

/// The most characters a password or one-time token may have.
const SECRET_LENGTH: usize = 256;

/// A password or one-time token as it was sent.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
    /// Number of characters.
    #[must_use]
    pub fn length(&self) -> usize {
        self.expose().chars().count()
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl serde::Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("(secret)")
    }
}

impl utoipa::PartialSchema for Secret {
    fn schema() -> RefOr<Schema> {
        let format = SchemaFormat::KnownFormat(KnownFormat::Password);
        let schema = ObjectBuilder::new().schema_type(Type::String).format(Some(format));
        schema.min_length(Some(1)).max_length(Some(SECRET_LENGTH)).into()
    }
}
impl utoipa::ToSchema for Secret {}

impl Decode for Secret {
    fn decode(value: &Value, at: &Pointer, faults: &mut Faults) -> Option<Self> {
        let Some(text) = value.as_str() else {
            faults.add(at, "type", "must be a text");
            return None;
        };
        if (1..=SECRET_LENGTH).contains(&text.chars().count()) {
            return Some(text.into());
        }
        faults.add(at, "text", "must be 1 to 256 characters");
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_and_never_shown() {
        let read = |text: &str| {
            let mut faults = Faults::default();
            Secret::decode(&Value::from(text), &Pointer::default(), &mut faults)
        };
        let secret = read("correct horse").unwrap();
        assert_eq!((secret.expose(), secret.length()), ("correct horse", 13));
        assert!(!format!("{secret:?}{}", serde_json::to_string(&secret).unwrap()).contains("horse"));
        assert!(read("").is_none() && read(&"a".repeat(257)).is_none());
        assert!(read(&"\u{e5}".repeat(256)).is_some());
    }

    #[test]
    fn authority_covers_its_kind_its_units_and_its_time_only() {
        let unit = |text: &str| -> Reference { text.parse().unwrap() };
        let at = |millis| Instant::from_millis(millis).unwrap();
        let held = [Authority { kind: AuthorityKind::Export, units: Some([unit("S03")].into()), begins_at: at(1000) }];
        let s03 = Needs::Units([unit("S03")].into());
        for (kind, needs, now, covered) in [
            (AuthorityKind::Export, s03.clone(), 1000, true),
            (AuthorityKind::Export, Needs::Kind, 1000, true),
            (AuthorityKind::Export, s03.clone(), 999, false),
            (AuthorityKind::Deletion, s03, 1000, false),
            (AuthorityKind::Export, Needs::AllUnits, 1000, false),
            (AuthorityKind::Export, Needs::Units([unit("S03"), unit("S04")].into()), 1000, false),
        ] {
            assert_eq!(covers(&held, kind, &needs, at(now)), covered, "{kind} {needs:?} {now}");
        }
        let all = [Authority { kind: AuthorityKind::Export, units: None, begins_at: at(0) }];
        assert!(covers(&all, AuthorityKind::Export, &Needs::AllUnits, at(1)));
    }

    #[test]
    fn a_subject_without_a_unit_needs_all_units() {
        let subject = Selector::Subject { reference: "p1".parse().unwrap(), unit: None, groups: BTreeSet::new() };
        assert_eq!(Needs::of_subjects(&[subject]), Needs::AllUnits);
        assert_eq!(Needs::of_subjects(&[Selector::Whole]), Needs::AllUnits);
    }
}
