//! A permit serves once, its own platform, unchanged, in time.

use chrono::Duration;
use serde_json::json;

use crate::support::{Harness, KARI, export, instruction, run, with};

#[tokio::test]
async fn fifty_parallel_redemptions_with_different_keys_have_exactly_one_success() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        h.signed(&kari, &instruction()).await;
        let platform = h.platform("itslearning");
        let permitted = h.ask(&platform, "a", &export()).await.expect(201);
        let (id, permit) = (permitted.text("/id"), permitted.text("/permit"));
        let tries = (0..50).map(|i| {
            let (platform, id, permit) = (platform.clone(), id.clone(), permit.clone());
            async move { h.redeem(&platform, &format!("r{i}"), &id, &permit).await }
        });
        let answers = futures_util::future::join_all(tries).await;
        let won = answers.iter().filter(|a| a.status == 201).count();
        assert_eq!(won, 1);
        for answer in answers.iter().filter(|a| a.status != 201) {
            assert_eq!(answer.status, 403);
            assert_eq!(answer.reasons(), ["permit_redeemed"]);
        }
    })
    .await;
}

#[tokio::test]
async fn fifty_parallel_redemptions_with_one_key_all_get_the_same_answer() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        h.signed(&kari, &instruction()).await;
        let platform = h.platform("itslearning");
        let permitted = h.ask(&platform, "a", &export()).await.expect(201);
        let (id, permit) = (permitted.text("/id"), permitted.text("/permit"));
        let tries = (0..50).map(|_| {
            let (platform, id, permit) = (platform.clone(), id.clone(), permit.clone());
            async move { h.redeem(&platform, "one", &id, &permit).await }
        });
        let answers = futures_util::future::join_all(tries).await;
        let first = answers[0].bytes.clone();
        assert!(answers.iter().all(|a| a.status == 201 && a.bytes == first));
        assert_eq!(answers.iter().filter(|a| a.headers.get("idempotency-replayed").is_none()).count(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_replayed_borrowed_altered_or_expired_permit_is_refused_and_recorded() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        h.signed(&kari, &instruction()).await;
        let platform = h.platform("itslearning");
        let permitted = h.ask(&platform, "a", &export()).await.expect(201);
        let (id, permit) = (permitted.text("/id"), permitted.text("/permit"));
        let borrowed = h.redeem(&h.platform("fronter"), "b", &id, &permit).await;
        assert_eq!(borrowed.reasons(), ["permit_borrowed"]);
        let mut altered = permit.clone();
        let last = altered.pop().unwrap();
        altered.push(if last == 'A' { 'B' } else { 'A' });
        assert_eq!(h.redeem(&platform, "c", &id, &altered).await.reasons(), ["permit_altered"]);
        assert_eq!(h.redeem(&platform, "d", "exp_00000000000070008000000000000000", &permit).await.reasons(), ["permit_altered"]);
        // Negative control: the permit itself, by its own platform, is redeemed.
        h.redeem(&platform, "e", &id, &permit).await.expect(201);
        assert_eq!(h.redeem(&platform, "f", &id, &permit).await.reasons(), ["permit_redeemed"]);
        let second = h.ask(&platform, "g", &export()).await.expect(201);
        h.advance(Duration::seconds(300));
        let late = h.redeem(&platform, "h", &second.text("/id"), &second.text("/permit")).await;
        assert_eq!(late.reasons(), ["permit_expired"]);
        let seen = kari.get("/api/v1/decisions?limit=100").await.expect(200).json();
        let refused = seen["data"].as_array().unwrap().iter().filter(|d| d["event"] == "export.redemption_refused").count();
        assert_eq!(refused, 4, "all but the one that belongs to nobody stand in the customer's log");
    })
    .await;
}

