//! Which feature may know which, read from the `crate::`, `mandate::` and `super::` paths.
//!
//! The table says what is allowed; the circle rule looks at what is really used, since
//! two features may each be listed for the other while only one of them may come to it.

use std::collections::{BTreeMap, BTreeSet};

use crate::Offence;
use crate::source::{Source, Token};

/// The folders that are features.
pub const FEATURES: &[&str] = &[
    "agreement",
    "alarm",
    "breach",
    "customer",
    "deletion",
    "delivery",
    "demo",
    "document",
    "erasure",
    "evidence",
    "export",
    "fsck",
    "identity",
    "instruction",
    "log",
    "operation",
    "pack",
    "registry",
    "restore",
    "subprocessor",
];

/// These wire or show everything, so they know every feature; no feature knows them back.
const KNOWS_ALL: &[&str] = &["app", "cli", "demo", "lib", "main"];

/// From, to. `base`, `db`, `http`, `config` and `app` are open to every feature.
const MAY_USE: &[(&str, &[&str])] = &[
    // Shared words and the database stand below every feature.
    ("base", &[]),
    ("config", &[]),
    ("db", &[]),
    // A request is somebody's: the caller extractors ask identity who it is.
    ("http", &["identity"]),
    // Every feature appends to the log; the log itself knows none of them.
    ("evidence", &[]),
    // A sent or failed delivery is an entry.
    ("delivery", &["evidence"]),
    // A platform's registration is an entry, made by an ops person.
    ("registry", &["evidence", "identity"]),
    // A stored original is an entry, and somebody handed it in.
    ("document", &["evidence", "identity"]),
    // Authority is an entry, is told to others by mail, and holds at one customer.
    ("identity", &["customer", "delivery", "evidence"]),
    // A customer's first signatory, platforms, notices and signed papers.
    ("customer", &["delivery", "document", "evidence", "identity", "registry"]),
    // One customer, one platform, one signed document; acceptance is an act of authority.
    ("agreement", &["customer", "delivery", "document", "evidence", "identity", "registry"]),
    // As an agreement; whether one is in force is asked by the gate, not here.
    ("instruction", &["customer", "delivery", "document", "evidence", "identity", "registry"]),
    // Each customer answers each engagement in the term its agreement sets.
    ("subprocessor", &["agreement", "customer", "delivery", "document", "evidence", "identity", "registry"]),
    // An alarm is an entry, is told to staff by mail, and is read by them.
    ("alarm", &["delivery", "evidence", "identity"]),
    // Who reads a log is somebody; its daily checkpoint goes to the customer's contacts.
    ("log", &["customer", "delivery", "evidence", "identity"]),
    // Slow work belongs to who asked for it; what it does, its kind knows.
    ("operation", &["identity"]),
    // The gate weighs all that was agreed, instructed and authorised; a report of it is slow work.
    (
        "export",
        &["agreement", "alarm", "customer", "document", "evidence", "identity", "instruction", "operation", "registry", "subprocessor"],
    ),
    // An erasure is an entry.
    ("erasure", &["evidence"]),
    // The logs against their own trees and keys, and the gate's tables, with the terms by which it finds
    // instructions, against what the logs rebuild.
    ("fsck", &["evidence", "export", "instruction", "log"]),
    // Every log opens an epoch, its customer is told, and one of its persons confirms the state.
    // Which keys may have signed what was kept outside is said by `log`.
    ("restore", &["customer", "evidence", "identity", "log"]),
    // A pack holds a customer's logs and documents, is slow work, and is verified by deciding again
    // who had authority and what the gate had to answer.
    ("pack", &["document", "evidence", "export", "identity", "operation"]),
    // An order is an instruction, in the agreement's term, down the chain of vendors.
    ("deletion", &["agreement", "customer", "delivery", "evidence", "identity", "instruction", "registry", "subprocessor"]),
    // A notice goes to each affected customer within its agreement's hours.
    ("breach", &["agreement", "customer", "delivery", "evidence", "identity", "registry", "subprocessor"]),
];

/// One path from the crate's root, and where it is written.
struct Reach {
    line: usize,
    parts: Vec<String>,
}

/// A feature reached along a pair that the table does not list.
pub fn uses_outside_the_listed_pairs(files: &[Source]) -> Vec<Offence> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.path.starts_with("src/")) {
        let from = owner(file);
        if KNOWS_ALL.contains(&from) {
            continue;
        }
        let allowed = MAY_USE.iter().find(|(name, _)| *name == from).map_or(&[][..], |row| row.1);
        for (line, to) in features_reached(file) {
            if to != from && !allowed.contains(&to.as_str()) {
                found.push(Offence::at(file, line, format!("`{from}` uses `{to}`")));
            }
        }
    }
    found
}

/// A path that goes past a feature's `mod.rs` into one of its files.
pub fn paths_into_another_features_files(files: &[Source]) -> Vec<Offence> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.path.starts_with("src/")) {
        for reach in reaches(file) {
            let [feature, inner, rest @ ..] = reach.parts.as_slice() else {
                continue;
            };
            if feature == owner(file) || !FEATURES.contains(&feature.as_str()) {
                continue;
            }
            let is_name = inner.starts_with(char::is_uppercase) || inner == "*";
            if !is_name && (!rest.is_empty() || is_file(files, feature, inner)) {
                let path = format!("crate::{}", reach.parts.join("::"));
                found.push(Offence::at(file, reach.line, format!("reaches into `{path}`")));
            }
        }
    }
    found
}

