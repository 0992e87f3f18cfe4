//! The audit at the end of every test.

use std::collections::BTreeMap;

use mandate::base::{CustomerId, Digest, TypedId as _, canonical, merkle_leaf, merkle_node, sha256};
use mandate::db::{LogId, Role};
use mandate::evidence::{StoredEntry, commit_record, commit_subjects, entries, head_of};
use mandate::export::{Selection, facts, replay};

use super::harness::Harness;

/// A log of all entries, checked: leaves, commitments, roots, order of time, and the head.
async fn verified(harness: &Harness, log: LogId, name: &str) -> Vec<StoredEntry> {
    // Ops acts for no platform.
    let role = if name.starts_with("platform/") { Role::Gate } else { Role::Ops };
    let mut read = harness.app.db.read(role, "audit", log).await.unwrap();
    let all = entries(read.conn(), log, (0, 0), 1_000_000, None).await.unwrap();
    let (_, size) = head_of(read.conn(), log).await.unwrap();
    assert_eq!(all.len() as u64, size, "{name}: the head's size is the number of entries");
    let mut leaves: Vec<Digest> = Vec::new();
    let mut at = None;
    for (index, entry) in all.iter().enumerate() {
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
        if index % 7 == 0 || index + 1 == all.len() {
            assert_eq!(root(&leaves), entry.root, "{name}: root at {index}");
        }
    }
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

/// Every log verifies; every decision, decided again, is the same; the tables hold the facts that
/// the entries rebuild.
pub async fn audit(harness: &Harness) {
    let registry = verified(harness, LogId::REGISTRY, "registry").await;
    verified(harness, LogId::PROCESSOR, "processor").await;
    for (id, kind, name) in harness.logs().await {
        let log = LogId(id);
        if kind == "platform" {
            verified(harness, log, &name).await;
        }
        if kind != "customer" {
            continue;
        }
        let all = verified(harness, log, &name).await;
        let (rebuilt, differences) = replay(&registry, &all).unwrap();
        assert!(differences.is_empty(), "{name}: {differences:#?}");
        super::packed::verified(harness, &registry, &all, id).await;
        let customer = CustomerId::from(id);
        assert_eq!(customer.uuid(), id);
        let mut read = harness.app.db.read(Role::App, "audit", log).await.unwrap();
        let now = read.now();
        let stored = facts(read.conn(), customer, &Selection::everything(), now).await.unwrap();
        assert_eq!(rebuilt, stored, "{name}: facts of the tables and of the entries");
    }
    let kinds: BTreeMap<String, i64> = harness.jobs().await;
    assert!(kinds.is_empty(), "jobs are left: {kinds:?}");
    let errors = super::logged::errors().lock().unwrap().clone();
    assert!(errors.is_empty(), "logged at error level: {errors:#?}");
}
