//! The logs whose rows are changed: a customer that has everything the gate keeps, in few entries, and
//! another whose log fills a tile.

use mandate::export::sweep;
use serde_json::{Value, json};

use crate::support::{Client, Harness, KARI, PRIVACY, export, instruction, with};

/// Tables whose rows are changed.
pub const SAVED: [&str; 20] = [
    "log_entry",
    "log_head",
    "log_tile",
    "agreement",
    "suspension",
    "instruction_version",
    "instruction_term",
    "instruction_revocation",
    "instruction_contest",
    "instruction_confirmation",
    "instruction_usage",
    "export",
    "export_chunk",
    "membership",
    "authority",
    "first_signatory",
    "api_key",
    "recipient",
    "document",
    "document_part",
];

async fn ended(platform: &Client, export: &str, how: &str, body: Value) {
    let path = format!("/gate/v1/exports/{export}/{how}");
    platform.post_with(&path, &[("idempotency-key", &format!("{how} {export}").replace(' ', "-"))], &body).await.expect(201);
}

/// A key that was revoked and one that was not, an authority that was taken back.
async fn people(kari: &Client) {
    let key = json!({"name": "nightly", "role": "customer_reader", "expires_at": "2027-01-01T00:00:00Z"});
    let made = kari.post("/api/v1/api-keys", &key).await.expect(201).text("/id");
    kari.post(&format!("/api/v1/api-keys/{made}/revocations"), &json!({})).await.expect(201);
    kari.post("/api/v1/api-keys", &with(key, json!({"name": "weekly"}))).await.expect(201);
    let people = kari.get("/api/v1/people").await.expect(200).json();
    let other = people["data"].as_array().unwrap().iter().find(|member| member["authority"].as_array().unwrap().len() == 1);
    if let Some(member) = other {
        let (id, kind) = (member["id"].as_str().unwrap(), member["authority"][0]["kind"].as_str().unwrap());
        kari.post(&format!("/api/v1/people/{id}/authorities/{kind}/endings"), &json!({})).await.expect(201);
    }
}

/// Instructions signed, contested, confirmed and revoked; exports that wait, run, stopped and ended in each
/// way; suspensions open and released. Gives the names of the logs.
pub async fn filled(h: &Harness) -> Vec<String> {
    let (kari, platform) = (h.person(KARI).await, h.platform("itslearning"));
    let volume = json!({"rows": 100, "files": 10});
    let id = h.signed(&kari, &with(instruction(), json!({"volume": {"per_export": volume}}))).await;
    let contests = format!("/api/admin/v1/customers/{}/instructions/{id}/contests", h.customer("Nordvik"));
    let asked = with(export(), json!({"volume": volume}));
    let chunk = json!({"chunk_no": 1, "rows": 30, "files": 3, "last": "file-3"});
    let mut running = Vec::new();
    for name in ["swept", "late", "completed", "aborted", "running"] {
        let export = h.running(&platform, name, &asked).await;
        h.chunk(&platform, &format!("{name}-1"), &export, &chunk).await.expect(201);
        running.push(export);
        if name == "late" {
            h.advance(chrono::Duration::hours(36));
            assert_eq!(sweep(&h.app).await.unwrap(), 2);
        }
    }
    let digest = "ab".repeat(32);
    ended(&platform, &running[1], "completions", json!({"rows": 30, "files": 3, "sha256": digest})).await;
    ended(&platform, &running[2], "completions", json!({"rows": 30, "files": 3, "sha256": digest})).await;
    ended(&platform, &running[3], "abortions", json!({})).await;
    h.ask(&platform, "waits", &asked).await.expect(201);
    let kari = h.person(KARI).await;
    let contest = async || h.person(PRIVACY).await.post(&contests, &json!({"version": 1, "ground": "GDPR Art. 6"})).await.expect(201);
    let body = json!({"contest": contest().await.text("/versions/0/contests/0/id"), "text": "We confirm it."});
    kari.post(&format!("/api/v1/instructions/{id}/confirmations"), &body).await.expect(201);
    contest().await;
    h.chunk(&platform, "stopped", &running[4], &json!({"chunk_no": 2, "rows": 1, "files": 1})).await.expect(403);
    let revoked = h.signed(&kari, &with(instruction(), json!({"purposes": ["support"]}))).await;
    kari.post(&format!("/api/v1/instructions/{revoked}/revocations"), &json!({})).await.expect(201);
    let restriction =
        json!({"kind": "restriction", "platforms": ["itslearning"], "subjects": [{"kind": "unit", "unit": "S03"}], "text": "Art. 18."});
    h.signed(&kari, &restriction).await;
    let suspended = kari.post("/api/v1/suspensions", &json!({"ground": "a try"})).await.expect(201).text("/id");
    kari.post(&format!("/api/v1/suspensions/{suspended}/releases"), &json!({})).await.expect(201);
    kari.post("/api/v1/suspensions", &json!({"ground": "another"})).await.expect(201);
    people(&kari).await;
    h.ask(&platform, "refused", &asked).await.expect(403);
    let elsewhere = with(export(), json!({"customer": "site-2002-its"}));
    for number in 0..260 {
        h.ask(&platform, &format!("r{number}"), &elsewhere).await.expect(403);
    }
    h.app.notary.keep_noted(&h.app.db).await.unwrap();
    vec![h.customer("Nordvik"), h.customer("Søby")]
}
