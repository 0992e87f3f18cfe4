//! Nothing that was changed once verifies, and each check is needed for that. 300 mutations; as many
//! as `MANDATE_MUTATIONS` says. `MANDATE_MUTATED_PACKS=FOLDER` writes them for the Python verifier.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use mandate::pack::{Check, Options, Place, Verdict};
use serde_json::json;

use crate::mutations::{Dice, Files, KINDS, mutate};
use crate::verified::check;
use crate::world::everything;

fn how_many(default: usize) -> usize {
    std::env::var("MANDATE_MUTATIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn every_mutation_is_detected_and_its_place_is_named() {
    let contents = everything();
    let pack = contents.pack();
    let original = Files::of(&pack).unwrap();
    let mut dice = Dice(2_026);
    let mut counts = BTreeMap::<&str, (usize, usize, usize, usize)>::new();
    for number in 0..how_many(300) {
        let kind = KINDS[number % KINDS.len()];
        let mutated = mutate(kind, &contents, &pack, &mut dice);
        let report = check(&mutated.pack, &Options { pinned: mutated.pinned, ..Options::default() });
        let count = counts.entry(kind).or_default();
        count.0 += 1;
        match report.verdict {
            Verdict::Tampered => count.1 += 1,
            Verdict::Undecided => count.2 += 1,
            // Bytes of the archive that no reader asks for: all that the pack says is as it was.
            Verdict::Verified if Files::of(&mutated.pack).as_ref() == Some(&original) => count.3 += 1,
            Verdict::Verified => panic!("{kind}, number {number}: not detected"),
        }
        if let Some(first) = report.findings.first() {
            let of_archive = kind.starts_with("archive");
            assert!(of_archive || first.place != Place::default(), "{kind}, number {number}: {first:?}");
            assert!(!first.what.is_empty());
        }
    }
    let mut unseen = 0;
    for (kind, (all, tampered, undecided, same)) in &counts {
        println!("{all:>6} {kind}: {tampered} tampered, {undecided} undecided, {same} of no effect on what is read");
        unseen += same;
        assert!(*same == 0 || *kind == "archive: a byte changed", "{kind}");
    }
    println!("{unseen} changed bytes of the archive that nobody reads");
}

/// Which check sees it, if it were the only one that looks.
#[test]
fn each_check_alone_stands_between_some_mutation_and_a_verdict_of_verified() {
    let contents = everything();
    let pack = contents.pack();
    let mut dice = Dice(7);
    for (needed, kind) in [
        (Check::Trees, "leaf: another actor"),
        (Check::Commitments, "record: changed under its leaf"),
        (Check::Documents, "document: a byte changed, sealed"),
        (Check::Pinned, "history: who asked was changed"),
        (Check::Decisions, "decision: a refusal of another reason"),
        (Check::Mandates, "signature: by a member without authority"),
        (Check::Erasures, "subjects: gone without an entry"),
    ] {
        let mutated = mutate(kind, &contents, &pack, &mut dice);
        let with = |skipped: BTreeSet<Check>| {
            let options = Options { pinned: mutated.pinned.clone(), skipped, ..Options::default() };
            check(&mutated.pack, &options)
        };
        let whole = with(BTreeSet::new());
        assert_eq!(whole.verdict, Verdict::Tampered, "{kind}: {whole}");
        assert_eq!(whole.findings[0].check, needed, "{kind}: {whole}");
        let sabotaged = with(BTreeSet::from([needed]));
        assert_eq!(sabotaged.verdict, Verdict::Verified, "{kind} is seen without the check for {needed}: {sabotaged}");
    }
}

/// The first entry that is wrong is named.
#[test]
fn the_first_index_is_named() {
    let contents = everything();
    let pack = contents.pack();
    for at in [0, 7, 20] {
        let mut files = Files::of(&pack).unwrap();
        let name = "logs/customer/1.ndjson";
        let mut lines: Vec<Vec<u8>> = files.file(name).split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        lines.remove(at);
        *files.file(name) = lines.concat();
        let report = check(&files.sealed(|_| {}).pack(), &Options::default());
        assert_eq!(report.verdict, Verdict::Tampered);
        assert_eq!(report.findings[0].place.index, Some(at as u64), "{report}");
    }
}

/// Writes mutated packs and what checks 1 to 4 and 7 say of them, for the verifier in Python.
#[test]
#[ignore = "writes files: MANDATE_MUTATED_PACKS says where"]
fn mutated_packs_for_the_python_verifier() {
    let Ok(folder) = std::env::var("MANDATE_MUTATED_PACKS") else { return };
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder).unwrap();
    let contents = everything();
    let pack = contents.pack();
    let mut dice = Dice(99);
    // What was changed in the archive alone is for each reader of ZIP to judge.
    let kinds: Vec<&'static str> = KINDS.iter().copied().filter(|kind| !kind.starts_with("archive")).collect();
    let skipped = BTreeSet::from([Check::Decisions, Check::Mandates]);
    let mut cases = vec![json!({"pack": "whole.zip", "pinned": [contents.checkpoint(9).to_string()], "exit": 0, "mutation": "none"})];
    std::fs::write(folder.join("whole.zip"), &pack).unwrap();
    for number in 0..how_many(2_000) {
        let kind = kinds[number % kinds.len()];
        let mutated = mutate(kind, &contents, &pack, &mut dice);
        let report = check(&mutated.pack, &Options { pinned: mutated.pinned.clone(), skipped: skipped.clone(), ..Options::default() });
        let name = format!("{number}.zip");
        std::fs::write(folder.join(&name), &mutated.pack).unwrap();
        let pinned: Vec<String> = mutated.pinned.iter().map(ToString::to_string).collect();
        cases.push(json!({"pack": name, "pinned": pinned, "exit": report.verdict.exit_code(), "mutation": kind}));
    }
    std::fs::write(folder.join("expected.json"), serde_json::to_vec(&cases).unwrap()).unwrap();
}
