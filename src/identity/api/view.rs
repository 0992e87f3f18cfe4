//! Sessions, members, keys and the first signatory as they are shown. No secret is in any of them.

use std::collections::BTreeSet;

use chrono::NaiveDate;

use crate::base::*;
use crate::http::{CustomerRole, OpsRole};
use crate::identity::model::{Authority, AuthorityKind};
use crate::identity::store::{ApiKey, FactorInUse, FirstSignatory, Member, OpsPerson, Session};

/// A login session.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct SessionView {
    /// Its id.
    pub id: SessionId,
    /// Login.
    pub created_at: Instant,
    /// Last use, to the minute.
    pub last_used_at: Instant,
    /// Absolute end.
    pub expires_at: Instant,
    /// Last step-up; it holds for five minutes.
    pub stepped_up_at: Option<Instant>,
    /// When it was revoked.
    pub revoked_at: Option<Instant>,
}

impl From<Session> for SessionView {
    fn from(s: Session) -> Self {
        Self {
            id: s.id,
            created_at: s.created_at,
            last_used_at: s.last_used_at,
            expires_at: s.expires_at,
            stepped_up_at: s.stepped_up_at,
            revoked_at: s.revoked_at,
        }
    }
}

crate::request! {
    /// One authority: its kind and the units it holds for.
    pub struct AuthorityGrant {
        /// For what.
        kind: AuthorityKind,
        /// For which units; absent or null: all.
        units: Option<BTreeSet<Reference>>,
    }
}

/// One authority of a member.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct AuthorityView {
    /// For what.
    pub kind: AuthorityKind,
    /// For which units; null: all.
    pub units: Option<BTreeSet<Reference>>,
    /// From when it holds.
    pub begins_at: Instant,
}

impl From<Authority> for AuthorityView {
    fn from(a: Authority) -> Self {
        Self { kind: a.kind, units: a.units, begins_at: a.begins_at }
    }
}

/// A member of a customer.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct MemberView {
    /// The membership.
    pub id: MembershipId,
    /// The person; null until the person has logged in for this customer.
    pub person: Option<PersonId>,
    /// Name: until then the one that was written in the invitation.
    pub name: Name,
    /// E-mail.
    pub email: Email,
    /// Role.
    pub role: CustomerRole,
    /// Last day, in the customer's zone.
    pub until_on: Option<NaiveDate>,
    /// Since when.
    pub began_at: Instant,
    /// When the person logged in for this customer first.
    pub accepted_at: Option<Instant>,
    /// When it was ended.
    pub ended_at: Option<Instant>,
    /// What the person may instruct.
    pub authority: Vec<AuthorityView>,
    /// True while none of it holds: the account was recovered, and the customer has not confirmed it.
    pub authority_suspended: bool,
}

impl From<Member> for MemberView {
    fn from(m: Member) -> Self {
        Self {
            id: m.id,
            // An id tells when its person came to be known, so it waits like the name.
            person: m.accepted_at.map(|_| m.person),
            name: m.name,
            email: m.email,
            role: m.role,
            until_on: m.until_on,
            began_at: m.began_at,
            accepted_at: m.accepted_at,
            ended_at: m.ended_at,
            authority: m.authority.into_iter().map(AuthorityView::from).collect(),
            authority_suspended: m.authority_suspended,
        }
    }
}

/// The caller's second factor.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct SecondFactorView {
    /// Its id.
    pub id: SecondFactorId,
    /// Since when it is in use.
    pub confirmed_at: Instant,
    /// How many recovery codes were not used yet.
    pub recovery_codes_left: i64,
}

impl From<FactorInUse> for SecondFactorView {
    fn from(f: FactorInUse) -> Self {
        Self { id: f.id, confirmed_at: f.confirmed_at, recovery_codes_left: f.recovery_codes_left }
    }
}

