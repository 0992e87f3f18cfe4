//! Codes of a request against the registry's lists, outside the gate: an unknown one is a fault
//! with its place (at the gate it is a recorded refusal). A prohibited purpose can never be
//! instructed (promise P3). A fault never repeats the code.

use std::collections::BTreeSet;

use crate::base::{Code, Faults, Pointer, Recipient, Scope};
use crate::evidence::{Channel, RegistryFacts};

const UNKNOWN: &str = "unknown_code";

/// Notes a platform that is not registered.
pub fn known_platform(faults: &mut Faults, known: &RegistryFacts, at: &Pointer, platform: &Code) {
    if !known.platforms.contains(platform) {
        faults.add(at, UNKNOWN, "is not the code of a platform");
    }
}

/// Notes purposes that are not listed, and prohibited ones (`purpose_prohibited`).
pub fn known_purposes(faults: &mut Faults, known: &RegistryFacts, at: &Pointer, purposes: &BTreeSet<Code>) {
    if purposes.iter().any(|purpose| !known.purposes.contains_key(purpose)) {
        faults.add(at, UNKNOWN, "has a code that is not in the list of purposes");
    }
    if purposes.iter().any(|purpose| known.purposes.get(purpose) == Some(&true)) {
        faults.add(
            at,
            "purpose_prohibited",
            "has a purpose that can never be instructed: sale, advertising, own profiling, own product training",
        );
    }
}

/// Notes data categories that are not listed.
pub fn known_categories(faults: &mut Faults, known: &RegistryFacts, at: &Pointer, categories: &BTreeSet<Code>) {
    if categories.iter().any(|category| !known.data_categories.contains_key(category)) {
        faults.add(at, UNKNOWN, "has a code that is not in the list of data categories");
    }
}

/// Notes recipients whose country is not an ISO 3166-1 alpha-2 code; `at` points to the list.
pub fn known_countries(faults: &mut Faults, at: &Pointer, recipients: &[Recipient]) {
    for (i, recipient) in recipients.iter().enumerate() {
        if !recipient.country.is_country() {
            faults.add(&at.at(i).at("country"), UNKNOWN, "must be a country code of ISO 3166-1 alpha-2 in capitals");
        }
    }
}

/// Notes every code of a scope that is in no list; `at` points to the scope. A channel must be one
/// of the scope's platforms'.
pub fn known_scope(faults: &mut Faults, known: &RegistryFacts, at: &Pointer, scope: &Scope) {
    if scope.platforms.iter().any(|platform| !known.platforms.contains(platform)) {
        faults.add(&at.at("platforms"), UNKNOWN, "has a code that is not the code of a platform");
    }
    let offers = |platform: &Code, code: &Code| known.channels.contains(&Channel { platform: platform.clone(), code: code.clone() });
    if scope.channels.iter().any(|code| !scope.platforms.iter().any(|platform| offers(platform, code))) {
        faults.add(&at.at("channels"), UNKNOWN, "has a code that is not a channel of the named platforms");
    }
    known_purposes(faults, known, &at.at("purposes"), &scope.purposes);
    known_categories(faults, known, &at.at("data_categories"), &scope.data_categories);
    known_countries(faults, &at.at("recipients"), &scope.recipients);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Error, VolumeLimits};

    fn set(codes: &[&'static str]) -> BTreeSet<Code> {
        codes.iter().map(|code| Code::fixed(code)).collect()
    }
    fn registry() -> RegistryFacts {
        RegistryFacts {
            purposes: [(Code::fixed("support"), false), (Code::fixed("sale"), true)].into(),
            data_categories: [(Code::fixed("identity"), false)].into(),
            channels: [Channel { platform: Code::fixed("fronter"), code: Code::fixed("report-archive") }].into(),
            platforms: set(&["fronter", "itslearning"]),
            ..RegistryFacts::default()
        }
    }
    fn scope(platform: &'static str, channel: &'static str, purpose: &'static str, category: &'static str, country: &'static str) -> Scope {
        let recipient = Recipient {
            legal_entity: "Arkiv IKS".parse().unwrap(),
            country: Code::fixed(country),
            role: Code::fixed("archive"),
            transfer_ground: None,
        };
        Scope {
            platforms: set(&[platform]),
            channels: set(&[channel]),
            purposes: set(&[purpose]),
            data_categories: set(&[category]),
            recipients: vec![recipient],
            volume: VolumeLimits::default(),
            once: false,
            valid_from_at: None,
            valid_until_at: None,
        }
    }

    #[test]
    fn every_code_that_is_in_no_list_is_noted_with_its_place() {
        let right = ("fronter", "report-archive", "support", "identity", "NO");
        let found = |scope: &Scope| {
            let mut faults = Faults::default();
            known_scope(&mut faults, &registry(), &Pointer::default().at("scope"), scope);
            match faults.check() {
                Ok(()) => Vec::new(),
                Err(Error::Invalid(list)) => list.into_iter().map(|fault| (fault.pointer, fault.code)).collect(),
                Err(other) => panic!("{other:?}"),
            }
        };
        let (platform, channel, purpose, category, country) = right;
        assert!(found(&scope(platform, channel, purpose, category, country)).is_empty());
        for (scope, pointer, code) in [
            (scope(platform, "lti", purpose, category, country), "/scope/channels", "unknown_code"),
            // A channel of another platform is not one of the named platform's.
            (scope("itslearning", channel, purpose, category, country), "/scope/channels", "unknown_code"),
            (scope(platform, channel, "fun", category, country), "/scope/purposes", "unknown_code"),
            (scope(platform, channel, "sale", category, country), "/scope/purposes", "purpose_prohibited"),
            (scope(platform, channel, purpose, "shoes", country), "/scope/data_categories", "unknown_code"),
            (scope(platform, channel, purpose, category, "XX"), "/scope/recipients/0/country", "unknown_code"),
        ] {
            assert_eq!(found(&scope), [(pointer.to_owned(), code)]);
        }
        assert_eq!(found(&scope("x", "x", "x", "x", "x")).len(), 5);
    }
}
