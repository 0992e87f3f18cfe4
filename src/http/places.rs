//! Places for what is done at once: of the gate, of everybody else who is known, of strangers, of
//! uploads; none takes another's. A caller holds a share of them only, and so does everything of one
//! home (a customer, a platform): a neighbour's crowd, or one stolen token, must not keep a customer
//! from stopping its exports.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use super::{ClientAddress, Principal, Surface};
use crate::base::{Error, Result};
use crate::db::LogId;

/// A share is never smaller than this many places.
const SMALLEST_SHARE: usize = 32;
/// The part of all places that one caller, or one address of strangers, may hold.
const OF_CALLER: usize = 16;
/// The part that one home may hold; at the gate the half, since there are few platforms.
const OF_HOME: usize = 4;

/// Places for what is done at once.
#[derive(Clone)]
pub struct Places {
    gate: Arc<Semaphore>,
    known: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
    /// Uploads, each of which takes space in the spool.
    pub uploads: Arc<Semaphore>,
    sizes: (usize, usize),
    shares: Arc<Shares>,
}

/// Who holds how many.
#[derive(Default)]
pub(super) struct Shares(Mutex<HashMap<Holder, usize>>);

/// Whose requests, or connections, are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Holder {
    Caller(Uuid),
    Home(LogId),
    Address(IpAddr),
}

impl Shares {
    /// One more for this holder, unless it holds as many as it may.
    pub(super) fn hold(self: &Arc<Self>, holder: Holder, most: usize) -> Option<Held> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(holder).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Held { shares: Arc::clone(self), holder })
    }
}

/// A place in a share, given back when it is dropped.
pub(super) struct Held {
    shares: Arc<Shares>,
    holder: Holder,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut held = self.shares.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.holder) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.holder);
            }
        }
    }
}

/// What a request holds until its task has ended.
#[derive(Default)]
pub(super) struct Holding {
    _place: Option<OwnedSemaphorePermit>,
    shares: Vec<Held>,
}

impl Places {
    /// This many requests at the gate, other requests, and uploads; for strangers a quarter of the others.
    #[must_use]
    pub fn new(gate: u32, others: u32, uploads: u32) -> Self {
        let places = |count: usize| Arc::new(Semaphore::new(count));
        let (gate, others) = (gate as usize, others as usize);
        Self {
            gate: places(gate),
            known: places(others),
            strangers: places(others.div_ceil(4)),
            uploads: places(uploads as usize),
            sizes: (gate, others),
            shares: Arc::default(),
        }
    }

    /// A place for a request to a route that lies open to this surface's callers.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when there is none: come again in a second.
    pub(super) fn take(&self, surface: Surface) -> Result<Holding> {
        let places = match surface {
            Surface::Gate => &self.gate,
            Surface::Public => &self.strangers,
            Surface::Institution | Surface::Admin => &self.known,
        };
        let full = |_| Error::Unavailable { retry_after: 1, cause: "too many requests at once" };
        let place = Arc::clone(places).try_acquire_owned().map_err(full)?;
        Ok(Holding { _place: Some(place), shares: Vec::new() })
    }

    /// Counts a request on its caller and its home.
    ///
    /// # Errors
    /// [`Error::TooMany`] when either holds its whole share: come again in a second.
    pub(super) fn count(&self, holding: &mut Holding, surface: Surface, who: &Principal) -> Result<()> {
        let (gate, others) = self.sizes;
        if surface == Surface::Gate {
            return self.share(holding, Holder::Home(who.home), gate / 2);
        }
        self.share(holding, Holder::Caller(who.id), others / OF_CALLER)?;
        self.share(holding, Holder::Home(who.home), others / OF_HOME)
    }

    /// Counts a stranger's request on its address.
    ///
    /// # Errors
    /// As [`Self::count`].
    pub(super) fn count_stranger(&self, holding: &mut Holding, client: ClientAddress) -> Result<()> {
        let Some(address) = client.bucket() else { return Ok(()) };
        self.share(holding, Holder::Address(address), self.sizes.1 / OF_CALLER)
    }

    fn share(&self, holding: &mut Holding, holder: Holder, most: usize) -> Result<()> {
        let held = self.shares.hold(holder, most.max(SMALLEST_SHARE)).ok_or(Error::TooMany(1))?;
        holding.shares.push(held);
        Ok(())
    }
}

impl Default for Places {
    fn default() -> Self {
        Self::new(1_024, 512, 16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Role;

    fn who(id: u128, home: u128) -> Principal {
        let home = LogId::from(crate::base::CustomerId::from(Uuid::from_u128(home)));
        Principal { home, role: Role::App, id: Uuid::from_u128(id), credential: Uuid::from_u128(id) }
    }

    fn known(places: &Places, who: &Principal) -> Result<Holding> {
        let mut holding = places.take(Surface::Institution)?;
        places.count(&mut holding, Surface::Institution, who)?;
        Ok(holding)
    }

    #[test]
    fn one_caller_and_one_home_hold_a_share_and_give_it_back() {
        let places = Places::new(1_024, 512, 1);
        let mut held: Vec<Holding> = (0..32).map(|_| known(&places, &who(1, 1)).unwrap()).collect();
        assert!(matches!(known(&places, &who(1, 1)), Err(Error::TooMany(1))));
        // The control is a colleague, and then a neighbour: both are let in.
        held.extend((2..=4).flat_map(|id| vec![who(id, 1); 32]).map(|who| known(&places, &who).unwrap()));
        assert!(matches!(known(&places, &who(5, 1)), Err(Error::TooMany(1))));
        held.push(known(&places, &who(6, 2)).unwrap());
        held.clear();
        assert!(places.shares.0.lock().unwrap().is_empty());
        assert!(known(&places, &who(1, 1)).is_ok());
    }

    #[test]
    fn strangers_take_no_place_of_those_who_are_known_nor_one_address_all_of_theirs() {
        let places = Places::new(1_024, 512, 1);
        let stranger = |last: u8| -> Result<Holding> {
            let mut holding = places.take(Surface::Public)?;
            places.count_stranger(&mut holding, ClientAddress(Some(IpAddr::from([192, 0, 2, last]))))?;
            Ok(holding)
        };
        let mut held: Vec<Holding> = (0..32).map(|_| stranger(1).unwrap()).collect();
        assert!(matches!(stranger(1), Err(Error::TooMany(1))));
        held.extend((2..=4).flat_map(|last| [last; 32]).map(|last| stranger(last).unwrap()));
        assert!(matches!(stranger(5), Err(Error::Unavailable { .. })));
        assert!(known(&places, &who(1, 1)).is_ok() && places.take(Surface::Gate).is_ok());
    }
}
