//! All SQL of restores: the one that is being taken in, the epochs that it opens, and who confirmed
//! the state with which an epoch began.

use sqlx::postgres::PgConnection;

use crate::base::*;
use crate::db::{LogId, WriteTx};
use crate::evidence::{EndedEpoch, RestoreGround, head_of};
use crate::identity::Signatory;

use super::decide::Database;
use super::narrowing::Narrowing;
use super::processor::{ApiKey, PermitKey, PlatformStop, ProcessorState, Staff};

/// A connection in a transaction.
pub(super) type Connection = PgConnection;

/// A restore that is being taken in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Restore {
    pub id: RestoreId,
    pub ground: RestoreGround,
    pub registry_shorter: bool,
}

/// The restore that is not finished, if there is one.
pub(super) async fn unfinished(conn: &mut PgConnection) -> Result<Option<Restore>> {
    let row = sqlx::query!(r#"SELECT id AS "id: RestoreId", ground, registry_shorter FROM restore WHERE finished_at IS NULL"#);
    let Some(row) = row.fetch_optional(conn).await? else { return Ok(None) };
    let ground = row.ground.parse().map_err(Error::internal)?;
    Ok(Some(Restore { id: row.id, ground, registry_shorter: row.registry_shorter }))
}

/// Begins to take a restore in; every session ends with it. How many did.
pub(super) async fn begin(tx: &mut WriteTx, restore: &Restore, database: &Database) -> Result<i64> {
    let now = tx.now();
    sqlx::query!(
        "INSERT INTO restore (id, ground, registry_shorter, system_identifier, timeline, began_at) VALUES ($1, $2, $3, $4, $5, $6)",
        restore.id as RestoreId,
        restore.ground.word(),
        restore.registry_shorter,
        database.system_identifier,
        i64::from(database.timeline),
        now as Instant
    )
    .execute(tx.conn())
    .await?;
    Ok(sqlx::query_scalar!(r#"SELECT end_sessions($1) AS "ended!""#, now as Instant).fetch_one(tx.conn()).await?)
}

/// The logs in quarantine.
pub(super) async fn quarantined(conn: &mut PgConnection) -> Result<Vec<uuid::Uuid>> {
    Ok(sqlx::query_scalar!("SELECT customer_id FROM log_quarantine").fetch_all(conn).await?)
}

/// Ends the access of one of the staff. False if it has ended.
pub(super) async fn end_staff(tx: &mut WriteTx, id: OpsPersonId) -> Result<bool> {
    let now = tx.now();
    let done = sqlx::query!("UPDATE ops_person SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL", id as OpsPersonId, now as Instant);
    Ok(done.execute(tx.conn()).await?.rows_affected() == 1)
}

/// Ends it, once every log has opened its epoch. False if another process did.
pub(super) async fn finish(conn: &mut PgConnection, id: RestoreId, now: Instant) -> Result<bool> {
    let done = sqlx::query!("UPDATE restore SET finished_at = $2 WHERE id = $1 AND finished_at IS NULL", id as RestoreId, now as Instant);
    Ok(done.execute(conn).await?.rows_affected() == 1)
}

/// True if the log has opened its epoch for this restore.
pub(super) async fn has_opened(conn: &mut PgConnection, log: LogId, restore: RestoreId) -> Result<bool> {
    let found = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM log_epoch WHERE customer_id = $1 AND restore_id = $2) AS "opened!""#,
        log.0,
        restore as RestoreId
    );
    Ok(found.fetch_one(conn).await?)
}

fn signed(number: impl TryInto<i64>) -> Result<i64> {
    number.try_into().map_err(|_| Error::internal("a number larger than a column holds"))
}

/// Opens a log's next epoch: an empty tree, which the transaction's next entry begins.
pub(super) async fn open(tx: &mut WriteTx, restore: &Restore, ended: &[EndedEpoch], next: u32, unconfirmed: bool) -> Result<()> {
    let (log, now, epoch) = (tx.home(), tx.now(), i32::try_from(next).map_err(Error::internal)?);
    let moved = sqlx::query_scalar!(r#"SELECT open_epoch($1, $2) AS "moved!""#, log.0, epoch).fetch_one(tx.conn()).await?;
    if !moved {
        return Err(Error::internal("a head that did not open its epoch"));
    }
    let head = tx.head(log)?;
    (head.epoch, head.size) = (epoch, 0);
    head.edge.clear();
    let missing = ended.iter().find_map(|ended| ended.missing.map(|missing| (ended.epoch, missing)));
    sqlx::query!(
        "INSERT INTO log_epoch (customer_id, epoch, restore_id, missing_epoch, missing_from, missing_until, unconfirmed, opened_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        log.0,
        epoch,
        restore.id as RestoreId,
        missing.map(|(epoch, _)| i32::try_from(epoch)).transpose().map_err(Error::internal)?,
        missing.map(|(_, (from, _))| signed(from)).transpose()?,
        missing.map(|(_, (_, until))| signed(until)).transpose()?,
        unconfirmed,
        now as Instant
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Suspends the authority of every member, as a recovery would.
pub(super) async fn suspend_authority(tx: &mut WriteTx, restore: &Restore) -> Result<()> {
    let (log, now) = (tx.home(), tx.now());
    sqlx::query!(
        "INSERT INTO authority_suspension (customer_id, membership_id, recovery_id, suspended_at)
         SELECT customer_id, id, $2, $3 FROM membership WHERE customer_id = $1 AND ended_at IS NULL",
        log.0,
        restore.id.uuid(),
        now as Instant
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// How far the logs are in the database, by name.
pub(super) struct Opened {
    pub log: String,
    pub epoch: i32,
    pub restore: RestoreId,
    pub missing_epoch: Option<i32>,
    pub missing_from: Option<i64>,
    pub missing_until: Option<i64>,
    pub unconfirmed: bool,
    pub opened_at: Instant,
    pub confirmed_at: Option<Instant>,
    pub supplied: i64,
}

/// Epochs that restores opened: of all logs as ops reads, in a customer's transaction of its own.
pub(super) async fn opened(conn: &mut PgConnection, log: Option<LogId>) -> Result<Vec<Opened>> {
    let rows = sqlx::query_as!(
        Opened,
        r#"SELECT l.name AS log, e.epoch, e.restore_id AS "restore: RestoreId", e.missing_epoch, e.missing_from, e.missing_until, e.unconfirmed,
                  e.opened_at AS "opened_at: Instant", e.confirmed_at AS "confirmed_at: Instant",
                  (SELECT count(*) FROM supplied_entry s WHERE s.customer_id = e.customer_id AND s.epoch = e.missing_epoch
                     AND s.index BETWEEN e.missing_from AND e.missing_until) AS "supplied!"
           FROM log_epoch e JOIN log l ON l.id = e.customer_id
           WHERE $1::uuid IS NULL OR e.customer_id = $1 ORDER BY e.customer_id, e.epoch"#,
        log.map(|log| log.0)
    );
    Ok(rows.fetch_all(conn).await?)
}

/// Notes who confirmed the state with which the present epoch began, and with it those before.
pub(super) async fn confirm(tx: &mut WriteTx, by: Signatory, customer: CustomerId) -> Result<()> {
    let now = tx.now();
    let done = sqlx::query!(
        "UPDATE log_epoch SET confirmed_at = $2, confirmed_by = $3 WHERE customer_id = $1 AND unconfirmed AND confirmed_at IS NULL",
        customer as CustomerId,
        now as Instant,
        by.membership() as MembershipId
    )
    .execute(tx.conn())
    .await?;
    if done.rows_affected() == 0 {
        return Err(Error::internal("a state that nobody has to confirm"));
    }
    Ok(())
}

/// True if what an act of a supplied entry ended is not ended now. What is not here at all needs no ending, and
/// authority that was granted since the loss is another one.
pub(super) async fn is_open(conn: &mut PgConnection, log: LogId, act: &Narrowing, now: Instant) -> Result<bool> {
    let open = match act {
        Narrowing::Withdrawn(id) => sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT 1 FROM instruction_version v WHERE v.customer_id = $1 AND v.instruction_id = $2)
                  AND NOT EXISTS (SELECT 1 FROM instruction_revocation r WHERE r.customer_id = $1 AND r.instruction_id = $2) AS "open!""#,
            log.0,
            *id as InstructionId
        )
        .fetch_one(conn),
        Narrowing::Used(export, instruction) => sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT 1 FROM instruction_version v WHERE v.customer_id = $1 AND (v.scope ->> 'once')::boolean
                  AND v.instruction_id = COALESCE($3, (SELECT x.instruction_id FROM export x WHERE x.customer_id = $1 AND x.id = $2))
                  AND NOT EXISTS (SELECT 1 FROM instruction_revocation r WHERE r.customer_id = $1 AND r.instruction_id = v.instruction_id)) AS "open!""#,
            log.0,
            *export as ExportId,
            *instruction as Option<InstructionId>
        )
        .fetch_one(conn),
        Narrowing::Contested(id, version) => sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT 1 FROM instruction_version v WHERE v.customer_id = $1 AND v.instruction_id = $2 AND v.version = $3)
                  AND NOT EXISTS (SELECT 1 FROM instruction_revocation r WHERE r.customer_id = $1 AND r.instruction_id = $2)
                  AND NOT EXISTS (SELECT 1 FROM instruction_contest c WHERE c.customer_id = $1 AND c.instruction_id = $2 AND c.version = $3
                      AND NOT EXISTS (SELECT 1 FROM instruction_confirmation f WHERE f.customer_id = $1 AND f.contest_id = c.id)) AS "open!""#,
            log.0,
            *id as InstructionId,
            i32::try_from(*version).map_err(Error::internal)?
        )
        .fetch_one(conn),
        Narrowing::Superseded(id, version) => sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT 1 FROM instruction_version v WHERE v.customer_id = $1 AND v.instruction_id = $2 AND v.version < $3)
                  AND NOT EXISTS (SELECT 1 FROM instruction_version v WHERE v.customer_id = $1 AND v.instruction_id = $2 AND v.version >= $3)
                  AND NOT EXISTS (SELECT 1 FROM instruction_revocation r WHERE r.customer_id = $1 AND r.instruction_id = $2) AS "open!""#,
            log.0,
            *id as InstructionId,
            i32::try_from(*version).map_err(Error::internal)?
        )
        .fetch_one(conn),
        Narrowing::Suspended(by) => sqlx::query_scalar!(
            r#"SELECT NOT EXISTS (SELECT 1 FROM suspension WHERE customer_id = $1 AND made_by = $2 AND released_at IS NULL) AS "open!""#,
            log.0,
            by
        )
        .fetch_one(conn),
        Narrowing::Terminated(id) => sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT 1 FROM agreement WHERE customer_id = $1 AND id = $2 AND accepted_at IS NOT NULL AND terminated_at IS NULL) AS "open!""#,
            log.0,
            *id as AgreementId
        )
        .fetch_one(conn),
        people => return is_open_of_people(conn, log, people, now).await,
    };
    Ok(open.await?)
}

