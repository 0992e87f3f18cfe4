//! Sizes, opening lines, and the names of files and folders.
//!
//! The two exception lists may only shrink: an entry caps what it excuses, and an entry
//! that excuses nothing any more is itself an offence.

use crate::Offence;
use crate::source::{Source, Token};

const FILE_LIMIT: usize = 400;
const FUNCTION_LIMIT: usize = 70;
const OPENING_LIMIT: usize = 8;

/// Path and the lines it may have until it is cut up.
const LONG_FILES: &[(&str, usize)] = &[];

/// `path::function` and the lines its body may have until it is cut up.
const LONG_FUNCTIONS: &[(&str, usize)] = &[];

/// Drawers that take anything, and so end up holding everything.
const DRAWERS: &[&str] = &["utils", "util", "helpers", "helper", "common", "types", "misc"];

const TOP_LEVEL: &[&str] = &[
    ".cargo",
    ".ci",
    ".dockerignore",
    ".git",
    ".gitattributes",
    ".gitignore",
    ".sqlx",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "Dockerfile",
    "LICENSE",
    ".rustfmt.toml",
    "README.md",
    "benches",
    "compose.yaml",
    "config",
    "docs",
    "migrations",
    "src",
    "target",
    "tests",
];

/// Files over the limit, and exceptions that are no longer needed.
pub fn long_files(files: &[Source]) -> Vec<Offence> {
    let measured =
        files.iter().filter(|file| file.is_rust()).map(|file| (file.path.clone(), file.path.clone(), file.text.lines().count())).collect();
    over(measured, FILE_LIMIT, LONG_FILES)
}

/// Functions over the limit, and exceptions that are no longer needed.
pub fn long_functions(files: &[Source]) -> Vec<Offence> {
    let mut measured = Vec::new();
    for file in files {
        for (name, line, length) in functions(&file.tokens) {
            let place = format!("{}:{line}", file.path);
            measured.push((format!("{}::{name}", file.path), place, length));
        }
    }
    over(measured, FUNCTION_LIMIT, LONG_FUNCTIONS)
}

/// Compares (name, place, length) with the limit, or with the cap of its exception.
fn over(measured: Vec<(String, String, usize)>, limit: usize, exceptions: &[(&str, usize)]) -> Vec<Offence> {
    let mut found = Vec::new();
    for (name, cap) in exceptions {
        if !measured.iter().any(|(other, _, length)| other == name && *length > limit) {
            let fault = format!("is excused up to {cap} lines and needs no excuse: strike it");
            found.push(Offence { place: (*name).to_owned(), fault });
        }
    }
    for (name, place, length) in measured {
        let cap = exceptions.iter().find(|(other, _)| *other == name).map_or(limit, |row| row.1);
        if length > cap {
            found.push(Offence { place, fault: format!("`{name}` has {length} lines, over {cap}") });
        }
    }
    found
}

/// Name, line and length of every function with a body: the lines strictly between its
/// braces that hold code, counted as clippy's `too_many_lines` counts them.
fn functions(tokens: &[Token]) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let Some(name) = tokens.get(at + 1).filter(|name| token.is("fn") && name.is_word()) else {
            continue;
        };
        if let Some(body) = body(&tokens[at + 2..]) {
            found.push((name.text.clone(), token.line, lines_of_code(body)));
        }
    }
    found
}

/// The tokens between the braces of the function whose signature `tokens` goes on with.
fn body(tokens: &[Token]) -> Option<&[Token]> {
    let mut nesting = 0_i32;
    let mut open = None;
    for (at, token) in tokens.iter().enumerate() {
        match open {
            None if token.is("(") || token.is("[") => nesting += 1,
            None if token.is(")") || token.is("]") => nesting -= 1,
            None if nesting == 0 && token.is(";") => return None,
            None if nesting == 0 && token.is("{") => (open, nesting) = (Some(at + 1), 1),
            Some(_) if token.is("{") => nesting += 1,
            Some(start) if token.is("}") => {
                nesting -= 1;
                if nesting == 0 {
                    return Some(&tokens[start..at]);
                }
            }
            _ => {}
        }
    }
    None
}

