//! What the watch over the gate counts of an ask: who asked, for whom, how much. Refusals and dry
//! runs count like permits; a repeated answer counts as an ask, and its records only once. Records
//! that a request does not state are counted chunk by chunk, for who made the request.

use super::gate::{Answer, Ask, Asked};
use crate::alarm::{Requester, Touch};
use crate::app::App;
use crate::base::{CustomerId, TypedId};
use crate::evidence::RequestedBy;
use crate::identity::PlatformCaller;

fn requester(by: &RequestedBy) -> Requester<'_> {
    Requester { kind: by.kind.word(), reference: by.reference.as_str() }
}

/// Counts an ask about a customer that was answered.
pub(super) fn answered(app: &App, customer: CustomerId, asked: &Asked, answer: &Answer) {
    let is_again = matches!(
        answer,
        Answer::Permitted { again: true, .. } | Answer::WouldPermit { again: true, .. } | Answer::Refused { again: true, .. }
    );
    let (requested_by, rows) = match (&asked.ask, answer) {
        (Ask::Export { request, .. }, _) => (Some(requester(&request.requested_by)), request.volume.rows.filter(|_| !is_again)),
        (_, Answer::ChunkAuthorised { unstated: Some((by, rows)), .. }) => (Some(requester(by)), Some(*rows)),
        _ => (None, None),
    };
    let PlatformCaller { key, platform, .. } = &asked.caller;
    let touch = Touch { key: *key, platform, requested_by, customer: customer.uuid(), rows: rows.unwrap_or(0) };
    app.activity.note(&touch, app.db.clock().now());
}

/// Counts an ask under a name that no customer has.
pub(super) fn nobody(app: &App, caller: &PlatformCaller, named: &str, requested_by: Option<&RequestedBy>) {
    let PlatformCaller { key, platform, .. } = caller;
    let touch = Touch { key: *key, platform, requested_by: requested_by.map(requester), customer: Touch::nobody(named), rows: 0 };
    app.activity.note(&touch, app.db.clock().now());
}
