//! What was typed, as a document: a fixed layout with the whole scope, so that the original of a
//! typed instruction says everything that was signed. The random salt keeps its hash from being
//! guessed. Lines of the typed text are set in, so that none can pass for a line of the layout. Pure.

use std::fmt::{Display, Write};

use super::model::Wording;
use crate::base::{Code, ContestId, CustomerId, Instant, InstructionId, InstructionKind, MembershipId, Recipient, Scope, Selector, Volume};

/// What is signed.
pub(super) struct Signed<'a> {
    pub customer: CustomerId,
    pub instruction: InstructionId,
    pub version: u32,
    pub kind: InstructionKind,
    pub text: &'a Wording,
    pub membership: MembershipId,
    pub at: Instant,
    pub salt: &'a [u8; 32],
}

/// The document of a version.
pub(super) fn instruction(signed: &Signed<'_>, scope: &Scope, subjects: &[Selector]) -> Vec<u8> {
    let mut page = Page::titled("Written instruction", signed);
    let codes = |set: &std::collections::BTreeSet<Code>| set.iter().map(ToString::to_string).collect::<Vec<_>>();
    page.list("Platform", codes(&scope.platforms));
    page.list("Channel", codes(&scope.channels));
    page.list("Purpose", codes(&scope.purposes));
    page.list("Data category", codes(&scope.data_categories));
    page.list("Subjects", subjects.iter().map(selector));
    page.list("Recipient", scope.recipients.iter().map(recipient));
    for (name, limit) in [("each export", scope.volume.per_export), ("each day", scope.volume.per_day), ("all", scope.volume.total)] {
        if let Some(limit) = limit {
            page.line("Limit", format!("for {name}: {}", volume(&limit)));
        }
    }
    page.line("Use", if scope.once { "one export" } else { "standing" });
    page.line("Valid from", scope.valid_from_at.map_or_else(|| "the signature".to_owned(), |at| at.to_string()));
    page.line("Valid until", scope.valid_until_at.map_or_else(|| "withdrawn".to_owned(), |at| at.to_string()));
    page.signed(signed)
}

/// The document of a confirmation.
pub(super) fn confirmation(signed: &Signed<'_>, contest: ContestId) -> Vec<u8> {
    let mut page = Page::titled("Confirmation of a contested instruction", signed);
    page.line("Contest", contest);
    page.signed(signed)
}

struct Page(String);

impl Page {
    fn titled(title: &str, signed: &Signed<'_>) -> Self {
        let mut page = Self(format!("{title}\n\n"));
        page.line("Customer", signed.customer);
        page.line("Instruction", signed.instruction);
        page.line("Version", signed.version);
        page.line("Kind", signed.kind);
        page
    }
    fn line(&mut self, name: &str, value: impl Display) {
        // Writing to a String does not fail.
        writeln!(self.0, "{name}: {value}").ok();
    }
    fn list(&mut self, name: &str, values: impl IntoIterator<Item = String>) {
        for value in values {
            self.line(name, value);
        }
    }
    fn signed(mut self, signed: &Signed<'_>) -> Vec<u8> {
        self.0.push_str("\nText:\n");
        for line in signed.text.as_str().lines() {
            writeln!(self.0, "    {line}").ok();
        }
        self.0.push('\n');
        self.line("Signed by", signed.membership);
        self.line("Signed at", signed.at);
        self.line("Salt", hex::encode(signed.salt));
        self.0.into_bytes()
    }
}

fn selector(selector: &Selector) -> String {
    match selector {
        Selector::Whole => "whole customer".to_owned(),
        Selector::Unit { unit } => format!("unit {unit}"),
        Selector::Group { unit, group } => format!("group {group} of unit {unit}"),
        Selector::Subject { reference, unit, groups } => {
            let mut text = format!("subject {reference}");
            if let Some(unit) = unit {
                write!(text, " of unit {unit}").ok();
            }
            for group in groups {
                write!(text, ", group {group}").ok();
            }
            text
        }
    }
}

fn recipient(recipient: &Recipient) -> String {
    let mut text = format!("{} ({}, {})", recipient.legal_entity, recipient.country, recipient.role);
    if let Some(ground) = &recipient.transfer_ground {
        write!(text, ", transfer ground: {ground}").ok();
    }
    text
}

fn volume(volume: &Volume) -> String {
    let parts = volume.parts();
    let stated: Vec<String> = parts.iter().filter_map(|(name, n)| n.map(|n| format!("{n} {name}"))).collect();
    if stated.is_empty() { "none".to_owned() } else { stated.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_says_all_that_was_signed() {
        let scope: Scope = serde_json::from_value(serde_json::json!({
            "platforms": ["itslearning"], "channels": ["ims-es"], "purposes": ["archiving"], "data_categories": ["health", "identity"],
            "recipients": [{"legal_entity": "Archive", "country": "NO", "role": "archive"},
                {"legal_entity": "Stats Inc.", "country": "US", "role": "vendor", "transfer_ground": "Art. 46"}],
            "volume": {"per_export": {"rows": 5, "bytes": 100}}, "once": true,
            "valid_from_at": null, "valid_until_at": "2027-01-01T00:00:00Z",
        }))
        .unwrap();
        let subject = Selector::Subject {
            reference: "p1".parse().unwrap(),
            unit: Some("S03".parse().unwrap()),
            groups: ["7B".parse().unwrap()].into(),
        };
        let signed = Signed {
            customer: "cus_0190a0b0c0d0700080000123456789ab".parse().unwrap(),
            instruction: "ins_0190a0b0c0d0700080000123456789ab".parse().unwrap(),
            version: 2,
            kind: InstructionKind::Export,
            text: &Wording::new("Deliver.\nSigned by: somebody else").unwrap(),
            membership: "mem_0190a0b0c0d0700080000123456789ab".parse().unwrap(),
            at: "2026-11-24T08:00:00Z".parse().unwrap(),
            salt: &[7; 32],
        };
        let page = String::from_utf8(instruction(&signed, &scope, &[Selector::Whole, subject])).unwrap();
        let expected = format!(
            "Written instruction\n\nCustomer: cus_0190a0b0c0d0700080000123456789ab\nInstruction: ins_0190a0b0c0d0700080000123456789ab\n\
             Version: 2\nKind: export\nPlatform: itslearning\nChannel: ims-es\nPurpose: archiving\nData category: health\n\
             Data category: identity\nSubjects: whole customer\nSubjects: subject p1 of unit S03, group 7B\nRecipient: Archive (NO, archive)\n\
             Recipient: Stats Inc. (US, vendor), transfer ground: Art. 46\nLimit: for each export: 5 rows, 100 bytes\nUse: one export\n\
             Valid from: the signature\nValid until: 2027-01-01T00:00:00.000Z\n\nText:\n    Deliver.\n    Signed by: somebody else\n\n\
             Signed by: mem_0190a0b0c0d0700080000123456789ab\nSigned at: 2026-11-24T08:00:00.000Z\nSalt: {}\n",
            "07".repeat(32)
        );
        assert_eq!(page, expected);
    }
}
