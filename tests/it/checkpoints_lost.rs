//! What is outside the database contradicts a log, is no checkpoint, or is not there: nothing of it is
//! taken for "nothing is missing".

use mandate::fsck::{Verdict, check, quarantined, release};
use mandate::restore::{opened_epochs, take_in};
use serde_json::{Value, json};

use crate::checkpoints::forge;
use crate::support::{Answer, Client, Harness, KARI, export, instruction, run, run_unaudited};

async fn added(person: &Client, name: &str) -> Answer {
    let recipient = json!({"legal_entity": name, "country": "NO", "role": "school_authority"});
    person.post("/api/v1/recipients", &recipient).await
}

/// The origin of Nordvik's log, and its size.
async fn origin(h: &Harness, kari: &Client) -> (String, u64) {
    let receipt = added(kari, "Registeret").await.expect(201).json()["receipt"].clone();
    h.app.notary.keep_all(&h.app.db).await.unwrap();
    (receipt["origin"].as_str().unwrap().to_owned(), receipt["size"].as_u64().unwrap())
}

async fn take(h: &Harness, declared: bool) -> mandate::base::Result<Option<mandate::restore::Taken>> {
    take_in(&h.app.db, h.app.notary.outside(), &h.app.notary.public_keys(), declared).await
}

// Negative control, seen to fail: without the quarantine in `LogNotary::keep_one` the gate goes on permitting
// (201). Without the comparison there the act is answered 201; not taken out since.
#[tokio::test]
async fn a_log_that_contradicts_its_checkpoint_is_quarantined_at_once_and_has_lost_what_a_declared_restore_says() {
    for sizes in [[0, 0], [50, 0], [0, 3]] {
        run_unaudited(async |h: &Harness| contradicted(h, sizes).await).await;
    }
}

/// Of the same size with another root; of a size that the log no longer reaches; of a size in the past.
async fn contradicted(h: &Harness, [more, less]: [u64; 2]) {
    // The alarm is an error in the log, which no test may leave: here it is meant.
    let _quiet = tracing::subscriber::set_default(tracing::subscriber::NoSubscriber::default());
    let (kari, platform) = (h.person(KARI).await, h.platform("itslearning"));
    h.signed(&kari, &instruction()).await;
    h.ask(&platform, "before", &export()).await.expect(201);
    let (origin, size) = origin(h, &kari).await;
    let forged = size + more - less;
    forge(h, &origin, forged);
    let answer = added(&kari, "Another").await.expect(503);
    assert_eq!(answer.text("/type"), "/docs/problems/checkpoint-not-kept");
    let contradiction = h.checkpoints.join(format!("{origin}.contradiction-{}.json", size + 1));
    assert!(contradiction.exists(), "both checkpoints are kept as evidence: {}", contradiction.display());
    // The gate too, and for whoever else asks.
    assert_eq!(h.ask(&platform, "after", &export()).await.expect(503).text("/type"), "/docs/problems/log-quarantined");
    assert_eq!(quarantined(&h.app.db).await.unwrap().len(), 1);
    let name = h.customer("Nordvik");
    let found = release(&h.app.db, h.app.notary.outside(), &name).await.unwrap();
    assert_eq!(found.verdict(), Verdict::Differs, "no way out but a restore");
    let taken = take(h, more == 0).await.unwrap();
    assert!(taken.is_some());
    let opened = opened_epochs(&h.app.db).await.unwrap();
    let own = opened.iter().find(|epoch| epoch.log == name).unwrap();
    // Nothing of it was ever verified: all may be another's.
    assert_eq!((own.missing, own.unconfirmed), (Some((1, 0, forged - 1)), true));
    let found = release(&h.app.db, h.app.notary.outside(), &name).await.unwrap();
    assert_eq!(found.verdict(), Verdict::Clean, "{found}");
    let refused = h.ask(&platform, "unconfirmed", &export()).await.expect(403).json();
    assert!(refused["reasons"].as_array().unwrap().iter().any(|reason| reason["code"] == "state_unconfirmed"), "{refused}");
}

