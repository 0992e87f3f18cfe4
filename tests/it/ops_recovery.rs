//! The way back of an ops person who lost password, factor and codes: never by one, never by a
//! newcomer, never before 72 hours, and for as long again nobody's second person. Each step is
//! refused before its time; that it is accepted in its time is the control.

use chrono::Duration;
use serde_json::json;

use crate::accounts::{entries, mails, slug};
use crate::support::{ADMIN, Answer, Client, Harness, PRIVACY, SECURITY, connect_as, run, try_sql};
use mandate::db::LogId;

const PATH: &str = "/api/admin/v1/ops-recoveries";
const NEW: &str = "a new battery staple";

async fn id_of(admin: &Client, email: &str) -> String {
    let staff = admin.get("/api/admin/v1/ops-people").await.expect(200).json();
    let found = staff["data"].as_array().unwrap().iter().find(|person| person["email"] == email);
    found.unwrap()["id"].as_str().unwrap().to_owned()
}

async fn come_back(h: &Harness, token: &str) -> Answer {
    h.nobody.post("/api/admin/v1/ops-recovery-acceptances", &json!({"token": token, "password": NEW})).await
}

/// Privacy's recovery, proposed by admin.
async fn proposed(h: &Harness) -> String {
    let admin = h.person(ADMIN).await;
    let body = json!({"ops_person": id_of(&admin, PRIVACY).await});
    admin.post(PATH, &body).await.expect(201).text("/id")
}

async fn told(h: &Harness, address: &str) -> Option<String> {
    mandate::app::deliver_due(&h.app).await.unwrap();
    mandate::demo::mailed(&h.mail, address, "mdr_").ok()
}

