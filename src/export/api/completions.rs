//! `POST /gate/v1/export-completions`: what was delivered of many exports, of any customers, under
//! one key. Each customer's part is a transaction and an entry of its own, customers in id order:
//! a batch cut off in the middle goes on where it stopped when it is sent again.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::answer::{CompletionOutcome, CompletionOutcomes, ExportOutcome, hashes, replayed};
use crate::app::App;
use crate::base::{CustomerId, Digest, Error, ExportId, Faults, Reference, Result, Volume, to_value};
use crate::db::{Lock, LogId, Role};
use crate::evidence::{Event, GateKey, NewEntry, answered, commit_one};
use crate::export::gate::{self, Answer, Ask, Asked, Delivered};
use crate::export::store;
use crate::http::{IdempotencyKey, Json};
use crate::identity::PlatformCaller;

/// The most completions in one batch.
const MOST: usize = 1_000;

crate::request! {
    /// What was delivered of one export.
    pub struct ExportCompletion {
        /// The export.
        export: ExportId,
        /// Records.
        rows: Option<u64>,
        /// Files.
        files: Option<u64>,
        /// Bytes.
        bytes: Option<u64>,
        /// SHA-256 of what was delivered.
        sha256: Digest,
    }
}

crate::request! {
    /// A batch of completions.
    pub struct NewExportCompletions {
        /// 1 to 1,000 of them.
        completions: Vec<ExportCompletion>,
    }
}

/// Reports many exports complete.
///
/// Each report has its own outcome: one that does not fit its export leaves the others alone. The
/// outcomes stand in the order of the request.
#[utoipa::path(post, path = "/gate/v1/export-completions",
    params(("Idempotency-Key" = String, Header, description = "One key per batch")), request_body = NewExportCompletions,
    responses((status = 200, body = CompletionOutcomes, description = "Recorded; an outcome for each report.")))]
pub(super) async fn complete_exports(
    State(app): State<App>,
    caller: PlatformCaller,
    key: IdempotencyKey,
    Json(body): Json<NewExportCompletions>,
) -> Result<Response> {
    let hashes = hashes(&key, &to_value(&body));
    let mut faults = Faults::default();
    if body.completions.is_empty() || body.completions.len() > MOST {
        faults.add_at("completions", "length", "must have 1 to 1000 elements");
    }
    faults.check()?;
    let ids: Vec<ExportId> = body.completions.iter().map(|c| c.export).collect();
    let mut read = app.db.read(Role::Gate, "customers_of_exports", LogId::REGISTRY).await?;
    let customers = store::running::customers_of_exports(read.conn(), &caller.platform, &ids).await?;
    drop(read);
    let again = receive(&app, &caller, hashes, &ids, &customers).await?;

    let mut parts: BTreeMap<CustomerId, Vec<(usize, Delivered)>> = BTreeMap::new();
    for (place, report) in body.completions.iter().enumerate() {
        let volume = Volume { rows: report.rows, files: report.files, bytes: report.bytes };
        let delivered = Delivered { export: report.export, volume, sha256: report.sha256 };
        if let Some(customer) = customers.get(&report.export) {
            parts.entry(*customer).or_default().push((place, delivered));
        }
    }
    let mut outcomes: Vec<CompletionOutcome> = ids.iter().map(|id| CompletionOutcome::unknown(*id)).collect();
    let mut held = None;
    for (customer, part) in parts {
        let (places, reports): (Vec<usize>, Vec<Delivered>) = part.into_iter().unzip();
        let customer_named: Reference = customer.to_string().parse().map_err(Error::internal)?;
        let asked = Asked { caller: caller.clone(), customer_named, ask: Ask::CompleteMany(reports), hashes };
        let answer = match gate::answer(&app, customer, &asked).await {
            // The others of the batch are recorded all the same.
            Err(error @ Error::Quarantined { registry: false }) => {
                held = Some(error);
                continue;
            }
            answer => answer?,
        };
        let Answer::ReportedMany { completions, receipt } = answer else {
            return Err(Error::internal("completions are answered with completions"));
        };
        for (place, completion) in places.into_iter().zip(completions) {
            if let Some(outcome) = outcomes.get_mut(place) {
                *outcome = CompletionOutcome::of(completion, receipt.clone());
            }
        }
    }
    if let Some(error) = held {
        return Err(error);
    }
    let completed = outcomes.iter().filter(|o| o.outcome == ExportOutcome::Completed).count();
    Ok(replayed(again, (StatusCode::OK, Json(CompletionOutcomes { completed, completions: outcomes }))))
}

/// Takes the batch into the platform's log, which holds its key for all customers; true if it was
/// taken before. What belongs to none of the platform's exports is recorded there and nowhere else.
async fn receive(
    app: &App,
    caller: &PlatformCaller,
    hashes: (Digest, Digest),
    ids: &[ExportId],
    customers: &BTreeMap<ExportId, CustomerId>,
) -> Result<bool> {
    const ROUTE: &str = "export-completions";
    let mut read = app.db.read(Role::Gate, "platform_log", LogId::REGISTRY).await?;
    let log = crate::registry::platform_log(read.conn(), &caller.platform).await?;
    drop(read);
    let mut tx = app.db.write(Role::Gate, "completions", Lock::Heads, log, &[]).await?;
    if let Some(stored) = answered(tx.conn(), log, &caller.platform, ROUTE, hashes.0).await? {
        let same = stored.request_hash == Some(hashes.1);
        let reused = || Error::invalid("Idempotency-Key", "key_reused", "was used for another request");
        return if same { Ok(true) } else { Err(reused()) };
    }
    let unknown = ids.iter().filter(|id| !customers.contains_key(id)).copied().collect();
    let event = Event::CompletionsReceived { count: ids.len() as u64, unknown, api_key: caller.key };
    let gate = GateKey { platform: caller.platform.clone(), route: ROUTE, hashes: Some(hashes) };
    commit_one(tx, NewEntry::new(log, caller.key, &caller.actor(), event).at_gate(gate)).await?;
    Ok(false)
}
