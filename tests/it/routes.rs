//! Every route that exists, as every role, and with an id of the neighbour customer. The router is
//! built from the table that these tests walk, so a route cannot escape them.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::Method;
use mandate::http::{Access, Credential, Route};
use serde_json::{Value, json};

use crate::support::{ADMIN, Answer, Client, Harness, KARI, PRIVACY, SECURITY, instruction, run};

/// A well-formed id that names nothing, by the name of the path parameter.
pub fn absent(parameter: &str) -> String {
    let prefix = match parameter {
        "customer_id" => "cus",
        "instruction_id" => "ins",
        "agreement_id" => "agr",
        "document_id" => "doc",
        "export_id" => "exp",
        "membership_id" => "mem",
        "session_id" => "ses",
        "api_key_id" => "key",
        "suspension_id" => "sus",
        "recipient_id" => "rec",
        "operation_id" => "opn",
        "ops_person_id" => "ops",
        "first_signatory_id" => "fsg",
        "alarm_id" => "alm",
        "account_recovery_id" => "rcv",
        "ops_recovery_id" => "orc",
        "second_factor_id" => "fac",
        "platform" => return "itslearning".to_owned(),
        "kind" => return "export".to_owned(),
        "entry_id" => "ent",
        "log" => "cus",
        "epoch" => return "1".to_owned(),
        "*path" => return "checkpoint".to_owned(),
        "index" => return "999999".to_owned(),
        "slug" => return "not-found".to_owned(),
        "file" | "asset" | "name" => return "index.html".to_owned(),
        other => panic!("the path parameter {other} has no absent value: add it"),
    };
    format!("{prefix}_0190a0b0c0d0700080000123456789ab")
}

pub fn parameters(route: &Route) -> Vec<String> {
    route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}').map(str::to_owned)).collect()
}

