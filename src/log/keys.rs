//! What is done with the keys of the logs: publish ahead, hand over, withdraw. Its entry stands
//! twice: in the processor's log, whose act it is, and in the registry's, which every customer
//! reads. The key before signs for the publication of the next: that is the chain a verifier follows.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::decide::{LogKey, active, may_activate, may_withdraw};
use super::store;
use crate::app::App;
use crate::base::{Error, Instant, Result};
use crate::db::{Db, Lock, LogId, Role, WriteTx};
use crate::evidence::{Actor, Event, LogSigningKey, NewEntry, commit};

/// Every key there ever was, oldest first.
///
/// # Errors
/// When the database does not answer.
pub async fn list_log_keys(db: &Db) -> Result<Vec<LogKey>> {
    let mut read = db.read(Role::OpsRead, "list_log_keys", LogId::REGISTRY).await?;
    store::log_keys(read.conn()).await
}

/// Publishes the public half of a key, ahead of its use.
///
/// # Errors
/// [`Error::Conflict`] when it was published before.
pub async fn publish_log_key(db: &Db, key: &LogSigningKey) -> Result<()> {
    let mut act = Act::begin(db, "publish_log_key").await?;
    if act.keys.iter().any(|known| known.kid == key.kid()) {
        return Err(Error::conflict("log_key_published", "This key was published before: `mandate log-keys list` shows it."));
    }
    act.publish(key).await?;
    act.commit().await
}

/// Hands over to a published key: it signs from here on. Gives the one that signed before.
///
/// # Errors
/// [`Error::Conflict`] when it may not sign.
pub async fn activate_log_key(db: &Db, kid: &str) -> Result<Option<String>> {
    let mut act = Act::begin(db, "activate_log_key").await?;
    may_activate(&act.keys, kid)?;
    let before = active(&act.keys).map(|key| key.kid.clone());
    act.hand_over(kid, before.clone()).await?;
    act.commit().await?;
    Ok(before)
}

/// Withdraws a key that is lost or in other hands. If it signed, the published key that waited
/// longest signs in its place; gives that one.
///
/// # Errors
/// [`Error::Conflict`] when none could take its place.
pub async fn withdraw_log_key(db: &Db, kid: &str) -> Result<Option<String>> {
    let mut act = Act::begin(db, "withdraw_log_key").await?;
    let next = may_withdraw(&act.keys, kid)?.map(|key| key.kid.clone());
    let now = act.tx.now();
    store::withdraw(act.tx.conn(), kid, now).await?;
    act.record(kid, Event::LogKeyWithdrawn { kid: kid.to_owned() });
    if let Some(next) = &next {
        act.hand_over(next, None).await?;
    }
    act.commit().await?;
    Ok(next)
}

/// Publishes and activates this process's first key where no key ever signed.
///
/// # Errors
/// When the database does not take it.
pub async fn begin_with_first_log_key(app: &App) -> Result<()> {
    let begun = |keys: &[LogKey]| keys.iter().any(|key| key.activated_at.is_some());
    if begun(&list_log_keys(&app.db).await?) {
        return Ok(());
    }
    let mut act = Act::begin(&app.db, "begin_with_first_log_key").await?;
    if begun(&act.keys) {
        return Ok(());
    }
    let first = app.notary.first();
    if !act.keys.iter().any(|key| key.kid == first.kid()) {
        act.publish(first).await?;
    }
    act.hand_over(&first.kid(), None).await?;
    act.commit().await
}

/// Names the kid of the key that signs if this process does not have it: it cannot record anything.
///
/// # Errors
/// When the database does not answer.
pub async fn missing_log_key(app: &App) -> Result<Option<String>> {
    let keys = list_log_keys(&app.db).await?;
    Ok(active(&keys).map(|key| key.kid.clone()).filter(|kid| app.notary.key(kid).is_none()))
}

/// One act on the keys, with the entries it makes.
struct Act {
    tx: WriteTx,
    keys: Vec<LogKey>,
    entries: Vec<NewEntry>,
    now: Instant,
}

impl Act {
    async fn begin(db: &Db, name: &'static str) -> Result<Self> {
        let mut tx = db.write(Role::Ops, name, Lock::RegistryAlone, LogId::REGISTRY, &[LogId::PROCESSOR]).await?;
        let keys = store::log_keys(tx.conn()).await?;
        let now = tx.now();
        Ok(Self { tx, keys, entries: Vec::new(), now })
    }
    fn record(&mut self, kid: &str, event: Event) {
        for log in [LogId::PROCESSOR, LogId::REGISTRY] {
            self.entries.push(NewEntry::new(log, kid, &Actor::system(), event.clone()));
        }
    }
    async fn publish(&mut self, key: &LogSigningKey) -> Result<()> {
        let kid = key.kid();
        store::publish(self.tx.conn(), &kid, key.public_key(), self.now).await?;
        self.record(&kid, Event::LogKeyPublished { kid: kid.clone(), public_key: STANDARD.encode(key.public_key()) });
        Ok(())
    }
    async fn hand_over(&mut self, kid: &str, before: Option<String>) -> Result<()> {
        if let Some(before) = &before {
            store::retire(self.tx.conn(), before, self.now).await?;
        }
        store::activate(self.tx.conn(), kid, self.now).await?;
        self.record(kid, Event::LogKeyActivated { kid: kid.to_owned(), before });
        Ok(())
    }
    async fn commit(self) -> Result<()> {
        commit(self.tx, self.entries).await.map(|_| ())
    }
}
