//! The way back of a person who lost password or factor: two ops persons, a delivered notice, 72
//! hours, a token in the own mailbox, and no authority at any customer until that customer gives it
//! back. Each step is refused before its time; that it is accepted in its time is the control.

use chrono::Duration;
use serde_json::json;

use crate::accounts::{at_soby_too, by_password, count, mails, slug};
use crate::support::{ADMIN, Answer, Client, Harness, JONAS, KARI, MAJA, PRIVACY, SECURITY, instruction, run, with};

pub const NEW: &str = "a new battery staple";

pub async fn membership(client: &Client, email: &str) -> String {
    let people = client.get("/api/v1/people").await.expect(200).json();
    let found = people["data"].as_array().unwrap().iter().find(|m| m["email"] == email);
    found.unwrap()["id"].as_str().unwrap().to_owned()
}

async fn proposed(h: &Harness, customer: &str, of: &Client, email: &str) -> (String, String) {
    let path = format!("/api/admin/v1/customers/{}/account-recoveries", h.customer(customer));
    let agreement = of.get("/api/v1/agreements").await.expect(200).text("/data/0/id");
    let body = json!({"membership": membership(of, email).await, "agreement": agreement});
    let admin = h.person(ADMIN).await;
    let id = admin.post(&path, &body).await.expect(201).text("/id");
    admin.post(&path, &body).await.expect(409);
    admin.post(&format!("{path}/{id}/approvals"), &json!({})).await.expect(409);
    h.person(SECURITY).await.post(&format!("{path}/{id}/approvals"), &json!({})).await.expect(403);
    (path, id)
}

pub async fn come_back(h: &Harness, token: &str) -> Answer {
    h.nobody.post("/api/v1/account-recovery-acceptances", &json!({"token": token, "password": NEW})).await
}

/// Enrols in a session after a recovery; the step-up is part of it.
pub async fn enrol(h: &Harness, client: &Client, session: &str) {
    let path = format!("/api/v1/sessions/{session}/second-factors");
    let begun = client.post(&path, &json!({})).await.expect(201);
    let secret = mandate::demo::secret_of(&begun.text("/otpauth_uri")).unwrap();
    let code = secret.code(mandate::identity::step_at(h.app.db.clock().now()));
    client.post(&format!("{path}/{}/confirmations", begun.text("/id")), &json!({"password": NEW, "code": code})).await.expect(201);
}

