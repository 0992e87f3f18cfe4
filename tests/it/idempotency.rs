//! `Idempotency-Key` (convention 6): what a request that is sent again gets, whatever happened to
//! the first. The storm of concurrent sends is in `idempotency_storm`.

use axum::http::Method;
use chrono::Duration;
use mandate::base::{Digest, Error, TypedId as _};
use mandate::db::{Claimed, IdempotencyScope, Lock, Role};
use mandate::evidence::{Actor, Event, NewEntry};
use mandate::http::Idempotency;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor as _, PgConnection, Row as _};

use crate::support::{ADMIN, Answer, Client, Harness, KARI, MAJA, fresh_key, instruction, run, with};

/// A draft that is known by its recipient: an act that nothing but its key keeps from a second time.
pub fn draft(name: &str) -> Value {
    with(instruction(), json!({"recipients": [{"legal_entity": name, "country": "NO", "role": "school_authority"}]}))
}

async fn add(client: &Client, key: &str, name: &str) -> Answer {
    client.post_with("/api/v1/instructions", &[("idempotency-key", key)], &draft(name)).await
}

fn replayed(answer: &Answer) -> bool {
    answer.headers.get("idempotency-replayed").is_some_and(|value| value == "true")
}

#[track_caller]
fn conflict(answer: &Answer, code: &str) {
    assert_eq!((answer.status.as_u16(), answer.json()["code"].as_str()), (409, Some(code)), "{}", answer.json());
}

async fn owner(h: &Harness) -> PgConnection {
    mandate::db::connect(h.database.owner_url.expose_secret()).await.unwrap()
}

async fn drafts(client: &Client) -> usize {
    client.get("/api/v1/instructions?limit=100").await.expect(200).json()["data"].as_array().unwrap().len()
}

#[tokio::test]
async fn the_same_key_and_body_get_the_same_answer_and_one_effect() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let before = drafts(&kari).await;
        let first = add(&kari, "k", "A").await.expect(201);
        let again = add(&kari, "k", "A").await.expect(201);
        assert!(!replayed(&first) && replayed(&again));
        assert_eq!(first.bytes, again.bytes);
        for name in ["location", "content-type"] {
            assert_eq!(first.headers[name], again.headers[name], "{name}");
        }
        // Of another session of the same person too.
        assert_eq!(add(&h.login(KARI).await, "k", "A").await.expect(201).bytes, first.bytes);
        let other = add(&kari, "k", "B").await.expect(422);
        assert_eq!(other.faults(), [("Idempotency-Key".to_owned(), "reused".to_owned())]);
        assert_eq!(drafts(&kari).await, before + 1);
        // Controls: another key, no key, another person and another route are other requests.
        add(&kari, "l", "A").await.expect(201);
        kari.post_with("/api/v1/instructions", &[], &draft("A")).await.expect(201);
        assert!(!replayed(&add(&h.person(MAJA).await, "k", "A").await.expect(201)));
        assert_eq!(drafts(&kari).await, before + 4);
        let recipient = json!({"legal_entity": "A", "country": "NO", "role": "vendor"});
        let elsewhere = kari.post_with("/api/v1/recipients", &[("idempotency-key", "k")], &recipient).await.expect(201);
        assert!(!replayed(&elsewhere));
    })
    .await;
}

/// Every POST of a known caller keeps answers, and those that law hangs on demand a key.
#[tokio::test]
async fn every_post_takes_a_key_and_some_demand_one() {
    run(async |h: &Harness| {
        let document = serde_json::to_value(mandate::http::openapi(&mandate::app::table())).unwrap();
        let (kari, admin) = (h.person(KARI).await, h.person(ADMIN).await);
        let mut demanded = 0;
        for route in mandate::app::table().iter().filter(|route| route.method == Method::POST) {
            let operation = &document["paths"][&route.path]["post"];
            let declared = operation["parameters"].as_array().unwrap().iter().find(|p| p["name"] == "Idempotency-Key");
            let required = declared.unwrap_or_else(|| panic!("{} declares no Idempotency-Key", route.path))["required"] == true;
            let last = route.path.rsplit('/').next().unwrap();
            assert_eq!(required, ["signatures", "revocations"].contains(&last) || route.path.starts_with("/gate/"), "{}", route.path);
            if route.idempotency() == Idempotency::Required {
                let client = if route.path.starts_with("/api/admin") { &admin } else { &kari };
                let path = route.path.replace(['{', '}'], "");
                let headers = [("if-match", "\"x\"")];
                let answer = client.post_with(&path, &headers, &json!({})).await;
                if answer.status != 403 {
                    assert_eq!(answer.expect(400).faults(), [("Idempotency-Key".to_owned(), "required".to_owned())], "{path}");
                    demanded += 1;
                }
            }
            if matches!(route.idempotency(), Idempotency::Kept | Idempotency::Required) {
                for status in ["400", "409", "422"] {
                    assert!(operation["responses"][status].is_object(), "{} does not document {status}", route.path);
                }
            }
        }
        assert!(demanded >= 4, "{demanded}");
    })
    .await;
}

