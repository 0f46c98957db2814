//! A mail server that speaks SMTP on loopback, keeps what it takes in memory, and answers as a test wishes.

use std::{
    collections::VecDeque,
    io::{self, BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// What a client says, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailSaid {
    /// It connects.
    Connects,
    /// Whom the mail is from.
    Sender,
    /// Whom it is for.
    Recipient,
    /// The whole message.
    Message,
}

/// What the server does once, instead of what it always does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailOnce {
    /// Says this.
    Says(&'static str),
    /// Keeps the message, and is gone before it says so.
    KeepsAndIsGone,
}

/// A message that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenMail {
    /// Whom it is for.
    pub to: Vec<String>,
    /// What it says.
    pub bytes: Vec<u8>,
}

#[derive(Debug, Default)]
struct Known {
    taken: Vec<TakenMail>,
    once: VecDeque<(MailSaid, MailOnce)>,
    heard: Vec<MailSaid>,
}

/// See the module. It ends with this value; who is connected is served until they go.
#[derive(Debug)]
pub struct MailServer {
    address: SocketAddr,
    known: Arc<Mutex<Known>>,
    over: Arc<AtomicBool>,
}

impl MailServer {
    /// Starts one.
    ///
    /// # Errors
    /// No port on loopback could be had.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let (known, over) = (Arc::<Mutex<Known>>::default(), Arc::<AtomicBool>::default());
        let (shared, ends) = (Arc::clone(&known), Arc::clone(&over));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(stream), known) = (stream, Arc::clone(&shared)) else { continue };
                // whoever goes in the middle of a sentence has not sent anything
                thread::spawn(move || drop(talk(&stream, &known)));
            }
        });
        Ok(Self { address, known, over })
    }

    /// Its address, as `smtp://…`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    /// The next time that this is said, do that.
    pub fn once(&self, said: MailSaid, once: MailOnce) {
        lock(&self.known).once.push_back((said, once));
    }

    /// What it has taken, the oldest first.
    #[must_use]
    pub fn taken(&self) -> Vec<TakenMail> {
        lock(&self.known).taken.clone()
    }

    /// How often this was said.
    #[must_use]
    pub fn heard(&self, said: MailSaid) -> usize {
        lock(&self.known).heard.iter().filter(|heard| **heard == said).count()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // it looks whether it is over when somebody comes
        drop(TcpStream::connect(self.address));
    }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes note of what was said, and finds what is to be done once.
fn hear(known: &Mutex<Known>, said: MailSaid) -> Option<MailOnce> {
    let mut known = lock(known);
    known.heard.push(said);
    let at = known.once.iter().position(|(of, _)| *of == said)?;
    known.once.remove(at).map(|(_, once)| once)
}

/// One conversation, until the client goes.
fn talk(stream: &TcpStream, known: &Mutex<Known>) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let say = |text: &str| (&*stream).write_all(format!("{text}\r\n").as_bytes());
    match hear(known, MailSaid::Connects) {
        Some(MailOnce::Says(text)) => say(text)?,
        _ => say("220 test")?,
    }
    let mut to = Vec::new();
    while let Some(line) = line(&mut reader)? {
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        let said = match verb.as_str() {
            "MAIL" => Some(MailSaid::Sender),
            "RCPT" => Some(MailSaid::Recipient),
            _ => None,
        };
        if let Some(MailOnce::Says(text)) = said.and_then(|said| hear(known, said)) {
            say(text)?;
            continue;
        }
        match verb.as_str() {
            "EHLO" => say("250-test\r\n250 8BITMIME")?,
            "RCPT" => {
                to.push(line.split(['<', '>']).nth(1).unwrap_or_default().to_owned());
                say("250 ok")?;
            }
            "DATA" => {
                say("354 go on")?;
                let bytes = message(&mut reader)?;
                let once = hear(known, MailSaid::Message);
                if let Some(MailOnce::Says(text)) = once {
                    say(text)?;
                    continue;
                }
                lock(known).taken.push(TakenMail { to: std::mem::take(&mut to), bytes });
                if once == Some(MailOnce::KeepsAndIsGone) {
                    return Ok(());
                }
                say("250 taken")?;
            }
            "QUIT" => return say("221 bye"),
            "MAIL" | "NOOP" | "RSET" => say("250 ok")?,
            _ => say("502 what?")?,
        }
    }
    Ok(())
}

fn line(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    Ok(Some(line.trim_end_matches(['\r', '\n']).to_owned()))
}

/// A message up to its dot.
fn message(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        let Some(line) = line(reader)? else { return Err(io::ErrorKind::UnexpectedEof.into()) };
        if line == "." {
            return Ok(bytes);
        }
        bytes.extend_from_slice(line.strip_prefix('.').unwrap_or(&line).as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
}
