//! Negative controls of the rules between features: each bad sample must be caught.

use super::*;

fn paths_of(path: &str, text: &str) -> Vec<String> {
    reaches(&Source::new(path, text)).into_iter().map(|reach| reach.parts.join("::")).collect()
}

#[test]
fn use_trees_are_unfolded_and_super_is_resolved() {
    let text = "use crate::{db::{Tx, self}, export::{decide::verdict as v, Permit},};\n\
                fn f() { crate::identity::Caller::new(super::store::load::<T>()) }\n\
                mod tests { use super::super::super::breach::*; }\n\
                fn g() { super::super::agreement::X; self::inner::y }";
    let expected = [
        "db::Tx",
        "db",
        "export::decide::verdict",
        "export::Permit",
        "identity::Caller::new",
        "deletion::store::load",
        "breach::*",
        "agreement::X",
        "deletion::api::inner::y",
    ];
    assert_eq!(paths_of("src/deletion/api.rs", text), expected);
}

#[test]
fn an_unlisted_pair_is_caught() {
    let bad = [
        ("src/evidence/append.rs", "use crate::export::Permit;"),
        ("src/instruction/decide.rs", "use crate::{base::Id, export::Permit};"),
        ("src/http/router.rs", "fn f() { crate::customer::load() }"),
        ("src/db/pool.rs", "use super::super::identity::Caller;"),
        ("src/base/id.rs", "use crate::customer::Customer;"),
        ("src/novelty/mod.rs", "use crate::customer::Customer;"),
        ("src/customer/mod.rs", "use crate::demo::seed;"),
    ];
    for (path, text) in bad {
        let found = uses_outside_the_listed_pairs(&[Source::new(path, text)]);
        assert_eq!(found.len(), 1, "{path} {text}");
    }
    let good = [
        ("src/export/decide.rs", "use crate::instruction::Instruction;"),
        ("src/http/caller.rs", "use crate::identity::authenticate;"),
        ("src/cli/serve.rs", "use crate::breach::ROUTES;"),
        ("src/main.rs", "use mandate::evidence::verify;"),
        ("src/evidence/mod.rs", "//! See crate::export::Permit.\nuse crate::base::Id;"),
    ];
    for (path, text) in good {
        let found = uses_outside_the_listed_pairs(&[Source::new(path, text)]);
        assert!(found.is_empty(), "{path} {text}");
    }
}

#[test]
fn a_path_into_another_features_file_is_caught() {
    let check = |path: &str, text: &str| {
        let files = [Source::new(path, text), Source::new("src/instruction/store.rs", "//! SQL.")];
        paths_into_another_features_files(&files).len()
    };
    assert_eq!(check("src/export/api.rs", "use crate::instruction::store::load;"), 1);
    assert_eq!(check("src/export/api.rs", "use crate::instruction::{store, Name};"), 1);
    assert_eq!(check("src/app.rs", "fn f() { crate::instruction::api::routes() }"), 1);
    assert_eq!(check("src/export/api.rs", "super::super::instruction::store::load()"), 1);
    assert_eq!(check("src/export/api.rs", "use crate::instruction::{Name, State::Draft, load};"), 0);
    assert_eq!(check("src/instruction/api.rs", "use crate::instruction::store::load;"), 0);
}

#[test]
fn a_circle_is_caught_and_a_line_is_not() {
    let line = |from: &str, to: &str| Source::new(&format!("src/{from}/mod.rs"), &format!("use crate::{to}::Name;"));
    let two = [line("identity", "customer"), line("customer", "identity")];
    assert_eq!(circles_between_features(&two).len(), 2);
    let three = [line("export", "document"), line("document", "registry"), line("registry", "export")];
    assert_eq!(circles_between_features(&three).len(), 3);
    let straight = [line("export", "document"), line("document", "registry"), line("export", "registry")];
    assert!(circles_between_features(&straight).is_empty());
    let through_itself = [line("export", "export")];
    assert!(circles_between_features(&through_itself).is_empty());
}

#[test]
fn every_feature_has_its_row_and_the_table_names_only_features() {
    for feature in FEATURES.iter().filter(|name| !KNOWS_ALL.contains(name)) {
        assert!(MAY_USE.iter().any(|(from, _)| from == feature), "{feature} has no row");
    }
    for (from, uses) in MAY_USE {
        for to in *uses {
            assert!(FEATURES.contains(to) && to != from, "{from} lists {to}");
        }
    }
}
