//! Chunks of a running export: what leaves before a revocation and nothing after it, the budget of
//! the permit, each number once, and one effect per key. Negative control of each refusal: the
//! same chunk before the change, or with the right volume, number or key, is authorised.

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sqlx::Connection as _;

use crate::support::{Client, Harness, KARI, export, instruction, run, with};

fn files(number: u32, count: u32) -> Value {
    json!({"chunk_no": number, "files": count, "last": format!("file-{}", number * count)})
}

async fn limited(h: &Harness, kari: &Client, platform: &Client, volume: Value) -> (String, String) {
    let signed = h.signed(kari, &with(instruction(), json!({"volume": {"per_export": volume}}))).await;
    (signed, h.running(platform, "start", &with(export(), json!({"volume": volume}))).await)
}

async fn revoke(kari: &Client, instruction: &str) -> u64 {
    let revoked = kari.post(&format!("/api/v1/instructions/{instruction}/revocations"), &json!({})).await.expect(201);
    revoked.json()["receipt"]["index"].as_u64().unwrap()
}

#[tokio::test]
async fn an_export_revoked_at_chunk_37_lets_nothing_more_out_and_the_report_names_what_left() {
    run(async |h: &Harness| {
        let (kari, platform) = (h.person(KARI).await, h.platform("itslearning"));
        let (instruction, id) = limited(h, &kari, &platform, json!({"files": 48_000})).await;
        let mut left = 0;
        for number in 1..=96_u32 {
            if number == 38 {
                revoke(&kari, &instruction).await;
            }
            let answer = h.chunk(&platform, &format!("c{number}"), &id, &files(number, 500)).await;
            if answer.status == 201 {
                left += 500;
                assert!(number <= 37);
            } else {
                assert_eq!((answer.status.as_u16(), answer.reasons()), (403, vec!["instruction_revoked".to_owned()]));
            }
        }
        assert_eq!(left, 18_500);
        let seen = kari.get(&format!("/api/v1/exports/{id}")).await.expect(200).json();
        assert_eq!((&seen["state"], &seen["chunks"], &seen["authorised"]), (&json!("stopped"), &json!(37), &json!({"files": 18_500})));
        assert_eq!((&seen["last_chunk_no"], &seen["last"]), (&json!(37), &json!("file-18500")));
        let stopping = kari.get(&format!("/api/v1/decisions/{}", seen["stopped_index"])).await.expect(200).json();
        assert_eq!((&stopping["event"], &stopping["export"]), (&json!("export.chunk_refused"), &json!(id)));
        let told = h.mail_with("is stopped").await;
        assert_eq!(told.len(), 1, "told once, not for each of the 59 chunks refused: {told:?}");
        assert!(told[0].contains("37 chunks (18500 files)") && told[0].contains(&id), "{}", told[0]);
        assert!(!told[0].contains("file-18500"), "a reference of a file is not mailed");
        // The last file stands in no record: only a commitment does.
        let chunks = kari.get(&format!("/api/v1/exports/{id}/chunks?limit=100")).await.expect(200).json();
        assert_eq!((chunks["data"].as_array().unwrap().len(), &chunks["data"][36]["last"]), (37, &json!("file-18500")));
        let decisions = kari.get("/api/v1/decisions?limit=100").await.expect(200);
        assert!(!String::from_utf8_lossy(&decisions.bytes).contains("file-18500"));
    })
    .await;
}

#[tokio::test]
async fn of_chunks_in_parallel_with_a_revocation_those_authorised_stand_before_it_in_the_log() {
    run(async |h: &Harness| {
        let (kari, platform) = (h.person(KARI).await, h.platform("itslearning"));
        let (instruction, id) = limited(h, &kari, &platform, json!({"files": 1_000})).await;
        let chunks = (1..=40_u32).map(|number| {
            let (platform, id) = (platform.clone(), id.clone());
            async move { h.chunk(&platform, &format!("c{number}"), &id, &files(number, 10)).await }
        });
        let (answers, revoked) = tokio::join!(futures_util::future::join_all(chunks), revoke(&kari, &instruction));
        let mut left = 0;
        for answer in answers {
            let Some(index) = answer.json()["receipt"]["index"].as_u64() else {
                // There was no connection in time: nothing was decided, and nothing left.
                assert_eq!(answer.status, 503);
                continue;
            };
            assert_eq!(answer.status == 201, index < revoked, "{index} {revoked}");
            left += u64::from(answer.status == 201);
        }
        let late = h.chunk(&platform, "late", &id, &files(41, 10)).await.expect(403);
        assert_eq!(late.reasons(), ["instruction_revoked"]);
        let seen = kari.get(&format!("/api/v1/exports/{id}")).await.expect(200).json();
        assert_eq!(seen["chunks"].as_u64(), Some(left));
    })
    .await;
}

