//! What concerns a whole institution takes authority for all of its units: lifting its stop, its
//! agreements, and people who belong to no unit. Negative control of each: the same request by a person
//! with authority for all units, and within the own unit by the one without.

use serde_json::json;

use crate::support::{Client, Harness, JONAS, KARI, run};

/// Somebody with authority of every kind that matters here, for one unit.
async fn of_one_unit(h: &Harness) -> Client {
    let authority = ["export", "agreement", "people"].map(|kind| json!({"kind": kind, "units": ["S03"]}));
    let new = json!({"email": "one@nordvik.example", "name": "One", "role": "customer_admin", "authority": authority});
    h.person(KARI).await.post("/api/v1/people", &new).await.expect(201);
    mandate::app::deliver_due(&h.app).await.unwrap();
    h.invited("one@nordvik.example", &h.customer("Nordvik")).await
}

#[tokio::test]
async fn authority_for_one_unit_lifts_no_stop_and_binds_the_institution_to_nothing() {
    run(async |h: &Harness| {
        let (one, kari) = (of_one_unit(h).await, h.person(KARI).await);
        let stop = kari.post("/api/v1/suspensions", &json!({"ground": "All of it."})).await.expect(201).text("/id");
        let release = format!("/api/v1/suspensions/{stop}/releases");
        one.post(&release, &json!({})).await.expect(403);
        kari.post(&release, &json!({})).await.expect(201);
        let agreement = kari.get("/api/v1/agreements").await.expect(200);
        let path = format!("/api/v1/agreements/{}", agreement.text("/data/0/id"));
        let acceptance = json!({"document_sha256": "0".repeat(64)});
        one.post(&format!("{path}/acceptances"), &acceptance).await.expect(403);
        assert_ne!(kari.post(&format!("{path}/acceptances"), &acceptance).await.status, 403);
        one.post(&format!("{path}/terminations"), &json!({})).await.expect(403);
        kari.post(&format!("{path}/terminations"), &json!({})).await.expect(201);
    })
    .await;
}

#[tokio::test]
async fn authority_over_one_units_people_reaches_nobody_who_belongs_to_no_unit() {
    run(async |h: &Harness| {
        let (one, kari) = (of_one_unit(h).await, h.person(KARI).await);
        let people = kari.get("/api/v1/people?limit=100").await.expect(200).json();
        let id = |email: &str| {
            people["data"].as_array().unwrap().iter().find(|m| m["email"] == email).unwrap()["id"].as_str().unwrap().to_owned()
        };
        let new = |email: &str, authority| json!({"email": email, "name": "New", "role": "customer_admin", "authority": authority});
        for outsider in ["revisor@revisjon.example", JONAS] {
            one.post(&format!("/api/v1/people/{}/endings", id(outsider)), &json!({})).await.expect(403);
        }
        one.post("/api/v1/people", &new("a@nordvik.example", json!([]))).await.expect(403);
        one.post("/api/v1/people", &new("b@nordvik.example", json!([{"kind": "export", "units": ["S03"]}]))).await.expect(201);
        kari.post("/api/v1/people", &new("a@nordvik.example", json!([]))).await.expect(201);
        kari.post(&format!("/api/v1/people/{}/endings", id("revisor@revisjon.example")), &json!({})).await.expect(201);
    })
    .await;
}
