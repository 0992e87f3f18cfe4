//! Bytes on their way in: written to a file without a name and hashed while the client sends, so
//! that no transaction is open meanwhile and no upload lies in memory. The file is gone when its
//! handle is, whatever happens.

use std::fs::OpenOptions;
use std::io::SeekFrom;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio::sync::OwnedSemaphorePermit;

use super::media::{HEAD, MediaType};
use super::store::PART;
use crate::app::App;
use crate::base::{Digest, Entropy, Error, Result, random32};
use crate::http::Upload;

/// A body that was received whole.
pub(super) struct Spooled {
    file: File,
    /// Its place among the uploads, given back when the file is.
    _place: OwnedSemaphorePermit,
    /// How many bytes.
    pub length: u64,
    /// SHA-256 of them.
    pub sha256: Digest,
    /// What they are.
    pub found: Option<MediaType>,
}

/// A new file that nobody else can open, already without a name.
fn nameless(dir: &Path, entropy: &dyn Entropy) -> std::io::Result<File> {
    let path = dir.join(format!("mandate-{}", hex::encode(&random32(entropy)[..16])));
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(File::from_std(file))
}

impl Spooled {
    /// Receives a body to its end.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when as many uploads as the spool may hold are there already,
    /// [`Error::TooLarge`], [`Error::Malformed`] when it is cut off; [`Error::Internal`] when the
    /// disk does not take it.
    pub async fn receive(app: &App, mut upload: Upload) -> Result<Self> {
        let full = |_| Error::Unavailable { retry_after: 5, cause: "too many uploads at once" };
        let place = Arc::clone(&app.places.uploads).try_acquire_owned().map_err(full)?;
        let mut file = nameless(&app.spool, app.db.entropy()).map_err(Error::internal)?;
        let (mut hasher, mut head, mut length, mut has_nul) = (Sha256::new(), Vec::new(), 0_u64, false);
        while let Some(bytes) = upload.chunk().await? {
            hasher.update(&bytes);
            head.extend(bytes.iter().take(HEAD - head.len()));
            has_nul |= bytes.contains(&0);
            length += bytes.len() as u64;
            file.write_all(&bytes).await.map_err(Error::internal)?;
        }
        file.flush().await.map_err(Error::internal)?;
        file.seek(SeekFrom::Start(0)).await.map_err(Error::internal)?;
        let found = MediaType::of_content(&head, has_nul);
        Ok(Self { file, _place: place, length, sha256: Digest(hasher.finalize().into()), found })
    }

    /// The next part of the bytes; empty at their end.
    pub async fn part(&mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(PART);
        (&mut self.file).take(PART as u64).read_to_end(&mut bytes).await.map_err(Error::internal)?;
        Ok(bytes)
    }
}
