//! Everything that can go wrong between "no database" and "a server that answers", as one enum.
//! Protects one rule: every message tells the reader what to do next.
//! Does not decide what to do: only the exit code is fixed here.

use std::io;
use std::path::{Path, PathBuf};

/// Why a folder cannot be used as the folder of the Postgres programs.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// One of `initdb`, `pg_ctl` and `postgres` is absent.
    #[error("it holds no {0}")]
    Missing(&'static str),
    /// `postgres --version` could not be run.
    #[error("`postgres --version` does not run there")]
    Silent(#[source] io::Error),
    /// `postgres --version` ran and printed no version.
    #[error("`postgres --version` printed no version: {0:?}")]
    Unreadable(String),
    /// The major version lies outside the supported range.
    #[error("it holds Postgres {0}; supported are 15 to 18")]
    Version(u32),
}

/// What kept the private server from running.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// No usable Postgres programs anywhere, and the wheel could not be had.
    #[error(
        "no Postgres found. Three ways out:\n  \
         1. install Postgres 15, 16, 17 or 18 (Debian, Ubuntu: apt install postgresql; macOS: brew install postgresql@18)\n  \
         2. set MANDATE_PG_BIN to a folder that holds initdb, pg_ctl and postgres of version 15 to 18\n  \
         3. set DATABASE_URL to an administrative login of a Postgres that is already running\n\
         (the packaged programs were tried last: {wheel})"
    )]
    NoPostgres {
        /// Why the wheel, the last resort, was not to be had.
        wheel: String,
    },
    /// `MANDATE_PG_BIN` names a folder that cannot be used.
    #[error("MANDATE_PG_BIN is {}, but {why}. Set it to the bin folder of Postgres 15 to 18, or unset it to search", .dir.display())]
    PgBin {
        /// The folder named.
        dir: PathBuf,
        /// What is wrong with it.
        #[source]
        why: Unfit,
    },
    /// The downloaded wheel is not one of the pinned files.
    #[error(
        "the downloaded file {file} has SHA-256 {found}, which is not pinned in this version: it was deleted unopened. \
         Install Postgres 15 to 18 instead, or set MANDATE_PG_BIN or DATABASE_URL"
    )]
    WheelRefused {
        /// The file name as downloaded.
        file: String,
        /// Its digest, hexadecimal.
        found: String,
    },
    /// The cluster on disk belongs to another major version than the programs.
    #[error("{}", how_to_upgrade(.dir, *.on_disk, .bin, *.programs))]
    VersionMismatch {
        /// The folder of the cluster.
        dir: PathBuf,
        /// The major version that made the cluster.
        on_disk: u32,
        /// The folder of the programs found.
        bin: PathBuf,
        /// Their major version.
        programs: u32,
    },
    /// The unprivileged account of the server cannot enter a folder it needs.
    #[error(
        "{account} may not enter {}, and Postgres refuses to run as root. A folder under /root cannot work: \
         set MANDATE_HOME (the data) or MANDATE_PG_BIN (the programs) to one that every user may pass through, \
         such as /var/lib/mandate", .path.display()
    )]
    Unreachable {
        /// The folder.
        path: PathBuf,
        /// The account.
        account: String,
    },
    /// This process is root and the machine knows neither `postgres` nor `nobody`.
    #[error(
        "Postgres refuses to run as root, and this machine has neither a user postgres nor a user nobody: create one, or run as another user"
    )]
    NoAccount,
    /// Neither `MANDATE_HOME`, `XDG_DATA_HOME` nor `HOME` is set.
    #[error("no folder for the data: set MANDATE_HOME")]
    NoHome,
    /// A file or folder could not be used.
    #[error("cannot {action} {}: {source}. Check who owns it, or set MANDATE_HOME to a folder this user may write", .path.display())]
    Path {
        /// The verb of the attempt.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A program could not be run at all.
    #[error("cannot run {}: {source}. Set MANDATE_PG_BIN to programs that run on this machine", .program.display())]
    Program {
        /// The program.
        program: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// `initdb` failed; its own words follow.
    #[error("initdb could not make a cluster; correct what it says and start again:\n{output}")]
    Initdb {
        /// The end of what it printed.
        output: String,
    },
    /// `data` exists and is not a cluster.
    #[error("{} is not a Postgres cluster (no readable PG_VERSION) and was left untouched: move it away and start again", .data.display())]
    NotACluster {
        /// The folder.
        data: PathBuf,
    },
    /// The server ended before it was ready.
    #[error("Postgres did not start; correct what it says and start again (whole log: {}):\n{tail}", .log.display())]
    Start {
        /// The log file.
        log: PathBuf,
        /// What this attempt wrote there.
        tail: String,
    },
    /// The server did not become ready, or go away, within the limit.
    #[error("Postgres in {} was not {awaited} after {seconds} s: read {}/server.log, then try again", .dir.display(), .dir.display())]
    Slow {
        /// The folder of the cluster.
        dir: PathBuf,
        /// What was waited for.
        awaited: &'static str,
        /// The limit, seconds.
        seconds: u64,
    },
    /// The folder for the socket exists and belongs to somebody else.
    #[error("{} is not a private folder of the server's account: remove it, or set MANDATE_HOME to a shorter path so that it is not needed", .path.display())]
    SocketFolder {
        /// The folder.
        path: PathBuf,
    },
    /// The running server was started without fsync and this caller needs it.
    #[error("the server in {} was started by a test run, without fsync, and would lose data in a power cut: stop it and start again", .dir.display())]
    FsyncOff {
        /// The folder of the cluster.
        dir: PathBuf,
    },
    /// `pg_ctl stop` failed; its own words follow.
    #[error("pg_ctl could not stop the server in {}; it still runs:\n{output}", .dir.display())]
    Stop {
        /// The folder of the cluster.
        dir: PathBuf,
        /// The end of what it printed.
        output: String,
    },
}

impl ServerError {
    /// Returns the exit code of the command line: 3 when there are no usable Postgres programs, 1 otherwise.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NoPostgres { .. } | Self::PgBin { .. } | Self::WheelRefused { .. } => 3,
            _ => 1,
        }
    }

    /// Returns a converter for `map_err` that names the attempt and the path.
    pub(super) fn path(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Path { action, path, source }
    }

    /// Returns a converter for `map_err` that names the program.
    pub(super) fn program(program: &Path) -> impl FnOnce(io::Error) -> Self {
        let program = program.to_path_buf();
        move |source| Self::Program { program, source }
    }
}

