//! The shadow report: what a platform's dry runs would have been answered. Negative control: asks in
//! earnest, another platform's, and those outside the window are not in it.

use chrono::Duration;
use serde_json::{Value, json};

use crate::support::{Harness, KARI, export, instruction, run, with};

const REPORT: &str = "/api/admin/v1/platforms/itslearning/shadow-report";

fn counts(value: &Value) -> Vec<i64> {
    ["tried", "permitted", "refused"].iter().map(|name| value[name].as_i64().unwrap()).collect()
}

/// `code: count` of every reason, and `channel: tried/refused` of every channel.
fn details(value: &Value) -> (Vec<String>, Vec<String>) {
    let list = |name: &str| value[name].as_array().unwrap().clone();
    let reasons = list("reasons").iter().map(|r| format!("{}: {}", r["code"].as_str().unwrap(), r["count"])).collect();
    let channels =
        list("channels").iter().map(|c| format!("{}: {}/{}", c["channel"].as_str().unwrap(), c["tried"], c["refused"])).collect();
    (reasons, channels)
}

#[tokio::test]
async fn the_shadow_report_counts_what_dry_runs_would_have_been_answered() {
    run(async |h: &Harness| {
        let (kari, platform) = (h.person(KARI).await, h.platform("itslearning"));
        let dry = |changes: Value| with(with(export(), json!({"dry_run": true})), changes);
        h.ask(&platform, "old", &dry(json!({}))).await.expect(403);
        h.advance(Duration::hours(30));
        let kari_again = h.person(KARI).await;
        drop(kari);
        h.ask(&platform, "a", &dry(json!({}))).await.expect(403);
        h.ask(&platform, "b", &dry(json!({"channel": "ims-es", "purpose": "advertising"}))).await.expect(403);
        h.signed(&kari_again, &instruction()).await;
        h.ask(&platform, "c", &dry(json!({}))).await.expect(200);
        h.ask(&platform, "d", &dry(json!({"customer": "site-2002-its"}))).await.expect(403);
        h.ask(&platform, "e", &dry(json!({"customer": "nobody-at-all"}))).await.expect(403);
        // In earnest, for nobody in earnest, and of another platform: not in it.
        h.ask(&platform, "f", &export()).await.expect(201);
        h.ask(&platform, "g", &with(export(), json!({"customer": "nobody-at-all"}))).await.expect(403);
        let fronter = with(dry(json!({})), json!({"platform": "fronter", "customer": "site-5005-fro"}));
        h.ask(&h.platform("fronter"), "h", &fronter).await.expect(403);
        // The clock goes on: until is not included.
        h.advance(Duration::seconds(1));

        let reader = h.login("reader@ops.example").await;
        let report = reader.get(REPORT).await.expect(200).json();
        assert_eq!((counts(&report), &report["unknown_customer"]), (vec![5, 1, 4], &json!(1)));
        let (reasons, channels) = details(&report);
        assert_eq!(channels, ["ims-es: 1/1", "organisation-api: 4/3"]);
        assert!(
            reasons.contains(&"agreement_missing: 1".to_owned()) && reasons.contains(&"purpose_prohibited: 1".to_owned()),
            "{reasons:?}"
        );
        assert!(report["reasons"][0]["meaning"].as_str().is_some_and(|text| !text.is_empty()));

        let first = reader.get(&format!("{REPORT}/customers?limit=1")).await.expect(200).json();
        let next = first["next_cursor"].as_str().unwrap();
        let second = reader.get(&format!("{REPORT}/customers?limit=1&cursor={next}")).await.expect(200).json();
        assert_eq!(second["next_cursor"], Value::Null);
        let mut found: Vec<Value> = [first, second].iter().map(|page| page["data"][0].clone()).collect();
        found.sort_by_key(|one| one["name"].as_str().unwrap().to_owned());
        assert_eq!((found[0]["name"].as_str(), counts(&found[0])), (Some("Nordvik kommune"), vec![3, 1, 2]));
        assert_eq!((found[1]["name"].as_str(), counts(&found[1])), (Some("Søby Kommune"), vec![1, 0, 1]));
        let (reasons, channels) = details(&found[0]);
        assert_eq!(channels, ["ims-es: 1/1", "organisation-api: 2/1"]);
        // Two dry runs without an instruction: one reason each, however many causes.
        assert!(reasons.contains(&"no_written_instruction: 2".to_owned()), "{reasons:?}");

        // The customer finds its own among its decisions.
        let own = kari_again.get("/api/v1/decisions?dry_run=true&reason=purpose_prohibited&requested_by=nightly").await.expect(200);
        assert_eq!(own.json()["data"].as_array().unwrap().len(), 1);

        let wide = reader.get(&format!("{REPORT}?from=2026-11-20T00:00:00Z&until=2026-11-24T09:00:00Z")).await.expect(200).json();
        assert_eq!(counts(&wide), [1, 0, 1]);
        reader.get(&format!("{REPORT}?from=2026-11-24T09:00:00Z&until=2026-11-24T09:00:00Z")).await.expect(400);
        reader.get(&format!("{REPORT}?from=2026-10-01T00:00:00Z&until=2026-11-24T09:00:00Z")).await.expect(400);
        reader.get("/api/admin/v1/platforms/nowhere/shadow-report").await.expect(404);
        reader.get("/api/admin/v1/platforms/nowhere/shadow-report/customers").await.expect(404);
    })
    .await;
}
