//! Running the checks: all of every log for operations, and at a start what was added since the size
//! verified last. What fails is quarantined, with an alarm and an entry of the processor's log.

use std::fmt;

use serde::Serialize;

use super::decide::Difference;
use super::passage::{Checked, check_log, verified};
use super::store::{self, Quarantine};
use crate::app::App;
use crate::base::{Error, Order, PageQuery, Result};
use crate::db::{Db, Lock, LogId, Role};
use crate::evidence::{Actor, Event, LogView, NewEntry, Outside, append, begin_quarantine, finish, logs, origin};
use crate::log::list_log_keys;

crate::words! {
    /// What a check came to.
    pub enum Verdict {
        /// Everything is as it was recorded.
        Clean = "clean",
        /// Something is not.
        Differs = "differs",
        /// Nothing that was checked differs, and something could not be checked.
        Undecided = "undecided",
    }
}

/// What was found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// How many logs were checked.
    pub logs: u64,
    /// How many entries were read.
    pub entries: u64,
    /// What is not as it was recorded: by log, in index order.
    pub differences: Vec<Difference>,
    /// What could not be checked.
    pub undecided: Vec<Difference>,
    /// The logs that are in quarantine now, by name.
    pub quarantined: Vec<String>,
}

impl Report {
    /// What it comes to.
    #[must_use]
    pub const fn verdict(&self) -> Verdict {
        match (self.differences.is_empty(), self.undecided.is_empty()) {
            (false, _) => Verdict::Differs,
            (true, false) => Verdict::Undecided,
            (true, true) => Verdict::Clean,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |difference: &Difference| match difference.index {
            Some(index) => format!("{} index {index}: {}", difference.origin, difference.what),
            None => format!("{}: {}", difference.origin, difference.what),
        };
        for difference in &self.differences {
            writeln!(f, "DIFFERS {}", place(difference))?;
        }
        for undecided in &self.undecided {
            writeln!(f, "UNCHECKED {}", place(undecided))?;
        }
        for name in &self.quarantined {
            writeln!(f, "QUARANTINED {name}")?;
        }
        write!(f, "{}: {} logs, {} entries, {} differences", self.verdict(), self.logs, self.entries, self.differences.len())
    }
}

/// The public keys of the logs.
async fn keys(db: &Db) -> Result<Vec<[u8; 32]>> {
    let keys = list_log_keys(db).await?;
    Ok(keys.into_iter().filter_map(|key| key.public_key.try_into().ok()).collect())
}

/// The next logs in id order.
async fn some(db: &Db, after: Option<uuid::Uuid>) -> Result<Vec<LogView>> {
    let mut page = PageQuery::read(Some("100"), None, "logs", Order::Id)?;
    page.after = after;
    let mut read = db.read(Role::OpsRead, "fsck_logs", LogId::REGISTRY).await?;
    logs(read.conn(), &page).await
}

/// The logs in quarantine.
///
/// # Errors
/// When the database does not answer.
pub async fn quarantined(db: &Db) -> Result<Vec<Quarantine>> {
    let mut read = db.read(Role::OpsRead, "quarantines", LogId::REGISTRY).await?;
    store::quarantines(read.conn()).await
}

/// Checks every log, or the one of this name, wholly, with its effects. A log that fails is quarantined.
///
/// # Errors
/// When the database does not answer; [`Error::NotFound`] when there is no log of this name.
pub async fn check(db: &Db, outside: &Outside, only: Option<&str>, mut progress: impl FnMut(&Report)) -> Result<Report> {
    let keys = keys(db).await?;
    let (mut report, mut after) = (Report::default(), None);
    loop {
        let page = some(db, after).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id());
        for log in page.iter().filter(|log| only.is_none_or(|name| log.name() == name)) {
            take(db, outside, log, check_log(db, log, None, outside, &keys).await, &mut report).await?;
            progress(&report);
        }
    }
    headless(db, only, &mut report).await?;
    if only.is_some() && report.logs == 0 {
        return Err(Error::NotFound);
    }
    report.quarantined = quarantined(db).await?.into_iter().map(|quarantine| quarantine.name).collect();
    Ok(report)
}

/// Takes the logs that have no head into the report: they can be neither read nor written.
async fn headless(db: &Db, only: Option<&str>, report: &mut Report) -> Result<()> {
    let mut read = db.read(Role::OpsRead, "fsck_heads", LogId::REGISTRY).await?;
    let found = store::without_head(read.conn()).await?;
    drop(read);
    for (log, name) in found.into_iter().filter(|(_, name)| only.is_none_or(|only| name == only)) {
        report.logs += 1;
        let first = Difference { origin: origin(&name, 1), index: Some(0), what: "the log has no head".to_owned() };
        quarantine(db, (log, &name), &first).await?;
        report.differences.push(first);
    }
    Ok(())
}

/// Takes what became of one log into the report, and does what follows from it.
async fn take(db: &Db, outside: &Outside, log: &LogView, checked: Result<Checked>, report: &mut Report) -> Result<()> {
    report.logs += 1;
    let checked = match checked {
        Ok(checked) => checked,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
            let what = format!("it could not be checked: {error}{cause}");
            report.undecided.push(Difference { origin: log.origin.clone(), index: None, what });
            return Ok(());
        }
    };
    report.entries += checked.entries;
    if let Some(first) = checked.differences.first() {
        quarantine(db, (LogId(log.id()), log.name()), first).await?;
    } else if checked.undecided.is_empty() {
        let reached = checked.reached;
        if reached.epoch == log.epoch
            && reached.size > 0
            && let Err(error) = outside.note_verified(&log.origin, reached.size, reached.root)
        {
            // The next start reads more than it had to, and no less.
            tracing::warn!(cause = %error, "the size that was verified was not noted");
        }
    }
    report.differences.extend(checked.differences);
    report.undecided.extend(checked.undecided);
    Ok(())
}

