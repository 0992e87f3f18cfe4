//! Words of who acts: kinds of authority, units they hold for. Authority is apart from the role and
//! is granted per kind and unit; losing it later does not end what was signed with it. Pure.

use std::collections::BTreeSet;

use crate::base::{Instant, InstructionKind, Reference, Selector};

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
    pub fn of_subjects(subjects: &[Selector]) -> Self {
        let units: Option<BTreeSet<Reference>> = subjects.iter().map(|s| s.unit().cloned()).collect();
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

#[cfg(test)]
mod tests {
    use super::*;

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
