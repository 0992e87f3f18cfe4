//! The parameters of an agreement, which drive every deadline, and the rules they must keep. A
//! prohibited purpose (P3) is in no agreement. Pure.

use std::collections::BTreeSet;

use chrono::NaiveDate;
use serde::Deserialize;

use crate::base::{Code, Email, Faults, Pointer};
use crate::evidence::{AgreementTerms, RegistryFacts, Residency};

crate::words! {
    /// What is done about sub-processors (GDPR Art. 28(2)).
    pub enum Authorisation {
        /// The customer is told and may object.
        General = "general",
        /// The customer approves each; silence is refusal.
        Specific = "specific",
    }
}

crate::words! {
    /// How a period is counted (Regulation (EEC, Euratom) 1182/71).
    pub enum PeriodUnit {
        /// Elapsed hours.
        Hours = "hours",
        /// Calendar days in the agreement's zone.
        CalendarDays = "calendar_days",
        /// Days that are no Saturday, Sunday or public holiday.
        WorkingDays = "working_days",
        /// Calendar months.
        Months = "months",
    }
}

crate::words! {
    /// What starts an objection period.
    pub enum ObjectionStart {
        /// The proven delivery of the notice.
        Delivery = "delivery",
    }
}

crate::words! {
    /// What happens to a last day that is no working day.
    pub enum Roll {
        /// Nothing.
        None = "none",
        /// It moves to the next working day.
        NextWorkingDay = "next_working_day",
    }
}

crate::words! {
    /// What becomes of the data at the end (GDPR Art. 28(3)(g)).
    pub enum AtEndChoice {
        /// It is deleted.
        Delete = "delete",
        /// It is returned, then deleted.
        Return = "return",
    }
}

crate::request! {
    /// A period.
    #[derive(PartialEq, Eq, Deserialize)]
    pub struct Period {
        /// How many, at least 1.
        n: u32,
        /// Of what.
        unit: PeriodUnit,
    }
}

crate::request! {
    /// The period in which the customer may object.
    #[derive(PartialEq, Eq, Deserialize)]
    pub struct Objection {
        /// How many, at least 1.
        n: u32,
        /// Of what.
        unit: PeriodUnit,
        /// What starts it.
        starts: ObjectionStart,
    }
}

crate::request! {
    /// How the agreement counts time.
    #[derive(PartialEq, Eq, Deserialize)]
    pub struct AgreementTime {
        /// IANA zone of its civil days.
        #[schema(value_type = String, example = "Europe/Oslo")]
        zone: chrono_tz::Tz,
        /// Calendar of public holidays.
        holidays: Code,
        /// What happens to a last day that is no working day.
        roll: Roll,
        /// True if a period of two days or more includes two working days (Regulation 1182/71 Art. 3(5)).
        min_two_working_days: bool,
    }
}

crate::request! {
    /// What becomes of the data at the end.
    #[derive(PartialEq, Eq, Deserialize)]
    pub struct AtEnd {
        /// Unless the customer says otherwise.
        default: AtEndChoice,
    }
}

crate::request! {
    /// All parameters of an agreement. Dates are civil, both inclusive, in its zone.
    #[derive(PartialEq, Eq, Deserialize)]
    pub struct Parameters {
        /// Which legal entity of the processor is the party.
        processor_entity: Code,
        /// Family of contract texts it follows.
        family: Code,
        /// What is done about sub-processors.
        authorisation: Authorisation,
        /// Notice of a change of sub-processors.
        notice: Period,
        /// Period in which the customer may object.
        objection: Objection,
        /// Hours within which a breach is notified to the customer, 1 to 72.
        breach_notice_hours: u32,
        /// Period in which an instruction to delete is carried out.
        deletion: Period,
        /// Period after which the last backup is overwritten.
        backup_overwrite: Period,
        /// Period after the end in which data can be returned.
        end_of_contract_export_window: Period,
        /// How it counts time.
        time: AgreementTime,
        /// Where recipients may be without a transfer ground (P7).
        residency: Residency,
        /// Whose data.
        subject_categories: Vec<Code>,
        /// Which data.
        data_categories: Vec<Code>,
        /// For which purposes (P1).
        purposes: Vec<Code>,
        /// First day.
        valid_from_on: NaiveDate,
        /// Last day; null: open.
        valid_to_on: Option<NaiveDate>,
        /// How long records are kept.
        record_retention: Period,
        /// Wait before the whole customer is deleted.
        whole_customer_cooling_off: Period,
        /// Wait before a released hold lets deletion go on.
        hold_release: Period,
        /// What becomes of the data at the end.
        at_end: AtEnd,
        /// Address for notices about the agreement.
        contact: Email,
    }
}

