//! The words of a scope: what an instruction covers and what an export asks for (platforms,
//! channels, purposes, categories, subjects, recipients, volume), and when one selector of
//! subjects covers another. GDPR Art. 28(3)(a): processing only on documented instructions.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Code, Decode, Faults, Instant, Name, Note, Object, Pointer, Reference};

crate::words! {
    /// What an instruction tells us to do, and what a person can have authority for.
    pub enum InstructionKind {
        /// Process for named purposes.
        Processing = "processing",
        /// Hand out to named recipients.
        Export = "export",
        /// Delete (GDPR Art. 17, Art. 28(3)(g)).
        Deletion = "deletion",
        /// Restrict processing (GDPR Art. 18).
        Restriction = "restriction",
    }
}

/// Whose data: as the platform states it, always by reference, never by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Selector {
    /// Everybody at the customer.
    Whole,
    /// Everybody of one unit.
    Unit {
        /// The unit's code.
        unit: Reference,
    },
    /// Everybody of one group of a unit.
    Group {
        /// The unit's code.
        unit: Reference,
        /// The group's reference.
        group: Reference,
    },
    /// One data subject.
    Subject {
        /// The platform's pseudonymous reference.
        #[serde(rename = "ref")]
        reference: Reference,
        /// The unit the platform says the subject belongs to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unit: Option<Reference>,
        /// The groups of that unit the platform says the subject belongs to.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        groups: BTreeSet<Reference>,
    },
}

/// How two selectors lie to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// The first holds everybody of the second.
    Covers,
    /// Nobody is in both, by what the platform states.
    Disjoint,
    /// Somebody may be in both.
    Partial,
}

impl Selector {
    /// The unit this selector lies in, if it names one.
    #[must_use]
    pub fn unit(&self) -> Option<&Reference> {
        match self {
            Self::Whole => None,
            Self::Unit { unit } | Self::Group { unit, .. } => Some(unit),
            Self::Subject { unit, .. } => unit.as_ref(),
        }
    }

    /// True if this selector is equal to or wider than `other`. A subject without a unit is covered
    /// only by `whole` or by its own reference without a unit; one signed for in a unit is covered in
    /// that unit only, because authority is per unit and the unit is what was signed for.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Whole, _) => true,
            (Self::Unit { unit }, _) => other.unit() == Some(unit),
            (Self::Group { unit, group }, Self::Group { unit: u, group: g }) => unit == u && group == g,
            (Self::Group { unit, group }, Self::Subject { unit: u, groups, .. }) => u.as_ref() == Some(unit) && groups.contains(group),
            (Self::Subject { reference, unit, .. }, Self::Subject { reference: r, unit: u, .. }) => {
                reference == r && (unit.is_none() || unit == u)
            }
            _ => false,
        }
    }

    /// How a restriction of this selector lies to a request for `asked`. A person stays restricted
    /// whatever unit or group the platform states today: pupils move, and a person too many in a list
    /// of exceptions harms nobody.
    #[must_use]
    pub fn restricts(&self, asked: &Self) -> Overlap {
        match (self, asked) {
            (Self::Subject { reference, .. }, Self::Subject { reference: r, .. }) => {
                if reference == r {
                    Overlap::Covers
                } else {
                    Overlap::Disjoint
                }
            }
            (Self::Subject { .. }, _) => Overlap::Partial,
            _ if self.covers(asked) => Overlap::Covers,
            _ if asked.covers(self) => Overlap::Partial,
            _ => {
                let units_differ = matches!((self.unit(), asked.unit()), (Some(a), Some(b)) if a != b);
                // A group of the stated unit that the platform lists others than for the subject; where it
                // lists none, it has not said.
                let elsewhere = matches!((self, asked), (Self::Group { unit, .. }, Self::Subject { unit: Some(u), groups, .. })
                    if unit == u && !groups.is_empty());
                if units_differ || elsewhere { Overlap::Disjoint } else { Overlap::Partial }
            }
        }
    }
}

