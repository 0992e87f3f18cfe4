//! Lines of a large file, in bounded memory: one thread unpacks and hashes ahead, the other checks.

use std::io::{BufRead, BufReader, Error, Read, Result};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Bytes that are unpacked at a time.
const PIECE: usize = 256 * 1024;
/// Pieces that may wait.
const AHEAD: usize = 8;
/// The longest line: an instruction may name many subjects.
pub(super) const LONGEST_LINE: usize = 32 * 1024 * 1024;

struct Pieces {
    from: Receiver<Result<Vec<u8>>>,
    piece: Vec<u8>,
    read: usize,
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        while self.read == self.piece.len() {
            match self.from.recv() {
                Ok(piece) => (self.piece, self.read) = (piece?, 0),
                Err(_) => return Ok(0),
            }
        }
        let length = into.len().min(self.piece.len() - self.read);
        into[..length].copy_from_slice(&self.piece[self.read..self.read + length]);
        self.read += length;
        Ok(length)
    }
}

fn unpack(mut file: impl Read, to: &SyncSender<Result<Vec<u8>>>, mut passed: impl FnMut(u64)) {
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        match (&mut file).take(PIECE as u64).read_to_end(&mut piece) {
            Ok(0) => return,
            Ok(length) => passed(length as u64),
            Err(error) => {
                // Nobody waits for what cannot be read.
                to.send(Err(error)).ok();
                return;
            }
        }
        if to.send(Ok(piece)).is_err() {
            return;
        }
    }
}

/// Gives every line to `check`, with its line end, until it says stop. The error is what cannot be
/// read.
pub(super) fn lines<T: Send>(file: impl Read, passed: impl FnMut(u64), check: impl FnOnce(&mut Lines) -> T + Send) -> (T, Option<Error>) {
    let (to, from) = sync_channel(AHEAD);
    std::thread::scope(|threads| {
        let checking = threads.spawn(move || {
            let reader = BufReader::with_capacity(PIECE, Pieces { from, piece: Vec::new(), read: 0 });
            let mut lines = Lines { reader, line: Vec::new(), error: None };
            let done = check(&mut lines);
            (done, lines.error)
        });
        unpack(file, &to, passed);
        drop(to);
        match checking.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// The lines of a file.
pub(super) struct Lines {
    reader: BufReader<Pieces>,
    line: Vec<u8>,
    error: Option<Error>,
}

impl Lines {
    /// The next line with its line end; `None` at the end, and at what cannot be read.
    pub(super) fn next(&mut self) -> Option<&[u8]> {
        self.line.clear();
        match (&mut self.reader).take(LONGEST_LINE as u64).read_until(b'\n', &mut self.line) {
            Ok(0) => return None,
            Ok(LONGEST_LINE) => self.error = Some(Error::other("a line is longer than an entry can be")),
            Ok(_) => return Some(&self.line),
            Err(error) => self.error = Some(error),
        }
        None
    }
}
