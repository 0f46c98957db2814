//! Stands between a program and a gateway, and decides how far each call comes, and each answer.
//!
//! A connection carries one call. A call's idempotency key begins with its saga, so that each order can be given a fate
//! of its own.

mod call;

use super::{super::client::Api, gateways::Sandbox};
pub(super) use call::Kind;
use call::{Call, the_last};
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Mutex, watch},
    task::JoinHandle,
};

/// How long after its answer was lost a charge is decided that is decided late.
const DECISION_MS: u64 = 4_000;

/// What can be held.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Held {
    Requests(Kind),
    Answers(Kind),
    /// To one saga.
    AnswersTo(String),
}

/// What becomes of a charge that comes through here. Who does not get an answer hears nothing,
/// until it gives up or the line is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It arrives, and is answered.
    Answered,
    /// It never arrives.
    RequestLost,
    /// It is carried out, and its answer never comes.
    AnswerLost,
    /// Its answer never comes, and the gateway makes up its mind long after that.
    DecidedLate,
    /// It arrives when it is let, long after everybody has given up on it.
    ArrivesLate,
}

/// See the module. What comes through it ends with it.
pub(super) struct Gate {
    pub(super) url: String,
    way: Arc<Way>,
    accepting: JoinHandle<()>,
}

struct Way {
    address: String,
    control: Api,
    door: Arc<Mutex<()>>,
    standing: watch::Sender<Standing>,
}

#[derive(Debug, Default)]
struct Standing {
    held: BTreeSet<Held>,
    /// How many wait for each.
    waiting: BTreeMap<Held, usize>,
    /// By saga; who has met theirs is not here any more.
    fates: BTreeMap<String, Fate>,
    /// By saga, of all charges.
    lasting_fates: BTreeMap<String, Fate>,
    /// How many charges the gateway has carried out, or refused.
    arrived: usize,
    /// Who hears nothing.
    unanswered: usize,
    is_cut: bool,
    /// Whose charge's end has come to the program: an answer that it has read, or a line that was cut.
    heard: usize,
    late_may_arrive: bool,
    late_underway: usize,
}