#[tokio::test]
async fn an_ops_person_comes_back_by_two_others_after_72_hours_and_is_nobodys_second_for_as_long() {
    run(async |h: &Harness| {
        let (admin, security) = (h.person(ADMIN).await, h.person(SECURITY).await);
        let old = h.person(PRIVACY).await;
        let body = json!({"ops_person": id_of(&admin, PRIVACY).await});
        assert_eq!(slug(&h.login(ADMIN).await.post(PATH, &body).await.expect(403)), "step-up-required");
        assert_eq!(old.post(PATH, &body).await.expect(409).text("/code"), "second_person_needed", "nobody proposes the own");
        let id = admin.post(PATH, &body).await.expect(201).text("/id");
        assert_eq!(security.post(PATH, &body).await.expect(409).text("/code"), "recovery_under_way");
        let approvals = format!("{PATH}/{id}/approvals");
        assert_eq!(admin.post(&approvals, &json!({})).await.expect(409).text("/code"), "second_person_needed");
        old.post(&approvals, &json!({})).await.expect(403);
        assert_eq!(slug(&h.login(SECURITY).await.post(&approvals, &json!({})).await.expect(403)), "step-up-required");
        assert!(told(h, PRIVACY).await.is_none(), "nothing leaves before a second person has approved");
        security.post(&approvals, &json!({})).await.expect(201);
        security.post(&approvals, &json!({})).await.expect(409);
        let token = told(h, PRIVACY).await.unwrap();
        assert_eq!(mails(h, PRIVACY, "you have lost the way into your account"), 1);
        for colleague in ["reader@ops.example", ADMIN] {
            assert_eq!(mails(h, colleague, "approved the recovery of the account"), 1, "{colleague}");
        }
        h.advance(Duration::hours(72) - Duration::milliseconds(1));
        come_back(h, &token).await.expect(422);
        h.advance(Duration::milliseconds(1));
        h.nobody.post("/api/v1/account-recovery-acceptances", &json!({"token": token, "password": NEW})).await.expect(422);
        let session = h.person(PRIVACY).await;
        come_back(h, &token).await.expect(201);
        come_back(h, &token).await.expect(422);
        session.get("/api/admin/v1/me").await.expect(401);
        let login = |password: &str| json!({"email": PRIVACY, "password": password, "code": h.code(PRIVACY)});
        h.nobody.post("/api/admin/v1/sessions", &login(&h.access.password)).await.expect(401);
        // A password, and nothing more before another factor is enrolled.
        let back = h.nobody.post("/api/admin/v1/sessions", &json!({"email": PRIVACY, "password": NEW})).await.expect(201);
        let (back, session) = (h.nobody.with(back.text("/token")), back.text("/id"));
        assert_eq!(slug(&back.get("/api/admin/v1/customers").await.expect(403)), "second-factor-required");
        let path = format!("/api/admin/v1/sessions/{session}/second-factors");
        let begun = back.post(&path, &json!({})).await.expect(201);
        let secret = mandate::demo::secret_of(&begun.text("/otpauth_uri")).unwrap();
        let now = |h: &Harness| mandate::identity::step_at(h.app.db.clock().now());
        let proof = json!({"password": NEW, "code": secret.code(now(h))});
        back.post(&format!("{path}/{}/confirmations", begun.text("/id")), &proof).await.expect(201);
        // Nobody's second person for 72 hours: of the two who recover another.
        let other = json!({"ops_person": id_of(&back, "reader@ops.example").await});
        let other = format!("{PATH}/{}/approvals", back.post(PATH, &other).await.expect(201).text("/id"));
        assert_eq!(h.person(ADMIN).await.post(&other, &json!({})).await.expect(409).text("/code"), "added_recently");
        h.advance(Duration::hours(72));
        h.person(ADMIN).await.post(&other, &json!({})).await.expect(201);
        let words = entries(h, LogId::PROCESSOR).await;
        for word in ["ops_recovery.proposed", "ops_recovery.approved", "ops_recovery.notified", "ops_person.recovered"] {
            assert!(words.iter().any(|found| found == word), "{word}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_newcomer_is_neither_of_the_two_and_a_withdrawn_recovery_gives_nothing_back() {
    run(async |h: &Harness| {
        let admin = h.person(ADMIN).await;
        let new = json!({"email": "new@ops.example", "name": "New", "role": "ops_security"});
        let new = admin.post("/api/admin/v1/ops-people", &new).await.expect(201).text("/id");
        h.person(SECURITY).await.post(&format!("/api/admin/v1/ops-people/{new}/approvals"), &json!({})).await.expect(201);
        mandate::app::deliver_due(&h.app).await.unwrap();
        let newcomer = h.invited_ops("new@ops.example").await;
        let path = format!("{PATH}/{}", proposed(h).await);
        assert_eq!(newcomer.post(&format!("{path}/approvals"), &json!({})).await.expect(409).text("/code"), "added_recently");
        h.person(SECURITY).await.post(&format!("{path}/approvals"), &json!({})).await.expect(201);
        let token = told(h, PRIVACY).await.unwrap();
        // The person, who still has a way in, stops what was not asked for; without step-up.
        h.login(PRIVACY).await.post(&format!("{path}/withdrawals"), &json!({})).await.expect(201);
        h.login(PRIVACY).await.post(&format!("{path}/withdrawals"), &json!({})).await.expect(409);
        h.advance(Duration::hours(73));
        come_back(h, &token).await.expect(422);
        // Withdrawn before the notice was delivered: no token leaves at all.
        let path = format!("{PATH}/{}", proposed(h).await);
        h.person(SECURITY).await.post(&format!("{path}/approvals"), &json!({})).await.expect(201);
        h.person(SECURITY).await.post(&format!("{path}/withdrawals"), &json!({})).await.expect(201);
        assert_eq!(told(h, PRIVACY).await, Some(token));
        // Whose access has ended comes back by nothing.
        let path = format!("{PATH}/{}", proposed(h).await);
        h.person(SECURITY).await.post(&format!("{path}/approvals"), &json!({})).await.expect(201);
        let token = told(h, PRIVACY).await.unwrap();
        let admin = h.person(ADMIN).await;
        admin.post(&format!("/api/admin/v1/ops-people/{}/endings", id_of(&admin, PRIVACY).await), &json!({})).await.expect(201);
        h.advance(Duration::hours(73));
        come_back(h, &token).await.expect(422);
        assert!(!entries(h, LogId::PROCESSOR).await.contains(&"ops_person.recovered".to_owned()));
    })
    .await;
}

#[tokio::test]
async fn the_database_lets_nobody_draw_a_token_or_be_two_of_the_three() {
    run(async |h: &Harness| {
        proposed(h).await;
        let mut ops = connect_as(h, "mandate_ops", None).await;
        for denied in [
            "UPDATE ops_recovery SET token_hash = '\\x00'",
            "UPDATE ops_recovery SET opens_at = now()",
            "SELECT token_hash FROM ops_recovery",
            "UPDATE ops_person SET recovered_at = NULL",
            "SELECT * FROM email_change",
        ] {
            assert!(try_sql(&mut ops, denied).await.unwrap_err().contains("permission denied"), "{denied}");
        }
        for (refused, constraint) in [
            ("UPDATE ops_recovery SET approved_by = proposed_by, approved_at = now()", "ops_recovery_two"),
            ("UPDATE ops_recovery SET approved_by = ops_person_id, approved_at = now()", "ops_recovery_two"),
        ] {
            assert!(try_sql(&mut ops, refused).await.unwrap_err().contains(constraint), "{refused}");
        }
        // Control: somebody else; and then never again.
        let other =
            "UPDATE ops_recovery SET approved_by = (SELECT o.id FROM ops_person o WHERE o.role = 'ops_security'), approved_at = now()";
        assert_eq!(try_sql(&mut ops, other).await, Ok(1));
        let again = "UPDATE ops_recovery SET approved_at = approved_at + interval '1 s'";
        assert!(try_sql(&mut ops, again).await.unwrap_err().contains("ops_recovery_set_once"));
        let mut worker = connect_as(h, "mandate_worker", None).await;
        let early = "UPDATE ops_recovery SET delivered_at = now(), opens_at = now(), token_hash = '\\x00'";
        assert!(try_sql(&mut worker, early).await.unwrap_err().contains("ops_recovery_waits"));
    })
    .await;
}
