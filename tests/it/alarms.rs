//! The alarm of a stolen key or account: who asks for more customers or records in an hour than is
//! normal. Negative control of each: the same at normal raises nothing.

use std::sync::Arc;

use chrono::Duration;
use mandate::alarm::{Activity, watch_once};
use mandate::app::App;
use mandate::config::Alarms;
use mandate::db::{LogId, Role};
use mandate::evidence::entries;
use serde_json::{Value, json};

use crate::support::{ADMIN, Client, Harness, KARI, SECURITY, export, instruction, run, with};

/// So much that nothing reaches it.
const MOST: u64 = 1 << 50;
const QUIET: Alarms = Alarms {
    key_customers_per_hour: MOST,
    key_rows_per_hour: MOST,
    job_customers_per_hour: MOST,
    job_rows_per_hour: MOST,
    person_customers_per_hour: MOST,
    person_rows_per_hour: MOST,
};

/// Another process of the same service, with what is normal to it.
fn process(h: &Harness, alarms: Alarms) -> (App, Client) {
    let app = App { activity: Arc::new(Activity::new(alarms)), ..h.app.clone() };
    let client = Client { router: mandate::app::router(app.clone()).unwrap(), token: None };
    (app, client)
}

/// The itslearning key of the world, at a process.
fn at(h: &Harness, process: &Client) -> Client {
    process.with(h.platform("itslearning").token.unwrap())
}

/// Asks for a customer under a key that no ask had before.
async fn ask(h: &Harness, platform: &Client, customer: &str, key: &str, changes: Value) {
    let status = h.ask(platform, key, &with(with(export(), json!({"customer": customer})), changes)).await.status;
    assert!([200, 201, 403].contains(&status.as_u16()), "{status}");
}

/// The alarms in the processor's log: kind, level, customers, rows.
async fn raised(h: &Harness) -> Vec<(String, String, u64, u64)> {
    let words = ["alarm.unusual_activity".to_owned()];
    let mut read = h.app.db.read(Role::Ops, "alarms", LogId::PROCESSOR).await.unwrap();
    let found = entries(read.conn(), LogId::PROCESSOR, (0, 0), 1_000, Some(&words)).await.unwrap();
    let text = |record: &Value, name: &str| record[name].as_str().unwrap().to_owned();
    found
        .iter()
        .map(|e| {
            let r = &e.record;
            (text(r, "kind"), text(r, "level"), r["customers"].as_u64().unwrap(), r["rows"].as_u64().unwrap())
        })
        .collect()
}

const CUSTOMERS: [&str; 4] = ["site-1001-its", "site-2002-its", "site-3003-its", "site-4004-its"];

#[tokio::test]
async fn a_key_that_touches_one_customer_more_than_normal_raises_one_alarm_and_at_normal_none() {
    run(async |h: &Harness| {
        let (app, nobody) = process(h, Alarms { key_customers_per_hour: 3, ..QUIET });
        let platform = at(h, &nobody);
        // Refusals, dry runs and names that no customer has are touches; the same customer again is none.
        ask(h, &platform, CUSTOMERS[0], "a", json!({})).await;
        ask(h, &platform, CUSTOMERS[0], "b", json!({})).await;
        ask(h, &platform, CUSTOMERS[1], "c", json!({"dry_run": true})).await;
        ask(h, &platform, "nobody-at-all", "d", json!({})).await;
        assert_eq!(watch_once(&app).await.unwrap(), 0);
        assert_eq!(raised(h).await, []);
        h.advance(Duration::minutes(59));
        ask(h, &platform, CUSTOMERS[2], "e", json!({})).await;
        assert_eq!(watch_once(&app).await.unwrap(), 1);
        let alarm = ("key".to_owned(), "unusual".to_owned(), 4, 0);
        assert_eq!(raised(h).await, std::slice::from_ref(&alarm));
        // It is told to the one ops_security person.
        assert_eq!(h.jobs().await.get("deliver"), Some(&1));
        // Once: more of the same within the hour says nothing new.
        ask(h, &platform, CUSTOMERS[3], "f", json!({})).await;
        assert_eq!(watch_once(&app).await.unwrap(), 0);
        let security = h.login(SECURITY).await;
        let listed = security.get("/api/admin/v1/alarms").await.expect(200);
        assert_eq!(listed.json()["data"].as_array().unwrap().len(), 1);
        assert_eq!((listed.text("/data/0/customers"), listed.text("/data/0/normal_customers")), ("4".to_owned(), "3".to_owned()));
        let id = listed.text("/data/0/id");
        assert_eq!(security.get(&format!("/api/admin/v1/alarms/{id}")).await.expect(200).text("/subject").get(..4), Some("key_"));
        // Those that exist are named, those touched after it included.
        let touched = security.get(&format!("/api/admin/v1/alarms/{id}/customers?limit=3")).await.expect(200);
        assert_eq!(touched.json()["data"].as_array().unwrap().len(), 3);
        let cursor = touched.text("/next_cursor");
        let rest = security.get(&format!("/api/admin/v1/alarms/{id}/customers?limit=3&cursor={cursor}")).await.expect(200);
        assert_eq!(rest.json()["data"].as_array().unwrap().len(), 1);
        // The next hour counts anew, and says it again.
        h.advance(Duration::minutes(75));
        ask(h, &platform, CUSTOMERS[0], "g", json!({})).await;
        assert_eq!(watch_once(&app).await.unwrap(), 0);
        for customer in CUSTOMERS {
            ask(h, &platform, customer, &format!("h-{customer}"), json!({})).await;
        }
        assert_eq!(watch_once(&app).await.unwrap(), 1);
        assert_eq!(raised(h).await, [alarm.clone(), alarm]);
    })
    .await;
}

