//! Which kind of file may name which library, and who begins a transaction.
//!
//! Read from the tokens of each file under `src`. What is spelled through an alias is
//! clippy's to find (`config/clippy.toml`).

use crate::Offence;
use crate::source::{Kind, Source};

const PURE_KNOWS_NOT: &[&str] = &["sqlx", "axum", "tokio", "tracing"];

/// Modules of this crate that stand above the pure files.
const PURE_REACHES_NOT: &[&str] = &["db", "http", "app"];

const CLOCK_AND_RANDOMNESS: &[&[&str]] = &[
    &["Utc", "::", "now"],
    &["Local", "::", "now"],
    &["SystemTime", "::", "now"],
    &["Instant", "::", "now"],
    &["Uuid", "::", "now_v7"],
    &["Uuid", "::", "new_v4"],
    &["rand", "::"],
    &["getrandom"],
    &["OsRng"],
];

/// The only pure files that may read the clock or draw randomness: they are the seam.
const SEAMS: &[&str] = &["src/base/clock.rs", "src/base/entropy.rs"];

fn is_pure(path: &str) -> bool {
    path.starts_with("src/base/")
        || path == "src/base.rs"
        || path.starts_with("src/") && (path.ends_with("/model.rs") || path.ends_with("/decide.rs"))
}

fn may_name_sqlx(path: &str) -> bool {
    ["src/db/", "src/evidence/", "src/delivery/"].iter().any(|folder| path.starts_with(folder))
        || path.ends_with("/store.rs")
        || path.contains("/store/")
}

/// Libraries and higher modules named in a pure file.
pub fn worldly_names_in_pure_files(files: &[Source]) -> Vec<Offence> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| is_pure(&file.path)) {
        for name in PURE_KNOWS_NOT {
            for line in file.lines_of(&[name]) {
                found.push(Offence::at(file, line, format!("names `{name}`")));
            }
        }
        for name in PURE_REACHES_NOT {
            for line in file.lines_of(&["crate", "::", name]) {
                found.push(Offence::at(file, line, format!("names `crate::{name}`")));
            }
        }
    }
    found
}

/// Clock or randomness read in a pure file.
pub fn clock_or_randomness_in_pure_files(files: &[Source]) -> Vec<Offence> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| is_pure(&file.path)) {
        if SEAMS.contains(&file.path.as_str()) {
            continue;
        }
        for sequence in CLOCK_AND_RANDOMNESS {
            for line in file.lines_of(sequence) {
                found.push(Offence::at(file, line, format!("reads `{}`", sequence.concat())));
            }
        }
    }
    found
}

/// sqlx named where no SQL belongs.
pub fn sqlx_outside_its_places(files: &[Source]) -> Vec<Offence> {
    files
        .iter()
        .filter(|file| file.path.starts_with("src/") && !may_name_sqlx(&file.path))
        .flat_map(|file| {
            let lines = file.lines_of(&["sqlx"]);
            lines.into_iter().map(|line| Offence::at(file, line, "names `sqlx`".to_owned()))
        })
        .collect()
}

/// A transaction begun outside `db`: a call of sqlx's, or the SQL itself.
///
/// `.begin()` without an argument is sqlx's; `db`'s own openers take the scope they
/// open for, and are not meant.
pub fn transactions_begun_outside_db(files: &[Source]) -> Vec<Offence> {
    let calls: &[&[&str]] = &[
        &[".", "begin", "(", ")"],
        &[".", "begin_with", "("],
        &[".", "try_begin", "("],
        &[".", "try_begin_with", "("],
        &["Pool", "::", "begin"],
        &["PgPool", "::", "begin"],
        &["Acquire", "::", "begin"],
        &["Connection", "::", "begin"],
        &["Transaction", "::", "begin"],
    ];
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.path.starts_with("src/")) {
        if file.path.starts_with("src/db/") {
            continue;
        }
        for call in calls {
            for line in file.lines_of(call) {
                found.push(Offence::at(file, line, format!("calls `{}`", call.concat())));
            }
        }
        for token in &file.tokens {
            if token.kind == Kind::Text && is_begin_statement(&token.text) {
                found.push(Offence::at(file, token.line, format!("runs `{}`", token.text.trim())));
            }
        }
    }
    found
}

