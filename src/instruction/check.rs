//! Whether a draft says something that can be instructed: codes known, no prohibited purpose (P3),
//! what its kind needs and nothing that has no meaning for it. Every fault at once. Pure, but for
//! the lists it is given.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use super::model::{Content, NewInstruction, RecipientChoice, Written};
use crate::base::{
    Code, DocumentId, Faults, Instant, InstructionKind, Pointer, Recipient, RecipientId, Reference, Scope, Selector, VolumeLimits,
};
use crate::evidence::RegistryFacts;

/// The most recipients of one instruction.
const MAX_RECIPIENTS: usize = 200;

/// What a draft is held against.
pub(super) struct Known<'a> {
    pub registry: &'a RegistryFacts,
    /// Codes of the customer's units.
    pub units: &'a BTreeSet<Reference>,
    /// Those recipients of the address book that the draft names.
    pub recipients: &'a BTreeMap<RecipientId, Recipient>,
    /// The cited document, if it is stored.
    pub document: Option<DocumentId>,
    /// The kind of the instruction that the draft belongs to, if it exists.
    pub kind: Option<InstructionKind>,
}

/// A code and the rule it breaks.
type Rule = (&'static str, &'static str);

const UNKNOWN: Rule = ("unknown_code", "must be a code of its list");

/// What the draft says; `None` after noting at least one fault.
pub(super) fn check(new: &NewInstruction, known: &Known<'_>, now: Instant, faults: &mut Faults) -> Option<Content> {
    let written = Written::one_of(new.text.as_ref(), new.document, faults);
    if new.document.is_some() && known.document != new.document {
        faults.add_at("document", "unknown_document", "must be a stored document of the customer");
    }
    kind(new, known, faults);
    codes(new, known.registry, faults);
    subjects(&new.subjects, known.units, faults);
    let recipients = recipients(new.recipients.as_deref().unwrap_or_default(), known.recipients, faults);
    volume(new, faults);
    window(new, now, faults);
    let set = |list: &Option<Vec<Code>>| list.iter().flatten().cloned().collect();
    let scope = Scope {
        platforms: new.platforms.iter().cloned().collect(),
        channels: set(&new.channels),
        purposes: set(&new.purposes),
        data_categories: set(&new.data_categories),
        recipients,
        volume: new.volume.unwrap_or_default(),
        once: new.once.unwrap_or_default(),
        valid_from_at: new.valid_from_at,
        valid_until_at: new.valid_until_at,
    };
    faults.is_empty().then_some(())?;
    Some(Content { scope, subjects: new.subjects.clone(), written: written? })
}

/// What the kind needs must be there; what has no meaning for it must not.
fn kind(new: &NewInstruction, known: &Known<'_>, faults: &mut Faults) {
    if known.kind.is_some_and(|kind| kind != new.kind) {
        faults.add_at("kind", "kind_fixed", "must be the kind of the instruction");
        return;
    }
    let (purposes, hand_out) = match new.kind {
        InstructionKind::Deletion => return faults.add_at("kind", "not_available", "deletion orders are not built yet"),
        InstructionKind::Export => (true, true),
        InstructionKind::Processing => (true, false),
        InstructionKind::Restriction => (false, false),
    };
    let stated = |list: &Option<Vec<Code>>| list.as_ref().is_some_and(|list| !list.is_empty());
    for (name, present, needed) in [
        ("platforms", !new.platforms.is_empty(), true),
        ("channels", stated(&new.channels), hand_out),
        ("purposes", stated(&new.purposes), purposes),
        ("data_categories", stated(&new.data_categories), purposes),
        ("subjects", !new.subjects.is_empty(), true),
        ("recipients", new.recipients.as_ref().is_some_and(|list| !list.is_empty()), hand_out),
    ] {
        match (present, needed) {
            (false, true) => faults.add_at(name, "empty", "must have at least one element for this kind"),
            (true, false) => faults.add_at(name, "not_applicable", "does not apply to this kind"),
            _ => {}
        }
    }
    for (name, present) in [("volume", new.volume.is_some_and(|v| v != VolumeLimits::default())), ("once", new.once == Some(true))] {
        if present && !hand_out {
            faults.add_at(name, "not_applicable", "does not apply to this kind");
        }
    }
}

fn codes(new: &NewInstruction, registry: &RegistryFacts, faults: &mut Faults) {
    each("platforms", &new.platforms, faults, |code| (!registry.platforms.contains(code)).then_some(UNKNOWN));
    each("channels", new.channels.as_deref().unwrap_or_default(), faults, |code| {
        let mut of = registry.channels.iter().filter(|channel| channel.code == *code).peekable();
        if of.peek().is_none() {
            return Some(UNKNOWN);
        }
        let belongs = of.any(|channel| new.platforms.contains(&channel.platform));
        (!belongs).then_some(("channel_of_another_platform", "must be a channel of one of the platforms named"))
    });
    each("purposes", new.purposes.as_deref().unwrap_or_default(), faults, |code| match registry.purposes.get(code) {
        None => Some(UNKNOWN),
        Some(true) => Some(("purpose_prohibited", "can never be instructed or used")),
        Some(false) => None,
    });
    each("data_categories", new.data_categories.as_deref().unwrap_or_default(), faults, |code| {
        (!registry.data_categories.contains_key(code)).then_some(UNKNOWN)
    });
}

