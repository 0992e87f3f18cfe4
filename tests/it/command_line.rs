//! What the program says when it is asked for what is not there. Each negative control is the message
//! that it gave before: of a file that is there that it is not, of no database that a connection was lost.

use std::path::{Path, PathBuf};
use std::process::Command;

fn scratch(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("command-line-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

/// Exit code and what was said on standard error.
fn said(home: &Path, arguments: &[&str], database: Option<&str>) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mandate"));
    command.args(arguments).env("MANDATE_HOME", home).env_remove("DATABASE_URL").env_remove("MANDATE_CONFIG").current_dir(home);
    if let Some(url) = database {
        command.env("DATABASE_URL", url);
    }
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_file_that_holds_no_logins_is_not_said_to_be_absent() {
    let home = scratch("totp");
    let other = home.join("other.json");
    std::fs::write(&other, "{}").unwrap();
    let totp = |file: &Path| said(&home, &["totp", "--logins", file.to_str().unwrap(), "x@y.no"], None);
    for file in [Path::new("/etc/passwd"), other.as_path()] {
        let (code, told) = totp(file);
        assert!(code == Some(1) && told.contains("does not hold a demo's logins") && told.contains(file.to_str().unwrap()), "{told}");
    }
    assert!(totp(&home.join("absent")).1.contains("there is no file"));
    std::fs::remove_dir_all(home).unwrap();
}

#[test]
fn without_a_database_the_keys_are_not_looked_for_and_nothing_is_made() {
    let home = scratch("keys");
    let (code, told) = said(&home, &["keys", "list"], None);
    assert!(code == Some(1) && told.contains("no database") && told.contains(home.to_str().unwrap()), "{told}");
    assert_eq!(std::fs::read_dir(&home).unwrap().count(), 0, "a look leaves nothing behind");
    let (code, told) = said(&home, &["keys", "list"], Some("postgres://nobody@127.0.0.1:1/nothing"));
    assert!(code == Some(1) && told.contains("the login for mandate_ops does not work"), "{told}");
    std::fs::remove_dir_all(home).unwrap();
}
