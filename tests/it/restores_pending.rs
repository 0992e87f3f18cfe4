//! What was pending before a restore cannot be used after it: it may have been stopped since the backup.
//! A token is worth nothing, a second person approves nothing, and what was approved and not yet told
//! draws no token; made anew, all of it goes its way.
//!
//! Negative controls, to be taken out by hand: `restored_at()` in `recovery_by_token`, `ops_recovery_by_token`
//! and `change_email` (each token is accepted); `demand_of_this_restore` in `two_persons` (each approval is
//! carried out); the same in the notices (a token leaves); `refuse_second_release` (no release is ever
//! possible again).

use chrono::Duration;
use mandate::restore::confirm_processor;
use serde_json::json;

use crate::accounts_recovery::{NEW, come_back, membership};
use crate::identity::new_customer;
use crate::restores::{dump, people_first, removed, restored};
use crate::support::{ADMIN, Client, Harness, KARI, MAJA, PRIVACY, SECURITY, audit, run};

const METTE: &str = "mette.holm@soby.example";
const STAFF: &str = "/api/admin/v1/ops-people";

async fn made(client: &Client, path: &str, body: serde_json::Value) -> String {
    format!("{path}/{}", client.post(path, &body).await.expect(201).text("/id"))
}

/// Told and approved by two, with the tokens that were mailed for it.
struct Under {
    kari: (String, String),
    privacy: (String, String),
    mette: String,
    maja: String,
    /// What waits for a second person, and who it could be.
    waiting: Vec<(String, &'static str)>,
    /// Stops whose release was proposed.
    stops: [String; 2],
    first: String,
}

async fn under_way(h: &Harness) -> Under {
    h.app.notary.keep_all(&h.app.db).await.unwrap();
    mandate::app::prepare(&h.app).await.unwrap();
    let (kari, admin) = (h.person(KARI).await, h.person(ADMIN).await);
    let nordvik = format!("/api/admin/v1/customers/{}", h.customer("Nordvik"));
    let agreement = kari.get("/api/v1/agreements").await.expect(200).text("/data/0/id");
    let of_maja = json!({"membership": membership(&kari, MAJA).await, "agreement": agreement});
    let of_kari = json!({"membership": membership(&kari, KARI).await, "agreement": agreement});
    let recoveries = format!("{nordvik}/account-recoveries");
    let recovery = made(&admin, &recoveries, of_kari).await;
    let staff = admin.get(STAFF).await.expect(200).json();
    let of_staff = |email: &str| staff["data"].as_array().unwrap().iter().find(|p| p["email"] == email).unwrap()["id"].clone();
    let comes_back = made(&admin, "/api/admin/v1/ops-recoveries", json!({"ops_person": of_staff(PRIVACY)})).await;
    h.person(PRIVACY).await.post(&format!("{recovery}/approvals"), &json!({})).await.expect(201);
    h.person(SECURITY).await.post(&format!("{comes_back}/approvals"), &json!({})).await.expect(201);
    mandate::app::deliver_due(&h.app).await.unwrap();
    let token = |email: &str, kind: &str| mandate::demo::mailed(&h.mail, email, kind).unwrap();
    let (of_kari, of_privacy) = (token(KARI, "mdr_"), token(PRIVACY, "mdr_"));
    h.advance(Duration::hours(72));
    let mette = h.person(METTE).await;
    mette.post("/api/v1/me/email-changes", &json!({"email": "mette@new.example"})).await.expect(201);
    mandate::app::deliver_due(&h.app).await.unwrap();
    let admin = h.person(ADMIN).await;
    let (fjell, fjells, _) = new_customer(h, &admin).await;
    let fjell = format!("/api/admin/v1/customers/{fjell}");
    h.step_up(&admin, ADMIN).await;
    admin.post(&format!("{fjell}/agreements/{fjells}/offers"), &json!({})).await.expect(201);
    let signatory = json!({"agreement": fjells, "email": "rektor@fjell.example", "name": "Rektor"});
    let first = made(&admin, &format!("{fjell}/first-signatories"), signatory).await;
    let key = json!({"name": "second", "expires_at": "2027-01-01T00:00:00Z"});
    let key = made(&admin, "/api/admin/v1/platforms/fronter/api-keys", key).await;
    let person = json!({"email": "proposed@ops.example", "name": "Proposed", "role": "ops_security"});
    let person = made(&admin, STAFF, person).await;
    let other = made(&admin, "/api/admin/v1/ops-recoveries", json!({"ops_person": of_staff("reader@ops.example")})).await;
    let security = h.person(SECURITY).await;
    let platform = made(&security, "/api/admin/v1/platforms/fronter/suspensions", json!({"ground": "x"})).await;
    let customer = made(&security, &format!("{fjell}/suspensions"), json!({"ground": "x"})).await;
    for stop in [&platform, &customer] {
        security.post(&format!("{stop}/releases"), &json!({})).await.expect(201);
    }
    // Approved, and the notice not delivered yet.
    let maja = made(&admin, &recoveries, of_maja).await;
    h.person(PRIVACY).await.post(&format!("{maja}/approvals"), &json!({})).await.expect(201);
    let waiting = vec![(first.clone(), PRIVACY), (key, SECURITY), (person, SECURITY), (other, SECURITY)];
    let mette = token("mette@new.example", "mde_");
    Under { kari: (recovery, of_kari), privacy: (comes_back, of_privacy), mette, maja, waiting, stops: [platform, customer], first }
}

async fn nothing_is_usable(back: &Harness, under: &Under) {
    come_back(back, &under.kari.1).await.expect(422);
    let acceptance = json!({"token": under.privacy.1, "password": NEW});
    back.nobody.post("/api/admin/v1/ops-recovery-acceptances", &acceptance).await.expect(422);
    let mette = back.person(METTE).await;
    mette.post("/api/v1/me/email-confirmations", &json!({"token": under.mette})).await.expect(422);
    mandate::app::deliver_due(&back.app).await.unwrap();
    assert!(mandate::demo::mailed(&back.mail, MAJA, "mdr_").is_err(), "no token leaves for what was approved before");
    for (path, email) in &under.waiting {
        let answer = back.person(email).await.post(&format!("{path}/approvals"), &json!({})).await.expect(409);
        assert_eq!(answer.text("/code"), "proposed_before_restore", "{path}");
    }
    for stop in &under.stops {
        // The second person's call would be the first: it is ops_security's to make.
        back.person(PRIVACY).await.post(&format!("{stop}/releases"), &json!({})).await.expect(403);
    }
}

/// Each is ended or withdrawn, and made anew.
async fn anew(back: &Harness, under: &Under) {
    for (path, _) in [&under.kari, &under.privacy] {
        back.person(SECURITY).await.post(&format!("{path}/withdrawals"), &json!({})).await.expect(201);
    }
    let maja = back.person(SECURITY).await.post(&format!("{}/withdrawals", under.maja), &json!({})).await.expect(201);
    assert_eq!((maja.text("/opens_at"), maja.json()["delivered_at"].is_string()), ("null".to_owned(), true));
    for stop in &under.stops {
        let security = back.person(SECURITY).await;
        assert_eq!(security.post(&format!("{stop}/releases"), &json!({})).await.expect(201).text("/state"), "release_proposed");
        security.post(&format!("{stop}/releases"), &json!({})).await.expect(409);
        let released = back.person(PRIVACY).await.post(&format!("{stop}/releases"), &json!({})).await.expect(201);
        assert_eq!(released.text("/state"), "released");
    }
    back.person(SECURITY).await.post(&format!("{}/withdrawals", under.first), &json!({})).await.expect(201);
    let kari = people_first(back, &back.person(KARI).await).await;
    kari.get("/api/v1/people").await.expect(200);
}

#[tokio::test]
async fn restores_leave_nothing_usable_that_was_pending_and_it_is_made_anew() {
    run(async |h: &Harness| {
        let under = under_way(h).await;
        let file = dump(h).await;
        // Stopped in the entries that the backup does not have.
        let stopped = under.kari.0.rsplit('/').next().unwrap();
        let path = format!("/api/v1/account-recoveries/{stopped}/withdrawals");
        h.person(KARI).await.post(&path, &json!({})).await.expect(201);
        h.person(SECURITY).await.post(&format!("{}/withdrawals", under.privacy.0), &json!({})).await.expect(201);
        h.app.notary.keep_noted(&h.app.db).await.unwrap();
        h.advance(Duration::seconds(1));
        let back = restored(h, &file).await;
        mandate::app::prepare(&back.app).await.unwrap();
        confirm_processor(&back.app.db).await.unwrap();
        nothing_is_usable(&back, &under).await;
        anew(&back, &under).await;
        mandate::app::deliver_due(&back.app).await.unwrap();
        audit(&back).await;
        removed(h, &back).await;
    })
    .await;
}
