//! Who acts: sessions, keys, people, and the path of a first signatory.

use chrono::Duration;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::support::{ADMIN, Client, Harness, JONAS, KARI, PRIVACY, SECURITY, export, instruction, run};

#[tokio::test]
async fn a_session_ends_idle_at_its_end_and_when_it_is_revoked() {
    run(async |h: &Harness| {
        let kari = h.login(KARI).await;
        h.advance(Duration::minutes(29));
        kari.get("/api/v1/me").await.expect(200);
        h.advance(Duration::minutes(29));
        kari.get("/api/v1/me").await.expect(200);
        h.advance(Duration::minutes(30));
        kari.get("/api/v1/me").await.expect(401);
        let kari = h.login(KARI).await;
        let other = h.login(KARI).await;
        let id = other.get("/api/v1/me").await.expect(200).text("/session");
        kari.post(&format!("/api/v1/sessions/{id}/revocations"), &json!({})).await.expect(201);
        other.get("/api/v1/me").await.expect(401);
        for _ in 0..26 {
            h.advance(Duration::minutes(28));
            if kari.get("/api/v1/me").await.status == 401 {
                return;
            }
        }
        panic!("a session in use ends after 12 hours");
    })
    .await;
}

#[tokio::test]
async fn a_token_of_one_surface_is_nothing_on_another() {
    run(async |h: &Harness| {
        let (kari, admin, platform) = (h.login(KARI).await, h.login(ADMIN).await, h.platform("itslearning"));
        kari.get("/api/v1/me").await.expect(200);
        kari.get("/api/admin/v1/me").await.expect(401);
        admin.get("/api/admin/v1/me").await.expect(200);
        admin.get("/api/v1/me").await.expect(401);
        platform.get("/api/v1/me").await.expect(401);
        h.ask(&kari, "k", &export()).await.expect(401);
        let two = h.nobody.request(
            axum::http::Method::GET,
            "/api/v1/me",
            &[("authorization", "Bearer x"), ("authorization", "Bearer y")],
            axum::body::Body::empty(),
        );
        assert_eq!(h.nobody.send(two).await.status, 401);
    })
    .await;
}

#[tokio::test]
async fn an_unknown_person_and_a_wrong_password_get_the_same_answer_and_both_are_slowed_down() {
    run(async |h: &Harness| {
        let id = [("x-request-id", "same"), ("content-type", "application/json")];
        let log_in = async |email: &str| {
            let body = json!({"email": email, "password": "not the password"}).to_string();
            h.nobody.raw(axum::http::Method::POST, "/api/v1/sessions", &id, body.into_bytes()).await
        };
        for _ in 0..5 {
            let (known, unknown) = (log_in(KARI).await, log_in("nobody@nordvik.example").await);
            assert_eq!((known.status.as_u16(), &known.bytes), (401, &unknown.bytes));
        }
        let (known, unknown) = (log_in(KARI).await, log_in("nobody@nordvik.example").await);
        assert_eq!((known.status.as_u16(), unknown.status.as_u16()), (429, 429));
        assert_eq!(known.headers["retry-after"], unknown.headers["retry-after"]);
        h.advance(Duration::seconds(2));
        h.login(KARI).await;
    })
    .await;
}

#[tokio::test]
async fn a_key_is_shown_once_rotates_in_pairs_and_is_refused_once_revoked() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let body = json!({"name": "reports", "role": "customer_reader", "expires_at": "2027-01-01T00:00:00Z"});
        let made = kari.post("/api/v1/api-keys", &body).await.expect(201);
        let key = h.nobody.with(made.text("/key"));
        key.get("/api/v1/exports").await.expect(200);
        kari.post("/api/v1/api-keys", &body).await.expect(201);
        kari.post("/api/v1/api-keys", &body).await.expect(409);
        let listed = kari.get("/api/v1/api-keys").await.expect(200);
        assert!(!String::from_utf8(listed.bytes.clone()).unwrap().contains("mdt_live_"));
        kari.post(&format!("/api/v1/api-keys/{}/revocations", made.text("/id")), &json!({})).await.expect(201);
        key.get("/api/v1/exports").await.expect(401);
        let late = json!({"name": "late", "role": "customer_reader", "expires_at": "2028-11-24T00:00:00Z"});
        kari.post("/api/v1/api-keys", &late).await.expect(422);
        // A platform's key stops with one call of ops_security.
        let keys = h.person(SECURITY).await;
        let id = keys.get("/api/admin/v1/platforms/itslearning/api-keys").await.expect(200).text("/data/0/id");
        keys.post(&format!("/api/admin/v1/platforms/itslearning/api-keys/{id}/revocations"), &json!({})).await.expect(201);
        h.ask(&h.platform("itslearning"), "k", &export()).await.expect(401);
    })
    .await;
}