/// Notes an element that stands twice, and the rule that `rule` finds broken.
fn each<T: Ord>(name: impl Display, list: &[T], faults: &mut Faults, rule: impl Fn(&T) -> Option<Rule>) {
    let at = Pointer::default().at(name);
    let mut seen = BTreeSet::new();
    for (i, element) in list.iter().enumerate() {
        if !seen.insert(element) {
            faults.add(&at.at(i), "duplicate", "stands twice in the list");
        } else if let Some((code, detail)) = rule(element) {
            faults.add(&at.at(i), code, detail);
        }
    }
}

fn subjects(list: &[Selector], units: &BTreeSet<Reference>, faults: &mut Faults) {
    each("subjects", list, faults, |_| None);
    let at = Pointer::default().at("subjects");
    for (i, selector) in list.iter().enumerate() {
        if selector.unit().is_some_and(|unit| !units.contains(unit)) {
            faults.add(&at.at(i).at("unit"), "unknown_unit", "must be a unit of the customer");
        }
    }
}

/// The recipients by value.
fn recipients(list: &[RecipientChoice], known: &BTreeMap<RecipientId, Recipient>, faults: &mut Faults) -> Vec<Recipient> {
    let at = Pointer::default().at("recipients");
    if list.len() > MAX_RECIPIENTS {
        faults.add(&at, "too_many", "must have at most 200 elements");
    }
    let mut values: Vec<Recipient> = Vec::new();
    for (i, choice) in list.iter().take(MAX_RECIPIENTS).enumerate() {
        let value = match choice {
            RecipientChoice::Value(value) => Some(value),
            RecipientChoice::Known(id) => known.get(id),
        };
        match value {
            None => faults.add(&at.at(i), "unknown_recipient", "must be a recipient of the address book"),
            Some(value) if values.contains(value) => faults.add(&at.at(i), "duplicate", "stands twice in the list"),
            Some(value) => {
                if !value.country.is_country() {
                    faults.add(&at.at(i).at("country"), UNKNOWN.0, "must be an ISO 3166-1 alpha-2 code");
                }
                values.push(value.clone());
            }
        }
    }
    values
}

/// A one-time instruction has one export, so limits over several have no meaning for it.
fn volume(new: &NewInstruction, faults: &mut Faults) {
    let (Some(true), Some(volume)) = (new.once, new.volume) else { return };
    let at = Pointer::default().at("volume");
    for (name, limit) in [("per_day", volume.per_day), ("total", volume.total)] {
        if limit.is_some() {
            faults.add(&at.at(name), "standing_only", "applies to a standing instruction only");
        }
    }
}

