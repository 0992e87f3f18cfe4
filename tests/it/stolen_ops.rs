//! A stolen ops account, played through every route of the admin surface, alone and with step-up: it
//! gets no signature, no authority, no permit, and the customer sees every attempt. The routes are
//! those of the table, so a new one is played too.

use std::collections::BTreeMap;

use axum::http::Method;
use chrono::Duration;
use mandate::db::{LogId, Role};
use mandate::evidence::entries;
use mandate::http::{Access, Route, Surface};
use serde_json::{Value, json};

use crate::support::{ADMIN, Answer, Client, Harness, KARI, PRIVACY, SECURITY, export, instruction, run, with};

/// What no ops account may bring about: entries of these types, in any customer's log.
const OUT_OF_REACH: [&str; 12] = [
    "agreement.accepted",
    "agreement.terminated",
    "authority.granted",
    "customer.released",
    "export.permitted",
    "export.redeemed",
    "first_signatory.approved",
    "first_signatory.notified",
    "instruction.confirmed",
    "instruction.revoked",
    "instruction.signed",
    "membership.began",
];

/// Entries of a log as (type, actor).
async fn log(h: &Harness, log: LogId) -> Vec<(String, String)> {
    let mut read = h.app.db.read(Role::Ops, "stolen", log).await.unwrap();
    let found = entries(read.conn(), log, (0, 0), 1_000_000, None).await.unwrap();
    let actor = |leaf: &[u8]| serde_json::from_slice::<Value>(leaf).unwrap()["actor"].as_str().unwrap().to_owned();
    found.iter().map(|entry| (entry.word.clone(), actor(&entry.leaf))).collect()
}

/// How often each of the things out of reach stands in all logs.
async fn taken(h: &Harness) -> BTreeMap<&'static str, usize> {
    let mut count: BTreeMap<_, _> = OUT_OF_REACH.iter().map(|word| (*word, 0)).collect();
    for (id, kind, _) in h.logs().await {
        if kind == "customer" {
            for (word, _) in log(h, LogId(id)).await {
                count.entry(OUT_OF_REACH.into_iter().find(|w| *w == word).unwrap_or("")).and_modify(|n| *n += 1);
            }
        }
    }
    count
}

/// What the thief finds at a customer: a record for each parameter of a path.
async fn loot(h: &Harness, kari: &Client, customer: &str) -> BTreeMap<&'static str, Vec<String>> {
    let security = h.person(SECURITY).await;
    let admin = h.person(ADMIN).await;
    let path = format!("/api/admin/v1/customers/{customer}");
    let first = async |client: &Client, path: &str| client.get(path).await.expect(200).text("/data/0/id");
    let signed = h.signed(kari, &instruction()).await;
    let drafted = h.drafted(kari, &instruction()).await;
    let own_stop = kari.post("/api/v1/suspensions", &json!({"ground": "Ours."})).await.expect(201).text("/id");
    let ops_stop = security.post(&format!("{path}/suspensions"), &json!({"ground": "Yours."})).await.expect(201).text("/id");
    let platform =
        security.post("/api/admin/v1/platforms/fronter/suspensions", &json!({"ground": "Fronter."})).await.expect(201).text("/id");
    let keys = "/api/admin/v1/platforms/fronter/api-keys";
    let waiting = json!({"name": "waiting", "expires_at": "2027-01-01T00:00:00Z"});
    let waiting = admin.post(keys, &waiting).await.expect(201).text("/id");
    let people = admin.get("/api/admin/v1/ops-people").await.expect(200).json();
    let reader = people["data"].as_array().unwrap().iter().find(|p| p["role"] == "ops_reader").unwrap();
    BTreeMap::from([
        ("instruction_id", vec![signed, drafted]),
        ("suspension_id", vec![own_stop, ops_stop, platform]),
        ("agreement_id", vec![first(kari, "/api/v1/agreements").await]),
        ("document_id", vec![first(kari, "/api/v1/documents").await]),
        ("first_signatory_id", vec![first(&admin, &format!("{path}/first-signatories")).await]),
        ("platform", vec!["fronter".to_owned()]),
        ("api_key_id", vec![waiting, first(&admin, keys).await]),
        ("ops_person_id", vec![reader["id"].as_str().unwrap().to_owned()]),
    ])
}