/// Quarantines a log, with an alarm. Without its entry where that cannot be made: a log that failed must
/// stand still all the same.
async fn quarantine(db: &Db, (id, name): (LogId, &str), first: &Difference) -> Result<()> {
    let place = first.index.map(|index| format!(" index {index}")).unwrap_or_default();
    let cause = format!("{}{place}: {}", first.origin, first.what);
    tracing::error!(log = name, cause, "ALARM: a log failed its check and is in quarantine");
    metrics::counter!("log_quarantines_total").increment(1);
    let event = Event::LogQuarantined { log: name.to_owned(), cause: cause.clone() };
    // The processor's own log, once it has failed, takes no entry that says so.
    if id != LogId::PROCESSOR
        && let Ok(mut tx) = db.write(Role::Ops, "quarantine", Lock::Heads, LogId::PROCESSOR, &[]).await
    {
        tx.act_for(id).await?;
        let now = tx.now();
        let is_new = begin_quarantine(tx.conn(), id, &cause, now).await?;
        tx.act_for(LogId::PROCESSOR).await?;
        if is_new {
            append(&mut tx, &NewEntry::new(LogId::PROCESSOR, name, &Actor::system(), event)).await?;
            finish(tx).await?;
        }
        return Ok(());
    }
    let mut tx = db.housekeeping(Role::Ops, "quarantine", id).await?;
    let now = tx.now();
    begin_quarantine(tx.conn(), id, &cause, now).await?;
    tx.commit_housekeeping().await
}

/// Ends the quarantine of the log of this name, after a check of all of it that finds nothing. Gives what
/// the check found: the quarantine has ended if it is clean.
///
/// # Errors
/// [`Error::Conflict`] when the log is not in quarantine; when the database does not answer.
pub async fn release(db: &Db, outside: &Outside, name: &str) -> Result<Report> {
    let held = quarantined(db).await?.into_iter().find(|quarantine| quarantine.name == name);
    let held = held.ok_or_else(|| Error::conflict("log_not_quarantined", "No log of this name is in quarantine."))?;
    let mut report = check(db, outside, Some(name), |_| {}).await?;
    if report.verdict() != Verdict::Clean {
        return Ok(report);
    }
    let event = Event::LogQuarantineEnded { log: name.to_owned() };
    let mut tx = db.housekeeping(Role::Ops, "end quarantine", held.log).await?;
    store::end(tx.conn(), held.log).await?;
    tx.commit_housekeeping().await?;
    // Only now: while the registry or the processor's log is held, nothing can be recorded.
    let mut tx = db.write(Role::Ops, "note end of quarantine", Lock::Heads, LogId::PROCESSOR, &[]).await?;
    append(&mut tx, &NewEntry::new(LogId::PROCESSOR, name, &Actor::system(), event)).await?;
    finish(tx).await?;
    report.quarantined.retain(|quarantined| quarantined != name);
    Ok(report)
}

/// Checks what was added to each log since the size that was verified last; the whole log where none
/// was. Without effects, which `check` compares. Says whether the registry may be written to.
///
/// # Errors
/// When the database does not answer.
pub async fn check_at_start(app: &App) -> Result<bool> {
    let (db, outside) = (&app.db, app.notary.outside());
    let keys = keys(db).await?;
    let held: Vec<LogId> = quarantined(db).await?.into_iter().map(|quarantine| quarantine.log).collect();
    let (mut report, mut after) = (Report::default(), None);
    loop {
        let page = some(db, after).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id());
        for log in page.iter().filter(|log| log.size > 0 && !held.contains(&LogId(log.id()))) {
            let verified = verified(log, outside);
            if verified.is_some_and(|verified| (verified.size, verified.root) == (log.size, log.root)) {
                continue;
            }
            let checked = check_since(db, log, verified, outside, &keys).await;
            take(db, outside, log, checked, &mut report).await?;
        }
    }
    headless(db, None, &mut report).await?;
    for undecided in &report.undecided {
        tracing::warn!(origin = undecided.origin, index = undecided.index, cause = undecided.what, "a log could not be checked");
    }
    tracing::info!(logs = report.logs, entries = report.entries, differences = report.differences.len(), "the logs were checked");
    Ok(!quarantined(db).await?.iter().any(|quarantine| quarantine.log == LogId::REGISTRY))
}

/// A log that is shorter than what was verified of it is read from its first entry: where it differs is
/// found there, and that it is shorter is told.
async fn check_since(db: &Db, log: &LogView, verified: Option<super::Reached>, outside: &Outside, keys: &[[u8; 32]]) -> Result<Checked> {
    let since = verified.filter(|verified| verified.size <= log.size);
    let mut checked = check_log(db, log, since, outside, keys).await?;
    if let Some(verified) = verified.filter(|verified| verified.size > log.size) {
        let what = format!("the log ends here, and {} entries were verified before", verified.size);
        checked.differences.push(Difference { origin: log.origin.clone(), index: Some(log.size), what });
    }
    Ok(checked)
}