// Negative control, seen to fail: without `without_checkpoint` the service starts. With `has_lost` of an unknown
// size false nobody has to confirm: still to be taken out.
#[tokio::test]
async fn where_nothing_is_kept_it_is_not_known_that_nothing_is_missing() {
    for only_one in [false, true] {
        run(async |h: &Harness| {
            let _quiet = tracing::subscriber::set_default(tracing::subscriber::NoSubscriber::default());
            let (kari, platform) = (h.person(KARI).await, h.platform("itslearning"));
            h.signed(&kari, &instruction()).await;
            let (origin, _) = origin(h, &kari).await;
            mandate::app::prepare(&h.app).await.unwrap();
            if only_one {
                std::fs::remove_file(h.checkpoints.join(format!("{origin}.json"))).unwrap();
            } else {
                std::fs::remove_dir_all(h.checkpoints.join("mandate")).unwrap();
            }
            let refused = mandate::app::prepare(&h.app).await.unwrap_err();
            let said = std::error::Error::source(&refused).unwrap().to_string();
            assert!(said.contains("mandate restore declare") && said.contains("cus_"), "{said}");
            take(h, true).await.unwrap().unwrap();
            mandate::app::prepare(&h.app).await.unwrap();
            let opened = opened_epochs(&h.app.db).await.unwrap();
            let unconfirmed: Vec<_> = opened.iter().filter(|epoch| epoch.unconfirmed && epoch.log.starts_with("cus_")).collect();
            let customers = opened.iter().filter(|epoch| epoch.log.starts_with("cus_")).count();
            assert_eq!(unconfirmed.len(), if only_one { 1 } else { customers });
            let refused = h.ask(&platform, "unconfirmed", &export()).await;
            assert_ne!(refused.status, 201);
            // The next start finds what it needs.
            mandate::app::prepare(&h.app).await.unwrap();
            mandate::app::deliver_due(&h.app).await.unwrap();
        })
        .await;
    }
}

// Negative control, seen to fail: without the signature asked for in `restore::run::known`, every log
// opens an epoch.
#[tokio::test]
async fn a_file_that_no_key_of_the_logs_has_signed_shows_no_restore_and_is_told() {
    run(async |h: &Harness| {
        let _quiet = tracing::subscriber::set_default(tracing::subscriber::NoSubscriber::default());
        let kari = h.person(KARI).await;
        let (origin, size) = origin(h, &kari).await;
        mandate::app::prepare(&h.app).await.unwrap();
        let file = h.checkpoints.join(format!("{origin}.json"));
        let kept = std::fs::read_to_string(&file).unwrap();
        let edited = kept.replace(&format!("\\n{size}\\n"), "\\n999999999\\n");
        assert_ne!(kept, edited);
        let of_another = h.checkpoints.join("mandate/registry/1.json");
        for wrong in [edited, kept[..kept.len() / 2].to_owned(), String::new(), std::fs::read_to_string(of_another).unwrap()] {
            std::fs::write(&file, wrong).unwrap();
            let refused = take(h, false).await.unwrap_err();
            assert!(std::error::Error::source(&refused).unwrap().to_string().contains(&h.customer("Nordvik")), "{refused:?}");
        }
        let said = added(&kari, "Another").await.expect(503).text("/type");
        assert_eq!(said, "/docs/problems/checkpoint-not-kept");
        assert!(quarantined(&h.app.db).await.unwrap().is_empty(), "what nobody signed puts no log in quarantine");
        std::fs::write(&file, kept).unwrap();
        let report = check(&h.app.db, h.app.notary.outside(), None, |_| {}).await.unwrap();
        assert_eq!(report.verdict(), Verdict::Clean, "{report}");
        assert_eq!(kari.get("/api/v1/evidence/state").await.expect(200).json()["missing_from"], Value::Null);
    })
    .await;
}