#[tokio::test]
async fn rows_are_counted_once_per_ask_and_ten_times_normal_is_said_again() {
    run(async |h: &Harness| {
        let (app, nobody) = process(h, Alarms { key_rows_per_hour: 1_000, ..QUIET });
        let platform = at(h, &nobody);
        let rows = |rows: u64| json!({"volume": {"rows": rows}});
        ask(h, &platform, CUSTOMERS[0], "a", rows(1_000)).await;
        // The same ask again is the same thousand.
        ask(h, &platform, CUSTOMERS[0], "a", rows(1_000)).await;
        assert_eq!(watch_once(&app).await.unwrap(), 0);
        ask(h, &platform, CUSTOMERS[0], "b", rows(1)).await;
        assert_eq!(watch_once(&app).await.unwrap(), 1);
        ask(h, &platform, CUSTOMERS[0], "c", rows(9_000)).await;
        assert_eq!(watch_once(&app).await.unwrap(), 1);
        // An absurd number overflows nothing.
        for key in ["d", "e"] {
            ask(h, &platform, CUSTOMERS[0], key, rows(9_000_000_000_000_000)).await;
        }
        assert_eq!(watch_once(&app).await.unwrap(), 0);
        let (unusual, extreme) = (("key".to_owned(), "unusual".to_owned(), 1, 1_001), ("key".to_owned(), "extreme".to_owned(), 1, 10_001));
        assert_eq!(raised(h).await, [unusual, extreme]);
    })
    .await;
}

#[tokio::test]
async fn rows_that_no_ask_stated_are_counted_chunk_by_chunk() {
    run(async |h: &Harness| {
        let (app, nobody) = process(h, Alarms { key_rows_per_hour: 1_000, person_rows_per_hour: 1_000, ..QUIET });
        let platform = at(h, &nobody);
        h.signed(&h.person(KARI).await, &instruction()).await;
        let unstated = with(export(), json!({"requested_by": {"kind": "staff", "ref": "s-17"}}));
        let permit = h.ask(&platform, "a", &unstated).await.expect(201);
        let place = format!("/gate/v1/exports/{}", permit.text("/id"));
        let redeemed = json!({"permit": permit.text("/permit")});
        platform.post_with(&format!("{place}/redemptions"), &[("idempotency-key", "b")], &redeemed).await.expect(201);
        let chunk = async |number: u32, rows: u64, key: &str| {
            let body = json!({"chunk_no": number, "rows": rows});
            platform.post_with(&format!("{place}/chunks"), &[("idempotency-key", key)], &body).await.expect(201)
        };
        chunk(1, 1_000, "c").await;
        // The same chunk again is the same thousand.
        chunk(1, 1_000, "c").await;
        assert_eq!(watch_once(&app).await.unwrap(), 0);
        chunk(2, 1, "d").await;
        assert_eq!(watch_once(&app).await.unwrap(), 2, "the key's and the person's");
        let mut raised: Vec<_> = raised(h).await.into_iter().map(|(kind, _, _, rows)| (kind, rows)).collect();
        raised.sort_unstable();
        assert_eq!(raised, [("key".to_owned(), 1_001), ("person".to_owned(), 1_001)]);
    })
    .await;
}

