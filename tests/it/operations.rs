//! Slow work (convention 13): 202, progress, a result or a problem; it belongs to the customer and to
//! who asked, survives the process that began it, and is forgotten after 30 days.

use chrono::Duration;
use mandate::app::App;
use mandate::base::Error;
use mandate::operation::{Finished, Running, Work, run_due, sweep_operations};
use serde_json::{Value, json};

use crate::support::{Answer, Client, Harness, JONAS, KARI, export, instruction, run, with};

async fn asked(client: &Client, from: &str, until: &str) -> Answer {
    client.post("/api/v1/decision-reports", &json!({"from_at": from, "until_at": until})).await
}

async fn operation(client: &Client, accepted: &Answer) -> Value {
    client.get(accepted.headers["location"].to_str().unwrap()).await.expect(200).json()
}

/// Three permits and two dry runs, a minute apart.
async fn decided(h: &Harness, kari: &Client) {
    h.signed(kari, &instruction()).await;
    let platform = h.platform("itslearning");
    for number in 0..5 {
        h.advance(Duration::minutes(1));
        let ask = with(export(), json!({"requested_by": {"kind": "job", "ref": "=nightly"}, "dry_run": number > 2}));
        assert!(h.ask(&platform, &format!("k{number}"), &ask).await.status.is_success());
    }
    h.advance(Duration::minutes(1));
}

#[tokio::test]
async fn a_report_is_accepted_done_and_fetched() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        decided(h, &kari).await;
        let accepted = asked(&kari, "2026-11-24T08:00:00Z", "2026-11-24T08:05:00Z").await.expect(202);
        assert_eq!(accepted.headers["location"], format!("/api/v1/operations/{}", accepted.text("/id")).as_str());
        let waiting = operation(&kari, &accepted).await;
        assert_eq!((&waiting["state"], &waiting["progress"]), (&json!("waiting"), &json!({"done": 0, "total": null})));
        let result = format!("{}/result", accepted.headers["location"].to_str().unwrap());
        kari.get(&result).await.expect(404);
        assert_eq!(run_due(&h.app).await.unwrap(), 1);
        let done = operation(&kari, &accepted).await;
        // The fifth lies at the end of the period and so outside it.
        assert_eq!((&done["state"], &done["progress"]), (&json!("done"), &json!({"done": 4, "total": 4})), "{done}");
        assert_eq!(done["result"]["location"], result.as_str());
        let csv = kari.get(&result).await.expect(200);
        assert_eq!(csv.headers["content-type"], "text/csv; charset=utf-8; header=present");
        assert!(csv.headers["content-disposition"].to_str().unwrap().starts_with("attachment"));
        assert_eq!(csv.bytes.len() as u64, done["result"]["length"].as_u64().unwrap());
        let mut reader = csv::Reader::from_reader(csv.bytes.as_slice());
        let at = reader.headers().unwrap().iter().position(|column| column == "dry_run").unwrap();
        let dry: Vec<String> = reader.records().map(|row| row.unwrap()[at].to_owned()).collect();
        assert_eq!(dry, ["false", "false", "false", "true"]);
        asked(&kari, "2026-11-24T08:00:00Z", "2026-11-25T08:00:00Z").await.expect(422);
        asked(&kari, "2026-11-24T08:00:00Z", "2026-11-24T08:00:00Z").await.expect(422);
    })
    .await;
}

#[tokio::test]
async fn an_operation_is_its_principals_alone() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let accepted = asked(&kari, "2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z").await.expect(202);
        run_due(&h.app).await.unwrap();
        let place = accepted.headers["location"].to_str().unwrap();
        let absent = kari.get("/api/v1/operations/opn_0190a0b0c0d0700080000123456789ab").await.expect(404);
        for other in [h.login(JONAS).await, h.login("mette.holm@soby.example").await] {
            for path in [place.to_owned(), format!("{place}/result")] {
                let answer = other.get(&path).await.expect(404);
                let without_id = |answer: &Answer| with(answer.json(), json!({"request_id": null}));
                assert_eq!(without_id(&answer), without_id(&absent));
            }
            assert_eq!(other.get("/api/v1/operations").await.expect(200).json()["data"], json!([]));
        }
        // Control: the same person in another session sees it.
        let again = h.login(KARI).await;
        assert_eq!(again.get("/api/v1/operations").await.expect(200).text("/data/0/id"), accepted.text("/id"));
    })
    .await;
}

