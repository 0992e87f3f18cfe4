//! The rules of the house, as a test: where things live, who may know whom, how long a
//! file grows, what it is named and how it opens.
//!
//! Each rule is a function from the files' text to its offences, with a negative control
//! beside it: a sample that must be caught. A rule that catches nothing proves nothing.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod features;
mod layers;
mod shape;
mod source;
mod words;

use std::path::Path;

use source::Source;

/// One breach of a rule: where, and what.
pub struct Offence {
    place: String,
    fault: String,
}

impl Offence {
    fn at(file: &Source, line: usize, fault: String) -> Self {
        Self { place: format!("{}:{line}", file.path), fault }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn src() -> Vec<Source> {
    source::tree(root(), &["src"])
}

fn src_and_tests() -> Vec<Source> {
    source::tree(root(), &["src", "tests"])
}

/// Fails with every offence at once and with what to do about them.
fn demand_none(remedy: &str, offences: &[Offence]) {
    if !offences.is_empty() {
        let list: Vec<String> = offences.iter().map(|offence| format!("  {}: {}", offence.place, offence.fault)).collect();
        panic!("{} offence(s). {remedy}\n{}\n", list.len(), list.join("\n"));
    }
}

#[test]
fn pure_files_name_no_database_no_http_no_runtime_and_no_log() {
    let remedy = "base, model.rs and decide.rs take values and return values: \
        move what needs the library to store.rs, api.rs or db.";
    demand_none(remedy, &layers::worldly_names_in_pure_files(&src()));
}

#[test]
fn pure_files_read_neither_clock_nor_randomness() {
    let remedy = "Take `now` or the random bytes as an argument: the caller has a Clock and an \
        Entropy (base/clock.rs, base/entropy.rs).";
    demand_none(remedy, &layers::clock_or_randomness_in_pure_files(&src()));
}

#[test]
fn sqlx_is_named_only_where_sql_lives() {
    let remedy = "SQL lives in db, a feature's store.rs, evidence and delivery: \
        give the store a function that says what is wanted.";
    demand_none(remedy, &layers::sqlx_outside_its_places(&src()));
}

#[test]
fn only_db_begins_transactions() {
    let remedy = "Take the transaction that db opens: it sets the tenant, locks the log's head \
        and survives a cancelled request.";
    demand_none(remedy, &layers::transactions_begun_outside_db(&src()));
}

#[test]
fn features_use_each_other_only_along_listed_pairs() {
    let remedy = "Pass the value in, or move the rule to the feature that owns it; a new pair in \
        MAY_USE (tests/tidy/features.rs) needs its reason beside it.";
    demand_none(remedy, &features::uses_outside_the_listed_pairs(&src()));
}

#[test]
fn features_use_each_other_only_through_mod_rs() {
    let remedy = "Name what the feature's mod.rs re-exports; if it is missing there, decide \
        whether others should have it.";
    demand_none(remedy, &features::paths_into_another_features_files(&src()));
}

#[test]
fn features_do_not_go_in_circles() {
    let remedy = "Cut the circle: the lower feature takes a value, or tells by an entry or a job.";
    demand_none(remedy, &features::circles_between_features(&src()));
}

#[test]
fn no_module_is_a_drawer() {
    let remedy = "Name the module after what it holds.";
    demand_none(remedy, &shape::drawers(&src_and_tests()));
}

#[test]
fn files_stay_under_four_hundred_lines() {
    let remedy = "Cut the file by subject, one verb a file; LONG_FILES may only shrink.";
    demand_none(remedy, &shape::long_files(&src_and_tests()));
}

#[test]
fn functions_stay_under_seventy_lines() {
    let remedy = "Name the steps and make them functions; LONG_FUNCTIONS may only shrink.";
    demand_none(remedy, &shape::long_functions(&src_and_tests()));
}

#[test]
fn every_file_opens_with_what_it_is() {
    let remedy = "Open with `//!` in 1 to 8 lines: what it is, the rule it protects, what it \
        deliberately does not do.";
    demand_none(remedy, &shape::files_without_an_opening(&src()));
}

#[test]
fn migrations_are_named_by_instant_and_subject_and_go_forward() {
    let remedy = "Name it YYYYMMDDHHMMSS_subject.sql; undo by a further migration.";
    demand_none(remedy, &shape::ill_named_migrations(&source::names_in(&root().join("migrations"))));
}

#[test]
fn the_top_level_holds_only_what_was_agreed() {
    let remedy = "Find it a place below; TOP_LEVEL (tests/tidy/shape.rs) is for what tools and \
        people demand.";
    let gitignore = std::fs::read_to_string(root().join(".gitignore")).unwrap_or_default();
    demand_none(remedy, &shape::strangers_at_the_top(&source::names_in(root()), &gitignore));
}

#[test]
fn nothing_is_left_unfinished() {
    let remedy = "Finish it, or write it down where work is planned.";
    demand_none(remedy, &words::unfinished_work(&src_and_tests()));
}

#[test]
fn controller_and_processor_keep_their_legal_meaning() {
    let remedy = "Both words are the law's: HTTP code is a handler, background code is a worker.";
    demand_none(remedy, &words::taken_names(&src()));
}

#[test]
fn the_tree_is_read_at_all() {
    let found = src_and_tests();
    for path in ["src/lib.rs", "src/main.rs", "tests/tidy/main.rs"] {
        assert!(found.iter().any(|file| file.path == path), "{path} was not read");
    }
}
