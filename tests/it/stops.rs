//! Everything that stops a running export: the chunk before is authorised, the chunk after is
//! refused for that reason and no other, and the customer is told with what had left.

use chrono::Duration;
use serde_json::json;

use crate::support::{Client, Harness, KARI, PRIVACY, SECURITY, export, instruction, run, with};

struct Run {
    kari: Client,
    platform: Client,
    instruction: String,
    export: String,
}

async fn begin(h: &Harness, changes: serde_json::Value) -> Run {
    let (kari, platform) = (h.person(KARI).await, h.platform("itslearning"));
    let instruction = h.signed(&kari, &with(instruction(), changes)).await;
    let export = h.running(&platform, "start", &export()).await;
    h.chunk(&platform, "before", &export, &json!({"chunk_no": 1, "rows": 40})).await.expect(201);
    Run { kari, platform, instruction, export }
}

async fn refused_for(h: &Harness, run: &Run, reason: &str) {
    let answer = h.chunk(&run.platform, "after", &run.export, &json!({"chunk_no": 2, "rows": 40})).await.expect(403);
    assert_eq!(answer.reasons(), [reason], "{}", answer.json());
    let told = h.mail_with("A running export is stopped").await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("1 chunk (40 rows)"), "{}", told[0]);
    let kari = h.login(KARI).await;
    let seen = kari.get(&format!("/api/v1/exports/{}", run.export)).await.expect(200).json();
    assert_eq!((&seen["state"], &seen["chunks"]), (&json!("stopped"), &json!(1)));
}

#[tokio::test]
async fn a_revoked_instruction() {
    run(async |h: &Harness| {
        let run = begin(h, json!({})).await;
        run.kari.post(&format!("/api/v1/instructions/{}/revocations", run.instruction), &json!({})).await.expect(201);
        refused_for(h, &run, "instruction_revoked").await;
    })
    .await;
}

#[tokio::test]
async fn a_contested_instruction_until_it_is_confirmed() {
    run(async |h: &Harness| {
        let run = begin(h, json!({})).await;
        let path = format!("/api/admin/v1/customers/{}/instructions/{}/contests", h.customer("Nordvik"), run.instruction);
        let contest = h.person(PRIVACY).await.post(&path, &json!({"version": 1, "ground": "GDPR Art. 6"})).await.expect(201);
        refused_for(h, &run, "instruction_contested").await;
        let body = json!({"contest": contest.text("/versions/0/contests/0/id"), "text": "We confirm it."});
        run.kari.post(&format!("/api/v1/instructions/{}/confirmations", run.instruction), &body).await.expect(201);
        h.chunk(&run.platform, "on", &run.export, &json!({"chunk_no": 2, "rows": 40})).await.expect(201);
        let seen = run.kari.get(&format!("/api/v1/exports/{}", run.export)).await.expect(200).json();
        assert_eq!((&seen["state"], &seen["stopped_at"]), (&json!("running"), &json!(null)));
    })
    .await;
}

#[tokio::test]
async fn a_superseded_version() {
    run(async |h: &Harness| {
        let run = begin(h, json!({})).await;
        run.kari.post(&format!("/api/v1/instructions/{}/versions", run.instruction), &instruction()).await.expect(201);
        h.sign(&run.kari, &run.instruction, 2).await.expect(201);
        refused_for(h, &run, "instruction_superseded").await;
    })
    .await;
}

#[tokio::test]
async fn an_expired_window() {
    run(async |h: &Harness| {
        let run = begin(h, json!({"valid_until_at": "2026-11-24T09:00:00Z"})).await;
        h.advance(Duration::hours(1));
        refused_for(h, &run, "instruction_expired").await;
    })
    .await;
}

#[tokio::test]
async fn an_ended_agreement() {
    run(async |h: &Harness| {
        let run = begin(h, json!({})).await;
        let agreement = run.kari.get("/api/v1/agreements").await.expect(200).text("/data/0/id");
        run.kari.post(&format!("/api/v1/agreements/{agreement}/terminations"), &json!({})).await.expect(201);
        refused_for(h, &run, "agreement_not_in_force").await;
    })
    .await;
}

#[tokio::test]
async fn a_suspended_customer_until_it_is_released() {
    run(async |h: &Harness| {
        let run = begin(h, json!({})).await;
        let made = run.kari.post("/api/v1/suspensions", &json!({"ground": "incident"})).await.expect(201).text("/id");
        refused_for(h, &run, "customer_suspended").await;
        run.kari.post(&format!("/api/v1/suspensions/{made}/releases"), &json!({})).await.expect(201);
        h.chunk(&run.platform, "on", &run.export, &json!({"chunk_no": 2, "rows": 40})).await.expect(201);
    })
    .await;
}

#[tokio::test]
async fn a_suspended_platform() {
    run(async |h: &Harness| {
        let run = begin(h, json!({})).await;
        let path = "/api/admin/v1/platforms/itslearning/suspensions";
        h.person(SECURITY).await.post(path, &json!({"ground": "key stolen"})).await.expect(201);
        refused_for(h, &run, "platform_suspended").await;
    })
    .await;
}

#[tokio::test]
async fn a_restriction_that_begins_is_excepted_from_the_next_chunk_or_stops_it() {
    run(async |h: &Harness| {
        let run = begin(h, json!({})).await;
        let pupil = json!({"kind": "subject", "ref": "p-1", "unit": "S03"});
        let restriction = json!({"kind": "restriction", "platforms": ["itslearning"], "subjects": [pupil], "text": "Art. 18."});
        h.signed(&run.kari, &restriction).await;
        let next = h.chunk(&run.platform, "next", &run.export, &json!({"chunk_no": 3, "rows": 1})).await.expect(201);
        assert_eq!(next.json()["except"], json!([pupil]));
        let all =
            json!({"kind": "restriction", "platforms": ["itslearning"], "subjects": [{"kind": "unit", "unit": "S03"}], "text": "Art. 18."});
        h.signed(&run.kari, &all).await;
        let after = h.chunk(&run.platform, "after", &run.export, &json!({"chunk_no": 4, "rows": 1})).await.expect(403);
        assert_eq!(after.reasons(), ["restriction_in_force"]);
    })
    .await;
}
