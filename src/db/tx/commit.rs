//! The end of a write. When the connection is lost between COMMIT and its answer, nobody knows
//! whether it happened; then its first entry is looked up under the log's head, which waits until
//! the lost session is over. What cannot be looked up is told as unknown, never as failed.

use std::sync::Arc;
use std::time::Duration;

use super::{Db, Lock, LogId, Role, WriteTx, set_tenant};
use crate::base::{Digest, EntryId, Error, Instant, Result};
use crate::db::notary::{CommittedHead, Notary, Standing, standing, tell_unkept};

/// How often a commit is looked up before its outcome is told as unknown.
const TRIES: u32 = 3;
/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(200);

/// What was committed, and who may sign for it.
pub struct Committed {
    signs: Option<(Arc<dyn Notary>, String)>,
}

impl Committed {
    /// Signs the checkpoint of a root that this transaction committed; `None` where nobody signs.
    #[must_use]
    pub fn sign(&self, origin: &str, size: u64, root: Digest) -> Option<String> {
        let (notary, kid) = self.signs.as_ref()?;
        notary.sign(kid, origin, size, root)
    }
}

impl WriteTx {
    /// Commits. Only `evidence::finish` calls this, after the entries.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the commit did not happen, [`Error::OutcomeUnknown`] when that
    /// cannot be said.
    pub(crate) async fn commit_with_entries(mut self) -> Result<Committed> {
        let standing = self.standing().await?;
        let mut heads = Vec::new();
        for (id, head) in std::mem::take(&mut self.heads) {
            if !head.changed {
                continue;
            }
            self.act_for(id).await?;
            let edge: Vec<u8> = head.edge.iter().flat_map(|d| d.0).collect();
            let size = i64::try_from(head.size).map_err(Error::internal)?;
            let done = sqlx::query!(
                "UPDATE log_head SET size = $2, edge = $3, last_at = $4 WHERE customer_id = $1",
                id.0,
                size,
                edge,
                head.last_at as Instant
            )
            .execute(&mut *self.tx)
            .await?;
            crate::db::ensure_one(&done)?;
            heads.push(CommittedHead { log: id, name: head.name, epoch: head.epoch, size: head.size, edge: head.edge });
        }
        if let Some(claim) = self.claim.take() {
            let receipts = std::mem::take(&mut self.receipts);
            claim.mark(&mut self.tx, self.role, self.now, receipts).await?;
        }
        let Self { tx, role, db, written, .. } = self;
        match (tx.commit().await, written) {
            (Ok(()), _) => {}
            (Err(error), Some((log, entry))) if is_without_answer(&error) => {
                if !db.is_committed(role, log, entry).await? {
                    return Err(Error::Unavailable { retry_after: 1, cause: "the commit did not happen" });
                }
            }
            (Err(error), _) => return Err(error.into()),
        }
        Ok(db.committed(standing, heads).await)
    }

    /// Who will sign for this commit. The gate's checkpoints are kept later, and so cost it nothing.
    /// What nobody could sign for is not committed.
    async fn standing(&mut self) -> Result<Option<Standing>> {
        let Some(notary) = self.db.notary().filter(|_| self.role != Role::Gate).cloned() else { return Ok(None) };
        let standing = standing(&mut self.tx).await?;
        if standing.kid.as_ref().is_some_and(|kid| !notary.has_key(kid)) {
            return Err(Error::Unavailable { retry_after: 5, cause: "the key of the logs is not here" });
        }
        Ok(Some(standing))
    }
}

/// True unless the server itself said that the COMMIT failed and the session went on.
fn is_without_answer(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(told) = error else { return true };
    // Classes 57P and 08: the session was ended, perhaps after the commit. 25P03 is an end too, but
    // of a session that waited for a COMMIT it had not seen.
    told.code().is_none_or(|code| code.starts_with("57P") || code.starts_with("08"))
}

impl Db {
    /// Keeps the checkpoints of what was committed just now, or has that done soon.
    async fn committed(&self, standing: Option<Standing>, heads: Vec<CommittedHead>) -> Committed {
        let Some(notary) = self.notary() else { return Committed { signs: None } };
        let Some(standing) = standing.filter(|standing| standing.kid.is_some()) else {
            notary.note(heads);
            return Committed { signs: None };
        };
        if let Err(error) = notary.keep(self, &standing, heads.clone()).await {
            tracing::warn!(cause = %error, "a checkpoint was not kept outside the database");
            notary.note(heads);
            tell_unkept();
        }
        Committed { signs: standing.kid.map(|kid| (Arc::clone(notary), kid)) }
    }

    /// Looks up whether the transaction that wrote this entry committed.
    async fn is_committed(&self, role: Role, log: LogId, entry: EntryId) -> Result<bool> {
        for attempt in 0..TRIES {
            if attempt > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            match self.look_up(role, log, entry).await {
                Ok(found) => {
                    tracing::warn!(found, "a commit without an answer was looked up");
                    return Ok(found);
                }
                Err(error) => tracing::warn!(cause = %error, "a commit without an answer could not be looked up"),
            }
        }
        Err(Error::OutcomeUnknown)
    }

    async fn look_up(&self, role: Role, log: LogId, entry: EntryId) -> Result<bool> {
        let mut tx = match self.write(role, "look_up_commit", Lock::Heads, log, &[]).await {
            Err(Error::NotFound) => return self.is_log_taken(role, log).await,
            tx => tx?,
        };
        let there = sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT 1 FROM log_entry WHERE customer_id = $1 AND id = $2) AS "there!""#,
            log.0,
            entry as EntryId
        );
        Ok(there.fetch_one(tx.conn()).await?)
    }

    /// A log that the transaction itself makes has no head to wait at: making it again waits for the
    /// lost session, and fails if that one made it. What is made here is not committed.
    async fn is_log_taken(&self, role: Role, log: LogId) -> Result<bool> {
        let mut tx = self.begin(role).await?;
        set_tenant(&mut tx, role, log).await?;
        let made =
            sqlx::query!("INSERT INTO log (id, kind, name) VALUES ($1, 'customer', 'unknown commit')", log.0).execute(&mut *tx).await;
        match made {
            Err(sqlx::Error::Database(told)) if told.is_unique_violation() => Ok(true),
            made => made.map(|_| false).map_err(Error::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_connection_leaves_the_outcome_open() {
        for error in [
            sqlx::Error::Io(std::io::ErrorKind::UnexpectedEof.into()),
            sqlx::Error::Protocol("cut off".to_owned()),
            sqlx::Error::WorkerCrashed,
        ] {
            assert!(is_without_answer(&error), "{error}");
        }
    }
}
