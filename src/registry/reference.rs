//! The reference data that is built into the program: code lists, EU/EEA membership, holidays.
//! Loading writes the rows and one entry per list, whose record holds the rows, so that the gate's
//! decisions can be decided again from the log alone. The files are never read at run time.

use chrono::NaiveDate;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::store;
use crate::base::{Code, Error, Result, canonical, sha256, to_value};
use crate::db::{LogId, WriteTx};
use crate::evidence::{Actor, Event, NewEntry};

const PURPOSES: &str = include_str!("../../config/data/purposes.csv");
const DATA_CATEGORIES: &str = include_str!("../../config/data/data-categories.csv");
const CHANNELS: &str = include_str!("../../config/data/channels.csv");
const EEA_MEMBERSHIP: &str = include_str!("../../config/data/eea-membership.csv");
const PUBLIC_HOLIDAYS: &str = include_str!("../../config/data/public-holidays.csv");

/// A purpose; `rule` says whether it can be instructed.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Purpose {
    pub code: Code,
    pub name: String,
    pub rule: String,
}

/// A category of personal data.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct DataCategory {
    pub code: Code,
    pub name: String,
    #[serde(rename(deserialize = "special_category"))]
    pub special: bool,
}

/// A way in which personal data leaves a platform.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct ChannelRow {
    pub platform: Code,
    #[serde(rename(deserialize = "channel"))]
    pub code: Code,
    pub what_leaves: String,
    #[serde(deserialize_with = "parts")]
    pub datasets: Vec<String>,
}

/// A membership; `until_on` is the first day on which it no longer holds.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct EeaRow {
    pub country: Code,
    #[serde(rename(deserialize = "from"))]
    pub from_on: NaiveDate,
    #[serde(rename(deserialize = "until"))]
    pub until_on: Option<NaiveDate>,
    pub basis: String,
}

/// A public holiday.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Holiday {
    #[serde(rename(deserialize = "country"))]
    pub calendar: String,
    #[serde(rename(deserialize = "date"))]
    pub on: NaiveDate,
    pub name: String,
}

fn parts<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
    let text = String::deserialize(d)?;
    Ok(text.split(';').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect())
}

fn read<T: DeserializeOwned>(file: &str) -> Result<Vec<T>> {
    csv::Reader::from_reader(file.as_bytes()).deserialize().collect::<Result<_, _>>().map_err(Error::internal)
}

fn entry<T: Serialize>(list: &str, rows: &[T]) -> NewEntry {
    let rows = to_value(&rows);
    let sha256 = sha256(&[&canonical(&rows)]);
    let event = Event::ReferenceLoaded { list: list.to_owned(), sha256, rows };
    NewEntry::new(LogId::REGISTRY, list, &Actor::system(), event)
}

/// Inserts every list, in a transaction that holds the registry alone. The platforms that have
/// channels must be registered before. The answer is one entry per list.
///
/// # Errors
/// When the lists were loaded before, or a platform is missing.
pub async fn load_reference(tx: &mut WriteTx) -> Result<Vec<NewEntry>> {
    let purposes: Vec<Purpose> = read(PURPOSES)?;
    let categories: Vec<DataCategory> = read(DATA_CATEGORIES)?;
    let channels: Vec<ChannelRow> = read(CHANNELS)?;
    let eea: Vec<EeaRow> = read(EEA_MEMBERSHIP)?;
    let holidays: Vec<Holiday> = read(PUBLIC_HOLIDAYS)?;
    store::insert_purposes(tx.conn(), &purposes).await?;
    store::insert_data_categories(tx.conn(), &categories).await?;
    for channel in &channels {
        store::insert_channel(tx.conn(), channel).await?;
    }
    store::insert_eea(tx.conn(), &eea).await?;
    store::insert_holidays(tx.conn(), &holidays).await?;
    Ok(vec![
        entry("purposes", &purposes),
        entry("data-categories", &categories),
        entry("channels", &channels),
        entry("eea-membership", &eea),
        entry("public-holidays", &holidays),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{RegistryFacts, apply_registry};
    use std::collections::BTreeSet;

    #[test]
    fn every_row_of_the_files_is_read() {
        assert_eq!(read::<Purpose>(PURPOSES).unwrap().len(), 14);
        assert_eq!(read::<DataCategory>(DATA_CATEGORIES).unwrap().len(), 18);
        assert_eq!(read::<ChannelRow>(CHANNELS).unwrap().len(), 8);
        assert_eq!(read::<EeaRow>(EEA_MEMBERSHIP).unwrap().len(), 31);
        let holidays: Vec<Holiday> = read(PUBLIC_HOLIDAYS).unwrap();
        assert_eq!(holidays.len(), 5269);
        let keys: BTreeSet<_> = holidays.iter().map(|day| (&day.calendar, day.on, &day.name)).collect();
        assert_eq!(keys.len(), holidays.len());
    }

    #[test]
    fn the_entries_rebuild_the_facts_of_the_files() {
        let mut facts = RegistryFacts::default();
        apply_registry(&mut facts, &entry("purposes", &read::<Purpose>(PURPOSES).unwrap()).event);
        apply_registry(&mut facts, &entry("data-categories", &read::<DataCategory>(DATA_CATEGORIES).unwrap()).event);
        apply_registry(&mut facts, &entry("channels", &read::<ChannelRow>(CHANNELS).unwrap()).event);
        apply_registry(&mut facts, &entry("eea-membership", &read::<EeaRow>(EEA_MEMBERSHIP).unwrap()).event);
        let prohibited: Vec<_> = facts.purposes.iter().filter(|(_, prohibited)| **prohibited).map(|(code, _)| code.as_str()).collect();
        assert_eq!(prohibited, ["advertising", "own-product-training", "own-profiling", "sale"]);
        let special: Vec<_> = facts.data_categories.iter().filter(|(_, special)| **special).map(|(code, _)| code.as_str()).collect();
        assert_eq!(special, ["ethnicity", "health", "religion"]);
        assert_eq!((facts.purposes.len(), facts.data_categories.len(), facts.channels.len(), facts.eea.len()), (14, 18, 8, 31));
        let day = |text: &str| text.parse().unwrap();
        for (country, on, member) in [
            ("GB", "2020-12-31", true),
            ("GB", "2021-01-01", false),
            ("NO", "2026-11-24", true),
            ("CH", "2026-11-24", false),
            ("HR", "2013-06-30", false),
        ] {
            assert_eq!(facts.in_eea(&Code::fixed(country), day(on)), member, "{country} {on}");
        }
    }

    #[test]
    fn a_channel_lists_its_data_sets() {
        let channels: Vec<ChannelRow> = read(CHANNELS).unwrap();
        assert_eq!(channels[2].datasets, ["persons", "groups", "memberships"]);
        assert!(channels.iter().all(|channel| !channel.datasets.is_empty()));
    }
}