impl Gate {
    pub(super) async fn before(sandbox: &Sandbox) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let way = Arc::new(Way {
            address: sandbox.address().to_owned(),
            control: sandbox.control(),
            door: Arc::clone(&sandbox.door),
            standing: watch::Sender::default(),
        });
        let accepting = tokio::spawn({
            let way = Arc::clone(&way);
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    let way = Arc::clone(&way);
                    // a connection that breaks is what this is there for
                    tokio::spawn(async move { drop(way.carry(client).await) });
                }
            }
        });
        Self { url, way, accepting }
    }

    /// What becomes of all charges of a saga here.
    pub(super) fn destine_all(&self, saga: &str, fate: Fate) {
        self.change(|standing| {
            standing.lasting_fates.insert(saga.to_owned(), fate);
        });
    }

    /// What becomes of a saga's next charge here.
    pub(super) fn destine(&self, saga: &str, fate: Fate) {
        self.change(|standing| {
            standing.fates.insert(saga.to_owned(), fate);
        });
    }

    /// Whose charge has not come here yet.
    pub(super) fn expected(&self) -> Vec<(String, Fate)> {
        self.way.standing.borrow().fates.clone().into_iter().collect()
    }

    /// Such wait from now on.
    pub(super) fn hold(&self, held: Held) {
        self.change(|standing| {
            standing.held.insert(held);
        });
    }

    /// Those that wait go on.
    pub(super) fn open(&self, held: &Held) {
        self.change(|standing| {
            standing.held.remove(held);
        });
    }

    /// How many wait.
    pub(super) fn waiting(&self, held: &Held) -> usize {
        self.way.standing.borrow().waiting.get(held).copied().unwrap_or_default()
    }

    /// How many hear nothing.
    pub(super) fn unanswered(&self) -> usize {
        self.way.standing.borrow().unanswered
    }

    /// Who hears nothing loses the connection.
    pub(super) fn cut(&self) {
        self.change(|standing| standing.is_cut = true);
    }

    /// How many of the program's charges have come to their end before its eyes.
    pub(super) fn heard(&self) -> usize {
        self.way.standing.borrow().heard
    }

    /// How many charges have arrived at the gateway.
    pub(super) fn arrived(&self) -> usize {
        self.way.standing.borrow().arrived
    }

    /// What was to arrive late arrives.
    pub(super) fn let_late_arrive(&self) {
        self.change(|standing| standing.late_may_arrive = true);
    }

    /// How many are still to arrive.
    pub(super) fn late_underway(&self) -> usize {
        self.way.standing.borrow().late_underway
    }

    fn change(&self, change: impl FnOnce(&mut Standing)) {
        self.way.standing.send_modify(change);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Way {
    /// Carries one call, as far as it comes.
    async fn carry(self: Arc<Self>, mut client: TcpStream) -> io::Result<()> {
        let Some(call) = Call::read(&mut client).await? else { return Ok(()) };
        if !self.pass(&mut client, Held::Requests(call.kind)).await {
            return Ok(());
        }
        let fate = self.fate_of(&call);
        if fate == Fate::ArrivesLate {
            self.standing.send_modify(|standing| standing.late_underway += 1);
            tokio::spawn(Arc::clone(&self).arrive_late(call));
            return self.keep_unanswered(client).await;
        }
        if fate == Fate::RequestLost {
            return self.keep_unanswered(client).await;
        }
        let answer = self.exchange(&call, fate).await?;
        if fate != Fate::Answered {
            return self.keep_unanswered(client).await;
        }
        let saga = call.saga.unwrap_or_default();
        for held in [Held::Answers(call.kind), Held::AnswersTo(saga)] {
            if !self.pass(&mut client, held).await {
                return Ok(());
            }
        }
        client.write_all(&answer).await?;
        client.shutdown().await?;
        self.is_left_by(&mut client, call.kind == Kind::Charges).await;
        Ok(())
    }

    /// Waits where such are held; false when the client has gone away meanwhile.
    async fn pass(&self, client: &mut TcpStream, held: Held) -> bool {
        let mut standing = self.standing.subscribe();
        if !standing.borrow().held.contains(&held) {
            return true;
        }
        self.standing.send_modify(|standing| *standing.waiting.entry(held.clone()).or_default() += 1);
        let passes = tokio::select! {
            opened = standing.wait_for(|standing| !standing.held.contains(&held)) => opened.is_ok(),
            // it says nothing before it is answered
            _ = client.read_u8() => false,
        };
        self.standing.send_modify(|standing| *standing.waiting.entry(held).or_default() -= 1);
        passes
    }

    fn fate_of(&self, call: &Call) -> Fate {
        let mut fate = Fate::Answered;
        if let (Kind::Charges, Some(saga)) = (call.kind, &call.saga) {
            self.standing.send_modify(|standing| {
                let lasting = || standing.lasting_fates.get(saga).copied();
                fate = standing.fates.remove(saga).or_else(lasting).unwrap_or(Fate::Answered);
            });
        }
        fate
    }

    async fn arrive_late(self: Arc<Self>, call: Call) {
        let mut standing = self.standing.subscribe();
        if standing.wait_for(|standing| standing.late_may_arrive).await.is_ok() {
            drop(self.exchange(&call, Fate::Answered).await);
            self.standing.send_modify(|standing| standing.late_underway -= 1);
        }
    }

    /// What the gateway answers.
    async fn exchange(&self, call: &Call, fate: Fate) -> io::Result<Vec<u8>> {
        let _alone = if call.kind == Kind::Charges { Some(self.door.lock().await) } else { None };
        if fate == Fate::DecidedLate {
            let late = json!({ "fault": "async", "operation": "charge", "count": 1, "delayMs": DECISION_MS });
            self.control.fault(late).await;
        }
        let mut server = TcpStream::connect(&self.address).await?;
        server.write_all(&the_last(&call.bytes)).await?;
        let mut answer = Vec::new();
        server.read_to_end(&mut answer).await?;
        if call.kind == Kind::Charges {
            self.standing.send_modify(|standing| standing.arrived += 1);
        }
        Ok(the_last(&answer))
    }

    async fn keep_unanswered(&self, mut client: TcpStream) -> io::Result<()> {
        let mut standing = self.standing.subscribe();
        self.standing.send_modify(|standing| standing.unanswered += 1);
        tokio::select! {
            _ = standing.wait_for(|standing| standing.is_cut) => {}
            _ = client.read_u8() => return Ok(()),
        }
        client.shutdown().await?;
        self.is_left_by(&mut client, true).await;
        Ok(())
    }

    /// Waits until the client has taken note that nothing more comes.
    async fn is_left_by(&self, client: &mut TcpStream, counts: bool) {
        while client.read_u8().await.is_ok() {}
        if counts {
            self.standing.send_modify(|standing| standing.heard += 1);
        }
    }
}
