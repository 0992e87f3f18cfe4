//! The processor's staff: nobody joins it by one person alone, and a newcomer is nobody's second.

use chrono::Duration;
use serde_json::json;

use crate::support::{ADMIN, Client, Harness, PRIVACY, SECURITY, run};
use mandate::base::{OpsPersonId, TypedId as _};
use mandate::db::{Lock, LogId, Role};
use mandate::evidence::{Actor, Event, NewEntry, commit_one};

const STAFF: &str = "/api/admin/v1/ops-people";

/// The types of the processor's entries about the staff.
async fn entries(h: &Harness) -> Vec<String> {
    let mut read = h.app.db.read(Role::Ops, "staff", LogId::PROCESSOR).await.unwrap();
    let all = mandate::evidence::entries(read.conn(), LogId::PROCESSOR, (0, 0), 1_000, None).await.unwrap();
    all.into_iter().map(|entry| entry.word).filter(|word| word.starts_with("ops_person.")).collect()
}

/// Addresses of messages with this purpose that wait.
async fn told(h: &Harness, purpose: &str) -> Vec<String> {
    let mut read = h.app.db.read(Role::Worker, "told", LogId::PROCESSOR).await.unwrap();
    let sql = "SELECT address FROM message WHERE purpose = $1 AND delivered_at IS NULL ORDER BY address";
    sqlx::query_scalar(sql).bind(purpose).fetch_all(read.conn()).await.unwrap()
}

async fn joined(h: &Harness, email: &str) -> Client {
    mandate::app::deliver_due(&h.app).await.unwrap();
    h.invited_ops(email).await
}

#[tokio::test]
async fn one_ops_session_adds_nobody_and_a_second_person_does_after_all_were_told() {
    run(async |h: &Harness| {
        let (admin, security) = (h.person(ADMIN).await, h.person(SECURITY).await);
        let puppet = json!({"email": "puppet@ops.example", "name": "Puppet", "role": "ops_privacy"});
        let refused = h.login(ADMIN).await.post(STAFF, &puppet).await.expect(403);
        assert_eq!(refused.text("/type"), "/docs/problems/step-up-required");
        let made = admin.post(STAFF, &puppet).await.expect(201);
        assert_eq!((made.text("/admitted_at"), made.text("/approved_by")), ("null".into(), "null".into()));
        assert_eq!(told(h, "staff_changed").await, [PRIVACY, "reader@ops.example", SECURITY]);
        // No invitation goes out, so nobody can come.
        assert_eq!(told(h, "invitation").await, [""; 0]);
        let approve = format!("{STAFF}/{}/approvals", made.text("/id"));
        admin.post(&approve, &json!({})).await.expect(409);
        h.login(SECURITY).await.post(&approve, &json!({})).await.expect(403);
        h.person(PRIVACY).await.post(&approve, &json!({})).await.expect(403);
        // Negative control: a second person with step-up.
        security.post(&approve, &json!({})).await.expect(201);
        assert_eq!(told(h, "invitation").await, ["puppet@ops.example"]);
        security.post(&approve, &json!({})).await.expect(409);
        let known = entries(h).await;
        assert_eq!(known[known.len() - 2..], ["ops_person.proposed", "ops_person.added"]);
        joined(h, "puppet@ops.example").await.get("/api/admin/v1/me").await.expect(200);
        // Who was proposed and ended joins no more.
        let other = json!({"email": "other@ops.example", "name": "Other", "role": "ops_admin"});
        let id = admin.post(STAFF, &other).await.expect(201).text("/id");
        admin.post(&format!("{STAFF}/{id}/endings"), &json!({})).await.expect(201);
        security.post(&format!("{STAFF}/{id}/approvals"), &json!({})).await.expect(409);
    })
    .await;
}

