//! The chain over the record of acts. One sealer gives each act a number and a digest, made of the digest before it and
//! of the act as it is written; whoever changes the record afterwards leaves an act that does not fit its seal. What a
//! chain alone does not show, a tail that is cut off, shows against a head that was kept elsewhere.

use crate::{engine::Engine, journal::Moment};
use chrono::SecondsFormat;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use std::{collections::HashMap, fmt};
use uuid::Uuid;

/// How many seals are read at once.
const SEALS_PER_PAGE: i64 = 2_000;
/// How many acts one transaction seals.
const ACTS_PER_SEALING: i64 = 2_000;

/// Where a chain ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ChainHead {
    /// The number of the last seal; 0 before the first.
    pub number: i64,
    /// Its digest, over all that is before it.
    pub digest: [u8; 32],
}

impl fmt::Debug for ChainHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.number, self.digest_in_hex())
    }
}

impl ChainHead {
    /// Before the first act.
    pub const START: Self = Self { number: 0, digest: [0; 32] };

    /// Its digest, for people and files.
    #[must_use]
    pub fn digest_in_hex(&self) -> String {
        hex::encode(self.digest)
    }

    /// The head once `act` is sealed.
    fn then(self, act: &Written) -> Self {
        let number = self.number + 1;
        Self {
            number,
            digest: Sha256::new().chain_update(self.digest).chain_update(act.text(number)).finalize().into(),
        }
    }
}

/// Where the record is not what was sealed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainBreak {
    /// A number has no seal.
    #[error("seal {0} is not there")]
    SealMissing(i64),
    /// What was sealed is gone.
    #[error("act {act_id} of seal {number} is not there any more")]
    ActMissing {
        /// The seal.
        number: i64,
        /// The act.
        act_id: Uuid,
    },
    /// The act or its seal is not what it was, or its place.
    #[error("act {act_id} is not what seal {number} was made of")]
    Changed {
        /// The seal.
        number: i64,
        /// The act.
        act_id: Uuid,
    },
    /// An act came into the record by another way than acts do.
    #[error("act {0} has no seal and waits for none")]
    Inserted(Uuid),
    /// An act was taken away before it had its seal.
    #[error("act {0} waits for its seal and is not there any more")]
    WaitingActMissing(Uuid),
    /// The chain ends before the head that was kept elsewhere.
    #[error("the chain ends at {end} and went on to {kept}: its tail is cut off")]
    Cut {
        /// The last seal that is there.
        end: i64,
        /// The last seal that there was.
        kept: i64,
    },
    /// The seal that was kept elsewhere is another one here.
    #[error("seal {0} is not the one whose digest was kept")]
    Rewritten(i64),
}

impl ChainBreak {
    /// The seal that it is about, or the first that is not there; none where it is an act without one.
    #[must_use]
    pub fn number(&self) -> Option<i64> {
        match self {
            Self::SealMissing(number) | Self::Rewritten(number) => Some(*number),
            Self::ActMissing { number, .. } | Self::Changed { number, .. } => Some(*number),
            Self::Cut { end, .. } => Some(end + 1),
            Self::Inserted(_) | Self::WaitingActMissing(_) => None,
        }
    }
}

/// What a look at the whole chain has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainReport {
    /// The last seal that fits.
    pub head: ChainHead,
    /// How many acts wait for their seal.
    pub waiting: i64,
    /// Since when the oldest of them does.
    pub waiting_since: Option<Moment>,
    /// The first place where the record is not what was sealed.
    pub broken: Option<ChainBreak>,
}

/// An act as it stands in the record, all of it.
struct Written {
    act_id: Uuid,
    at: Moment,
    actor: String,
    act: String,
    object: String,
    seq: Option<i64>,
    digest: Option<String>,
    outcome: String,
    reason: String,
    /// As the database writes it: no number is rounded.
    detail: String,
    address: Option<String>,
}

impl Written {
    /// What is sealed: the JSON array of all that it is, in the order of the table.
    fn text(&self, number: i64) -> String {
        serde_json::json!([
            number,
            self.act_id,
            self.at.to_rfc3339_opts(SecondsFormat::Micros, true),
            self.actor,
            self.act,
            self.object,
            self.seq,
            self.digest,
            self.outcome,
            self.reason,
            self.detail,
            self.address
        ])
        .to_string()
    }
}

