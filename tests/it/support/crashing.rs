//! A Postgres of one test's own, which it may crash: the postmaster and all its children are killed at
//! once, so that nothing is written any more, and the server that is started in the same folder
//! recovers from what was. (Linux: the children are found in `/proc`.)

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use mandate::db::PrivateServer;
use mandate::db::server::{Cluster, Options, Status};

/// The folder of the server; both are gone with this value.
pub struct Crashing {
    folder: PathBuf,
    fsync: bool,
}

impl Crashing {
    /// `fsync`: commits reach the disk before they are answered. Without it they are answered first.
    pub fn new(fsync: bool) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("crash-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self { folder: Path::new(env!("CARGO_TARGET_TMPDIR")).join(name), fsync }
    }

    /// The server, started and recovered if it does not run.
    pub async fn server(&self) -> PrivateServer {
        PrivateServer::ensure(None, &self.folder, Options { fsync: self.fsync }).await.unwrap()
    }

    /// Kills the server with all its processes. Says how many there were.
    pub fn kill(&self) -> usize {
        let Ok(Status::Running { pid, fsync, .. }) = Cluster::status(&self.folder) else { panic!("the server does not run") };
        assert_eq!(fsync, self.fsync);
        // Stopped first, so that it starts no process that would be missed.
        signal("-STOP", &[pid]);
        let mut all = children(pid);
        all.push(pid);
        signal("-KILL", &all);
        all.len()
    }
}

impl Drop for Crashing {
    fn drop(&mut self) {
        if let Ok(Status::Running { .. }) = Cluster::status(&self.folder) {
            self.kill();
        }
        // Its last processes may still be about to end.
        for _ in 0..100 {
            if fs::remove_dir_all(&self.folder).is_ok() || !self.folder.exists() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

fn signal(which: &str, pids: &[u32]) {
    // One of them may have ended by itself in between.
    let _ = Command::new("kill").arg(which).args(pids.iter().map(u32::to_string)).output();
}

/// The processes that this one has started and that still run.
fn children(of: u32) -> Vec<u32> {
    let numbers = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    numbers.filter(|pid| parent(*pid) == Some(of)).collect()
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}
