//! Cancels: asked for, and never said to be done.

use super::*;

fn cancel_of_theirs() -> Value {
    json!({"merchantAccount": "ShowrunnerTest", "paymentPspReference": "993617895195570C", "reference": OURS,
           "pspReference": "993617894906488A", "status": "received"})
}

fn cancel_of_ours() -> Value {
    json!({"merchantAccount": "ShowrunnerTest", "paymentReference": OURS, "reference": OURS,
           "pspReference": "993617894906488A", "status": "received"})
}

async fn voided(script: Script, reference: Option<&Reference>) -> VoidOutcome {
    let server = Server::start([script]).await;
    gateway(&server).void(&key(), &charge(), reference).await
}

#[tokio::test]
async fn a_charge_is_cancelled_by_their_reference_or_by_ours() {
    let script = [cancel_of_theirs(), cancel_of_ours(), cancel_of_ours()];
    let server = Server::start(script.map(|body| Script::Json(201, body))).await;
    let gateway = gateway(&server);
    for reference in [Some(psp()), None, Some(ours())] {
        assert_eq!(gateway.void(&key(), &charge(), reference.as_ref()).await, VoidOutcome::Accepted);
    }

    let asked = server.asked();
    let lines: Vec<_> = asked.iter().map(|asked| asked.line.as_str()).collect();
    let theirs = "POST /v71/payments/993617895195570C/cancels";
    assert_eq!(lines, [theirs, "POST /v71/cancels", "POST /v71/cancels"]);
    assert_eq!(asked[0].body, format!(r#"{{"merchantAccount":"ShowrunnerTest","reference":"{OURS}"}}"#));
    let by_ours = format!(r#"{{"merchantAccount":"ShowrunnerTest","paymentReference":"{OURS}","reference":"{OURS}"}}"#);
    assert_eq!((asked[1].body.as_str(), asked[2].body.as_str()), (by_ours.as_str(), by_ours.as_str()));
    // A remembered answer would not cancel what has arrived since.
    assert!(asked.iter().all(|asked| asked.header("idempotency-key").is_none()));
    assert!(asked.iter().all(|asked| asked.header("x-api-key").is_some()));
}

#[tokio::test]
async fn a_cancel_that_was_not_received_says_so() {
    for script in [error(422, "167"), error(404, "000")] {
        assert_eq!(voided(script, Some(&psp())).await, VoidOutcome::NotFound);
    }
    for script in [error(401, "000"), error(403, "010"), error(422, "130")] {
        assert!(matches!(voided(script, None).await, VoidOutcome::Refused(_)));
    }
    let mut other = cancel_of_theirs();
    other["paymentPspReference"] = json!("another");
    let mut done = cancel_of_theirs();
    done["status"] = json!("done");
    for script in [
        error(500, "000"),
        error(422, "704"),
        error(429, "000"),
        Script::Json(201, other),
        Script::Json(201, done),
        Script::Json(201, json!({})),
        Script::Cut(201),
        Script::HangUp,
        Script::Silence,
    ] {
        assert!(matches!(voided(script, Some(&psp())).await, VoidOutcome::Unknown(_)));
    }
}
