//! Makes a cluster and starts its server, while holding the lock of its folder. Does not stop or find servers.
//! Protects one rule: one server per folder. The lock is an open file that `initdb` and the server inherit as
//! their standard input, so it is held until the last of their processes has gone, even when this one is killed:
//!
//! 1. process A runs initdb and is killed; initdb runs on, still holding the lock;
//! 2. process B waits; with a lock held by A alone it would wipe a folder that initdb still writes;
//! 3. the server is killed and its children finish a query; B waits for them in the same way.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use super::account::{Account, command};
use super::cluster::Options;
use super::error::ServerError;
use super::find::Binaries;
use super::layout::{Layout, PORT, Running, make_private};
use super::log;

/// Pause between two looks. `pg_ctl -w` looks every 100 ms, which alone would double the time of a start.
pub(super) const POLL: Duration = Duration::from_millis(5);
/// How long a start (with recovery after a crash) or a stop may take, seconds.
pub(super) const LIMIT_SECONDS: u64 = 120;

/// Enough for many test processes with several pools each, where the default is 100.
const MAX_CONNECTIONS: &str = "max_connections=300";
/// Settings of every private server. The last three keep values and statements, which are personal data, out of
/// the log.
const SETTINGS: [&str; 9] = [
    "listen_addresses=",
    "unix_socket_permissions=0700",
    "timezone=UTC",
    "log_timezone=UTC",
    MAX_CONNECTIONS,
    "log_checkpoints=off",
    "log_error_verbosity=terse",
    "log_min_error_statement=panic",
    "log_parameter_max_length_on_error=0",
];

/// Returns how many looks fit into the limit; counting them needs no clock.
pub(super) fn looks() -> u64 {
    LIMIT_SECONDS * 1000 / u64::try_from(POLL.as_millis()).unwrap_or(1).max(1)
}

/// Makes the cluster if there is none, starts the server and waits until it accepts. Consumes the lock, which
/// the caller has taken. The flag tells whether this call started the server that answers.
pub(super) fn start(layout: &Layout, binaries: &Binaries, options: Options, lock: File) -> Result<(Running, bool), ServerError> {
    let account = if layout.check_version(binaries)? { Account::owner_of(&layout.data())? } else { Account::for_new()? };
    for folder in [&layout.dir, &binaries.dir] {
        Account::require_entry(account.as_ref(), folder)?;
    }
    if !layout.data().exists() {
        initialise(layout, binaries, options, account.as_ref(), &lock)?;
    }
    drop_reused_pid(layout, account.as_ref())?;
    let (log, seen) = log::open(layout)?;
    let child = spawn(layout, binaries, options, account.as_ref(), lock, log)?;
    await_ready(layout, child, seen)
}

/// Runs `initdb` beside the final place and moves the result there. The lock proves that an earlier, interrupted
/// run has ended, so what it left may go.
fn initialise(layout: &Layout, binaries: &Binaries, options: Options, account: Option<&Account>, lock: &File) -> Result<(), ServerError> {
    let unfinished = layout.unfinished();
    match fs::remove_dir_all(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(ServerError::path("delete", &unfinished)(error));
        }
        _ => {}
    }
    make_private(&unfinished, account)?;
    let initdb = binaries.program("initdb");
    let mut run = command(&initdb, account, &layout.dir);
    run.arg("-D").arg(&unfinished);
    run.args(["--username=postgres", "--auth-local=trust", "--auth-host=reject"]);
    run.args(["--locale=C", "-E", "UTF8", "--data-checksums", "--no-instructions"]);
    if !options.fsync {
        run.arg("--no-sync");
    }
    let held = lock.try_clone().map_err(ServerError::path("share the lock of", &layout.dir))?;
    let output = run.stdin(Stdio::from(held)).output().map_err(ServerError::program(&initdb))?;
    if !output.status.success() {
        return Err(ServerError::Initdb { output: log::tail(&[output.stdout, output.stderr].concat()) });
    }
    let data = layout.data();
    fs::rename(&unfinished, &data).map_err(ServerError::path("rename", &unfinished))?;
    if options.fsync {
        // A rename is durable only when the folder that holds the name is.
        let folder = File::open(&layout.dir).and_then(|folder| folder.sync_all());
        folder.map_err(ServerError::path("sync", &layout.dir))?;
    }
    Ok(())
}

