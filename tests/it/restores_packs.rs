//! Packs of several epochs, made after restores: the verifier and the one in Python, which shares no line with
//! it, come to the same verdicts, with and without checkpoints that the customer kept.
//!
//! Python is `MANDATE_PYTHON`, or `python3`; without its package `cryptography` only the first verifier is asked.

use std::path::Path;
use std::process::Command;

use mandate::base::canonical;
use mandate::db::{LogId, Role};
use mandate::evidence::{Checkpoint, LogSigningKey, Note, StoredEntry, commit_record, entries};
use mandate::pack::{PackLog, Verdict, log_file};
use mandate::restore::take_in;
use serde_json::{Value, json};

use crate::packs::check;
use crate::restores::{STEPS, dump, removed, restored, step, world};
use crate::support::{Client, Harness, LOG_KEY, bare, export, packed, run};

/// Exit code and words of the Python verifier; `None`: it cannot run here.
fn by_python(pack: &Path, pinned: &[(String, Note)]) -> Option<(i32, String)> {
    let python = std::env::var("MANDATE_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let runs = Command::new(&python).args(["-c", "import cryptography"]).output().is_ok_and(|output| output.status.success());
    if !runs {
        println!("{python} has no package cryptography");
        return None;
    }
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/verify/verify_pack.py"));
    for (name, note) in pinned {
        let file = pack.with_extension(format!("{name}.txt"));
        std::fs::write(&file, note.to_string()).unwrap();
        command.arg("--pinned").arg(file);
    }
    let output = command.arg(pack).output().unwrap();
    for (name, _) in pinned {
        std::fs::remove_file(pack.with_extension(format!("{name}.txt"))).unwrap();
    }
    Some((output.status.code().unwrap(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap()))
}

/// Both verifiers on one pack.
fn judged(h: &Harness, bytes: &[u8], pinned: &[(String, Note)], expected: Verdict, what: &str) {
    let report = check(bytes, pinned.iter().map(|(_, note)| note.clone()).collect());
    assert_eq!(report.verdict, expected, "{what}: {report}");
    let file = h.mail.with_file_name(format!("epochs-{}.zip", h.database.name));
    std::fs::write(&file, bytes).unwrap();
    let code = match expected {
        Verdict::Verified => 0,
        Verdict::Tampered => 1,
        Verdict::Undecided => 2,
    };
    if let Some((found, told)) = by_python(&file, pinned) {
        assert_eq!(found, code, "{what}: {told}");
    }
    std::fs::remove_file(file).unwrap();
}

async fn checkpoint(kari: &Client, name: &str) -> (String, Note) {
    (name.to_owned(), kari.get("/api/v1/evidence/checkpoint").await.expect(200).text("/note").parse().unwrap())
}

/// The verdicts on a pack of three epochs, whatever was lost, by what was kept before.
fn all_judged(back: &Harness, pack: &[u8], kept: &[(String, Note)]) {
    let of = |name: &str| kept.iter().filter(|(kept, _)| kept == name).cloned().collect::<Vec<_>>();
    judged(back, pack, &[], Verdict::Verified, "nothing pinned");
    judged(back, pack, &of("early"), Verdict::Verified, "a beginning that is here");
    judged(back, pack, &of("last"), Verdict::Verified, "up to what was kept outside, which the opening names");
    judged(back, pack, &of("between"), Verdict::Undecided, "into what was lost, and not to its end");
    let last = Checkpoint::of(&of("last")[0].1).unwrap();
    let key = LogSigningKey::from_pem(LOG_KEY).unwrap();
    for (size, what) in [(last.size, "another life of the log"), (last.size + 1, "more than anybody knew of"), (2, "another beginning")] {
        let other = Checkpoint { size, root: mandate::base::sha256(&[b"another life"]), ..last.clone() };
        let pinned = [("other".to_owned(), other.sign(&key).unwrap())];
        judged(back, pack, &pinned, Verdict::Tampered, what);
    }
    for epoch in 1..=3 {
        assert!(pack.windows(64).any(|bytes| bytes.starts_with(log_file(PackLog::Customer, epoch).as_bytes())), "epoch {epoch}");
    }
}

/// The same pack with an entry of an epoch changed, and everything above it hashed and signed anew.
async fn changed(back: &Harness, registry: &[StoredEntry], all: &[StoredEntry], change: impl Fn(&mut Vec<StoredEntry>)) -> Vec<u8> {
    let mut all = all.to_vec();
    change(&mut all);
    for entry in all.iter_mut().filter(|entry| entry.word == "epoch.opened") {
        let mut leaf: Value = serde_json::from_slice(&entry.leaf).unwrap();
        leaf["commitment"] = json!(commit_record(&entry.nonce.0, &entry.record));
        entry.leaf = canonical(&leaf);
    }
    packed(back, registry, &all, back.customer("Nordvik").parse().unwrap()).await.unwrap()
}

/// The entries of the registry's log and of Nordvik's.
async fn held(back: &Harness) -> (Vec<StoredEntry>, Vec<StoredEntry>) {
    let all = async |log: LogId| {
        let mut read = back.app.db.read(Role::Worker, "held", log).await.unwrap();
        entries(read.conn(), log, (1, 0), i64::MAX, None).await.unwrap()
    };
    (all(LogId::REGISTRY).await, all(LogId(bare(&back.customer("Nordvik")))).await)
}

/// A pack of Nordvik's, of whom nobody can ask for one before people were confirmed.
async fn whole(back: &Harness) -> Vec<u8> {
    let (registry, own) = held(back).await;
    packed(back, &registry, &own, back.customer("Nordvik").parse().unwrap()).await.unwrap()
}

/// What an opening may not say, nor be missing: a change of each, which both verifiers find.
async fn changed_openings(back: &Harness) {
    let (registry, own) = held(back).await;
    let opening = own.iter().position(|entry| entry.word == "epoch.opened").unwrap();
    judged(back, &changed(back, &registry, &own, |_| ()).await, &[], Verdict::Verified, "nothing changed");
    let said: [(&str, fn(&mut Value)); 5] = [
        ("another size", |ended| ended["size"] = json!(3)),
        ("another root", |ended| ended["root"] = json!("00".repeat(32))),
        ("fewer are missing", |ended| ended["missing"] = Value::Null),
        ("another epoch", |ended| ended["epoch"] = json!(9)),
        ("less was known", |ended| ended["known"] = Value::Null),
    ];
    for (what, change) in said {
        let pack = changed(back, &registry, &own, |all| change(&mut all[opening].record["ended"][0])).await;
        judged(back, &pack, &[], Verdict::Tampered, what);
    }
    let pack = changed(back, &registry, &own, |all| drop(all.remove(opening))).await;
    judged(back, &pack, &[], Verdict::Tampered, "no opening");
    let pack = changed(back, &registry, &own, |all| {
        let again = StoredEntry { at: all[opening].at, ..all[opening].clone() };
        all.insert(opening + 1, again);
    });
    judged(back, &pack.await, &[], Verdict::Tampered, "opened twice");
}

#[tokio::test]
async fn packs_of_several_epochs_are_judged_alike_by_both_verifiers() {
    run(async |h: &Harness| {
        let mut w = world(h).await;
        let mut kept = vec![checkpoint(&w.kari, "early").await];
        let file = dump(h).await;
        let again = file.with_extension("again");
        std::fs::copy(&file, &again).unwrap();
        for number in 0..STEPS {
            step(h, &mut w, number).await;
            if number == 1 {
                kept.push(checkpoint(&w.kari, "between").await);
            }
        }
        kept.push(checkpoint(&w.kari, "last").await);
        h.app.notary.keep_noted(&h.app.db).await.unwrap();
        // Two restores one after the other, none of which lost what the other had.
        let back = restored(h, &file).await;
        mandate::app::prepare(&back.app).await.unwrap();
        take_in(&back.app.db, back.app.notary.outside(), &back.app.notary.public_keys(), true).await.unwrap().unwrap();
        mandate::app::prepare(&back.app).await.unwrap();
        all_judged(&back, &whole(&back).await, &kept);
        removed(h, &back).await;
        // The same backup again: of the second and the third epoch nothing is here, and the fourth is opened.
        let back = restored(h, &again).await;
        mandate::app::prepare(&back.app).await.unwrap();
        mandate::restore::confirm_processor(&back.app.db).await.unwrap();
        // An epoch that holds more than its opening.
        back.ask(&w.platform_on(&back), "later", &export()).await.expect(403);
        let pack = whole(&back).await;
        let report = check(&pack, Vec::new());
        assert_eq!(report.verdict, Verdict::Verified, "{report}");
        all_judged(&back, &pack, &kept);
        changed_openings(&back).await;
        removed(h, &back).await;
    })
    .await;
}