/// Breaks off after a part was written, as if the process had ended.
const BREAKS: Work = |app: &App, running: &mut Running| {
    Box::pin(async move {
        running.write(app, b"half", 1).await?;
        Err::<Finished, _>(Error::Unavailable { retry_after: 1, cause: "broken off for a test" })
    })
};

#[tokio::test]
async fn an_operation_survives_its_process_and_fails_after_three_tries() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        decided(h, &kari).await;
        let broken = App { works: &[("decision-report", BREAKS)], ..h.app.clone() };
        let first = asked(&kari, "2026-11-24T08:00:00Z", "2026-11-24T08:05:00Z").await.expect(202);
        assert_eq!(run_due(&broken).await.unwrap(), 0);
        let running = operation(&kari, &first).await;
        assert_eq!((&running["state"], &running["progress"]["done"]), (&json!("running"), &json!(1)));
        // Still leased; then another process begins anew, and nothing of the half is left.
        assert_eq!(run_due(&h.app).await.unwrap(), 0);
        h.advance(Duration::minutes(3));
        assert_eq!(run_due(&h.app).await.unwrap(), 1);
        let csv = kari.get(&format!("{}/result", first.headers["location"].to_str().unwrap())).await.expect(200);
        assert!(csv.bytes.starts_with(b"at,dry_run,"), "{}", String::from_utf8_lossy(&csv.bytes));
        let second = asked(&kari, "2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z").await.expect(202);
        for ended in [0, 0, 1] {
            assert_eq!(run_due(&broken).await.unwrap(), ended);
            h.advance(Duration::minutes(3));
        }
        let failed = operation(&kari, &second).await;
        assert_eq!((&failed["state"], &failed["problem"]["status"], &failed["result"]), (&json!("failed"), &json!(500), &Value::Null));
    })
    .await;
}

#[tokio::test]
async fn an_operation_is_forgotten_after_thirty_days() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let accepted = asked(&kari, "2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z").await.expect(202);
        run_due(&h.app).await.unwrap();
        h.advance(Duration::days(29));
        assert_eq!(sweep_operations(&h.app).await.unwrap(), 0);
        h.advance(Duration::days(2));
        assert_eq!(sweep_operations(&h.app).await.unwrap(), 1);
        let kari = h.person(KARI).await;
        kari.get(accepted.headers["location"].to_str().unwrap()).await.expect(404);
    })
    .await;
}

/// Asked for twice with one key, it is one operation.
#[tokio::test]
async fn a_report_asked_for_again_is_the_same_operation() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let body = json!({"from_at": "2026-11-01T00:00:00Z", "until_at": "2026-11-02T00:00:00Z"});
        let ask = async || kari.post_with("/api/v1/decision-reports", &[("idempotency-key", "k")], &body).await.expect(202);
        assert_eq!(ask().await.bytes, ask().await.bytes);
        assert_eq!(run_due(&h.app).await.unwrap(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_customer_has_eight_unfinished_operations_at_most() {
    run(async |h: &Harness| {
        let (kari, mette) = (h.person(KARI).await, h.person("mette.holm@soby.example").await);
        let ask = async |client: &Client| asked(client, "2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z").await;
        for _ in 0..8 {
            ask(&kari).await.expect(202);
        }
        assert_eq!(ask(&kari).await.expect(429).headers["retry-after"], "60");
        // Control: a neighbour, and the same customer when its own are done.
        ask(&mette).await.expect(202);
        while run_due(&h.app).await.unwrap() > 0 {}
        ask(&kari).await.expect(202);
        run_due(&h.app).await.unwrap();
    })
    .await;
}