fn member(email: &str, authority: Value) -> Value {
    json!({"email": email, "name": "A Person", "role": "customer_admin", "authority": authority})
}

#[tokio::test]
async fn only_people_authority_grants_and_the_customer_is_never_left_without_it() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let anders = h.person("anders.moe@nordvik.example").await;
        let new = member("new@nordvik.example", json!([{"kind": "export", "units": ["S01"]}]));
        h.person("maja.berg@nordvik.example").await.post("/api/v1/people", &new).await.expect(403);
        h.login(KARI).await.post("/api/v1/people", &new).await.expect(403);
        let made = kari.post("/api/v1/people", &new).await.expect(201);
        kari.post("/api/v1/people", &new).await.expect(409);
        let wrong = member("x@nordvik.example", json!([{"kind": "export", "units": ["S99"]}, {"kind": "export"}]));
        assert_eq!(kari.post("/api/v1/people", &wrong).await.expect(422).faults().len(), 2);
        let people = kari.get("/api/v1/people").await.expect(200).json();
        let id = |email: &str| {
            people["data"].as_array().unwrap().iter().find(|m| m["email"] == email).unwrap()["id"].as_str().unwrap().to_owned()
        };
        // One of the two who can grant may take the other's authority; the last one's stays.
        let end = format!("/api/v1/people/{}/authorities/people/endings", id(KARI));
        anders.post(&end, &json!({})).await.expect(201);
        let end = format!("/api/v1/people/{}/endings", id("anders.moe@nordvik.example"));
        anders.post(&end, &json!({})).await.expect(409);
        kari.post(&end, &json!({})).await.expect(403);
        // An ended membership is refused at once.
        let jonas = h.login(JONAS).await;
        anders.post(&format!("/api/v1/people/{}/endings", id(JONAS)), &json!({})).await.expect(201);
        jonas.get("/api/v1/me").await.expect(401);
        assert!(made.text("/authority/0/units/0") == "S01");
    })
    .await;
}

#[tokio::test]
async fn an_invitation_does_not_tell_who_is_in_the_system() {
    run(async |h: &Harness| {
        let (kari, mette) = (h.person(KARI).await, h.person("mette.holm@soby.example").await);
        let theirs = mette.get("/api/v1/people").await.expect(200).json();
        let own = theirs["data"].as_array().unwrap().iter().find(|m| m["email"] == "mette.holm@soby.example").unwrap().clone();
        let name = own["name"].as_str().unwrap();
        // Somebody known elsewhere and somebody unknown look the same.
        let known = kari.post("/api/v1/people", &member("mette.holm@soby.example", json!([]))).await.expect(201);
        let unknown = kari.post("/api/v1/people", &member("nobody@soby.example", json!([]))).await.expect(201);
        for made in [&known, &unknown] {
            let one = kari.get(&format!("/api/v1/people/{}", made.text("/id"))).await.expect(200);
            let listed = kari.get("/api/v1/people").await.expect(200);
            for view in [made.json(), one.json()] {
                assert_eq!((&view["name"], &view["person"], &view["accepted_at"]), (&json!("A Person"), &Value::Null, &Value::Null));
            }
            for answer in [made, &one, &listed] {
                let text = String::from_utf8_lossy(&answer.bytes);
                assert!(!text.contains(name) && !text.contains(own["person"].as_str().unwrap()), "{text}");
            }
        }
        // Negative control: from the first login for this customer on the name is the person's own.
        h.log_in_as("mette.holm@soby.example", &h.customer("Nordvik")).await;
        let seen = kari.get(&format!("/api/v1/people/{}", known.text("/id"))).await.expect(200).json();
        assert_eq!((&seen["name"], &seen["person"]), (&own["name"], &own["person"]));
    })
    .await;
}

