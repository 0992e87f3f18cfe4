//! The commands of `docs/restore.md`, each run on a restored database in the order of the page: declare, status,
//! fsck, supply, erase; and then what is left to people.
//!
//! Negative controls: before the supply the same receipt and consistency are not found. Seen to fail: without the
//! look at `to_end` in `confirm_state` the state is confirmed with a withdrawn instruction in force.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use chrono::Duration;
use mandate::base::{Clock as _, SystemClock};
use mandate::db::Role;
use mandate::evidence::{Checkpoint, Note};
use mandate::fsck::{Verdict, check};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::log_reading::{public_keys, verified};
use crate::packs::made;
use crate::restores::{World, asks_other, dump, nothing_is_redeemable, other, outside, people_first, removed, restored, withdraw, world};
use crate::support::{Client, Harness, KARI, LOG_KEY, audit, export, run_today, with};

/// Exit code and words of a command on this database.
fn said(h: &Harness, words: &[&str]) -> (Option<i32>, String) {
    let home = h.mail.with_file_name(format!("commands-{}", h.database.name));
    std::fs::create_dir_all(&home).unwrap();
    let mut file = std::fs::OpenOptions::new();
    let file = file.write(true).create(true).truncate(true).mode(0o600).open(home.join("log-key.pem"));
    file.unwrap().write_all(LOG_KEY).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_mandate"));
    command
        .args(words)
        .env("MANDATE_HOME", &home)
        .env_remove("DATABASE_URL")
        .env("MANDATE_ERASE_URL", h.database.eraser_url.expose_secret());
    command.env("MANDATE__EVIDENCE__KEY_FILE", home.join("log-key.pem"));
    command.env("MANDATE__EVIDENCE__CHECKPOINT_DIRECTORY", &h.checkpoints);
    for (role, url) in Role::ALL.into_iter().zip(&h.database.urls.urls) {
        let role = role.name().trim_start_matches("mandate_").to_uppercase();
        command.env(format!("MANDATE__DATABASE__{role}_URL"), url.expose_secret());
    }
    let output = command.output().unwrap();
    std::fs::remove_dir_all(home).unwrap();
    // The command has the machine's own clock.
    let behind = SystemClock::default().now().millis() - h.clock_millis();
    h.advance(Duration::milliseconds(behind.max(0)));
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

fn file(h: &Harness, name: &str, bytes: &[u8]) -> PathBuf {
    let path = h.mail.with_file_name(format!("{name}-{}.zip", h.database.name));
    std::fs::write(&path, bytes).unwrap();
    path
}

/// What the customer keeps of the entries that are lost, and the packs that it holds.
struct Kept {
    receipt: Value,
    checkpoint: Note,
    early: PathBuf,
    pack: PathBuf,
    changed: PathBuf,
    signed: String,
}

async fn lost(h: &Harness, w: &mut World) -> Kept {
    let early = file(h, "early", &made(h, &w.kari, &json!({})).await);
    withdraw(w).await;
    let recipient = json!({"legal_entity": "Registeret", "country": "NO", "role": "school_authority"});
    let receipt = w.kari.post("/api/v1/recipients", &recipient).await.expect(201).json()["receipt"].clone();
    let signed = h.signed(&w.kari, &with(other(), json!({"purposes": ["statutory-reporting"]}))).await;
    let (_, id, permit) = w.permits[1].clone();
    h.redeem(&w.platform, "r1", &id, &permit).await.expect(201);
    h.ask(&w.platform, "refused", &with(export(), json!({"purpose": "marketing"}))).await.expect(403);
    h.app.notary.keep_noted(&h.app.db).await.unwrap();
    let checkpoint = w.kari.get("/api/v1/evidence/checkpoint").await.expect(200).text("/note").parse().unwrap();
    let mut bytes = made(h, &w.kari, &json!({})).await;
    let pack = file(h, "pack", &bytes);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    Kept { receipt, checkpoint, early, pack, changed: file(h, "changed", &bytes), signed }
}

/// The receipt of a lost entry, and that the log at one size begins it at the size of the kept checkpoint.
async fn proofs(back: &Harness, kari: &Client, kept: &Kept) -> [u16; 2] {
    let text = |member: &str| kept.receipt[member].as_str().unwrap().to_owned();
    let (index, size) = (&kept.receipt["index"], &kept.receipt["size"]);
    let query = format!("origin={}&index={index}&leaf_hash={}&size={size}&root={}", text("origin"), text("leaf_hash"), text("root"));
    let receipt = kari.get(&format!("/api/v1/evidence/receipt?{query}")).await;
    if receipt.status == 200 {
        verified(&receipt.json(), &public_keys(back).await);
    }
    let known = Checkpoint::of(&kept.checkpoint).unwrap();
    let path = format!("/api/v1/evidence/consistency-proof?from_size=3&to_size={}&epoch=1", known.size);
    let proof = kari.get(&path).await;
    if proof.status == 200 {
        let (proof, path) = (proof.json(), proof.json()["path"].clone());
        assert_eq!(proof["to_root"], json!(known.root));
        let path: Vec<mandate::base::Digest> = serde_json::from_value(path).unwrap();
        let old = (3, proof["from_root"].as_str().unwrap().parse().unwrap());
        assert!(mandate::evidence::verify_consistency(old, (known.size, known.root), &path));
    }
    [receipt.status.as_u16(), proof.status.as_u16()]
}

fn supplied(back: &Harness, pack: &Path) -> (Option<i32>, String) {
    said(back, &["restore", "supply", "--pack", pack.to_str().unwrap()])
}

async fn commands(back: &Harness, w: &World, kept: &Kept, missing: (u64, u64)) {
    let (code, told) = said(back, &["restore", "status"]);
    assert!(code == Some(0) && told.contains("no restore was taken in"), "{told}");
    let (code, told) = said(back, &["restore", "declare"]);
    let lost = format!("entries {} to {} of the epoch 1 are missing; UNCONFIRMED", missing.0, missing.1);
    assert!(code == Some(0) && told.contains("logs opened another epoch") && told.contains(&lost), "{told}");
    let (code, again) = said(back, &["restore", "status"]);
    assert!(code == Some(0) && again.contains(&lost) && again.contains("1 customers have to confirm"), "{again}");
    let (code, told) = said(back, &["fsck"]);
    assert_eq!(code, Some(0), "{told}");
    // Who is suspended reads nothing of the customer.
    let kari = back.person(KARI).await;
    assert_eq!(proofs(back, &kari, kept).await, [403, 403]);
    let customer = back.customer("Nordvik").parse().unwrap();
    assert_eq!(mandate::restore::missing(&back.app.db, customer).await.unwrap().len(), 1);
    for (pack, why) in [(&kept.early, "fewer"), (&kept.changed, "")] {
        let (code, told) = supplied(back, pack);
        assert!(code == Some(1) && told.contains(why), "{told}");
    }
    let (code, told) = supplied(back, &kept.pack);
    let withdrawn = format!("withdraw the instruction {} again", w.withdrawn[0]);
    assert!(code == Some(0) && told.contains(&withdrawn) && told.contains("not given again: recipient.added"), "{told}");
    assert!(told.contains("instruction.signed"), "{told}");
    let (code, told) = supplied(back, &kept.pack);
    assert!(code == Some(0) && told.contains("nothing is missing"), "{told}");
    let (code, told) = said(back, &["restore", "status"]);
    assert!(code == Some(0) && told.contains("of them were supplied; UNCONFIRMED"), "{told}");
    let (code, told) = said(back, &["erase"]);
    assert!(code == Some(2) && told.contains("nothing is erased until"), "{told}");
    let (code, told) = said(back, &["fsck"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(mandate::restore::missing(&back.app.db, customer).await.unwrap().is_empty());
}

/// What was supplied is evidence and no more: what it gave does not hold, and what it ended must be ended first.
async fn confirmed(back: &Harness, w: &World, kept: &Kept) {
    let kari = people_first(back, &back.person(KARI).await).await;
    // Control: without `supplied_place` and `supplied_consistency` both are 404.
    assert_eq!(proofs(back, &kari, kept).await, [200, 200]);
    kari.get(&format!("/api/v1/instructions/{}", kept.signed)).await.expect(404);
    let state = kari.get("/api/v1/evidence/state").await.expect(200).json();
    assert_eq!(state["to_end"].as_array().unwrap().len(), 1, "{state}");
    assert!(state["to_repeat"].as_array().unwrap().iter().any(|act| act.as_str().unwrap().contains("recipient.added")), "{state}");
    let confirmation = json!({"epoch": 2});
    let refused = kari.post("/api/v1/evidence/state-confirmations", &confirmation).await.expect(409);
    assert_eq!(refused.text("/code"), "supplied_acts_open");
    kari.post(&format!("/api/v1/instructions/{}/revocations", w.withdrawn[0]), &json!({})).await.expect(201);
    kari.post("/api/v1/evidence/state-confirmations", &confirmation).await.expect(201);
    let platform = w.platform_on(back);
    back.ask(&platform, "withdrawn", &asks_other()).await.expect(403);
    back.ask(&platform, "works", &export()).await.expect(201);
    nothing_is_redeemable(back, w, &platform).await;
}

#[tokio::test]
async fn the_commands_of_the_page_in_its_order_and_a_pack_that_supplies_what_is_missing() {
    run_today(async |h: &Harness| {
        let mut w = world(h).await;
        let file = dump(h).await;
        let kept = lost(h, &mut w).await;
        let known = outside(h)[&h.customer("Nordvik")];
        let back = restored(h, &file).await;
        let here = crate::restores::sizes(&back).await[&h.customer("Nordvik")];
        commands(&back, &w, &kept, (here, known - 1)).await;
        confirmed(&back, &w, &kept).await;
        let report = check(&back.app.db, back.app.notary.outside(), None, |_| {}).await.unwrap();
        assert_eq!(report.verdict(), Verdict::Clean, "{report}");
        mandate::app::deliver_due(&back.app).await.unwrap();
        audit(&back).await;
        for pack in [&kept.early, &kept.pack, &kept.changed] {
            std::fs::remove_file(pack).unwrap();
        }
        removed(h, &back).await;
    })
    .await;
}
