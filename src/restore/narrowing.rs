//! What the entries say that a restore lost and a pack brought back: acts that narrowed, which are to hold
//! again before the state is confirmed, and acts that widened, which nobody but their signatories can repeat. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::*;
use crate::evidence::{Event, SuppliedEntry, SuspendedBy};

/// An act that ended or limited something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Narrowing {
    /// The instruction was withdrawn.
    Withdrawn(InstructionId),
    /// An export under the instruction was redeemed: if it was for one export, it is used up.
    Used(ExportId, Option<InstructionId>),
    /// A later version took the place of those before, which are in force again.
    Superseded(InstructionId, u32),
    /// A version was contested, and not confirmed since.
    Contested(InstructionId, u32),
    /// Exports were stopped, and not released since.
    Suspended(String),
    /// The agreement was terminated.
    Terminated(AgreementId),
    /// The membership ended.
    MembershipEnded(MembershipId),
    /// The authority of this kind ended, and was not granted again.
    AuthorityEnded(MembershipId, String),
    /// The key was revoked.
    KeyRevoked(ApiKeyId),
    /// The first signatory was withdrawn.
    SignatoryWithdrawn(FirstSignatoryId),
    /// The recovery of an account was withdrawn.
    RecoveryWithdrawn(AccountRecoveryId),
}

impl Narrowing {
    /// What is to be done again.
    #[must_use]
    pub fn told(&self) -> String {
        match self {
            Self::Withdrawn(id) => format!("withdraw the instruction {id} again"),
            Self::Used(export, Some(id)) => format!("withdraw the instruction {id}: it was for one export, and {export} was it"),
            Self::Used(export, None) => format!("withdraw the instruction of {export}: it was for one export, and this was it"),
            Self::Superseded(id, version) => {
                format!("withdraw the instruction {id}, or sign a version again: version {version} had taken its place")
            }
            Self::Contested(id, version) => format!("contest version {version} of the instruction {id} again, or withdraw it"),
            Self::Suspended(by) => format!("stop exports again, as {by} had done"),
            Self::Terminated(id) => format!("terminate the agreement {id} again"),
            Self::MembershipEnded(id) => format!("end the membership {id} again"),
            Self::AuthorityEnded(id, kind) => format!("end the {kind} authority of {id} again"),
            Self::KeyRevoked(id) => format!("revoke the key {id} again"),
            Self::SignatoryWithdrawn(id) => format!("withdraw the first signatory {id} again"),
            Self::RecoveryWithdrawn(id) => format!("withdraw the account recovery {id} again"),
        }
    }
}

/// What supplied entries say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// What is to hold again.
    pub narrowing: BTreeSet<Narrowing>,
    /// What is to be repeated by whoever may, if it is still wanted: the type of the entry and what it was about.
    pub widening: Vec<String>,
}

/// Types of entries that gave something, and do not hold again by being supplied.
const WIDENING: [&str; 14] = [
    "agreement.accepted",
    "agreement.prepared",
    "api_key.created",
    "authority.confirmed",
    "authority.granted",
    "customer.released",
    "customer.units_added",
    "document.stored",
    "instruction.confirmed",
    "instruction.drafted",
    "instruction.signed",
    "membership.began",
    "person.recovered",
    "recipient.added",
];

