//! Customers, units and suspensions as they are shown, and the bodies that make them.

use crate::base::{Code, CustomerId, Email, Instant, Name, Note, Reference, ReleaseId, SuspensionId};
use crate::evidence::SuspendedBy;
use crate::registry::SuspensionState;

crate::words! {
    /// What kind of institution a customer is.
    pub enum CustomerKind {
        /// A municipality or another owner of schools.
        SchoolOwner = "school_owner",
        /// One school.
        School = "school",
        /// A university.
        University = "university",
        /// Anything else.
        Other = "other",
    }
}

crate::request! {
    /// A customer to be registered.
    pub struct NewCustomer {
        /// Legal name of the institution.
        name: Name,
        /// What kind of institution.
        kind: CustomerKind,
        /// ISO 3166-1 alpha-2.
        country: Code,
        /// IANA time zone.
        #[schema(value_type = String)]
        zone: chrono_tz::Tz,
        /// BCP 47 language of its notices.
        language: Code,
        /// Addresses of its privacy contacts, at least one.
        privacy_contacts: Vec<Email>,
        /// Addresses for escalation.
        second_contacts: Vec<Email>,
    }
}

crate::request! {
    /// A unit to be added.
    pub struct NewUnit {
        /// Code used in selectors, unique at the customer.
        code: Reference,
        /// Name.
        name: Name,
    }
}

crate::request! {
    /// Units to be added, all or none.
    pub struct NewUnits {
        /// 1 to 1,000 units.
        units: Vec<NewUnit>,
    }
}

crate::request! {
    /// A stop of every export of a customer.
    pub struct NewSuspension {
        /// Why.
        ground: Note,
    }
}

/// A customer.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
pub struct CustomerView {
    /// Its id.
    pub id: CustomerId,
    /// Legal name.
    pub name: Name,
    /// school_owner, school, university, other.
    pub kind: String,
    /// ISO 3166-1 alpha-2.
    pub country: Code,
    /// IANA time zone.
    pub zone: String,
    /// BCP 47 language.
    pub language: Code,
    /// Privacy contacts.
    pub privacy_contacts: Vec<Email>,
    /// Contacts for escalation.
    pub second_contacts: Vec<Email>,
    /// When it was registered.
    pub registered_at: Instant,
}

/// A unit of a customer.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
pub struct UnitView {
    /// Its code.
    pub code: Reference,
    /// Its name.
    pub name: Name,
    /// When it was added.
    pub added_at: Instant,
}

/// Units that were added together.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
pub struct AddedUnits {
    /// The units.
    pub units: Vec<UnitView>,
}

/// A stop of every export of a customer.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
pub struct SuspensionView {
    /// Its id.
    pub id: SuspensionId,
    /// Where it stands.
    pub state: SuspensionState,
    /// Who stopped it: only they may release it.
    pub made_by: SuspendedBy,
    /// Why.
    pub ground: Note,
    /// The member or ops person who stopped it.
    pub suspended_by: String,
    /// Since when.
    pub suspended_at: Instant,
    /// The release, proposed or carried out.
    pub release_id: Option<ReleaseId>,
    /// When a release by ops was proposed.
    pub release_proposed_at: Option<Instant>,
    /// When it ended.
    pub released_at: Option<Instant>,
}
