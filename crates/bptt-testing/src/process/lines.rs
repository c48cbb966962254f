//! The lines of the standard output of a program, as they arrive.

use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// A piece of an output.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// A line, without its end.
    Line(Vec<u8>),
    /// The beginning of a line that is longer than the limit.
    Endless(Vec<u8>),
    /// The end of the output, with the bytes of a line that was not ended.
    End(Vec<u8>),
}

/// The lines of an output, which a thread reads: at most two of them are in memory.
#[derive(Debug)]
pub(super) struct Lines {
    pieces: Receiver<Piece>,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The bytes of the line that is not ended yet.
    partial: Mutex<Vec<u8>>,
    /// The most bytes of a line.
    limit: AtomicUsize,
}

impl State {
    fn partial(&self) -> MutexGuard<'_, Vec<u8>> {
        self.partial.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    /// The lines of an output, each of at most this many bytes.
    pub(super) fn of(output: impl Read + Send + 'static, limit: usize) -> Self {
        let (sender, pieces) = sync_channel(1);
        let state = Arc::<State>::default();
        state.limit.store(limit, Ordering::SeqCst);
        let here = Arc::clone(&state);
        thread::spawn(move || read(BufReader::new(output), &here, &sender));
        Self { pieces, state }
    }

    /// Sets the most bytes of the lines from now on.
    pub(super) fn limit(&self, bytes: usize) {
        self.state.limit.store(bytes, Ordering::SeqCst);
    }

    /// The next piece, unless none arrives in time.
    pub(super) fn next_within(&self, time: Duration) -> Option<Piece> {
        match self.pieces.recv_timeout(time) {
            Ok(piece) => Some(piece),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Piece::End(Vec::new())),
        }
    }

    /// The beginning of the line that is not ended yet.
    pub(super) fn partial(&self) -> Vec<u8> {
        const MOST: usize = 1000;
        self.state.partial().iter().take(MOST).copied().collect()
    }
}

/// Reads an output to its end, to a line that is too long, or until no one receives the lines.
fn read(mut output: impl BufRead, state: &State, sender: &SyncSender<Piece>) {
    loop {
        let (used, is_ended) = match output.fill_buf() {
            Ok([]) => break,
            Ok(bytes) => {
                let end = bytes.iter().position(|b| *b == b'\n');
                let line = &bytes[..end.unwrap_or(bytes.len())];
                state.partial().extend_from_slice(line);
                (end.map_or(bytes.len(), |end| end + 1), end.is_some())
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        output.consume(used);
        let mut partial = state.partial();
        let piece = if partial.len() > state.limit.load(Ordering::SeqCst) {
            Piece::Endless(partial[..1000.min(partial.len())].to_vec())
        } else if is_ended {
            Piece::Line(std::mem::take(&mut partial))
        } else {
            continue;
        };
        drop(partial);
        let is_last = matches!(piece, Piece::Endless(_));
        if sender.send(piece).is_err() || is_last {
            return;
        }
    }
    let rest = std::mem::take(&mut *state.partial());
    // Nobody may be waiting for it.
    drop(sender.send(Piece::End(rest)));
}
