//! What holds for all customers, rebuilt from the registry's entries: code lists, EEA membership,
//! platforms and their suspensions, permit keys. Pure.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::event::Event;
use crate::base::{Code, SuspensionId};

/// A way in which personal data leaves a platform.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Channel {
    /// The platform.
    pub platform: Code,
    /// Its code.
    pub code: Code,
}

/// A country's membership of the EU/EEA.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Membership {
    /// ISO 3166-1 alpha-2.
    pub country: Code,
    /// First day.
    pub from_on: NaiveDate,
    /// First day on which it no longer holds.
    pub until_on: Option<NaiveDate>,
}

crate::words! {
    /// Where a permit key stands in its life.
    pub enum PermitKeyState {
        /// In the key set, and signs nothing yet.
        Published = "published",
        /// Signs; at most one does.
        Active = "active",
        /// Another signs; its permits can be redeemed until they expire.
        Retired = "retired",
        /// Counts for nothing.
        Withdrawn = "withdrawn",
    }
}

/// The registry's facts as the gate reads them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegistryFacts {
    /// Purposes; true: prohibited.
    pub purposes: BTreeMap<Code, bool>,
    /// Data categories; true: special (GDPR Art. 9).
    pub data_categories: BTreeMap<Code, bool>,
    /// Channels.
    pub channels: BTreeSet<Channel>,
    /// EU/EEA membership.
    pub eea: BTreeSet<Membership>,
    /// Platforms.
    pub platforms: BTreeSet<Code>,
    /// Open suspensions of platforms.
    pub suspensions: BTreeMap<SuspensionId, Code>,
    /// Permit keys by `kid`.
    pub permit_keys: BTreeMap<String, PermitKeyState>,
}

impl RegistryFacts {
    /// The key that signs permits; `None`: none does, and none can be issued.
    #[must_use]
    pub fn active_permit_key(&self) -> Option<&str> {
        self.permit_keys.iter().find(|(_, state)| **state == PermitKeyState::Active).map(|(kid, _)| kid.as_str())
    }
    /// True if the country is a member of the EU/EEA on the day (promise P7: membership, not adequacy).
    #[must_use]
    pub fn in_eea(&self, country: &Code, day: NaiveDate) -> bool {
        self.eea.iter().any(|m| m.country == *country && m.from_on <= day && m.until_on.is_none_or(|until| day < until))
    }
}

fn code(row: &Value, member: &str) -> Option<Code> {
    row.get(member)?.as_str()?.parse().ok()
}

fn date(row: &Value, member: &str) -> Option<NaiveDate> {
    row.get(member)?.as_str()?.parse().ok()
}

fn load(facts: &mut RegistryFacts, list: &str, row: &Value) -> Option<()> {
    match list {
        "purposes" => {
            facts.purposes.insert(code(row, "code")?, row.get("rule")?.as_str()? == "prohibited");
        }
        "data-categories" => {
            facts.data_categories.insert(code(row, "code")?, row.get("special")?.as_bool()?);
        }
        "channels" => {
            facts.channels.insert(Channel { platform: code(row, "platform")?, code: code(row, "code")? });
        }
        "eea-membership" => {
            let (country, from_on) = (code(row, "country")?, date(row, "from_on")?);
            facts.eea.insert(Membership { country, from_on, until_on: date(row, "until_on") });
        }
        _ => {}
    }
    Some(())
}

fn stands(facts: &mut RegistryFacts, kid: &str, state: PermitKeyState) {
    facts.permit_keys.insert(kid.to_owned(), state);
}

/// Takes one event of the registry's log into its facts.
pub fn apply_registry(facts: &mut RegistryFacts, event: &Event) {
    match event {
        Event::ReferenceLoaded { list, rows, .. } => {
            for row in rows.as_array().into_iter().flatten() {
                load(facts, list, row);
            }
        }
        Event::PlatformRegistered { platform } => {
            facts.platforms.insert(platform.clone());
        }
        Event::PlatformSuspended { suspension, platform, .. } => {
            facts.suspensions.insert(*suspension, platform.clone());
        }
        Event::PlatformReleased { suspension, .. } => {
            facts.suspensions.remove(suspension);
        }
        Event::PermitKeyPublished { kid, .. } => stands(facts, kid, PermitKeyState::Published),
        Event::PermitKeyActivated { kid } => stands(facts, kid, PermitKeyState::Active),
        Event::PermitKeyRetired { kid, .. } => stands(facts, kid, PermitKeyState::Retired),
        Event::PermitKeyWithdrawn { kid, .. } => stands(facts, kid, PermitKeyState::Withdrawn),
        _ => {}
    }
}
