//! Words that must not stand in the code: marks of unfinished work, and names that the
//! law has already taken.
//!
//! Unfinished work is looked for in comments too; the marks are spelled in halves here,
//! so that this file does not find itself.

use crate::Offence;
use crate::source::{Source, Token};

const MARKS: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];

const MACROS: &[&str] = &["todo", "unimplemented"];

const DEFINES: &[&str] = &["struct", "enum", "trait", "type", "fn", "mod"];

/// What a worker works on: with one of these before it, a *processor* is a worker and
/// not the company of the agreement.
const WORK: &[&str] =
    &["batch", "delivery", "event", "item", "job", "mail", "message", "outbox", "queue", "request", "task", "webhook", "work"];

/// Marks of unfinished work, and the macros that stand for code not written.
pub fn unfinished_work(files: &[Source]) -> Vec<Offence> {
    let mut found = Vec::new();
    for file in files {
        for (at, line) in file.text.lines().enumerate() {
            let words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
            for word in words.filter(|word| MARKS.contains(word)) {
                found.push(Offence::at(file, at + 1, format!("says `{word}`")));
            }
        }
        for name in MACROS {
            for line in file.lines_of(&[name, "!"]) {
                found.push(Offence::at(file, line, format!("calls `{name}!`")));
            }
        }
    }
    found
}

/// Items of HTTP code named a controller, and workers named a processor.
///
/// Only names that are defined are looked at, by their last word: fields and prose speak
/// of the controller and the processor of the law, and should.
pub fn taken_names(files: &[Source]) -> Vec<Offence> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.path.starts_with("src/")) {
        let http = is_http(file);
        for (line, name) in defined(&file.tokens) {
            let words = words(name);
            let last = words.last().map_or("", |word| word.trim_end_matches('s'));
            let before = words.iter().rev().nth(1).map_or("", String::as_str);
            if http && last == "controller" {
                found.push(Offence::at(file, line, format!("`{name}` is a controller")));
            } else if last == "processor" && WORK.contains(&before) {
                found.push(Offence::at(file, line, format!("`{name}` is a processor")));
            }
        }
    }
    found
}

fn is_http(file: &Source) -> bool {
    file.path.starts_with("src/http/")
        || file.path.contains("/api/")
        || file.path.rsplit('/').next().is_some_and(|name| name.starts_with("api"))
}

fn defined(tokens: &[Token]) -> impl Iterator<Item = (usize, &str)> {
    tokens
        .windows(2)
        .filter(|pair| pair[1].is_word() && DEFINES.iter().any(|keyword| pair[0].is(keyword)))
        .map(|pair| (pair[1].line, pair[1].text.as_str()))
}

/// `JobProcessor` and `job_processor` both as `job`, `processor`.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for c in name.chars() {
        if c == '_' || c.is_uppercase() && !words.last().is_some_and(String::is_empty) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| c != '_') {
            word.extend(c.to_lowercase());
        }
    }
    words
}

#[cfg(test)]
mod controls {
    use super::*;

    #[test]
    fn unfinished_work_is_caught() {
        for mark in MARKS {
            for text in [format!("// {mark}: later"), format!("const A: &str = \"{mark}\";")] {
                assert_eq!(unfinished_work(&[Source::new("tests/a.rs", &text)]).len(), 1, "{text}");
            }
        }
        for text in ["fn f() { todo!() }", "fn f() { unimplemented! (\"x\") }"] {
            assert_eq!(unfinished_work(&[Source::new("src/a.rs", text)]).len(), 1, "{text}");
        }
        let good = "// SHACKLE todo!(\nfn todo() { \"todo!()\" }";
        assert!(unfinished_work(&[Source::new("src/a.rs", good)]).is_empty());
    }

    #[test]
    fn a_taken_name_is_caught() {
        let bad = [
            ("src/http/router.rs", "struct ExportController;"),
            ("src/export/api.rs", "mod controllers;"),
            ("src/export/api/issue.rs", "fn issue_controller() {}"),
            ("src/delivery/worker.rs", "struct JobProcessor;"),
            ("src/delivery/worker.rs", "async fn outbox_processor() {}"),
        ];
        for (path, text) in bad {
            assert_eq!(taken_names(&[Source::new(path, text)]).len(), 1, "{text}");
        }
        let good = [
            ("src/export/api.rs", "struct Page { controller: String } // the Controller"),
            ("src/agreement/model.rs", "struct Controller; struct Processor; enum SubProcessor {}"),
            ("src/subprocessor/api.rs", "fn list_sub_processors() { let a = ControllerName; }"),
        ];
        for (path, text) in good {
            assert!(taken_names(&[Source::new(path, text)]).is_empty(), "{text}");
        }
    }
}
