//! The state of the processor after a restore that lost entries of its log or of the registry: who and
//! what counts now, and its confirmation. It comes from whoever has the command line, as the first ops
//! person does: the staff, of whom somebody may be back who was ended, confirms nothing about itself.

use super::store;
use crate::base::{ApiKeyId, Code, Email, Error, Instant, Name, Note, OpsPersonId, Result, SuspensionId};
use crate::db::{Db, Lock, LogId, Role};
use crate::evidence::{Actor, Event, NewEntry, commit_one};

/// A person of the staff with access.
#[derive(Debug, Clone)]
pub struct Staff {
    /// The person.
    pub id: OpsPersonId,
    /// Address.
    pub email: Email,
    /// Role.
    pub role: String,
    /// When the person was admitted; absent: only proposed.
    pub admitted_at: Option<Instant>,
}

/// A key of a platform or of the admin surface that lives.
#[derive(Debug, Clone)]
pub struct ApiKey {
    /// The key.
    pub id: ApiKeyId,
    /// What it is for.
    pub name: Name,
    /// The platform; absent: of the admin surface.
    pub platform: Option<Code>,
    /// When it was approved; absent: not yet, or of the admin surface.
    pub approved_at: Option<Instant>,
    /// When it ends.
    pub expires_at: Instant,
}

/// A stop of a platform that holds.
#[derive(Debug, Clone)]
pub struct PlatformStop {
    /// The stop.
    pub id: SuspensionId,
    /// The platform.
    pub platform: Code,
    /// Why.
    pub ground: Note,
}

/// A key of permits that is published and not withdrawn.
#[derive(Debug, Clone)]
pub struct PermitKey {
    /// Its id.
    pub kid: String,
    /// When it began to sign.
    pub activated_at: Option<Instant>,
    /// When it ended to.
    pub retired_at: Option<Instant>,
}

/// What counts now.
#[derive(Debug, Clone)]
pub struct ProcessorState {
    /// The present epoch of the processor's log.
    pub epoch: u32,
    /// True while nobody has confirmed it.
    pub unconfirmed: bool,
    /// The staff.
    pub staff: Vec<Staff>,
    /// Live keys of platforms and of the admin surface.
    pub api_keys: Vec<ApiKey>,
    /// Stops of platforms.
    pub stops: Vec<PlatformStop>,
    /// Keys of permits.
    pub permit_keys: Vec<PermitKey>,
}

impl ProcessorState {
    fn confirmed(&self) -> Event {
        Event::ProcessorStateConfirmed {
            epoch: self.epoch,
            staff: self.staff.iter().map(|person| person.id).collect(),
            api_keys: self.api_keys.iter().map(|key| key.id).collect(),
            suspensions: self.stops.iter().map(|stop| stop.id).collect(),
            permit_keys: self.permit_keys.iter().map(|key| key.kid.clone()).collect(),
        }
    }
}

/// Shows what counts now.
///
/// # Errors
/// When the database does not answer.
pub async fn processor_state(db: &Db) -> Result<ProcessorState> {
    let mut read = db.read(Role::Ops, "processor_state", LogId::PROCESSOR).await?;
    let now = read.now();
    store::processor_state(read.conn(), now).await
}

/// Ends the access of one of the staff before the state is confirmed. At the command line, and nowhere else
/// then: among the staff may be somebody whose access had ended, who would end the others.
///
/// # Errors
/// [`Error::Conflict`] when nothing has to be confirmed, or the access has ended.
pub async fn end_staff(db: &Db, id: OpsPersonId) -> Result<()> {
    let mut tx = db.write(Role::Ops, "end_staff", Lock::Heads, LogId::PROCESSOR, &[]).await?;
    let now = tx.now();
    if !store::processor_state(tx.conn(), now).await?.unconfirmed {
        return Err(Error::conflict("state_confirmed", "The state of the processor needs no confirmation."));
    }
    if !store::end_staff(&mut tx, id).await? {
        return Err(Error::conflict("already_ended", "Nobody of the staff who has access has this id."));
    }
    commit_one(tx, NewEntry::new(LogId::PROCESSOR, id, &Actor::system(), Event::OpsPersonEnded { ops_person: id })).await?;
    Ok(())
}

/// Confirms the state of the processor: what counts now is as it should be. The registry is held, so that
/// what is confirmed is what was looked at.
///
/// # Errors
/// [`Error::Conflict`] when there is nothing to confirm.
pub async fn confirm_processor(db: &Db) -> Result<ProcessorState> {
    let mut tx = db.write(Role::Ops, "confirm_processor", Lock::RegistryAlone, LogId::PROCESSOR, &[]).await?;
    let now = tx.now();
    let state = store::processor_state(tx.conn(), now).await?;
    if !state.unconfirmed {
        return Err(Error::conflict("state_confirmed", "The state of the processor needs no confirmation."));
    }
    store::confirm_processor(&mut tx).await?;
    let event = state.confirmed();
    commit_one(tx, NewEntry::new(LogId::PROCESSOR, "processor", &Actor::system(), event)).await?;
    Ok(ProcessorState { unconfirmed: false, ..state })
}