#[tokio::test]
async fn only_who_can_act_now_keeps_a_customer_from_locking_itself_out() {
    run(async |h: &Harness| {
        let anders = async || h.person("anders.moe@nordvik.example").await;
        let people = json!([{"kind": "people"}]);
        let first = anders().await;
        let listed = first.get("/api/v1/people").await.expect(200).json();
        let id = |email: &str| {
            listed["data"].as_array().unwrap().iter().find(|m| m["email"] == email).unwrap()["id"].as_str().unwrap().to_owned()
        };
        let ending = |email: &str| format!("/api/v1/people/{}/authorities/people/endings", id(email));
        first.post("/api/v1/people", &member("late@nordvik.example", people.clone())).await.expect(201);
        let guest = crate::support::with(member("guest@nordvik.example", people), json!({"until_on": "2026-11-25"}));
        first.post("/api/v1/people", &guest).await.expect(201);
        mandate::app::deliver_due(&h.app).await.unwrap();
        h.login(KARI).await;
        first.post(&ending(KARI), &json!({})).await.expect(201);
        // Who was invited and has not come, and whose last day is over, could not grant.
        let last = ending("anders.moe@nordvik.example");
        first.post(&last, &json!({})).await.expect(409);
        h.invited("guest@nordvik.example", &h.customer("Nordvik")).await;
        h.advance(Duration::days(2));
        anders().await.post(&last, &json!({})).await.expect(409);
        // Negative control: somebody who has come can.
        h.invited("late@nordvik.example", &h.customer("Nordvik")).await;
        anders().await.post(&last, &json!({})).await.expect(201);
    })
    .await;
}

pub async fn new_customer(h: &Harness, admin: &Client) -> (String, String, String) {
    let body = json!({"name": "Fjell kommune", "kind": "school_owner", "country": "NO", "zone": "Europe/Oslo", "language": "nb",
        "privacy_contacts": ["personvern@fjell.example"], "second_contacts": []});
    let customer = admin.post("/api/admin/v1/customers", &body).await.expect(201).text("/id");
    let path = format!("/api/admin/v1/customers/{customer}");
    admin.post(&format!("{path}/units"), &json!({"units": [{"code": "F1", "name": "Fjell skole"}]})).await.expect(201);
    let pdf = mandate::document::pdf_of_lines("Agreement", &["with Fjell".to_owned()]);
    let document =
        admin.raw(axum::http::Method::POST, &format!("{path}/documents"), &[("content-type", "application/pdf")], pdf).await.expect(201);
    let kari = h.person(KARI).await;
    let parameters = kari.get("/api/v1/agreements").await.expect(200).json()["data"][0]["parameters"].clone();
    let body =
        json!({"platform": "itslearning", "external_id": "site-7007-its", "document": document.text("/id"), "parameters": parameters});
    let agreement = admin.post(&format!("{path}/agreements"), &body).await.expect(201).text("/id");
    (customer, agreement, document.text("/sha256"))
}

