//! The rows of an institution's own tables as the entries of its log state them: the customer, its units,
//! members, their authority, first signatories, recoveries, keys, recipients and documents.

use serde_json::{Value, json};

use super::{Rows, at, bytes, id, name};
use crate::base::{CustomerId, MembershipId, RestoreId, TypedId};
use crate::evidence::{EndedEpoch, Event, StoredEntry};

impl Rows {
    /// Takes an entry of a customer's log in, as far as it speaks of the customer's own tables.
    pub(super) fn institution(&mut self, entry: &StoredEntry, event: &Event) {
        let now = at(entry.at);
        let member = |member: &str| entry.record.get(member).cloned().unwrap_or_default();
        match event {
            Event::CustomerRegistered { .. } => {
                let Ok(customer) = self.log.parse::<CustomerId>() else { return };
                let stated = ["name", "kind", "country", "zone", "language", "privacy_contacts", "second_contacts"];
                let columns = stated.map(|column| (column, member(column))).into_iter().chain([("registered_at", now)]);
                self.insert(entry, name("customer", &[id(customer)]), columns);
            }
            Event::AgreementAccepted { platform, external_id, .. } => {
                let name = name("external_id", &[json!(platform), json!(external_id)]);
                // It stays from the first agreement that names it.
                if !self.rows.contains_key(&name) {
                    self.insert(entry, name, [("since_at", now)]);
                }
            }
            Event::UnitsAdded { units } => {
                for (code, unit) in units {
                    self.insert(entry, name("unit", &[json!(code)]), [("name", json!(unit)), ("added_at", now.clone())]);
                }
            }
            Event::ApiKeyCreated { api_key, role, expires_at } => {
                let columns = [("role", json!(role)), ("created_at", now), ("expires_at", at(*expires_at)), ("revoked_at", Value::Null)];
                self.insert(entry, name("api_key", &[id(*api_key)]), columns);
            }
            Event::ApiKeyRevoked { api_key } => self.update(entry, &name("api_key", &[id(*api_key)]), [("revoked_at", now)]),
            Event::RecipientAdded { recipient, .. } => {
                let stated = ["legal_entity", "country", "role", "transfer_ground"];
                let columns = stated.map(|column| (column, member(column))).into_iter().chain([("added_at", now)]);
                self.insert(entry, name("recipient", &[id(*recipient)]), columns);
            }
            Event::DocumentStored { document, sha256, length, media_type } => {
                let columns = [
                    ("sha256", bytes(sha256)),
                    ("bytes_sha256", bytes(sha256)),
                    ("length", json!(length)),
                    ("media_type", json!(media_type)),
                    ("stored_at", now),
                    ("erased_at", Value::Null),
                ];
                self.insert(entry, name("document", &[id(*document)]), columns);
            }
            Event::DocumentErased { document, .. } => {
                let columns = [("erased_at", now), ("bytes_sha256", Value::Null)];
                self.update(entry, &name("document", &[id(*document)]), columns);
            }
            _ => self.people(entry, event),
        }
    }

    fn people(&mut self, entry: &StoredEntry, event: &Event) {
        let now = at(entry.at);
        match event {
            Event::MembershipBegan { membership, person, role, until_on } => {
                let columns = [
                    ("person_id", id(*person)),
                    ("role", json!(role)),
                    ("until_on", json!(until_on)),
                    ("began_at", now),
                    ("ended_at", Value::Null),
                ];
                self.insert(entry, name("membership", &[id(*membership)]), columns);
            }
            Event::MembershipEnded { membership } => self.update(entry, &name("membership", &[id(*membership)]), [("ended_at", now)]),
            Event::AuthorityGranted { membership, kind, units, begins_at } => {
                let columns = [("units", json!(units)), ("begins_at", at(*begins_at)), ("ended_at", Value::Null)];
                self.insert(entry, name("authority", &[id(*membership), json!(kind), now]), columns);
            }
            Event::AuthorityEnded { membership, kind } => {
                for name in self.open("authority", &[id(*membership), json!(kind)], "ended_at") {
                    self.update(entry, &name, [("ended_at", now.clone())]);
                }
            }
            Event::AuthorityConfirmed { membership } => self.confirmed(entry, *membership),
            Event::EpochOpened { restore, unconfirmed: true, ended, .. } if ended.iter().any(EndedEpoch::has_lost) => {
                self.unconfirmed(entry, *restore);
            }
            _ => self.accounts(entry, event),
        }
    }

