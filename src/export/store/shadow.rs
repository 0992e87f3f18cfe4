//! The dry runs of one platform over all customers, for its shadow report. Read from the logs by the
//! index that holds dry runs and requests for nobody only (`log_entry_shadow`); every figure reads
//! the entries of the window once, and a page of customers reads them once more.

use sqlx::postgres::PgConnection;

use crate::base::{Code, CustomerId, Instant, Name, PageQuery, Result};

/// The dry runs that are looked at.
#[derive(Debug, Clone)]
pub struct Window {
    pub platform: Code,
    pub from: Instant,
    pub until: Instant,
}

/// How often something stands in the dry runs of a customer, or of all.
#[derive(Debug, Clone)]
pub struct Tally {
    pub customer: Option<CustomerId>,
    /// A channel or a reason.
    pub word: String,
    pub tried: i64,
    pub refused: i64,
}

/// By channel, for each of the customers, or for all together.
pub async fn channels(conn: &mut PgConnection, window: &Window, customers: Option<&[CustomerId]>) -> Result<Vec<Tally>> {
    let ids: Option<Vec<uuid::Uuid>> = customers.map(|list| list.iter().copied().map(crate::base::TypedId::uuid).collect());
    Ok(sqlx::query_as!(
        Tally,
        r#"SELECT CASE WHEN $4::uuid[] IS NOT NULL THEN e.customer_id END AS "customer: CustomerId",
                  COALESCE(e.record->'decision'->'request'->>'channel', '') AS "word!", count(*) AS "tried!",
                  count(*) FILTER (WHERE e.record->'decision'->>'outcome' = 'refused') AS "refused!"
           FROM log_entry e
           WHERE e.type = 'export.tried' AND e.platform = $1 AND e.at >= $2 AND e.at < $3 AND ($4::uuid[] IS NULL OR e.customer_id = ANY ($4))
           GROUP BY 1, 2 ORDER BY 1, 2"#,
        &window.platform as &Code,
        window.from as Instant,
        window.until as Instant,
        ids.as_deref()
    )
    .fetch_all(conn)
    .await?)
}

/// By reason, for each of the customers, or for all together. A dry run counts once for a reason,
/// however many records cause it.
pub async fn reasons(conn: &mut PgConnection, window: &Window, customers: Option<&[CustomerId]>) -> Result<Vec<Tally>> {
    let ids: Option<Vec<uuid::Uuid>> = customers.map(|list| list.iter().copied().map(crate::base::TypedId::uuid).collect());
    Ok(sqlx::query_as!(
        Tally,
        r#"SELECT CASE WHEN $4::uuid[] IS NOT NULL THEN e.customer_id END AS "customer: CustomerId",
                  r.code AS "word!", count(*) AS "tried!", count(*) AS "refused!"
           FROM log_entry e
           CROSS JOIN LATERAL (SELECT DISTINCT x->>'code' AS code FROM jsonb_array_elements(e.record->'decision'->'reasons') x) r
           WHERE e.type = 'export.tried' AND e.platform = $1 AND e.at >= $2 AND e.at < $3 AND ($4::uuid[] IS NULL OR e.customer_id = ANY ($4))
           GROUP BY 1, 2 ORDER BY 1, 2"#,
        &window.platform as &Code,
        window.from as Instant,
        window.until as Instant,
        ids.as_deref()
    )
    .fetch_all(conn)
    .await?)
}

/// Dry runs under names that no customer has, by channel: entries of the platform's own log.
pub async fn nobodys(conn: &mut PgConnection, window: &Window) -> Result<Vec<Tally>> {
    Ok(sqlx::query_as!(
        Tally,
        r#"SELECT NULL::uuid AS "customer: CustomerId", COALESCE(e.record->'request'->>'channel', '') AS "word!",
                  count(*) AS "tried!", count(*) AS "refused!"
           FROM log_entry e
           WHERE e.type = 'gate.unknown_refused' AND e.platform = $1 AND e.at >= $2 AND e.at < $3
             AND e.record->'request'->'dry_run' = 'true'::jsonb
           GROUP BY 2 ORDER BY 2"#,
        &window.platform as &Code,
        window.from as Instant,
        window.until as Instant
    )
    .fetch_all(conn)
    .await?)
}

/// The customers with dry runs in the window, in id order.
pub async fn customers(conn: &mut PgConnection, window: &Window, page: &PageQuery) -> Result<Vec<(CustomerId, Name)>> {
    let rows = sqlx::query!(
        r#"SELECT DISTINCT e.customer_id AS "id: CustomerId", c.name AS "name: Name"
           FROM log_entry e JOIN customer c ON c.id = e.customer_id
           WHERE e.type = 'export.tried' AND e.platform = $1 AND e.at >= $2 AND e.at < $3 AND ($4::uuid IS NULL OR e.customer_id > $4)
           ORDER BY e.customer_id LIMIT $5"#,
        &window.platform as &Code,
        window.from as Instant,
        window.until as Instant,
        page.after,
        page.fetch()
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.name)).collect())
}