#[tokio::test]
async fn a_first_signatory_needs_two_ops_persons_a_delivered_notice_and_72_hours() {
    run(async |h: &Harness| {
        let (admin, privacy) = (h.person(ADMIN).await, h.person(PRIVACY).await);
        let (customer, agreement, sha256) = new_customer(h, &admin).await;
        let path = format!("/api/admin/v1/customers/{customer}");
        let proposal = json!({"agreement": agreement, "email": "rektor@fjell.example", "name": "Rektor Fjell"});
        admin.post(&format!("{path}/first-signatories"), &proposal).await.expect(422);
        admin.post(&format!("{path}/agreements/{agreement}/offers"), &json!({})).await.expect(201);
        h.person(SECURITY).await.post(&format!("{path}/first-signatories"), &proposal).await.expect(403);
        let id = admin.post(&format!("{path}/first-signatories"), &proposal).await.expect(201).text("/id");
        let approve = format!("{path}/first-signatories/{id}/approvals");
        admin.post(&approve, &json!({})).await.expect(409);
        privacy.post(&approve, &json!({})).await.expect(201);
        admin.post(&format!("{path}/first-signatories"), &proposal).await.expect(409);
        mandate::app::deliver_due(&h.app).await.unwrap();
        let rektor = h.invited("rektor@fjell.example", &customer).await;
        let accept = format!("/api/v1/agreements/{agreement}/acceptances");
        let acceptance = json!({"document_sha256": sha256});
        rektor.post(&accept, &acceptance).await.expect(403);
        h.advance(Duration::hours(72) - Duration::seconds(1));
        let rektor = h.log_in_as("rektor@fjell.example", &customer).await;
        rektor.post(&accept, &acceptance).await.expect(403);
        h.advance(Duration::seconds(1));
        rektor.post(&accept, &json!({"document_sha256": "0".repeat(64)})).await.expect(422);
        rektor.post(&accept, &acceptance).await.expect(201);
        assert_ne!(rektor.post(&accept, &acceptance).await.status, 201, "an agreement is accepted once");
        // And what it was for: an instruction, and an export by the new external id.
        h.signed(&rektor, &instruction()).await;
        let ask = crate::support::with(export(), json!({"customer": "site-7007-its", "subjects": [{"kind": "unit", "unit": "F1"}]}));
        h.ask(&h.platform("itslearning"), "k", &ask).await.expect(201);
    })
    .await;
}

/// Negative control: with an invitation for everybody the mail holds a token that nobody can use.
#[tokio::test]
async fn a_first_signatory_who_is_known_elsewhere_comes_with_the_present_password() {
    run(async |h: &Harness| {
        const METTE: &str = "mette.holm@soby.example";
        let (admin, privacy) = (h.person(ADMIN).await, h.person(PRIVACY).await);
        let (customer, agreement, sha256) = new_customer(h, &admin).await;
        let path = format!("/api/admin/v1/customers/{customer}");
        admin.post(&format!("{path}/agreements/{agreement}/offers"), &json!({})).await.expect(201);
        let proposal = json!({"agreement": agreement, "email": METTE, "name": "Rektor Fjell"});
        let id = admin.post(&format!("{path}/first-signatories"), &proposal).await.expect(201).text("/id");
        let invited = h.mail_with("You have been invited").await.len();
        privacy.post(&format!("{path}/first-signatories/{id}/approvals"), &json!({})).await.expect(201);
        assert_eq!(h.mail_with("You have been invited").await.len(), invited);
        let told = h.mail_with(&format!("Log in with your present password and the customer {customer}")).await;
        assert!(told.len() == 1 && told[0].contains(METTE) && told[0].contains("Fjell kommune"), "{told:?}");
        h.advance(Duration::hours(72));
        let mette = h.log_in_as(METTE, &customer).await;
        mette.post(&format!("/api/v1/agreements/{agreement}/acceptances"), &json!({"document_sha256": sha256})).await.expect(201);
    })
    .await;
}

