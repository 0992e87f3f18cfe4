//! What takes two of the processor's staff, or a step-up: every approval, release and ending of the
//! admin surface, read off the route table, so that a new one fails here until it is played.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::Method;
use mandate::http::Access;
use serde_json::json;

use crate::identity::new_customer;
use crate::support::{ADMIN, Client, Harness, KARI, MAJA, PRIVACY, SECURITY, run};

const STAFF: &str = "/api/admin/v1/ops-people";

/// Every route, with the path of something that waits for it, and whose role may call it.
async fn waiting(h: &Harness) -> BTreeMap<&'static str, (String, &'static str)> {
    let kari = h.person(KARI).await;
    let people = kari.get("/api/v1/people").await.expect(200).json();
    let maja = people["data"].as_array().unwrap().iter().find(|m| m["email"] == MAJA).unwrap()["id"].clone();
    let own_agreement = kari.get("/api/v1/agreements").await.expect(200).text("/data/0/id");
    let admin = h.person(ADMIN).await;
    let (fjell, agreement, _) = new_customer(h, &admin).await;
    let nordvik = format!("/api/admin/v1/customers/{}", h.customer("Nordvik"));
    let fjell = format!("/api/admin/v1/customers/{fjell}");
    h.step_up(&admin, ADMIN).await;
    let made = async |client: &Client, path: &str, body| format!("{path}/{}", client.post(path, &body).await.expect(201).text("/id"));
    admin.post(&format!("{fjell}/agreements/{agreement}/offers"), &json!({})).await.expect(201);
    let signatory = json!({"agreement": agreement, "email": "rektor@fjell.example", "name": "Rektor"});
    let signatory = made(&admin, &format!("{fjell}/first-signatories"), signatory).await;
    let recovery = json!({"membership": maja, "agreement": own_agreement});
    let recovery = made(&admin, &format!("{nordvik}/account-recoveries"), recovery).await;
    let key = json!({"name": "second", "expires_at": "2027-01-01T00:00:00Z"});
    let key = made(&admin, "/api/admin/v1/platforms/fronter/api-keys", key).await;
    let proposed = json!({"email": "proposed@ops.example", "name": "Proposed", "role": "ops_reader"});
    let proposed = made(&admin, STAFF, proposed).await;
    let staff = admin.get(STAFF).await.expect(200).json();
    let reader = staff["data"].as_array().unwrap().iter().find(|p| p["email"] == "reader@ops.example").unwrap()["id"].clone();
    let privacy = staff["data"].as_array().unwrap().iter().find(|p| p["email"] == PRIVACY).unwrap()["id"].clone();
    let comes_back = made(&admin, "/api/admin/v1/ops-recoveries", json!({"ops_person": privacy})).await;
    let security = h.person(SECURITY).await;
    let stop = made(&security, &format!("{nordvik}/suspensions"), json!({"ground": "x"})).await;
    let platform = made(&security, "/api/admin/v1/platforms/fronter/suspensions", json!({"ground": "x"})).await;
    for stopped in [&stop, &platform] {
        security.post(&format!("{stopped}/releases"), &json!({})).await.expect(201);
    }
    BTreeMap::from([
        (
            "/api/admin/v1/customers/{customer_id}/account-recoveries/{account_recovery_id}/approvals",
            (format!("{recovery}/approvals"), PRIVACY),
        ),
        (
            "/api/admin/v1/customers/{customer_id}/first-signatories/{first_signatory_id}/approvals",
            (format!("{signatory}/approvals"), PRIVACY),
        ),
        ("/api/admin/v1/customers/{customer_id}/suspensions/{suspension_id}/releases", (format!("{stop}/releases"), PRIVACY)),
        ("/api/admin/v1/ops-people/{ops_person_id}/approvals", (format!("{proposed}/approvals"), SECURITY)),
        ("/api/admin/v1/ops-people/{ops_person_id}/endings", (format!("{STAFF}/{}/endings", reader.as_str().unwrap()), ADMIN)),
        ("/api/admin/v1/ops-recoveries/{ops_recovery_id}/approvals", (format!("{comes_back}/approvals"), SECURITY)),
        ("/api/admin/v1/platforms/{platform}/api-keys/{api_key_id}/approvals", (format!("{key}/approvals"), SECURITY)),
        ("/api/admin/v1/platforms/{platform}/suspensions/{suspension_id}/releases", (format!("{platform}/releases"), PRIVACY)),
    ])
}

/// Somebody of a role who joined a moment ago, stepped up.
async fn newcomer(h: &Harness, role: &str) -> Client {
    let email = format!("new-{role}@ops.example");
    let new = json!({"email": email, "name": "New", "role": role});
    let id = h.person(ADMIN).await.post(STAFF, &new).await.expect(201).text("/id");
    h.person(SECURITY).await.post(&format!("{STAFF}/{id}/approvals"), &json!({})).await.expect(201);
    mandate::app::deliver_due(&h.app).await.unwrap();
    h.invited_ops(&email).await
}

/// Negative control: the same calls by somebody settled with step-up are all carried out.
#[tokio::test]
async fn nothing_that_takes_two_of_the_staff_is_done_without_step_up_or_by_a_newcomer() {
    run(async |h: &Harness| {
        let waiting = waiting(h).await;
        let ends = ["approvals", "releases", "endings"];
        let table = mandate::app::table();
        let routes: BTreeSet<&str> = table
            .iter()
            .filter(|r| matches!(r.access, Access::Admin { .. }) && r.method == Method::POST)
            .map(|r| r.path.as_str())
            .filter(|path| ends.contains(&path.rsplit('/').next().unwrap()))
            .collect();
        assert_eq!(routes, waiting.keys().copied().collect(), "every route is played");
        for (route, (path, role)) in &waiting {
            let weak = h.login(role).await.post(path, &json!({})).await.expect(403);
            assert_eq!(weak.text("/type"), "/docs/problems/step-up-required", "{route}");
        }
        // One person ends somebody's access, a newcomer too: stopping waits for nobody.
        for (email, role) in [(PRIVACY, "ops_privacy"), (SECURITY, "ops_security")] {
            let newcomer = newcomer(h, role).await;
            for (route, (path, _)) in waiting.iter().filter(|(route, (_, by))| *by == email && !route.ends_with("/endings")) {
                assert_eq!(newcomer.post(path, &json!({})).await.expect(409).text("/code"), "added_recently", "{route}");
            }
        }
        for (route, (path, role)) in &waiting {
            assert_eq!(h.person(role).await.post(path, &json!({})).await.status, 201, "{route}");
        }
    })
    .await;
}

/// The proposal of a recovery is a first step of two, and no stolen session takes it.
#[tokio::test]
async fn a_recovery_is_proposed_with_step_up() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let people = kari.get("/api/v1/people").await.expect(200).json();
        let maja = people["data"].as_array().unwrap().iter().find(|m| m["email"] == MAJA).unwrap()["id"].clone();
        let agreement = kari.get("/api/v1/agreements").await.expect(200).text("/data/0/id");
        let path = format!("/api/admin/v1/customers/{}/account-recoveries", h.customer("Nordvik"));
        let body = json!({"membership": maja, "agreement": agreement});
        let weak = h.login(ADMIN).await.post(&path, &body).await.expect(403);
        assert_eq!(weak.text("/type"), "/docs/problems/step-up-required");
        h.person(ADMIN).await.post(&path, &body).await.expect(201);
    })
    .await;
}
