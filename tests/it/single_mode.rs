//! Channels where each click is an export: permit, redemption and the only chunk in one call, and
//! completions in batches across customers, where a bad report leaves its neighbours alone.

use serde_json::{Value, json};

use crate::support::{Answer, Client, Harness, KARI, export, instruction, run, with};

const DIGEST: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn click() -> Value {
    with(export(), json!({"channel": "lti", "mode": "single", "volume": {"rows": 1}}))
}

fn clicks() -> Value {
    with(instruction(), json!({"channels": ["lti", "plugin-rest"], "volume": {"total": {"rows": 1000}}}))
}

async fn batch(platform: &Client, key: &str, reports: &[Value]) -> Answer {
    platform.post_with("/gate/v1/export-completions", &[("idempotency-key", key)], &json!({"completions": reports})).await
}

fn one(export: &str) -> Value {
    json!({"export": export, "rows": 1, "sha256": DIGEST})
}

#[tokio::test]
async fn one_call_permits_redeems_and_lets_out_one_chunk() {
    run(async |h: &Harness| {
        let (kari, platform) = (h.person(KARI).await, h.platform("itslearning"));
        assert_eq!(h.ask(&platform, "none", &click()).await.expect(403).reasons(), ["no_written_instruction"]);
        let signed = h.signed(&kari, &clicks()).await;
        let made = h.ask(&platform, "a", &click()).await.expect(201);
        assert_eq!(made.json()["redemption"], json!({"redeemed_at": crate::support::START, "chunk_no": 1, "volume": {"rows": 1}}));
        let (id, permit) = (made.text("/id"), made.text("/permit"));
        // It is used: no redemption and no chunk of it is left.
        assert_eq!(h.redeem(&platform, "r", &id, &permit).await.expect(403).reasons(), ["permit_redeemed"]);
        let chunk = h.chunk(&platform, "c", &id, &json!({"chunk_no": 2, "rows": 1})).await.expect(403);
        assert_eq!(chunk.reasons(), ["volume_exceeds_permit"]);
        let shown = kari.get(&format!("/api/v1/exports/{id}")).await.expect(200).json();
        assert_eq!((&shown["state"], &shown["chunks"], &shown["authorised"]), (&json!("running"), &json!(1), &json!({"rows": 1})));
        // A lost answer is given again while it would still be given.
        let again = h.ask(&platform, "a", &click()).await.expect(201);
        assert_eq!((again.text("/id"), &again.json()["redemption"]), (id, &made.json()["redemption"]));
        kari.post(&format!("/api/v1/instructions/{signed}/revocations"), &json!({})).await.expect(201);
        assert_eq!(h.ask(&platform, "a", &click()).await.expect(403).reasons(), ["instruction_revoked"]);
        assert_eq!(h.ask(&platform, "b", &click()).await.expect(403).reasons(), ["instruction_revoked"]);
    })
    .await;
}

#[tokio::test]
async fn single_mode_is_for_channels_where_each_click_is_an_export() {
    run(async |h: &Harness| {
        let (kari, platform) = (h.person(KARI).await, h.platform("itslearning"));
        h.signed(&kari, &with(clicks(), json!({"channels": ["lti", "organisation-api"]}))).await;
        let bulk = with(click(), json!({"channel": "organisation-api"}));
        let refused = h.ask(&platform, "a", &bulk).await.expect(422);
        assert_eq!(refused.faults(), [("/mode".to_owned(), "not_for_this_channel".to_owned())]);
        h.ask(&platform, "a", &with(bulk, json!({"mode": "chunked"}))).await.expect(201);
        let dry = h.ask(&platform, "d", &with(click(), json!({"dry_run": true}))).await.expect(200);
        assert!(dry.json().get("permit").is_none());
        // A click that a once-instruction covers exhausts it.
        let once = with(clicks(), json!({"once": true, "volume": null, "purposes": ["support"]}));
        h.signed(&kari, &once).await;
        let support = with(click(), json!({"purpose": "support"}));
        h.ask(&platform, "o1", &support).await.expect(201);
        let second = h.ask(&platform, "o2", &support).await.expect(403);
        assert!(second.reasons().contains(&"instruction_exhausted".to_owned()), "{:?}", second.reasons());
    })
    .await;
}

async fn neighbour(h: &Harness) -> String {
    let mette = h.person("mette.holm@soby.example").await;
    h.signed(&mette, &with(clicks(), json!({"data_categories": ["identity"]}))).await;
    let ask = with(click(), json!({"customer": "site-2002-its", "data_categories": ["identity"], "subjects": [{"kind": "whole"}]}));
    h.ask(&h.platform("itslearning"), "n", &ask).await.expect(201).text("/id")
}

