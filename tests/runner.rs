//! The rules of the private Postgres server, each proved against a real one; rule 1 is in `runner/search.rs`.
//! Protects the account, the isolation, the refusal of another version and the re-attachment.
//! Every test names its negative control: the change to the code under which it was seen to fail.
//! Does not test that the service's own roles stay below the owner: that is the guard's test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::let_underscore_must_use,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test fails by panicking, and cleans up as it can"
)]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mandate::db::server::{Binaries, Cluster, Lookup, Options, ServerError, Status};
use sqlx::{Connection, PgConnection};

#[path = "runner/scratch.rs"]
mod scratch;
#[path = "runner/search.rs"]
mod search;

use scratch::Scratch;

const TEST: Options = Options { fsync: false };
const CHILD: &str = "MANDATE_RUNNER_TEST_DIR";

fn programs() -> Binaries {
    Binaries::find(&Lookup::system()).unwrap()
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

fn signal(which: &str, pid: u32) {
    Command::new("kill").args([which, &pid.to_string()]).status().unwrap();
}

fn wait_for(mut condition: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("waited 10 s in vain");
}

fn pid_of(dir: &Path) -> u32 {
    match Cluster::status(dir).unwrap() {
        Status::Running { pid, .. } => pid,
        other => panic!("not running: {other:?}"),
    }
}

/// Runs one statement as the superuser, over the URL the module hands out, and returns its first column as text.
fn try_sql(cluster: &Cluster, statement: &'static str) -> Result<String, sqlx::Error> {
    let url = cluster.connection_url("postgres", "postgres");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut connection = PgConnection::connect(&url).await?;
        sqlx::query_scalar::<_, String>(statement).fetch_one(&mut connection).await
    })
}

fn sql(cluster: &Cluster, statement: &'static str) -> String {
    try_sql(cluster, statement).unwrap()
}

/// Starts this test program again, as another process that ensures the cluster in `dir` and ends.
fn another_process(dir: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "entry_of_the_other_process", "--nocapture"]).env(CHILD, dir);
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the variable is how this program calls itself")]
fn entry_of_the_other_process() {
    if let Some(dir) = std::env::var_os(CHILD) {
        let cluster = Cluster::ensure(&programs(), Path::new(&dir), TEST).unwrap();
        println!("started_by_us={}", cluster.started_by_us);
    }
}

// Rule 2. Control: `.uid()` left out (Postgres refuses root), or the socket folder created with 0755.
#[test]
fn the_server_runs_unprivileged_in_private_folders() {
    let scratch = Scratch::new();
    let cluster = scratch.ensure();
    let data = fs::metadata(cluster.dir.join("data")).unwrap();
    assert_eq!(data.mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(&cluster.socket_dir).unwrap().mode() & 0o777, 0o700);
    let status = fs::read_to_string(format!("/proc/{}/status", pid_of(&cluster.dir))).unwrap();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    let (uid, gid) = (data.uid(), data.gid());
    assert_ne!(uid, 0);
    assert_eq!(field("Uid:"), format!("{uid}\t{uid}\t{uid}\t{uid}"));
    assert_eq!(field("Gid:"), format!("{gid}\t{gid}\t{gid}\t{gid}"));
    if is_root() {
        assert_eq!(field("Groups:"), "", "groups of root were kept");
        assert_eq!(fs::metadata(&cluster.dir).unwrap().uid(), 0, "the outer folder is given away");
    }
}

// Rule 2. Control: `require_entry` left out (the message is then that of initdb).
#[test]
fn a_folder_the_account_cannot_enter_is_named() {
    if !is_root() {
        return;
    }
    let scratch = Scratch::new();
    let closed = scratch.0.join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    let error = Cluster::ensure(&programs(), &closed.join("c"), TEST).unwrap_err();
    assert!(matches!(&error, ServerError::Unreachable { path, .. } if path.ends_with("closed/c")), "{error}");
    assert!(error.to_string().contains("MANDATE_HOME"));
}

