//! One connection: what the program says passes message by message, what the server answers as it comes.

use std::{
    io::{self, Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    sync::{Arc, Mutex, PoisonError},
};

use super::traps::{Fault, Since, Traps, is_begin};

/// What precedes the first message: nobody's length.
const LENGTH_BYTES: usize = 4;
/// The codes with which a connection does not begin yet: for TLS and for GSSAPI.
const PRELUDES: [[u8; 4]; 2] = [80_877_103_u32.to_be_bytes(), 80_877_104_u32.to_be_bytes()];
/// A simple query.
const QUERY: u8 = b'Q';

#[derive(Debug, Clone)]
pub(super) struct Conversation {
    client: Arc<UnixStream>,
    server: Arc<UnixStream>,
    traps: Arc<Traps>,
    /// What happens to the next answer.
    next_answer: Arc<Mutex<NextAnswer>>,
}

#[derive(Debug, Clone, Copy)]
enum NextAnswer {
    Passes,
    IsLost,
    IsHeld(Since),
}

impl Conversation {
    pub(super) fn new(client: UnixStream, server: UnixStream, traps: Arc<Traps>) -> Self {
        let (client, server) = (Arc::new(client), Arc::new(server));
        traps.add(&client);
        traps.add(&server);
        Self { client, server, traps, next_answer: Arc::new(Mutex::new(NextAnswer::Passes)) }
    }

    /// Until one side ends, or a fault ends both.
    pub(super) fn pass_requests(&self) {
        // a connection that breaks is what a proxy is there for
        drop(self.requests());
        self.end();
    }

    /// The same, for what the server says.
    pub(super) fn pass_answers(&self) {
        drop(self.answers());
        self.end();
    }

    fn end(&self) {
        for stream in [&self.client, &self.server] {
            drop(stream.shutdown(Shutdown::Both));
        }
    }

    fn requests(&self) -> io::Result<()> {
        let (mut client, mut server) = (&*self.client, &*self.server);
        let mut said = Vec::new();
        loop {
            let first = read_message(&mut client, None)?;
            server.write_all(&first)?;
            if !PRELUDES.iter().any(|code| first[LENGTH_BYTES..].starts_with(code)) {
                break;
            }
        }
        loop {
            let mut kind = [0];
            client.read_exact(&mut kind)?;
            let message = read_message(&mut client, Some(kind[0]))?;
            let query = (kind[0] == QUERY).then(|| message[1 + LENGTH_BYTES..].trim_ascii_end());
            let query = query.map(|text| text.strip_suffix(&[0]).unwrap_or(text));
            let sprung = query.and_then(|query| self.traps.spring(query, &said));
            match sprung {
                None => {}
                Some((Fault::LoseAnswer, _)) => self.set_next_answer(NextAnswer::IsLost),
                Some((Fault::HoldAnswer, since)) => self.set_next_answer(NextAnswer::IsHeld(since)),
                Some((Fault::LoseRequest, _)) => return Ok(()),
                Some((Fault::HoldRequest, since)) => self.traps.wait_for_release(since),
                // whoever is cut off is not there to be answered, and its end is ours once this is sent
                Some((Fault::Late, since)) => {
                    client.shutdown(Shutdown::Both)?;
                    self.traps.wait_for_release(since);
                }
            }
            if query.is_some_and(is_begin) {
                said.clear();
            }
            said.extend_from_slice(&message);
            server.write_all(&message)?;
        }
    }

    fn answers(&self) -> io::Result<()> {
        let (mut client, mut server) = (&*self.client, &*self.server);
        let mut bytes = vec![0; 65_536];
        loop {
            let size = server.read(&mut bytes)?;
            match self.next_answer() {
                NextAnswer::IsLost => return Ok(()),
                _ if size == 0 => return Ok(()),
                NextAnswer::Passes => {}
                NextAnswer::IsHeld(since) => {
                    self.traps.wait_for_release(since);
                    self.set_next_answer(NextAnswer::Passes);
                }
            }
            client.write_all(&bytes[..size])?;
        }
    }

    fn next_answer(&self) -> NextAnswer {
        *self.next_answer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_next_answer(&self, next: NextAnswer) {
        *self.next_answer.lock().unwrap_or_else(PoisonError::into_inner) = next;
    }
}

/// A whole message, with its kind where it has one.
fn read_message(from: &mut impl Read, kind: Option<u8>) -> io::Result<Vec<u8>> {
    let mut length = [0; LENGTH_BYTES];
    from.read_exact(&mut length)?;
    let bytes = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    let body = bytes.checked_sub(LENGTH_BYTES).ok_or(io::ErrorKind::InvalidData)?;
    let mut message: Vec<u8> = kind.into_iter().chain(length).collect();
    let head = message.len();
    message.resize(head + body, 0);
    from.read_exact(&mut message[head..])?;
    Ok(message)
}
