//! Proving who somebody is: the password, and a code of the second factor or a recovery code in its
//! place. Unknown and known accounts take the same path and get the same answer, whatever was wrong;
//! a wrong code counts as a wrong password does, and every attempt is counted before it is looked at.

use crate::app::App;
use crate::base::{Digest, Error, Result, TypedId as _};
use crate::db::{LogId, Role};
use crate::identity::account_change::{AccountChange, Change};
use crate::identity::model::Secret;
use crate::identity::password::Place;
use crate::identity::recovery_code;
use crate::identity::store::{self, Attempt, Credential, Holder, StoredFactor};
use crate::identity::totp::is_code;

/// What somebody sent as proof.
#[derive(Clone, Copy)]
pub(super) struct Presented<'a> {
    /// The password.
    pub password: &'a Secret,
    /// A code, where a factor is asked for.
    pub code: Option<&'a Secret>,
}

/// The account that is claimed.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    /// What proves it.
    pub credential: &'a Credential,
    /// Who would act; not known yet at a login that asks for no factor.
    pub holder: Option<Holder>,
}

/// What the code turned out to be.
enum Claim {
    /// No factor is in use, or none is asked for.
    NoFactor,
    /// A code of this time step.
    Step(StoredFactor, i64),
    /// What may be a recovery code.
    Recovery(StoredFactor, Digest),
}

/// Counts the attempt, or refuses it with the seconds to wait.
pub(super) async fn counted(app: &App, role: Role, attempt: &Attempt) -> Result<()> {
    let mut tx = app.db.housekeeping(role, "login_attempt", LogId::PROCESSOR).await?;
    let now = tx.now();
    let wait = store::attempt(tx.conn(), attempt, now).await?;
    tx.commit_housekeeping().await?;
    if wait > 0 { Err(Error::TooMany(wait)) } else { Ok(()) }
}

/// True if the password is right, at the cost of a hash, known or not.
pub(super) async fn right_password(app: &App, place: Place, password: &Secret, known: Option<&Credential>) -> Result<bool> {
    app.passwords.verify(place, password, known.and_then(|known| known.password_hash.as_deref())).await
}

/// Notes that an attempt failed, and gives the one answer for it.
pub(super) async fn failed(app: &App, role: Role, attempt: &Attempt) -> Result<Error> {
    let mut tx = app.db.housekeeping(role, "login_failed", LogId::PROCESSOR).await?;
    let now = tx.now();
    store::failed(tx.conn(), attempt, now).await?;
    tx.commit_housekeeping().await?;
    Ok(Error::Unauthenticated)
}

/// Verifies password and, where the account has a factor in use, its code; settles the counters.
///
/// # Errors
/// [`Error::Unauthenticated`], whatever was wrong.
pub(super) async fn proved(
    app: &App,
    role: Role,
    place: Place,
    attempt: &Attempt,
    presented: Presented<'_>,
    known: Option<Known<'_>>,
) -> Result<()> {
    let verified = match right_password(app, place, presented.password, known.map(|known| known.credential)).await {
        Ok(right) => right,
        Err(error) => {
            let mut tx = app.db.housekeeping(role, "login_undone", LogId::PROCESSOR).await?;
            store::undone(tx.conn(), attempt).await?;
            tx.commit_housekeeping().await?;
            return Err(error);
        }
    };
    let claim = match known.filter(|_| verified) {
        Some(known) => claim(app, known.credential, presented.code)?,
        None => None,
    };
    let accepted = match (claim, known.and_then(|known| known.holder)) {
        (Some(Claim::NoFactor), _) => accept(app, (role, LogId::PROCESSOR), attempt, None).await?,
        // A factor is reached where its person acts.
        (Some(Claim::Step(factor, step)), Some(holder)) => accept(app, (role, holder.home()), attempt, Some((factor, step))).await?,
        (Some(Claim::Recovery(factor, hash)), Some(holder)) => accept_recovery_code(app, holder, attempt, &factor, hash).await?,
        _ => false,
    };
    if accepted { Ok(()) } else { Err(failed(app, role, attempt).await?) }
}

fn claim(app: &App, known: &Credential, code: Option<&Secret>) -> Result<Option<Claim>> {
    let Some(factor) = known.factor.clone() else { return Ok(Some(Claim::NoFactor)) };
    let Some(code) = code else { return Ok(None) };
    if !is_code(code.expose()) {
        return Ok(recovery_code::hash(code.expose()).map(|hash| Claim::Recovery(factor, hash)));
    }
    let secret = app.secrets.open(factor.id.uuid(), known.account.uuid(), &factor.sealed)?;
    let step = secret.step_of(code.expose(), app.db.clock().now(), factor.last_step);
    Ok(step.map(|step| Claim::Step(factor, step)))
}

/// Frees the account's counter; false if the code's step was used at this very moment.
async fn accept(app: &App, (role, home): (Role, LogId), attempt: &Attempt, used: Option<(StoredFactor, i64)>) -> Result<bool> {
    let mut tx = app.db.housekeeping(role, "login_succeeded", home).await?;
    if let Some((factor, step)) = used
        && !store::use_step(tx.conn(), factor.id, step).await?
    {
        return Ok(false);
    }
    let now = tx.now();
    store::cleared(tx.conn(), attempt, now).await?;
    tx.commit_housekeeping().await?;
    Ok(true)
}

/// Uses a recovery code: an entry and a notice wherever the person acts.
async fn accept_recovery_code(app: &App, holder: Holder, attempt: &Attempt, factor: &StoredFactor, hash: Digest) -> Result<bool> {
    let mut change = AccountChange::begin(app, holder, "use_recovery_code").await?;
    let now = change.tx.now();
    let Some(left) = store::use_recovery_code(change.tx.conn(), factor.id, hash, now).await? else { return Ok(false) };
    change.note(Change::RecoveryCode(factor.id, u32::try_from(left).unwrap_or(0))).await?;
    store::cleared(change.tx.conn(), attempt, now).await?;
    change.commit().await?;
    Ok(true)
}