fn lines_of_code(tokens: &[Token]) -> usize {
    let (mut count, mut last) = (0, 0);
    for token in tokens {
        let first = token.line.max(last + 1);
        count += (token.last_line + 1).saturating_sub(first);
        last = last.max(token.last_line);
    }
    count
}

/// Files under `src` that do not say in 1 to 8 lines what they are.
pub fn files_without_an_opening(files: &[Source]) -> Vec<Offence> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.path.starts_with("src/") && file.is_rust()) {
        let lines = file.text.lines().take_while(|line| line.starts_with("//!")).count();
        // The architecture document of the project may be as long as it needs.
        if lines == 0 {
            found.push(Offence::at(file, 1, "does not open with `//!`".to_owned()));
        } else if lines > OPENING_LIMIT && file.path != "src/lib.rs" {
            found.push(Offence::at(file, 1, format!("opens with {lines} lines of `//!`")));
        }
    }
    found
}

/// Files, folders and modules with the name of a drawer.
pub fn drawers(files: &[Source]) -> Vec<Offence> {
    let mut found = Vec::new();
    for file in files {
        let parts = file.path.split('/').map(|part| part.trim_end_matches(".rs"));
        for part in parts.filter(|part| DRAWERS.contains(part)) {
            found.push(Offence::at(file, 1, format!("lies in a drawer named `{part}`")));
        }
        for drawer in DRAWERS {
            for line in file.lines_of(&["mod", drawer]) {
                found.push(Offence::at(file, line, format!("opens a module named `{drawer}`")));
            }
        }
    }
    found
}

/// Entries of `migrations` that are not `YYYYMMDDHHMMSS_subject.sql`, go backward, or
/// share their instant with another.
pub fn ill_named_migrations(names: &[String]) -> Vec<Offence> {
    let mut found = Vec::new();
    let mut stamps = Vec::new();
    for name in names.iter().filter(|name| *name != "README.md") {
        let place = format!("migrations/{name}");
        if name.contains(".down.") {
            found.push(Offence { place, fault: "goes backward".to_owned() });
            continue;
        }
        match stamp(name) {
            None => found.push(Offence { place, fault: "is ill named".to_owned() }),
            Some(stamp) if stamps.contains(&stamp) => {
                found.push(Offence { place, fault: format!("shares {stamp} with another") });
            }
            Some(stamp) => stamps.push(stamp),
        }
    }
    found
}

fn stamp(name: &str) -> Option<&str> {
    let (stamp, subject) = name.strip_suffix(".sql")?.split_once('_')?;
    let digits = stamp.len() == 14 && stamp.bytes().all(|c| c.is_ascii_digit());
    let word = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
    (digits && !subject.is_empty() && subject.bytes().all(word)).then_some(stamp)
}

/// Top-level entries that nobody agreed on; what `.gitignore` names whole is nobody's.
pub fn strangers_at_the_top(names: &[String], gitignore: &str) -> Vec<Offence> {
    let ignored = |name: &str| gitignore.lines().any(|line| line.trim().trim_matches('/') == name);
    names
        .iter()
        .filter(|name| !TOP_LEVEL.contains(&name.as_str()) && !ignored(name))
        .map(|name| Offence { place: name.clone(), fault: "is not on the list".to_owned() })
        .collect()
}

#[cfg(test)]
mod controls {
    use super::*;

    fn function(lines: usize) -> String {
        format!("fn long(a: [u8; 4]) -> u8 {{\n{}}}\n", "    let a = '}'; // {\n".repeat(lines))
    }

