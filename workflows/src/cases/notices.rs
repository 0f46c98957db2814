//! Telling somebody that a case has opened: one webhook and one mail for each, from the outbox, however many sagas
//! join it.

use super::{Case, list};
use crate::{gateways::signature, mail::Mailer};
use anyhow::Context;
use chrono::{DateTime, Utc};
use lettre::{Message, message::Mailbox};
use orchestrator::{
    Engine,
    cases::{mark_told_in_tx, untold},
    outbox::{self, Destination, Refused, enqueue_in_tx},
};
use reqwest::{Client, Url, header::CONTENT_TYPE};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};

/// The topic of messages that tell of a case by webhook.
pub const CASE_WEBHOOK: &str = "case.webhook";
/// The topic of messages that tell of a case by mail.
pub const CASE_MAIL: &str = "case.mail";
/// How long whoever is told may take.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// Whom we tell.
#[derive(Debug, Clone, Default)]
pub struct Notified {
    /// A server.
    pub webhook: Option<CaseWebhook>,
    /// A mailbox.
    pub mailbox: Option<Mailbox>,
}

/// A server that is told of cases.
#[derive(Debug, Clone)]
pub struct CaseWebhook {
    client: Client,
    url: Url,
    secret: SecretString,
}

/// Nobody can be told there.
#[derive(Debug, thiserror::Error)]
pub enum NotifiedError {
    /// It is no mailbox.
    #[error("`{0}` is not an address to send mail to")]
    Mailbox(String, #[source] lettre::address::AddressError),
    /// It is no server's address.
    #[error("the address that cases are told to does not read")]
    Url,
    /// The client cannot be made.
    #[error("the client that tells of cases")]
    Client(#[source] reqwest::Error),
}

impl CaseWebhook {
    /// The server at `url`; what it gets is signed with the secret.
    ///
    /// # Errors
    /// [`NotifiedError`].
    pub fn new(url: &str, secret: SecretString) -> Result<Self, NotifiedError> {
        let client = Client::builder()
            .timeout(ANSWERS_WITHIN)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .user_agent(concat!("showrunner/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(NotifiedError::Client)?;
        Ok(Self { client, url: url.parse().map_err(|_| NotifiedError::Url)?, secret })
    }

    async fn tell(&self, told: &Value) -> Result<(), anyhow::Error> {
        let body = serde_json::to_vec(told)?;
        let signed = signature::sign(&body, &self.secret, DateTime::<Utc>::from(SystemTime::now()));
        let request = self.client.post(self.url.clone()).header(CONTENT_TYPE, "application/json");
        let answer = request.header("x-signature", signed).body(body).send().await;
        // its text would have the whole address in it, which may hold a secret
        let answer = answer.map_err(|error| anyhow::anyhow!("it could not be told: {}", error.without_url()))?;
        anyhow::ensure!(answer.status().is_success(), "it has answered {}", answer.status());
        Ok(())
    }
}

impl Notified {
    /// A mailbox.
    ///
    /// # Errors
    /// [`NotifiedError`].
    pub fn mailbox(address: &str) -> Result<Mailbox, NotifiedError> {
        address.parse().map_err(|error| NotifiedError::Mailbox(address.to_owned(), error))
    }

    /// Delivers a message of the topic [`CASE_WEBHOOK`].
    pub(crate) async fn deliver_webhook(&self, told: &Value) -> Result<(), anyhow::Error> {
        self.webhook.as_ref().context("no server is named here that is told of cases")?.tell(told).await
    }

    /// Delivers a message of the topic [`CASE_MAIL`].
    pub(crate) async fn deliver_mail(&self, mailer: &Mailer, told: &Value) -> Result<(), anyhow::Error> {
        // It is written again when somebody is named again: nobody is meant to be told until then.
        let Some(to) = self.mailbox.clone() else {
            return Err(Refused("nobody is named to be told".to_owned()).into());
        };
        let told: Told = Deserialize::deserialize(told)?;
        let (case_id, from) = (&told.case_id, mailer.from().clone());
        let message = Message::builder()
            .message_id(Some(format!("<{case_id}.{}@{}>", told.opened_at.timestamp(), from.email.domain())))
            .date(told.opened_at.into())
            .from(from)
            .to(to)
            .subject(told.subject())
            .body(told.text())?;
        mailer.send(message).await
    }
}

/// A case as it was when it was told of.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    case_id: String,
    cause: String,
    definition: Option<String>,
    step: Option<String>,
    lane: Option<String>,
    code: Option<String>,
    gateway: Option<String>,
    count: i64,
    buyers: i64,
    opened_at: DateTime<Utc>,
    money_at_risk: Vec<crate::money::Money>,
    suggested_act: String,
}

impl Told {
    fn of(case: Case) -> Self {
        let Case { of, buyers, money_at_risk } = case;
        Self {
            case_id: of.case_id.to_string(),
            suggested_act: of.suggested_act().to_owned(),
            cause: of.cause,
            definition: of.definition,
            step: of.step,
            lane: of.lane,
            code: of.code,
            gateway: of.gateway,
            count: of.count,
            buyers,
            opened_at: of.oldest,
            money_at_risk,
        }
    }

    fn subject(&self) -> String {
        let place = [&self.definition, &self.step, &self.gateway].into_iter().flatten().cloned().collect::<Vec<_>>();
        format!("Case: {} {}", self.cause, place.join(" / "))
    }

    fn text(&self) -> String {
        let money: Vec<_> = self.money_at_risk.iter().map(ToString::to_string).collect();
        let money = if money.is_empty() { "no money".to_owned() } else { money.join(" and ") };
        format!(
            "{} needs a person, since {}: {}.\n\nWhen this was written {} were in it, with {money} of {} buyers. More may \
             join; you are told once.\n\nSuggested: {}\nshowrunner case show {}\n",
            self.cause,
            self.opened_at,
            self.code.as_deref().unwrap_or("see its sagas"),
            self.count,
            self.buyers,
            self.suggested_act,
            self.case_id
        )
    }
}

/// Writes the messages that tell of cases which have opened, and says of how many.
///
/// # Errors
/// The database's.
pub async fn tell_of_new(engine: &Engine, notified: &Notified) -> Result<usize, sqlx::Error> {
    if notified.webhook.is_none() && notified.mailbox.is_none() {
        return Ok(0);
    }
    let mut told = 0;
    for case_id in untold(engine.pool()).await? {
        // none: it is over in the meantime
        let Some(case) = list(engine, Some(case_id)).await?.pop() else { continue };
        let payload = json!(Told::of(case));
        let message = |topic: &str, destination| outbox::Message {
            topic: topic.to_owned(),
            payload: payload.clone(),
            destination,
        };
        let by_webhook = notified.webhook.iter().map(|_| message(CASE_WEBHOOK, Destination::Operators));
        let by_mail = notified.mailbox.iter().map(|_| message(CASE_MAIL, Destination::Outside));
        let messages: Vec<_> = by_webhook.chain(by_mail).collect();
        let mut tx = engine.pool().begin().await?;
        if mark_told_in_tx(&mut tx, case_id).await? {
            enqueue_in_tx(&mut tx, &messages).await?;
            tx.commit().await?;
            told += 1;
        }
    }
    Ok(told)
}