#[tokio::test]
async fn a_refusal_has_no_effect_and_gives_the_key_back() {
    run(async |h: &Harness| {
        let kari = h.login(KARI).await;
        let id = h.drafted(&kari, &instruction()).await;
        let path = format!("/api/v1/instructions/{id}");
        let etag = kari.get(&path).await.headers["etag"].to_str().unwrap().to_owned();
        let sign = async || {
            let headers = [("if-match", etag.as_str()), ("idempotency-key", "sign")];
            kari.post_with(&format!("{path}/signatures"), &headers, &json!({"version": 1})).await
        };
        assert!(sign().await.expect(403).text("/type").ends_with("step-up-required"));
        h.step_up(&kari, KARI).await;
        let signed = sign().await.expect(201);
        // The tag that was seen is stale by now; the answer to the same request stands all the same.
        let again = sign().await.expect(201);
        assert!(replayed(&again) && again.bytes == signed.bytes);
    })
    .await;
}

#[tokio::test]
async fn a_secret_is_shown_again_to_its_session_only_and_is_not_in_the_table() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let body = json!({"name": "k", "role": "customer_reader", "expires_at": "2027-01-01T00:00:00Z"});
        let make = async |client: &Client| client.post_with("/api/v1/api-keys", &[("idempotency-key", "guess")], &body).await;
        let made = make(&kari).await.expect(201);
        assert_eq!(make(&kari).await.expect(201).bytes, made.bytes);
        conflict(&make(&h.person(KARI).await).await, "secret-shown-once");
        let row = sqlx::query("SELECT * FROM idempotency WHERE route = 'create_api_key'").fetch_one(&mut owner(h).await).await;
        assert!(row.is_err(), "the owner sees no tenant's row");
        let text = rows(h).await;
        assert!(text.contains("create_api_key"), "{text}");
        let secret = made.text("/key");
        let hidden = [secret.clone(), hex::encode(&secret), "guess".to_owned(), hex::encode("guess"), hex::encode("receipt\":")];
        assert!(hidden.iter().all(|part| !text.contains(part)), "{text}");
        // Control: what stands in clear is found by the same look.
        assert!(text.contains("leaf_hash"), "{text}");
    })
    .await;
}

/// What looks like a secret in an answer has the format `password`, by which the guard knows that the
/// answer is sealed with the caller's token too. A new route that shows one is held to it here.
#[test]
fn what_shows_a_secret_is_marked_as_one() {
    let document = serde_json::to_value(mandate::http::openapi(&mandate::app::table())).unwrap();
    fn walk(node: &Value, document: &Value, seen: &mut Vec<String>, found: &mut Vec<(String, bool)>) {
        match node {
            Value::Object(members) => {
                if let Some(target) = members.get("$ref").and_then(Value::as_str).filter(|target| !seen.contains(&(*target).to_owned())) {
                    seen.push(target.to_owned());
                    walk(document.pointer(&target[1..]).unwrap(), document, seen, found);
                }
                for (name, property) in members.get("properties").and_then(Value::as_object).into_iter().flatten() {
                    let words = ["key", "token", "secret", "code", "codes", "recovery_codes", "uri", "otpauth_uri", "password"];
                    let is_text = property["type"] == "string" && property["pattern"].is_null() && property["enum"].is_null();
                    if words.contains(&name.as_str()) && (is_text || property["format"] == "password") {
                        found.push((name.clone(), property["format"] == "password"));
                    }
                }
                members.values().for_each(|value| walk(value, document, seen, found));
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, document, seen, found)),
            _ => {}
        }
    }
    let mut marked = 0;
    for route in mandate::app::table().iter().filter(|route| route.method == Method::POST && !route.path.starts_with("/gate/")) {
        let responses = &document["paths"][&route.path]["post"]["responses"];
        let successes = responses.as_object().unwrap().iter().filter(|(status, _)| status.starts_with('2'));
        let mut found = Vec::new();
        successes.for_each(|(_, response)| walk(response, &document, &mut Vec::new(), &mut found));
        for (name, is_marked) in found {
            assert!(is_marked, "{}: {name} looks like a secret: give it #[schema(format = Password)]", route.path);
            marked += 1;
        }
    }
    assert!(marked >= 4, "{marked}");
}

