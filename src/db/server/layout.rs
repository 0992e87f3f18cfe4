//! Where the parts of one cluster lie, and what they say about it without asking the server.
//! Protects one rule: the outer folder belongs to this process, and only `data` and `socket` to the server's
//! account, both 0700. One folder for all would let that account plant links which root then writes through.
//! Does not change a cluster.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, lchown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::account::{Account, is_superuser, own_uid};
use super::error::ServerError;
use super::find::Binaries;

/// The port is only part of the name of the socket: nothing listens on the network.
pub(super) const PORT: u16 = 5432;

/// Longest socket path in bytes: `sun_path` less its final zero.
const SOCKET_PATH_MAX: usize = if cfg!(target_os = "macos") { 103 } else { 107 };

/// The parts of the cluster in one folder.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) dir: PathBuf,
}

/// What `postmaster.pid` says of a server that accepts connections.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) pid: u32,
    pub(super) port: u16,
    pub(super) socket_dir: PathBuf,
}

impl Layout {
    /// Creates the folder if need be and settles its one name.
    pub(super) fn prepare(dir: &Path) -> Result<Self, ServerError> {
        create_passable(dir)?;
        let dir = fs::canonicalize(dir).map_err(ServerError::path("find", dir))?;
        Ok(Self { dir })
    }

    pub(super) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// The folder initdb works in. Renamed to `data` when it has finished, so whatever is called `data` is whole,
    /// and no code path deletes it. A marker file could get lost beside a good cluster.
    pub(super) fn unfinished(&self) -> PathBuf {
        self.dir.join("data.partial")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.dir.join("server.log")
    }

    /// Opens the lock file without taking the lock.
    pub(super) fn open_lock(&self) -> Result<File, ServerError> {
        let path = self.dir.join("lock");
        let mut open = File::options();
        // 0600: whoever can open the file can take its lock and keep every start waiting.
        open.read(true).write(true).create(true).truncate(false).mode(0o600);
        open.open(&path).map_err(ServerError::path("open", &path))
    }

    /// Returns the major version of the cluster on disk, `None` when there is none yet.
    pub(super) fn version(&self) -> Result<Option<u32>, ServerError> {
        let data = self.data();
        match fs::read_to_string(data.join("PG_VERSION")) {
            Ok(text) => match text.trim().parse() {
                Ok(major) => Ok(Some(major)),
                Err(_) => Err(ServerError::NotACluster { data }),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if data.exists() {
                    Err(ServerError::NotACluster { data })
                } else {
                    Ok(None)
                }
            }
            Err(error) => Err(ServerError::path("read", &data)(error)),
        }
    }

    /// Fails when another major version made the cluster; tells whether there is one.
    pub(super) fn check_version(&self, binaries: &Binaries) -> Result<bool, ServerError> {
        let Some(on_disk) = self.version()? else {
            return Ok(false);
        };
        if on_disk == binaries.version_major {
            return Ok(true);
        }
        Err(ServerError::VersionMismatch { dir: self.dir.clone(), on_disk, bin: binaries.dir.clone(), programs: binaries.version_major })
    }

    /// Returns the server that says it is ready and whose socket accepts. A stale file after a crash names a
    /// socket that refuses, so neither the number of a dead process nor a reused one can pass.
    pub(super) fn running(&self) -> Option<Running> {
        let text = fs::read_to_string(self.data().join("postmaster.pid")).ok()?;
        // Line 1 pid, 2 data, 3 start time, 4 port, 5 socket folder, 6 address, 7 shared memory, 8 state.
        let lines: Vec<&str> = text.lines().collect();
        if !lines.get(7)?.starts_with("ready") {
            return None;
        }
        let running = Running {
            pid: lines.first()?.trim().parse().ok()?,
            port: lines.get(3)?.trim().parse().ok()?,
            socket_dir: PathBuf::from(lines.get(4)?),
        };
        UnixStream::connect(socket_file(&running.socket_dir, running.port)).ok()?;
        Some(running)
    }

    /// Returns the process named in `postmaster.pid`, dead or alive.
    pub(super) fn pid(&self) -> Option<u32> {
        let text = fs::read_to_string(self.data().join("postmaster.pid")).ok()?;
        text.lines().next()?.trim().parse().ok()
    }

    /// Tells whether the running server was started with fsync off: Postgres records its command line.
    pub(super) fn started_without_fsync(&self) -> bool {
        let options = fs::read_to_string(self.data().join("postmaster.opts"));
        options.is_ok_and(|line| line.contains("\"fsync=off\""))
    }

    /// Creates the socket folder: beside the data, or under a short path named by a hash when the full socket
    /// name would not fit. Root prefers `/run`, where nobody else can have put a folder in the way.
    pub(super) fn socket_folder(&self, account: Option<&Account>) -> Result<PathBuf, ServerError> {
        let beside = self.dir.join("socket");
        let folder = if fits(&beside) {
            beside
        } else {
            let hash = hex::encode(Sha256::digest(self.dir.as_os_str().as_bytes()));
            let run = Path::new("/run");
            let base = if is_superuser() && run.is_dir() { run } else { Path::new("/tmp") };
            base.join(format!("mandate-{}", &hash[..16]))
        };
        make_private(&folder, account)?;
        Ok(folder)
    }
}

/// Tells whether the full name of the socket in `folder` fits its place in the kernel's structure.
fn fits(folder: &Path) -> bool {
    socket_file(folder, PORT).as_os_str().len() <= SOCKET_PATH_MAX
}

/// Returns the name of the socket.
pub(super) fn socket_file(folder: &Path, port: u16) -> PathBuf {
    folder.join(format!(".s.PGSQL.{port}"))
}

/// Creates a folder of mode 0700 for the account, or accepts one that is already exactly that.
pub(super) fn make_private(folder: &Path, account: Option<&Account>) -> Result<(), ServerError> {
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let meta = fs::symlink_metadata(folder).map_err(ServerError::path("read", folder))?;
            // In /tmp another user may have made it first, or a link: its owner could then answer for the server.
            let ours = match account {
                Some(account) => meta.uid() == account.uid || meta.uid() == 0,
                None => own_uid() == Some(meta.uid()),
            };
            if !meta.is_dir() || !ours || meta.mode() & 0o077 != 0 {
                return Err(ServerError::SocketFolder { path: folder.to_path_buf() });
            }
        }
        Err(error) => return Err(ServerError::path("create", folder)(error)),
    }
    match account {
        Some(account) => lchown(folder, Some(account.uid), Some(account.gid)).map_err(ServerError::path("chown", folder)),
        None => Ok(()),
    }
}

/// Creates a folder and its missing parents. Root's are made passable for the server's account whatever the
/// umask says; another user's stay private.
pub(super) fn create_passable(dir: &Path) -> Result<(), ServerError> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent() {
        create_passable(parent)?;
    }
    let mode = if is_superuser() { 0o755 } else { 0o700 };
    match fs::create_dir(dir) {
        Ok(()) => {}
        // Two processes may create it together.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(ServerError::path("create", dir)(error)),
    }
    fs::set_permissions(dir, fs::Permissions::from_mode(mode)).map_err(ServerError::path("open up", dir))
}