fn window(new: &NewInstruction, now: Instant, faults: &mut Faults) {
    let Some(until) = new.valid_until_at else { return };
    if new.valid_from_at.is_some_and(|from| until <= from) {
        faults.add_at("valid_until_at", "order", "must lie after valid_from_at");
    } else if until <= now {
        faults.add_at("valid_until_at", "past", "must lie in the future");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Decode, Error};
    use crate::evidence::Channel;
    use serde_json::{Value, json};

    const ARCHIVE: &str = "rec_0190a0b0c0d0700080000123456789ab";

    fn export() -> Value {
        json!({
            "kind": "export", "platforms": ["itslearning"], "channels": ["ims-es"], "purposes": ["archiving"],
            "data_categories": ["identity", "health"], "subjects": [{"kind": "unit", "unit": "S03"}], "recipients": [ARCHIVE],
            "text": "Deliver to the archive.",
        })
    }

    fn found(body: &Value) -> Vec<(String, &'static str)> {
        let code = Code::fixed;
        let registry = RegistryFacts {
            purposes: [(code("archiving"), false), (code("sale"), true)].into(),
            data_categories: [(code("identity"), false), (code("health"), true)].into(),
            platforms: [code("itslearning"), code("fronter")].into(),
            channels: [
                Channel { platform: code("itslearning"), code: code("ims-es") },
                Channel { platform: code("fronter"), code: code("archive-dump") },
            ]
            .into(),
            ..RegistryFacts::default()
        };
        let archive =
            Recipient { legal_entity: "Archive".parse().unwrap(), country: code("NO"), role: code("archive"), transfer_ground: None };
        let known = Known {
            registry: &registry,
            units: &["S03".parse().unwrap()].into(),
            recipients: &[(ARCHIVE.parse().unwrap(), archive)].into(),
            document: None,
            kind: None,
        };
        let mut faults = Faults::default();
        let now = "2026-11-24T08:00:00Z".parse().unwrap();
        let new = NewInstruction::decode(body, &Pointer::default(), &mut faults);
        let content = new.and_then(|new| check(&new, &known, now, &mut faults));
        match faults.finish(content) {
            Err(Error::Invalid(list)) => list.into_iter().map(|f| (f.pointer, f.code)).collect(),
            other => {
                assert!(other.is_ok_and(|content| content.scope.recipients.len() <= 1));
                Vec::new()
            }
        }
    }

    /// The body with members changed; `null` takes one away.
    fn with(members: &Value) -> Value {
        let mut body = export();
        for (name, value) in members.as_object().unwrap() {
            body[name] = value.clone();
        }
        body
    }

    #[test]
    fn each_kind_needs_its_lists_and_takes_no_others() {
        let restriction = json!({"kind": "restriction", "channels": null, "purposes": null, "data_categories": [], "recipients": []});
        let processing = json!({"kind": "processing", "channels": null, "recipients": null});
        for (members, faults) in [
            (json!({}), vec![]),
            (restriction, vec![]),
            (processing, vec![]),
            (json!({"kind": "deletion"}), vec![("/kind", "not_available")]),
            (
                json!({"kind": "restriction"}),
                vec![
                    ("/channels", "not_applicable"),
                    ("/purposes", "not_applicable"),
                    ("/data_categories", "not_applicable"),
                    ("/recipients", "not_applicable"),
                ],
            ),
            (
                json!({"kind": "processing", "once": true, "volume": {"total": {"rows": 1}}}),
                vec![
                    ("/channels", "not_applicable"),
                    ("/recipients", "not_applicable"),
                    ("/volume", "not_applicable"),
                    ("/once", "not_applicable"),
                    ("/volume/total", "standing_only"),
                ],
            ),
            (
                json!({"platforms": [], "channels": null, "purposes": [], "data_categories": null, "subjects": [], "recipients": null}),
                vec![
                    ("/platforms", "empty"),
                    ("/channels", "empty"),
                    ("/purposes", "empty"),
                    ("/data_categories", "empty"),
                    ("/subjects", "empty"),
                    ("/recipients", "empty"),
                ],
            ),
        ] {
            let listed = found(&with(&members));
            let listed: Vec<_> = listed.iter().map(|(at, code)| (at.as_str(), *code)).collect();
            assert_eq!(listed, faults, "{members}");
        }
    }

    #[test]
    fn every_wrong_value_is_listed_with_its_place() {
        let stranger = "rec_0190a0b0c0d0700080000123456789ff";
        let us = json!({"legal_entity": "X", "country": "XX", "role": "vendor"});
        for (members, faults) in [
            (json!({"platforms": ["moodle"], "channels": ["x"]}), vec![("/platforms/0", "unknown_code"), ("/channels/0", "unknown_code")]),
            (json!({"channels": ["archive-dump"]}), vec![("/channels/0", "channel_of_another_platform")]),
            (
                json!({"purposes": ["archiving", "sale", "archiving"]}),
                vec![("/purposes/1", "purpose_prohibited"), ("/purposes/2", "duplicate")],
            ),
            (json!({"data_categories": ["shoe-size"]}), vec![("/data_categories/0", "unknown_code")]),
            (
                json!({"subjects": [{"kind": "unit", "unit": "S99"}, {"kind": "whole"}, {"kind": "whole"}]}),
                vec![("/subjects/2", "duplicate"), ("/subjects/0/unit", "unknown_unit")],
            ),
            (
                json!({"recipients": [ARCHIVE, stranger, us, ARCHIVE]}),
                vec![("/recipients/1", "unknown_recipient"), ("/recipients/2/country", "unknown_code"), ("/recipients/3", "duplicate")],
            ),
            (
                json!({"once": true, "volume": {"per_export": {"rows": 5}, "per_day": {"rows": 5}}}),
                vec![("/volume/per_day", "standing_only")],
            ),
            (
                json!({"valid_from_at": "2027-01-02T00:00:00Z", "valid_until_at": "2027-01-01T00:00:00Z"}),
                vec![("/valid_until_at", "order")],
            ),
            (json!({"valid_until_at": "2026-11-24T08:00:00Z"}), vec![("/valid_until_at", "past")]),
            (json!({"text": null}), vec![("/text", "required")]),
            (json!({"text": null, "document": "doc_0190a0b0c0d0700080000123456789ab"}), vec![("/document", "unknown_document")]),
        ] {
            let listed = found(&with(&members));
            let listed: Vec<_> = listed.iter().map(|(at, code)| (at.as_str(), *code)).collect();
            assert_eq!(listed, faults, "{members}");
        }
    }
}