async fn is_open_of_people(conn: &mut PgConnection, log: LogId, act: &Narrowing, now: Instant) -> Result<bool> {
    let open = match act {
        Narrowing::MembershipEnded(id) => sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT 1 FROM membership WHERE customer_id = $1 AND id = $2 AND ended_at IS NULL) AS "open!""#,
            log.0,
            *id as MembershipId
        )
        .fetch_one(conn),
        Narrowing::AuthorityEnded(id, kind) => sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT 1 FROM authority WHERE customer_id = $1 AND membership_id = $2 AND kind = $3 AND ended_at IS NULL
                  AND granted_at < (SELECT max(opened_at) FROM log_epoch WHERE customer_id = $1 AND missing_epoch IS NOT NULL)) AS "open!""#,
            log.0,
            *id as MembershipId,
            kind
        )
        .fetch_one(conn),
        Narrowing::KeyRevoked(id) => sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT 1 FROM api_key WHERE customer_id = $1 AND id = $2 AND revoked_at IS NULL AND expires_at > $3) AS "open!""#,
            log.0,
            *id as ApiKeyId,
            now as Instant
        )
        .fetch_one(conn),
        Narrowing::SignatoryWithdrawn(id) => sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT 1 FROM first_signatory f WHERE f.customer_id = $1 AND f.id = $2 AND f.withdrawn_at IS NULL
                  AND NOT EXISTS (SELECT 1 FROM membership m WHERE m.customer_id = $1 AND m.id = f.membership_id AND m.ended_at IS NOT NULL)) AS "open!""#,
            log.0,
            *id as FirstSignatoryId
        )
        .fetch_one(conn),
        Narrowing::RecoveryWithdrawn(id) => sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT 1 FROM account_recovery WHERE customer_id = $1 AND id = $2 AND withdrawn_at IS NULL AND accepted_at IS NULL
                  AND (closes_at IS NULL OR closes_at > $3)) AS "open!""#,
            log.0,
            *id as AccountRecoveryId,
            now as Instant
        )
        .fetch_one(conn),
        _ => return Ok(false),
    };
    Ok(open.await?)
}

