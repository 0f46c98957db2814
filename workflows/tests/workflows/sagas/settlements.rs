//! The gateways' own settlement files, held against our books.

use super::{
    doubts::go_dark,
    late_news::given_up,
    news::cancelled,
    refund_tries::{person_wants, saga_of},
    refunds::say,
    shop::{PRICE, Shop, VISA},
};
use serde_json::json;
use std::{collections::BTreeMap, time::Duration};
use workflows::{
    approvals::{DecideError, Decided},
    ids::{OrderId, SettlementId},
    orders::OrderStatus,
    settlements::{
        self, ActOnLine, Acted, Imported, LineAct, LineActError, LineFilter, LineRow, LineState, NewSettlement, Outcome,
    },
};

impl Shop {
    /// The primary's settlement file, with the mistakes that `query` asks for, in the books.
    async fn settle(&self, query: &str, missing_days: u32) -> Imported {
        let url = format!("{}/_sandbox/settlement.csv{query}", self.sandboxes[0].running.url);
        let text = self.client.get(url).send().await.unwrap().text().await.unwrap();
        let protocol = if text.starts_with("balance") { "stripe" } else { "adyen" };
        let new = NewSettlement {
            gateway: "primary".to_owned(),
            file: settlements::read(protocol, text.as_bytes()).unwrap(),
            by: "fin".to_owned(),
            address: None,
            missing_days,
        };
        settlements::import(&self.pool, self.gateways(), new).await.unwrap()
    }

    async fn settled(&self, query: &str) -> SettlementId {
        match self.settle(query, 0).await {
            Imported::New(id) => id,
            Imported::Known(id) => panic!("{id} is known"),
        }
    }

    async fn lines(&self, id: SettlementId) -> Vec<LineRow> {
        settlements::lines(&self.pool, id, LineFilter::default(), 500).await.unwrap()
    }

    /// The gateway's name for the charge of an order.
    pub(super) async fn charge_of(&self, order: OrderId) -> String {
        self.see(order).await.payments[0].reference.clone().unwrap().to_string()
    }

    async fn act_on(&self, row: &LineRow, act: LineAct) -> Result<Acted, LineActError> {
        let wanted = ActOnLine {
            settlement_id: row.settlement_id,
            line: row.line,
            act,
            reason: "seen".to_owned(),
            by: "fin".to_owned(),
            address: None,
            expires_in: Duration::from_secs(3_600),
        };
        settlements::act(&self.pool, &self.webhooks, wanted).await
    }
}

/// How many lines have each outcome.
fn outcomes(lines: &[LineRow]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for line in lines {
        *counts.entry(line.outcome.as_str()).or_default() += 1;
    }
    counts
}

