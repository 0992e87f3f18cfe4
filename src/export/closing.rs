//! How an export ends: which report fits its state, when the service closes one that never ends,
//! and what was delivered against what chunks authorised. A report changes nothing that was
//! permitted, and no volume is returned on the platform's word alone. Pure.

use std::collections::{BTreeMap, BTreeSet};

use chrono::Duration;

use crate::base::{Error, Instant, Result, Volume};
use crate::evidence::{Closed, Deviation, ExportFacts, Reconciliation};

/// How long an export may run without a redemption or a chunk before the service closes it, in
/// hours: a nightly batch of completions that failed once still comes in time when it is sent
/// again the next morning.
pub const SILENT_HOURS: i64 = 36;

/// What a report of completion does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completion {
    /// It ends the export.
    Ends,
    /// The service had closed the export, or a restore had made it void: the report is recorded and told,
    /// once, and changes nothing. Of a void one the redemption may be among the entries that were lost.
    Late,
}

/// Says whether a report of completion fits the export's state, and what it does.
///
/// # Errors
/// [`Error::Conflict`] when it was not redeemed, or is closed already; also when it was reported late
/// before.
pub fn may_complete(export: &ExportFacts) -> Result<Completion> {
    if matches!(export.closed, Some(Closed::Swept | Closed::Voided)) && !export.reported_late {
        return Ok(Completion::Late);
    }
    may_abort(export)?;
    let unredeemed = Error::conflict("export-not-redeemed", "Redeem the permit before reporting completion.");
    if export.redeemed { Ok(Completion::Ends) } else { Err(unredeemed) }
}

/// Says whether a report of abortion fits the export's state.
///
/// # Errors
/// [`Error::Conflict`] when it is closed already.
pub const fn may_abort(export: &ExportFacts) -> Result<()> {
    match export.closed {
        None => Ok(()),
        Some(Closed::Completed) => Err(Error::conflict("export-completed", "The export was reported complete already.")),
        Some(Closed::Aborted) => Err(Error::conflict("export-aborted", "The export was aborted already.")),
        Some(Closed::Voided) => Err(Error::conflict(
            "export-void",
            "The export is of a time before data of the service was restored from a backup, and is void. What was delivered can be reported once, as a completion.",
        )),
        Some(Closed::Swept) => Err(Error::conflict(
            "export-swept",
            "The export was closed because nothing was heard of it, and its customer was told. What was delivered can be reported once, as a completion.",
        )),
    }
}

/// The latest sign of life of an export that the service closes at `now`.
#[must_use]
pub fn silent_since(now: Instant) -> Instant {
    now.plus(-Duration::hours(SILENT_HOURS))
}

/// True if the service closes the export at `now`.
#[must_use]
pub fn may_sweep(export: &ExportFacts, now: Instant) -> bool {
    export.runs() && export.active_at.is_some_and(|at| at <= silent_since(now))
}

/// What is told to have been delivered, against what the chunks authorised. A dimension that no
/// chunk stated cannot differ, unless there was no chunk at all. An abortion may deliver less than
/// was authorised and need not say how much; a completion must agree in every dimension.
///
/// What goes back to the instruction is what no chunk authorised and the platform does not itself
/// say to have delivered.
#[must_use]
pub fn reconcile(export: &ExportFacts, how: Closed, delivered: &Volume) -> Reconciliation {
    let exact = how == Closed::Completed;
    let mut differences = BTreeMap::new();
    if exact && export.chunks == 0 {
        differences.insert("chunks".to_owned(), Deviation::Missing);
    }
    for ((name, authorised), (_, delivered)) in export.authorised.parts().into_iter().zip(delivered.parts()) {
        let deviation = match (authorised, delivered) {
            (Some(authorised), Some(delivered)) if delivered > authorised => Some(Deviation::More),
            (Some(authorised), Some(delivered)) if delivered < authorised => exact.then_some(Deviation::Fewer),
            (Some(_), None) => exact.then_some(Deviation::Missing),
            (None, Some(delivered)) if export.chunks == 0 && delivered > 0 => Some(Deviation::More),
            _ => None,
        };
        differences.extend(deviation.map(|deviation| (name.to_owned(), deviation)));
    }
    let rest = |reserved: Option<u64>, authorised: Option<u64>, delivered: Option<u64>| {
        let left = authorised.unwrap_or(0).max(delivered.unwrap_or(0));
        reserved.filter(|_| export.redeemed).map(|reserved| reserved.saturating_sub(left))
    };
    let (reserved, authorised) = (&export.request.volume, &export.authorised);
    let returned = Volume {
        rows: rest(reserved.rows, authorised.rows, delivered.rows),
        files: rest(reserved.files, authorised.files, delivered.files),
        bytes: rest(reserved.bytes, authorised.bytes, delivered.bytes),
    };
    Reconciliation { chunks: export.chunks, authorised: export.authorised, returned, differences }
}

/// The same of a report that came after the service had closed the export: what was returned then
/// stays returned, and nothing goes back on the platform's late word.
#[must_use]
pub fn reconcile_late(export: &ExportFacts, delivered: &Volume) -> Reconciliation {
    Reconciliation { returned: Volume::default(), ..reconcile(export, Closed::Completed, delivered) }
}

/// The dimensions in which more was delivered than permitted.
#[must_use]
pub fn over(permitted: &Volume, delivered: &Volume) -> BTreeSet<String> {
    let both = permitted.parts().into_iter().zip(delivered.parts());
    both.filter(|((_, most), (_, given))| given.unwrap_or(0) > most.unwrap_or(u64::MAX)).map(|((name, _), _)| name.to_owned()).collect()
}