#[tokio::test]
async fn a_chunk_allowed_before_a_revocation_and_asked_again_with_its_key_after_it_is_refused_and_recorded() {
    run(async |h: &Harness| {
        let (kari, platform) = (h.person(KARI).await, h.platform("itslearning"));
        let (instruction, id) = limited(h, &kari, &platform, json!({"files": 100})).await;
        let first = h.chunk(&platform, "c1", &id, &files(1, 10)).await.expect(201);
        let again = h.chunk(&platform, "c1", &id, &files(1, 10)).await.expect(201);
        assert_eq!((again.bytes, again.headers["idempotency-replayed"].to_str().unwrap()), (first.bytes, "true"));
        revoke(&kari, &instruction).await;
        let after = h.chunk(&platform, "c1", &id, &files(1, 10)).await.expect(403);
        assert_eq!(after.reasons(), ["instruction_revoked"]);
        assert!(after.headers.get("idempotency-replayed").is_none(), "a new decision");
        let recorded = kari.get("/api/v1/decisions?reason=instruction_revoked").await.expect(200).json();
        assert_eq!(recorded["data"].as_array().unwrap().len(), 1);
        assert_eq!(
            (&recorded["data"][0]["event"], &recorded["data"][0]["index"]),
            (&json!("export.chunk_refused"), &after.json()["receipt"]["index"])
        );
        let seen = kari.get(&format!("/api/v1/exports/{id}")).await.expect(200).json();
        assert_eq!((&seen["state"], &seen["chunks"]), (&json!("stopped"), &json!(1)));
    })
    .await;
}

#[tokio::test]
async fn an_allowed_chunk_repeats_for_five_minutes_and_a_refused_one_for_ever() {
    run(async |h: &Harness| {
        let (kari, platform) = (h.person(KARI).await, h.platform("itslearning"));
        let (_, id) = limited(h, &kari, &platform, json!({"files": 100})).await;
        h.chunk(&platform, "c1", &id, &files(1, 60)).await.expect(201);
        let refused = h.chunk(&platform, "c2", &id, &files(2, 60)).await.expect(403);
        h.advance(chrono::Duration::seconds(300));
        h.chunk(&platform, "c1", &id, &files(1, 60)).await.expect(201);
        h.chunk(&platform, "c1", &id, &files(1, 61)).await.expect(422);
        h.advance(chrono::Duration::milliseconds(1));
        assert_eq!(h.chunk(&platform, "c1", &id, &files(1, 60)).await.expect(403).reasons(), ["answer_too_old"]);
        let again = h.chunk(&platform, "c2", &id, &files(2, 60)).await.expect(403);
        assert_eq!(again.json()["receipt"], refused.json()["receipt"]);
        // The export itself goes on, long after its permit's exp.
        h.chunk(&platform, "c3", &id, &files(3, 40)).await.expect(201);
        assert_eq!(kari.get(&format!("/api/v1/exports/{id}")).await.expect(200).text("/state"), "running");
    })
    .await;
}

#[tokio::test]
async fn chunks_stay_within_the_permit_state_what_it_states_and_are_numbered_once() {
    run(async |h: &Harness| {
        let (kari, platform) = (h.person(KARI).await, h.platform("itslearning"));
        let (_, id) = limited(h, &kari, &platform, json!({"rows": 100, "files": 10})).await;
        let chunk = async |key: &str, body: Value| h.chunk(&platform, key, &id, &body).await;
        chunk("a", json!({"chunk_no": 1, "rows": 60, "files": 6})).await.expect(201);
        let refusals = [
            ("b", json!({"chunk_no": 2, "rows": 41, "files": 1}), &["volume_exceeds_permit"][..]),
            ("c", json!({"chunk_no": 2, "rows": 1, "files": 5}), &["volume_exceeds_permit"]),
            ("d", json!({"chunk_no": 2, "rows": 1}), &["volume_exceeds_permit"]),
            ("e", json!({"chunk_no": 1, "rows": 1, "files": 1}), &["chunk_repeated"]),
            ("f", json!({"chunk_no": 1, "rows": 60, "files": 6}), &["chunk_repeated", "volume_exceeds_permit"]),
        ];
        for (key, body, reasons) in refusals {
            assert_eq!(chunk(key, body).await.expect(403).reasons(), reasons, "{key}");
        }
        chunk("g", json!({"chunk_no": 2, "rows": 40, "files": 4, "bytes": 7})).await.expect(201);
        let seen = kari.get(&format!("/api/v1/exports/{id}")).await.expect(200).json();
        assert_eq!((&seen["state"], &seen["authorised"]), (&json!("running"), &json!({"rows": 100, "files": 10, "bytes": 7})));
        assert_eq!(h.mail_with("is stopped").await, Vec::<String>::new(), "a chunk too large stops nothing");
        // Nothing behind it: a permit not redeemed, no export, and another platform's.
        let open = h.ask(&platform, "open", &with(export(), json!({"volume": {"rows": 1, "files": 1}}))).await.expect(201).text("/id");
        let one = json!({"chunk_no": 1, "rows": 1, "files": 1});
        assert_eq!(h.chunk(&platform, "x", &open, &one).await.expect(403).reasons(), ["permit_not_redeemed"]);
        let absent = "exp_00000000000070008000000000000000";
        assert_eq!(h.chunk(&platform, "y", absent, &one).await.expect(403).reasons(), ["permit_not_redeemed"]);
        assert_eq!(h.chunk(&h.platform("fronter"), "z", &id, &one).await.expect(403).reasons(), ["permit_not_redeemed"]);
    })
    .await;
}

