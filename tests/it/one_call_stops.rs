//! Stopping with one call, without step-up: `ops_security` stops a platform's key, a customer's
//! person stops its exports. What comes next is refused. Negative control: the same ask before it.

use serde_json::json;

use crate::support::{Harness, KARI, SECURITY, export, instruction, run, with};

#[tokio::test]
async fn ops_security_stops_a_platform_key_with_one_call_from_the_next_request_on() {
    run(async |h: &Harness| {
        let (kari, platform) = (h.person(KARI).await, h.platform("itslearning"));
        h.signed(&kari, &instruction()).await;
        h.ask(&platform, "before", &export()).await.expect(201);
        let security = h.login(SECURITY).await;
        let id = security.get("/api/admin/v1/platforms/itslearning/api-keys").await.expect(200).text("/data/0/id");
        security.post(&format!("/api/admin/v1/platforms/itslearning/api-keys/{id}/revocations"), &json!({})).await.expect(201);
        h.ask(&platform, "after", &export()).await.expect(401);
        // A key answered before is asked again in vain.
        h.ask(&platform, "before", &export()).await.expect(401);
        // Another platform's key is untouched.
        let fronter = with(export(), json!({"platform": "fronter", "customer": "site-5005-fro"}));
        h.ask(&h.platform("fronter"), "other", &fronter).await.expect(403);
    })
    .await;
}

#[tokio::test]
async fn a_person_of_the_customer_stops_its_exports_with_one_call_from_the_next_decision_on() {
    run(async |h: &Harness| {
        let (kari, platform) = (h.person(KARI).await, h.platform("itslearning"));
        h.signed(&kari, &instruction()).await;
        let permitted = h.ask(&platform, "before", &export()).await.expect(201);
        let without_step_up = h.login(KARI).await;
        without_step_up.post("/api/v1/suspensions", &json!({"ground": "Something is wrong."})).await.expect(201);
        assert_eq!(h.ask(&platform, "after", &export()).await.expect(403).reasons(), ["customer_suspended"]);
        // What was permitted and not yet used is stopped too, and so is the permit asked for again.
        let redemption = h.redeem(&platform, "r", &permitted.text("/id"), &permitted.text("/permit")).await.expect(403);
        assert_eq!(redemption.reasons(), ["customer_suspended"]);
        assert_eq!(h.ask(&platform, "before", &export()).await.expect(403).reasons(), ["customer_suspended"]);
    })
    .await;
}