impl Decode for Selector {
    fn decode(value: &Value, at: &Pointer, faults: &mut Faults) -> Option<Self> {
        let mut object = Object::open(value, at, faults)?;
        let kind: Option<SelectorKind> = object.field("kind", faults);
        let read = match kind {
            None => return None,
            Some(SelectorKind::Whole) => Some(Self::Whole),
            Some(SelectorKind::Unit) => object.field("unit", faults).map(|unit| Self::Unit { unit }),
            Some(SelectorKind::Group) => {
                let (unit, group) = (object.field("unit", faults), object.field("group", faults));
                unit.zip(group).map(|(unit, group)| Self::Group { unit, group })
            }
            Some(SelectorKind::Subject) => {
                let reference = object.field("ref", faults);
                let unit: Option<Option<Reference>> = object.field("unit", faults);
                let groups: Option<Option<BTreeSet<Reference>>> = object.field("groups", faults);
                let groups = groups.map(Option::unwrap_or_default);
                if let (Some(None), Some(groups)) = (&unit, &groups)
                    && !groups.is_empty()
                {
                    faults.add(&at.at("groups"), "unit_missing", "groups are groups of a unit: name the unit");
                }
                match (reference, unit, groups) {
                    (Some(reference), Some(unit), Some(groups)) => Some(Self::Subject { reference, unit, groups }),
                    _ => None,
                }
            }
        };
        object.close(faults);
        read
    }
}

crate::words! {
    /// The kinds of selector.
    pub enum SelectorKind {
        /// Everybody at the customer.
        Whole = "whole",
        /// Everybody of one unit.
        Unit = "unit",
        /// Everybody of one group.
        Group = "group",
        /// One data subject.
        Subject = "subject",
    }
}

crate::request! {
    /// Who receives the data, by value: a later edit of an address book changes nothing signed.
    #[derive(PartialEq, Eq, PartialOrd, Ord, Deserialize)]
    pub struct Recipient {
        /// The legal entity's name.
        legal_entity: Name,
        /// Its country, ISO 3166-1 alpha-2.
        country: Code,
        /// What it is to the customer: archive, school_authority, new_supplier, vendor, ….
        role: Code,
        /// The ground of a transfer to a third country (GDPR Art. 45 to 49), if it is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transfer_ground: Option<Note>,
    }
}

impl Recipient {
    /// The term under which the gate finds versions that name this recipient.
    #[must_use]
    pub fn term(&self) -> String {
        let identity = serde_json::json!({"legal_entity": self.legal_entity, "country": self.country, "role": self.role});
        format!("recipient:{}", super::sha256(&[&super::canonical(&identity)]))
    }
    /// True if both name the same recipient, leaving the transfer ground aside.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        self.legal_entity == other.legal_entity && self.country == other.country && self.role == other.role
    }
}

crate::request! {
    /// How much: rows, files and bytes, each counted only where it is stated.
    #[derive(Copy, Default, PartialEq, Eq, Deserialize)]
    pub struct Volume {
        /// Records.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rows: Option<u64>,
        /// Files.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        files: Option<u64>,
        /// Bytes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bytes: Option<u64>,
    }
}

impl Volume {
    /// The three dimensions with their names.
    #[must_use]
    pub fn parts(&self) -> [(&'static str, Option<u64>); 3] {
        [("rows", self.rows), ("files", self.files), ("bytes", self.bytes)]
    }
    /// The sum; a dimension that neither states stays unstated.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let add = |a: Option<u64>, b: Option<u64>| match (a, b) {
            (None, None) => None,
            (a, b) => Some(a.unwrap_or(0).saturating_add(b.unwrap_or(0)).min(super::MAX_INTEGER)),
        };
        Self { rows: add(self.rows, other.rows), files: add(self.files, other.files), bytes: add(self.bytes, other.bytes) }
    }
    /// True if no dimension is stated.
    #[must_use]
    pub fn is_unstated(&self) -> bool {
        *self == Self::default()
    }
}

crate::request! {
    /// Limits of an instruction's volume. A limited dimension must be stated in the request.
    #[derive(Copy, Default, PartialEq, Eq, Deserialize)]
    pub struct VolumeLimits {
        /// For each export.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        per_export: Option<Volume>,
        /// For each calendar day in the agreement's zone; standing instructions only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        per_day: Option<Volume>,
        /// In all; standing instructions only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        total: Option<Volume>,
    }
}