#[tokio::test]
async fn a_recovery_takes_two_ops_persons_and_72_hours_and_suspends_authority_at_every_customer_until_each_confirms_it() {
    run(async |h: &Harness| {
        at_soby_too(h, MAJA, json!([{"kind": "export"}])).await;
        let (nordvik, soby) = (h.customer("Nordvik"), h.customer("Søby"));
        by_password(h, MAJA, &h.access.password, Some(&soby)).await;
        let (old, _) = by_password(h, MAJA, &h.access.password, Some(&nordvik)).await;
        let (path, id) = proposed(h, "Nordvik", &h.person(KARI).await, MAJA).await;
        let weak = h.login(PRIVACY).await.post(&format!("{path}/{id}/approvals"), &json!({})).await;
        assert_eq!(slug(&weak.expect(403)), "step-up-required");
        h.person(PRIVACY).await.post(&format!("{path}/{id}/approvals"), &json!({})).await.expect(201);
        mandate::app::deliver_due(&h.app).await.unwrap();
        assert_eq!(mails(h, MAJA, "has lost the way into the account"), 1, "the person is told, who may not have asked");
        let token = mandate::demo::mailed(&h.mail, MAJA, "mdr_").unwrap();
        h.advance(Duration::hours(72) - Duration::milliseconds(1));
        come_back(h, &token).await.expect(422);
        let (old_later, _) = by_password(h, MAJA, &h.access.password, Some(&nordvik)).await;
        h.advance(Duration::milliseconds(1));
        come_back(h, &token).await.expect(201);
        come_back(h, &token).await.expect(422);
        for session in [&old, &old_later] {
            session.get("/api/v1/me").await.expect(401);
        }
        h.nobody.post("/api/v1/sessions", &json!({"email": MAJA, "password": h.access.password})).await.expect(401);
        // A password, and nothing more: not even reading before another factor is enrolled.
        let (maja, session) = by_password(h, MAJA, NEW, Some(&nordvik)).await;
        assert_eq!(slug(&maja.get("/api/v1/exports").await.expect(403)), "second-factor-required");
        enrol(h, &maja, &session).await;
        let (at_soby, at_soby_session) = by_password(h, MAJA, NEW, Some(&soby)).await;
        let step_up = |code: String| json!({"password": NEW, "code": code});
        at_soby.post(&format!("/api/v1/sessions/{at_soby_session}/step-ups"), &step_up(h.code(MAJA))).await.expect(401);
        let theirs = with(instruction(), json!({"subjects": [{"kind": "unit", "unit": "S03"}]}));
        let draft = h.drafted(&maja, &theirs).await;
        assert_eq!(slug(&h.sign(&maja, &draft, 1).await.expect(403)), "forbidden");
        maja.post("/api/v1/suspensions", &json!({"ground": "x"})).await.expect(403);
        assert_eq!(maja.get("/api/v1/me").await.expect(200).json()["authority_suspended"], true);
        // The person cannot confirm it, and nobody of another customer can.
        let kari = h.person(KARI).await;
        let own = membership(&kari, MAJA).await;
        maja.post(&format!("/api/v1/people/{own}/confirmations"), &json!({})).await.expect(403);
        h.person("mette.holm@soby.example").await.post(&format!("/api/v1/people/{own}/confirmations"), &json!({})).await.expect(404);
        h.login(KARI).await.post(&format!("/api/v1/people/{own}/confirmations"), &json!({})).await.expect(403);
        kari.post(&format!("/api/v1/people/{own}/confirmations"), &json!({})).await.expect(201);
        kari.post(&format!("/api/v1/people/{own}/confirmations"), &json!({})).await.expect(409);
        h.sign(&maja, &draft, 1).await.expect(201);
        // At the other customer it is suspended still.
        let mette = h.person("mette.holm@soby.example").await;
        let there = membership(&mette, MAJA).await;
        let member = mette.get(&format!("/api/v1/people/{there}")).await.expect(200).json();
        assert_eq!((&member["authority_suspended"], member["authority"].as_array().unwrap().len()), (&json!(true), 1));
        at_soby.post("/api/v1/suspensions", &json!({"ground": "x"})).await.expect(403);
        mette.post(&format!("/api/v1/people/{there}/confirmations"), &json!({})).await.expect(201);
        at_soby.post("/api/v1/suspensions", &json!({"ground": "x"})).await.expect(201);
        for customer in ["Nordvik", "Søby"] {
            assert_eq!(
                (count(h, customer, "person.recovered").await, count(h, customer, "authority.confirmed").await),
                (1, 1),
                "{customer}"
            );
        }
    })
    .await;
}

/// A recovery that was approved and told: its path and its token.
async fn under_way(h: &Harness, kari: &Client) -> (String, String) {
    let (path, id) = proposed(h, "Nordvik", kari, MAJA).await;
    h.person(PRIVACY).await.post(&format!("{path}/{id}/approvals"), &json!({})).await.expect(201);
    mandate::app::deliver_due(&h.app).await.unwrap();
    (format!("{path}/{id}"), mandate::demo::mailed(&h.mail, MAJA, "mdr_").unwrap())
}

