//! Reading the logs: entries and their proofs, receipts, consistency, tiles, and the keys by which
//! a reader checks all of it without the service.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mandate::base::{Digest, merkle_leaf};
use mandate::evidence::{Checkpoint, LogProof, Note, of_leaves, root_of, verify_consistency};
use serde_json::{Value, json};

use crate::support::{ADMIN, Client, Harness, KARI, export, instruction, run, with};

/// The public keys of the logs, as anybody reads them.
pub async fn public_keys(h: &Harness) -> Vec<[u8; 32]> {
    let keys = h.nobody.get("/.well-known/log-keys.json").await.expect(200).json();
    let keys = keys["keys"].as_array().unwrap().iter();
    keys.map(|key| STANDARD.decode(key["public_key"].as_str().unwrap()).unwrap().try_into().unwrap()).collect()
}

fn digest(value: &Value) -> Digest {
    value.as_str().unwrap().parse().unwrap()
}

/// Checks the proof of a receipt against what the receipt says.
pub fn verified(receipt: &Value, keys: &[[u8; 32]]) -> Checkpoint {
    let proof: LogProof = receipt["proof"].as_str().unwrap_or_else(|| panic!("no proof in {receipt}")).parse().unwrap();
    let checkpoint = proof.verified(digest(&receipt["leaf_hash"]), keys).unwrap();
    assert_eq!((checkpoint.origin.as_str(), checkpoint.size), (receipt["origin"].as_str().unwrap(), receipt["size"].as_u64().unwrap()));
    assert_eq!((proof.index, checkpoint.root), (receipt["index"].as_u64().unwrap(), digest(&receipt["root"])));
    checkpoint
}

async fn all_entries(client: &Client) -> Vec<Value> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("/api/v1/evidence/entries?limit=100{cursor}")).await.expect(200).json();
        found.extend(page["data"].as_array().unwrap().clone());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}

/// So many dry runs: a short way to entries.
async fn dry_runs(h: &Harness, count: u32) {
    let platform = h.platform("itslearning");
    for number in 0..count {
        h.ask(&platform, &format!("dry-{number}"), &with(export(), json!({"dry_run": true}))).await;
    }
}

#[tokio::test]
async fn every_entry_is_proved_by_the_signed_checkpoint_and_no_other_leaf_is() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        h.signed(&kari, &instruction()).await;
        dry_runs(h, 3).await;
        let keys = public_keys(h).await;
        let entries = all_entries(&kari).await;
        assert!(entries.len() > 10);
        for entry in &entries {
            let view = kari.get(&format!("/api/v1/evidence/entries/{}", entry["id"].as_str().unwrap())).await.expect(200).json();
            let leaf = merkle_leaf(view["leaf"].as_str().unwrap().as_bytes());
            assert_eq!(leaf, digest(&entry["receipt"]["leaf_hash"]));
            let proof: LogProof = view["proof"].as_str().unwrap().parse().unwrap();
            let checkpoint = proof.verified(leaf, &keys).unwrap();
            assert_eq!(checkpoint.size, entries.len() as u64);
            // Negative control: another leaf, and another key.
            assert!(proof.verified(merkle_leaf(b"another"), &keys).is_err());
            assert!(proof.verified(leaf, &[[7; 32]]).is_err());
            let summary = entry["summary"].as_str().unwrap();
            assert!(summary.ends_with('.') && !summary.contains('{'), "{summary}");
        }
        let signed = entries.iter().find(|entry| entry["type"] == "instruction.signed").unwrap();
        assert!(signed["summary"].as_str().unwrap().contains("signed version 1 of the instruction ins_"), "{signed}");
    })
    .await;
}

