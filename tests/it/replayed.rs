//! Deciding again finds what was written otherwise than it was decided, and a repeated answer is no
//! cache: a dry run's too is given again only while it would still be given.

use chrono::Duration;
use mandate::db::{LogId, Role};
use mandate::evidence::{StoredEntry, entries};
use mandate::export::replay;
use serde_json::json;

use crate::support::{Harness, KARI, export, instruction, run, with};

async fn log_of(h: &Harness, log: LogId) -> Vec<StoredEntry> {
    let mut read = h.app.db.read(Role::Ops, "replayed", log).await.unwrap();
    entries(read.conn(), log, (0, 0), 1_000_000, None).await.unwrap()
}

#[tokio::test]
async fn a_permits_entry_that_says_otherwise_than_was_decided_is_a_difference() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        h.signed(&kari, &instruction()).await;
        h.ask(&h.platform("itslearning"), "a", &export()).await.expect(201);
        let id = h.customer("Nordvik").strip_prefix("cus_").unwrap().parse().unwrap();
        let (registry, log) = (log_of(h, LogId::REGISTRY).await, log_of(h, LogId(id)).await);
        // Negative control: as it was written there is no difference.
        assert!(replay(&registry, &log).unwrap().1.is_empty());
        for (pointer, value) in [
            ("/grant/agreement", json!("agr_0190a0b0c0d0700080000123456789ab")),
            ("/grant/agreement_version", json!(7)),
            ("/grant/day", json!("2026-11-25")),
            ("/grant/issued_at", json!("2026-11-24T07:00:00.000Z")),
            ("/grant/expires_at", json!("2026-11-24T23:00:00.000Z")),
            ("/decision/rules", json!(99)),
            ("/decision/now", json!("2026-11-24T07:59:59.000Z")),
        ] {
            let mut forged = log.clone();
            let entry = forged.iter_mut().find(|e| e.word == "export.permitted").unwrap();
            *entry.record.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
            let (_, differences) = replay(&registry, &forged).unwrap();
            assert_eq!(differences.len(), 1, "{pointer}: {differences:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_allowing_dry_run_is_repeated_for_five_minutes_and_not_past_a_revocation() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let instruction = h.signed(&kari, &instruction()).await;
        let platform = h.platform("itslearning");
        let tried = with(export(), json!({"dry_run": true}));
        h.ask(&platform, "old", &tried).await.expect(200);
        h.advance(Duration::seconds(300));
        // Negative control: at the last moment it is repeated.
        assert_eq!(h.ask(&platform, "old", &tried).await.expect(200).headers["idempotency-replayed"], "true");
        h.advance(Duration::milliseconds(1));
        assert_eq!(h.ask(&platform, "old", &tried).await.expect(403).reasons(), ["answer_too_old"]);
        h.ask(&platform, "new", &tried).await.expect(200);
        kari.post(&format!("/api/v1/instructions/{instruction}/revocations"), &json!({})).await.expect(201);
        assert_eq!(h.ask(&platform, "new", &tried).await.expect(403).reasons(), ["instruction_revoked"]);
    })
    .await;
}

/// Negative control: without the bound in the table the last redemption is a fault of the service.
#[tokio::test]
async fn a_volume_that_stands_for_unlimited_never_overflows_the_count() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        h.signed(&kari, &with(instruction(), json!({"volume": null}))).await;
        let platform = h.platform("itslearning");
        let unlimited = with(export(), json!({"volume": {"rows": 9_007_199_254_740_991_u64}}));
        for n in 0..1_025 {
            let permitted = h.ask(&platform, &format!("a{n}"), &unlimited).await.expect(201);
            h.redeem(&platform, &format!("r{n}"), &permitted.text("/id"), &permitted.text("/permit")).await.expect(201);
        }
    })
    .await;
}
