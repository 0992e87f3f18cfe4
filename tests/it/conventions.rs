//! The conventions of the API that hold on every surface, by their numbers in the plan.

use serde_json::{Value, json};

use crate::support::{Harness, KARI, run};

/// 1: the document is generated from the table, and equal to the committed snapshot
/// (`mandate openapi > docs/openapi.json`). Negative control: any change of a route or view.
#[test]
fn the_openapi_document_equals_the_committed_snapshot() {
    let document = serde_json::to_value(mandate::http::openapi(&mandate::app::table())).unwrap();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
    let committed: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document == committed, "docs/openapi.json is not what the routes say: run `cargo run -- openapi > docs/openapi.json`");
}

/// 1, 2: every route is in it, in plural kebab-case without verbs.
#[test]
fn every_route_is_documented_and_spelt_like_the_others() {
    let table = mandate::app::table();
    let document = serde_json::to_value(mandate::http::openapi(&table)).unwrap();
    for route in &table {
        // The document knows no segments that stand for several.
        let operation = &document["paths"][route.path.replace("{*", "{")][route.method.as_str().to_lowercase()];
        assert!(operation.is_object(), "{} {}", route.method, route.path);
        let segments = route.path.split('/').filter(|s| !s.starts_with('{'));
        for segment in segments {
            assert!(segment.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._".contains(c)), "{}", route.path);
        }
    }
    assert!(table.len() > 80, "{}", table.len());
}

/// 8, 9: every error is a problem with a page, and an id that does not parse is an absent one.
#[tokio::test]
async fn errors_are_problems_with_pages() {
    run(async |h: &Harness| {
        let kari = h.login(KARI).await;
        let absent = kari.get("/api/v1/instructions/ins_0190a0b0c0d0700080000123456789ab").await.expect(404);
        let page = h.nobody.get(&absent.text("/type")).await.expect(200);
        assert!(page.headers["content-type"].to_str().unwrap().starts_with("text/html"));
        let csp = page.headers["content-security-policy"].to_str().unwrap();
        assert!(csp.contains("default-src 'none'") && !csp.contains("unsafe"), "{csp}");
        kari.get("/api/v1/instructions/nonsense").await.expect(404);
        kari.get("/api/v1/instructions/exp_0190a0b0c0d0700080000123456789ab").await.expect(404);
        let wrong = h.nobody.get("/api/v1/me").await.expect(401);
        assert_eq!(wrong.headers["www-authenticate"], "Bearer");
    })
    .await;
}

/// 1: interactive pages from the binary under a strict policy.
#[tokio::test]
async fn the_docs_are_served_without_inline_script() {
    run(async |h: &Harness| {
        let docs = h.nobody.get("/docs").await;
        let csp = docs.headers["content-security-policy"].to_str().unwrap().to_owned();
        assert!(docs.status.is_success() && csp.contains("script-src 'self'") && !csp.contains("unsafe-inline"), "{csp}");
        let document = h.nobody.get("/openapi.json").await.expect(200);
        assert_eq!(document.json()["info"]["title"], "Mandate");
    })
    .await;
}

/// 3, 12: receipts have one shape, and name the entry that the log then holds.
#[tokio::test]
async fn a_receipt_names_the_entry_that_was_made() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let made = kari.post("/api/v1/suspensions", &json!({"ground": "x"})).await.expect(201).json()["receipt"].clone();
        let log = kari.get("/api/v1/evidence/log").await.expect(200).json();
        assert_eq!((&made["origin"], &made["size"], &made["root"]), (&log["origin"], &log["size"], &log["root"]));
        assert_eq!(made["index"].as_u64().unwrap() + 1, made["size"].as_u64().unwrap());
    })
    .await;
}

/// Permits can be checked by anyone: the key set holds the key that a permit names.
#[tokio::test]
async fn the_key_set_holds_the_key_of_the_permits() {
    run(async |h: &Harness| {
        let keys = h.nobody.get("/.well-known/jwks.json").await.expect(200).json();
        assert_eq!(keys["keys"][0]["kid"], h.app.permits.first().kid());
        assert_eq!((&keys["keys"][0]["kty"], &keys["keys"][0]["crv"]), (&json!("EC"), &json!("P-256")));
        assert!(keys["keys"][0].get("d").is_none(), "nothing private is published");
    })
    .await;
}
