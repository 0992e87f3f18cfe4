//! Checkpoints outside the database: kept before the answer of an act, within 10 s for the gate; an
//! act whose checkpoint cannot be kept stands and is not answered; a log that contradicts its
//! checkpoint is found out. The keys that sign them, and the daily checkpoint of the customer.

use mandate::base::sha256;
use mandate::db::LogId;
use mandate::evidence::{Checkpoint, KeptCheckpoint, LogSigningKey, Note};
use mandate::log::{activate_log_key, publish_log_key, queue_daily_checkpoints, withdraw_log_key};
use serde_json::{Value, json};

use crate::log_reading::{public_keys, verified};
use crate::support::{Answer, Client, Harness, KARI, LOG_KEY, connect_as_owner, export, instruction, run};

fn recipient(name: &str) -> Value {
    json!({"legal_entity": name, "country": "NO", "role": "school_authority"})
}

async fn add(kari: &Client, key: &str, name: &str) -> Answer {
    kari.post_with("/api/v1/recipients", &[("idempotency-key", key)], &recipient(name)).await
}

/// The size in the outside checkpoint of a log.
fn outside(h: &Harness, name: &str) -> Option<u64> {
    let kept = h.app.notary.outside().latest(&format!("mandate/{name}/1")).unwrap()?;
    Some(kept.read().unwrap().size)
}

async fn size(kari: &Client) -> u64 {
    kari.get("/api/v1/evidence/log").await.expect(200).json()["size"].as_u64().unwrap()
}

#[tokio::test]
async fn the_checkpoint_of_an_act_is_kept_before_its_answer_and_names_its_database() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let customer = h.customer("Nordvik");
        let receipt = add(&kari, "k", "Registeret").await.expect(201).json()["receipt"].clone();
        let kept = h.app.notary.outside().latest(receipt["origin"].as_str().unwrap()).unwrap().unwrap();
        let note: Note = kept.checkpoint.parse().unwrap();
        let checkpoint = Checkpoint::verified(&note, &public_keys(h).await).unwrap();
        assert_eq!(
            (checkpoint.size, checkpoint.root.to_string()),
            (receipt["size"].as_u64().unwrap(), receipt["root"].as_str().unwrap().to_owned())
        );
        assert_eq!(kept.timeline, 1);
        assert!(kept.system_identifier.parse::<u64>().is_ok(), "{}", kept.system_identifier);
        assert_eq!(outside(h, &customer), Some(size(&kari).await));
    })
    .await;
}

#[tokio::test]
async fn the_gate_is_answered_at_once_and_its_checkpoint_is_kept_soon_after() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        h.signed(&kari, &instruction()).await;
        let customer = h.customer("Nordvik");
        let before = outside(h, &customer).unwrap();
        h.ask(&h.platform("itslearning"), "k", &export()).await.expect(201);
        assert_eq!((outside(h, &customer), size(&kari).await), (Some(before), before + 1));
        h.app.notary.keep_noted(&h.app.db).await.unwrap();
        assert_eq!(outside(h, &customer), Some(before + 1));
    })
    .await;
}

// Without the guard's look at what was kept, the first answer here is 201.
#[tokio::test]
async fn an_act_whose_checkpoint_cannot_be_kept_stands_and_its_key_tries_again() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let customer = h.customer("Nordvik");
        let before = size(&kari).await;
        let away = h.checkpoints.with_extension("away");
        std::fs::rename(&h.checkpoints, &away).unwrap();
        for _ in 0..2 {
            let answer = add(&kari, "k", "Registeret").await.expect(503);
            assert_eq!(answer.text("/type"), "/docs/problems/checkpoint-not-kept");
            assert_eq!(answer.headers["retry-after"], "1");
            assert_eq!(size(&kari).await, before + 1, "the act stands, once");
        }
        // The gate goes on: its checkpoints come later.
        h.ask(&h.platform("itslearning"), "k", &export()).await.expect(403);
        std::fs::rename(&away, &h.checkpoints).unwrap();
        let answer = add(&kari, "k", "Registeret").await.expect(201);
        assert_eq!(answer.headers["idempotency-replayed"], "true");
        verified(&answer.json()["receipt"], &public_keys(h).await);
        assert_eq!((outside(h, &customer), size(&kari).await), (Some(before + 2), before + 2));
    })
    .await;
}

#[tokio::test]
async fn the_start_keeps_what_was_left_behind() {
    run(async |h: &Harness| {
        h.app.notary.keep_all(&h.app.db).await.unwrap();
        let (kari, customer) = (h.person(KARI).await, h.customer("Nordvik"));
        // A process that ended before it had kept what the gate recorded.
        let other = h.another(&h.database.urls, 2);
        let platform = Client { router: mandate::app::router(other.clone()).unwrap(), ..h.platform("itslearning") };
        h.ask(&platform, "left", &export()).await.expect(403);
        other.db.close().await;
        assert_eq!(outside(h, &customer), Some(size(&kari).await - 1));
        mandate::app::prepare(&h.app).await.unwrap();
        assert_eq!(outside(h, &customer), Some(size(&kari).await));
        for name in ["registry", "processor", "platform/itslearning"] {
            assert!(outside(h, name).is_some_and(|size| size > 0), "{name}");
        }
    })
    .await;
}

