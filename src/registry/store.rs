//! All SQL of the registry: its lists, platforms and their suspensions. Rows of lists are inserted
//! once and never changed.

use chrono::NaiveDate;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::decide::Proposal;
use super::reference::{ChannelRow, DataCategory, EeaRow, Holiday, Purpose};
use crate::base::{Code, CustomerId, Error, Instant, Note, OpsPersonId, PageQuery, ReleaseId, Result, SuspensionId};
use crate::db::{LogId, WriteTx, conflict_on, ensure_one};
use crate::evidence::{Actor, Channel, Event, Membership, NewEntry, RegistryFacts};

const LOADED: &str = "The list was loaded before.";

pub(super) async fn insert_purposes(conn: &mut PgConnection, rows: &[Purpose]) -> Result<()> {
    let codes: Vec<String> = rows.iter().map(|row| row.code.to_string()).collect();
    let names: Vec<String> = rows.iter().map(|row| row.name.clone()).collect();
    let rules: Vec<String> = rows.iter().map(|row| row.rule.clone()).collect();
    sqlx::query!(
        "INSERT INTO purpose (code, name, rule) SELECT * FROM UNNEST ($1::text[], $2::text[], $3::text[])",
        &codes,
        &names,
        &rules
    )
    .execute(conn)
    .await
    .map_err(conflict_on("purpose_pkey", "already_loaded", LOADED))?;
    Ok(())
}