#[tokio::test]
async fn an_address_is_free_again_once_its_proposal_has_ended() {
    run(async |h: &Harness| {
        let (admin, security) = (h.person(ADMIN).await, h.person(SECURITY).await);
        let new = json!({"email": "new@ops.example", "name": "New", "role": "ops_privacy"});
        let propose = async || format!("{STAFF}/{}", admin.post(STAFF, &new).await.expect(201).text("/id"));
        // Turned down.
        let one = propose().await;
        // Negative control: while it waits, and while an invitation is on its way, the address is taken.
        assert_eq!(admin.post(STAFF, &new).await.expect(409).text("/code"), "ops_person_exists");
        admin.post(&format!("{one}/endings"), &json!({})).await.expect(201);
        // Approved, and the invitation never accepted.
        let two = propose().await;
        security.post(&format!("{two}/approvals"), &json!({})).await.expect(201);
        admin.post(STAFF, &new).await.expect(409);
        mandate::app::deliver_due(&h.app).await.unwrap();
        let late = mandate::demo::invitation(&h.mail, "new@ops.example").unwrap();
        h.advance(Duration::days(7));
        let (admin, security) = (h.person(ADMIN).await, h.person(SECURITY).await);
        admin.post(&format!("{two}/endings"), &json!({})).await.expect(201);
        let three = format!("{STAFF}/{}", admin.post(STAFF, &new).await.expect(201).text("/id"));
        security.post(&format!("{three}/approvals"), &json!({})).await.expect(201);
        let accept = json!({"token": late, "password": h.access.password});
        h.nobody.post("/api/admin/v1/invitation-acceptances", &accept).await.expect(422);
        // The last one comes, and is itself: its step-up is checked against its own password.
        let joined = joined(h, "new@ops.example").await;
        assert_eq!(format!("{STAFF}/{}", joined.get("/api/admin/v1/me").await.expect(200).text("/ops_person")), three);
    })
    .await;
}

#[tokio::test]
async fn for_72_hours_a_newcomer_is_nobodys_second_person() {
    run(async |h: &Harness| {
        let (admin, security) = (h.person(ADMIN).await, h.person(SECURITY).await);
        let new = json!({"email": "new@ops.example", "name": "New", "role": "ops_privacy"});
        let id = admin.post(STAFF, &new).await.expect(201).text("/id");
        security.post(&format!("{STAFF}/{id}/approvals"), &json!({})).await.expect(201);
        let newcomer = joined(h, "new@ops.example").await;
        let customer = format!("/api/admin/v1/customers/{}/suspensions", h.customer("Nordvik"));
        let mut releases = Vec::new();
        for path in [customer.as_str(), "/api/admin/v1/platforms/itslearning/suspensions"] {
            let made = security.post(path, &json!({"ground": "incident"})).await.expect(201).text("/id");
            releases.push(format!("{path}/{made}/releases"));
        }
        for release in &releases {
            security.post(release, &json!({})).await.expect(201);
            assert_eq!(newcomer.post(release, &json!({})).await.expect(409).text("/code"), "added_recently");
        }
        h.advance(Duration::hours(72));
        // Negative control: the same person, when the others have had time to see it.
        let newcomer = h.log_in_ops("new@ops.example").await;
        for release in &releases {
            newcomer.post(release, &json!({})).await.expect(201);
        }
    })
    .await;
}

/// Ends the access of one of the staff, whoever asks.
async fn ended(h: &Harness, id: OpsPersonId) {
    let mut tx = h.app.db.write(Role::Ops, "ended", Lock::Heads, LogId::PROCESSOR, &[]).await.unwrap();
    let (now, uuid) = (tx.now(), id.uuid());
    let sql = "UPDATE ops_person SET ended_at = $2 WHERE id = $1";
    sqlx::query(sql).bind(uuid).bind(now).execute(tx.conn()).await.unwrap();
    commit_one(tx, NewEntry::new(LogId::PROCESSOR, id, &Actor::system(), Event::OpsPersonEnded { ops_person: id })).await.unwrap();
}