/// Every path of a route, with the thief's loot in it; `None`: it names nothing that there is.
fn paths(route: &Route, customer: &str, loot: &BTreeMap<&'static str, Vec<String>>) -> Vec<String> {
    let mut found = vec![String::new()];
    for part in route.path.split('/').skip(1) {
        let values = match part.strip_prefix('{').and_then(|p| p.strip_suffix('}')) {
            None => vec![part.to_owned()],
            Some("customer_id") => vec![customer.to_owned()],
            Some(name) => loot.get(name).cloned().unwrap_or_else(|| vec!["ses_0190a0b0c0d0700080000123456789ab".to_owned()]),
        };
        found = found.iter().flat_map(|before| values.iter().map(move |value| format!("{before}/{value}"))).collect();
    }
    found
}

fn body(route: &Route, loot: &BTreeMap<&'static str, Vec<String>>, parameters: &Value) -> Value {
    let agreement = loot["agreement_id"][0].clone();
    match route.path.rsplit('/').next().unwrap() {
        "customers" => json!({"name": "Thief's own", "kind": "school", "country": "NO", "zone": "Europe/Oslo", "language": "nb",
            "privacy_contacts": ["thief@thief.example"], "second_contacts": []}),
        "units" => json!({"units": [{"code": "T1", "name": "Thief's unit"}]}),
        "suspensions" => json!({"ground": "Because."}),
        "agreements" => {
            json!({"platform": "itslearning", "external_id": "site-1001-its", "document": loot["document_id"][0], "parameters": parameters})
        }
        "instruction-drafts" => with(instruction(), json!({"subjects": [{"kind": "whole"}]})),
        "contests" => json!({"version": 1, "ground": "GDPR Art. 6"}),
        "first-signatories" => json!({"agreement": agreement, "email": "thief@thief.example", "name": "A Thief"}),
        "api-keys" => json!({"name": "thief", "expires_at": "2027-01-01T00:00:00Z"}),
        "ops-people" => json!({"email": "second@thief.example", "name": "Another Thief", "role": "ops_security"}),
        _ => json!({}),
    }
}

async fn call(client: &Client, route: &Route, path: &str, body: &Value) -> Answer {
    if route.method == Method::GET {
        return client.get(path).await;
    }
    if path.ends_with("/documents") {
        let pdf = mandate::document::pdf_of_lines("A thief's paper", &["signed, surely".to_owned()]);
        return client.raw(Method::POST, path, &[("content-type", "application/pdf"), ("idempotency-key", path)], pdf).await;
    }
    client.json(route.method.clone(), path, &[("idempotency-key", path), ("if-match", "\"0000\"")], body).await
}