#[tokio::test]
async fn a_redemption_is_a_full_decision_on_fresh_facts() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let instructed = h.signed(&kari, &instruction()).await;
        let platform = h.platform("itslearning");
        let permitted = h.ask(&platform, "a", &export()).await.expect(201);
        let other = h.ask(&platform, "b", &export()).await.expect(201);
        let pupil = json!({"kind": "subject", "ref": "p-1", "unit": "S03"});
        let restriction = json!({"kind": "restriction", "platforms": ["itslearning"], "subjects": [pupil], "text": "Art. 18."});
        h.signed(&kari, &restriction).await;
        let redeemed = h.redeem(&platform, "c", &permitted.text("/id"), &permitted.text("/permit")).await.expect(201);
        assert_eq!(redeemed.json()["except"], json!([pupil]), "a restriction that began after the permit is in the redemption");
        kari.post(&format!("/api/v1/instructions/{instructed}/revocations"), &json!({})).await.expect(201);
        let late = h.redeem(&platform, "d", &other.text("/id"), &other.text("/permit")).await;
        assert_eq!(late.reasons(), ["instruction_revoked"]);
        // The key that was answered before the revocation is no cache of it.
        let again = h.redeem(&platform, "c", &permitted.text("/id"), &permitted.text("/permit")).await;
        assert_eq!(again.reasons(), ["instruction_revoked"]);
        assert_eq!(h.ask(&platform, "a", &export()).await.reasons(), ["instruction_revoked"]);
    })
    .await;
}

#[tokio::test]
async fn a_key_repeats_its_answer_for_five_minutes_and_never_serves_another_request() {
    run(async |h: &Harness| {
        let platform = h.platform("itslearning");
        let refused = h.ask(&platform, "a", &export()).await.expect(403);
        let kari = h.person(KARI).await;
        h.signed(&kari, &instruction()).await;
        let again = h.ask(&platform, "a", &export()).await.expect(403);
        assert_eq!(again.json()["receipt"], refused.json()["receipt"], "a refusal repeats");
        let permitted = h.ask(&platform, "b", &export()).await.expect(201);
        h.advance(Duration::seconds(299));
        let again = h.ask(&platform, "b", &export()).await.expect(201);
        assert_eq!((again.text("/id"), again.json()["receipt"].clone()), (permitted.text("/id"), permitted.json()["receipt"].clone()));
        assert_eq!(claims(&again.text("/permit")), claims(&permitted.text("/permit")));
        h.ask(&platform, "b", &with(export(), json!({"channel": "ims-es"}))).await.expect(422);
        h.advance(Duration::seconds(2));
        assert_eq!(h.ask(&platform, "b", &export()).await.reasons(), ["answer_too_old"]);
        platform.post_with("/gate/v1/exports", &[], &export()).await.expect(400);
    })
    .await;
}

fn claims(permit: &str) -> String {
    permit.split('.').nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn completion_and_abortion_follow_the_state_of_the_export() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        h.signed(&kari, &with(instruction(), json!({"volume": {"per_export": {"rows": 10}}}))).await;
        let platform = h.platform("itslearning");
        let ask = with(export(), json!({"volume": {"rows": 10}}));
        let permitted = h.ask(&platform, "a", &ask).await.expect(201);
        let id = permitted.text("/id");
        let done = json!({"rows": 11, "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"});
        let path = format!("/gate/v1/exports/{id}/completions");
        let complete = async |key: &str| platform.post_with(&path, &[("idempotency-key", key)], &done).await;
        complete("c1").await.expect(409);
        h.redeem(&platform, "r", &id, &permitted.text("/permit")).await.expect(201);
        let reported = complete("c2").await.expect(201);
        assert_eq!(reported.json()["over"], json!(["rows"]), "more than was permitted is said");
        assert_eq!(reported.json()["differences"], json!({"chunks": "missing", "rows": "more"}), "and that no chunk was asked for");
        assert_eq!(complete("c2").await.expect(201).json(), reported.json());
        complete("c3").await.expect(409);
        h.platform("fronter").post_with(&path, &[("idempotency-key", "x")], &done).await.expect(404);
        assert_eq!(kari.get(&format!("/api/v1/exports/{id}")).await.expect(200).text("/state"), "completed");
        let second = h.ask(&platform, "b", &ask).await.expect(201);
        let path = format!("/gate/v1/exports/{}/abortions", second.text("/id"));
        platform.post_with(&path, &[("idempotency-key", "d")], &json!({})).await.expect(201);
        let late = h.redeem(&platform, "s", &second.text("/id"), &second.text("/permit")).await;
        assert_eq!(late.reasons(), ["permit_aborted"]);
    })
    .await;
}