// Rule 3. Control: `listen_addresses=` dropped from SETTINGS; `--locale=C` dropped from initdb.
#[test]
fn only_the_socket_is_served_and_text_is_utf8_in_the_c_locale() {
    let scratch = Scratch::new();
    let cluster = scratch.ensure();
    assert_eq!(sql(&cluster, "SHOW listen_addresses"), "");
    assert_eq!(sql(&cluster, "SHOW fsync"), "off");
    assert_eq!(sql(&cluster, "SHOW server_encoding"), "UTF8");
    assert_eq!(sql(&cluster, "SHOW data_checksums"), "on");
    assert_eq!(sql(&cluster, "SELECT datcollate::text FROM pg_database WHERE datname = 'postgres'"), "C");
}

// Rule 3. Control: `options.fsync` ignored in `spawn`, or not compared in `joined`.
#[test]
fn fsync_stays_on_outside_tests_and_a_server_without_it_is_not_joined() {
    let scratch = Scratch::new();
    let cluster = Cluster::ensure(&programs(), &scratch.dir(), Options { fsync: true }).unwrap();
    assert_eq!(sql(&cluster, "SHOW fsync"), "on");
    cluster.stop().unwrap();
    scratch.ensure();
    let error = Cluster::ensure(&programs(), &scratch.dir(), Options { fsync: true }).unwrap_err();
    assert!(matches!(error, ServerError::FsyncOff { .. }), "{error}");
}

// Rule 3. Control: `socket_folder` always answering `beside` (Postgres then refuses the path as too long).
#[test]
fn a_long_path_and_strange_letters_still_give_a_socket_that_answers() {
    let scratch = Scratch::new();
    for name in ["x".repeat(100), "with space, comma+plus\"quote %41 ü".to_owned()] {
        let dir = scratch.0.join(name);
        let cluster = Cluster::ensure(&programs(), &dir, TEST).unwrap();
        let socket = cluster.socket_dir.join(format!(".s.PGSQL.{}", cluster.port));
        assert!(socket.as_os_str().len() <= 107, "{}", socket.display());
        assert_eq!(sql(&cluster, "SELECT current_user::text"), "postgres");
        cluster.stop().unwrap();
        if !cluster.socket_dir.starts_with(&dir) {
            fs::remove_dir(&cluster.socket_dir).unwrap();
        }
    }
}

// Rule 4. Control: `check_version` left out of `ensure`.
#[test]
fn a_cluster_of_another_version_stops_the_start_and_says_how_to_dump_and_restore() {
    let scratch = Scratch::new();
    let cluster = scratch.ensure();
    cluster.stop().unwrap();
    fs::write(cluster.dir.join("data/PG_VERSION"), "14\n").unwrap();
    let error = Cluster::ensure(&programs(), &scratch.dir(), TEST).unwrap_err();
    assert!(matches!(error, ServerError::VersionMismatch { on_disk: 14, .. }), "{error}");
    for word in ["MANDATE_PG_BIN", "pg_dumpall", "psql", "Nothing was changed"] {
        assert!(error.to_string().contains(word), "{word} missing in: {error}");
    }
    assert_eq!(Cluster::status(&scratch.dir()).unwrap(), Status::Stopped { version_major: 14 });
}

// Rule 5. Control: `started_by_us` not asked in `stop`. (That Ctrl-C spares the server is not tested here: it needs
// a terminal.)
#[test]
fn a_server_outlives_its_starter_is_joined_and_is_stopped_by_its_starter_only() {
    let scratch = Scratch::new();
    let output = another_process(&scratch.dir()).wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("started_by_us=true"));
    let joined = scratch.ensure();
    assert!(!joined.started_by_us);
    joined.stop().unwrap();
    assert_eq!(sql(&joined, "SELECT 'alive'"), "alive");
    signal("-INT", pid_of(&joined.dir));
    wait_for(|| matches!(Cluster::status(&joined.dir), Ok(Status::Stopped { .. })));
    let own = scratch.ensure();
    assert!(own.started_by_us);
    own.stop().unwrap();
    assert!(matches!(Cluster::status(&own.dir).unwrap(), Status::Stopped { .. }));
    own.stop().unwrap();
}