#[tokio::test]
async fn entries_are_found_by_type_and_time_and_given_as_csv() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let before = h.app.db.clock().now();
        h.advance(chrono::Duration::minutes(1));
        h.signed(&kari, &instruction()).await;
        let count = async |query: &str| {
            let page = kari.get(&format!("/api/v1/evidence/entries?limit=100&{query}")).await.expect(200).json();
            page["data"].as_array().unwrap().iter().map(|entry| entry["type"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let later = count(&format!("from_at={}", h.app.db.clock().now())).await;
        assert!(later.contains(&"instruction.signed".to_owned()) && !later.contains(&"customer.registered".to_owned()), "{later:?}");
        let earlier = count(&format!("until_at={before}")).await;
        assert!(earlier.contains(&"customer.registered".to_owned()) && !earlier.contains(&"instruction.signed".to_owned()), "{earlier:?}");
        assert_eq!(count("type=instruction.signed").await.iter().filter(|word| *word != "instruction.signed").count(), 0);
        kari.get("/api/v1/evidence/entries?from_at=yesterday").await.expect(400);
        let csv = kari
            .raw(axum::http::Method::GET, "/api/v1/evidence/entries?limit=100", &[("accept", "text/csv")], Vec::new())
            .await
            .expect(200);
        let text = String::from_utf8(csv.bytes).unwrap();
        assert!(text.lines().next().unwrap().contains("summary") && text.contains("The institution was registered as"), "{text}");
    })
    .await;
}

#[tokio::test]
async fn an_act_is_answered_with_a_signed_receipt_and_the_gate_s_is_exchanged_for_one() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let keys = public_keys(h).await;
        let id = h.drafted(&kari, &instruction()).await;
        let signed = h.sign(&kari, &id, 1).await.expect(201).json();
        verified(&signed["receipt"], &keys);
        // On the admin surface too.
        let admin = h.person(ADMIN).await;
        let customer = h.customer("Nordvik");
        let units =
            admin.post(&format!("/api/admin/v1/customers/{customer}/units"), &json!({"units": [{"code": "S99", "name": "New"}]})).await;
        verified(&units.expect(201).json()["receipt"], &keys);

        let permitted = h.ask(&h.platform("itslearning"), "k", &export()).await.expect(201).json();
        let receipt = &permitted["receipt"];
        assert!(receipt.get("proof").is_none(), "the gate signs permits only: {receipt}");
        let query = |receipt: &Value| {
            let member = |name: &str| format!("{name}={}", receipt[name].to_string().trim_matches('"'));
            ["origin", "index", "leaf_hash", "size", "root"].map(member).join("&")
        };
        let path = format!("/api/v1/evidence/receipt?{}", query(receipt));
        let exchanged = kari.get(&path).await.expect(200).json();
        let checkpoint = verified(&exchanged, &keys);
        assert_eq!(checkpoint.root, digest(&receipt["root"]));
        // One size has one root, however often it is signed.
        assert_eq!(kari.get(&path).await.expect(200).json(), exchanged);
        // Negative controls: a receipt that says something else, of another log, of no entry.
        let other = with(receipt.clone(), json!({"leaf_hash": "0".repeat(64)}));
        let conflict = kari.get(&format!("/api/v1/evidence/receipt?{}", query(&other))).await.expect(409);
        assert_eq!(conflict.text("/code"), "receipt-contradicted");
        for change in [json!({"origin": "mandate/registry/1"}), json!({"index": 999_999, "size": 1_000_000}), json!({"size": 1})] {
            let other = with(receipt.clone(), change);
            kari.get(&format!("/api/v1/evidence/receipt?{}", query(&other))).await.expect(404);
        }
    })
    .await;
}

#[tokio::test]
async fn a_checkpoint_that_was_kept_is_the_beginning_of_every_later_one() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let keys = public_keys(h).await;
        let checkpoint = async || {
            let view = kari.get("/api/v1/evidence/checkpoint").await.expect(200).json();
            let note: Note = view["note"].as_str().unwrap().parse().unwrap();
            Checkpoint::verified(&note, &keys).unwrap()
        };
        let kept = checkpoint().await;
        h.signed(&kari, &instruction()).await;
        let later = checkpoint().await;
        assert!(later.size > kept.size);
        let proof = kari.get(&format!("/api/v1/evidence/consistency-proof?from_size={}", kept.size)).await.expect(200).json();
        let path: Vec<Digest> = proof["path"].as_array().unwrap().iter().map(digest).collect();
        let holds = |old: &Checkpoint, new: &Checkpoint| verify_consistency((old.size, old.root), (new.size, new.root), &path);
        assert!(holds(&kept, &later));
        // Negative control: a checkpoint that this log never had.
        assert!(!holds(&Checkpoint { root: later.root, ..kept.clone() }, &later));
        for query in ["from_size=0", "from_size=999999", "from_size=2&to_size=1", "from_size=1&epoch=7"] {
            kari.get(&format!("/api/v1/evidence/consistency-proof?{query}")).await.expect(404);
        }
        kari.get("/api/v1/evidence/consistency-proof").await.expect(400);
    })
    .await;
}

