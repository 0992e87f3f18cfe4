//! One private cluster as its users see it: ensure that it runs, say where, stop it.
//! Protects two rules: a running server is joined and never started twice; only who started it stops it.
//! Does not connect. Whoever passes through the 0700 socket folder may log in as any role without a password.

use std::fs::TryLockError;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;

use super::account::{Account, command};
use super::error::ServerError;
use super::find::Binaries;
use super::layout::{Layout, Running};
use super::log::tail;
use super::start::{LIMIT_SECONDS, POLL, looks, start};

/// How a cluster is run.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Whether commits reach the disk. Off for tests only: a power cut then destroys the cluster.
    pub fsync: bool,
}

/// A server that accepted a connection a moment ago.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// The folder that holds the Unix socket.
    pub socket_dir: PathBuf,
    /// The port, which is only part of the name of the socket.
    pub port: u16,
    /// Whether this value's `ensure` started the server.
    pub started_by_us: bool,
    /// The folder of the cluster, with all links resolved.
    pub dir: PathBuf,
    pid: u32,
    pg_ctl: PathBuf,
}

/// What a folder holds, for a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// No cluster.
    Absent,
    /// A cluster that is not running.
    Stopped {
        /// The major version that made it.
        version_major: u32,
    },
    /// A cluster whose server accepts connections.
    Running {
        /// The major version that made it.
        version_major: u32,
        /// The first process of the server.
        pid: u32,
        /// The folder of the socket.
        socket_dir: PathBuf,
        /// The port in the name of the socket.
        port: u16,
        /// Whether commits reach the disk.
        fsync: bool,
    },
}

impl Cluster {
    /// Makes the cluster if it is new, starts it if it is stopped, joins it if it runs. Blocks: about 1 s for a
    /// new one, 0.1 s for a start, 1 ms for a server that runs, and up to 120 s behind another process or a
    /// recovery. The server outlives this process unless [`Cluster::stop`] is called.
    pub fn ensure(binaries: &Binaries, dir: &Path, options: Options) -> Result<Self, ServerError> {
        let dir = std::path::absolute(dir).map_err(ServerError::path("find", dir))?;
        let layout = Layout::prepare(&dir)?;
        layout.check_version(binaries)?;
        let lock = layout.open_lock()?;
        for _ in 0..looks() {
            if let Some(running) = layout.running() {
                return Self::joined(&layout, binaries, options, running);
            }
            match lock.try_lock() {
                Ok(()) => {
                    // A server started by hand holds no lock, and may have become ready since the look above.
                    if let Some(running) = layout.running() {
                        return Self::joined(&layout, binaries, options, running);
                    }
                    let (running, ours) = start(&layout, binaries, options, lock)?;
                    return Ok(Self::new(&layout, binaries, running, ours));
                }
                Err(TryLockError::WouldBlock) => thread::sleep(POLL),
                Err(TryLockError::Error(error)) => {
                    return Err(ServerError::path("lock", &layout.dir)(error));
                }
            }
        }
        Err(ServerError::Slow { dir: layout.dir, awaited: "ready", seconds: LIMIT_SECONDS })
    }

    /// Reports on a folder without creating, starting or locking anything.
    pub fn status(dir: &Path) -> Result<Status, ServerError> {
        let layout = Layout { dir: dir.to_path_buf() };
        let Some(version_major) = layout.version()? else {
            return Ok(Status::Absent);
        };
        Ok(match layout.running() {
            None => Status::Stopped { version_major },
            Some(Running { pid, port, socket_dir }) => {
                let fsync = !layout.started_without_fsync();
                Status::Running { version_major, pid, socket_dir, port, fsync }
            }
        })
    }

    /// Returns the address of a database, in the form sqlx reads. The socket folder stands in the query: as a
    /// host, its slashes would not survive the parsing of the URL.
    pub fn connection_url(&self, user: &str, database: &str) -> String {
        let host = escape(&self.socket_dir.to_string_lossy());
        format!("postgres:///{}?host={host}&port={}&user={}", escape(database), self.port, escape(user))
    }

    /// Returns the line to print, loudly, at every start that uses a private database.
    pub fn banner(&self) -> String {
        format!(
            "PRIVATE DATABASE in {}: not for production. No backup, no standby; set DATABASE_URL to use your own Postgres.",
            self.dir.display()
        )
    }

    /// Stops the server that this value's `ensure` started, breaking off its sessions, and waits until all its
    /// processes have gone. Does nothing to a server that was already running, or that another process has
    /// started since.
    pub fn stop(&self) -> Result<(), ServerError> {
        let layout = Layout { dir: self.dir.clone() };
        if !self.started_by_us || layout.pid() != Some(self.pid) {
            return Ok(());
        }
        let account = Account::owner_of(&layout.data())?;
        let mut stop = command(&self.pg_ctl, account.as_ref(), &layout.dir);
        stop.args(["stop", "--mode=fast", "--no-wait", "-D"]).arg(layout.data()).stdin(Stdio::null());
        let output = stop.output().map_err(ServerError::program(&self.pg_ctl))?;
        if !output.status.success() && layout.pid() == Some(self.pid) {
            let output = tail(&[output.stdout, output.stderr].concat());
            return Err(ServerError::Stop { dir: layout.dir, output });
        }
        for _ in 0..looks() {
            let successor = layout.pid().is_some_and(|pid| pid != self.pid);
            if successor || layout.open_lock()?.try_lock().is_ok() {
                return Ok(());
            }
            thread::sleep(POLL);
        }
        Err(ServerError::Slow { dir: layout.dir, awaited: "stopped", seconds: LIMIT_SECONDS })
    }

    fn joined(layout: &Layout, binaries: &Binaries, options: Options, running: Running) -> Result<Self, ServerError> {
        layout.check_version(binaries)?;
        if options.fsync && layout.started_without_fsync() {
            return Err(ServerError::FsyncOff { dir: layout.dir.clone() });
        }
        Ok(Self::new(layout, binaries, running, false))
    }

    fn new(layout: &Layout, binaries: &Binaries, running: Running, started_by_us: bool) -> Self {
        Self {
            socket_dir: running.socket_dir,
            port: running.port,
            started_by_us,
            dir: layout.dir.clone(),
            pid: running.pid,
            pg_ctl: binaries.program("pg_ctl"),
        }
    }
}

/// Writes every byte but letters, digits, `-`, `.`, `_`, `~` and `/` as a percent code: a plus sign would be
/// read back as a space.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}