/// The most units of a period: a longer one is a slip of the keyboard.
const MAX_PERIOD: u32 = 3_660;

impl Parameters {
    /// What the gate reads.
    #[must_use]
    pub fn terms(&self) -> AgreementTerms {
        AgreementTerms {
            zone: self.time.zone,
            residency: self.residency.clone(),
            purposes: self.purposes.iter().cloned().collect(),
            data_categories: self.data_categories.iter().cloned().collect(),
        }
    }

    fn periods(&self) -> [(&'static str, u32); 8] {
        [
            ("notice", self.notice.n),
            ("objection", self.objection.n),
            ("deletion", self.deletion.n),
            ("backup_overwrite", self.backup_overwrite.n),
            ("end_of_contract_export_window", self.end_of_contract_export_window.n),
            ("record_retention", self.record_retention.n),
            ("whole_customer_cooling_off", self.whole_customer_cooling_off.n),
            ("hold_release", self.hold_release.n),
        ]
    }

    /// Notes every value that the code lists do not know or the law does not allow.
    pub fn check(&self, at: &Pointer, registry: &RegistryFacts, calendars: &BTreeSet<Code>, faults: &mut Faults) {
        for (name, n) in self.periods() {
            if !(1..=MAX_PERIOD).contains(&n) {
                faults.add(&at.at(name).at("n"), "range", "must be a whole number from 1 to 3660");
            }
        }
        if !(1..=72).contains(&self.breach_notice_hours) {
            faults.add(&at.at("breach_notice_hours"), "range", "must be a whole number from 1 to 72");
        }
        if !calendars.contains(&self.time.holidays) {
            faults.add(&at.at("time").at("holidays"), "unknown_code", "must be a known calendar of public holidays");
        }
        if self.valid_to_on.is_some_and(|to| to < self.valid_from_on) {
            faults.add(&at.at("valid_to_on"), "order", "must not lie before valid_from_on");
        }
        if let Residency::Countries(list) = &self.residency
            && (list.is_empty() || !list.iter().all(|c| c.as_str() == "EEA" || c.is_country()))
        {
            faults.add(&at.at("residency"), "unknown_code", "must list EEA or ISO 3166-1 alpha-2 codes of countries, at least one");
        }
        listed(&at.at("subject_categories"), &self.subject_categories, faults, |_| None);
        listed(&at.at("data_categories"), &self.data_categories, faults, |code| {
            (!registry.data_categories.contains_key(code)).then_some(("unknown_code", "must be a known data category"))
        });
        listed(&at.at("purposes"), &self.purposes, faults, |code| match registry.purposes.get(code) {
            None => Some(("unknown_code", "must be a known purpose")),
            Some(true) => Some(("purpose_prohibited", "can never be agreed, instructed or used")),
            Some(false) => None,
        });
    }
}

/// Notes an empty list, an element that stands twice, and an element that `fault` finds wrong.
fn listed(at: &Pointer, list: &[Code], faults: &mut Faults, fault: impl Fn(&Code) -> Option<(&'static str, &'static str)>) {
    if list.is_empty() {
        faults.add(at, "empty", "must have at least one element");
    }
    let mut seen = BTreeSet::new();
    for (i, code) in list.iter().enumerate() {
        if !seen.insert(code) {
            faults.add(&at.at(i), "duplicate", "stands twice in the list");
        }
        if let Some((word, rule)) = fault(code) {
            faults.add(&at.at(i), word, rule);
        }
    }
}
