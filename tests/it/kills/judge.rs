//! What was acknowledged against the logs: every receipt stands in its log as it was given, and every
//! request has one effect. A log that could not be read leaves its receipts unchecked, not lost.

use std::collections::BTreeMap;
use std::time::Duration;

use mandate::base::Digest;
use mandate::db::{Db, LogId};
use mandate::evidence::{StoredEntry, entries};
use serde_json::Value;

use super::Tally;
use super::load::{Acknowledged, CUSTOMERS, Sent};
use crate::support::{Harness, bare, http};

struct Log {
    id: LogId,
    origin: String,
    /// Leaf hash, root and effect of each entry.
    entries: Vec<(Digest, Digest, Option<String>)>,
}

/// What is known of a world's requests.
pub struct Judge {
    logs: Vec<Log>,
    acknowledged: Vec<Acknowledged>,
    /// How many of them were compared.
    compared: usize,
    /// Requests whose outcome is not known.
    pub open: Vec<Sent>,
    /// What was answered last to one that stays open.
    pub said: String,
}

/// The effect that an entry is of, as its request named it.
fn effect(entry: &StoredEntry) -> Option<String> {
    let text = |pointer: &str| entry.record.pointer(pointer).and_then(Value::as_str);
    let asked = |verb: &str| text("/decision/request/requested_by/ref").map(|name| format!("{verb} {name}"));
    match entry.word.as_str() {
        "export.permitted" | "export.refused" => asked("ask"),
        "export.redeemed" | "export.redemption_refused" => asked("redeem"),
        "export.chunk_authorised" | "export.chunk_refused" => asked("chunk"),
        "customer.suspended" => text("/ground").map(|ground| format!("suspend {ground}")),
        "customer.released" => text("/suspension").map(|suspension| format!("release {suspension}")),
        _ => None,
    }
}

impl Log {
    /// Why an acknowledged entry counts as lost; `None`: it is there.
    fn lacks(&self, receipt: &Value) -> Option<&'static str> {
        let number = |name: &str| receipt[name].as_u64().and_then(|number| usize::try_from(number).ok());
        let digest = |name: &str| receipt[name].as_str().and_then(|text| text.parse::<Digest>().ok());
        let (Some(index), Some(size), Some(leaf), Some(root)) = (number("index"), number("size"), digest("leaf_hash"), digest("root"))
        else {
            return Some("the receipt cannot be read");
        };
        match (self.entries.get(index), size.checked_sub(1).and_then(|last| self.entries.get(last))) {
            _ if receipt["origin"].as_str() != Some(&self.origin) => Some("the receipt is of another log"),
            (None, _) | (_, None) => Some("the log is shorter"),
            (Some((hash, ..)), _) if *hash != leaf => Some("another entry stands there"),
            (_, Some((_, at_size, _))) if *at_size != root => Some("the log has another root at this size"),
            _ => None,
        }
    }
}

impl Judge {
    pub fn of(h: &Harness) -> Self {
        let logs = CUSTOMERS.map(|(name, _)| {
            let customer = h.customer(name);
            Log { id: LogId(bare(&customer)), origin: format!("mandate/{customer}/1"), entries: Vec::new() }
        });
        Self { logs: logs.into(), acknowledged: Vec::new(), compared: 0, open: Vec::new(), said: String::new() }
    }

    pub fn acknowledged(&mut self, more: Vec<Acknowledged>) {
        self.acknowledged.extend(more);
    }

    /// Reads what was added to the logs.
    pub async fn read(&mut self, db: &Db) -> mandate::base::Result<()> {
        for log in &mut self.logs {
            loop {
                let mut read = db.read_to_check("kills", log.id).await?;
                let more = entries(read.conn(), log.id, (1, log.entries.len() as u64), 500, None).await?;
                let is_all = more.len() < 500;
                log.entries.extend(more.iter().map(|entry| (entry.leaf_hash, entry.root, effect(entry))));
                if is_all {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Compares the receipts that were not compared yet; if the logs could not be read, they wait.
    pub fn compare(&mut self, was_read: bool, tally: &mut Tally) {
        if !was_read {
            tally.unchecked += self.unchecked();
            return;
        }
        for Acknowledged { place, effect, receipt } in &self.acknowledged[self.compared..] {
            if let Some(why) = self.logs[*place].lacks(receipt) {
                tally.lost.push(format!("{effect}, index {} of {}: {why}", receipt["index"], self.logs[*place].origin));
            }
        }
        self.compared = self.acknowledged.len();
    }

    pub fn unchecked(&self) -> usize {
        self.acknowledged.len() - self.compared
    }

    /// Forgets what was read and compared, to do it again from the first entry.
    pub fn forget(&mut self) {
        self.compared = 0;
        self.logs.iter_mut().for_each(|log| log.entries.clear());
    }

    fn effects(&self) -> Vec<BTreeMap<&str, usize>> {
        let counted = self.logs.iter().map(|log| {
            let mut counts = BTreeMap::new();
            log.entries.iter().filter_map(|(.., effect)| effect.as_deref()).for_each(|effect| *counts.entry(effect).or_default() += 1);
            counts
        });
        counted.collect()
    }

    /// How many of the open requests stand in their logs.
    pub fn open_in_effect(&self) -> usize {
        let effects = self.effects();
        self.open.iter().filter(|sent| effects[sent.place].contains_key(&*sent.effect)).count()
    }

    /// Asks the open requests again by their keys, so many times each; what is still open stays so.
    pub async fn ask_again(&mut self, base: &str, times: usize) {
        let client = http();
        for sent in std::mem::take(&mut self.open) {
            let mut answer = sent.answered(&client, base).await;
            for _ in 1..times {
                if answer.is_ok() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(30)).await;
                answer = sent.answered(&client, base).await;
            }
            match answer {
                Ok((acknowledged, _)) => self.acknowledged.push(acknowledged),
                Err(said) => {
                    self.said = said;
                    self.open.push(sent);
                }
            }
        }
    }

    /// Requests that have another number of effects than one.
    pub fn not_once(&self) -> Vec<String> {
        let effects = self.effects();
        let count = |acknowledged: &Acknowledged| effects[acknowledged.place].get(&*acknowledged.effect).copied().unwrap_or(0);
        let wrong = self.acknowledged.iter().filter(|acknowledged| count(acknowledged) != 1);
        wrong.map(|acknowledged| format!("{}: {} effects", acknowledged.effect, count(acknowledged))).collect()
    }
}