fn only(lines: &[LineRow], outcome: Outcome) -> LineRow {
    let mut found = lines.iter().filter(|line| line.outcome == outcome);
    let first = found.next().unwrap_or_else(|| panic!("no line is {outcome}"));
    assert_eq!(found.next(), None, "two lines are {outcome}");
    first.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_both_books_say_is_settled() {
    for shop in [Shop::open().await, Shop::at_adyen().await] {
        for _ in 0..3 {
            shop.confirmed().await;
        }
        let id = shop.settled("").await;
        let lines = shop.lines(id).await;
        assert!(
            lines.iter().all(|line| line.outcome == Outcome::Matched && line.state == LineState::Settled),
            "{lines:#?}"
        );
        let balances = shop.balances().await;
        assert_eq!(balances.get("gateway:primary:clearing"), None, "nothing is left with the gateway");
        assert_eq!(balances["gateway:primary:cash"] + balances["gateway:primary:fees"], 3 * PRICE);
        // the same file again, and then one that has the same lines and more
        assert_eq!(shop.settle("", 0).await, Imported::Known(id));
        shop.confirmed().await;
        let second = shop.lines(shop.settled("").await).await;
        let again = second.iter().filter(|line| line.outcome == Outcome::Duplicate);
        assert!(again.clone().count() >= 3 && again.clone().all(|line| line.state == LineState::Settled));
        let balances = shop.balances().await;
        assert_eq!(balances.get("settlement:differences"), None);
        assert_eq!(balances.get("gateway:primary:clearing"), None);
        shop.assert_well().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mistake_is_found_and_costs_nobody_anything() {
    for shop in [Shop::open().await, Shop::at_adyen().await] {
        let mut charges = Vec::new();
        for _ in 0..6 {
            charges.push(shop.charge_of(shop.confirmed().await.order_id).await);
        }
        let [missing, over, under, twice, foreign, _] = &charges[..] else { panic!() };
        let query = format!(
            "?missing={missing}&over={over}&under={under}&duplicate={twice}&wrongCurrency={foreign}&unexpected=XYZ"
        );
        let id = shop.settled(&query).await;
        let lines = shop.lines(id).await;
        let mut counts = outcomes(&lines);
        assert!(counts.remove("matched").unwrap() >= 2);
        let one = |outcome| (outcome, 1);
        let expected = ["duplicate", "missing", "over", "under", "unexpected", "wrongCurrency"].map(one);
        assert_eq!(counts, expected.into());
        let missed = only(&lines, Outcome::Missing);
        assert_eq!(missed.payment.as_ref().unwrap().as_str(), missing);
        assert!(missed.saga_id.is_some() && missed.order_id.is_some());
        assert_eq!(only(&lines, Outcome::Over).gross.amount_minor, PRICE + 100);
        assert_eq!(only(&lines, Outcome::Over).expected.unwrap().amount_minor, PRICE);
        let balances = shop.balances().await;
        assert_eq!(balances["gateway:primary:clearing"], PRICE, "what is missing");
        let difference = -100 + 100 - PRICE - 1_000;
        // of two currencies: what came in the wrong one, and what was to come
        assert_eq!(balances["settlement:differences"], difference);
        shop.assert_well().await;

        // what comes later is missing no longer
        let later = shop.lines(shop.settled("").await).await;
        assert!(later.iter().any(|line| line.payment.as_ref().is_some_and(|name| name.as_str() == missing)
            && line.outcome == Outcome::Matched));
        assert_eq!(only(&shop.lines(id).await, Outcome::Missing).state, LineState::Settled);
        assert_eq!(shop.balances().await.get("gateway:primary:clearing"), None);
        shop.assert_well().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_young_is_not_missing() {
    let shop = Shop::open().await;
    let charge = shop.charge_of(shop.confirmed().await.order_id).await;
    let Imported::New(id) = shop.settle(&format!("?missing={charge}"), 5).await else { panic!() };
    assert_eq!(shop.lines(id).await, []);
    assert_eq!(
        only(&shop.lines(shop.settled(&format!("?missing={charge}&unexpected=pi_0")).await).await, Outcome::Missing)
            .line,
        3
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn money_that_was_seen_is_received_once() {
    let shop = Shop::open().await;
    let charge = shop.charge_of(shop.confirmed().await.order_id).await;
    let id = shop.settled(&format!("?missing={charge}&unexpected=pi_0")).await;
    let lines = shop.lines(id).await;
    let missing = only(&lines, Outcome::Missing);
    let refused = shop.act_on(&only(&lines, Outcome::Unexpected), LineAct::Received).await;
    assert!(matches!(refused, Err(LineActError::NotAllowed(_))));
    for act in [LineAct::Resume, LineAct::Refund] {
        assert!(matches!(shop.act_on(&missing, act).await, Err(LineActError::NotAllowed(_))), "{act:?}");
    }
    let clicks = futures::future::join_all((0..5).map(|_| shop.act_on(&missing, LineAct::Received))).await;
    let news = clicks.iter().filter(|click| matches!(click, Ok(Acted::New(_)))).count();
    assert_eq!((news, clicks.iter().filter(|click| click.is_err()).count()), (1, 0), "{clicks:?}");
    let balances = shop.balances().await;
    assert_eq!(balances.get("gateway:primary:clearing"), None);
    assert_eq!(balances["gateway:primary:cash"], PRICE + 960);
    // when it comes after all, it is there twice
    let later = shop.lines(shop.settled("").await).await;
    assert_eq!((later[0].outcome, later[0].state), (Outcome::Duplicate, LineState::Open));
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_goes_on_with_what_the_settlement_says() {
    let shop = Shop::at_adyen().await;
    let placed = shop.confirmed().await;
    let saga = cancelled(&shop, placed.order_id).await;
    shop.run_until(saga, "waiting").await;
    // the gateway's letter is lost
    shop.letter("\"REFUND\",\"eventDate").await;
    let id = shop.settled("").await;
    let row = only(&shop.lines(id).await, Outcome::Unexpected);
    assert_eq!((row.movement.as_str(), row.saga_id), ("refund", Some(saga)));
    shop.act_on(&row, LineAct::Resume).await.unwrap();
    shop.run_until(saga, "completed").await;
    assert_eq!(settlements::match_again(&shop.pool, shop.gateways()).await.unwrap(), 1);
    assert_eq!(settlements::match_again(&shop.pool, shop.gateways()).await.unwrap(), 0);
    let row = shop.lines(id).await.into_iter().find(|line| line.movement.as_str() == "refund").unwrap();
    assert_eq!((row.outcome, row.state), (Outcome::Matched, LineState::Settled));
    let balances = shop.balances().await;
    assert_eq!((balances.get("gateway:primary:clearing"), balances.get("settlement:differences")), (None, None));
    shop.assert_well().await;
}

/// The file has a charge of the order that nobody has heard of: its line's act gives it back, once.
async fn given_back_by_its_line(shop: &Shop, order: OrderId, status: OrderStatus) {
    let id = shop.settled("").await;
    let row = only(&shop.lines(id).await, Outcome::Unexpected);
    assert_eq!((row.movement.as_str(), row.order_id), ("capture", Some(order)));
    let refused = shop.act_on(&row, LineAct::WriteOff).await;
    assert!(matches!(refused, Err(LineActError::NotAllowed(_))), "{refused:?}");
    let clicks = futures::future::join_all((0..5).map(|_| shop.act_on(&row, LineAct::Refund))).await;
    let news = clicks.iter().filter(|click| matches!(click, Ok(Acted::New(_)))).count();
    assert_eq!((news, clicks.iter().filter(|click| click.is_err()).count()), (1, 0), "{clicks:?}");
    shop.heal_gateway().await;
    assert_eq!(shop.run_all("settle-doubt").await, ["completed"]);

    assert_eq!(settlements::match_again(&shop.pool, shop.gateways()).await.unwrap(), 1);
    let row = shop.lines(id).await.into_iter().find(|line| line.payment == row.payment).unwrap();
    assert_eq!((row.outcome, row.state), (Outcome::Matched, LineState::Settled));
    let later = shop.lines(shop.settled("").await).await;
    assert!(later.iter().any(|line| line.movement.as_str() == "refund" && line.outcome == Outcome::Matched));
    let balances = shop.balances().await;
    assert_eq!((balances.get("gateway:primary:clearing"), balances.get("settlement:differences")), (None, None));
    let seen = shop.assert_ended(order, status).await;
    assert_eq!((seen.payments[0].status.as_str(), seen.refunds.len()), ("refunded", 1));
    assert_eq!(shop.refunds_at_primary().await.len(), 1);
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_that_was_left_behind_is_found_by_our_name_for_it() {
    let shop = Shop::between("adyen", "stripe").await;
    go_dark(&shop, "timeout_after").await;
    let placed = shop.order(VISA).await;
    shop.run_until(placed.saga_id, "completed").await;
    // the gateway's letter is lost
    shop.letter("AUTHORISATION").await;
    assert_eq!(shop.see(placed.order_id).await.payments[0].reference, None);
    given_back_by_its_line(&shop, placed.order_id, OrderStatus::Confirmed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_that_was_given_up_is_found_by_our_name_for_it() {
    let (shop, placed, _, _) = given_up().await;
    shop.run_until(placed.saga_id, "compensated").await;
    given_back_by_its_line(&shop, placed.order_id, OrderStatus::Cancelled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_difference_is_written_off_by_two() {
    let shop = Shop::open().await;
    let charges = [(); 2].map(|()| shop.confirmed());
    let [missed, more] = futures::future::join_all(charges).await.try_into().unwrap();
    let (missed, more) = (shop.charge_of(missed.order_id).await, shop.charge_of(more.order_id).await);
    let id = shop.settled(&format!("?missing={missed}&over={more}")).await;
    let lines = shop.lines(id).await;
    let (missing, over) = (only(&lines, Outcome::Missing), only(&lines, Outcome::Over));
    for agreed in lines.iter().filter(|line| line.outcome == Outcome::Matched) {
        assert!(matches!(shop.act_on(agreed, LineAct::WriteOff).await, Err(LineActError::NotAllowed(_))));
    }

    let clicks = futures::future::join_all((0..5).map(|_| shop.act_on(&over, LineAct::WriteOff))).await;
    let news = clicks.iter().filter(|click| matches!(click, Ok(Acted::New(_)))).count();
    assert_eq!((news, clicks.iter().filter(|click| click.is_err()).count()), (1, 0), "{clicks:?}");
    let asked = only(&shop.lines(id).await, Outcome::Over);
    let approval = asked.approval_id.unwrap();
    assert_eq!((asked.state, shop.balances().await.get("settlement:writtenOff")), (LineState::Open, None));
    assert!(matches!(say(&shop, "fin", approval, true).await, Err(DecideError::FourEyes(_))));
    assert_eq!(shop.balances().await["settlement:differences"], -100);
    // refused, it can be asked for again
    say(&shop, "bert", approval, false).await.unwrap();
    shop.act_on(&over, LineAct::WriteOff).await.unwrap();
    let second = only(&shop.lines(id).await, Outcome::Over).approval_id.unwrap();
    assert_ne!(second, approval);
    say(&shop, "bert", second, true).await.unwrap();
    assert!(matches!(say(&shop, "bert", second, true).await, Ok(Decided::Replayed(_))));
    assert_eq!(only(&shop.lines(id).await, Outcome::Over).state, LineState::WrittenOff);
    let balances = shop.balances().await;
    assert_eq!((balances.get("settlement:differences"), balances["settlement:writtenOff"]), (None, -100));
    assert!(matches!(shop.act_on(&over, LineAct::WriteOff).await, Err(LineActError::NotAllowed(_))));

    // what has come in the meantime is not written off
    shop.act_on(&missing, LineAct::WriteOff).await.unwrap();
    let stale = only(&shop.lines(id).await, Outcome::Missing).approval_id.unwrap();
    shop.settled("").await;
    assert!(matches!(say(&shop, "bert", stale, true).await, Err(DecideError::Void(_))));
    let balances = shop.balances().await;
    assert_eq!((balances.get("gateway:primary:clearing"), balances["settlement:writtenOff"]), (None, -100));
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_too_little_and_comes_later_is_cash() {
    let shop = Shop::open().await;
    let placed = shop.confirmed().await;
    let charge = shop.charge_of(placed.order_id).await;
    let id = shop.settled(&format!("?under={charge}")).await;
    let before = shop.balances().await;
    assert_eq!(before["settlement:differences"], 100);
    let under = only(&shop.lines(id).await, Outcome::Under);
    let clicks = futures::future::join_all((0..5).map(|_| shop.act_on(&under, LineAct::Received))).await;
    assert_eq!(clicks.iter().filter(|click| matches!(click, Ok(Acted::New(_)))).count(), 1, "{clicks:?}");
    let after = shop.balances().await;
    assert_eq!(after.get("settlement:differences"), None);
    assert_eq!(after["gateway:primary:cash"] - before["gateway:primary:cash"], 100);
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_only_the_settlement_has_back_is_one_for_finance_again() {
    let shop = Shop::open().await;
    let placed = shop.confirmed().await;
    shop.gateway_fault(json!({"fault": "refund_fails_later", "operation": "refund", "count": 1, "delayMs": 300})).await;
    let saga = cancelled(&shop, placed.order_id).await;
    shop.run_until(saga, "completed").await;
    // the gateway's letter is lost
    shop.letter("refund.failed").await;
    let id = shop.settled("").await;
    let row = only(&shop.lines(id).await, Outcome::Unexpected);
    assert_eq!(row.movement.as_str(), "refundReturned");
    shop.act_on(&row, LineAct::Resume).await.unwrap();
    let seen = shop.see(placed.order_id).await;
    assert_eq!((seen.status, seen.refunds[0].state.as_str()), (OrderStatus::Attention, "failed"));
    assert_eq!(settlements::match_again(&shop.pool, shop.gateways()).await.unwrap(), 1);
    shop.assert_well().await;
    let replayed = saga_of(person_wants(&shop, placed.order_id, "fin").await.unwrap());
    shop.run_until(replayed, "completed").await;
    shop.assert_ended(placed.order_id, OrderStatus::Cancelled).await;
    shop.assert_well().await;
}
