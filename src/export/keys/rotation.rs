//! What is done with permit keys: publish ahead, let one sign, withdraw. Each act changes what holds
//! for every customer, so it takes the registry alone: no decision sees half of it. Its entry stands
//! twice: in the processor's log, whose act it is, and in the registry's, on which decisions rest
//! and which every customer reads.

use super::decide::{PermitKey, active, last_permit_ends, may_activate, may_withdraw};
use super::signer::SigningKey;
use super::store;
use crate::app::App;
use crate::base::{Error, Instant, Result};
use crate::db::{Db, Lock, LogId, Role, WriteTx};
use crate::evidence::{Actor, Event, NewEntry, commit};

/// Every key there ever was, oldest first, and the present time.
///
/// # Errors
/// When the database does not answer.
pub async fn list_permit_keys(db: &Db) -> Result<(Vec<PermitKey>, Instant)> {
    let mut read = db.read(Role::Ops, "list_permit_keys", LogId::PROCESSOR).await?;
    let keys = store::permit_keys(read.conn()).await?;
    Ok((keys, read.now()))
}

/// Publishes the public half of a key, ahead of its use.
///
/// # Errors
/// [`Error::Conflict`] when it was published before.
pub async fn publish_permit_key(db: &Db, key: &SigningKey) -> Result<()> {
    let mut act = Act::begin(db, "publish_permit_key").await?;
    if act.keys.iter().any(|known| known.kid == key.kid()) {
        return Err(Error::conflict("permit_key_published", "This key was published before: `mandate keys list` shows it."));
    }
    act.publish(key).await?;
    act.commit().await
}

/// Lets a published key sign, and retires the one that did. Gives the retired one and until when it
/// is needed.
///
/// # Errors
/// [`Error::Conflict`] when it may not sign, or not yet.
pub async fn activate_permit_key(db: &Db, kid: &str) -> Result<Option<(String, Instant)>> {
    let mut act = Act::begin(db, "activate_permit_key").await?;
    let now = act.tx.now();
    may_activate(&act.keys, kid, now)?;
    let before = active(&act.keys).map(|key| key.kid.clone());
    if let Some(before) = &before {
        store::retire(act.tx.conn(), before, now).await?;
        act.record(before, Event::PermitKeyRetired { kid: before.clone(), needed_until_at: last_permit_ends(now) });
    }
    act.activate(kid).await?;
    act.commit().await?;
    Ok(before.map(|kid| (kid, last_permit_ends(now))))
}

/// Withdraws a key: it leaves the key set, and from the next decision on its permits are refused.
/// If it signed, the published key that waited longest signs in its place; gives that one.
///
/// # Errors
/// [`Error::Conflict`] when permits need it and this is no emergency.
pub async fn withdraw_permit_key(db: &Db, kid: &str, emergency: bool) -> Result<Option<String>> {
    let mut act = Act::begin(db, "withdraw_permit_key").await?;
    let now = act.tx.now();
    let next = may_withdraw(&act.keys, kid, emergency, now)?.map(|key| key.kid.clone());
    store::withdraw(act.tx.conn(), kid, now).await?;
    act.record(kid, Event::PermitKeyWithdrawn { kid: kid.to_owned(), emergency });
    if let Some(next) = &next {
        act.activate(next).await?;
    }
    act.commit().await?;
    Ok(next)
}

/// Publishes and activates this process's first key where no key ever signed: nobody can hold a
/// copy of a key set that lacks it.
///
/// # Errors
/// When the database does not take it.
pub async fn begin_with_first_key(app: &App) -> Result<()> {
    let begun = |keys: &[PermitKey]| keys.iter().any(|key| key.activated_at.is_some());
    if begun(&list_permit_keys(&app.db).await?.0) {
        return Ok(());
    }
    let mut act = Act::begin(&app.db, "begin_with_first_key").await?;
    if begun(&act.keys) {
        return Ok(());
    }
    let first = app.permits.first();
    if !act.keys.iter().any(|key| key.kid == first.kid()) {
        act.publish(first).await?;
    }
    act.activate(first.kid()).await?;
    act.commit().await
}

/// Names the kid of the key that signs if this process does not have it: it cannot issue permits.
///
/// # Errors
/// When the database does not answer.
pub async fn missing_permit_key(app: &App) -> Result<Option<String>> {
    let mut read = app.db.read(Role::Gate, "missing_permit_key", LogId::REGISTRY).await?;
    let keys = store::permit_keys(read.conn()).await?;
    drop(read);
    let signs = active(&keys).map(|key| key.kid.clone());
    Ok(signs.filter(|kid| app.permits.key(kid).is_none()))
}

/// One act on the keys, with the entries it makes.
struct Act {
    tx: WriteTx,
    keys: Vec<PermitKey>,
    entries: Vec<NewEntry>,
}

impl Act {
    async fn begin(db: &Db, name: &'static str) -> Result<Self> {
        let mut tx = db.write(Role::Ops, name, Lock::RegistryAlone, LogId::REGISTRY, &[LogId::PROCESSOR]).await?;
        let keys = store::permit_keys(tx.conn()).await?;
        Ok(Self { tx, keys, entries: Vec::new() })
    }
    fn record(&mut self, kid: &str, event: Event) {
        for log in [LogId::PROCESSOR, LogId::REGISTRY] {
            self.entries.push(NewEntry::new(log, kid, &Actor::system(), event.clone()));
        }
    }
    async fn publish(&mut self, key: &SigningKey) -> Result<()> {
        let now = self.tx.now();
        store::publish(self.tx.conn(), key.kid(), key.public(), now).await?;
        self.record(key.kid(), Event::PermitKeyPublished { kid: key.kid().to_owned(), public_key: key.public().clone() });
        Ok(())
    }
    async fn activate(&mut self, kid: &str) -> Result<()> {
        let now = self.tx.now();
        store::activate(self.tx.conn(), kid, now).await?;
        self.record(kid, Event::PermitKeyActivated { kid: kid.to_owned() });
        Ok(())
    }
    async fn commit(self) -> Result<()> {
        commit(self.tx, self.entries).await.map(|_| ())
    }
}
