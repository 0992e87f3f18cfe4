//! The path of a customer's first signatory: proposed, approved, told, in authority. Each step is
//! set once, and the database lets each role take its own step only: ops never writes authority.
//! Before it begins, ops may withdraw it.

use sqlx::postgres::PgConnection;

use crate::base::*;
use crate::db::{WriteTx, conflict_on, ensure_one};
use crate::identity::decide::{Approval, FIRST_SIGNATORY_DELAY, Withdrawal};
use crate::identity::model::{Authority, AuthorityKind};

/// How far a first signatory has come.
#[derive(Debug, Clone)]
pub struct FirstSignatory {
    pub id: FirstSignatoryId,
    pub agreement: AgreementId,
    pub person: PersonId,
    pub name: Name,
    pub email: Email,
    pub proposed_by: OpsPersonId,
    pub proposed_at: Instant,
    pub approved_by: Option<OpsPersonId>,
    pub approved_at: Option<Instant>,
    pub delivered_at: Option<Instant>,
    pub authority_begins_at: Option<Instant>,
    pub membership: Option<MembershipId>,
    pub withdrawn_by: Option<OpsPersonId>,
    pub withdrawn_at: Option<Instant>,
}

/// The name of a customer, for ops.
///
/// # Errors
/// [`Error::NotFound`]: a log of that id may exist and be no customer's.
pub async fn customer_name(conn: &mut PgConnection, customer: CustomerId) -> Result<String> {
    sqlx::query_scalar!("SELECT name FROM customer WHERE id = $1", customer as CustomerId)
        .fetch_optional(conn)
        .await?
        .ok_or(Error::NotFound)
}

/// The contact address of an agreement, and whether it was offered; `None` when there is none.
pub async fn agreement_contact(conn: &mut PgConnection, customer: CustomerId, id: AgreementId) -> Result<Option<(Email, bool)>> {
    let row = sqlx::query!(
        r#"SELECT contact AS "contact: Email", offered_at IS NOT NULL AS "offered!" FROM agreement WHERE customer_id = $1 AND id = $2"#,
        customer as CustomerId,
        id as AgreementId
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| (row.contact, row.offered)))
}

/// Proposes a person.
///
/// # Errors
/// [`Error::Conflict`] when the customer has a first signatory.
pub async fn insert_first_signatory(
    tx: &mut WriteTx,
    customer: CustomerId,
    agreement: AgreementId,
    (person, name): (PersonId, &Name),
    by: OpsPersonId,
) -> Result<FirstSignatoryId> {
    let (id, now): (FirstSignatoryId, _) = (tx.fresh(), tx.now());
    sqlx::query!(
        "INSERT INTO first_signatory (customer_id, id, agreement_id, person_id, proposed_by, proposed_at, name) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        customer as CustomerId,
        id as FirstSignatoryId,
        agreement as AgreementId,
        person as PersonId,
        by as OpsPersonId,
        now as Instant,
        name as &Name
    )
    .execute(tx.conn())
    .await
    .map_err(conflict_on(
        "first_signatory_once",
        "first_signatory_exists",
        "The customer has a first signatory, who grants all further authority.",
    ))?;
    Ok(id)
}

/// Notes the approval, the membership made by it and the notice that tells of it.
pub async fn approve_first_signatory(
    tx: &mut WriteTx,
    approval: Approval,
    customer: CustomerId,
    id: FirstSignatoryId,
    membership: MembershipId,
    notice: MessageId,
) -> Result<()> {
    let now = tx.now();
    let done = sqlx::query!(
        "UPDATE first_signatory SET approved_by = $3, approved_at = $4, membership_id = $5, notice_id = $6
         WHERE customer_id = $1 AND id = $2 AND approved_at IS NULL AND withdrawn_at IS NULL",
        customer as CustomerId,
        id as FirstSignatoryId,
        approval.approved_by() as OpsPersonId,
        now as Instant,
        membership as MembershipId,
        notice as MessageId
    )
    .execute(tx.conn())
    .await?;
    ensure_one(&done)
}

/// Withdraws a first signatory, and ends its membership if it has one.
pub async fn withdraw_first_signatory(
    tx: &mut WriteTx,
    _verdict: Withdrawal,
    customer: CustomerId,
    present: &FirstSignatory,
    by: OpsPersonId,
) -> Result<()> {
    let now = tx.now();
    let done = sqlx::query!(
        "UPDATE first_signatory SET withdrawn_by = $3, withdrawn_at = $4 WHERE customer_id = $1 AND id = $2 AND withdrawn_at IS NULL",
        customer as CustomerId,
        present.id as FirstSignatoryId,
        by as OpsPersonId,
        now as Instant
    )
    .execute(tx.conn())
    .await?;
    ensure_one(&done)?;
    match present.membership {
        Some(membership) => super::member::end(tx.conn(), customer, membership, now).await,
        None => Ok(()),
    }
}