pub(super) async fn insert_data_categories(conn: &mut PgConnection, rows: &[DataCategory]) -> Result<()> {
    let codes: Vec<String> = rows.iter().map(|row| row.code.to_string()).collect();
    let names: Vec<String> = rows.iter().map(|row| row.name.clone()).collect();
    let special: Vec<bool> = rows.iter().map(|row| row.special).collect();
    sqlx::query!(
        "INSERT INTO data_category (code, name, special) SELECT * FROM UNNEST ($1::text[], $2::text[], $3::bool[])",
        &codes,
        &names,
        &special
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub(super) async fn insert_channel(conn: &mut PgConnection, row: &ChannelRow) -> Result<()> {
    sqlx::query!(
        "INSERT INTO channel (platform, code, what_leaves, datasets) VALUES ($1, $2, $3, $4)",
        &row.platform as &Code,
        &row.code as &Code,
        row.what_leaves,
        &row.datasets
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub(super) async fn insert_eea(conn: &mut PgConnection, rows: &[EeaRow]) -> Result<()> {
    let countries: Vec<String> = rows.iter().map(|row| row.country.to_string()).collect();
    let from: Vec<NaiveDate> = rows.iter().map(|row| row.from_on).collect();
    let until: Vec<Option<NaiveDate>> = rows.iter().map(|row| row.until_on).collect();
    let basis: Vec<String> = rows.iter().map(|row| row.basis.clone()).collect();
    sqlx::query!(
        "INSERT INTO eea_membership (country, from_on, until_on, basis) SELECT * FROM UNNEST ($1::text[], $2::date[], $3::date[], $4::text[])",
        &countries,
        &from,
        &until as &[Option<NaiveDate>],
        &basis
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub(super) async fn insert_holidays(conn: &mut PgConnection, rows: &[Holiday]) -> Result<()> {
    let calendars: Vec<String> = rows.iter().map(|row| row.calendar.clone()).collect();
    let days: Vec<NaiveDate> = rows.iter().map(|row| row.on).collect();
    let names: Vec<String> = rows.iter().map(|row| row.name.clone()).collect();
    sqlx::query!(
        "INSERT INTO public_holiday (calendar, on_date, name) SELECT * FROM UNNEST ($1::text[], $2::date[], $3::text[])",
        &calendars,
        &days,
        &names
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Registers a platform with a log of its own, in a transaction that holds the registry alone.
///
/// # Errors
/// [`Error::Conflict`] when it is registered already.
pub async fn register_platform(tx: &mut WriteTx, platform: &Code) -> Result<NewEntry> {
    let log = LogId::from(tx.fresh::<CustomerId>());
    tx.add_platform_log(log, &format!("platform/{platform}")).await?;
    sqlx::query!("INSERT INTO platform (code, log_id) VALUES ($1, $2)", platform as &Code, log.0)
        .execute(tx.conn())
        .await
        .map_err(conflict_on("platform_pkey", "platform_exists", "The platform is registered already."))?;
    let event = Event::PlatformRegistered { platform: platform.clone() };
    Ok(NewEntry::new(LogId::REGISTRY, platform, &Actor::system(), event))
}

/// The platform's own log.
///
/// # Errors
/// [`Error::NotFound`] when there is no such platform.
pub async fn platform_log(conn: &mut PgConnection, platform: &Code) -> Result<LogId> {
    let log = sqlx::query_scalar!("SELECT log_id FROM platform WHERE code = $1", platform as &Code).fetch_optional(conn).await?;
    log.map(LogId).ok_or(Error::NotFound)
}

fn pairs<A, B>(left: Vec<A>, right: Vec<B>) -> impl Iterator<Item = (A, B)> {
    left.into_iter().zip(right)
}

/// The registry's present facts, in one statement: what the entries of its log rebuild.
///
/// # Errors
/// When the database does not answer.
pub async fn codes(conn: &mut PgConnection) -> Result<RegistryFacts> {
    let row = sqlx::query!(
        r#"SELECT p.codes AS "purposes!: Vec<Code>", p.prohibited AS "prohibited!: Vec<bool>",
                  d.codes AS "categories!: Vec<Code>", d.special AS "special!: Vec<bool>",
                  c.platforms AS "channel_platforms!: Vec<Code>", c.codes AS "channel_codes!: Vec<Code>",
                  e.countries AS "countries!: Vec<Code>", e.from_on AS "from_on!: Vec<NaiveDate>", e.until_on AS "until_on!: Vec<Option<NaiveDate>>",
                  f.codes AS "platforms!: Vec<Code>",
                  s.ids AS "suspensions!: Vec<SuspensionId>", s.platforms AS "suspended!: Vec<Code>",
                  k.kids AS "kids!", k.states AS "key_states!"
           FROM (SELECT COALESCE(array_agg(code), '{}') AS codes, COALESCE(array_agg(rule = 'prohibited'), '{}') AS prohibited FROM purpose) p,
                (SELECT COALESCE(array_agg(code), '{}') AS codes, COALESCE(array_agg(special), '{}') AS special FROM data_category) d,
                (SELECT COALESCE(array_agg(platform), '{}') AS platforms, COALESCE(array_agg(code), '{}') AS codes FROM channel) c,
                (SELECT COALESCE(array_agg(country), '{}') AS countries, COALESCE(array_agg(from_on), '{}') AS from_on,
                        COALESCE(array_agg(until_on), '{}') AS until_on FROM eea_membership) e,
                (SELECT COALESCE(array_agg(code), '{}') AS codes FROM platform) f,
                (SELECT COALESCE(array_agg(id), '{}') AS ids, COALESCE(array_agg(platform), '{}') AS platforms
                 FROM platform_suspension WHERE released_at IS NULL) s,
                (SELECT COALESCE(array_agg(kid), '{}') AS kids,
                        COALESCE(array_agg(CASE WHEN withdrawn_at IS NOT NULL THEN 'withdrawn' WHEN retired_at IS NOT NULL THEN 'retired'
                                                WHEN activated_at IS NOT NULL THEN 'active' ELSE 'published' END), '{}') AS states
                 FROM permit_key) k"#
    )
    .fetch_one(conn)
    .await?;
    let memberships = pairs(pairs(row.countries, row.from_on).collect(), row.until_on);
    let states = row.key_states.iter().map(|word| word.parse().map_err(Error::internal)).collect::<Result<Vec<_>>>()?;
    Ok(RegistryFacts {
        purposes: pairs(row.purposes, row.prohibited).collect(),
        data_categories: pairs(row.categories, row.special).collect(),
        channels: pairs(row.channel_platforms, row.channel_codes).map(|(platform, code)| Channel { platform, code }).collect(),
        eea: memberships.map(|((country, from_on), until_on)| Membership { country, from_on, until_on }).collect(),
        platforms: row.platforms.into_iter().collect(),
        suspensions: pairs(row.suspensions, row.suspended).collect(),
        permit_keys: pairs(row.kids, states).collect(),
    })
}

/// A platform as it stands.
pub(super) struct PlatformRow {
    pub code: Code,
    pub log_id: Uuid,
    pub channels: Vec<Code>,
    pub suspended: bool,
}

pub(super) async fn platforms(conn: &mut PgConnection, page: &PageQuery) -> Result<Vec<PlatformRow>> {
    Ok(sqlx::query_as!(
        PlatformRow,
        r#"SELECT p.code AS "code: Code", p.log_id,
                  ARRAY(SELECT c.code FROM channel c WHERE c.platform = p.code ORDER BY c.code COLLATE "C") AS "channels!: Vec<Code>",
                  EXISTS (SELECT 1 FROM platform_suspension s WHERE s.platform = p.code AND s.released_at IS NULL) AS "suspended!"
           FROM platform p WHERE $1::uuid IS NULL OR p.log_id > $1 ORDER BY p.log_id LIMIT $2"#,
        page.after,
        page.fetch()
    )
    .fetch_all(conn)
    .await?)
}

pub(super) async fn platform(conn: &mut PgConnection, code: &Code) -> Result<PlatformRow> {
    sqlx::query_as!(
        PlatformRow,
        r#"SELECT p.code AS "code: Code", p.log_id,
                  ARRAY(SELECT c.code FROM channel c WHERE c.platform = p.code ORDER BY c.code COLLATE "C") AS "channels!: Vec<Code>",
                  EXISTS (SELECT 1 FROM platform_suspension s WHERE s.platform = p.code AND s.released_at IS NULL) AS "suspended!"
           FROM platform p WHERE p.code = $1"#,
        code as &Code
    )
    .fetch_optional(conn)
    .await?
    .ok_or(Error::NotFound)
}

/// A suspension of a platform as it stands.
pub(super) struct SuspensionRow {
    pub id: SuspensionId,
    pub platform: Code,
    pub ground: Note,
    pub suspended_by: OpsPersonId,
    pub suspended_at: Instant,
    pub release_id: Option<ReleaseId>,
    pub release_proposed_by: Option<OpsPersonId>,
    pub release_proposed_at: Option<Instant>,
    /// False for one that was proposed before a restore, and is proposed anew.
    pub release_counts: Option<bool>,
    pub released_by: Option<OpsPersonId>,
    pub released_at: Option<Instant>,
}

impl SuspensionRow {
    pub fn proposal(&self) -> Option<Proposal> {
        let proposed =
            self.release_id.zip(self.release_proposed_by).zip(self.release_proposed_at).filter(|_| self.release_counts == Some(true));
        proposed.map(|((release, by), at)| Proposal { release, by, at })
    }
}

pub(super) async fn suspensions(conn: &mut PgConnection, platform: &Code, page: &PageQuery) -> Result<Vec<SuspensionRow>> {
    Ok(sqlx::query_as!(
        SuspensionRow,
        r#"SELECT id AS "id: SuspensionId", platform AS "platform: Code", ground AS "ground: Note", suspended_by AS "suspended_by: OpsPersonId",
                  suspended_at AS "suspended_at: Instant", release_id AS "release_id: ReleaseId",
                  release_proposed_by AS "release_proposed_by: OpsPersonId", release_proposed_at AS "release_proposed_at: Instant",
                  release_proposed_at >= restored_at() AS release_counts,
                  released_by AS "released_by: OpsPersonId", released_at AS "released_at: Instant"
           FROM platform_suspension WHERE platform = $1 AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3"#,
        platform as &Code,
        page.after,
        page.fetch()
    )
    .fetch_all(conn)
    .await?)
}

pub(super) async fn suspension(conn: &mut PgConnection, platform: &Code, id: SuspensionId) -> Result<SuspensionRow> {
    sqlx::query_as!(
        SuspensionRow,
        r#"SELECT id AS "id: SuspensionId", platform AS "platform: Code", ground AS "ground: Note", suspended_by AS "suspended_by: OpsPersonId",
                  suspended_at AS "suspended_at: Instant", release_id AS "release_id: ReleaseId",
                  release_proposed_by AS "release_proposed_by: OpsPersonId", release_proposed_at AS "release_proposed_at: Instant",
                  release_proposed_at >= restored_at() AS release_counts,
                  released_by AS "released_by: OpsPersonId", released_at AS "released_at: Instant"
           FROM platform_suspension WHERE platform = $1 AND id = $2"#,
        platform as &Code,
        id as SuspensionId
    )
    .fetch_optional(conn)
    .await?
    .ok_or(Error::NotFound)
}

pub(super) async fn suspend(tx: &mut WriteTx, platform: &Code, ground: &Note, by: OpsPersonId) -> Result<SuspensionId> {
    let (id, now): (SuspensionId, Instant) = (tx.fresh(), tx.now());
    sqlx::query!(
        "INSERT INTO platform_suspension (id, platform, ground, suspended_by, suspended_at) VALUES ($1, $2, $3, $4, $5)",
        id as SuspensionId,
        platform as &Code,
        ground as &Note,
        by as OpsPersonId,
        now as Instant
    )
    .execute(tx.conn())
    .await?;
    Ok(id)
}

pub(super) async fn propose_release(tx: &mut WriteTx, id: SuspensionId, by: OpsPersonId) -> Result<ReleaseId> {
    let (release, now): (ReleaseId, Instant) = (tx.fresh(), tx.now());
    let done = sqlx::query!(
        "UPDATE platform_suspension SET release_id = $2, release_proposed_by = $3, release_proposed_at = $4
         WHERE id = $1 AND released_at IS NULL AND (release_id IS NULL OR release_proposed_at < restored_at())",
        id as SuspensionId,
        release as ReleaseId,
        by as OpsPersonId,
        now as Instant
    )
    .execute(tx.conn())
    .await?;
    ensure_one(&done)?;
    Ok(release)
}

pub(super) async fn release(tx: &mut WriteTx, id: SuspensionId, by: OpsPersonId) -> Result<()> {
    let now = tx.now();
    let done = sqlx::query!(
        "UPDATE platform_suspension SET released_by = $2, released_at = $3 WHERE id = $1 AND released_at IS NULL",
        id as SuspensionId,
        by as OpsPersonId,
        now as Instant
    )
    .execute(tx.conn())
    .await?;
    ensure_one(&done)
}
