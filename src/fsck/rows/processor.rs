//! The rows of the tables that hold for all customers as the registry's entries state them, and those of
//! the processor's staff and keys as the entries of its own log do.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Name, Rows, at, id, name};
use crate::evidence::{Event, StoredEntry};

/// The columns of a list's rows: those that name one, then the others, each as table and record have it.
type List = (&'static str, &'static [(&'static str, &'static str)], &'static [&'static str]);

fn list(list: &str) -> Option<List> {
    Some(match list {
        "purposes" => ("purpose", &[("code", "code")], &["name", "rule"]),
        "data-categories" => ("data_category", &[("code", "code")], &["name", "special"]),
        "channels" => ("channel", &[("platform", "platform"), ("code", "code")], &["what_leaves", "datasets"]),
        "eea-membership" => ("eea_membership", &[("country", "country"), ("from_on", "from_on")], &["until_on", "basis"]),
        "public-holidays" => ("public_holiday", &[("calendar", "calendar"), ("on_date", "on"), ("name", "name")], &[]),
        _ => return None,
    })
}

fn key(table: &'static str, kid: &str) -> Name {
    name(table, &[json!(kid)])
}

impl Rows {
    /// Takes an entry of the registry in.
    pub(super) fn registry(&mut self, entry: &StoredEntry, event: &Event) {
        let now = at(entry.at);
        match event {
            Event::ReferenceLoaded { list, rows, .. } => self.list(entry, list, rows),
            Event::PlatformRegistered { platform } => self.insert(entry, name("platform", &[json!(platform)]), []),
            Event::PlatformSuspended { suspension, platform, ground } => {
                let columns = [
                    ("platform", json!(platform)),
                    ("ground", json!(ground)),
                    ("suspended_at", now),
                    ("release_id", Value::Null),
                    ("release_proposed_at", Value::Null),
                    ("released_at", Value::Null),
                ];
                self.insert(entry, name("platform_suspension", &[id(*suspension)]), columns);
            }
            Event::PlatformReleaseProposed { suspension, release } => {
                let columns = [("release_id", id(*release)), ("release_proposed_at", now)];
                self.update(entry, &name("platform_suspension", &[id(*suspension)]), columns);
            }
            Event::PlatformReleased { suspension, .. } => {
                self.update(entry, &name("platform_suspension", &[id(*suspension)]), [("released_at", now)]);
            }
            Event::PermitKeyPublished { kid, public_key } => self.published(entry, key("permit_key", kid), public_key.clone()),
            Event::PermitKeyActivated { kid } => self.update(entry, &key("permit_key", kid), [("activated_at", now)]),
            Event::PermitKeyRetired { kid, .. } => self.update(entry, &key("permit_key", kid), [("retired_at", now)]),
            Event::PermitKeyWithdrawn { kid, .. } => self.update(entry, &key("permit_key", kid), [("withdrawn_at", now)]),
            Event::LogKeyPublished { kid, public_key } => {
                let bytes = STANDARD.decode(public_key).unwrap_or_default();
                let hexadecimal: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                self.published(entry, key("log_key", kid), json!(format!("\\x{hexadecimal}")));
            }
            Event::LogKeyActivated { kid, before } => {
                if let Some(before) = before {
                    self.update(entry, &key("log_key", before), [("retired_at", now.clone())]);
                }
                self.update(entry, &key("log_key", kid), [("activated_at", now)]);
            }
            Event::LogKeyWithdrawn { kid } => self.update(entry, &key("log_key", kid), [("withdrawn_at", now)]),
            _ => {}
        }
    }

    fn list(&mut self, entry: &StoredEntry, of: &str, rows: &Value) {
        let Some((table, names, others)) = list(of) else { return };
        for row in rows.as_array().into_iter().flatten() {
            let member = |member: &str| row.get(member).cloned().unwrap_or_default();
            let parts: Vec<Value> = names.iter().map(|(_, stated)| member(stated)).collect();
            self.insert(entry, name(table, &parts), others.iter().map(|column| (*column, member(column))));
        }
    }

    fn published(&mut self, entry: &StoredEntry, key: Name, public_key: Value) {
        let open = ["activated_at", "retired_at", "withdrawn_at"].map(|column| (column, Value::Null));
        let columns = [("public_key", public_key), ("published_at", at(entry.at))];
        self.insert(entry, key, columns.into_iter().chain(open));
    }

    /// Takes an entry of the processor's log in.
    pub(super) fn processor(&mut self, entry: &StoredEntry, event: &Event) {
        let now = at(entry.at);
        let person = |person| name("ops_person", &[id(person)]);
        match event {
            Event::OpsPersonProposed { ops_person, role } => self.of_staff(entry, person(*ops_person), role, Value::Null),
            Event::OpsPersonAddedAlone { ops_person, role } => self.of_staff(entry, person(*ops_person), role, now),
            Event::OpsPersonAdded { ops_person, .. } if self.rows.contains_key(&person(*ops_person)) => {
                self.update(entry, &person(*ops_person), [("admitted_at", now)]);
            }
            // The first one, whom the command line adds.
            Event::OpsPersonAdded { ops_person, role } => self.of_staff(entry, person(*ops_person), role, now),
            Event::OpsPersonEnded { ops_person } => self.update(entry, &person(*ops_person), [("ended_at", now)]),
            Event::OpsPersonRecovered { ops_person, .. } => self.update(entry, &person(*ops_person), [("recovered_at", now)]),
            Event::ProcessorKeyCreated { api_key, surface, platform, expires_at } => {
                let columns = [
                    ("surface", json!(surface)),
                    ("platform", json!(platform)),
                    ("created_at", now),
                    ("expires_at", at(*expires_at)),
                    ("approved_at", Value::Null),
                    ("revoked_at", Value::Null),
                ];
                self.insert(entry, name("api_key", &[id(*api_key)]), columns);
            }
            Event::ProcessorKeyApproved { api_key, .. } => {
                self.update(entry, &name("api_key", &[id(*api_key)]), [("approved_at", now)]);
            }
            Event::ProcessorKeyRevoked { api_key } => self.update(entry, &name("api_key", &[id(*api_key)]), [("revoked_at", now)]),
            _ => {}
        }
    }

    fn of_staff(&mut self, entry: &StoredEntry, person: Name, role: &str, admitted_at: Value) {
        let columns = [
            ("role", json!(role)),
            ("created_at", at(entry.at)),
            ("admitted_at", admitted_at),
            ("ended_at", Value::Null),
            ("recovered_at", Value::Null),
        ];
        self.insert(entry, person, columns);
    }
}