/// Every row of Nordvik's, as text.
async fn rows(h: &Harness) -> String {
    let mut owner = owner(h).await;
    let nordvik = h.customer("Nordvik").parse::<mandate::base::CustomerId>().unwrap().uuid();
    owner.execute("ALTER TABLE idempotency NO FORCE ROW LEVEL SECURITY").await.unwrap();
    let found = sqlx::query("SELECT i::text FROM idempotency i WHERE customer_id = $1").bind(nordvik).fetch_all(&mut owner).await.unwrap();
    owner.execute("ALTER TABLE idempotency FORCE ROW LEVEL SECURITY").await.unwrap();
    found.iter().map(|row| row.get::<String, _>(0)).collect::<Vec<_>>().join("\n")
}

async fn as_owner(h: &Harness, sql: &str) -> u64 {
    let mut owner = owner(h).await;
    owner.execute("ALTER TABLE idempotency NO FORCE ROW LEVEL SECURITY").await.unwrap();
    let done = sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&mut owner).await.unwrap().rows_affected();
    owner.execute("ALTER TABLE idempotency FORCE ROW LEVEL SECURITY").await.unwrap();
    done
}

/// As if the process had ended between the COMMIT of the effect and the keeping of its answer.
#[tokio::test]
async fn an_effect_whose_answer_is_lost_is_told_by_its_receipts_and_not_done_again() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let made = add(&kari, "k", "A").await.expect(201);
        let before = drafts(&kari).await;
        assert_eq!(as_owner(h, "UPDATE idempotency SET status = NULL, answer = NULL WHERE route = 'draft_instruction'").await, 1);
        h.advance(Duration::minutes(10));
        for _ in 0..2 {
            let lost = add(&kari, "k", "A").await.expect(409);
            assert!(lost.text("/type").ends_with("/outcome-recorded"));
            // Unsigned: it was written before anything was committed that could be signed.
            let mut receipt = made.json()["receipt"].clone();
            receipt.as_object_mut().unwrap().remove("proof").unwrap();
            assert_eq!(lost.json()["receipts"], json!([receipt]));
        }
        add(&kari, "k", "B").await.expect(422);
        assert_eq!(drafts(&kari).await, before);
    })
    .await;
}

/// As if the process had ended before the COMMIT: nothing happened, so the request may run again.
#[tokio::test]
async fn a_claim_that_is_left_behind_is_taken_over_and_can_then_not_commit() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let home = h.customer("Nordvik").parse::<mandate::base::CustomerId>().unwrap().into();
        let scope = IdempotencyScope {
            home,
            role: Role::App,
            principal: uuid::Uuid::from_u128(7),
            route: "draft_instruction".into(),
            key_hash: Digest([7; 32]),
        };
        let db = &h.app.db;
        let Claimed::Mine(slow) = db.claim(scope.clone(), None).await.unwrap() else { panic!("a free key") };
        assert!(matches!(db.claim(scope.clone(), None).await.unwrap(), Claimed::Known(known) if known.receipts.is_none()));
        // An effect under way, when the claim counts as left behind and is taken over.
        let acts = async |name: &'static str| {
            let tx = db.write(Role::App, name, Lock::Heads, home, &[]).await.unwrap();
            let event = Event::UnitsAdded { units: Vec::new() };
            mandate::evidence::commit(tx, vec![NewEntry::new(home, name, &Actor::system(), event)]).await
        };
        h.advance(Duration::seconds(61));
        let Claimed::Mine(second) = db.claim(scope.clone(), None).await.unwrap() else { panic!("a claim left behind") };
        let size = async || kari.get("/api/v1/evidence/log").await.expect(200).json()["size"].clone();
        let before = size().await;
        let refused = slow.hold(acts("slow")).await;
        assert!(matches!(refused, Err(Error::Conflict { code: "idempotency-key-taken-over", .. })), "{refused:?}");
        assert_eq!(size().await, before, "no second effect, and no entry of one");
        // Control: the same act with the claim that counts commits, and holds the key for good.
        second.hold(acts("second")).await.unwrap();
        h.advance(Duration::hours(1));
        assert!(matches!(db.claim(scope, None).await.unwrap(), Claimed::Known(known) if known.receipts.is_some()));
    })
    .await;
}

