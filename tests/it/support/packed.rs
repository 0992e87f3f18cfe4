//! At the end of a test, the customer's evidence as a pack, and the verifier's word on it: authority
//! and instructions in force are checked there apart from replay.

use std::io::Cursor;

use mandate::base::{CustomerId, from_value};
use mandate::db::Role;
use mandate::document::{PART, document_part};
use mandate::evidence::{Event, StoredEntry};
use mandate::pack::{Options, PackEntry, PackKey, PackLog, PackWriter, Verdict, document_file, verify};
use uuid::Uuid;

use super::harness::Harness;

fn log(writer: &mut PackWriter<Vec<u8>>, log: PackLog, name: &str, entries: &[StoredEntry]) {
    for epoch in 1..=entries.last().map_or(1, |entry| entry.epoch) {
        writer.begin_log(log, epoch, &format!("mandate/{name}/{epoch}")).unwrap();
        for entry in entries.iter().filter(|entry| entry.epoch == epoch) {
            let entry = entry.clone();
            let packed = PackEntry { leaf: entry.leaf, record: (entry.nonce, entry.record), subjects: entry.subjects };
            writer.entry(&packed).unwrap();
        }
    }
}

async fn documents(harness: &Harness, writer: &mut PackWriter<Vec<u8>>, all: &[StoredEntry], customer: CustomerId) {
    let erased: Vec<_> = all.iter().filter(|entry| entry.word == "document.erased").map(|entry| entry.record["document"].clone()).collect();
    for entry in all.iter().filter(|entry| entry.word == "document.stored") {
        let Event::DocumentStored { document, sha256, length, .. } = entry.event().unwrap() else { panic!("{entry:?}") };
        if erased.contains(&entry.record["document"]) {
            writer.erased_document();
            continue;
        }
        writer.begin(&document_file(sha256)).unwrap();
        for part in 0..i32::try_from(length.div_ceil(PART as u64)).unwrap() {
            let mut read = harness.app.db.read(Role::Worker, "audit", customer.into()).await.unwrap();
            let bytes = document_part(read.conn(), customer, document, part).await.unwrap();
            drop(read);
            writer.write(&bytes).unwrap();
        }
    }
}

/// Fails unless the pack of the customer's log verifies.
pub async fn verified(harness: &Harness, registry: &[StoredEntry], all: &[StoredEntry], id: Uuid) {
    let Some(pack) = packed(harness, registry, all, id.into()).await else { return };
    let report = verify(Cursor::new(&pack), &Options::default(), |_, _| {});
    assert_eq!(report.verdict, Verdict::Verified, "{}: {report}", CustomerId::from(id));
}

/// A pack of these entries, whatever they say, signed by the harness; `None`: it has not the key that signs.
pub async fn packed(harness: &Harness, registry: &[StoredEntry], all: &[StoredEntry], customer: CustomerId) -> Option<Vec<u8>> {
    let mut writer = PackWriter::new(Vec::new(), customer, harness.app.db.clock().now(), None);
    let published = registry.iter().filter(|entry| entry.word == "log_key.published");
    let keys: Vec<PackKey> = published.map(|entry| from_value(&entry.record).unwrap()).collect();
    writer.keys(&keys).unwrap();
    log(&mut writer, PackLog::Registry, "registry", registry);
    log(&mut writer, PackLog::Customer, &customer.to_string(), all);
    documents(harness, &mut writer, all, customer).await;
    let kid = harness.app.db.standing().await.unwrap().kid.unwrap();
    // A test that hands over to a key of its own keeps it from the harness.
    let key = harness.app.notary.key(&kid)?;
    Some(writer.finish(|name, text| key.sign(name, text)).unwrap().0)
}
