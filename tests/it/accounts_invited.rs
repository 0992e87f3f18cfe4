//! An invitation that nobody accepted makes a person's account no matter of who sent it: no entry, no
//! message, no choice at a login, no way to recover it. Negative control: the same once the person has come.

use axum::http::StatusCode;
use serde_json::json;

use crate::accounts::{at_soby_too, by_password, count, mails};
use crate::support::{ADMIN, Harness, KARI, run};

#[tokio::test]
async fn who_only_invited_a_person_learns_nothing_of_the_account_and_changes_nothing_about_it() {
    run(async |h: &Harness| {
        let (nordvik, soby) = (h.customer("Nordvik"), h.customer("Søby"));
        at_soby_too(h, KARI, json!([])).await;
        let mette = h.person("mette.holm@soby.example").await;
        let people = mette.get("/api/v1/people?limit=100").await.expect(200).json();
        let invited = people["data"].as_array().unwrap().iter().find(|m| m["email"] == KARI).unwrap()["id"].clone();
        let agreement = mette.get("/api/v1/agreements").await.expect(200).text("/data/0/id");
        let recoveries = format!("/api/admin/v1/customers/{soby}/account-recoveries");
        let recovery = json!({"membership": invited, "agreement": agreement});
        let propose = async || h.person(ADMIN).await.post(&recoveries, &recovery).await;
        // Without naming a customer: there is one only.
        let session = h.nobody.post("/api/v1/sessions", &json!({"email": KARI, "password": h.access.password})).await.expect(201);
        assert_eq!(session.text("/customer"), nordvik);
        assert_eq!(propose().await.expect(422).faults(), [("/membership".to_owned(), "no_member".to_owned())]);
        let first = "a new battery staple";
        let kari = h.person(KARI).await;
        kari.post("/api/v1/me/passwords", &json!({"password": first})).await.expect(201);
        let changed = async || (count(h, "Nordvik", "person.password_changed").await, count(h, "Søby", "person.password_changed").await);
        assert_eq!(changed().await, (1, 0));
        mandate::app::deliver_due(&h.app).await.unwrap();
        assert_eq!(mails(h, "mette.holm@soby.example", "changed the password"), 0);
        // Control: the first login for it accepts, and from then on it is one of two.
        by_password(h, KARI, first, Some(&soby)).await;
        assert_eq!(
            h.nobody.post("/api/v1/sessions", &json!({"email": KARI, "password": first})).await.status,
            StatusCode::UNPROCESSABLE_ENTITY
        );
        let (kari, session) = by_password(h, KARI, first, Some(&nordvik)).await;
        let step_up = json!({"password": first, "code": h.code(KARI)});
        kari.post(&format!("/api/v1/sessions/{session}/step-ups"), &step_up).await.expect(201);
        kari.post("/api/v1/me/passwords", &json!({"password": "and another one"})).await.expect(201);
        assert_eq!(changed().await, (2, 1));
        mandate::app::deliver_due(&h.app).await.unwrap();
        assert_eq!(mails(h, "mette.holm@soby.example", "changed the password"), 1);
        propose().await.expect(201);
    })
    .await;
}
