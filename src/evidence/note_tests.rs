//! Signed notes, checkpoints, proofs and paths against known ones, and what is almost one.

use super::checkpoint::{Checkpoint, CheckpointFault, LogProof};
use super::note::{LogSigningKey, Note, NoteFault, NoteKey};
use super::proof::{inclusion, of_leaves, root_of};
use super::tile::{Tile, TilePath, bundle};
use crate::base::merkle_leaf;

/// The example of the format's first implementation (Go, `golang.org/x/mod/sumdb/note`).
const KNOWN_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const KNOWN: &str = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\
    \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

fn key() -> LogSigningKey {
    LogSigningKey::from_pem(LogSigningKey::generate_pem().unwrap().as_bytes()).unwrap()
}

#[test]
fn a_note_of_another_implementation_is_read_and_verified() {
    let key: NoteKey = KNOWN_KEY.parse().unwrap();
    let note: Note = KNOWN.parse().unwrap();
    assert_eq!(note.verify(std::slice::from_ref(&key)).unwrap(), note.text());
    assert_eq!(note.to_string(), KNOWN);
    // Negative control: one letter of the text, and one of the signature.
    assert_eq!(KNOWN.replace("answer", "Answer").parse::<Note>().unwrap().verify(std::slice::from_ref(&key)), Err(NoteFault::Forged));
    assert_eq!(KNOWN.replace("ZJku", "ZJkv").parse::<Note>().unwrap().verify(&[key]), Err(NoteFault::Forged));
    assert_eq!(note.verify(&[]), Err(NoteFault::Unsigned));
}

#[test]
fn what_is_almost_a_note_or_a_key_is_none() {
    let bad = [
        "".to_owned(),
        "text\n".to_owned(),
        "text\n\n".to_owned(),
        KNOWN.trim_end().to_owned(),
        format!("{KNOWN}\n"),
        format!("{KNOWN}more\n"),
        KNOWN.replace('\u{2014}', "-"),
        KNOWN.replace("Peter", "Peter "),
        KNOWN.replace("Peter", "Peter+"),
        KNOWN.replace("you think", "you\tthink"),
        KNOWN.replace("JnAM=", "JnAN="),
    ];
    for text in bad {
        assert_eq!(text.parse::<Note>(), Err(NoteFault::Malformed), "{text:?}");
    }
    for text in ["", "a+b", "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "PeterNeumann+c74f20a3+AQ=="] {
        assert_eq!(text.parse::<NoteKey>(), Err(NoteFault::MalformedKey), "{text}");
    }
}

#[test]
fn a_checkpoint_counts_for_its_own_log_only() {
    let (key, other) = (key(), key());
    let checkpoint = Checkpoint { origin: "mandate/cus_x/1".to_owned(), size: 7, root: merkle_leaf(b"root") };
    let note = checkpoint.sign(&key).unwrap();
    assert_eq!(Checkpoint::verified(&note, &[*other.public_key(), *key.public_key()]).unwrap(), checkpoint);
    assert_eq!(checkpoint.sign(&key).unwrap(), note, "signing it twice gives the same bytes");
    let unsigned = CheckpointFault::Note(NoteFault::Unsigned);
    assert_eq!(Checkpoint::verified(&note, &[*other.public_key()]), Err(unsigned));
    // Signed by the right key, under the name of another log.
    let borrowed = key.sign("mandate/cus_y/1", &checkpoint.to_string()).unwrap();
    assert_eq!(Checkpoint::verified(&borrowed, &[*key.public_key()]), Err(unsigned));
    for text in ["a\n07\nAAAA\n", "a\n7\n", "\n7\nAAAA\n", "a\n7\nAAAA\nextension\n"] {
        assert_eq!(text.parse::<Checkpoint>(), Err(CheckpointFault::Malformed), "{text:?}");
    }
    assert!(key.sign("a name", "text\n").is_none() && key.sign("name", "text").is_none());
}

#[test]
fn a_proof_leads_from_its_leaf_to_the_checkpoint() {
    let key = key();
    let leaves: Vec<_> = (0..5_u8).map(|leaf| merkle_leaf(&[leaf])).collect();
    let checkpoint = Checkpoint { origin: "mandate/registry/1".to_owned(), size: 5, root: root_of(5, of_leaves(&leaves)).unwrap() };
    let path = inclusion(3, 5, of_leaves(&leaves)).unwrap();
    let proof = LogProof { index: 3, path, checkpoint: checkpoint.sign(&key).unwrap() };
    let text = proof.to_string();
    assert!(text.starts_with("c2sp.org/tlog-proof@v1\nindex 3\n"), "{text}");
    assert_eq!(text.parse::<LogProof>().unwrap(), proof);
    assert_eq!(proof.verified(leaves[3], &[*key.public_key()]).unwrap(), checkpoint);
    assert_eq!(proof.verified(leaves[2], &[*key.public_key()]), Err(CheckpointFault::NotIncluded));
    assert_eq!(text.replace("index 3", "index 03").parse::<LogProof>(), Err(CheckpointFault::MalformedProof));
    // The only leaf of a log has an empty path.
    let alone = Checkpoint { origin: "o".to_owned(), size: 1, root: leaves[0] };
    let proof = LogProof { index: 0, path: Vec::new(), checkpoint: alone.sign(&key).unwrap() };
    assert_eq!(proof.to_string().parse::<LogProof>().unwrap(), proof);
}

#[test]
fn one_tile_has_one_path() {
    let tile = |level, index| Tile { level, index };
    for (text, path) in [
        ("checkpoint", TilePath::Checkpoint),
        ("tile/0/000", TilePath::Hashes(tile(0, 0), 256)),
        ("tile/2/x001/x234/067", TilePath::Hashes(tile(2, 1_234_067), 256)),
        ("tile/0/x001/000.p/5", TilePath::Hashes(tile(0, 1000), 5)),
        ("tile/entries/999.p/255", TilePath::Entries(999, 255)),
        ("tile/entries/x001/000", TilePath::Entries(1000, 256)),
    ] {
        assert_eq!(text.parse(), Ok(path), "{text}");
        assert_eq!(path.to_string(), text);
    }
    for text in [
        "",
        "tile",
        "tile/0",
        "tile/0/",
        "tile/0/0",
        "tile/0/x000/001",
        "tile/0/001/002",
        "tile/0/x001",
        "tile/00/001",
        "tile/64/001",
        "tile/-1/001",
        "tile/0/001.p/0",
        "tile/0/001.p/256",
        "tile/0/001.p/05",
        "tile/entries/1",
        "tile/0/../1",
        "/checkpoint",
        "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
    ] {
        assert!(text.parse::<TilePath>().is_err(), "{text}");
    }
    assert_eq!(bundle([&b"ab"[..], b""]).unwrap(), b"\0\x02ab\0\0");
    assert!(bundle([&[0; 70_000][..]]).is_none());
}
