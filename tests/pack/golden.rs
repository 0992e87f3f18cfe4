//! A pack of every format and rules version stays in the tree, and keeps verifying with the summary
//! that it had. `MANDATE_WRITE_GOLDEN=1` writes the present one where there is none.

use std::path::Path;

use mandate::pack::{Options, Verdict};
use serde_json::Value;

use crate::contents::key;
use crate::verified::check;
use crate::world::everything;

#[test]
fn golden_packs_keep_verifying() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/packs");
    let present = folder.join("format-1-rules-1.zip");
    if std::env::var_os("MANDATE_WRITE_GOLDEN").is_some() && !present.exists() {
        let contents = everything();
        let pack = contents.pack();
        let options = Options { pinned: vec![contents.checkpoint(9)], ..Options::default() };
        let summary = serde_json::to_string_pretty(&check(&pack, &options).summary.unwrap()).unwrap();
        std::fs::write(&present, pack).unwrap();
        std::fs::write(present.with_extension("checkpoint"), contents.checkpoint(9).to_string()).unwrap();
        std::fs::write(present.with_extension("json"), summary + "\n").unwrap();
    }
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "zip") {
            continue;
        }
        let pinned = std::fs::read_to_string(path.with_extension("checkpoint")).unwrap().parse().unwrap();
        let options = Options { pinned: vec![pinned], key: Some(*key().public_key()), ..Options::default() };
        let report = check(&std::fs::read(&path).unwrap(), &options);
        assert_eq!(report.verdict, Verdict::Verified, "{}: {report}", path.display());
        let expected: Value = serde_json::from_str(&std::fs::read_to_string(path.with_extension("json")).unwrap()).unwrap();
        assert_eq!(serde_json::to_value(report.summary).unwrap(), expected, "{}", path.display());
        seen += 1;
    }
    assert!(seen > 0);
}