/// A seal, and the act that it names where it is still there.
struct Sealed {
    number: i64,
    act_id: Uuid,
    digest: Vec<u8>,
    act: Option<Written>,
}

impl Sealed {
    /// The head with this seal, which comes behind `head`.
    fn check(&self, head: ChainHead) -> Result<ChainHead, ChainBreak> {
        if self.number != head.number + 1 {
            return Err(ChainBreak::SealMissing(head.number + 1));
        }
        let (number, act_id) = (self.number, self.act_id);
        let act = self.act.as_ref().ok_or(ChainBreak::ActMissing { number, act_id })?;
        let next = head.then(act);
        if next.digest == *self.digest { Ok(next) } else { Err(ChainBreak::Changed { number, act_id }) }
    }
}

/// The chain could not be followed.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// It does not go on.
    #[error(transparent)]
    Broken(#[from] ChainBreak),
    /// It could not be read.
    #[error("reading the chain of acts")]
    Database(#[from] sqlx::Error),
}

/// A walk along the chain, against a head that was kept elsewhere.
struct Walk<'a> {
    head: ChainHead,
    kept: Option<&'a ChainHead>,
}

impl Walk<'_> {
    fn take(&mut self, page: &[Sealed]) -> Result<(), ChainBreak> {
        for sealed in page {
            self.head = sealed.check(self.head)?;
            if self.kept.is_some_and(|kept| kept.number == self.head.number && *kept != self.head) {
                return Err(ChainBreak::Rewritten(self.head.number));
            }
        }
        Ok(())
    }

    fn end(&self) -> Result<(), ChainBreak> {
        match self.kept {
            Some(kept) if kept.number > self.head.number => {
                Err(ChainBreak::Cut { end: self.head.number, kept: kept.number })
            }
            _ => Ok(()),
        }
    }
}