/// Notes the delivered notice and grants every kind of authority from 72 hours later: the
/// membership, and the instant from which it holds. `None`: it was withdrawn before, or proposed
/// before a restore.
pub async fn notified(
    tx: &mut WriteTx,
    customer: CustomerId,
    id: FirstSignatoryId,
    notice: MessageId,
) -> Result<Option<(MembershipId, Instant)>> {
    let void = sqlx::query_scalar!(
        r#"SELECT withdrawn_at IS NOT NULL OR proposed_at < restored_at() AS "void!" FROM first_signatory WHERE customer_id = $1 AND id = $2"#,
        customer as CustomerId,
        id as FirstSignatoryId
    );
    if void.fetch_one(tx.conn()).await? {
        return Ok(None);
    }
    let now = tx.now();
    let begins_at = now.plus(FIRST_SIGNATORY_DELAY);
    let membership = sqlx::query_scalar!(
        r#"UPDATE first_signatory SET delivered_at = $4, authority_begins_at = $5
           WHERE customer_id = $1 AND id = $2 AND notice_id = $3 AND delivered_at IS NULL AND membership_id IS NOT NULL
           RETURNING membership_id AS "membership!: MembershipId""#,
        customer as CustomerId,
        id as FirstSignatoryId,
        notice as MessageId,
        now as Instant,
        begins_at as Instant
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or_else(|| Error::internal("a first signatory's notice that nobody waits for"))?;
    for kind in AuthorityKind::ALL {
        let granted = Authority { kind: *kind, units: None, begins_at };
        super::authority::insert(tx.conn(), customer, membership, &granted, now).await?;
    }
    Ok(Some((membership, begins_at)))
}

/// The customer's first signatories, withdrawn ones too, in order of their ids.
pub async fn first_signatories(conn: &mut PgConnection, customer: CustomerId, page: &PageQuery) -> Result<Vec<FirstSignatory>> {
    Ok(sqlx::query_as!(
        FirstSignatory,
        r#"SELECT f.id AS "id: FirstSignatoryId", f.agreement_id AS "agreement: AgreementId", f.person_id AS "person: PersonId",
                  f.name AS "name: Name", o.email AS "email!: Email", f.proposed_by AS "proposed_by: OpsPersonId",
                  f.proposed_at AS "proposed_at: Instant", f.approved_by AS "approved_by: OpsPersonId",
                  f.approved_at AS "approved_at: Instant", f.delivered_at AS "delivered_at: Instant",
                  f.authority_begins_at AS "authority_begins_at: Instant", f.membership_id AS "membership: MembershipId",
                  f.withdrawn_by AS "withdrawn_by: OpsPersonId", f.withdrawn_at AS "withdrawn_at: Instant"
           FROM first_signatory f JOIN own_persons() o ON o.person_id = f.person_id
           WHERE f.customer_id = $1 AND ($2::uuid IS NULL OR f.id > $2) ORDER BY f.id LIMIT $3"#,
        customer as CustomerId,
        page.after,
        page.fetch()
    )
    .fetch_all(conn)
    .await?)
}

/// One first signatory.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn first_signatory(conn: &mut PgConnection, customer: CustomerId, id: FirstSignatoryId) -> Result<FirstSignatory> {
    sqlx::query_as!(
        FirstSignatory,
        r#"SELECT f.id AS "id: FirstSignatoryId", f.agreement_id AS "agreement: AgreementId", f.person_id AS "person: PersonId",
                  f.name AS "name: Name", o.email AS "email!: Email", f.proposed_by AS "proposed_by: OpsPersonId",
                  f.proposed_at AS "proposed_at: Instant", f.approved_by AS "approved_by: OpsPersonId",
                  f.approved_at AS "approved_at: Instant", f.delivered_at AS "delivered_at: Instant",
                  f.authority_begins_at AS "authority_begins_at: Instant", f.membership_id AS "membership: MembershipId",
                  f.withdrawn_by AS "withdrawn_by: OpsPersonId", f.withdrawn_at AS "withdrawn_at: Instant"
           FROM first_signatory f JOIN own_persons() o ON o.person_id = f.person_id WHERE f.customer_id = $1 AND f.id = $2"#,
        customer as CustomerId,
        id as FirstSignatoryId
    )
    .fetch_optional(conn)
    .await?
    .ok_or(Error::NotFound)
}
