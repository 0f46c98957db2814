//! The main path against a server that speaks Stripe's API and was not written here, strict ones among them. Ignored
//! because such a server must be running: `SHOWRUNNER_TEST_STRIPE_URL=http://127.0.0.1:8420 cargo test -p workflows
//! --test workflows -- --ignored elsewhere`.

use super::bench::{charge_by, eur, key, refund_of, settings};
use workflows::gateways::{
    ChargeOutcome, GatewaySettings, PrepareOutcome, ProbeOutcome, Reference, RefundOutcome, RefundProbeOutcome,
    VoidOutcome, build,
};

#[tokio::test]
#[ignore = "needs a server that speaks Stripe's API at SHOWRUNNER_TEST_STRIPE_URL"]
async fn the_main_path_works_elsewhere() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let url = std::env::var("SHOWRUNNER_TEST_STRIPE_URL").expect("SHOWRUNNER_TEST_STRIPE_URL is set");
    // Stripe documents it for a confirm; others may not know it there
    let gateway = build(&GatewaySettings { return_url: None, ..settings("stripe", &url) }).unwrap();
    let run = std::process::id();

    let charge = charge_by("pm_card_visa");
    let pay = key(&format!("elsewhere:{run}:pay"));
    let prepared = gateway.prepare(&pay, &charge).await;
    let PrepareOutcome::Prepared(reference) = &prepared else { panic!("{prepared:?}") };
    let open = gateway.probe(&charge, Some(reference)).await;
    assert!(matches!(open, ProbeOutcome::NotCaptured { .. }), "{open:?}");
    for _ in 0..2 {
        let charged = gateway.charge(&pay, &charge, Some(reference)).await;
        assert!(matches!(&charged, ChargeOutcome::Captured(it) if it.amount == eur(4500)), "{charged:?}");
    }
    let captured = gateway.probe(&charge, Some(reference)).await;
    assert!(matches!(&captured, ProbeOutcome::Captured(it) if it.amount == eur(4500)), "{captured:?}");
    let late = gateway.void(&pay, &charge, Some(reference)).await;
    assert!(matches!(late, VoidOutcome::AlreadyCaptured(_)), "{late:?}");

    let refund = refund_of(&charge, reference, 1500);
    let missing = gateway.probe_refund(&refund, None).await;
    assert_eq!(missing, RefundProbeOutcome::NotFound);
    let outcome = gateway.refund(&key(&format!("elsewhere:{run}:refund")), &refund).await;
    let RefundOutcome::Succeeded(refunded) = &outcome else { panic!("{outcome:?}") };
    assert_eq!(refunded.amount, eur(1500));
    for known in [None, Some(&refunded.reference)] {
        assert_eq!(gateway.probe_refund(&refund, known).await, RefundProbeOutcome::Succeeded(refunded.clone()));
    }

    let unwanted = key(&format!("elsewhere:{run}:unwanted"));
    let prepared = gateway.prepare(&unwanted, &charge).await;
    let PrepareOutcome::Prepared(reference) = &prepared else { panic!("{prepared:?}") };
    for _ in 0..2 {
        let voided = gateway.void(&unwanted, &charge, Some(reference)).await;
        assert!(matches!(voided, VoidOutcome::Voided { .. }), "{voided:?}");
    }
    let charged = gateway.charge(&unwanted, &charge, Some(reference)).await;
    assert!(matches!(charged, ChargeOutcome::Voided { .. }), "{charged:?}");

    let mut declined = charge.clone();
    declined.payment_method = "pm_card_chargeCustomerFail".into();
    let refused = key(&format!("elsewhere:{run}:declined"));
    let prepared = gateway.prepare(&refused, &declined).await;
    let PrepareOutcome::Prepared(reference) = &prepared else { panic!("{prepared:?}") };
    let charged = gateway.charge(&refused, &declined, Some(reference)).await;
    assert!(matches!(charged, ChargeOutcome::Declined(_)), "{charged:?}");
    let probed = gateway.probe(&declined, Some(reference)).await;
    assert!(matches!(probed, ProbeOutcome::Declined(_)), "{probed:?}");

    let stranger = Reference::new("pi_NobodyKnowsThis").unwrap();
    assert_eq!(gateway.probe(&charge, Some(&stranger)).await, ProbeOutcome::NotFound);
    assert_eq!(gateway.void(&unwanted, &charge, Some(&stranger)).await, VoidOutcome::NotFound);
}
