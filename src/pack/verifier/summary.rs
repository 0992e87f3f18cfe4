//! What a verified pack says, in words for somebody who does not read logs, and the same as JSON.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::leaves::Gathered;
use super::{Check, Report, Verdict};
use crate::base::{CustomerId, Instant};
use crate::pack::format::*;

/// What a pack holds.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// Whose evidence it is.
    pub customer: CustomerId,
    /// When it was made.
    pub made_at: Instant,
    /// By which version of the product.
    pub product: String,
    /// The logs.
    pub logs: Vec<LogPart>,
    /// Ids of the keys that the registry has published for the logs.
    pub keys: Vec<String>,
    /// Instants of the first and the last entry of the customer's log.
    pub span: Option<(Instant, Instant)>,
    /// Entries of the customer's log, by type.
    pub counts: BTreeMap<&'static str, u64>,
    /// Decisions that came out the same when they were decided again.
    pub decided: u64,
    /// Documents whose bytes are there.
    pub documents: u64,
    /// The period, if one was chosen.
    pub period: Option<Period>,
    /// What it leaves out.
    pub left_out: LeftOut,
    /// What was erased.
    pub erased: Erased,
    /// Checkpoints that were pinned.
    pub pinned: usize,
}

impl Summary {
    pub(super) fn of(manifest: Manifest, gathered: &Gathered, decided: u64, pinned: usize) -> Self {
        let documents = manifest.files.iter().filter(|part| part.name.starts_with(DOCUMENTS)).count() as u64;
        Self {
            customer: manifest.customer,
            made_at: manifest.made_at,
            product: manifest.product,
            logs: manifest.logs,
            keys: gathered.keys.iter().map(|key| key.kid.clone()).collect(),
            span: gathered.span,
            counts: gathered.counts.clone(),
            decided,
            documents,
            period: manifest.period,
            left_out: manifest.left_out,
            erased: manifest.erased,
            pinned,
        }
    }
    fn count(&self, words: &[&str]) -> u64 {
        words.iter().filter_map(|word| self.counts.get(word)).sum()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Evidence of {}, made {} by Mandate {}.", self.customer, self.made_at, self.product)?;
        if let Some((first, last)) = self.span {
            let entries: u64 = self.counts.values().sum();
            writeln!(f, "Its log holds {entries} entries, from {first} to {last}.")?;
        }
        writeln!(f)?;
        let lines = [
            ("instructions signed", self.count(&["instruction.signed"])),
            ("instructions withdrawn", self.count(&["instruction.revoked"])),
            ("exports permitted", self.count(&["export.permitted", "export.single_permitted"])),
            ("permits redeemed", self.count(&["export.redeemed", "export.single_permitted"])),
            ("chunks allowed", self.count(&["export.chunk_authorised", "export.single_permitted"])),
            ("exports refused", self.count(&["export.refused"])),
            ("redemptions refused", self.count(&["export.redemption_refused"])),
            ("chunks refused", self.count(&["export.chunk_refused"])),
            ("dry runs", self.count(&["export.tried"])),
            ("decisions decided again, with the same outcome", self.decided),
            ("documents, with their bytes", self.documents),
            ("subject lists erased", self.erased.subjects.values().sum()),
            ("documents erased", self.erased.documents),
        ];
        for (what, count) in lines {
            writeln!(f, "  {count:>9}  {what}")?;
        }
        for (word, count) in &self.erased.subjects {
            writeln!(f, "             of the erased subject lists, {count} of {word}")?;
        }
        if let Some(period) = self.period {
            writeln!(
                f,
                "\nThe pack was asked for the period from {} to {}. Outside it, the records of {} refusals",
                period.from_at, period.until_at, self.left_out.records
            )?;
            writeln!(f, "and dry runs and the bytes of {} documents are left out; they were not checked.", self.left_out.documents)?;
        }
        writeln!(f, "\nThe logs are signed with:")?;
        for key in &self.keys {
            writeln!(f, "  {key}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.verdict {
            Verdict::Verified => {
                writeln!(f, "VERIFIED. Nothing was changed, removed, reordered or back-dated. Every signature was made by a person")?;
                writeln!(f, "with the authority for it, every export had a signed instruction in force, and every decision")?;
                writeln!(f, "comes out the same when it is decided again from the entries before it.\n")?;
            }
            Verdict::Tampered => writeln!(f, "TAMPERED. This is not what was recorded:\n")?,
            Verdict::Undecided => writeln!(f, "CANNOT BE DECIDED. Nothing is shown by this pack as it is:\n")?,
        }
        for finding in &self.findings {
            writeln!(f, "  {}: {} ({})", finding.place, finding.what, words(finding.check))?;
        }
        if self.found > self.findings.len() as u64 {
            writeln!(f, "  and {} more", self.found - self.findings.len() as u64)?;
        }
        if let Some(summary) = self.summary.as_ref().filter(|_| self.verdict == Verdict::Verified) {
            write!(f, "{summary}")?;
            writeln!(f, "\nCompare these ids with what Mandate publishes, or give the key with --key.")?;
            match summary.pinned {
                0 => writeln!(
                    f,
                    "No earlier checkpoint was given. Who holds both the key and the database could have written another\nhistory: give the checkpoints that you received with --pinned."
                )?,
                1 => writeln!(f, "The earlier checkpoint that was given is a beginning of this log.")?,
                more => writeln!(f, "The {more} earlier checkpoints that were given are beginnings of this log.")?,
            }
        }
        Ok(())
    }
}

const fn words(check: Check) -> &'static str {
    match check {
        Check::Form => "form of the pack",
        Check::Trees => "check 1: signatures and trees",
        Check::Commitments => "check 2: records and subjects",
        Check::Documents => "check 3: documents",
        Check::Pinned => "check 4: pinned checkpoints",
        Check::Decisions => "check 5: decisions decided again",
        Check::Mandates => "check 6: authority, instructions in force, counts",
        Check::Erasures => "check 7: erasures",
    }
}
