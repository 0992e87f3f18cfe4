//! Effects against entries, both ways: the facts that the tables hold, and those that the entries
//! rebuild. What stands on one side only, or otherwise on the other, is named with the entry that
//! spoke of it last. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Display};

use crate::evidence::{Event, Facts};

/// A fact that the tables and the entries do not agree on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unequal {
    /// Epoch and index of the last entry about it; absent: there is none.
    pub at: Option<(u32, u64)>,
    /// What is wrong.
    pub what: String,
}

/// The last entry about each thing, by its id.
#[derive(Debug, Clone, Default)]
pub struct Named(BTreeMap<String, (u32, u64)>);

impl Named {
    /// Takes an entry in.
    pub fn take(&mut self, at: (u32, u64), event: &Event) {
        let mut named = |id: &dyn Display| {
            self.0.insert(id.to_string(), at);
        };
        match event {
            Event::AgreementAccepted { agreement, .. } | Event::AgreementTerminated { agreement, .. } => named(agreement),
            Event::CustomerSuspended { suspension, .. } | Event::CustomerReleased { suspension, .. } => named(suspension),
            Event::InstructionSigned { instruction, .. }
            | Event::InstructionRevoked { instruction, .. }
            | Event::InstructionContested { instruction, .. }
            | Event::InstructionConfirmed { instruction, .. } => named(instruction),
            Event::ExportPermitted { grant, .. } | Event::ExportPermittedSingle { grant, .. } => named(&grant.export),
            Event::ExportRedeemed { export, .. }
            | Event::ChunkAuthorised { export, .. }
            | Event::ChunkRefused { export, stops: true, .. }
            | Event::ExportCompleted { export, .. }
            | Event::ExportAborted { export, .. }
            | Event::ExportSwept { export, .. }
            | Event::ExportReportedLate { export, .. } => named(export),
            Event::ExportsCompleted { completions } => completions.iter().for_each(|completion| named(&completion.export)),
            _ => {}
        }
    }
    fn last(&self, id: &str) -> Option<(u32, u64)> {
        self.0.get(id).copied()
    }
}

/// What the tables and the entries do not agree on; nothing when all is well.
#[must_use]
pub fn compare(rebuilt: &Facts, stored: &Facts, named: &Named) -> Vec<Unequal> {
    let mut found = Vec::new();
    sides("agreement", &rebuilt.agreements, &stored.agreements, named, &mut found);
    sides("suspension", &rebuilt.suspensions, &stored.suspensions, named, &mut found);
    sides("instruction", &rebuilt.instructions, &stored.instructions, named, &mut found);
    sides("export", &rebuilt.exports, &stored.exports, named, &mut found);
    if rebuilt.unconfirmed != stored.unconfirmed {
        found.push(Unequal {
            at: None,
            what: "whether the state is confirmed stands otherwise in the tables than its entries say".to_owned(),
        });
    }
    let versions: BTreeSet<_> = rebuilt.usage.keys().chain(stored.usage.keys()).collect();
    for version in versions {
        if rebuilt.usage.get(version) != stored.usage.get(version) {
            let of = rebuilt.exports.values().filter(|export| export.grant.instruction == *version);
            let at = of.filter_map(|export| named.last(&export.grant.export.to_string())).max();
            let what = format!("the used volume of {} version {} is not that of its exports", version.id, version.version);
            found.push(Unequal { at, what });
        }
    }
    found
}

fn sides<K: Ord + Display, V: PartialEq + Debug>(
    kind: &str,
    rebuilt: &BTreeMap<K, V>,
    stored: &BTreeMap<K, V>,
    named: &Named,
    found: &mut Vec<Unequal>,
) {
    let keys: BTreeSet<&K> = rebuilt.keys().chain(stored.keys()).collect();
    for key in keys {
        let what = match (rebuilt.get(key), stored.get(key)) {
            (Some(entries), Some(tables)) if entries == tables => continue,
            (Some(_), Some(_)) => format!("the {kind} {key} stands otherwise in the tables than its entries say"),
            (Some(_), None) => format!("the {kind} {key} has its entry, and no row"),
            (None, _) if named.last(&key.to_string()).is_some() => format!("the {kind} {key} has a row that its entries ended"),
            (None, _) => format!("the {kind} {key} has a row, and no entry"),
        };
        found.push(Unequal { at: named.last(&key.to_string()), what });
    }
}
