//! The identifiers of our business. Each kind is a type of its own: what takes two ids cannot be called with
//! them the wrong way round.

use orchestrator::prefixed_id;

prefixed_id!(
    /// Something that tickets are sold for.
    EventId, "evt"
);
prefixed_id!(
    /// Seats that are kept for one buyer for a while; `reserveId` in the HTTP paths.
    HoldId, "res"
);
prefixed_id!(
    /// What a buyer asked for with a hold and a payment method.
    OrderId, "ord"
);
prefixed_id!(
    /// One charge of an order at one gateway.
    PaymentId, "pay"
);
prefixed_id!(
    /// One posting of the ledger.
    PostingId, "pst"
);
prefixed_id!(
    /// Money on its way back to a buyer.
    RefundId, "ref"
);
prefixed_id!(
    /// One file of what a gateway has paid out.
    SettlementId, "stl"
);
prefixed_id!(
    /// The right to one seat.
    TicketId, "tkt"
);
prefixed_id!(
    /// One act on many sagas.
    BatchId, "bat"
);
prefixed_id!(
    /// A second person's consent to an act.
    ApprovalId, "apr"
);
