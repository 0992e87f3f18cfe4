//! The folder one test works in.
//! Protects the machine: no server and no file of a test outlives it, also when it panics.
//! Does not use the folders of a real installation.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mandate::db::server::{Cluster, Status};

use super::{TEST, programs, signal};

/// A folder of one test, passable for every account; its servers are killed and it is deleted at the end.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = PathBuf::from(format!("/tmp/mandate-test-{}-{number}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        Self(dir)
    }

    pub fn dir(&self) -> PathBuf {
        self.0.join("c")
    }

    pub fn ensure(&self) -> Cluster {
        Cluster::ensure(&programs(), &self.dir(), TEST).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Ok(Status::Running { pid, .. }) = Cluster::status(&self.dir()) {
            signal("-QUIT", pid);
            // Not `wait_for`: a panic in here during another panic would abort and hide the first.
            for _ in 0..2000 {
                if !self.dir().join("data/postmaster.pid").exists() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        let _ = fs::remove_dir_all(&self.0);
    }
}
