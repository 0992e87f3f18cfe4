//! The account the server runs under: Postgres refuses root, so root becomes `postgres`, else `nobody`.
//! Protects one rule: nothing of Postgres is ever executed with root's rights, groups or environment.
//! Does not create users.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::error::ServerError;

/// The unprivileged identity that root takes for the server. Other users have none: they stay themselves.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
    name: String,
}

impl Account {
    /// Returns the account for a new cluster, `None` when this process is not root.
    pub(super) fn for_new() -> Result<Option<Self>, ServerError> {
        if !is_superuser() {
            return Ok(None);
        }
        for name in ["postgres", "nobody"] {
            if let (Some(uid), Some(gid)) = (id(&["-u", name]), id(&["-g", name])) {
                return Ok(Some(Self { uid, gid, name: format!("the user {name}") }));
            }
        }
        Err(ServerError::NoAccount)
    }

    /// Returns the account that owns an existing cluster, `None` when this process is not root.
    /// Choosing by name again would fail when a package adds `postgres` after `nobody` made the cluster.
    pub(super) fn owner_of(data: &Path) -> Result<Option<Self>, ServerError> {
        if !is_superuser() {
            return Ok(None);
        }
        let meta = fs::metadata(data).map_err(ServerError::path("read", data))?;
        let (uid, gid) = (meta.uid(), meta.gid());
        Ok(Some(Self { uid, gid, name: format!("the user with id {uid}") }))
    }

    /// Fails when the account cannot enter `folder`. Asked of the kernel by entering it: mode bits alone
    /// would be wrong where access lists are used.
    pub(super) fn require_entry(this: Option<&Self>, folder: &Path) -> Result<(), ServerError> {
        let Some(account) = this else { return Ok(()) };
        let entered = command(Path::new("true"), this, folder).stdin(Stdio::null()).status();
        if entered.is_ok_and(|status| status.success()) {
            return Ok(());
        }
        Err(ServerError::Unreachable { path: folder.to_path_buf(), account: account.name.clone() })
    }
}

/// Builds a command that runs as `account` in `folder`, without the variables that change Postgres.
pub(super) fn command(program: &Path, account: Option<&Account>, folder: &Path) -> Command {
    let mut command = Command::new(program);
    // The caller's own folder is no good: under /root the account cannot even name it.
    command.current_dir(folder).env("LC_ALL", "C");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
    if let Some(account) = account {
        // With a uid given, std also drops the supplementary groups of root before the exec.
        command.uid(account.uid).gid(account.gid);
    }
    command
}

/// Tells whether this process is root.
pub(super) fn is_superuser() -> bool {
    own_uid() == Some(0)
}

/// Returns the effective user id, `None` when it cannot be learnt. Asks `id` once, since std has no call for it
/// and the owner of `/proc/self` is root's for programs that may not be read.
pub(super) fn own_uid() -> Option<u32> {
    static UID: OnceLock<Option<u32>> = OnceLock::new();
    *UID.get_or_init(|| id(&["-u"]))
}

/// Returns the number `id` prints, `None` when the user is unknown.
fn id(arguments: &[&str]) -> Option<u32> {
    let output = Command::new("id").args(arguments).stdin(Stdio::null()).output().ok()?;
    if !output.status.success() {
        return None;
    }
    // macOS prints -2 for nobody.
    let number: i64 = String::from_utf8_lossy(&output.stdout).trim().parse().ok()?;
    u32::try_from(number & i64::from(u32::MAX)).ok()
}