/// Features that, in what is really used, lead back to themselves.
pub fn circles_between_features(files: &[Source]) -> Vec<Offence> {
    let mut graph: BTreeMap<&str, BTreeMap<String, String>> = BTreeMap::new();
    for file in files.iter().filter(|file| FEATURES.contains(&owner(file))) {
        for (line, to) in features_reached(file) {
            if to != owner(file) {
                let place = format!("{}:{line}", file.path);
                graph.entry(owner(file)).or_default().entry(to).or_insert(place);
            }
        }
    }
    let mut found = Vec::new();
    for (from, uses) in &graph {
        for (to, place) in uses {
            if leads_to(&graph, to, from) {
                let fault = format!("`{from}` uses `{to}`, which leads back to `{from}`");
                found.push(Offence { place: place.clone(), fault });
            }
        }
    }
    found
}

fn leads_to(graph: &BTreeMap<&str, BTreeMap<String, String>>, start: &str, goal: &str) -> bool {
    let mut seen = BTreeSet::new();
    let mut open = vec![start];
    while let Some(here) = open.pop() {
        if here == goal {
            return true;
        }
        if seen.insert(here) {
            open.extend(graph.get(here).into_iter().flat_map(|uses| uses.keys().map(String::as_str)));
        }
    }
    false
}

fn owner(file: &Source) -> &str {
    match file.path.as_str() {
        "src/lib.rs" => "lib",
        "src/main.rs" => "main",
        _ => file.modules().first().copied().unwrap_or_default(),
    }
}

fn is_file(files: &[Source], feature: &str, name: &str) -> bool {
    let file = format!("src/{feature}/{name}.rs");
    let folder = format!("src/{feature}/{name}/");
    files.iter().any(|source| source.path == file || source.path.starts_with(&folder))
}

fn features_reached(file: &Source) -> Vec<(usize, String)> {
    reaches(file)
        .into_iter()
        .filter_map(|reach| Some((reach.line, reach.parts.into_iter().next()?)))
        .filter(|(_, first)| FEATURES.contains(&first.as_str()))
        .collect()
}

/// Every path of the file that starts at the crate's root or climbs towards it.
fn reaches(file: &Source) -> Vec<Reach> {
    let tokens = &file.tokens;
    let mut found = Vec::new();
    let mut inline: Vec<(usize, String)> = Vec::new();
    let mut depth = 0;
    let mut at = 0;
    while at < tokens.len() {
        let token = &tokens[at];
        let continues = at > 0 && tokens[at - 1].is("::");
        if token.is("{") {
            depth += 1;
            if at > 1 && tokens[at - 2].is("mod") {
                inline.push((depth, tokens[at - 1].text.clone()));
            }
        } else if token.is("}") {
            inline.retain(|(opened, _)| *opened < depth);
            depth = depth.saturating_sub(1);
        }
        let next = at + 1;
        let root = match token.text.as_str() {
            _ if !token.is_word() || continues || !is(tokens, next, "::") => None,
            "crate" | "mandate" => Some(Vec::new()),
            "super" | "self" => {
                let here = file.modules().into_iter().map(str::to_owned);
                Some(here.chain(inline.iter().map(|(_, name)| name.clone())).collect())
            }
            _ => None,
        };
        at = match root {
            Some(root) => path(tokens, at, &root, &mut found),
            None => next,
        };
    }
    found
}

fn is(tokens: &[Token], at: usize, text: &str) -> bool {
    tokens.get(at).is_some_and(|token| token.is(text))
}

/// Reads one path or `use` tree at `at` below `base`; the index after it.
fn path(tokens: &[Token], mut at: usize, base: &[String], found: &mut Vec<Reach>) -> usize {
    let mut parts = base.to_vec();
    let line = tokens[at].line;
    loop {
        if is(tokens, at, "{") {
            at += 1;
            while at < tokens.len() && !is(tokens, at, "}") {
                at = path(tokens, at, &parts, found).max(at + 1);
                while at < tokens.len() && !is(tokens, at, ",") && !is(tokens, at, "}") {
                    at += 1; // `as name`
                }
                at += usize::from(is(tokens, at, ","));
            }
            return at + 1;
        }
        match tokens.get(at).filter(|token| token.is_word() || token.is("*")) {
            Some(token) if token.is("super") => {
                parts.pop();
            }
            Some(token) if token.is("crate") || token.is("mandate") && parts.is_empty() => {}
            Some(token) if token.is("self") => {}
            Some(token) => parts.push(token.text.clone()),
            None => break,
        }
        at += 1;
        if !is(tokens, at, "::") {
            break;
        }
        at += 1;
    }
    found.push(Reach { line, parts });
    at
}

#[cfg(test)]
#[path = "features_controls.rs"]
mod controls;
