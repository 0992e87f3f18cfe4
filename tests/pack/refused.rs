//! Bad input: what cannot be decided is exit code 2 with a message that says why.

use std::io::Write as _;

use mandate::evidence::{Checkpoint, LogSigningKey};
use mandate::pack::{Options, Report, Verdict};
use serde_json::json;
use zip::write::SimpleFileOptions;

use crate::contents::key;
use crate::mutations::Files;
use crate::verified::check;
use crate::world::everything;

fn undecided(pack: &[u8], options: &Options, words: &str) {
    let report: Report = check(pack, options);
    assert_eq!(report.verdict, Verdict::Undecided, "{words}: {report}");
    assert!(report.to_string().contains(words), "{words}: {report}");
}

#[test]
fn a_truncated_archive_cannot_be_decided() {
    let pack = everything().pack();
    for length in [0, 1, 100, pack.len() / 2, pack.len() - 1] {
        undecided(&pack[..length], &Options::default(), "no whole ZIP archive");
    }
}

#[test]
fn a_path_out_of_the_pack_is_refused_and_nothing_is_written() {
    for name in ["../outside", "/tmp/outside", "logs/customer/../../outside", "documents\\..\\outside", "logs/customer/1.ndjson/x"] {
        let mut files = Files::of(&everything().pack()).unwrap();
        files.0.push((name.to_owned(), b"x".to_vec()));
        undecided(&files.sealed(|_| {}).pack(), &Options::default(), "a pack holds no file");
    }
    assert!(!std::path::Path::new("/tmp/outside").exists());
}

/// A file that says it is small and is not is cut off; one that says how large it is is refused.
#[test]
fn a_bomb_is_refused() {
    let mut zip = zip::ZipWriter::new_stream(Vec::new());
    zip.start_file("logs/customer/1.ndjson", SimpleFileOptions::default()).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..80 {
        zip.write_all(&zeros).unwrap();
    }
    let bomb = zip.finish().unwrap().into_inner();
    assert!(bomb.len() < 1 << 20);
    undecided(&bomb, &Options::default(), "that is no pack");
}

#[test]
fn another_format_and_a_later_product_cannot_be_decided() {
    let files = Files::of(&everything().pack()).unwrap();
    let other = |member: &str, value: serde_json::Value| files.clone().sealed(|manifest| manifest[member] = value).pack();
    undecided(&other("format", json!(2)), &Options::default(), "format 2");
    undecided(&other("product", json!("0.2.0")), &Options::default(), "use that version or a later one");
    undecided(&other("product", json!("99")), &Options::default(), "use that version or a later one");
    // Negative control: a later patch of the same version is read.
    assert_eq!(check(&other("product", json!("0.1.9")), &Options::default()).verdict, Verdict::Verified);
}

#[test]
fn rules_that_are_not_known_cannot_be_decided() {
    let mut contents = everything();
    let at = crate::world::places(&contents, "export.refused")[0];
    *crate::world::member(&mut contents.log[at].record, "/decision/rules") = json!(99);
    contents.log[at].seal();
    undecided(&contents.pack(), &Options::default(), "does not know the rules 99");
}

#[test]
fn a_key_that_does_not_fit_cannot_be_decided() {
    let other = LogSigningKey::from_pem(LogSigningKey::generate_pem().unwrap().as_bytes()).unwrap();
    let options = |key: &LogSigningKey| Options { key: Some(*key.public_key()), ..Options::default() };
    undecided(&everything().pack(), &options(&other), "the given key is none of those");
    assert_eq!(check(&everything().pack(), &options(&key())).verdict, Verdict::Verified);
}

#[test]
fn a_pinned_checkpoint_of_another_customer_cannot_be_decided() {
    let contents = everything();
    let mut checkpoint = Checkpoint::of(&contents.checkpoint(3)).unwrap();
    checkpoint.origin = "mandate/cus_00000000000000000000000000000000/1".to_owned();
    let pinned = vec![checkpoint.sign(&key()).unwrap()];
    undecided(&contents.pack(), &Options { pinned, ..Options::default() }, "no log of this pack");
}