#[tokio::test]
async fn who_ends_everybody_else_cannot_add_alone() {
    run(async |h: &Harness| {
        let admin = h.person(ADMIN).await;
        let staff = admin.get(STAFF).await.expect(200).json();
        let joined: Vec<String> = entries(h).await.into_iter().filter(|word| word.starts_with("ops_person.added")).collect();
        assert_eq!(joined[..2], ["ops_person.added", "ops_person.added_alone"], "the first person's first colleague");
        for person in staff["data"].as_array().unwrap().iter().filter(|person| person["email"] != ADMIN) {
            // The last who keeps watch stays, whoever asks.
            let expected = if person["email"] == SECURITY { 409 } else { 201 };
            admin.post(&format!("{STAFF}/{}/endings", person["id"].as_str().unwrap()), &json!({})).await.expect(expected);
        }
        // A staff that lost this person too, as one that never had such a role would.
        let of_security = staff["data"].as_array().unwrap().iter().find(|person| person["email"] == SECURITY).unwrap();
        ended(h, of_security["id"].as_str().unwrap().parse().unwrap()).await;
        let puppet = json!({"email": "puppet@ops.example", "name": "Puppet", "role": "ops_admin"});
        assert_eq!(admin.post(STAFF, &puppet).await.expect(409).text("/code"), "nobody_can_approve");
        // The command line, with the database's own login, helps such a staff up; and only such a one.
        let bootstrap = async |email: &str| {
            let (email, name) = (email.parse().unwrap(), "Second".parse().unwrap());
            mandate::identity::bootstrap_ops(&h.app.db, &h.app.passwords, email, name, h.access.password.clone().into()).await
        };
        bootstrap("second@ops.example").await.unwrap();
        assert!(bootstrap("third@ops.example").await.is_err());
        let id = admin.post(STAFF, &puppet).await.expect(201).text("/id");
        let approve = format!("{STAFF}/{id}/approvals");
        let early = h.log_in_ops("second@ops.example").await.post(&approve, &json!({})).await.expect(409);
        assert_eq!(early.text("/code"), "added_recently");
        h.advance(Duration::hours(72));
        h.log_in_ops("second@ops.example").await.post(&approve, &json!({})).await.expect(201);
    })
    .await;
}

/// Negative control of each refusal: the same request with step-up, or with another person left.
#[tokio::test]
async fn a_stolen_session_makes_no_key_ends_nobody_and_never_blinds_the_watch() {
    run(async |h: &Harness| {
        let thief = h.login(ADMIN).await;
        let key = json!({"name": "exports", "expires_at": "2027-12-01T00:00:00Z"});
        let staff = thief.get(STAFF).await.expect(200).json();
        let id = |email: &str| {
            staff["data"].as_array().unwrap().iter().find(|p| p["email"] == email).unwrap()["id"].as_str().unwrap().to_owned()
        };
        let end = |id: &str| format!("{STAFF}/{id}/endings");
        let refused =
            [thief.post("/api/admin/v1/api-keys", &key).await.expect(403), thief.post(&end(&id(PRIVACY)), &json!({})).await.expect(403)];
        assert!(refused.iter().all(|answer| answer.text("/type") == "/docs/problems/step-up-required"));
        let admin = h.person(ADMIN).await;
        admin.post("/api/admin/v1/api-keys", &key).await.expect(201);
        assert_eq!(told(h, "key_made").await, [PRIVACY, "reader@ops.example", SECURITY]);
        assert_eq!(admin.post(&end(&id(SECURITY)), &json!({})).await.expect(409).text("/code"), "last_ops_security");
        // Who waits for an approval, or has not come, is no other.
        let other = json!({"email": "watch@ops.example", "name": "Watch", "role": "ops_security"});
        let waiting = admin.post(STAFF, &other).await.expect(201).text("/id");
        admin.post(&end(&id(SECURITY)), &json!({})).await.expect(409);
        h.person(SECURITY).await.post(&format!("{STAFF}/{waiting}/approvals"), &json!({})).await.expect(201);
        h.step_up(&admin, ADMIN).await;
        admin.post(&end(&id(SECURITY)), &json!({})).await.expect(409);
        joined(h, "watch@ops.example").await;
        h.step_up(&admin, ADMIN).await;
        admin.post(&end(&id(SECURITY)), &json!({})).await.expect(201);
        // All are told, the one who was ended too.
        assert_eq!(told(h, "staff_changed").await, [PRIVACY, "reader@ops.example", SECURITY, "watch@ops.example"]);
    })
    .await;
}