    #[test]
    fn a_long_file_is_caught() {
        let file = |lines: usize| [Source::new("src/a.rs", &"//\n".repeat(lines))];
        assert_eq!(long_files(&file(401)).len(), 1);
        assert!(long_files(&file(400)).is_empty());
    }

    #[test]
    fn a_long_function_is_caught() {
        let file = |lines| [Source::new("tests/it/a.rs", &function(lines))];
        assert_eq!(long_functions(&file(71)).len(), 1);
        assert!(long_functions(&file(70)).is_empty());
    }

    #[test]
    fn bodies_are_measured_without_comments_and_blank_lines() {
        let text = "trait T { fn none(&self) -> [u8; 2]; }\nimpl T for X {\n\
            fn some(&self) -> [u8; 2] where Self: Sized {\n    // why {\n\n    r#\"}\n  \"#; {\n\
            }\n    b'{' }\n    fn one() { 1 }\n fn empty() {} }\nconst F: fn(u8) = one;";
        let found: Vec<_> = functions(&crate::source::tokens(text));
        let lengths: Vec<_> = found.iter().map(|(name, _, length)| (name.as_str(), *length)).collect();
        assert_eq!(lengths, [("some", 4), ("one", 1), ("empty", 0)]);
    }

    #[test]
    fn an_exception_caps_and_must_be_needed() {
        let measured = |length| vec![("a".to_owned(), "a:1".to_owned(), length)];
        assert_eq!(over(measured(60), 50, &[("a", 60)]).len(), 0);
        assert_eq!(over(measured(61), 50, &[("a", 60)]).len(), 1, "grown");
        assert_eq!(over(measured(50), 50, &[("a", 60)]).len(), 1, "no longer over");
        assert_eq!(over(Vec::new(), 50, &[("gone", 60)]).len(), 1, "no longer there");
    }

    #[test]
    fn a_missing_or_long_opening_is_caught() {
        let open = |path, text: &str| files_without_an_opening(&[Source::new(path, text)]).len();
        assert_eq!(open("src/a.rs", "use std::fs;\n//! late"), 1);
        assert_eq!(open("src/a.rs", &"//! x\n".repeat(9)), 1);
        assert_eq!(open("src/a.rs", &"//! x\n".repeat(8)), 0);
        assert_eq!(open("src/lib.rs", &"//! x\n".repeat(90)), 0);
        assert_eq!(open("src/lib.rs", ""), 1);
    }

    #[test]
    fn a_drawer_is_caught() {
        let named = |path, text| drawers(&[Source::new(path, text)]).len();
        assert_eq!(named("src/db/utils.rs", ""), 1);
        assert_eq!(named("src/common/id.rs", ""), 1);
        assert_eq!(named("src/a.rs", "pub mod helpers { }"), 1);
        assert_eq!(named("src/commons/id.rs", "mod typeset; // mod utils"), 0);
    }

    #[test]
    fn an_ill_named_migration_is_caught() {
        let bad = [
            "20260101000000_a.down.sql",
            "2026_a.sql",
            "20260101000000_A.sql",
            "20260101000000_.sql",
            "20260101000000-a.sql",
            "20260101000000_a.txt",
            "notes.md",
        ];
        for name in bad {
            assert_eq!(ill_named_migrations(&[name.to_owned()]).len(), 1, "{name}");
        }
        let twice = ["20260101000000_a.sql", "20260101000000_b.sql"].map(str::to_owned);
        assert_eq!(ill_named_migrations(&twice).len(), 1);
        let good = ["README.md", "20260101000000_a.sql", "20260101000001_b_2.sql"];
        assert!(ill_named_migrations(&good.map(str::to_owned)).is_empty());
    }

    #[test]
    fn a_stranger_at_the_top_is_caught() {
        let names = ["src", "scripts", ".env", ".git"].map(str::to_owned);
        assert_eq!(strangers_at_the_top(&names, "/target/\n/.env\n").len(), 1);
    }
}
