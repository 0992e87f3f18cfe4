//! Who may stop, and who may release: stopping is easy, lifting a protection is not.

use serde_json::{Value, json};

use crate::support::{ADMIN, Answer, Client, Harness, KARI, PRIVACY, SECURITY, export, instruction, run, with};

/// A new member of Nordvik with this authority, logged in and stepped up.
async fn colleague(h: &Harness, kari: &Client, email: &str, authority: Value) -> Client {
    let body = json!({"email": email, "name": "A Colleague", "role": "customer_admin", "authority": authority});
    kari.post("/api/v1/people", &body).await.expect(201);
    mandate::app::deliver_due(&h.app).await.unwrap();
    h.invited(email, &h.customer("Nordvik")).await
}

fn restriction(subjects: Value) -> Value {
    json!({"kind": "restriction", "platforms": ["itslearning"], "subjects": subjects, "text": "Art. 18: accuracy contested."})
}

async fn revoke(client: &Client, id: &str) -> Answer {
    client.post(&format!("/api/v1/instructions/{id}/revocations"), &json!({})).await
}

async fn new_version(h: &Harness, client: &Client, id: &str, content: &Value) -> Answer {
    client.post(&format!("/api/v1/instructions/{id}/versions"), content).await.expect(201);
    h.sign(client, id, 2).await
}

#[tokio::test]
async fn a_restriction_is_lifted_or_shrunk_only_by_who_has_authority_for_all_of_it_with_step_up() {
    run(async |h: &Harness| {
        let (kari, platform) = (h.person(KARI).await, h.platform("itslearning"));
        let one = colleague(h, &kari, "one@nordvik.example", json!([{"kind": "restriction", "units": ["S03"]}])).await;
        h.signed(&kari, &instruction()).await;
        let whole = h.signed(&kari, &restriction(json!([{"kind": "whole"}]))).await;
        // Neither by withdrawing it nor by a narrower version, with step-up, for one unit.
        let refused = revoke(&one, &whole).await.expect(403);
        assert_eq!(refused.text("/type"), "/docs/problems/forbidden");
        new_version(h, &one, &whole, &restriction(json!([{"kind": "unit", "unit": "S03"}]))).await.expect(403);
        // Nor without step-up, for all units.
        let refused = revoke(&h.login(KARI).await, &whole).await.expect(403);
        assert_eq!(refused.text("/type"), "/docs/problems/step-up-required");
        assert_eq!(h.ask(&platform, "a", &export()).await.reasons(), ["restriction_in_force"]);
        // Negative control: what is of one unit is that unit's, and all of it is Kari's.
        let theirs = h.signed(&one, &restriction(json!([{"kind": "unit", "unit": "S03"}]))).await;
        revoke(&one, &theirs).await.expect(201);
        revoke(&kari, &whole).await.expect(201);
        h.ask(&platform, "b", &export()).await.expect(201);
    })
    .await;
}

#[tokio::test]
async fn withdrawing_what_permits_needs_no_step_up_and_no_particular_unit() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let one = colleague(h, &kari, "one@nordvik.example", json!([{"kind": "export", "units": ["S03"]}])).await;
        let (first, second) = (h.signed(&kari, &instruction()).await, h.signed(&kari, &instruction()).await);
        revoke(&one, &first).await.expect(201);
        revoke(&h.login(KARI).await, &second).await.expect(201);
    })
    .await;
}

#[tokio::test]
async fn a_contested_subject_of_one_unit_is_not_narrowed_by_naming_no_unit() {
    run(async |h: &Harness| {
        let (kari, privacy) = (h.person(KARI).await, h.person(PRIVACY).await);
        let of = |subject: Value, categories: Value| with(instruction(), json!({"subjects": [subject], "data_categories": categories}));
        let here = json!({"kind": "subject", "ref": "p1", "unit": "S03"});
        let id = h.signed(&kari, &of(here.clone(), json!(["identity", "enrolment"]))).await;
        let path = format!("/api/admin/v1/customers/{}/instructions/{id}/contests", h.customer("Nordvik"));
        privacy.post(&path, &json!({"version": 1, "ground": "GDPR Art. 5(1)(c)"})).await.expect(201);
        let anywhere = of(json!({"kind": "subject", "ref": "p1"}), json!(["identity"]));
        let refused = new_version(h, &kari, &id, &anywhere).await.expect(409);
        assert_eq!(refused.text("/code"), "contested-not-narrowed");
        // Negative control: the same with the unit narrows.
        let path = format!("/api/v1/instructions/{id}");
        let seen = kari.get(&path).await.expect(200);
        let etag = seen.headers["etag"].to_str().unwrap().to_owned();
        let narrower = of(here, json!(["identity"]));
        kari.json(axum::http::Method::PUT, &format!("{path}/draft"), &[("if-match", &etag)], &narrower).await.expect(200);
        h.sign(&kari, &id, 2).await.expect(201);
    })
    .await;
}

#[tokio::test]
async fn whoever_may_release_a_customer_may_release_a_platform() {
    run(async |h: &Harness| {
        let (security, privacy) = (h.person(SECURITY).await, h.person(PRIVACY).await);
        let customer = format!("/api/admin/v1/customers/{}/suspensions", h.customer("Nordvik"));
        for path in [customer.as_str(), "/api/admin/v1/platforms/itslearning/suspensions"] {
            let made = security.post(path, &json!({"ground": "incident"})).await.expect(201).text("/id");
            let release = format!("{path}/{made}/releases");
            // Negative control: who may only be the second does not propose.
            privacy.post(&release, &json!({})).await.expect(403);
            security.post(&release, &json!({})).await.expect(201);
            privacy.post(&release, &json!({})).await.expect(201);
        }
        // And nothing is released without step-up.
        let made = security.post(&customer, &json!({"ground": "incident"})).await.expect(201).text("/id");
        let release = format!("{customer}/{made}/releases");
        for hasty in [h.login(SECURITY).await, h.login(ADMIN).await] {
            let refused = hasty.post(&release, &json!({})).await.expect(403);
            assert_eq!(refused.text("/type"), "/docs/problems/step-up-required");
            security.post(&release, &json!({})).await;
        }
        h.person(ADMIN).await.post(&release, &json!({})).await.expect(201);
    })
    .await;
}
