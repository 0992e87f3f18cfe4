//! A customer takes its evidence home: asked for, made, fetched, and verified without the service.

use std::io::Cursor;

use mandate::evidence::{LogProof, Note};
use mandate::operation::run_due;
use mandate::pack::{Options, Report, Verdict, verify};
use serde_json::{Value, json};

use crate::support::{Answer, Client, Harness, KARI, export, instruction, run, with};

async fn asked(client: &Client, body: &Value) -> Answer {
    client.post("/api/v1/evidence/packs", body).await
}

/// The pack, once it is made.
pub async fn made(h: &Harness, client: &Client, body: &Value) -> Vec<u8> {
    let accepted = asked(client, body).await.expect(202);
    let place = accepted.headers["location"].to_str().unwrap().to_owned();
    assert_eq!(run_due(&h.app).await.unwrap(), 1);
    let done = client.get(&place).await.expect(200).json();
    assert_eq!(done["state"], "done", "{done}");
    assert_eq!(done["progress"]["done"], done["progress"]["total"], "{done}");
    let pack = client.get(&format!("{place}/result")).await.expect(200);
    assert_eq!(pack.headers["content-type"], "application/zip");
    assert!(pack.headers["content-disposition"].to_str().unwrap().ends_with(".zip\""));
    pack.bytes
}

pub fn check(pack: &[u8], pinned: Vec<Note>) -> Report {
    verify(Cursor::new(pack), &Options { pinned, ..Options::default() }, |_, _| {})
}

/// The checkpoint in an answer's receipt, as its customer would keep it.
fn kept(receipted: &Value) -> Note {
    let proof: LogProof = receipted["receipt"]["proof"].as_str().unwrap().parse().unwrap();
    proof.checkpoint
}

/// An export from its permit to its end, and a refusal.
async fn exported(h: &Harness) {
    let platform = h.platform("itslearning");
    let running = h.running(&platform, "a", &export()).await;
    h.chunk(&platform, "a1", &running, &json!({"chunk_no": 1, "rows": 1})).await.expect(201);
    let refused = with(export(), json!({"purpose": "no-such-purpose"}));
    h.ask(&platform, "b", &refused).await.expect(403);
}

#[tokio::test]
async fn a_pack_is_asked_for_made_fetched_and_verifies() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let before = kept(&kari.post("/api/v1/suspensions", &json!({"ground": "a try"})).await.expect(201).json());
        let suspension = kari.get("/api/v1/suspensions").await.expect(200).text("/data/0/id");
        h.step_up(&kari, KARI).await;
        kari.post(&format!("/api/v1/suspensions/{suspension}/releases"), &json!({})).await.expect(201);
        h.signed(&kari, &instruction()).await;
        exported(h).await;
        let pack = made(h, &kari, &json!({})).await;
        let report = check(&pack, vec![before.clone()]);
        assert_eq!(report.verdict, Verdict::Verified, "{report}");
        let summary = report.summary.unwrap();
        assert!(summary.decided >= 4 && summary.documents >= 2, "{summary:?}");
        assert_eq!(summary.customer.to_string(), h.customer("Nordvik"));
        // What a neighbour has received is of another log.
        let mette = h.person("mette.holm@soby.example").await;
        let theirs = kept(&mette.post("/api/v1/suspensions", &json!({"ground": "x"})).await.expect(201).json());
        assert_eq!(check(&pack, vec![theirs]).verdict, Verdict::Undecided);
        // What was received after the pack was made is longer than it.
        let later = kept(&kari.post("/api/v1/suspensions", &json!({"ground": "later"})).await.expect(201).json());
        assert_eq!(check(&pack, vec![later]).verdict, Verdict::Tampered);
    })
    .await;
}

#[tokio::test]
async fn a_period_limits_refusals_dry_runs_and_documents_only() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        h.signed(&kari, &instruction()).await;
        exported(h).await;
        for body in [
            json!({"from_at": "2026-11-01T00:00:00Z"}),
            json!({"until_at": "2026-11-01T00:00:00Z"}),
            json!({"from_at": "2026-11-02T00:00:00Z", "until_at": "2026-11-01T00:00:00Z"}),
        ] {
            asked(&kari, &body).await.expect(422);
        }
        let early = json!({"from_at": "2026-01-01T00:00:00Z", "until_at": "2026-01-02T00:00:00Z"});
        let report = check(&made(h, &kari, &early).await, Vec::new());
        assert_eq!(report.verdict, Verdict::Verified, "{report}");
        let summary = report.summary.unwrap();
        assert_eq!((summary.left_out.records, summary.documents), (1, 0), "{summary:?}");
        assert!(summary.decided >= 3, "{summary:?}");
    })
    .await;
}
