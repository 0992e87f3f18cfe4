//! Who may call a route, as a value beside it. Default deny: a route without an [`Access`] cannot
//! be written down, and a caller that the access does not name is refused before the handler runs.
//! Which customer's data a caller may touch is not decided here but by the tenant's scope.

use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, header::AUTHORIZATION};

use uuid::Uuid;

use crate::base::{Error, Result};
use crate::db::{LogId, Role};

crate::words! {
    /// What a person or key may do at one customer.
    pub enum CustomerRole {
        /// Reads and changes.
        CustomerAdmin = "customer_admin",
        /// Reads.
        CustomerReader = "customer_reader",
        /// Reads, and draws evidence.
        Auditor = "auditor",
    }
}

crate::words! {
    /// What a person or key of the processor's staff may do.
    #[expect(clippy::enum_variant_names, reason = "named as their words are")]
    pub enum OpsRole {
        /// Customers, platforms, people.
        OpsAdmin = "ops_admin",
        /// Agreements, sub-processors, breaches, deletion.
        OpsPrivacy = "ops_privacy",
        /// Keys, suspensions, breaches.
        OpsSecurity = "ops_security",
        /// Reads.
        OpsReader = "ops_reader",
    }
}

/// One of the four groups of routes; a token is good for one of the first three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Surface {
    /// `/api/v1`: customers' people and keys.
    Institution,
    /// `/api/admin/v1`: the processor's staff.
    Admin,
    /// `/gate/v1`: platforms.
    Gate,
    /// Everything else: anyone.
    Public,
}

impl Surface {
    /// The word for logs and tags.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Institution => "institution",
            Self::Admin => "admin",
            Self::Gate => "gate",
            Self::Public => "public",
        }
    }
    /// The beginning of every path of the surface.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Institution => "/api/v1/",
            Self::Admin => "/api/admin/v1/",
            Self::Gate => "/gate/v1/",
            Self::Public => "/",
        }
    }
    /// The surface that a route's pattern lies on.
    #[must_use]
    pub fn of(pattern: &str) -> Self {
        let mut closed = [Self::Institution, Self::Admin, Self::Gate].into_iter();
        closed.find(|surface| pattern.starts_with(surface.prefix())).unwrap_or(Self::Public)
    }
}

/// What kind of credential a route accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// A session or an API key.
    SessionOrKey,
    /// A person who has logged in; an API key is refused with 403.
    SessionOnly,
}

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anyone; no credential is read.
    Public,
    /// People and keys of a customer in one of these roles.
    Institution {
        /// The roles that may.
        roles: &'static [CustomerRole],
        /// What they come with.
        credential: Credential,
    },
    /// The processor's people and keys in one of these roles.
    Admin {
        /// The roles that may.
        roles: &'static [OpsRole],
        /// What they come with.
        credential: Credential,
    },
    /// A platform with its key.
    Gate,
}

impl Access {
    /// A customer's people and keys in one of these roles.
    #[must_use]
    pub const fn institution(roles: &'static [CustomerRole]) -> Self {
        Self::Institution { roles, credential: Credential::SessionOrKey }
    }
    /// A customer's people in one of these roles, logged in.
    #[must_use]
    pub const fn institution_session(roles: &'static [CustomerRole]) -> Self {
        Self::Institution { roles, credential: Credential::SessionOnly }
    }
    /// The processor's people and keys in one of these roles.
    #[must_use]
    pub const fn admin(roles: &'static [OpsRole]) -> Self {
        Self::Admin { roles, credential: Credential::SessionOrKey }
    }
    /// The processor's people in one of these roles, logged in.
    #[must_use]
    pub const fn admin_session(roles: &'static [OpsRole]) -> Self {
        Self::Admin { roles, credential: Credential::SessionOnly }
    }
    /// The surface whose tokens open the route.
    #[must_use]
    pub const fn surface(&self) -> Surface {
        match self {
            Self::Public => Surface::Public,
            Self::Institution { .. } => Surface::Institution,
            Self::Admin { .. } => Surface::Admin,
            Self::Gate => Surface::Gate,
        }
    }
    /// The words of the roles that may call; empty where roles do not matter.
    #[must_use]
    pub fn roles(&self) -> Vec<&'static str> {
        match self {
            Self::Public | Self::Gate => Vec::new(),
            Self::Institution { roles, .. } => roles.iter().map(|role| role.word()).collect(),
            Self::Admin { roles, .. } => roles.iter().map(|role| role.word()).collect(),
        }
    }

    /// Lets in only whom the access names.
    pub(super) fn admit(&self, who: &Identified) -> Result<()> {
        let (listed, credential) = match (self, who.role) {
            (Self::Public, _) | (Self::Gate, IdentifiedRole::Platform) => return Ok(()),
            (Self::Institution { roles, credential }, IdentifiedRole::Customer(role)) => (roles.contains(&role), credential),
            (Self::Admin { roles, credential }, IdentifiedRole::Ops(role)) => (roles.contains(&role), credential),
            // A token of another surface is worth as much as none: 403 would say that it exists.
            _ => return Err(Error::Unauthenticated),
        };
        if !listed {
            return Err(Error::Forbidden("role not listed for the route"));
        }
        if who.is_key && *credential == Credential::SessionOnly {
            return Err(Error::Forbidden("API key where a session is demanded"));
        }
        Ok(())
    }
}