#[tokio::test]
async fn a_batch_completes_across_customers_and_a_bad_report_leaves_its_neighbours_alone() {
    run(async |h: &Harness| {
        let (kari, platform) = (h.person(KARI).await, h.platform("itslearning"));
        h.signed(&kari, &with(clicks(), json!({"channels": ["lti", "organisation-api"]}))).await;
        let theirs = neighbour(h).await;
        let mut ids = Vec::new();
        for n in 0..4 {
            ids.push(h.ask(&platform, &format!("k{n}"), &click()).await.expect(201).text("/id"));
        }
        let open = with(export(), json!({"volume": {"rows": 1}}));
        let open = h.ask(&platform, "open", &open).await.expect(201).text("/id");
        let absent = "exp_00000000000070008000000000000000";
        let more = json!({"export": ids[2], "rows": 2, "sha256": DIGEST});
        let reports = [one(&ids[0]), one(absent), one(&open), one(&theirs), one(&ids[0]), more, one(&ids[1])];
        let answer = batch(&platform, "b", &reports).await.expect(200);
        let outcomes: Vec<_> =
            (0..7).map(|i| (answer.text(&format!("/completions/{i}/outcome")), answer.json()["completions"][i]["code"].clone())).collect();
        let (done, none) = ("completed".to_owned(), Value::Null);
        assert_eq!(
            outcomes,
            [
                (done.clone(), none.clone()),
                ("not_found".to_owned(), none.clone()),
                ("conflict".to_owned(), json!("export-not-redeemed")),
                (done.clone(), none.clone()),
                ("conflict".to_owned(), json!("export-completed")),
                (done.clone(), none.clone()),
                (done, none),
            ]
        );
        assert_eq!(answer.json()["completions"][5]["differences"], json!({"rows": "more"}));
        assert_eq!(answer.json()["completed"], 4);
        let told = h.mail_with("differs from what was authorised").await;
        assert_eq!(told.len(), 1);
        assert!(told[0].contains(&ids[2]) && !told[0].contains(&ids[0]), "{}", told[0]);
        // The same batch is answered the same, and its key serves no other, not even of other customers.
        let again = batch(&platform, "b", &reports).await.expect(200);
        assert_eq!((again.json(), again.headers["idempotency-replayed"].to_str().unwrap()), (answer.json(), "true"));
        batch(&platform, "b", &[one(&ids[3])]).await.expect(422);
        batch(&platform, "b", &[one(absent)]).await.expect(422);
        // The fourth is still open, and another platform completes none of them.
        let foreign = batch(&h.platform("fronter"), "f", &[one(&ids[3])]).await.expect(200);
        assert_eq!(foreign.text("/completions/0/outcome"), "not_found");
        assert_eq!(kari.get(&format!("/api/v1/exports/{}", ids[3])).await.expect(200).text("/state"), "running");
        assert_eq!(kari.get(&format!("/api/v1/exports/{}", ids[0])).await.expect(200).text("/state"), "completed");
    })
    .await;
}

#[tokio::test]
async fn a_batch_is_of_one_to_a_thousand_reports() {
    run(async |h: &Harness| {
        let platform = h.platform("itslearning");
        batch(&platform, "a", &[]).await.expect(422);
        let many: Vec<Value> = (0..1001).map(|n| one(&format!("exp_{n:032x}"))).collect();
        batch(&platform, "a", &many).await.expect(422);
        let answer = batch(&platform, "a", &many[..1000]).await.expect(200);
        assert_eq!(answer.json()["completed"], 0);
    })
    .await;
}

#[tokio::test]
async fn the_same_batch_sent_in_parallel_completes_each_export_once() {
    run(async |h: &Harness| {
        let (kari, platform) = (h.person(KARI).await, h.platform("itslearning"));
        h.signed(&kari, &clicks()).await;
        let mut reports = vec![one(&neighbour(h).await)];
        for n in 0..10 {
            reports.push(one(&h.ask(&platform, &format!("k{n}"), &click()).await.expect(201).text("/id")));
        }
        let tries = (0..10).map(|_| batch(&platform, "b", &reports));
        let answers = futures_util::future::join_all(tries).await;
        assert!(answers.iter().all(|a| a.status == 200 && a.json() == answers[0].json()), "{answers:?}");
        assert_eq!(answers[0].json()["completed"], 11);
    })
    .await;
}