    /// After a restore the authority of every member is suspended, as a recovery would.
    fn unconfirmed(&mut self, entry: &StoredEntry, restore: RestoreId) {
        for (_, member) in self.open("membership", &[], "ended_at") {
            let name = name("authority_suspension", &[json!(member), id(restore)]);
            self.insert(entry, name, [("suspended_at", at(entry.at)), ("confirmed_at", Value::Null)]);
        }
    }

    fn confirmed(&mut self, entry: &StoredEntry, membership: MembershipId) {
        for name in self.open("authority_suspension", &[id(membership)], "confirmed_at") {
            self.update(entry, &name, [("confirmed_at", at(entry.at))]);
        }
    }

    /// First signatories and recoveries, step by step.
    fn accounts(&mut self, entry: &StoredEntry, event: &Event) {
        let now = at(entry.at);
        let of = |table: &'static str, uuid: uuid::Uuid| name(table, &[json!(uuid)]);
        let open = |columns: &'static [&'static str]| columns.iter().map(|column| (*column, Value::Null));
        match event {
            Event::FirstSignatoryProposed { first_signatory, agreement, person } => {
                let columns = [("agreement_id", id(*agreement)), ("person_id", id(*person)), ("proposed_at", now)];
                let open = open(&["approved_at", "membership_id", "delivered_at", "authority_begins_at", "withdrawn_at"]);
                self.insert(entry, of("first_signatory", first_signatory.uuid()), columns.into_iter().chain(open));
            }
            Event::FirstSignatoryApproved { first_signatory, membership } => {
                let columns = [("approved_at", now), ("membership_id", id(*membership))];
                self.update(entry, &of("first_signatory", first_signatory.uuid()), columns);
            }
            Event::FirstSignatoryNotified { first_signatory, delivered_at, authority_begins_at, .. } => {
                let columns = [("delivered_at", at(*delivered_at)), ("authority_begins_at", at(*authority_begins_at))];
                self.update(entry, &of("first_signatory", first_signatory.uuid()), columns);
            }
            Event::FirstSignatoryWithdrawn { first_signatory, .. } => {
                self.update(entry, &of("first_signatory", first_signatory.uuid()), [("withdrawn_at", now)]);
            }
            Event::AccountRecoveryProposed { account_recovery, agreement, membership } => {
                let columns = [("agreement_id", id(*agreement)), ("membership_id", id(*membership)), ("proposed_at", now)];
                let open = open(&["approved_at", "delivered_at", "opens_at", "closes_at", "accepted_at", "withdrawn_at"]);
                self.insert(entry, of("account_recovery", account_recovery.uuid()), columns.into_iter().chain(open));
            }
            Event::AccountRecoveryApproved { account_recovery } => {
                self.update(entry, &of("account_recovery", account_recovery.uuid()), [("approved_at", now)]);
            }
            Event::AccountRecoveryNotified { account_recovery, delivered_at, opens_at, closes_at, .. } => {
                let instant = |instant: &Option<_>| instant.map_or(Value::Null, at);
                let columns = [("delivered_at", at(*delivered_at)), ("opens_at", instant(opens_at)), ("closes_at", instant(closes_at))];
                self.update(entry, &of("account_recovery", account_recovery.uuid()), columns);
            }
            Event::AccountRecoveryWithdrawn { account_recovery } => {
                self.update(entry, &of("account_recovery", account_recovery.uuid()), [("withdrawn_at", now)]);
            }
            Event::PersonRecovered { membership, account_recovery, authority_suspended } => {
                self.update(entry, &of("account_recovery", account_recovery.uuid()), [("accepted_at", now.clone())]);
                if *authority_suspended {
                    let name = name("authority_suspension", &[id(*membership), id(*account_recovery)]);
                    self.insert(entry, name, [("suspended_at", now), ("confirmed_at", Value::Null)]);
                } else {
                    self.confirmed(entry, *membership);
                }
            }
            _ => {}
        }
    }
}
