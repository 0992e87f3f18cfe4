//! Where private keys lie, as the settings say: a file, a folder of `.pem` files, or both. What the
//! keys are for is not known here.

use std::path::PathBuf;

/// Where private keys lie: a file, a folder of `.pem` files, or both.
#[derive(Debug, Clone, Default)]
pub struct KeyFiles {
    /// One file; empty when there is none.
    pub file: PathBuf,
    /// A folder; empty when there is none.
    pub directory: PathBuf,
}

impl KeyFiles {
    /// True if the settings name neither.
    #[must_use]
    pub fn are_unset(&self) -> bool {
        self.file.as_os_str().is_empty() && self.directory.as_os_str().is_empty()
    }
    /// The files there are now: the one file first, then the folder's by name.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn paths(&self) -> std::io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        if !self.directory.as_os_str().is_empty() {
            for entry in std::fs::read_dir(&self.directory)? {
                let path = entry?.path();
                if path.extension().is_some_and(|extension| extension == "pem") {
                    found.push(path);
                }
            }
            found.sort();
        }
        if !self.file.as_os_str().is_empty() {
            found.retain(|path| *path != self.file);
            found.insert(0, self.file.clone());
        }
        Ok(found)
    }
}
