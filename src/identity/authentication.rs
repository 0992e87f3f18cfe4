//! Whose token is this: the one place where a text becomes a caller. A token that cannot be one of
//! its surface costs nothing; every other is looked up by its hash, fresh, on each request.

use super::caller::{Caller, InstitutionCaller, InstitutionCredential, OpsCaller, OpsCredential, PlatformCaller};
use super::decide::{key_lives, membership_acts, must_enrol, session_lives, session_touched};
use super::store::{self, FoundKey};
use super::token::{self, Token};
use crate::app::App;
use crate::base::{Digest, Error, Instant, Result};
use crate::db::{LogId, Role, TenantScope};
use crate::http::{ClientAddress, Surface};

/// Finds out whose token this is.
///
/// # Errors
/// [`Error::Unauthenticated`] for a token that is unknown, expired, revoked, or of another surface.
pub async fn authenticate(app: &App, text: &str, surface: Surface, _client: ClientAddress) -> Result<Caller> {
    match (token::read(surface, text), surface) {
        (Some(Token::Session(hash)), Surface::Institution) => member(app, hash).await.map(Caller::Institution),
        (Some(Token::Session(hash)), _) => ops(app, hash).await.map(Caller::Ops),
        (Some(Token::Key(hash)), surface) => key(app, hash, surface).await,
        (None, _) => Err(Error::Unauthenticated),
    }
}

async fn member(app: &App, hash: Digest) -> Result<InstitutionCaller> {
    let mut tx = app.db.read(Role::App, "session", LogId::REGISTRY).await?;
    let now = tx.now();
    let found = store::member_session(tx.conn(), hash).await?.ok_or(Error::Unauthenticated)?;
    drop(tx);
    let zone = found.zone.parse().map_err(Error::internal)?;
    if !session_lives(&found.times, now) || !membership_acts(found.until_on, zone, now) {
        return Err(Error::Unauthenticated);
    }
    if session_touched(&found.times, now) {
        touch_session(app, Role::App, found.customer.into(), found.id, now).await?;
    }
    Ok(InstitutionCaller {
        scope: TenantScope::vouched(found.customer),
        role: found.role.parse().map_err(Error::internal)?,
        credential: InstitutionCredential::Session { session: found.id, person: found.person, membership: found.membership },
        must_enrol: must_enrol(false, found.has_authority, found.has_factor),
        unconfirmed: found.unconfirmed,
    })
}

async fn ops(app: &App, hash: Digest) -> Result<OpsCaller> {
    let mut tx = app.db.read(Role::Ops, "ops_session", LogId::PROCESSOR).await?;
    let now = tx.now();
    let found = store::ops_session(tx.conn(), hash).await?.ok_or(Error::Unauthenticated)?;
    drop(tx);
    if !session_lives(&found.times, now) {
        return Err(Error::Unauthenticated);
    }
    if session_touched(&found.times, now) {
        touch_session(app, Role::Ops, LogId::PROCESSOR, found.id, now).await?;
    }
    let credential = OpsCredential::Session { session: found.id, ops_person: found.ops_person };
    let must_enrol = must_enrol(true, false, found.has_factor);
    Ok(OpsCaller { role: found.role.parse().map_err(Error::internal)?, credential, must_enrol, unconfirmed: found.unconfirmed })
}

async fn touch_session(app: &App, role: Role, home: LogId, id: crate::base::SessionId, now: Instant) -> Result<()> {
    let mut tx = app.db.housekeeping(role, "touch_session", home).await?;
    store::used_session(tx.conn(), id, now).await?;
    tx.commit_housekeeping().await
}

async fn key(app: &App, hash: Digest, surface: Surface) -> Result<Caller> {
    let role = match surface {
        Surface::Institution => Role::App,
        Surface::Admin => Role::Ops,
        Surface::Gate => Role::Gate,
        Surface::Public => return Err(Error::Unauthenticated),
    };
    let mut tx = app.db.read(role, "api_key", LogId::REGISTRY).await?;
    let now = tx.now();
    let found = store::key_by_text(tx.conn(), surface, hash).await?.ok_or(Error::Unauthenticated)?;
    drop(tx);
    let is_approved = surface != Surface::Gate || found.approved_at.is_some();
    if !is_approved || !key_lives(found.expires_at, found.revoked_at, now) {
        return Err(Error::Unauthenticated);
    }
    let today = now.utc().date_naive();
    if let Some(customer) = found.customer {
        // One that was revoked in entries that a restore lost is open again in the backup.
        let mut tx = app.db.read(role, "key_of_state", customer.into()).await?;
        if store::state_unconfirmed(tx.conn(), customer).await? {
            return Err(Error::Unauthenticated);
        }
    }
    if found.last_used_on.is_none_or(|day| day < today) {
        let home = found.customer.map_or(LogId::PROCESSOR, LogId::from);
        let mut tx = app.db.housekeeping(role, "touch_key", home).await?;
        store::used_key(tx.conn(), found.id, today).await?;
        tx.commit_housekeeping().await?;
    }
    caller_of_key(found, surface)
}

fn caller_of_key(found: FoundKey, surface: Surface) -> Result<Caller> {
    Ok(match (surface, found.customer, found.platform) {
        (Surface::Institution, Some(customer), None) => Caller::Institution(InstitutionCaller {
            scope: TenantScope::vouched(customer),
            role: found.role.parse().map_err(Error::internal)?,
            credential: InstitutionCredential::Key(found.id),
            must_enrol: false,
            unconfirmed: false,
        }),
        (Surface::Admin, None, None) => Caller::Ops(OpsCaller {
            role: found.role.parse().map_err(Error::internal)?,
            credential: OpsCredential::Key(found.id),
            must_enrol: false,
            unconfirmed: found.processor_unconfirmed,
        }),
        (Surface::Gate, None, Some(platform)) => {
            Caller::Platform(PlatformCaller { key: found.id, platform, unconfirmed: found.processor_unconfirmed })
        }
        _ => return Err(Error::Unauthenticated),
    })
}
