//! What ops tries on a customer and is refused is seen by that customer: one entry in its log for
//! each refused call, with who called, what was called and how it was answered. So that nobody can
//! flood a log, who was refused too often at a customer is slowed down before anything is tried: an
//! attempt that reaches a rule is always recorded.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::app::App;
use crate::base::{CustomerId, Error, Instant, Result};
use crate::db::{Lock, LogId, Role};
use crate::evidence::{Event, NewEntry, commit_one};
use crate::http::Attempt;
use crate::identity::OpsCaller;

/// How many refused attempts one caller has at one customer, in one span.
const MOST: u32 = 60;
/// The span, in milliseconds.
const SPAN: i64 = 10 * 60 * 1_000;
/// The most callers and customers that are remembered; past it, newcomers wait.
const MOST_KEPT: usize = 10_000;

/// The refused attempts of the present span, per caller and customer.
#[derive(Debug, Default)]
pub struct Attempts {
    refused: Mutex<HashMap<(String, CustomerId), (i64, u32)>>,
}

impl Attempts {
    fn room(&self, who: &(String, CustomerId), now: Instant) -> Result<()> {
        let span = now.millis().div_euclid(SPAN);
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = match refused.get(who) {
            Some((of, count)) => *of == span && *count >= MOST,
            None => refused.len() >= MOST_KEPT && refused.values().all(|(of, _)| *of == span),
        };
        let rest = (span + 1) * SPAN - now.millis();
        if is_over { Err(Error::TooMany(u64::try_from(rest / 1_000 + 1).unwrap_or(1))) } else { Ok(()) }
    }

    fn count(&self, who: (String, CustomerId), now: Instant) {
        let span = now.millis().div_euclid(SPAN);
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() >= MOST_KEPT {
            refused.retain(|_, (of, _)| *of == span);
        }
        let entry = refused.entry(who).or_insert((span, 0));
        *entry = if entry.0 == span { (span, entry.1 + 1) } else { (span, 1) };
    }
}

/// Who tries it on whom; `None` while either is nobody.
fn parties(attempt: &Attempt) -> Option<(OpsCaller, CustomerId)> {
    Some((attempt.caller.get::<OpsCaller>()?.clone(), attempt.customer.parse().ok()?))
}

/// Lets an attempt go on to its route.
///
/// # Errors
/// [`Error::TooMany`] when the caller has been refused too often at this customer.
pub fn may_attempt(app: &App, attempt: &Attempt) -> Result<()> {
    let Some((caller, customer)) = parties(attempt) else { return Ok(()) };
    app.attempts.room(&(caller.actor().as_str().to_owned(), customer), app.db.clock().now())
}

/// Records a refused attempt in the customer's log. That it could not be recorded changes nothing of
/// the refusal, and is logged.
pub async fn refused(app: &App, attempt: &Attempt, status: u16) {
    let Some((caller, customer)) = parties(attempt) else { return };
    match record(app, &caller, customer, &attempt.operation, status).await {
        // No customer, nobody to see it.
        Ok(()) | Err(Error::NotFound) => {}
        Err(error) => tracing::warn!(operation = %attempt.operation, cause = %error, "a refused attempt could not be recorded"),
    }
}

async fn record(app: &App, caller: &OpsCaller, customer: CustomerId, operation: &str, status: u16) -> Result<()> {
    let actor = caller.actor();
    let log = LogId::from(caller.scope_of(customer).customer());
    let mut tx = app.db.write(Role::Ops, "attempt_refused", Lock::Heads, log, &[]).await?;
    // The reserved logs and those of platforms are nobody's.
    if tx.head(log)?.name != customer.to_string() {
        return Err(Error::NotFound);
    }
    let now = tx.now();
    let event = Event::OpsAttemptRefused { operation: operation.to_owned(), status };
    commit_one(tx, NewEntry::new(customer, customer, &actor, event)).await?;
    app.attempts.count((actor.as_str().to_owned(), customer), now);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn at(millis: i64) -> Instant {
        Instant::from_millis(1_800_000_000_000 + millis).unwrap()
    }

    fn who(person: &str, customer: u128) -> (String, CustomerId) {
        (person.to_owned(), CustomerId::from(Uuid::from_u128(customer)))
    }

    #[test]
    fn who_is_refused_too_often_at_one_customer_waits_for_the_next_span_and_others_do_not() {
        let attempts = Attempts::default();
        for _ in 0..MOST {
            assert!(attempts.room(&who("ops_a", 1), at(0)).is_ok());
            attempts.count(who("ops_a", 1), at(0));
        }
        assert!(matches!(attempts.room(&who("ops_a", 1), at(1_000)), Err(Error::TooMany(600))));
        assert!(attempts.room(&who("ops_a", 2), at(0)).is_ok() && attempts.room(&who("ops_b", 1), at(0)).is_ok());
        assert!(attempts.room(&who("ops_a", 1), at(SPAN)).is_ok());
    }

    #[test]
    fn memory_is_bounded_and_past_the_bound_newcomers_wait() {
        let attempts = Attempts::default();
        for n in 0..20_000 {
            if attempts.room(&who("ops_a", n), at(0)).is_ok() {
                attempts.count(who("ops_a", n), at(0));
            }
        }
        assert_eq!(attempts.refused.lock().unwrap().len(), MOST_KEPT);
        assert!(attempts.room(&who("ops_b", 1), at(0)).is_err());
        assert!(attempts.room(&who("ops_a", 1), at(0)).is_ok());
        assert!(attempts.room(&who("ops_b", 1), at(SPAN)).is_ok());
    }
}