/// A second key of itslearning, made and approved by two.
async fn second_key(h: &Harness, changes: Value) -> String {
    let path = "/api/admin/v1/platforms/itslearning/api-keys";
    let body = with(json!({"name": "second", "expires_at": "2027-01-01T00:00:00Z"}), changes);
    let (admin, security) = (h.person(ADMIN).await, h.person(SECURITY).await);
    let made = admin.post(path, &body).await.expect(201);
    let approve = format!("{path}/{}/approvals", made.text("/id"));
    // It opens nothing before the second person, and the first is not the second.
    h.ask(&h.nobody.with(made.text("/key")), "early", &export()).await.expect(401);
    admin.post(&approve, &json!({})).await.expect(409);
    security.post(&approve, &json!({})).await.expect(201);
    security.post(&approve, &json!({})).await.expect(409);
    made.text("/key")
}

#[tokio::test]
async fn a_reference_adds_up_over_two_keys_and_two_processes() {
    run(async |h: &Harness| {
        let normal = Alarms { person_customers_per_hour: 2, ..QUIET };
        let ((one, one_client), (two, two_client)) = (process(h, normal), process(h, normal));
        let (first, second) = (at(h, &one_client), two_client.with(second_key(h, json!({})).await));
        let by = |kind: &str, reference: &str| json!({"requested_by": {"kind": kind, "ref": reference}});
        ask(h, &first, CUSTOMERS[0], "a", by("staff", "s-17")).await;
        ask(h, &first, CUSTOMERS[1], "b", by("staff", "s-17")).await;
        // Another person, and a job of the same name, are not the same.
        ask(h, &second, CUSTOMERS[2], "c", by("staff", "s-18")).await;
        ask(h, &second, CUSTOMERS[2], "d", by("job", "s-17")).await;
        assert_eq!((watch_once(&one).await.unwrap(), watch_once(&two).await.unwrap()), (0, 0));
        ask(h, &second, CUSTOMERS[2], "e", by("staff", "s-17")).await;
        // The first process has nothing new to say; the second sees what both have seen.
        assert_eq!((watch_once(&one).await.unwrap(), watch_once(&two).await.unwrap()), (0, 1));
        // Both at once raise it once.
        ask(h, &first, CUSTOMERS[3], "f", by("staff", "s-18")).await;
        ask(h, &first, CUSTOMERS[0], "g", by("staff", "s-18")).await;
        ask(h, &second, CUSTOMERS[1], "h", by("staff", "s-18")).await;
        let (a, b) = tokio::join!(watch_once(&one), watch_once(&two));
        assert_eq!(a.unwrap() + b.unwrap(), 1);
        let kinds: Vec<_> = raised(h).await.into_iter().map(|(kind, ..)| kind).collect();
        assert_eq!(kinds, ["person", "person"]);
        // The reference itself stands nowhere in what was recorded.
        let listed = h.login(SECURITY).await.get("/api/admin/v1/alarms").await.expect(200);
        assert!(!String::from_utf8_lossy(&listed.bytes).contains("s-17"));
    })
    .await;
}

#[tokio::test]
async fn a_key_can_have_a_normal_of_its_own() {
    run(async |h: &Harness| {
        let (app, nobody) = process(h, Alarms { key_customers_per_hour: 1, ..QUIET });
        let wide = nobody.with(second_key(h, json!({"customers_per_hour": 3})).await);
        for customer in &CUSTOMERS[..3] {
            ask(h, &wide, customer, customer, json!({})).await;
        }
        assert_eq!(watch_once(&app).await.unwrap(), 0);
        ask(h, &wide, CUSTOMERS[3], "more", json!({})).await;
        assert_eq!(watch_once(&app).await.unwrap(), 1);
        // Control: a key without one has the configured normal.
        for customer in &CUSTOMERS[..2] {
            ask(h, &at(h, &nobody), customer, customer, json!({})).await;
        }
        assert_eq!(watch_once(&app).await.unwrap(), 1);
        let admin = h.person(ADMIN).await;
        let body = json!({"name": "none", "expires_at": "2027-01-01T00:00:00Z", "customers_per_hour": 0});
        admin.post("/api/admin/v1/platforms/itslearning/api-keys", &body).await.expect(422);
    })
    .await;
}
