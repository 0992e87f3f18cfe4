//! The audit at the end of every test.

use std::collections::{BTreeMap, BTreeSet};

use mandate::base::{CustomerId, Digest, TypedId as _, canonical, merkle_leaf, merkle_node, sha256};
use mandate::db::{LogId, Role};
use mandate::evidence::{Cause, Event, Reason, ReasonCode, StoredEntry, commit_record, commit_subjects, entries, head_of};
use mandate::export::{Selection, facts, replay};
use mandate::fsck::{Verdict, check};
use serde_json::json;

use super::harness::Harness;

/// A log of all entries, checked: leaves, commitments, roots, order of time, and the head.
async fn verified(harness: &Harness, log: LogId, name: &str) -> Vec<StoredEntry> {
    // Ops acts for no platform.
    let role = if name.starts_with("platform/") { Role::Gate } else { Role::Ops };
    let mut read = harness.app.db.read(role, "audit", log).await.unwrap();
    let all = entries(read.conn(), log, (0, 0), 1_000_000, None).await.unwrap();
    let (_, size) = head_of(read.conn(), log).await.unwrap();
    let mut leaves: Vec<Digest> = Vec::new();
    let (mut at, mut epoch) = (None, 1);
    for (place, entry) in all.iter().enumerate() {
        if entry.epoch != epoch {
            assert_eq!(entry.word, "epoch.opened", "{name}: a later epoch begins with its opening");
            epoch = entry.epoch;
            leaves.clear();
        }
        let (index, is_last) = (leaves.len(), all.get(place + 1).is_none_or(|next| next.epoch != epoch));
        assert_eq!(entry.index, index as u64, "{name}: no gap");
        assert!(at.is_none_or(|at| at <= entry.at), "{name}: time does not run backwards at {index}");
        at = Some(entry.at);
        assert_eq!(merkle_leaf(&entry.leaf), entry.leaf_hash, "{name}: leaf hash at {index}");
        let leaf: serde_json::Value = serde_json::from_slice(&entry.leaf).unwrap();
        assert_eq!(canonical(&leaf), entry.leaf, "{name}: canonical leaf at {index}");
        assert_eq!(leaf["type"], entry.word.as_str());
        assert_eq!(leaf["at"], entry.at.to_string());
        assert_eq!(leaf["commitment"], commit_record(&entry.nonce.0, &entry.record).to_string(), "{name}: record at {index}");
        if let Some((subjects, nonce)) = &entry.subjects {
            assert_eq!(
                entry.record["subjects"]["commitment"],
                commit_subjects(&nonce.0, subjects).to_string(),
                "{name}: subjects at {index}"
            );
        }
        leaves.push(entry.leaf_hash);
        if index % 7 == 0 || is_last {
            assert_eq!(root(&leaves), entry.root, "{name}: root at {index}");
        }
    }
    assert_eq!(leaves.len() as u64, size, "{name}: the head's size is the number of entries");
    all
}

/// The tree hash as RFC 6962 §2.1 defines it.
fn root(leaves: &[Digest]) -> Digest {
    match leaves.len() {
        0 => sha256(&[]),
        1 => leaves[0],
        n => {
            let k = n.next_power_of_two() / 2;
            merkle_node(&root(&leaves[..k]), &root(&leaves[k..]))
        }
    }
}

/// What a platform's log refuses for nobody, though somebody has the name: an external id that
/// appeared before in this log, or the id of any customer, or of any export of the platform.
fn known_to_somebody(log: &[Event], ids: &BTreeSet<String>) -> Vec<String> {
    let mut known = ids.clone();
    let mut found = Vec::new();
    for (index, event) in log.iter().enumerate() {
        let (named, expected) = match event {
            Event::ExternalIdAppeared { external_id, .. } => {
                known.insert(external_id.to_string());
                continue;
            }
            Event::CompletionsReceived { unknown, .. } => (unknown.iter().map(ToString::to_string).collect(), None),
            Event::UnknownRefused { request, reasons, .. } => {
                let named = request["customer"].as_str().or(request["export"].as_str()).map(str::to_owned);
                let expected = match (request["customer"].is_string(), request["chunk_no"].is_u64()) {
                    (true, _) => ReasonCode::AgreementMissing,
                    (_, true) => ReasonCode::PermitNotRedeemed,
                    _ => ReasonCode::PermitAltered,
                };
                (named.into_iter().collect::<Vec<_>>(), Some((expected, reasons)))
            }
            _ => continue,
        };
        let is_right = expected.is_none_or(|(code, reasons)| !named.is_empty() && *reasons == [Reason { code, cause: Cause::Nothing }]);
        if !is_right || named.iter().any(|name| known.contains(name)) {
            found.push(format!("{index}: {event:?}"));
        }
    }
    found
}

