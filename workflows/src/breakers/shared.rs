//! What all processes know of a gateway's breakers, in Redis. They tell each other with one script: it keeps the record
//! that has more moves and what each process has counted, and answers with all of it and with the time.
//!
//! So of two who move the same record one is first, and the other decides again: that is what makes one probe of many
//! that want to be it. It ends by itself (`until`), should its process die.

use super::{
    Operation,
    state::{Millis, Record},
    window::Counts,
};
use crate::redis_link::{LinkError, RedisLink};
use redis::Script;
use std::{collections::BTreeMap, sync::LazyLock};

/// How long Redis remembers a gateway that nobody speaks of any more.
const KEPT_MS: i64 = 86_400_000;

static EXCHANGE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("exchange.lua")));

/// What a process tells.
#[derive(Debug, Clone)]
pub(super) struct Offer {
    pub(super) records: BTreeMap<Operation, Record>,
    pub(super) counts: Counts,
}

/// What it is told.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) now: Millis,
    /// Whose record is there because it was offered.
    pub(super) written: Vec<String>,
    pub(super) records: Vec<(Operation, Record)>,
    pub(super) counts: Counts,
}

/// The place in Redis of one gateway's breakers.
pub(super) struct Shared {
    link: RedisLink,
    records: String,
    counts: String,
}

impl Shared {
    pub(super) fn new(gateway: &str, link: RedisLink) -> Self {
        // one hash tag: a script sees both on one node of a cluster
        let key = |what: &str| format!("{{breakers:{gateway}}}:{what}");
        Self { link, records: key("records"), counts: key("counts") }
    }

    /// Tells, and is told.
    pub(super) async fn exchange(&self, offer: &Offer, first_slice: i64) -> Result<Known, LinkError> {
        let mut call = EXCHANGE.prepare_invoke();
        call.key(&self.records).key(&self.counts);
        let records: Vec<_> = offer
            .records
            .iter()
            .filter_map(|(operation, record)| Some((operation, record.version, serde_json::to_string(record).ok()?)))
            .collect();
        call.arg(KEPT_MS).arg(first_slice).arg(records.len());
        for (operation, version, record) in records {
            call.arg(operation.as_str()).arg(version).arg(record);
        }
        for (place, count) in &offer.counts {
            call.arg(place.to_string()).arg(*count);
        }
        let (now, written, records, counts) = self.link.script::<Answer>(&call).await?;
        // what does not read is of another release: it is passed over
        let records = Operation::ALL.into_iter().filter_map(|operation| {
            let record = records.get(operation.as_str())?;
            Some((operation, serde_json::from_str(record).ok()?))
        });
        let counts = counts.into_iter().filter_map(|(place, count)| Some((place.parse().ok()?, count)));
        Ok(Known { now, written, records: records.collect(), counts: counts.collect() })
    }
}

type Answer = (Millis, Vec<String>, BTreeMap<String, String>, BTreeMap<String, u32>);