#[tokio::test]
async fn parallel_chunks_with_one_key_have_one_effect_and_with_one_number_one_success() {
    run(async |h: &Harness| {
        let (kari, platform) = (h.person(KARI).await, h.platform("itslearning"));
        let (_, id) = limited(h, &kari, &platform, json!({"files": 1_000})).await;
        let ask = |key: String| {
            let (platform, id) = (platform.clone(), id.clone());
            async move { h.chunk(&platform, &key, &id, &files(1, 10)).await }
        };
        let same = futures_util::future::join_all((0..30).map(|_| ask("one".to_owned()))).await;
        assert!(same.iter().all(|a| a.status == 201 && a.bytes == same[0].bytes));
        assert_eq!(same.iter().filter(|a| a.headers.get("idempotency-replayed").is_none()).count(), 1);
        let others = futures_util::future::join_all((0..30).map(|i| ask(format!("k{i}")))).await;
        assert!(others.iter().all(|a| a.status == 403 && a.reasons() == ["chunk_repeated"]));
        let seen = kari.get(&format!("/api/v1/exports/{id}")).await.expect(200).json();
        assert_eq!((&seen["chunks"], &seen["authorised"]), (&json!(1), &json!({"files": 10})));
    })
    .await;
}

/// Negative control: as much as was permitted is taken, and another customer's message is not.
#[tokio::test]
async fn the_database_lets_out_no_more_than_was_permitted_whatever_the_gate_says() {
    run(async |h: &Harness| {
        let (kari, platform) = (h.person(KARI).await, h.platform("itslearning"));
        let (_, id) = limited(h, &kari, &platform, json!({"files": 10})).await;
        h.chunk(&platform, "c1", &id, &files(1, 1)).await.expect(201);
        let url = h.database.urls.urls[mandate::db::Role::Gate as usize].expose_secret().to_owned();
        let mut gate = sqlx::PgConnection::connect(&url).await.unwrap();
        let customers = format!("{{{}}}", h.customer("Nordvik").strip_prefix("cus_").unwrap());
        let mut run = async |sql: &'static str| {
            let mut tx = gate.begin().await.unwrap();
            sqlx::query("SELECT set_config('mandate.customers', $1, true)").bind(&customers).execute(&mut *tx).await.unwrap();
            let done = sqlx::query(sql).execute(&mut *tx).await;
            tx.rollback().await.unwrap();
            done.map(|done| done.rows_affected()).map_err(|error| error.to_string())
        };
        assert_eq!(run("UPDATE export SET chunk_files = 10").await, Ok(1));
        assert!(run("UPDATE export SET chunk_files = 11").await.unwrap_err().contains("export_budget"));
        assert!(run("UPDATE export SET completed_at = now(), swept_at = now()").await.unwrap_err().contains("export_swept"));
        assert!(run("INSERT INTO export_chunk SELECT * FROM export_chunk").await.unwrap_err().contains("export_chunk_key"));
        let message = "INSERT INTO message (customer_id, id, purpose, subject_id, address, subject, created_at)
            VALUES ($1::text::uuid, $1::text::uuid, 'x', $1::text::uuid, 'a@b.no', 'x', now())";
        for (name, taken) in [("Nordvik", true), ("Søby", false)] {
            let id = h.customer(name).strip_prefix("cus_").unwrap().to_owned();
            let mut tx = gate.begin().await.unwrap();
            sqlx::query("SELECT set_config('mandate.customers', $1, true)").bind(&customers).execute(&mut *tx).await.unwrap();
            assert_eq!(sqlx::query(message).bind(id).execute(&mut *tx).await.is_ok(), taken, "{name}");
            tx.rollback().await.unwrap();
        }
    })
    .await;
}
