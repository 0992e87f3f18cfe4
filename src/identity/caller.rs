//! Who is calling, as values that exist only after authentication. A handler asks for one as a
//! parameter; an endpoint without one looks naked. A customer's scope comes from here and from
//! nowhere in a body.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::base::{ApiKeyId, Code, CustomerId, Error, MembershipId, OpsPersonId, PersonId, Result, SessionId, TypedId};
use crate::db::{LogId, Role, TenantScope};
use crate::evidence::Actor;
use crate::http::{CustomerRole, Identified, IdentifiedRole, OpsRole, Principal, Unconfirmed};

/// A person or key of a customer.
#[derive(Debug, Clone)]
pub struct InstitutionCaller {
    pub(super) scope: TenantScope,
    /// In which role.
    pub role: CustomerRole,
    pub(super) credential: InstitutionCredential,
    /// True if the session may do nothing but enrol a second factor.
    pub(super) must_enrol: bool,
    /// True if a restore suspended the member's authority, and nobody has confirmed it since.
    pub(super) unconfirmed: bool,
}

/// What a customer's caller came with.
#[derive(Debug, Clone, Copy)]
pub enum InstitutionCredential {
    /// A login session.
    Session {
        /// The session.
        session: SessionId,
        /// The person.
        person: PersonId,
        /// The membership the session is bound to.
        membership: MembershipId,
    },
    /// An API key, which never signs, accepts or approves.
    Key(ApiKeyId),
}

impl InstitutionCaller {
    /// The tenant.
    #[must_use]
    pub const fn scope(&self) -> TenantScope {
        self.scope
    }
    /// The customer.
    #[must_use]
    pub const fn customer(&self) -> CustomerId {
        self.scope.customer()
    }
    /// The customer's log.
    #[must_use]
    pub fn log(&self) -> LogId {
        self.customer().into()
    }
    /// What it came with.
    #[must_use]
    pub const fn credential(&self) -> InstitutionCredential {
        self.credential
    }
    /// Who acts, for entries.
    #[must_use]
    pub fn actor(&self) -> Actor {
        match self.credential {
            InstitutionCredential::Session { membership, .. } => Actor::of(membership),
            InstitutionCredential::Key(key) => Actor::of(key),
        }
    }
}

/// A person or key of the processor's staff.
#[derive(Debug, Clone)]
pub struct OpsCaller {
    /// In which role.
    pub role: OpsRole,
    pub(super) credential: OpsCredential,
    /// True if the session may do nothing but enrol a second factor.
    pub(super) must_enrol: bool,
    /// True if operations must confirm the state in which a restore left the processor's log.
    pub(super) unconfirmed: bool,
}

/// What an ops caller came with.
#[derive(Debug, Clone, Copy)]
pub enum OpsCredential {
    /// A login session.
    Session {
        /// The session.
        session: SessionId,
        /// The person.
        ops_person: OpsPersonId,
    },
    /// An API key (reads only).
    Key(ApiKeyId),
}

impl OpsCaller {
    /// The scope of the customer that the route names in its path. The customer may not exist: the
    /// transaction then answers 404.
    #[must_use]
    pub const fn scope_of(&self, customer: CustomerId) -> TenantScope {
        TenantScope::vouched(customer)
    }
    /// The person, where an act needs one.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for an API key.
    pub const fn person(&self) -> Result<OpsPersonId> {
        match self.credential {
            OpsCredential::Session { ops_person, .. } => Ok(ops_person),
            OpsCredential::Key(_) => Err(Error::Forbidden("an API key where a person must act")),
        }
    }
    /// What it came with.
    #[must_use]
    pub const fn credential(&self) -> OpsCredential {
        self.credential
    }
    /// Who acts, for entries.
    #[must_use]
    pub fn actor(&self) -> Actor {
        match self.credential {
            OpsCredential::Session { ops_person, .. } => Actor::of(ops_person),
            OpsCredential::Key(key) => Actor::of(key),
        }
    }
}

/// A platform with its key.
#[derive(Debug, Clone)]
pub struct PlatformCaller {
    /// The key.
    pub key: ApiKeyId,
    /// The platform it is bound to.
    pub platform: Code,
    /// True if operations must confirm the state in which a restore left the processor's log.
    pub(super) unconfirmed: bool,
}

impl PlatformCaller {
    /// Who acts, for entries.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor::of(self.key)
    }
}

/// Any caller.
#[derive(Debug, Clone)]
pub enum Caller {
    /// Of a customer.
    Institution(InstitutionCaller),
    /// Of the processor.
    Ops(OpsCaller),
    /// A platform.
    Platform(PlatformCaller),
}

impl From<Caller> for Identified {
    fn from(caller: Caller) -> Self {
        match caller {
            Caller::Institution(c) => {
                let (id, credential, is_key) = match c.credential {
                    InstitutionCredential::Session { session, person, .. } => (person.uuid(), session.uuid(), false),
                    InstitutionCredential::Key(key) => (key.uuid(), key.uuid(), true),
                };
                let principal = Principal { home: c.log(), role: Role::App, id, credential };
                let (must_enrol, unconfirmed) = (c.must_enrol, c.unconfirmed.then_some(Unconfirmed::Member));
                let identified = Self::new(IdentifiedRole::Customer(c.role), is_key, c).must_enrol(must_enrol);
                identified.unconfirmed(unconfirmed).with_principal(principal)
            }
            Caller::Ops(c) => {
                let (id, credential, is_key) = match c.credential {
                    OpsCredential::Session { session, ops_person } => (ops_person.uuid(), session.uuid(), false),
                    OpsCredential::Key(key) => (key.uuid(), key.uuid(), true),
                };
                let principal = Principal { home: LogId::PROCESSOR, role: Role::Ops, id, credential };
                let (must_enrol, unconfirmed) = (c.must_enrol, c.unconfirmed.then_some(Unconfirmed::Processor));
                let identified = Self::new(IdentifiedRole::Ops(c.role), is_key, c).must_enrol(must_enrol);
                identified.unconfirmed(unconfirmed).with_principal(principal)
            }
            Caller::Platform(c) => {
                let (id, credential) = (c.key.uuid(), c.key.uuid());
                let principal = Principal { home: LogId::PROCESSOR, role: Role::Gate, id, credential };
                let unconfirmed = c.unconfirmed.then_some(Unconfirmed::Processor);
                Self::new(IdentifiedRole::Platform, true, c).unconfirmed(unconfirmed).with_principal(principal)
            }
        }
    }
}

macro_rules! extracted {
    ($($ty:ty),*) => {
        $(impl<S: Send + Sync> FromRequestParts<S> for $ty {
            type Rejection = Error;
            async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
                crate::http::caller(parts)
            }
        })*
    };
}
extracted!(InstitutionCaller, OpsCaller, PlatformCaller);
