//! A large pack: how long it takes, and how much memory. `MANDATE_PACK_ENTRIES` says how large
//! (1,000,000); `MANDATE_PACK_FILE` where it is written and kept. Time counts in an optimised build only:
//! `MANDATE_PACK_FILE=F cargo test --release --locked --test pack measure -- --ignored --nocapture`, or the
//! same to write the file and then `mandate verify F --json`.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::time::Instant;

use mandate::base::InstructionKind;
use mandate::pack::{Options, PackKey, PackLog, PackWriter, Verdict, document_file, verify};

use crate::contents::{Entry, key};
use crate::world::{AGREED, STANDING, WRITTEN, World, id};

fn peak_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib / 1024)
}

/// Writes a pack of so many entries, and keeps none of them in memory.
fn write(path: &std::path::Path, entries: u64) {
    let made_at = "2026-12-31T00:00:00.000Z".parse().unwrap();
    let customer: mandate::base::CustomerId = id(500);
    let mut writer = PackWriter::new(BufWriter::new(File::create(path).unwrap()), customer, made_at, None);
    let published =
        PackKey { kid: key().kid(), public_key: base64::Engine::encode(&base64::engine::general_purpose::STANDARD, key().public_key()) };
    writer.keys(&[published]).unwrap();
    writer.begin_log(PackLog::Registry, 1, "mandate/registry/1").unwrap();
    let (mut written, mut in_customers) = (0, false);
    let sink = |is_registry: bool, entry: Entry| {
        if !is_registry && !in_customers {
            writer.begin_log(PackLog::Customer, 1, &format!("mandate/{customer}/1")).unwrap();
            in_customers = true;
        }
        written += 1;
        writer.entry(&entry.packed()).unwrap();
    };
    let mut world = World::new(sink);
    world.customer(AGREED);
    let sha256 = world.document(31, WRITTEN);
    world.sign(STANDING, InstructionKind::Export, false, sha256, &[mandate::base::Selector::Whole]);
    for number in 0..entries / 6 {
        world.day(number);
        // What has ended is looked at no more.
        world.facts.exports.clear();
    }
    drop(world);
    println!("{written} entries");
    for bytes in [AGREED, WRITTEN] {
        writer.begin(&document_file(mandate::base::sha256(&[bytes]))).unwrap();
        writer.write(bytes).unwrap();
    }
    let (out, _) = writer.finish(|name, text| key().sign(name, text)).unwrap();
    out.into_inner().unwrap().sync_all().unwrap();
}

#[test]
#[ignore = "takes minutes"]
fn measure() {
    let entries = std::env::var("MANDATE_PACK_ENTRIES").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let kept = std::env::var_os("MANDATE_PACK_FILE").map(std::path::PathBuf::from);
    let path = kept.clone().unwrap_or_else(|| std::env::temp_dir().join(format!("mandate-pack-{}.zip", std::process::id())));
    if !path.exists() {
        let began = Instant::now();
        write(&path, entries);
        println!("made in {} ms, {} MiB", began.elapsed().as_millis(), std::fs::metadata(&path).unwrap().len() >> 20);
    }
    println!("peak memory before: {:?} MiB", peak_mib());
    let report = verify(BufReader::new(File::open(&path).unwrap()), &Options::default(), |_, _| {});
    println!("checked in {} ms, decided again in {} ms; peak memory {:?} MiB", report.checking_ms, report.deciding_ms, peak_mib());
    if kept.is_none() {
        std::fs::remove_file(&path).unwrap();
    }
    assert_eq!(report.verdict, Verdict::Verified, "{report}");
}