impl Engine {
    /// Seals what waits for it, in one transaction; says how many acts that were.
    ///
    /// # Errors
    /// The database's.
    pub async fn seal_acts(&self) -> Result<usize, sqlx::Error> {
        let mut tx = self.pool().begin().await?;
        // one sealer at a time; whoever comes meanwhile leaves it to that one
        let is_ours =
            sqlx::query_scalar!(r#"select pg_try_advisory_xact_lock(hashtext('engine.act_seals')) as "is_ours!""#)
                .fetch_one(&mut *tx)
                .await?;
        if !is_ours {
            return Ok(0);
        }
        let waiting = sqlx::query_as!(
            Written,
            r#"select a.act_id, a.at, a.actor, a.act, a.object, a.seq, a.digest, a.outcome, a.reason,
                      a.detail::text as "detail!", a.address
               from (select act_id from engine.unsealed_acts order by act_id limit $1) w
               join engine.acts a using (act_id)
               order by w.act_id"#,
            ACTS_PER_SEALING
        )
        .fetch_all(&mut *tx)
        .await?;
        if waiting.is_empty() {
            return Ok(0);
        }
        let mut head = last_seal(&mut tx).await?;
        let (mut numbers, mut acts, mut digests) = (Vec::new(), Vec::new(), Vec::new());
        for act in &waiting {
            head = head.then(act);
            numbers.push(head.number);
            acts.push(act.act_id);
            digests.push(head.digest.to_vec());
        }
        sqlx::query!(
            "insert into engine.act_seals (number, act_id, digest) select * from unnest($1::int8[], $2::uuid[], $3::bytea[])",
            &numbers,
            &acts,
            &digests
        )
        .execute(&mut *tx)
        .await?;
        sqlx::query!("delete from engine.unsealed_acts where act_id = any($1)", &acts).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(waiting.len())
    }

    /// Looks at the chain from its beginning, and, where there is one, at a head that was kept elsewhere.
    ///
    /// # Errors
    /// The database's.
    pub async fn verify_acts(&self, kept: Option<&ChainHead>) -> Result<ChainReport, sqlx::Error> {
        let mut walk = Walk { head: ChainHead::START, kept };
        let broken = match self.walk(&mut walk).await {
            Ok(()) => walk.end().err().or(self.stray_act().await?),
            Err(ChainError::Broken(broken)) => Some(broken),
            Err(ChainError::Database(error)) => return Err(error),
        };
        let waiting = sqlx::query!(
            r#"select count(*) as "acts!", min(a.at) as since from engine.unsealed_acts join engine.acts a using (act_id)"#
        )
        .fetch_one(self.pool())
        .await?;
        Ok(ChainReport { head: walk.head, waiting: waiting.acts, waiting_since: waiting.since, broken })
    }

    /// Goes along the chain from `kept`, which was its head once, to its end.
    ///
    /// # Errors
    /// Where the chain does not go on from there; the database's.
    pub async fn follow_acts(&self, kept: ChainHead) -> Result<ChainHead, ChainError> {
        let mut walk = Walk { head: kept, kept: None };
        if kept != ChainHead::START {
            let digest = sqlx::query_scalar!("select digest from engine.act_seals where number = $1", kept.number)
                .fetch_optional(self.pool())
                .await?;
            match digest {
                Some(digest) if digest == kept.digest => {}
                Some(_) => return Err(ChainBreak::Rewritten(kept.number).into()),
                None => {
                    let end = last_seal(&mut *self.pool().acquire().await?).await?.number;
                    return Err(ChainBreak::Cut { end, kept: kept.number }.into());
                }
            }
        }
        self.walk(&mut walk).await?;
        Ok(walk.head)
    }

    async fn walk(&self, walk: &mut Walk<'_>) -> Result<(), ChainError> {
        loop {
            let page = self.seals_after(walk.head.number).await?;
            if page.is_empty() {
                return Ok(());
            }
            walk.take(&page)?;
        }
    }

    /// Seals with greater numbers, in order, with what they name.
    async fn seals_after(&self, number: i64) -> Result<Vec<Sealed>, sqlx::Error> {
        let seals = sqlx::query!(
            "select number, act_id, digest from engine.act_seals where number > $1 order by number limit $2",
            number,
            SEALS_PER_PAGE
        )
        .fetch_all(self.pool())
        .await?;
        let acts = sqlx::query_as!(
            Written,
            r#"select act_id, at, actor, act, object, seq, digest, outcome, reason, detail::text as "detail!", address
               from engine.acts where act_id = any($1)"#,
            &seals.iter().map(|seal| seal.act_id).collect::<Vec<_>>()
        )
        .fetch_all(self.pool())
        .await?;
        let mut acts: HashMap<_, _> = acts.into_iter().map(|act| (act.act_id, act)).collect();
        let with_act = seals.into_iter().map(|seal| Sealed {
            number: seal.number,
            act_id: seal.act_id,
            digest: seal.digest,
            act: acts.remove(&seal.act_id),
        });
        Ok(with_act.collect())
    }

    /// An act that is in the record and not in the chain, or the other way round.
    async fn stray_act(&self) -> Result<Option<ChainBreak>, sqlx::Error> {
        let stray = sqlx::query!(
            r#"(select a.act_id as "act_id!", true as "there!" from engine.acts a
                where not exists (select from engine.act_seals s where s.act_id = a.act_id)
                  and not exists (select from engine.unsealed_acts w where w.act_id = a.act_id)
                order by a.act_id limit 1)
               union all
               (select w.act_id, false from engine.unsealed_acts w
                where not exists (select from engine.acts a where a.act_id = w.act_id)
                order by w.act_id limit 1)
               limit 1"#
        )
        .fetch_optional(self.pool())
        .await?;
        Ok(stray.map(|stray| match stray.there {
            true => ChainBreak::Inserted(stray.act_id),
            false => ChainBreak::WaitingActMissing(stray.act_id),
        }))
    }
}

async fn last_seal(connection: &mut PgConnection) -> Result<ChainHead, sqlx::Error> {
    let last = sqlx::query!("select number, digest from engine.act_seals order by number desc limit 1")
        .fetch_optional(connection)
        .await?;
    let Some(last) = last else { return Ok(ChainHead::START) };
    let digest = last.digest.try_into();
    let digest =
        digest.map_err(|_| sqlx::Error::Decode(format!("engine.act_seals.digest of {}", last.number).into()))?;
    Ok(ChainHead { number: last.number, digest })
}
