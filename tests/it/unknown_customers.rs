//! Requests that name nobody's customer: refused in the platform's log, once for each key, and never
//! after the name appeared there.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::{Quota, RateLimiter};
use serde_json::json;
use sqlx::PgConnection;

use crate::support::{ADMIN, Answer, Client, Harness, KARI, connect_as, connect_as_owner, export, run, try_sql, with};

/// Waits until so many connections of the test's database wait for a lock.
async fn waiting(conn: &mut PgConnection, count: i64) {
    let sql =
        "SELECT count(DISTINCT pid) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND datname = current_database()";
    for _ in 0..400 {
        if sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut *conn).await.unwrap() == count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{count} never waited");
}

/// An agreement for another platform that Kari can accept: its path and its document's hash.
async fn offered(h: &Harness, kari: &Client) -> (String, String) {
    let admin = h.person(ADMIN).await;
    let present = kari.get("/api/v1/agreements").await.expect(200).json()["data"][0].clone();
    let path = format!("/api/admin/v1/customers/{}/agreements", h.customer("Nordvik"));
    let body = json!({"platform": "fronter", "external_id": "site-1001-fro", "document": present["document"], "parameters": present["parameters"]});
    let id = admin.post(&path, &body).await.expect(201).text("/id");
    admin.post(&format!("{path}/{id}/offers"), &json!({})).await.expect(201);
    (format!("/api/v1/agreements/{id}/acceptances"), present["document_sha256"].as_str().unwrap().to_owned())
}

/// An ask that looked the name up before the acceptance committed, and has its turn after it.
/// Negative control: without the second look under the platform's head the answer is the refusal for
/// nobody, and the audit finds it in the platform's log behind the name.
#[tokio::test]
async fn an_ask_beside_an_acceptance_is_not_refused_for_nobody_after_the_name_appeared() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let (accept, sha256) = offered(h, &kari).await;
        let fronter = h.platform("fronter");
        let ask = with(export(), json!({"customer": "site-1001-fro", "platform": "fronter"}));
        let before = h.ask(&fronter, "before", &ask).await.expect(403);
        assert_eq!(
            (before.reasons(), before.text("/receipt/origin")),
            (vec!["agreement_missing".to_owned()], "mandate/platform/fronter/1".to_owned())
        );

        let log = h.logs().await.into_iter().find(|(_, _, name)| name == "platform/fronter").unwrap().0;
        let mut holder = connect_as(h, "mandate_gate", Some(log)).await;
        let mut watch = connect_as_owner(h).await;
        try_sql(&mut holder, "SET idle_in_transaction_session_timeout = 0").await.unwrap();
        try_sql(&mut holder, "BEGIN").await.unwrap();
        try_sql(&mut holder, &format!("SELECT 1 FROM log_head WHERE customer_id = '{log}' FOR UPDATE")).await.unwrap();
        let acceptance = json!({"document_sha256": sha256});
        let asked = async {
            waiting(&mut watch, 1).await;
            let released = async {
                waiting(&mut watch, 2).await;
                try_sql(&mut holder, "COMMIT").await.unwrap();
            };
            tokio::join!(h.ask(&fronter, "beside", &ask), released).0
        };
        let (accepted, asked) = tokio::join!(kari.post(&accept, &acceptance), asked);
        accepted.expect(201);
        assert_eq!(asked.expect(403).text("/receipt/origin"), format!("mandate/{}/1", h.customer("Nordvik")));
    })
    .await;
}

/// The answer but for the request's id.
fn told(answer: &Answer) -> serde_json::Value {
    with(answer.json(), json!({"request_id": null}))
}

/// Negative control: a new key is held back where the repeated one is not.
#[tokio::test]
async fn a_refusal_for_nobody_is_repeated_like_any_other_and_costs_no_further_try() {
    run(async |h: &Harness| {
        let mut app = h.app.clone();
        app.unknown_limit = Arc::new(RateLimiter::keyed(Quota::per_hour(NonZeroU32::new(2).unwrap())));
        let platform = Client { router: mandate::app::router(app).unwrap(), token: h.platform("itslearning").token };
        let known = h.ask(&platform, "known", &export()).await.expect(403);
        let nobody = with(export(), json!({"customer": "site-nobody"}));
        let chunk = async || h.chunk(&platform, "k", "exp_0190a0b0c0d0700080000123456789ab", &json!({"chunk_no": 1})).await.expect(403);
        let firsts = [known, h.ask(&platform, "k", &nobody).await.expect(403), chunk().await];
        for _ in 0..3 {
            let again =
                [h.ask(&platform, "known", &export()).await.expect(403), h.ask(&platform, "k", &nobody).await.expect(403), chunk().await];
            for (first, again) in firsts.iter().zip(&again) {
                assert!(first.headers.get("idempotency-replayed").is_none());
                assert_eq!((told(again), again.headers["idempotency-replayed"].to_str().unwrap()), (told(first), "true"));
            }
        }
        h.ask(&platform, "k", &with(nobody.clone(), json!({"channel": "lti"}))).await.expect(422);
        h.ask(&platform, "another", &nobody).await.expect(429);
    })
    .await;
}