fn is_begin_statement(text: &str) -> bool {
    let text = text.trim();
    let upper = text.to_ascii_uppercase();
    text == "BEGIN"
        || ["BEGIN;", "BEGIN ISOLATION", "BEGIN READ", "BEGIN TRANSACTION", "BEGIN WORK"]
            .iter()
            .chain(&["START TRANSACTION", "SAVEPOINT "])
            .any(|start| upper.starts_with(start))
}

#[cfg(test)]
mod controls {
    use super::*;

    fn one(path: &str, text: &str) -> Vec<Source> {
        vec![Source::new(path, text)]
    }

    #[test]
    fn a_library_in_a_pure_file_is_caught() {
        for path in ["src/base/id.rs", "src/export/model.rs", "src/export/decide.rs"] {
            for text in [
                "use sqlx::Type;",
                "fn f() { axum::x() }",
                "#[tracing::instrument]",
                "use {serde::Serialize, tokio::sync::Mutex};",
                "use crate::db::TenantTx;",
            ] {
                assert_eq!(worldly_names_in_pure_files(&one(path, text)).len(), 1, "{path} {text}");
            }
        }
        let prose = one("src/base/id.rs", "//! sqlx traits are in db.\nconst A: &str = \"tokio\";");
        assert!(worldly_names_in_pure_files(&prose).is_empty());
        assert!(worldly_names_in_pure_files(&one("src/export/api.rs", "use axum::X;")).is_empty());
    }

    #[test]
    fn a_clock_in_a_pure_file_is_caught() {
        for text in ["Utc::now()", "std::time::Instant :: now()", "Uuid::now_v7()", "rand::random()", "getrandom::fill(&mut b)"] {
            let bad = one("src/export/decide.rs", text);
            assert_eq!(clock_or_randomness_in_pure_files(&bad).len(), 1, "{text}");
            let seam = one("src/base/clock.rs", text);
            assert!(clock_or_randomness_in_pure_files(&seam).is_empty(), "{text}");
        }
    }

    #[test]
    fn sqlx_in_a_handler_is_caught() {
        for path in ["src/export/api.rs", "src/app.rs", "src/http/body.rs", "src/base/id.rs"] {
            assert_eq!(sqlx_outside_its_places(&one(path, "use sqlx::PgPool;")).len(), 1, "{path}");
        }
        for path in
            ["src/db/pool.rs", "src/export/store.rs", "src/export/store/permit.rs", "src/evidence/append.rs", "src/delivery/outbox.rs"]
        {
            assert!(sqlx_outside_its_places(&one(path, "use sqlx::PgPool;")).is_empty(), "{path}");
        }
    }

    #[test]
    fn a_transaction_outside_db_is_caught() {
        for text in [
            "pool.begin().await?",
            "pool\n.begin()\n.await",
            "p.begin_with(\"x\")",
            "PgPool::begin(&p)",
            "raw_sql(\"BEGIN ISOLATION LEVEL SERIALIZABLE\")",
            "f(\"BEGIN\")",
            "f(\"start transaction\")",
        ] {
            let bad = one("src/export/store.rs", text);
            assert_eq!(transactions_begun_outside_db(&bad).len(), 1, "{text}");
            assert!(transactions_begun_outside_db(&one("src/db/tx.rs", text)).is_empty(), "{text}");
        }
        let own = one("src/export/api.rs", "db.begin(&scope).await?; \"Begin with the unit\"");
        assert!(transactions_begun_outside_db(&own).is_empty());
    }
}