#[tokio::test]
async fn a_request_that_still_runs_is_409_and_runs_once() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let home: mandate::db::LogId = h.customer("Nordvik").parse::<mandate::base::CustomerId>().unwrap().into();
        // The head is held, so the first request waits inside its handler.
        let held = h.app.db.write(Role::Ops, "hold", Lock::Heads, home, &[]).await.unwrap();
        let first = tokio::spawn({
            let kari = kari.clone();
            async move { add(&kari, "k", "A").await }
        });
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        conflict(&add(&kari, "k", "A").await, "request-running");
        add(&kari, "k", "B").await.expect(422);
        drop(held);
        let first = first.await.unwrap().expect(201);
        assert_eq!(add(&kari, "k", "A").await.expect(201).bytes, first.bytes);
    })
    .await;
}

#[tokio::test]
async fn a_document_that_is_streamed_is_compared_whole() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let pdf = |line: &str| mandate::document::pdf_of_lines("Instruction", &[line.to_owned()]);
        let upload = async |bytes: Vec<u8>| {
            kari.raw(Method::POST, "/api/v1/documents", &[("content-type", "application/pdf"), ("idempotency-key", "k")], bytes).await
        };
        let first = upload(pdf("One")).await.expect(201);
        let again = upload(pdf("One")).await.expect(201);
        assert!(replayed(&again) && again.bytes == first.bytes);
        assert_eq!(upload(pdf("Two")).await.expect(422).faults()[0].1, "reused");
    })
    .await;
}

/// The same key on two customers' paths is two keys; ops persons have their own.
#[tokio::test]
async fn a_key_of_ops_is_one_for_each_customer() {
    run(async |h: &Harness| {
        let admin = h.person(ADMIN).await;
        let units = async |customer: &str, code: &str| {
            let path = format!("/api/admin/v1/customers/{}/units", h.customer(customer));
            admin.post_with(&path, &[("idempotency-key", "k")], &json!({"units": [{"code": code, "name": "A new school"}]})).await
        };
        let first = units("Nordvik", "Z1").await.expect(201);
        assert!(!replayed(&units("Søby", "Z1").await.expect(201)));
        assert_eq!(units("Nordvik", "Z1").await.expect(201).bytes, first.bytes);
        units("Nordvik", "Z2").await.expect(422);
    })
    .await;
}

#[tokio::test]
async fn a_key_is_free_after_thirty_days_and_its_row_is_swept() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        add(&kari, &fresh_key(), "A").await.expect(201);
        let first = add(&kari, "k", "B").await.expect(201);
        assert_eq!(h.app.db.sweep_idempotency().await.unwrap(), 0);
        h.advance(Duration::days(29));
        let kari = h.person(KARI).await;
        assert_eq!(add(&kari, "k", "B").await.expect(201).bytes, first.bytes);
        h.advance(Duration::days(2));
        let kari = h.person(KARI).await;
        assert!(!replayed(&add(&kari, "k", "B").await.expect(201)));
        assert!(h.app.db.sweep_idempotency().await.unwrap() >= 1);
        assert_eq!(as_owner(h, "UPDATE idempotency SET status = status WHERE expires_at <= '2026-12-25'").await, 0);
    })
    .await;
}