/// Puts a signed checkpoint of the customer's log into the folder, as another life of the database
/// would have left it there.
pub fn forge(h: &Harness, origin: &str, size: u64) {
    let key = LogSigningKey::from_pem(LOG_KEY).unwrap();
    let checkpoint = Checkpoint { origin: origin.to_owned(), size, root: sha256(&[b"another life"]) };
    let note = checkpoint.sign(&key).unwrap().to_string();
    let before = h.app.notary.outside().latest(origin).unwrap().unwrap();
    let kept = KeptCheckpoint { checkpoint: note, ..before };
    std::fs::write(h.checkpoints.join(format!("{origin}.json")), serde_json::to_vec(&kept).unwrap()).unwrap();
}

#[tokio::test]
async fn keys_of_the_logs_are_handed_over_and_past_ones_stay_published() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let first = LogSigningKey::from_pem(LOG_KEY).unwrap();
        let pem = LogSigningKey::generate_pem().unwrap();
        let next = LogSigningKey::from_pem(pem.as_bytes()).unwrap();
        let old = add(&kari, "a", "Registeret").await.expect(201).json()["receipt"].clone();
        let db = &h.app.db;
        publish_log_key(db, &next).await.unwrap();
        assert!(publish_log_key(db, &next).await.is_err());
        // Who hands over to a key must have it.
        assert!(activate_log_key(db, &next.kid()).await.is_err());
        let app = h.app_with_log_key(pem.as_bytes());
        assert_eq!(activate_log_key(&app.db, &next.kid()).await.unwrap(), Some(first.kid()));
        // A process that lacks the key that signs records nothing, and says so before it acts.
        let before = size(&kari).await;
        add(&kari, "b", "B").await.expect(503);
        assert_eq!(size(&kari).await, before);
        let kari = Client { router: mandate::app::router(app.clone()).unwrap(), ..kari };
        let new = add(&kari, "b", "B").await.expect(201).json()["receipt"].clone();
        let keys = public_keys(h).await;
        assert_eq!(keys, [*first.public_key(), *next.public_key()]);
        verified(&old, &keys[..1]);
        verified(&new, &keys[1..]);
        // Negative control: neither key counts for what the other signed.
        let proof = |receipt: &Value| receipt["proof"].as_str().unwrap().parse::<mandate::evidence::LogProof>().unwrap();
        let leaf = |receipt: &Value| receipt["leaf_hash"].as_str().unwrap().parse().unwrap();
        assert!(proof(&old).verified(leaf(&old), &keys[1..]).is_err() && proof(&new).verified(leaf(&new), &keys[..1]).is_err());
        // One always signs.
        assert!(withdraw_log_key(&app.db, &next.kid()).await.is_err());
        let mut owner = connect_as_owner(h).await;
        for log in [LogId::REGISTRY, LogId::PROCESSOR] {
            let sql = "SELECT count(*) FROM log_entry WHERE customer_id = $1 AND type LIKE 'log_key.%'";
            sqlx::query("ALTER TABLE log_entry NO FORCE ROW LEVEL SECURITY").execute(&mut owner).await.unwrap();
            let count: i64 = sqlx::query_scalar(sql).bind(log.0).fetch_one(&mut owner).await.unwrap();
            assert_eq!(count, 4, "the first key's two, and the hand-over's two");
        }
        sqlx::query("ALTER TABLE log_entry FORCE ROW LEVEL SECURITY").execute(&mut owner).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_customer_receives_its_checkpoint_on_each_day_on_which_its_log_has_grown() {
    run(async |h: &Harness| {
        let keys = public_keys(h).await;
        let customers = queue_daily_checkpoints(&h.app).await.unwrap();
        assert!(customers >= 2);
        assert_eq!(queue_daily_checkpoints(&h.app).await.unwrap(), 0, "once a day");
        h.advance(chrono::Duration::days(1));
        let kari = h.person(KARI).await;
        add(&kari, "k", "Registeret").await.expect(201);
        assert_eq!(queue_daily_checkpoints(&h.app).await.unwrap(), 1, "whose log has grown");
        let customer = h.customer("Nordvik");
        let mails = h.mail_with("The checkpoint of your log").await;
        let notes = mails.iter().filter_map(|mail| {
            let text = mail.replace("=\n", "").replace("=3D", "=").replace("=E2=80=94", "\u{2014}").replace("\r\n", "\n");
            let begin = text.find(&format!("mandate/{customer}/1\n"))?;
            let note = text[begin..].trim_end().to_owned() + "\n";
            Some(Checkpoint::verified(&note.parse::<Note>().unwrap(), &keys).unwrap().size)
        });
        let mut sizes: Vec<u64> = notes.collect();
        sizes.sort_unstable();
        sizes.dedup();
        assert_eq!(sizes.len(), 2, "{sizes:?} {}", mails.join("\n"));
        assert_eq!(sizes[1], size(&kari).await);
    })
    .await;
}