/// Deletes the pid files of a crashed server when their number now belongs to another program: Postgres takes
/// any living process of its account for a server and would refuse to start, as happens in containers, where numbers are small.
/// Everything else is left to Postgres to judge.
fn drop_reused_pid(layout: &Layout, account: Option<&Account>) -> Result<(), ServerError> {
    let Some(pid) = layout.pid() else {
        return Ok(());
    };
    let Some(name) = program_of(pid) else {
        return Ok(());
    };
    if name.ends_with("postgres") {
        return Ok(());
    }
    tracing::warn!(pid, program = name, "the number of a crashed Postgres is in use again: its pid files are deleted");
    let socket_lock = layout.socket_folder(account)?.join(format!(".s.PGSQL.{PORT}.lock"));
    for file in [layout.data().join("postmaster.pid"), socket_lock] {
        match fs::remove_file(&file) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(ServerError::path("delete", &file)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Returns the name of the program a living process runs, `None` when dead or unknown.
fn program_of(pid: u32) -> Option<String> {
    if Path::new("/proc/self").exists() {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        return Some(name.trim().to_owned());
    }
    let asked = Command::new("ps").args(["-o", "comm=", "-p", &pid.to_string()]).stdin(Stdio::null()).output();
    let name = String::from_utf8_lossy(&asked.ok()?.stdout).trim().to_owned();
    (!name.is_empty()).then_some(name)
}

/// Starts the server in a process group of its own, so that Ctrl-C and the end of this process leave it running.
/// Spawned directly: `pg_ctl start` hands the options to a shell, and its child could not be watched.
fn spawn(
    layout: &Layout,
    binaries: &Binaries,
    options: Options,
    account: Option<&Account>,
    lock: File,
    log: File,
) -> Result<Child, ServerError> {
    let socket_dir = layout.socket_folder(account)?;
    let quoted = socket_dir.to_string_lossy().replace('"', "\"\"");
    let postgres = binaries.program("postgres");
    let mut run = command(&postgres, account, &layout.dir);
    run.arg("-D").arg(layout.data()).args(["-p", &PORT.to_string()]);
    // The setting is a list, so a comma or a space in the path has to be quoted.
    run.arg("-c").arg(format!("unix_socket_directories=\"{quoted}\""));
    for setting in SETTINGS {
        run.args(["-c", setting]);
    }
    if !options.fsync {
        run.args(["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"]);
    }
    let log_again = log.try_clone().map_err(ServerError::path("open", &layout.log()))?;
    run.stdin(lock).stdout(log).stderr(log_again).process_group(0);
    run.spawn().map_err(ServerError::program(&postgres))
}

/// Waits until the child is ready or has ended.
fn await_ready(layout: &Layout, mut child: Child, seen: u64) -> Result<(Running, bool), ServerError> {
    for _ in 0..looks() {
        if let Some(running) = layout.running()
            && running.pid == child.id()
        {
            reap(child);
            return Ok((running, true));
        }
        let ended = child.try_wait().map_err(ServerError::path("watch the server of", &layout.dir))?;
        if ended.is_some() {
            // A server started by hand at the same moment has won: it is as good.
            return match layout.running() {
                Some(running) => Ok((running, false)),
                None => Err(ServerError::Start { log: layout.log(), tail: log::since(layout, seen) }),
            };
        }
        thread::sleep(POLL);
    }
    Err(ServerError::Slow { dir: layout.dir.clone(), awaited: "ready", seconds: LIMIT_SECONDS })
}

/// Collects the exit status when the server ends while this process lives; otherwise it would stay a zombie.
fn reap(mut child: Child) {
    let wait = move || match child.wait() {
        Ok(status) => tracing::info!(%status, "the private Postgres server has ended"),
        Err(error) => tracing::warn!(%error, "the private Postgres server could not be watched"),
    };
    if let Err(error) = thread::Builder::new().name("postgres-reaper".into()).spawn(wait) {
        tracing::warn!(%error, "no thread to watch the private Postgres server");
    }
}