/// What counts now for the processor.
pub(super) async fn processor_state(conn: &mut PgConnection, now: Instant) -> Result<ProcessorState> {
    let (epoch, _) = head_of(conn, LogId::PROCESSOR).await?;
    let unconfirmed = sqlx::query_scalar!(r#"SELECT processor_unconfirmed() AS "unconfirmed!""#).fetch_one(&mut *conn).await?;
    let (staff, api_keys) = (staff(conn).await?, live_keys(conn, now).await?);
    let (stops, permit_keys) = (stops(conn).await?, permit_keys(conn).await?);
    Ok(ProcessorState { epoch, unconfirmed, staff, api_keys, stops, permit_keys })
}

/// Notes that the state of the processor was confirmed, with the present epoch and those before.
pub(super) async fn confirm_processor(tx: &mut WriteTx) -> Result<()> {
    let now = tx.now();
    let done = sqlx::query!(
        "UPDATE log_epoch SET confirmed_at = $2 WHERE customer_id = $1 AND unconfirmed AND confirmed_at IS NULL",
        LogId::PROCESSOR.0,
        now as Instant
    );
    if done.execute(tx.conn()).await?.rows_affected() == 0 {
        return Err(Error::internal("a state that nobody has to confirm"));
    }
    Ok(())
}

/// The staff whose access has not ended, in order of their ids.
async fn staff(conn: &mut PgConnection) -> Result<Vec<Staff>> {
    Ok(sqlx::query_as!(
        Staff,
        r#"SELECT id AS "id: OpsPersonId", email AS "email: Email", role, admitted_at AS "admitted_at: Instant"
           FROM ops_person WHERE ended_at IS NULL ORDER BY id"#
    )
    .fetch_all(conn)
    .await?)
}

/// The live keys that are no customer's, in order of their ids.
async fn live_keys(conn: &mut PgConnection, now: Instant) -> Result<Vec<ApiKey>> {
    Ok(sqlx::query_as!(
        ApiKey,
        r#"SELECT id AS "id: ApiKeyId", name AS "name: Name", platform AS "platform: Code", approved_at AS "approved_at: Instant",
                  expires_at AS "expires_at: Instant"
           FROM api_key WHERE customer_id IS NULL AND revoked_at IS NULL AND expires_at > $1 ORDER BY id"#,
        now as Instant
    )
    .fetch_all(conn)
    .await?)
}

/// The stops of platforms that hold, in order of their ids.
async fn stops(conn: &mut PgConnection) -> Result<Vec<PlatformStop>> {
    Ok(sqlx::query_as!(
        PlatformStop,
        r#"SELECT id AS "id: SuspensionId", platform AS "platform: Code", ground AS "ground: Note"
           FROM platform_suspension WHERE released_at IS NULL ORDER BY id"#
    )
    .fetch_all(conn)
    .await?)
}

/// The keys of permits that are not withdrawn.
async fn permit_keys(conn: &mut PgConnection) -> Result<Vec<PermitKey>> {
    Ok(sqlx::query_as!(
        PermitKey,
        r#"SELECT kid, activated_at AS "activated_at: Instant", retired_at AS "retired_at: Instant"
           FROM permit_key WHERE withdrawn_at IS NULL ORDER BY kid"#
    )
    .fetch_all(conn)
    .await?)
}