#[test]
fn a_name_that_appeared_is_found_when_it_is_refused_for_nobody_afterwards() {
    let appeared = Event::ExternalIdAppeared {
        customer: "cus_0190a0b0c0d0700080000123456789ab".parse().unwrap(),
        external_id: "site-1".parse().unwrap(),
    };
    let refused = |request, code| Event::UnknownRefused {
        request,
        reasons: vec![Reason { code, cause: Cause::Nothing }],
        api_key: "key_0190a0b0c0d0700080000123456789ab".parse().unwrap(),
    };
    let by_name = refused(json!({"customer": "site-1"}), ReasonCode::AgreementMissing);
    let export = json!({"export": "exp_0190a0b0c0d0700080000123456789ab"});
    let by_export = refused(export.clone(), ReasonCode::PermitAltered);
    let ids = BTreeSet::from(["exp_0190a0b0c0d0700080000123456789ab".to_owned()]);
    for (log, ids, faults) in [
        // Negative control: before it appeared, and of an export that nobody has.
        (vec![by_name.clone(), by_export.clone(), appeared.clone()], &BTreeSet::new(), 0),
        (vec![appeared, by_name], &BTreeSet::new(), 1),
        (vec![by_export], &ids, 1),
        (vec![refused(export, ReasonCode::AgreementMissing)], &BTreeSet::new(), 1),
    ] {
        assert_eq!(known_to_somebody(&log, ids).len(), faults, "{log:?}");
    }
}

/// Every log verifies; every decision, decided again, is the same; the tables hold the facts that
/// the entries rebuild.
pub async fn audit(harness: &Harness) {
    let registry = verified(harness, LogId::REGISTRY, "registry").await;
    verified(harness, LogId::PROCESSOR, "processor").await;
    let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let (customers, platforms): (Vec<_>, Vec<_>) = harness
        .logs()
        .await
        .into_iter()
        .filter(|(_, kind, _)| ["customer", "platform"].contains(&kind.as_str()))
        .partition(|(_, kind, _)| kind == "customer");
    for (id, _, name) in &customers {
        let log = LogId(*id);
        let all = verified(harness, log, name).await;
        let (rebuilt, differences) = replay(&registry, &all).unwrap();
        assert!(differences.is_empty(), "{name}: {differences:#?}");
        super::packed::verified(harness, &registry, &all, *id).await;
        let customer = CustomerId::from(*id);
        assert_eq!(customer.uuid(), *id);
        for (export, facts) in &rebuilt.exports {
            ids.entry(facts.request.platform.to_string()).or_default().insert(export.to_string());
        }
        let mut read = harness.app.db.read(Role::App, "audit", log).await.unwrap();
        let now = read.now();
        let stored = facts(read.conn(), customer, &Selection::everything(), now).await.unwrap();
        assert_eq!(rebuilt, stored, "{name}: facts of the tables and of the entries");
    }
    for (id, _, name) in platforms {
        let all = verified(harness, LogId(id), &name).await;
        let events: Vec<Event> = all.iter().map(|entry| entry.event().unwrap()).collect();
        let mut ids = ids.remove(name.trim_start_matches("platform/")).unwrap_or_default();
        ids.extend(customers.iter().map(|(id, ..)| CustomerId::from(*id).to_string()));
        let found = known_to_somebody(&events, &ids);
        assert!(found.is_empty(), "{name}: {found:#?}");
    }
    let kinds: BTreeMap<String, i64> = harness.jobs().await;
    assert!(kinds.is_empty(), "jobs are left: {kinds:?}");
    let errors = super::logged::errors().lock().unwrap().clone();
    assert!(errors.is_empty(), "logged at error level: {errors:#?}");
    // What differs is told here.
    let _quiet = tracing::subscriber::set_default(tracing::subscriber::NoSubscriber::default());
    let report = check(&harness.app.db, harness.app.notary.outside(), None, |_| {}).await.unwrap();
    assert_eq!(report.verdict(), Verdict::Clean, "{report}");
}