#[tokio::test]
async fn a_withdrawn_recovery_and_one_of_an_ended_membership_give_nothing_back() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let (path, token) = under_way(h, &kari).await;
        let security = h.person(SECURITY).await;
        security.post(&format!("{path}/withdrawals"), &json!({})).await.expect(201);
        security.post(&format!("{path}/withdrawals"), &json!({})).await.expect(409);
        h.advance(Duration::hours(73));
        come_back(h, &token).await.expect(422);
        h.person(MAJA).await.post("/api/v1/suspensions", &json!({"ground": "x"})).await.expect(201);
        let kari = h.person(KARI).await;
        let (_, token) = under_way(h, &kari).await;
        h.step_up(&kari, KARI).await;
        kari.post(&format!("/api/v1/people/{}/endings", membership(&kari, MAJA).await), &json!({})).await.expect(201);
        h.advance(Duration::hours(73));
        come_back(h, &token).await.expect(422);
        assert_eq!(count(h, "Nordvik", "person.recovered").await, 0);
    })
    .await;
}

#[tokio::test]
async fn the_only_person_who_could_confirm_keeps_authority_by_the_notice_and_the_72_hours_of_this_customer_only() {
    run(async |h: &Harness| {
        let mette = h.person("mette.holm@soby.example").await;
        let lars = membership(&mette, "lars.krogh@soby.example").await;
        mette.post(&format!("/api/v1/people/{lars}/authorities/people/endings"), &json!({})).await.expect(201);
        let (path, id) = proposed(h, "Søby", &mette, "mette.holm@soby.example").await;
        h.person(PRIVACY).await.post(&format!("{path}/{id}/approvals"), &json!({})).await.expect(201);
        mandate::app::deliver_due(&h.app).await.unwrap();
        let token = mandate::demo::mailed(&h.mail, "mette.holm@soby.example", "mdr_").unwrap();
        h.advance(Duration::hours(72));
        come_back(h, &token).await.expect(201);
        let (mette, session) = by_password(h, "mette.holm@soby.example", NEW, None).await;
        enrol(h, &mette, &session).await;
        mette.post(&format!("/api/v1/people/{lars}/authorities"), &json!({"kind": "people"})).await.expect(201);
    })
    .await;
}

#[tokio::test]
async fn the_customer_stops_a_recovery_of_its_person_at_once_and_nobody_elses() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let (path, token) = under_way(h, &kari).await;
        let id = path.rsplit('/').next().unwrap();
        let own = format!("/api/v1/account-recoveries/{id}");
        // Who can stop it is told of it, with the way to do so.
        assert_eq!(mails(h, KARI, &format!("{own}/withdrawals")), 1);
        assert_eq!(h.login(JONAS).await.get(&own).await.expect(200).text("/accepted_at"), "null");
        // Neither a reader, nor a person of another customer; nor authority for something else.
        h.login(JONAS).await.post(&format!("{own}/withdrawals"), &json!({})).await.expect(403);
        h.person("mette.holm@soby.example").await.post(&format!("{own}/withdrawals"), &json!({})).await.expect(404);
        // Without step-up: stopping waits for no code.
        h.login(KARI).await.post(&format!("{own}/withdrawals"), &json!({})).await.expect(201);
        h.login(KARI).await.post(&format!("{own}/withdrawals"), &json!({})).await.expect(409);
        h.advance(Duration::hours(73));
        come_back(h, &token).await.expect(422);
        // The person stops it too, who plainly has a way in.
        let kari = h.person(KARI).await;
        let (path, token) = under_way(h, &kari).await;
        let own = format!("/api/v1/account-recoveries/{}/withdrawals", path.rsplit('/').next().unwrap());
        h.login(MAJA).await.post(&own, &json!({})).await.expect(201);
        h.advance(Duration::hours(73));
        come_back(h, &token).await.expect(422);
        assert_eq!((count(h, "Nordvik", "account_recovery.withdrawn").await, count(h, "Nordvik", "person.recovered").await), (2, 0));
        // Control: the same recovery, which nobody stops, gives the account back.
        let (_, token) = under_way(h, &h.person(KARI).await).await;
        h.advance(Duration::hours(72));
        come_back(h, &token).await.expect(201);
    })
    .await;
}
