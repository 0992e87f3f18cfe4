//! What HTTP asks of the program it serves: who a token belongs to, where tasks run, whether the
//! process is ready. The seam that lets this folder know no feature; `app` implements it.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::http::Extensions;
use tokio_util::task::TaskTracker;

use super::{Identified, Limits, Places, Surface};
use crate::base::{Entropy, Result};
use crate::db::Db;

/// How long a client waits for an answer before it gets 503 while the work goes on.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// The program behind the routes; also the state that handlers receive.
pub trait Host: Clone + Send + Sync + 'static {
    /// Finds out whose token this is, if it is valid on that surface.
    ///
    /// # Errors
    /// [`crate::base::Error::Unauthenticated`] for a token that is unknown, expired, revoked or of
    /// another surface; [`crate::base::Error::TooMany`] to slow a guesser down.
    fn authenticate(&self, surface: Surface, token: &str, client: ClientAddress) -> impl Future<Output = Result<Identified>> + Send;

    /// Lets an attempt of the processor's staff on a customer go on to its route.
    ///
    /// # Errors
    /// [`crate::base::Error::TooMany`] when the caller has been refused too often.
    fn may_attempt(&self, _attempt: &Attempt) -> Result<()> {
        Ok(())
    }

    /// Takes note of an attempt that was answered with an error of the client's.
    fn refused(&self, _attempt: &Attempt, _status: u16) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Sees to it that the checkpoints behind these receipts are kept, before an answer is repeated.
    ///
    /// # Errors
    /// [`crate::base::Error::CheckpointNotKept`] when one is not.
    fn keep_again(&self, _receipts: &serde_json::Value) -> impl Future<Output = Result<()>> + Send {
        std::future::ready(Ok(()))
    }

    /// Says whether this process can serve: the database answers, the permit's key is there.
    ///
    /// # Errors
    /// What is missing; shown on the second listener only.
    fn ready(&self) -> impl Future<Output = Result<(), &'static str>> + Send;

    /// The metrics in Prometheus' text form.
    fn metrics(&self) -> String;

    /// Where requests run to completion.
    fn tracker(&self) -> &TaskTracker;

    /// Randomness for request ids.
    fn entropy(&self) -> &dyn Entropy;

    /// The places for what is done at once; absent where nothing is bounded.
    fn places(&self) -> Option<&Places> {
        None
    }

    /// Ends when what answers this surface falls silent after this call.
    fn lost(&self, _surface: Surface) -> impl Future<Output = ()> + Send + 'static {
        std::future::pending()
    }

    /// How long a client waits for an answer.
    fn deadline(&self) -> Duration {
        DEADLINE
    }

    /// How many requests each caller may make; absent where nobody is counted.
    fn limits(&self) -> Option<&Limits> {
        None
    }

    /// Where answers are kept for requests that are sent again; absent where none are.
    fn answers(&self) -> Option<&Db> {
        None
    }
}

/// A call of the processor's staff that would change something of the customer its path names.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The operation, by its id.
    pub operation: Arc<str>,
    /// The customer as the path names it, decoded.
    pub customer: String,
    /// The caller, as its extractor will find it; empty while nobody was identified.
    pub caller: Extensions,
}

/// The address of the peer that is connected; never one that a header claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientAddress(pub Option<IpAddr>);

impl ClientAddress {
    pub(super) fn of(request: &Request) -> Self {
        let peer = request.extensions().get::<axum::extract::ConnectInfo<std::net::SocketAddr>>();
        Self(peer.map(|info| info.0.ip()))
    }

    /// The address as a key for limits: an IPv6 client owns a whole /64, so that is what is limited.
    #[must_use]
    pub fn bucket(self) -> Option<IpAddr> {
        self.0.map(|address| match address.to_canonical() {
            IpAddr::V4(v4) => IpAddr::V4(v4),
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
        })
    }
}

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for ClientAddress {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, _: &S) -> Result<Self, Self::Rejection> {
        let peer = parts.extensions.get::<axum::extract::ConnectInfo<std::net::SocketAddr>>();
        Ok(Self(peer.map(|info| info.0.ip())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_client_is_limited_by_its_network_and_an_ipv4_client_by_its_address() {
        let bucket = |text: &str| ClientAddress(Some(text.parse().unwrap())).bucket();
        assert_eq!(bucket("2001:db8:1:2:3::1"), bucket("2001:db8:1:2:ffff::9"));
        assert_ne!(bucket("2001:db8:1:2::1"), bucket("2001:db8:1:3::1"));
        assert_ne!(bucket("192.0.2.1"), bucket("192.0.2.2"));
        assert_eq!(bucket("::ffff:192.0.2.1"), bucket("192.0.2.1"));
    }
}