/// The leaves of a log by its `tlog-tiles` paths, checked against its checkpoint and hash tiles.
async fn read_by_tiles(client: &Client, prefix: &str, keys: &[[u8; 32]]) -> Checkpoint {
    let text = client.get(&format!("{prefix}/checkpoint")).await.expect(200);
    let note: Note = String::from_utf8(text.bytes).unwrap().parse().unwrap();
    let checkpoint = Checkpoint::verified(&note, keys).unwrap();
    let mut leaves = Vec::new();
    for tile in 0..checkpoint.size.div_ceil(256) {
        let width = (checkpoint.size - tile * 256).min(256);
        let partial = if width < 256 { format!(".p/{width}") } else { String::new() };
        let entries = client.get(&format!("{prefix}/tile/entries/{tile:03}{partial}")).await.expect(200).bytes;
        let hashes = client.get(&format!("{prefix}/tile/0/{tile:03}{partial}")).await.expect(200).bytes;
        let (mut rest, mut found) = (entries.as_slice(), Vec::new());
        while let [high, low, after @ ..] = rest {
            let (leaf, after) = after.split_at(usize::from(u16::from_be_bytes([*high, *low])));
            found.push(merkle_leaf(leaf));
            rest = after;
        }
        assert_eq!(found.iter().flat_map(|hash| hash.0).collect::<Vec<_>>(), hashes);
        leaves.extend(found);
    }
    assert_eq!(root_of(checkpoint.size, of_leaves(&leaves)), Some(checkpoint.root));
    checkpoint
}

#[tokio::test]
async fn a_log_is_read_whole_by_its_tlog_tiles_paths() {
    run(async |h: &Harness| {
        let kari = h.person(KARI).await;
        let keys = public_keys(h).await;
        // Past a full tile, which is then a row.
        dry_runs(h, 300).await;
        let customer = h.customer("Nordvik");
        let prefix = format!("/api/v1/evidence/tlog/{customer}/1");
        let own = read_by_tiles(&kari, &prefix, &keys).await;
        assert!(own.size > 300);
        let upper = kari.get(&format!("{prefix}/tile/1/000.p/1")).await.expect(200);
        assert_eq!(upper.bytes.len(), 32);
        read_by_tiles(&kari, "/api/v1/evidence/tlog/registry/1", &keys).await;
        // A proof across the full tile.
        let entries = all_entries(&kari).await;
        let view = kari.get(&format!("/api/v1/evidence/entries/{}", entries[5]["id"].as_str().unwrap())).await.expect(200).json();
        let proof: LogProof = view["proof"].as_str().unwrap().parse().unwrap();
        proof.verified(merkle_leaf(view["leaf"].as_str().unwrap().as_bytes()), &keys).unwrap();
        // Not there: what the log does not reach, what is no path, another's log, the processor's.
        let neighbour = h.customer("Søby");
        let wrong = [
            format!("{prefix}/tile/0/001"),
            format!("{prefix}/tile/0/009.p/1"),
            format!("{prefix}/tile/1/000"),
            format!("{prefix}/tile/0/0"),
            format!("{prefix}/tile/entries/002"),
            format!("/api/v1/evidence/tlog/{customer}/2/checkpoint"),
            format!("/api/v1/evidence/tlog/{neighbour}/1/checkpoint"),
            "/api/v1/evidence/tlog/processor/1/checkpoint".to_owned(),
            "/api/v1/evidence/tlog/platform/1/checkpoint".to_owned(),
        ];
        for path in wrong {
            kari.get(&path).await.expect(404);
        }
        h.nobody.get(&format!("{prefix}/checkpoint")).await.expect(401);
    })
    .await;
}