/// Reads supplied entries, in order.
///
/// # Errors
/// When a record does not have the shape of its type.
pub fn said<'e>(entries: impl IntoIterator<Item = &'e SuppliedEntry>) -> Result<Said> {
    let (mut said, mut permitted, mut suspended, mut contested) = (Said::default(), BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for entry in entries {
        if WIDENING.contains(&entry.word.as_str()) {
            said.widening.push(format!("{} {}", entry.word, entry.object));
        }
        let Some(event) = entry.event()? else { continue };
        let act = match event {
            Event::InstructionRevoked { instruction, .. } => Narrowing::Withdrawn(instruction),
            Event::InstructionSigned { instruction, version, .. } if version > 1 => Narrowing::Superseded(instruction, version),
            Event::AgreementTerminated { agreement, .. } => Narrowing::Terminated(agreement),
            Event::MembershipEnded { membership } => Narrowing::MembershipEnded(membership),
            Event::AuthorityEnded { membership, kind } => Narrowing::AuthorityEnded(membership, kind),
            Event::ApiKeyRevoked { api_key } => Narrowing::KeyRevoked(api_key),
            Event::FirstSignatoryWithdrawn { first_signatory, .. } => Narrowing::SignatoryWithdrawn(first_signatory),
            Event::AccountRecoveryWithdrawn { account_recovery } => Narrowing::RecoveryWithdrawn(account_recovery),
            Event::ExportRedeemed { export, .. } => Narrowing::Used(export, permitted.get(&export).copied()),
            Event::ExportPermittedSingle { grant, .. } => Narrowing::Used(grant.export, Some(grant.instruction.id)),
            Event::AuthorityGranted { membership, kind, .. } => {
                said.narrowing.remove(&Narrowing::AuthorityEnded(membership, kind));
                continue;
            }
            Event::ExportPermitted { grant, .. } => {
                permitted.insert(grant.export, grant.instruction.id);
                continue;
            }
            Event::CustomerSuspended { suspension, made_by, .. } => {
                suspended.insert(suspension, made_by);
                continue;
            }
            Event::CustomerReleased { suspension, .. } => {
                suspended.remove(&suspension);
                continue;
            }
            Event::InstructionContested { contest, instruction, version, .. } => {
                contested.insert(contest, (instruction, version));
                continue;
            }
            Event::InstructionConfirmed { contest, .. } => {
                contested.remove(&contest);
                continue;
            }
            _ => continue,
        };
        said.narrowing.insert(act);
    }
    said.narrowing.extend(suspended.values().map(|by: &SuspendedBy| Narrowing::Suspended(by.to_string())));
    said.narrowing.extend(contested.into_values().map(|(instruction, version)| Narrowing::Contested(instruction, version)));
    Ok(said)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;

    fn entry(word: &str, record: Value) -> SuppliedEntry {
        let digest = sha256(&[]);
        let (leaf, object) = (Vec::new(), "it".to_owned());
        SuppliedEntry { index: 0, word: word.to_owned(), object, leaf, leaf_hash: digest, root: digest, record: Some((digest, record)) }
    }

    #[test]
    fn what_narrowed_and_holds_in_the_end_is_named_and_what_widened_is_never_granted() {
        let member = MembershipId::from(Uuid::from_u128(1));
        let (kept, lifted) = (SuspensionId::from(Uuid::from_u128(2)), SuspensionId::from(Uuid::from_u128(3)));
        let instruction = InstructionId::from(Uuid::from_u128(4));
        let suspended = |id: SuspensionId, by: &str| entry("customer.suspended", json!({"suspension": id, "made_by": by, "ground": "g"}));
        let granted = json!({"membership": member, "kind": "export", "units": null, "begins_at": "2026-11-24T08:00:00.000Z"});
        let entries = [
            suspended(kept, "customer"),
            suspended(lifted, "ops"),
            entry("customer.released", json!({"suspension": lifted, "release": ReleaseId::from(Uuid::from_u128(5))})),
            entry("authority.ended", json!({"membership": member, "kind": "export"})),
            entry("authority.granted", granted),
            entry("authority.ended", json!({"membership": member, "kind": "people"})),
            entry("instruction.revoked", json!({"instruction": instruction, "membership": member})),
            SuppliedEntry { record: None, ..entry("export.refused", Value::Null) },
        ];
        let found = said(&entries).unwrap();
        let expected = [
            Narrowing::Withdrawn(instruction),
            Narrowing::Suspended("customer".to_owned()),
            Narrowing::AuthorityEnded(member, "people".to_owned()),
        ];
        assert_eq!(found.narrowing, BTreeSet::from(expected));
        assert_eq!(found.widening, ["customer.released it", "authority.granted it"]);
        assert!(said(&[entry("instruction.revoked", json!({}))]).is_err());
        assert_eq!(said(&[]).unwrap(), Said::default());
    }
}