// Rule 5. Control: the lock not handed to the server (Postgres: pre-existing shared memory block is still in use).
#[test]
fn a_killed_server_is_started_again_after_its_last_query_with_what_it_had_committed() {
    let scratch = Scratch::new();
    let durable = Options { fsync: true };
    let cluster = Cluster::ensure(&programs(), &scratch.dir(), durable).unwrap();
    sql(&cluster, "SELECT lo_from_bytea(4711, 'kept')::text");
    let orphan = cluster.clone();
    let busy = std::thread::spawn(move || try_sql(&orphan, "SELECT count(*)::text FROM generate_series(1, 9000000)"));
    wait_for(|| {
        sql(&cluster, "SELECT count(*)::text FROM pg_stat_activity WHERE query LIKE '%generate_series(1, 9%' AND pid <> pg_backend_pid()")
            == "1"
    });
    signal("-KILL", pid_of(&cluster.dir));
    wait_for(|| matches!(Cluster::status(&cluster.dir), Ok(Status::Stopped { .. })));
    let again = Cluster::ensure(&programs(), &scratch.dir(), durable).unwrap();
    assert!(again.started_by_us);
    assert_eq!(sql(&again, "SELECT convert_from(lo_get(4711), 'UTF8')"), "kept");
    let _ = busy.join();
}

// Rule 5. Control: `drop_reused_pid` left out (Postgres: lock file "postmaster.pid" already exists).
#[test]
fn a_pid_file_that_names_a_stranger_does_not_stop_the_start() {
    let scratch = Scratch::new();
    let cluster = scratch.ensure();
    let data = cluster.dir.join("data");
    let before = fs::read_to_string(data.join("postmaster.pid")).unwrap();
    let pid = pid_of(&cluster.dir);
    let owner = fs::metadata(&data).unwrap();
    let mut stranger = Command::new("sleep");
    if is_root() {
        use std::os::unix::process::CommandExt;
        stranger.uid(owner.uid()).gid(owner.gid());
    }
    let mut stranger = stranger.arg("60").spawn().unwrap();
    cluster.stop().unwrap();
    let stale = before.replacen(&pid.to_string(), &stranger.id().to_string(), 1);
    fs::write(data.join("postmaster.pid"), stale).unwrap();
    let again = scratch.ensure();
    assert!(again.started_by_us);
    assert!(stranger.try_wait().unwrap().is_none(), "the stranger was killed");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

// Rule 5. Control: the lock not handed to initdb (its folder is then wiped while it writes).
#[test]
fn an_interrupted_initdb_is_done_again_while_the_first_still_runs() {
    let scratch = Scratch::new();
    let mut first = another_process(&scratch.dir());
    wait_for(|| scratch.dir().join("data.partial/global").exists());
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(!scratch.dir().join("data").exists(), "killed too late to prove anything");
    let cluster = scratch.ensure();
    assert!(cluster.started_by_us);
    assert_eq!(sql(&cluster, "SELECT 'whole'"), "whole");
    assert!(!cluster.dir.join("data.partial").exists());
}

// Rule 5. Control: `try_lock` replaced by nothing (several initdb in one folder).
#[test]
fn of_four_processes_at_once_one_starts_and_three_join() {
    let scratch = Scratch::new();
    let children: Vec<Child> = (0..4).map(|_| another_process(&scratch.dir())).collect();
    let said: Vec<String> =
        children.into_iter().map(|child| String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()).collect();
    let count = |word: &str| said.iter().filter(|text| text.contains(word)).count();
    assert_eq!((count("started_by_us=true"), count("started_by_us=false")), (1, 3), "{said:?}");
}

// Rule 6. Control: the folder left out of the line.
#[test]
fn the_banner_names_the_folder_and_the_way_out() {
    let scratch = Scratch::new();
    let cluster = scratch.ensure();
    let banner = cluster.banner();
    for word in [cluster.dir.to_str().unwrap(), "PRIVATE DATABASE", "not for production", "DATABASE_URL"] {
        assert!(banner.contains(word), "{word} missing in: {banner}");
    }
    assert!(!banner.contains('\n'));
}
