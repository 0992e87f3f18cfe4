//! With every notice to a customer goes the signed checkpoint of its log, as it is committed when the notice
//! is sent: through the real outbox, as a file that the verifier takes.
//!
//! Negative control, seen to fail: with `enclosed` of the worker answering `Nothing`, no mail brings one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mandate::evidence::{Checkpoint, Note};
use mandate::pack::Verdict;
use serde_json::json;

use crate::log_reading::public_keys;
use crate::packs::{check, made};
use crate::support::{ADMIN, Harness, KARI, run};

/// The checkpoint that a mail brings.
pub fn enclosed(mail: &str) -> Option<Note> {
    let (_, part) = mail.split_once("filename=\"checkpoint.txt\"")?;
    let body = part.split_once("\r\n\r\n")?.1.split_once("\r\n--")?.0;
    let note = String::from_utf8(STANDARD.decode(body.replace("\r\n", "")).unwrap()).unwrap();
    Some(note.parse().unwrap())
}

fn mails(h: &Harness) -> Vec<String> {
    std::fs::read_dir(&h.mail).unwrap().map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect()
}

#[tokio::test]
async fn every_notice_to_a_customer_brings_the_checkpoint_of_its_log_and_none_to_the_staff() {
    run(async |h: &Harness| {
        mandate::app::deliver_due(&h.app).await.unwrap();
        let (keys, kari) = (public_keys(h).await, h.person(KARI).await);
        let proposed = json!({"email": "ny@ops.example", "name": "Ny Ansatt", "role": "ops_reader"});
        h.person(ADMIN).await.post("/api/admin/v1/ops-people", &proposed).await.expect(201);
        kari.post("/api/v1/suspensions", &json!({"ground": "a try"})).await.expect(201);
        kari.post("/api/v1/recipients", &json!({"legal_entity": "Registeret", "country": "NO", "role": "school_authority"}))
            .await
            .expect(201);
        let size = kari.get("/api/v1/evidence/log").await.expect(200).json()["size"].as_u64().unwrap();
        mandate::app::deliver_due(&h.app).await.unwrap();
        let (customer, mut noted, mut of_staff) = (h.customer("Nordvik"), Vec::new(), 0);
        for mail in mails(h) {
            let to = mail.lines().find_map(|line| line.strip_prefix("To: ")).unwrap();
            if to.ends_with("@ops.example") {
                assert!(enclosed(&mail).is_none() && !mail.contains("checkpoint"), "{mail}");
                of_staff += 1;
                continue;
            }
            let note = enclosed(&mail).unwrap_or_else(|| panic!("{mail}"));
            let checkpoint = Checkpoint::verified(&note, &keys).unwrap();
            if checkpoint.origin == format!("mandate/{customer}/1") {
                noted.push((checkpoint.size, note));
            }
        }
        assert!(of_staff > 0);
        let (sent, note) = noted.iter().max_by_key(|(size, _)| *size).unwrap();
        assert_eq!(*sent, size, "as the log is when the notice is sent, not when it was written");
        let pack = made(h, &kari, &json!({})).await;
        assert_eq!(check(&pack, vec![note.clone()]).verdict, Verdict::Verified);
    })
    .await;
}

// A notice is not held back because no checkpoint can be made: it says so.
#[tokio::test]
async fn a_notice_goes_also_when_no_checkpoint_can_be_kept() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        mandate::app::deliver_due(&h.app).await.unwrap();
        let away = h.checkpoints.with_extension("away");
        std::fs::rename(&h.checkpoints, &away).unwrap();
        kari.post("/api/v1/suspensions", &json!({"ground": "a try"})).await.expect(503);
        let told = h.mail_with("could not be made for this").await;
        std::fs::rename(&away, &h.checkpoints).unwrap();
        assert!(!told.is_empty() && told.iter().all(|mail| enclosed(mail).is_none()));
    })
    .await;
}
