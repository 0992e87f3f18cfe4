//! The epochs of a log, as the entries that open and confirm them state them: every log has them.

use serde_json::{Value, json};

use super::{Rows, at, id, name};
use crate::evidence::{Event, StoredEntry};

impl Rows {
    /// Takes an entry in, as far as it speaks of the log's epochs.
    pub(super) fn epoch(&mut self, entry: &StoredEntry, event: &Event) {
        match event {
            Event::EpochOpened { restore, ended, unconfirmed, .. } => {
                let missing = ended.iter().find_map(|ended| ended.missing.map(|(from, until)| (ended.epoch, from, until)));
                let columns = [
                    ("restore_id", id(*restore)),
                    ("missing_epoch", json!(missing.map(|(epoch, ..)| epoch))),
                    ("missing_from", json!(missing.map(|(_, from, _)| from))),
                    ("missing_until", json!(missing.map(|(.., until)| until))),
                    ("unconfirmed", json!(unconfirmed)),
                    ("opened_at", at(entry.at)),
                    ("confirmed_at", Value::Null),
                    ("confirmed_by", Value::Null),
                ];
                self.insert(entry, name("log_epoch", &[json!(entry.epoch)]), columns);
            }
            Event::StateConfirmed { membership, .. } => self.state_confirmed(entry, id(*membership)),
            Event::ProcessorStateConfirmed { .. } => self.state_confirmed(entry, Value::Null),
            _ => {}
        }
    }

    /// The present epoch is confirmed, and with it those before.
    fn state_confirmed(&mut self, entry: &StoredEntry, by: Value) {
        let open = self.open("log_epoch", &[], "confirmed_at").into_iter();
        let unconfirmed: Vec<_> = open.filter(|name| self.rows[name].columns.get("unconfirmed") == Some(&Value::Bool(true))).collect();
        for name in unconfirmed {
            self.update(entry, &name, [("confirmed_at", at(entry.at)), ("confirmed_by", by.clone())]);
        }
    }
}