/// An API key, without its secret.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct ApiKeyView {
    /// Its id.
    pub id: ApiKeyId,
    /// What it is for.
    pub name: Name,
    /// What it may do.
    pub role: String,
    /// When it was made.
    pub created_at: Instant,
    /// When it ends.
    pub expires_at: Instant,
    /// Last day of use.
    pub last_used_on: Option<NaiveDate>,
    /// When it was revoked.
    pub revoked_at: Option<Instant>,
    /// For a platform's key: how many customers it normally asks for in an hour; as configured when null.
    pub customers_per_hour: Option<i64>,
    /// For a platform's key: how many records it normally asks for in an hour; as configured when null.
    pub rows_per_hour: Option<i64>,
    /// For a platform's key: the second ops person.
    pub approved_by: Option<OpsPersonId>,
    /// For a platform's key: since when it is good; null: not yet.
    pub approved_at: Option<Instant>,
}

impl From<ApiKey> for ApiKeyView {
    fn from(k: ApiKey) -> Self {
        Self {
            id: k.id,
            name: k.name,
            role: k.role,
            created_at: k.created_at,
            expires_at: k.expires_at,
            last_used_on: k.last_used_on,
            revoked_at: k.revoked_at,
            customers_per_hour: k.normal_customers,
            rows_per_hour: k.normal_rows,
            approved_by: k.approved_by,
            approved_at: k.approved_at,
        }
    }
}

/// A key that was just made: the only time its text is shown.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct CreatedApiKey {
    /// The key's text: keep it, it is not shown again.
    #[schema(format = Password)]
    pub key: String,
    /// The key.
    #[serde(flatten)]
    pub view: ApiKeyView,
}

/// A person of the processor's staff.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct OpsPersonView {
    /// Its id.
    pub id: OpsPersonId,
    /// E-mail.
    pub email: Email,
    /// Name.
    pub name: Name,
    /// Role.
    pub role: OpsRole,
    /// When it was added.
    pub created_at: Instant,
    /// Who proposed it; null for one made by the command line.
    pub added_by: Option<OpsPersonId>,
    /// The second ops person; null: none yet, or nobody was there to ask.
    pub approved_by: Option<OpsPersonId>,
    /// When the invitation went out; null: it waits for a second ops person.
    pub admitted_at: Option<Instant>,
    /// When it last came back by a recovery; for 72 hours from then it counts as none of two.
    pub recovered_at: Option<Instant>,
    /// When access ended.
    pub ended_at: Option<Instant>,
}

impl From<OpsPerson> for OpsPersonView {
    fn from(p: OpsPerson) -> Self {
        Self {
            id: p.id,
            email: p.email,
            name: p.name,
            role: p.role,
            created_at: p.created_at,
            added_by: p.added_by,
            approved_by: p.approved_by,
            admitted_at: p.admitted_at,
            recovered_at: p.recovered_at,
            ended_at: p.ended_at,
        }
    }
}

/// How far a customer's first signatory has come.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct FirstSignatoryView {
    /// Its id.
    pub id: FirstSignatoryId,
    /// The agreement that names the person.
    pub agreement: AgreementId,
    /// The person.
    pub person: PersonId,
    /// Name.
    pub name: Name,
    /// E-mail.
    pub email: Email,
    /// The first ops person.
    pub proposed_by: OpsPersonId,
    /// When.
    pub proposed_at: Instant,
    /// The second ops person, of the other role.
    pub approved_by: Option<OpsPersonId>,
    /// When.
    pub approved_at: Option<Instant>,
    /// When the notice to the agreement's contact was delivered.
    pub delivered_at: Option<Instant>,
    /// 72 hours later.
    pub authority_begins_at: Option<Instant>,
    /// The membership made at approval.
    pub membership: Option<MembershipId>,
    /// The ops person who withdrew it.
    pub withdrawn_by: Option<OpsPersonId>,
    /// When; no authority begins after it.
    pub withdrawn_at: Option<Instant>,
}

impl From<FirstSignatory> for FirstSignatoryView {
    fn from(f: FirstSignatory) -> Self {
        Self {
            id: f.id,
            agreement: f.agreement,
            person: f.person,
            name: f.name,
            email: f.email,
            proposed_by: f.proposed_by,
            proposed_at: f.proposed_at,
            approved_by: f.approved_by,
            approved_at: f.approved_at,
            delivered_at: f.delivered_at,
            authority_begins_at: f.authority_begins_at,
            membership: f.membership,
            withdrawn_by: f.withdrawn_by,
            withdrawn_at: f.withdrawn_at,
        }
    }
}
