//! The first ops person: made by the command line with the ops role's login. Everybody after is
//! added by two persons of the staff; only a staff that fell to one of them is helped up from here.

use secrecy::{ExposeSecret as _, SecretString};

use super::model::Secret;
use super::password::PasswordHasher;
use super::staff::may_bootstrap;
use super::{decide, store};
use crate::base::{Email, Error, Faults, Name, OpsPersonId, Result};
use crate::db::{Db, Lock, LogId, Role};
use crate::evidence::{Actor, Event, NewEntry, commit};
use crate::http::OpsRole;

/// Makes the first ops person, an `ops_admin`.
///
/// # Errors
/// [`Error::Conflict`] when the staff can add the person itself; [`Error::Invalid`] for a short password;
/// [`Error::ProcessorUnconfirmed`] while a restore's state is to be confirmed first.
pub async fn bootstrap_ops(db: &Db, hasher: &PasswordHasher, email: Email, name: Name, password: SecretString) -> Result<OpsPersonId> {
    let password = Secret::from(password.expose_secret());
    let mut faults = Faults::default();
    decide::new_password(password.length(), &mut faults);
    faults.check()?;
    let hash = hasher.hash(&password, db.entropy()).await?;
    let mut tx = db.write(Role::Ops, "bootstrap_ops", Lock::Heads, LogId::PROCESSOR, &[]).await?;
    store::demand_confirmed(tx.conn()).await?;
    let (staff, any) = (store::other_staff(tx.conn(), None).await?, store::ops_persons_exist(tx.conn()).await?);
    if !may_bootstrap(staff, any) {
        return Err(Error::conflict("ops_exist", "There is an ops person already; an ops_admin invites further ones."));
    }
    let id = store::insert_ops_person(&mut tx, (&email, &name, OpsRole::OpsAdmin), None, Some(&hash)).await?;
    let event = Event::OpsPersonAdded { ops_person: id, role: OpsRole::OpsAdmin.to_string() };
    commit(tx, vec![NewEntry::new(LogId::PROCESSOR, id, &Actor::system(), event)]).await?;
    Ok(id)
}
