//! One call, taken apart as far as that is needed, in either protocol.

use std::{collections::BTreeMap, io};
use tokio::{io::AsyncReadExt, net::TcpStream};

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum Kind {
    /// Makes a charge known, and moves no money.
    Announces,
    /// Moves money.
    Charges,
    /// Asks what became of it.
    Asks,
    /// Anything else.
    Other,
}

/// A request.
pub(super) struct Call {
    pub(super) kind: Kind,
    pub(super) saga: Option<String>,
    pub(super) bytes: Vec<u8>,
}

impl Call {
    /// Nothing when the client has nothing to say.
    pub(super) async fn read(client: &mut TcpStream) -> io::Result<Option<Self>> {
        let mut bytes = Vec::new();
        loop {
            if let Some(call) = Self::whole(&bytes) {
                return Ok(Some(call));
            }
            if client.read_buf(&mut bytes).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Once all of it is there.
    fn whole(bytes: &[u8]) -> Option<Self> {
        const END: &[u8] = b"\r\n\r\n";
        let end = bytes.windows(END.len()).position(|window| window == END)?;
        let head = str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.lines();
        let mut words = lines.next().unwrap().split(' ');
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        let headers: BTreeMap<_, _> =
            lines.map(|line| line.split_once(": ").unwrap()).map(|(name, text)| (name.to_lowercase(), text)).collect();
        let length = headers.get("content-length").map_or(0, |text| text.parse::<usize>().unwrap());
        if bytes.len() < end + END.len() + length {
            return None;
        }
        let kind = match method {
            "GET" => Kind::Asks,
            _ if path.ends_with("/payment_intents") => Kind::Announces,
            _ if path.ends_with("/confirm") || path.ends_with("/payments") => Kind::Charges,
            _ => Kind::Other,
        };
        let saga = headers.get("idempotency-key").and_then(|key| key.split(':').next()).map(str::to_owned);
        Some(Self { kind, saga, bytes: bytes.to_vec() })
    }
}

/// A message that says that none follows it.
pub(super) fn the_last(message: &[u8]) -> Vec<u8> {
    let Some(line) = message.iter().position(|byte| *byte == b'\n') else { return message.to_vec() };
    let (first, rest) = message.split_at(line + 1);
    [first, b"connection: close\r\n", rest].concat()
}