#[tokio::test]
async fn a_first_signatory_is_withdrawn_before_its_authority_begins_and_another_is_named() {
    run(async |h: &Harness| {
        let (admin, privacy, security) = (h.person(ADMIN).await, h.person(PRIVACY).await, h.person(SECURITY).await);
        let (customer, agreement, _) = new_customer(h, &admin).await;
        let path = format!("/api/admin/v1/customers/{customer}");
        admin.post(&format!("{path}/agreements/{agreement}/offers"), &json!({})).await.expect(201);
        let path = format!("{path}/first-signatories");
        let propose = async |email: &str| {
            let proposal = json!({"agreement": agreement, "email": email, "name": "Rektor Fjell"});
            format!("{path}/{}", admin.post(&path, &proposal).await.expect(201).text("/id"))
        };
        // Proposed only: withdrawn by a role that may neither propose nor approve.
        let one = propose("slip@fjell.example").await;
        let gone = security.post(&format!("{one}/withdrawals"), &json!({})).await.expect(201);
        assert_eq!(gone.text("/membership"), "null");
        security.post(&format!("{one}/withdrawals"), &json!({})).await.expect(409);
        privacy.post(&format!("{one}/approvals"), &json!({})).await.expect(409);
        // Approved, its notice not yet sent: the delivery that comes later brings no authority.
        let two = propose("wrong@fjell.example").await;
        privacy.post(&format!("{two}/approvals"), &json!({})).await.expect(201);
        privacy.post(&format!("{two}/withdrawals"), &json!({})).await.expect(201);
        mandate::app::deliver_due(&h.app).await.unwrap();
        let seen = admin.get(&two).await.expect(200).json();
        assert_eq!((&seen["delivered_at"], &seen["authority_begins_at"]), (&Value::Null, &Value::Null));
        // Told, and inside the 72 hours: who was invited is out at once.
        let three = propose("rektor@fjell.example").await;
        privacy.post(&format!("{three}/approvals"), &json!({})).await.expect(201);
        mandate::app::deliver_due(&h.app).await.unwrap();
        let rektor = h.invited("rektor@fjell.example", &customer).await;
        rektor.get("/api/v1/me").await.expect(200);
        admin.post(&format!("{three}/withdrawals"), &json!({})).await.expect(201);
        rektor.get("/api/v1/me").await.expect(401);
        // Another is named, here the same person once more; once its authority has begun it stays.
        let four = propose("rektor@fjell.example").await;
        privacy.post(&format!("{four}/approvals"), &json!({})).await.expect(201);
        mandate::app::deliver_due(&h.app).await.unwrap();
        h.advance(Duration::hours(72));
        let rektor = h.log_in_as("rektor@fjell.example", &customer).await;
        h.person(SECURITY).await.post(&format!("{four}/withdrawals"), &json!({})).await.expect(409);
        // Negative control: the authority that the withdrawn ones never had.
        rektor.post("/api/v1/people", &member("next@fjell.example", json!([]))).await.expect(201);
    })
    .await;
}

/// A clock that is turned by the offset that the database stores, as the system clock of a demo is.
struct TurnedClock(mandate::base::Instant, std::sync::atomic::AtomicI64);

impl mandate::base::Clock for TurnedClock {
    fn now(&self) -> mandate::base::Instant {
        self.0.plus(Duration::milliseconds(self.1.load(std::sync::atomic::Ordering::SeqCst)))
    }
    fn is_system(&self) -> bool {
        false
    }
    fn set_offset_millis(&self, offset: i64) {
        self.1.store(offset, std::sync::atomic::Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_clock_that_is_advanced_ends_a_session_at_the_next_read() {
    run(async |h: &Harness| {
        let kari = h.login(KARI).await;
        let clock = std::sync::Arc::new(TurnedClock(h.app.db.clock().now(), 0.into()));
        let entropy = std::sync::Arc::new(mandate::base::SeededEntropy::new(11));
        let mut app = h.app.clone();
        app.db = mandate::db::Db::new(&h.database.urls, 2, clock, entropy).unwrap();
        let router = mandate::app::router(app.clone()).unwrap();
        let kari = Client { router, token: kari.token };
        let mut owner = mandate::db::connect(h.database.owner_url.expose_secret()).await.unwrap();
        // Negative control: a little later the session is still there. Nothing is written in between.
        mandate::db::advance_clock(&mut owner, Duration::seconds(30)).await.unwrap();
        kari.get("/api/v1/me").await.expect(200);
        mandate::db::advance_clock(&mut owner, Duration::minutes(31)).await.unwrap();
        kari.get("/api/v1/me").await.expect(401);
        app.db.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_stolen_external_id_is_a_conflict() {
    run(async |h: &Harness| {
        let admin = h.person(ADMIN).await;
        let (customer, _, _) = new_customer(h, &admin).await;
        let path = format!("/api/admin/v1/customers/{customer}/agreements");
        let present = admin.get(&path).await.expect(200).json()["data"][0].clone();
        let mut parameters = present["parameters"].clone();
        parameters["valid_from_on"] = json!("2031-01-01");
        let document = present["document"].as_str().or(present["document"]["id"].as_str()).unwrap();
        let body = json!({"platform": "fronter", "external_id": "site-5005-fro", "document": document, "parameters": parameters});
        admin.post(&path, &body).await.expect(409);
    })
    .await;
}