pub fn path(route: &Route, value: impl Fn(&str) -> String) -> String {
    let parts = route.path.split('/').map(|part| match part.strip_prefix('{').and_then(|p| p.strip_suffix('}')) {
        Some(name) => value(name),
        None => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("/")
}

/// A body that passes the route's shape, so that the answer is about the id and not about the body.
fn body(route: &Route, password: &str) -> Value {
    match route.path.rsplit('/').next().unwrap() {
        "signatures" => json!({"version": 1}),
        "acceptances" => json!({"document_sha256": "0".repeat(64)}),
        "confirmations" if route.path.contains("/second-factors/") => json!({"password": password, "code": "000000"}),
        "confirmations" if route.path.contains("/people/") => json!({}),
        "confirmations" => json!({"contest": "con_0190a0b0c0d0700080000123456789ab", "text": "Confirmed."}),
        "versions" | "draft" => instruction(),
        "authorities" => json!({"kind": "export"}),
        "step-ups" => json!({"password": password, "code": "000000"}),
        "contests" => json!({"version": 1, "ground": "GDPR Art. 6"}),
        "redemptions" => json!({"permit": "x.y.z"}),
        "completions" => json!({"sha256": "0".repeat(64)}),
        // Refused, since what is accepted is work to be done.
        "packs" => json!({"from_at": "2026-01-01T00:00:00Z"}),
        "chunks" => json!({"chunk_no": 1}),
        "state-confirmations" => json!({"epoch": 1}),
        "export-completions" => json!({"completions": [{"export": absent("export_id"), "sha256": "0".repeat(64)}]}),
        _ => json!({}),
    }
}

pub async fn call(client: &Client, route: &Route, path: &str, password: &str) -> Answer {
    let headers = [
        ("content-type", "application/json"),
        ("idempotency-key", "walk"),
        ("if-match", "\"0000\""),
        ("x-request-id", "the-same-for-both"),
    ];
    let bytes = if route.method == Method::GET { Body::empty() } else { Body::from(body(route, password).to_string()) };
    client.send(client.request(route.method.clone(), path, &headers, bytes)).await
}

struct Role {
    word: &'static str,
    surface: &'static str,
    is_key: bool,
    client: Client,
}

async fn roles(h: &Harness) -> Vec<Role> {
    let kari = h.person(KARI).await;
    let key = json!({"name": "reading", "role": "customer_reader", "expires_at": "2027-01-01T00:00:00Z"});
    let key = kari.post("/api/v1/api-keys", &key).await.expect(201).text("/key");
    let role = |word, surface, is_key, client| Role { word, surface, is_key, client };
    vec![
        role("customer_admin", "institution", false, kari),
        role("customer_reader", "institution", false, h.login("jonas.lie@nordvik.example").await),
        role("auditor", "institution", false, h.login("revisor@revisjon.example").await),
        role("customer_reader", "institution", true, h.nobody.with(key)),
        role("ops_admin", "admin", false, h.person(ADMIN).await),
        role("ops_privacy", "admin", false, h.person(PRIVACY).await),
        role("ops_security", "admin", false, h.person(SECURITY).await),
        role("ops_reader", "admin", false, h.login("reader@ops.example").await),
        role("platform", "gate", true, h.platform("itslearning")),
        role("nobody", "none", false, h.nobody.clone()),
        role("nobody", "none", false, h.nobody.with("mds_".to_owned() + &"0".repeat(64))),
    ]
}

/// What the table says of a role: may call, is of another surface (401), or is not listed (403).
fn expected(access: Access, role: &Role) -> Option<u16> {
    let (roles, credential, surface) = match access {
        Access::Public => return None,
        Access::Gate => return (role.surface != "gate").then_some(401),
        Access::Institution { credential, .. } => (access.roles(), credential, "institution"),
        Access::Admin { credential, .. } => (access.roles(), credential, "admin"),
    };
    if role.surface != surface {
        Some(401)
    } else if !roles.contains(&role.word) || (role.is_key && credential == Credential::SessionOnly) {
        Some(403)
    } else {
        None
    }
}

#[tokio::test]
async fn every_route_refuses_every_role_it_does_not_name() {
    run(async |h: &Harness| {
        let roles = roles(h).await;
        let mut walked = 0;
        for route in mandate::app::table() {
            for role in &roles {
                let answer = call(&role.client, &route, &path(&route, absent), "wrong password here").await;
                let problem = answer.json()["type"].as_str().unwrap_or_default().to_owned();
                let what = format!("{} {} as {} ({})", route.method, route.path, role.word, role.surface);
                match expected(route.access, role) {
                    Some(status) => assert_eq!(answer.status, status, "{what}"),
                    // Negative control: who is named gets past the guard.
                    None => {
                        let login =
                            route.path.ends_with("/sessions") || route.path.ends_with("-acceptances") || route.path.ends_with("/step-ups");
                        assert!(login || answer.status != 401, "{what}: {problem}");
                        assert!(!problem.ends_with("/forbidden") || role.word != "customer_admin", "{what}");
                        assert!(answer.status.as_u16() < 500, "{what}: {problem}");
                    }
                }
                walked += 1;
            }
        }
        assert!(walked > 500, "{walked}");
    })
    .await;
}

#[tokio::test]
async fn a_log_that_is_no_customers_is_answered_like_an_absent_customer_on_every_route() {
    run(async |h: &Harness| {
        let logs = h.logs().await;
        assert_eq!(logs.iter().filter(|(_, kind, _)| kind == "platform").count(), 3);
        let callers = [h.person(ADMIN).await, h.person(PRIVACY).await, h.person(SECURITY).await];
        let (mut compared, mut found) = (0, 0);
        for route in mandate::app::table() {
            if !parameters(&route).iter().any(|name| name == "customer_id") {
                continue;
            }
            let with = |customer: &str| path(&route, |name| if name == "customer_id" { customer.to_owned() } else { absent(name) });
            for client in &callers {
                let nowhere = call(client, &route, &with(&absent("customer_id")), "x").await;
                for (id, kind, name) in &logs {
                    let answer = call(client, &route, &with(&format!("cus_{}", id.simple())), "x").await;
                    if kind == "customer" {
                        // Negative control: some routes find a customer.
                        found += usize::from(answer.status == 200);
                        continue;
                    }
                    let what = format!("{} {} as {name}", route.method, route.path);
                    assert_eq!((answer.status, &answer.bytes), (nowhere.status, &nowhere.bytes), "{what}");
                    compared += usize::from(answer.status == 404);
                }
            }
        }
        assert!(compared > 50 && found > 20, "{compared} {found}");
    })
    .await;
}

/// Something of the neighbour's for each parameter that names a tenant's record.
pub async fn neighbours(h: &Harness) -> BTreeMap<&'static str, String> {
    let mette = h.person("mette.holm@soby.example").await;
    let first = async |path: &str| mette.get(path).await.expect(200).text("/data/0/id");
    let session = mette.get("/api/v1/sessions").await.expect(200).text("/data/0/id");
    let mut theirs = instruction();
    theirs["data_categories"] = json!(["identity"]);
    let key = json!({"name": "k", "role": "customer_reader", "expires_at": "2027-01-01T00:00:00Z"});
    let instruction_id = h.signed(&mette, &theirs).await;
    let ask = json!({"customer": "site-2002-its", "platform": "itslearning", "channel": "organisation-api", "purpose": "statutory-reporting",
        "data_categories": ["identity"], "subjects": [{"kind": "whole"}],
        "recipient": {"legal_entity": "Utdanningsregisteret", "country": "NO", "role": "school_authority"}, "requested_by": {"kind": "job", "ref": "x"}});
    let export = h.ask(&h.platform("itslearning"), "n", &ask).await.expect(201).text("/id");
    BTreeMap::from([
        ("instruction_id", instruction_id),
        ("agreement_id", first("/api/v1/agreements").await),
        ("document_id", first("/api/v1/documents").await),
        ("export_id", export),
        ("membership_id", first("/api/v1/people").await),
        ("session_id", session),
        ("api_key_id", mette.post("/api/v1/api-keys", &key).await.expect(201).text("/id")),
        ("suspension_id", mette.post("/api/v1/suspensions", &json!({"ground": "x"})).await.expect(201).text("/id")),
        ("recipient_id", first("/api/v1/recipients").await),
        ("entry_id", first("/api/v1/evidence/entries").await),
        ("log", h.customer("Søby")),
        ("account_recovery_id", {
            let path = format!("/api/admin/v1/customers/{}/account-recoveries", h.customer("Søby"));
            let body = json!({"membership": first("/api/v1/people").await, "agreement": first("/api/v1/agreements").await});
            h.person(ADMIN).await.post(&path, &body).await.expect(201).text("/id")
        }),
        ("first_signatory_id", {
            let path = format!("/api/admin/v1/customers/{}/first-signatories", h.customer("Søby"));
            h.person(ADMIN).await.get(&path).await.expect(200).text("/data/0/id")
        }),
    ])
}

#[tokio::test]
async fn a_neighbours_id_and_an_absent_one_get_the_same_bytes_on_every_route() {
    run(async |h: &Harness| {
        let theirs = neighbours(h).await;
        let nordvik = h.customer("Nordvik");
        let callers = [h.person(KARI).await, h.person(ADMIN).await, h.person(PRIVACY).await, h.person(SECURITY).await];
        let mut compared = 0;
        for route in mandate::app::table() {
            let named: Vec<String> = parameters(&route).into_iter().filter(|p| theirs.contains_key(p.as_str())).collect();
            if named.is_empty() || route.access == Access::Gate || route.access == Access::Public {
                continue;
            }
            let mine = |name: &str| if name == "customer_id" { nordvik.clone() } else { absent(name) };
            let foreign = path(&route, |name| theirs.get(name).cloned().unwrap_or_else(|| mine(name)));
            let nowhere = path(&route, mine);
            for client in &callers {
                let (a, b) = (call(client, &route, &foreign, "x").await, call(client, &route, &nowhere, "x").await);
                let instance = |answer: &Answer| String::from_utf8_lossy(&answer.bytes).into_owned();
                assert_eq!((a.status, instance(&a)), (b.status, instance(&b)), "{} {}", route.method, route.path);
                if a.status == 404 {
                    compared += 1;
                } else {
                    assert!(
                        [401, 403].contains(&a.status.as_u16()),
                        "{} {} answered {} {}",
                        route.method,
                        route.path,
                        a.status,
                        instance(&a)
                    );
                }
            }
        }
        // Negative control: the owner's own id is found.
        let mette = h.person("mette.holm@soby.example").await;
        mette.get(&format!("/api/v1/instructions/{}", theirs["instruction_id"])).await.expect(200);
        assert!(compared >= 25, "{compared} comparisons reached the lookup");
    })
    .await;
}
