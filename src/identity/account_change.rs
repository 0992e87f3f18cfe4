//! A change of somebody's own account: one act, an entry in the log of every customer that the
//! person has come to, and a notice to the person and to everybody there who answers for people and privacy.
//! The heads of all these customers are locked, so that none can be left out by a race.

use super::model::Account;
use super::notice::{self, Notice};
use super::store::{self, Binding, Holder};
use crate::app::App;
use crate::base::{AccountRecoveryId, Error, Result, SecondFactorId};
use crate::db::{Lock, LogId, WriteTx};
use crate::evidence::{Actor, Event, NewEntry, Receipt, commit};

/// What a person changed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Change {
    /// Enrolled a second factor.
    Factor(SecondFactorId),
    /// Set another password.
    Password,
    /// Asked for another e-mail address.
    EmailAsked,
    /// Proved it.
    Email,
    /// Drew new recovery codes.
    RecoveryCodes(SecondFactorId),
    /// Used a recovery code, of which so many are left.
    RecoveryCode(SecondFactorId, u32),
}

impl Change {
    const fn words(self) -> &'static str {
        match self {
            Self::Factor(_) => "enrolled a second factor",
            Self::Password => "changed the password",
            Self::EmailAsked => "asked for another e-mail address, which counts once it is proved",
            Self::Email => "changed the e-mail address",
            Self::RecoveryCodes(_) => "drew new recovery codes",
            Self::RecoveryCode(..) => "used a recovery code in place of the second factor",
        }
    }
    fn event(self, holder: Holder, at: Option<&Binding>) -> Event {
        match (holder, at, self) {
            (Holder::Ops(ops_person), _, Self::Factor(second_factor)) => Event::OpsPersonFactorChanged { ops_person, second_factor },
            (Holder::Ops(ops_person), _, Self::Password) => Event::OpsPersonPasswordChanged { ops_person },
            (Holder::Ops(ops_person), _, Self::EmailAsked) => Event::OpsPersonEmailAsked { ops_person },
            (Holder::Ops(ops_person), _, Self::Email) => Event::OpsPersonEmailChanged { ops_person },
            (Holder::Ops(ops_person), _, Self::RecoveryCodes(second_factor)) => {
                Event::OpsPersonRecoveryCodesRenewed { ops_person, second_factor }
            }
            (Holder::Ops(ops_person), _, Self::RecoveryCode(second_factor, left)) => {
                Event::OpsPersonRecoveryCodeUsed { ops_person, second_factor, left }
            }
            (Holder::Member { membership, .. }, at, change) => {
                let membership = at.map_or(membership, |at| at.membership);
                match change {
                    Self::Factor(second_factor) => Event::PersonFactorChanged { membership, second_factor },
                    Self::Password => Event::PersonPasswordChanged { membership },
                    Self::EmailAsked => Event::PersonEmailAsked { membership },
                    Self::Email => Event::PersonEmailChanged { membership },
                    Self::RecoveryCodes(second_factor) => Event::PersonRecoveryCodesRenewed { membership, second_factor },
                    Self::RecoveryCode(second_factor, left) => Event::PersonRecoveryCodeUsed { membership, second_factor, left },
                }
            }
        }
    }
}

/// A change under way.
pub(super) struct AccountChange {
    /// The transaction, at home with the customer of the session (the processor for ops).
    pub tx: WriteTx,
    /// The person's memberships, at every customer where the person has come. One that was only invited
    /// stays as it is, also after a recovery: whoever reads the invited address is whom it invited.
    pub memberships: Vec<Binding>,
    holder: Holder,
    entries: Vec<NewEntry>,
}

impl AccountChange {
    /// Begins a change by the holder of a session.
    ///
    /// # Errors
    /// As [`crate::db::Db::write`].
    pub async fn begin(app: &App, holder: Holder, name: &'static str) -> Result<Self> {
        // Acting for one customer, a role sees the person's membership of that one only.
        let mut read = app.db.read(holder.role(), "memberships", LogId::REGISTRY).await?;
        let memberships = match holder.account() {
            Account::Person(person) => store::accepted_memberships_of(read.conn(), person).await?,
            Account::Ops(_) => Vec::new(),
        };
        drop(read);
        let logs: Vec<LogId> = memberships.iter().map(|at| at.customer.into()).collect();
        let tx = app.db.write(holder.role(), name, Lock::Heads, holder.home(), &logs).await?;
        Ok(Self { tx, memberships, holder, entries: Vec::new() })
    }

    /// Notes what was changed: the entries, and the notices.
    ///
    /// # Errors
    /// When a statement fails.
    pub async fn note(&mut self, change: Change) -> Result<()> {
        let words = change.words();
        if let Holder::Ops(ops_person) = self.holder {
            let event = change.event(self.holder, None);
            self.entries.push(NewEntry::new(LogId::PROCESSOR, ops_person, &Actor::of(ops_person), event));
            return notice::tell_ops(&mut self.tx, ops_person, words).await;
        }
        for at in &self.memberships {
            let event = change.event(self.holder, Some(at));
            self.entries.push(NewEntry::new(at.customer, at.membership, &Actor::of(at.membership), event));
            let body = format!("The member {} of your institution {words}.", at.membership);
            notice::tell_of_account(&mut self.tx, at, Notice { about: at.membership, body }).await?;
        }
        Ok(())
    }

    /// Notes, at one customer, that the person came back by a recovery.
    ///
    /// # Errors
    /// When a statement fails.
    pub async fn note_recovered(&mut self, at: &Binding, account_recovery: AccountRecoveryId, authority_suspended: bool) -> Result<()> {
        let event = Event::PersonRecovered { membership: at.membership, account_recovery, authority_suspended };
        self.entries.push(NewEntry::new(at.customer, at.membership, &Actor::of(at.membership), event));
        let rest = if authority_suspended {
            "The member's authority is suspended until a person of yours with authority over people confirms it."
        } else {
            "Nobody else of your institution has authority over people, so the member's authority holds on."
        };
        let body = format!("The account of the member {} was recovered: the member has a new password. {rest}", at.membership);
        notice::tell_of_account(&mut self.tx, at, Notice { about: at.membership, body }).await
    }

    /// Commits the change with its entries: the receipt of the first, which is the session's own
    /// customer's where that is among them.
    ///
    /// # Errors
    /// As [`commit`].
    pub async fn commit(self) -> Result<Receipt> {
        let home = self.holder.home();
        let mut entries = self.entries;
        entries.sort_by_key(|entry| entry.log != home);
        let first = commit(self.tx, entries).await?.into_iter().next();
        first.ok_or_else(|| Error::internal("a change without its entry"))
    }
}