/// What an instruction covers. Subjects are kept apart from it wherever it is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Scope {
    /// The platforms it names.
    pub platforms: BTreeSet<Code>,
    /// The channels it names.
    pub channels: BTreeSet<Code>,
    /// The purposes it names.
    pub purposes: BTreeSet<Code>,
    /// The data categories it names; a special category (GDPR Art. 9) must be named.
    pub data_categories: BTreeSet<Code>,
    /// The recipients it names, by value.
    pub recipients: Vec<Recipient>,
    /// Its volume limits.
    pub volume: VolumeLimits,
    /// True if it serves one export only.
    pub once: bool,
    /// Its first instant; null means from its signature.
    pub valid_from_at: Option<Instant>,
    /// The instant from which it no longer holds; null means until withdrawn.
    pub valid_until_at: Option<Instant>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn r(text: &str) -> Reference {
        text.parse().unwrap()
    }
    fn subject(reference: &str, unit: Option<&str>, groups: &[&str]) -> Selector {
        Selector::Subject { reference: r(reference), unit: unit.map(r), groups: groups.iter().map(|g| r(g)).collect() }
    }

    #[test]
    fn a_wider_selector_covers_and_a_narrower_does_not() {
        let unit = Selector::Unit { unit: r("S03") };
        let group = Selector::Group { unit: r("S03"), group: r("7B") };
        for (wide, narrow, covered) in [
            (&Selector::Whole, &unit, true),
            (&unit, &group, true),
            (&unit, &subject("p1", Some("S03"), &[]), true),
            (&unit, &subject("p1", Some("S04"), &[]), false),
            (&unit, &subject("p1", None, &[]), false),
            (&group, &subject("p1", Some("S03"), &["7B"]), true),
            (&group, &subject("p1", Some("S03"), &["7C"]), false),
            (&group, &subject("p1", Some("S04"), &["7B"]), false),
            (&group, &unit, false),
            (&unit, &Selector::Whole, false),
            (&subject("p1", None, &[]), &subject("p1", Some("S03"), &["7B"]), true),
            (&subject("p1", None, &[]), &subject("p2", None, &[]), false),
        ] {
            assert_eq!(wide.covers(narrow), covered, "{wide:?} {narrow:?}");
        }
    }

    #[test]
    fn a_group_restricts_whoever_the_platform_does_not_place_elsewhere() {
        let group = Selector::Group { unit: r("S03"), group: r("7B") };
        for (asked, overlap) in [
            (subject("p1", Some("S03"), &["7B", "choir"]), Overlap::Covers),
            (subject("p1", Some("S03"), &["7C"]), Overlap::Disjoint),
            (subject("p1", Some("S03"), &[]), Overlap::Partial),
            (subject("p1", Some("S04"), &[]), Overlap::Disjoint),
            (subject("p1", None, &[]), Overlap::Partial),
        ] {
            assert_eq!(group.restricts(&asked), overlap, "{asked:?}");
        }
    }

    fn selector() -> impl Strategy<Value = Selector> {
        let name = prop_oneof![Just(r("a")), Just(r("b"))];
        let unit = prop_oneof![Just(r("u")), Just(r("v"))];
        prop_oneof![
            Just(Selector::Whole),
            unit.clone().prop_map(|unit| Selector::Unit { unit }),
            (unit.clone(), name.clone()).prop_map(|(unit, group)| Selector::Group { unit, group }),
            (name.clone(), proptest::option::of(unit), proptest::collection::btree_set(name, 0..2)).prop_map(
                |(reference, unit, groups)| {
                    let groups = if unit.is_some() { groups } else { BTreeSet::new() };
                    Selector::Subject { reference, unit, groups }
                }
            ),
        ]
    }

    proptest! {
        #[test]
        fn what_covers_also_restricts_and_what_is_covered_is_not_missed(a in selector(), b in selector()) {
            if a.covers(&b) { prop_assert_eq!(a.restricts(&b), Overlap::Covers); }
            if b.covers(&a) { prop_assert_ne!(a.restricts(&b), Overlap::Disjoint); }
            prop_assert!(a.covers(&a));
        }
        #[test]
        fn what_covers_the_wider_covers_the_narrower(a in selector(), b in selector(), c in selector()) {
            // Through a person's own reference the groups are what the platform states of them today.
            prop_assume!(!matches!(b, Selector::Subject { .. }));
            if a.covers(&b) && b.covers(&c) { prop_assert!(a.covers(&c)); }
        }
    }
}
