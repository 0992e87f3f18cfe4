//! Another e-mail address and other recovery codes: by the person alone, with step-up, the address
//! proved before it counts, and told to the old one. Each refusal stands beside the same request that
//! is let through: that is its negative control.

use chrono::Duration;
use serde_json::{Value, json};

use crate::accounts::{at_soby_too, by_password, count, entries, mails, slug};
use crate::support::{ADMIN, Answer, Client, Harness, KARI, MAJA, SECURITY, fresh_key, run};
use mandate::db::LogId;

const NEW: &str = "kari@elsewhere.example";
const CHANGES: &str = "/api/v1/me/email-changes";
const PROOFS: &str = "/api/v1/me/email-confirmations";

async fn asked(client: &Client, email: &str) -> Answer {
    client.post_with(CHANGES, &[("x-request-id", "same"), ("idempotency-key", &fresh_key())], &json!({"email": email})).await
}

async fn token(h: &Harness, address: &str) -> Option<String> {
    mandate::app::deliver_due(&h.app).await.unwrap();
    mandate::demo::mailed(&h.mail, address, "mde_").ok()
}

async fn proved(client: &Client, token: &str) -> Answer {
    client.post(PROOFS, &json!({"token": token})).await
}

#[tokio::test]
async fn a_new_address_counts_once_it_is_proved_and_the_old_one_and_every_customer_are_told() {
    run(async |h: &Harness| {
        at_soby_too(h, KARI, json!([])).await;
        let (nordvik, soby) = (h.customer("Nordvik"), h.customer("Søby"));
        let (kari, _) = by_password(h, KARI, &h.access.password, Some(&nordvik)).await;
        assert_eq!(slug(&asked(&kari, NEW).await.expect(403)), "step-up-required");
        h.step_up(&kari, KARI).await;
        let (elsewhere, _) = by_password(h, KARI, &h.access.password, Some(&soby)).await;
        asked(&kari, "first@elsewhere.example").await.expect(201);
        let replaced = token(h, "first@elsewhere.example").await.unwrap();
        asked(&kari, NEW).await.expect(201);
        let text = token(h, NEW).await.unwrap();
        // Nothing has changed: the new address is no login, and the old one is.
        h.nobody.post("/api/v1/sessions", &json!({"email": NEW, "password": h.access.password})).await.expect(401);
        elsewhere.get("/api/v1/me").await.expect(200);
        // Nobody else proves it, with step-up or not; nor a change that another one took the place of.
        let maja = h.person(MAJA).await;
        assert_eq!(proved(&maja, &text).await.expect(422).faults()[0].0, "/token");
        proved(&kari, &replaced).await.expect(422);
        h.advance(Duration::milliseconds(300_001));
        assert_eq!(slug(&proved(&kari, &text).await.expect(403)), "step-up-required");
        h.step_up(&kari, KARI).await;
        assert_eq!(proved(&kari, &text).await.expect(201).text("/email"), NEW);
        proved(&kari, &text).await.expect(422);
        // As with a password: this session goes on, every other one has ended.
        kari.get("/api/v1/me").await.expect(200);
        elsewhere.get("/api/v1/me").await.expect(401);
        h.nobody.post("/api/v1/sessions", &json!({"email": KARI, "password": h.access.password})).await.expect(401);
        by_password(h, NEW, &h.access.password, Some(&nordvik)).await;
        for customer in ["Nordvik", "Søby"] {
            let counted = (count(h, customer, "person.email_asked").await, count(h, customer, "person.email_changed").await);
            assert_eq!(counted, (2, 1), "{customer}");
        }
        mandate::app::deliver_due(&h.app).await.unwrap();
        // The person by each customer, at the old address.
        for (told, times) in [(KARI, 2), ("anders.moe@nordvik.example", 1), ("mette.holm@soby.example", 1)] {
            let counted = (mails(h, told, "asked for another e-mail address"), mails(h, told, "changed the e-mail address"));
            assert_eq!(counted, (2 * times, times), "{told}");
        }
        assert_eq!(mails(h, NEW, "changed the e-mail address"), 0, "the old address is told, not the new one");
    })
    .await;
}

#[tokio::test]
async fn a_token_is_good_for_24_hours() {
    run(async |h: &Harness| {
        for (wait, status) in [(Duration::hours(24), 422), (Duration::hours(24) - Duration::milliseconds(1), 201)] {
            asked(&h.person(KARI).await, NEW).await.expect(201);
            let text = token(h, NEW).await.unwrap();
            h.advance(wait - Duration::minutes(1));
            let kari = h.person(KARI).await;
            h.advance(Duration::minutes(1));
            proved(&kari, &text).await.expect(status);
        }
    })
    .await;
}

/// The answer without what differs by the address itself and by the log's growth.
fn same(answer: &Answer) -> (u16, Vec<String>, Value) {
    let mut body = answer.json();
    body["email"] = Value::Null;
    body["receipt"] = Value::Null;
    (answer.status.as_u16(), answer.headers.keys().map(ToString::to_string).collect(), body)
}

