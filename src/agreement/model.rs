//! An agreement as ops prepares it and as it stands in the tables, and the words of where it
//! stands. Pure.

use std::collections::BTreeSet;

use super::parameters::Parameters;
use crate::base::{AgreementId, Code, Digest, DocumentId, Faults, Instant, MembershipId, Pointer, Reference};
use crate::evidence::RegistryFacts;

crate::words! {
    /// Where an agreement stands.
    pub enum AgreementState {
        /// Prepared by ops.
        Draft = "draft",
        /// Waits for the customer's acceptance.
        Offered = "offered",
        /// Accepted, before its first day.
        Accepted = "accepted",
        /// In force.
        InForce = "in_force",
        /// Past its last day.
        Expired = "expired",
        /// Ended by the customer.
        Terminated = "terminated",
    }
}

crate::words! {
    /// What stays possible when no agreement is in force for the platform (P10).
    pub enum WindDown {
        /// The return of data on a written instruction.
        ReturnAtEnd = "return-at-end",
        /// Deletion.
        Deletion = "deletion",
        /// Notices of breaches.
        BreachNotices = "breach_notices",
        /// Audit.
        Audit = "audit",
    }
}

crate::request! {
    /// An agreement to be prepared. The document must be stored before.
    pub struct NewAgreement {
        /// The platform it covers.
        platform: Code,
        /// How the platform names the customer; effective with the acceptance.
        external_id: Reference,
        /// The document that both sides sign.
        document: DocumentId,
        /// All its parameters.
        parameters: Parameters,
    }
}

impl NewAgreement {
    /// Notes every value that the code lists do not know or the law does not allow.
    pub fn check(&self, registry: &RegistryFacts, calendars: &BTreeSet<Code>, faults: &mut Faults) {
        if !registry.platforms.contains(&self.platform) {
            faults.add_at("platform", "unknown_code", "must be a known platform");
        }
        self.parameters.check(&Pointer::default().at("parameters"), registry, calendars, faults);
    }
}

/// An agreement as it stands in the tables.
#[derive(Debug, Clone)]
pub struct Agreement {
    /// Id.
    pub id: AgreementId,
    /// Version of the parameters.
    pub version: u32,
    /// The platform it covers.
    pub platform: Code,
    /// How the platform names the customer.
    pub external_id: Reference,
    /// All its parameters.
    pub parameters: Parameters,
    /// The document.
    pub document: DocumentId,
    /// The document's hash.
    pub document_sha256: Digest,
    /// When it was prepared.
    pub prepared_at: Instant,
    /// When it was offered.
    pub offered_at: Option<Instant>,
    /// When it was accepted.
    pub accepted_at: Option<Instant>,
    /// By whom.
    pub accepted_by: Option<MembershipId>,
    /// First instant in force.
    pub in_force_from: Option<Instant>,
    /// First instant no longer in force.
    pub in_force_until: Option<Instant>,
    /// When it was terminated.
    pub terminated_at: Option<Instant>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Decode, Error};

    fn world() -> serde_json::Value {
        serde_json::json!({
            "platform": "itslearning", "external_id": "site-1", "document": "doc_0190a0b0c0d0700080000123456789ab",
            "parameters": {
                "processor_entity": "as", "family": "other", "authorisation": "general",
                "notice": {"n": 30, "unit": "calendar_days"},
                "objection": {"n": 30, "unit": "calendar_days", "starts": "delivery"},
                "breach_notice_hours": 24, "deletion": {"n": 1, "unit": "months"},
                "backup_overwrite": {"n": 30, "unit": "calendar_days"},
                "end_of_contract_export_window": {"n": 30, "unit": "calendar_days"},
                "time": {"zone": "Europe/Oslo", "holidays": "NO", "roll": "none", "min_two_working_days": true},
                "residency": ["EEA", "CH"], "subject_categories": ["pupil"], "data_categories": ["identity"],
                "purposes": ["support"], "valid_from_on": "2026-08-01", "valid_to_on": null,
                "record_retention": {"n": 24, "unit": "months"}, "whole_customer_cooling_off": {"n": 2, "unit": "working_days"},
                "hold_release": {"n": 10, "unit": "working_days"}, "at_end": {"default": "delete"}, "contact": "a@b.no",
            },
        })
    }

    fn found(body: &serde_json::Value) -> Vec<(String, &'static str)> {
        let registry = RegistryFacts {
            purposes: [(Code::fixed("support"), false), (Code::fixed("sale"), true)].into(),
            data_categories: [(Code::fixed("identity"), false)].into(),
            platforms: [Code::fixed("itslearning")].into(),
            ..RegistryFacts::default()
        };
        let mut faults = Faults::default();
        if let Some(new) = NewAgreement::decode(body, &Pointer::default(), &mut faults) {
            new.check(&registry, &[Code::fixed("NO")].into(), &mut faults);
        }
        match faults.check() {
            Err(Error::Invalid(list)) => list.into_iter().map(|f| (f.pointer, f.code)).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn the_parameters_of_the_world_pass_and_stay_themselves_in_a_table() {
        assert_eq!(found(&world()), []);
        let read = NewAgreement::decode(&world(), &Pointer::default(), &mut Faults::default()).unwrap();
        let stored = crate::base::to_value(&read.parameters);
        assert_eq!(crate::base::from_value::<Parameters>(&stored).unwrap(), read.parameters);
    }

    #[test]
    fn every_fault_of_the_parameters_is_listed_at_once() {
        let mut body = world();
        body["platform"] = "moodle".into();
        let parameters = &mut body["parameters"];
        parameters["notice"]["n"] = 0.into();
        parameters["breach_notice_hours"] = 73.into();
        parameters["time"]["holidays"] = "XX".into();
        parameters["residency"] = serde_json::json!(["EU"]);
        parameters["subject_categories"] = serde_json::json!([]);
        parameters["data_categories"] = serde_json::json!(["identity", "identity", "shoe-size"]);
        parameters["purposes"] = serde_json::json!(["support", "sale"]);
        parameters["valid_to_on"] = "2026-07-31".into();
        let listed = found(&body);
        let listed: Vec<_> = listed.iter().map(|(at, code)| (at.as_str(), *code)).collect();
        assert_eq!(
            listed,
            [
                ("/platform", "unknown_code"),
                ("/parameters/notice/n", "range"),
                ("/parameters/breach_notice_hours", "range"),
                ("/parameters/time/holidays", "unknown_code"),
                ("/parameters/valid_to_on", "order"),
                ("/parameters/residency", "unknown_code"),
                ("/parameters/subject_categories", "empty"),
                ("/parameters/data_categories/1", "duplicate"),
                ("/parameters/data_categories/2", "unknown_code"),
                ("/parameters/purposes/1", "purpose_prohibited"),
            ]
        );
    }
}
