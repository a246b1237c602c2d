//! This command's own standard input, piece by piece.

use std::io::Read as _;

use tokio::sync::mpsc;

const PIECE_BYTES: usize = 64 << 10;
/// Pieces read ahead.
const AHEAD: usize = 4;

pub(crate) enum Piped {
    Bytes(Vec<u8>),
    End,
}

/// Reads on a thread of its own, which nobody waits for: a read from a terminal cannot be given up.
pub(crate) fn read() -> mpsc::Receiver<Piped> {
    let (pieces, reading) = mpsc::channel(AHEAD);
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        let mut buffer = vec![0; PIECE_BYTES];
        loop {
            let piece = match input.read(&mut buffer) {
                Ok(count) if count > 0 => Piped::Bytes(buffer[..count].to_vec()),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                // What cannot be read has ended.
                Ok(_) | Err(_) => Piped::End,
            };
            let last = matches!(piece, Piped::End);
            if pieces.blocking_send(piece).is_err() || last {
                return;
            }
        }
    });
    reading
}