/// Writes the way from one major version to the next. The commands use `data` as the socket folder
/// because it is private and certain to exist; starting `mandate` for the restore would fill the new
/// cluster with its own roles and tables, and the restore would collide with them.
fn how_to_upgrade(dir: &Path, on_disk: u32, bin: &Path, programs: u32) -> String {
    let (dir, bin) = (dir.display(), bin.display());
    format!(
        "the database in {dir} was made by Postgres {on_disk}, and the programs in {bin} are Postgres {programs}. \
         Nothing was changed.\n\
         Either keep Postgres {on_disk}: set MANDATE_PG_BIN to its bin folder.\n\
         Or dump and restore, as the user that owns {dir}/data, OLD being the bin folder of Postgres {on_disk}:\n  \
         OLD/pg_ctl start -w -D {dir}/data -l {dir}/data/upgrade.log -o \"-c listen_addresses= -k {dir}/data\"\n  \
         {bin}/pg_dumpall -h {dir}/data -U postgres -f {dir}/data/dump.sql\n  \
         OLD/pg_ctl stop -w -D {dir}/data\n\
         then, as the user that owns {dir} (as root also: chown the new folder to the owner of the old one):\n  \
         mv {dir}/data {dir}/data-{on_disk} && mkdir -m 700 {dir}/data\n\
         and again as the first user:\n  \
         {bin}/initdb -D {dir}/data -U postgres --auth=trust --locale=C -E UTF8\n  \
         {bin}/pg_ctl start -w -D {dir}/data -l {dir}/data/upgrade.log -o \"-c listen_addresses= -k {dir}/data\"\n  \
         {bin}/psql -h {dir}/data -U postgres -d postgres -f {dir}/data-{on_disk}/dump.sql\n  \
         {bin}/pg_ctl stop -w -D {dir}/data\n\
         \"role postgres already exists\" is the one error psql should print. Then start mandate again; \
         {dir}/data-{on_disk} may be deleted when everything is seen to be there."
    )
}