/// What kind of caller a token belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentifiedRole {
    /// A person or key of a customer.
    Customer(CustomerRole),
    /// A person or key of the processor.
    Ops(OpsRole),
    /// A platform.
    Platform,
}

/// The answer to "whose token is this": enough to decide, and the values that handlers will ask for.
#[derive(Debug, Clone)]
pub struct Identified {
    /// In which role.
    pub role: IdentifiedRole,
    /// True for an API key, false for a session. A platform has keys only.
    pub is_key: bool,
    /// True if nothing may be done before a second factor is enrolled.
    pub must_enrol: bool,
    /// Whose state a restore left unconfirmed; `None`: nobody's that binds this caller.
    pub unconfirmed: Option<Unconfirmed>,
    /// Added to the request; read back by the caller extractors.
    pub extensions: Extensions,
    /// In whose name answers are kept and requests counted.
    pub principal: Option<Principal>,
}

/// Whose state a restore left unconfirmed: the caller uses no route but those that are open all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unconfirmed {
    /// The member's own.
    Member,
    /// The processor's: its staff and keys, and the platforms' keys.
    Processor,
}

impl Unconfirmed {
    const fn error(self) -> Error {
        match self {
            Self::Member => Error::MemberUnconfirmed,
            Self::Processor => Error::ProcessorUnconfirmed,
        }
    }
    /// Refuses what is not open: to a key nothing is, and to the staff what reads is.
    pub(super) const fn admit(self, open: bool, reads: bool, is_key: bool) -> Result<()> {
        let is_open = open || (reads && matches!(self, Self::Processor));
        if is_open && !is_key { Ok(()) } else { Err(self.error()) }
    }
}

/// Whose request it is, for what is kept or counted per caller.
#[derive(Debug, Clone, Copy)]
pub struct Principal {
    /// The customer's log, or the processor's.
    pub home: LogId,
    /// The role of the database that writes for it.
    pub role: Role,
    /// The person, ops person or API key: an answer is kept for it, whatever session it uses.
    pub id: Uuid,
    /// The session or API key: it is what limits count.
    pub credential: Uuid,
}

impl Identified {
    /// A caller in a role, with the value its extractor will look for.
    pub fn new<C: Clone + Send + Sync + 'static>(role: IdentifiedRole, is_key: bool, caller: C) -> Self {
        let mut extensions = Extensions::new();
        extensions.insert(caller);
        Self { role, is_key, must_enrol: false, unconfirmed: None, extensions, principal: None }
    }
    /// The same, bound to enrol a second factor first.
    #[must_use]
    pub const fn must_enrol(mut self, must: bool) -> Self {
        self.must_enrol = must;
        self
    }
    /// The same, bound by a state that nobody has confirmed since a restore.
    #[must_use]
    pub const fn unconfirmed(mut self, unconfirmed: Option<Unconfirmed>) -> Self {
        self.unconfirmed = unconfirmed;
        self
    }
    /// The same with its principal.
    #[must_use]
    pub const fn with_principal(mut self, principal: Principal) -> Self {
        self.principal = Some(principal);
        self
    }
}

/// The caller that authentication put into the request, for the extractors of `identity`.
///
/// # Errors
/// [`Error::Unauthenticated`] when there is none of this type.
pub fn caller<C: Clone + Send + Sync + 'static>(parts: &Parts) -> Result<C> {
    parts.extensions.get::<C>().cloned().ok_or(Error::Unauthenticated)
}

/// The token of the one `Authorization: Bearer` header. Two headers are refused, not resolved.
pub(super) fn bearer(headers: &HeaderMap) -> Result<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(Error::Unauthenticated) };
    let text = value.to_str().map_err(|_| Error::Unauthenticated)?;
    let token = match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim_matches(' '),
        _ => return Err(Error::Unauthenticated),
    };
    let is_token = (1..=512).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic());
    if is_token { Ok(token) } else { Err(Error::Unauthenticated) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_well_formed_bearer_header_is_a_token() {
        let read = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, value.parse().unwrap());
            }
            bearer(&headers).map(str::to_owned).ok()
        };
        assert_eq!(read(&["Bearer abc"]).as_deref(), Some("abc"));
        assert_eq!(read(&["bearer abc"]).as_deref(), Some("abc"));
        let refused: [&[&str]; 8] = [
            &[],
            &["abc"],
            &["Bearer"],
            &["Bearer "],
            &["Basic abc"],
            &["Bearer a b"],
            &["Bearer abc", "Bearer abc"],
            &["Bearer abc", "Basic xyz"],
        ];
        for values in refused {
            assert_eq!(read(values), None, "{values:?}");
        }
    }

    #[test]
    fn the_surface_of_a_pattern_is_its_prefix() {
        for (pattern, surface) in [
            ("/api/v1/me", Surface::Institution),
            ("/api/admin/v1/customers", Surface::Admin),
            ("/gate/v1/exports", Surface::Gate),
            ("/api/v2/me", Surface::Public),
            ("/docs", Surface::Public),
        ] {
            assert_eq!(Surface::of(pattern), surface, "{pattern}");
        }
    }
}
