//! A file that is read while it comes: its reader blocks, so it has a thread of its own, and gets the body in pieces.

use axum::body::{Body, Bytes};
use futures::StreamExt as _;
use std::io::{self, Read};
use tokio::sync::mpsc;
use workflows::settlements::{self, FileError, SettlementFile};

/// How many pieces of a body may wait to be read.
const PIECES_MAX: usize = 8;

/// Reads a body as the report of a gateway that speaks `protocol`.
///
/// # Errors
/// See [`FileError`].
pub(super) async fn read(protocol: &'static str, body: Body) -> Result<SettlementFile, FileError> {
    let (sender, pieces) = mpsc::channel(PIECES_MAX);
    let reading =
        tokio::task::spawn_blocking(move || settlements::read(protocol, Pieces { pieces, piece: Bytes::new() }));
    let mut body = body.into_data_stream();
    while let Some(piece) = body.next().await {
        // it has read enough to refuse it
        if sender.send(piece.map_err(io::Error::other)).await.is_err() {
            break;
        }
    }
    drop(sender);
    reading.await.map_err(|error| FileError::Incomplete(io::Error::other(error)))?
}

/// A body, piece by piece.
struct Pieces {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    piece: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.piece = piece?,
                None => return Ok(0),
            }
        }
        let taken = self.piece.split_to(buffer.len().min(self.piece.len()));
        buffer[..taken.len()].copy_from_slice(&taken);
        Ok(taken.len())
    }
}
