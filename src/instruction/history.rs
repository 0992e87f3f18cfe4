//! The history of an instruction, told from the rows of what happened to it: drafted, signed,
//! contested, confirmed, withdrawn, and what time or use did to its versions. Pure.

use super::model::{Instruction, Version};
use crate::base::Instant;

crate::words! {
    /// What happened to an instruction.
    pub enum Happening {
        /// Its first draft was made.
        Drafted = "drafted",
        /// The draft of its next version was written or changed last.
        DraftChanged = "draft_changed",
        /// A version was signed.
        Signed = "signed",
        /// A version was marked as appearing to infringe the law.
        Contested = "contested",
        /// A contested version was confirmed in writing.
        Confirmed = "confirmed",
        /// A newer version's window began.
        Superseded = "superseded",
        /// A version's window ended.
        Expired = "expired",
        /// A one-time version was used.
        Exhausted = "exhausted",
        /// All versions were withdrawn.
        Revoked = "revoked",
    }
}

/// Where an entry stands in the customer's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct EntryPlace {
    /// Epoch of the log.
    pub epoch: u32,
    /// Index in it.
    pub index: u64,
}

/// One line of an instruction's history.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct HistoryLine {
    /// When.
    pub at: Instant,
    /// What happened.
    pub happening: Happening,
    /// To which version; null: to all.
    pub version: Option<u32>,
    /// Who did it; null where time or use did.
    pub actor: Option<String>,
    /// The entry of a signature.
    pub entry: Option<EntryPlace>,
}

fn line(at: Instant, happening: Happening, version: Option<u32>) -> HistoryLine {
    HistoryLine { at, happening, version, actor: None, entry: None }
}

impl HistoryLine {
    fn by(mut self, actor: impl std::fmt::Display) -> Self {
        self.actor = Some(actor.to_string());
        self
    }
}

/// Everything that happened up to `now`, in order of time.
pub fn history(instruction: &Instruction, now: Instant) -> Vec<HistoryLine> {
    let mut lines = vec![line(instruction.created_at, Happening::Drafted, None)];
    for (number, version) in &instruction.versions {
        done(*number, version, &mut lines);
    }
    for (number, version) in &instruction.versions {
        came(instruction, *number, version, now, &mut lines);
    }
    if let Some(draft) = &instruction.draft {
        lines.push(line(draft.changed_at, Happening::DraftChanged, Some(draft.version)).by(&draft.prepared_by));
    }
    if let Some((at, by)) = instruction.revoked {
        lines.push(line(at, Happening::Revoked, None).by(by));
    }
    // Stable: what happened in one millisecond stays in the order above.
    lines.sort_by_key(|line| line.at);
    lines
}

/// What people did to a version.
fn done(number: u32, version: &Version, lines: &mut Vec<HistoryLine>) {
    let (epoch, index) = version.signed;
    let mut signed = line(version.signed_at, Happening::Signed, Some(number)).by(version.signed_by);
    signed.entry = Some(EntryPlace { epoch, index });
    lines.push(signed);
    for contest in &version.contests {
        lines.push(line(contest.at, Happening::Contested, Some(number)).by(&contest.by));
        if let Some(confirmation) = &contest.confirmation {
            lines.push(line(confirmation.at, Happening::Confirmed, Some(number)).by(confirmation.by));
        }
    }
}

/// What time and use did to a version; nothing of that happens to one that is withdrawn.
fn came(instruction: &Instruction, number: u32, version: &Version, now: Instant, lines: &mut Vec<HistoryLine>) {
    let end = instruction.revoked.map_or(now, |(at, _)| at.min(now));
    let newer = instruction.versions.iter().filter(|(other, _)| **other > number).map(|(_, newer)| newer.valid_from).min();
    let used = version.used_at.filter(|_| version.scope.once);
    for (at, happening) in [(newer, Happening::Superseded), (version.valid_until, Happening::Expired), (used, Happening::Exhausted)] {
        if let Some(at) = at.filter(|at| *at <= end) {
            lines.push(line(at, happening, Some(number)));
        }
    }
}
