//! A COMMIT without an answer is looked up: it is answered as what it was, and repeated never. Each
//! case has its opposite: the connection that breaks after the server has committed, and the one
//! that breaks before the server has seen it. Seen to fail when what is found is not believed.

use serde_json::json;

use crate::support::{ADMIN, Answer, Client, Harness, KARI, Mode, Proxy, Trap, export, instruction, run};

/// Runs a test at a program behind a proxy.
async fn behind_a_proxy(test: impl AsyncFnOnce(&Harness, &Proxy, &dyn Fn(Client) -> Client)) {
    run(async |h: &Harness| {
        let proxy = Proxy::before(&h.database.urls).await;
        let router = mandate::app::router(h.another(&proxy.urls(&h.database.urls), 4)).unwrap();
        test(h, &proxy, &|client| Client { router: router.clone(), ..client }).await;
    })
    .await;
}

async fn size(client: &Client) -> u64 {
    client.get("/api/v1/evidence/log").await.expect(200).json()["size"].as_u64().unwrap()
}

#[track_caller]
fn is_told(answer: &Answer, kind: &str) {
    assert_eq!(answer.status, 503, "{}", String::from_utf8_lossy(&answer.bytes));
    assert!(answer.headers.contains_key("retry-after"));
    assert!(answer.text("/type").ends_with(kind), "{}", answer.text("/type"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_permit_whose_commit_lost_its_answer_is_given_and_stands_once() {
    behind_a_proxy(async |h, proxy, at| {
        let kari = h.person(KARI).await;
        h.signed(&kari, &instruction()).await;
        let platform = at(h.platform("itslearning"));
        h.ask(&platform, "warm", &export()).await.expect(201);
        let before = size(&kari).await;

        proxy.arm(Trap::AfterServer).await;
        let given = h.ask(&platform, "after", &export()).await.expect(201);
        assert!(proxy.is_sprung().await);
        assert!(given.headers.get("idempotency-replayed").is_none());
        assert_eq!(size(&kari).await, before + 1);
        let again = h.ask(&platform, "after", &export()).await.expect(201);
        assert_eq!((again.text("/id"), again.json()["receipt"].clone()), (given.text("/id"), given.json()["receipt"].clone()));
        assert_eq!(again.headers["idempotency-replayed"], "true");
        assert_eq!(size(&kari).await, before + 1);

        proxy.arm(Trap::BeforeServer).await;
        is_told(&h.ask(&platform, "before", &export()).await, "/unavailable");
        assert!(proxy.is_sprung().await);
        assert_eq!(size(&kari).await, before + 1, "nothing of it is there");
        let first = h.ask(&platform, "before", &export()).await.expect(201);
        assert!(first.headers.get("idempotency-replayed").is_none());
        assert_eq!(size(&kari).await, before + 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_cannot_be_looked_up_is_told_as_unknown_and_answered_by_the_same_key() {
    behind_a_proxy(async |h, proxy, at| {
        let kari = h.person(KARI).await;
        h.signed(&kari, &instruction()).await;
        let platform = at(h.platform("itslearning"));
        h.ask(&platform, "warm", &export()).await.expect(201);
        let before = size(&kari).await;
        proxy.arm(Trap::AfterServerThenRefuse).await;
        is_told(&h.ask(&platform, "k", &export()).await, "/outcome-unknown");
        assert_eq!(size(&kari).await, before + 1, "it did happen");
        proxy.set(Mode::Forward);
        let mut answered = h.ask(&platform, "k", &export()).await;
        for _ in 0..10 {
            if answered.status == 503 {
                answered = h.ask(&platform, "k", &export()).await;
            }
        }
        let answered = answered.expect(201);
        assert_eq!(answered.headers["idempotency-replayed"], "true");
        assert_eq!(size(&kari).await, before + 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_act_of_an_institution_is_looked_up_in_the_same_way() {
    behind_a_proxy(async |h, proxy, at| {
        let person = h.person(KARI).await;
        let kari = at(person.clone());
        // Without an idempotency key, so that the act's own COMMIT is the next one.
        let suspend = async || kari.post_with("/api/v1/suspensions", &[], &json!({"ground": "incident"})).await;
        kari.get("/api/v1/me").await.expect(200);
        let before = size(&person).await;

        proxy.arm(Trap::AfterServer).await;
        let answer = suspend().await.expect(201);
        assert!(proxy.is_sprung().await && answer.json()["receipt"]["index"].is_u64());
        assert_eq!(size(&person).await, before + 1);
        let seen = person.get("/api/v1/suspensions").await.expect(200);
        assert_eq!(seen.json()["data"].as_array().unwrap().len(), 1);

        proxy.arm(Trap::BeforeServer).await;
        is_told(&suspend().await, "/unavailable");
        assert!(proxy.is_sprung().await);
        assert_eq!(size(&person).await, before + 1);
        suspend().await.expect(201);
        assert_eq!(size(&person).await, before + 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_the_lost_commit_would_have_made_is_looked_for_too() {
    behind_a_proxy(async |h, proxy, at| {
        let admin = at(h.person(ADMIN).await);
        let named = |name: &str| {
            json!({"name": name, "kind": "school_owner", "country": "NO", "zone": "Europe/Oslo", "language": "nb",
                "privacy_contacts": ["privacy@new.example"], "second_contacts": ["leader@new.example"]})
        };
        let count = async || admin.get("/api/admin/v1/customers?limit=100").await.expect(200).json()["data"].as_array().unwrap().len();
        let before = count().await;
        proxy.arm(Trap::AfterServer).await;
        let made = admin.post_with("/api/admin/v1/customers", &[], &named("Nordby kommune")).await.expect(201).text("/id");
        assert!(proxy.is_sprung().await && count().await == before + 1);
        admin.get(&format!("/api/admin/v1/customers/{made}")).await.expect(200);
        proxy.arm(Trap::BeforeServer).await;
        is_told(&admin.post_with("/api/admin/v1/customers", &[], &named("Sydby kommune")).await, "/unavailable");
        assert!(proxy.is_sprung().await && count().await == before + 1);
    })
    .await;
}