/// All entries that a customer's person sees.
async fn seen(kari: &Client) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = kari.get(&format!("/api/v1/evidence/entries?limit=100{cursor}")).await.expect(200).json();
        all.extend(page["data"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

/// Plays one stolen account; how many calls the customer had to see.
async fn play(h: &Harness, email: &str) -> usize {
    let customer = h.customer("Nordvik");
    let kari = h.person(KARI).await;
    let loot = loot(h, &kari, &customer).await;
    let parameters = kari.get("/api/v1/agreements").await.expect(200).json()["data"][0]["parameters"].clone();
    let thief = h.person(email).await;
    let actor = thief.get("/api/admin/v1/me").await.expect(200).text("/ops_person");
    let before = taken(h).await;
    let (mut keys, mut watched) = (Vec::new(), Vec::new());
    for route in mandate::app::table().iter().filter(|r| matches!(r.access, Access::Admin { .. })) {
        for path in paths(route, &customer, &loot) {
            let size = seen(&kari).await.len();
            let answer = call(&thief, route, &path, &body(route, &loot, &parameters)).await;
            let what = format!("{} {path} as {email}: {}", route.method, answer.status);
            assert!(answer.status.as_u16() < 500 && answer.status != 401 && answer.status != 429, "{what}");
            if let Some(key) = answer.json()["key"].as_str() {
                keys.push(key.to_owned());
            }
            let is_about_customer = path.contains(&customer) && route.method != Method::GET;
            if is_about_customer {
                let new = seen(&kari).await.split_off(size);
                assert!(!new.is_empty() && new.iter().all(|entry| entry["actor"] == actor.as_str()), "{what}: {new:?}");
                assert!(new.iter().all(|entry| entry["receipt"]["leaf_hash"].is_string()));
                let refused = new.iter().any(|entry| entry["type"] == "ops.attempt_refused");
                assert_eq!(refused, answer.status.is_client_error(), "{what}: {new:?}");
                assert!(!refused || new[0]["operation"] == route.operation_id.as_str(), "{what}: {new:?}");
                watched.push(what);
            }
        }
    }
    assert_eq!(taken(h).await, before, "{email}: something out of reach was taken");
    // The token is nothing on the other surfaces, and a key that the thief made opens nothing alone.
    for route in mandate::app::table().iter().filter(|r| [Surface::Institution, Surface::Gate].contains(&r.access.surface())) {
        for path in paths(route, &customer, &loot) {
            assert_eq!(call(&thief, route, &path, &json!({})).await.status, 401, "{} {path} as {email}", route.method);
        }
    }
    for key in keys {
        h.ask(&h.nobody.with(&key), "thief", &with(export(), json!({"platform": "fronter"}))).await.expect(401);
    }
    assert_eq!(taken(h).await, before);
    watched.len()
}

#[tokio::test]
async fn a_stolen_ops_account_gets_nothing_and_every_attempt_is_seen_by_the_customer() {
    for email in [ADMIN, PRIVACY, SECURITY, "reader@ops.example"] {
        run(async |h: &Harness| {
            let watched = play(h, email).await;
            assert!(watched >= 10, "{email}: {watched} calls were about the customer");
        })
        .await;
    }
}

/// Negative control of the count of what is out of reach: the customer's own acts are counted.
#[tokio::test]
async fn what_is_out_of_reach_of_ops_is_counted_when_the_customer_does_it() {
    run(async |h: &Harness| {
        let before = taken(h).await;
        let kari = h.person(KARI).await;
        h.signed(&kari, &instruction()).await;
        h.ask(&h.platform("itslearning"), "k", &export()).await.expect(201);
        let after = taken(h).await;
        assert_eq!(
            (after["instruction.signed"], after["export.permitted"]),
            (before["instruction.signed"] + 1, before["export.permitted"] + 1)
        );
    })
    .await;
}

#[tokio::test]
async fn refused_attempts_cannot_flood_a_customers_log() {
    run(async |h: &Harness| {
        let (kari, reader) = (h.person(KARI).await, h.login("reader@ops.example").await);
        let customer = h.customer("Nordvik");
        let path = format!("/api/admin/v1/customers/{customer}/suspensions");
        let before = seen(&kari).await.len();
        let mut statuses = BTreeMap::new();
        for _ in 0..100 {
            *statuses.entry(reader.post(&path, &json!({"ground": "x"})).await.status.as_u16()).or_insert(0) += 1;
        }
        assert_eq!(statuses, BTreeMap::from([(403, 60), (429, 40)]));
        assert_eq!(seen(&kari).await.len() - before, 60);
        // Another spelling of the same id is the same attempt, and reading is none.
        let spelt = path.replace("cus_", "%63us_");
        assert_eq!(reader.post(&spelt, &json!({"ground": "x"})).await.status, 429);
        reader.get(&path).await.expect(200);
        // Somebody else, another customer, and the next span are not concerned.
        h.person(SECURITY).await.post(&path, &json!({"ground": "x"})).await.expect(201);
        reader.post(&path.replace(&customer, &h.customer("Søby")), &json!({"ground": "x"})).await.expect(403);
        h.advance(Duration::minutes(10));
        reader.post(&spelt, &json!({"ground": "x"})).await.expect(403);
        let refused = kari.get("/api/v1/evidence/entries?type=ops.attempt_refused&limit=100").await.expect(200);
        assert_eq!(refused.json()["data"].as_array().unwrap().len(), 61);
    })
    .await;
}

#[tokio::test]
async fn a_log_that_is_no_customers_is_nobody_to_ops() {
    run(async |h: &Harness| {
        let (kari, nordvik) = (h.person(KARI).await, h.customer("Nordvik"));
        let loot = loot(h, &kari, &nordvik).await;
        let parameters = kari.get("/api/v1/agreements").await.expect(200).json()["data"][0]["parameters"].clone();
        let callers = [h.person(ADMIN).await, h.person(PRIVACY).await, h.person(SECURITY).await];
        let reserved =
            [("cus_00000000000070008000000000000001", LogId::REGISTRY), ("cus_00000000000070008000000000000002", LogId::PROCESSOR)];
        let mut absent = 0;
        for (id, reserved) in reserved {
            let size = log(h, reserved).await.len();
            for route in mandate::app::table().iter().filter(|r| r.method != Method::GET && r.path.contains("{customer_id}")) {
                for path in paths(route, id, &loot) {
                    for caller in &callers {
                        let status = call(caller, route, &path, &body(route, &loot, &parameters)).await.status.as_u16();
                        assert!([403, 404, 422].contains(&status), "{} {path}: {status}", route.method);
                        absent += usize::from(status == 404);
                    }
                }
            }
            assert_eq!(log(h, reserved).await.len(), size, "{id}");
        }
        assert!(absent > 20, "{absent} calls reached the tenant");
    })
    .await;
}