#[tokio::test]
async fn nobody_learns_from_asking_whether_an_address_has_an_account() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let (used, free) = (asked(&kari, "mette.holm@soby.example").await.expect(201), asked(&kari, NEW).await.expect(201));
        assert_eq!(same(&used), same(&free));
        // Only who reads the mail learns it, and that one gets no token. Control: the free address does.
        assert!(token(h, "mette.holm@soby.example").await.is_none() && token(h, NEW).await.is_some());
        assert_eq!(mails(h, "mette.holm@soby.example", "It belongs to another account"), 1);
        // Two ask for one free address; the second to prove it is answered as with any wrong token.
        let maja = h.person(MAJA).await;
        let first = token(h, NEW).await.unwrap();
        h.advance(Duration::seconds(1));
        asked(&maja, NEW).await.expect(201);
        let second = token(h, NEW).await.unwrap();
        assert_ne!(first, second);
        proved(&maja, &second).await.expect(201);
        let headers = [("x-request-id", "same"), ("idempotency-key", "late")];
        let late = kari.post_with(PROOFS, &headers, &json!({"token": first})).await.expect(422);
        let headers = [("x-request-id", "same"), ("idempotency-key", "wrong")];
        let wrong = kari.post_with(PROOFS, &headers, &json!({"token": "mde_no"})).await.expect(422);
        assert_eq!(late.bytes, wrong.bytes);
        kari.get("/api/v1/me").await.expect(200);
        by_password(h, KARI, &h.access.password, None).await;
    })
    .await;
}

#[tokio::test]
async fn an_ops_person_changes_the_address_the_same_way() {
    run(async |h: &Harness| {
        let admin = h.person(ADMIN).await;
        let (changes, proofs) = ("/api/admin/v1/me/email-changes", "/api/admin/v1/me/email-confirmations");
        admin.post(changes, &json!({"email": SECURITY})).await.expect(201);
        assert!(token(h, SECURITY).await.is_none());
        // An address of a customer's person is free here: the two surfaces share no login.
        admin.post(changes, &json!({"email": KARI})).await.expect(201);
        let text = token(h, KARI).await.unwrap();
        h.person(KARI).await.post(PROOFS, &json!({"token": text})).await.expect(422);
        admin.post(proofs, &json!({"token": text})).await.expect(201);
        let login = |email: &str| json!({"email": email, "password": h.access.password, "code": h.code(ADMIN)});
        h.nobody.post("/api/admin/v1/sessions", &login(ADMIN)).await.expect(401);
        h.nobody.post("/api/admin/v1/sessions", &login(KARI)).await.expect(201);
        let all = entries(h, LogId::PROCESSOR).await;
        assert_eq!(all.iter().filter(|word| word.starts_with("ops_person.email_")).count(), 3);
        mandate::app::deliver_due(&h.app).await.unwrap();
        assert_eq!(mails(h, ADMIN, "changed the e-mail address"), 1);
    })
    .await;
}

#[tokio::test]
async fn recovery_codes_are_renewed_with_step_up_and_the_old_ones_end() {
    run(async |h: &Harness| {
        for (surface, email, log) in [("/api/v1", KARI, crate::accounts::log_of(h, "Nordvik")), ("/api/admin/v1", ADMIN, LogId::PROCESSOR)]
        {
            let client = h.person(email).await;
            let old = h.enrol(&client, surface, email).await;
            let path = format!("{surface}/me/recovery-codes");
            let weak = h.login(email).await;
            assert_eq!(slug(&weak.post(&path, &json!({})).await.expect(403)), "step-up-required");
            let key = [("idempotency-key", "once")];
            let renewed = client.post_with(&path, &key, &json!({})).await.expect(201);
            let new: Vec<String> = serde_json::from_value(renewed.json()["recovery_codes"].clone()).unwrap();
            assert_eq!((new.len(), renewed.json()["second_factor"]["recovery_codes_left"].as_u64()), (10, Some(10)));
            // The same request sent again draws no others.
            assert_eq!(client.post_with(&path, &key, &json!({})).await.expect(201).json(), renewed.json());
            let session = client.get(&format!("{surface}/me")).await.expect(200).text("/session");
            let step_up = async |code: &str| {
                let body = json!({"password": h.access.password, "code": code});
                client.post(&format!("{surface}/sessions/{session}/step-ups"), &body).await
            };
            step_up(&old[0]).await.expect(401);
            step_up(&new[0]).await.expect(201);
            step_up(&new[0]).await.expect(401);
            // The factor itself is as it was.
            h.advance(Duration::minutes(1));
            step_up(&h.code(email)).await.expect(201);
            let word = if surface == "/api/v1" { "person.recovery_codes_renewed" } else { "ops_person.recovery_codes_renewed" };
            assert_eq!(entries(h, log).await.iter().filter(|found| *found == word).count(), 1);
        }
    })
    .await;
}
