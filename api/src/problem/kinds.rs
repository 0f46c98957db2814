//! The list of everything that can be wrong with a request, in the order of `docs/problems.md`.

use axum::http::StatusCode;

/// One kind of problem: what its `type`, `status` and `title` say.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// The end of its `type`: `/problems/<slug>`.
    pub slug: &'static str,
    /// The HTTP status.
    pub status: StatusCode,
    /// A few words, the same for every problem of this kind.
    pub title: &'static str,
    /// What it means and what to do, for `docs/problems.md` and `GET /problems/{slug}`.
    pub about: &'static str,
}

/// Declares the constants and the list of them, so that neither can lack one.
macro_rules! kinds {
    ($($name:ident = $status:ident $slug:literal, $title:literal, $about:literal;)*) => {
        $(#[doc = $about] pub const $name: Kind =
            Kind { slug: $slug, status: StatusCode::$status, title: $title, about: $about };)*
        /// Every kind there is.
        pub const ALL: &[Kind] = &[$($name),*];
    };
}

kinds! {
    MALFORMED_JSON = BAD_REQUEST "malformed-json", "The body is not acceptable JSON",
        "The body is not JSON, is nested deeper than 32, has a member twice, a NUL character, a lone surrogate or a number that no machine can hold.";
    UNKNOWN_MEMBER = BAD_REQUEST "unknown-member", "A member is not known here",
        "The body has a member that this request does not know; `member` names it. Misspelt members are refused rather than ignored.";
    INVALID_VALUE = BAD_REQUEST "invalid-value", "A value is not of the expected form",
        "A member is missing or its value is not of the form or in the range that is expected; `pointer` says which.";
    UNKNOWN_PARAMETER = BAD_REQUEST "unknown-parameter", "A query parameter is not known here",
        "The query has a parameter that this request does not know; `parameter` names it.";
    INVALID_PARAMETER = BAD_REQUEST "invalid-parameter", "A query parameter is not of the expected form",
        "A query parameter's value is not of the form or in the range that is expected.";
    INVALID_CURSOR = BAD_REQUEST "invalid-cursor", "The cursor is not one of ours",
        "`cursor` must be the `next` of an earlier answer of the same list, unchanged.";
    CARD_DATA_REFUSED = BAD_REQUEST "card-data-refused", "Card numbers are not accepted",
        "Something in the request looks like a card number. Payment methods are tokens; card data is neither processed nor kept, and this answer does not repeat it.";
    INVALID_INPUT = BAD_REQUEST "invalid-input", "What was given is not of the form that is expected",
        "A saga's input does not satisfy its definition, or what was given for a step is not of the form that its action has; `mistakes` lists each with a JSON pointer.";
    UNKNOWN_DEFINITION = BAD_REQUEST "unknown-definition", "There is no such definition",
        "No definition has this name, or not this version, or none of its versions is active.";
    INVALID_EVENT = BAD_REQUEST "invalid-event", "The event cannot be like this",
        "Something about the event cannot be: a time that its zone does not have, a currency that does not exist, a sale that ends before it starts.";
    INVALID_SIGNATURE = BAD_REQUEST "invalid-signature", "The signature is not right",
        "The signature is missing, wrong, or made more than five minutes ago or ahead. Nothing was changed.";
    UNAUTHENTICATED = UNAUTHORIZED "unauthenticated", "A valid token is needed",
        "Send `Authorization: Bearer <token>` with a token that exists and is not revoked.";
    WRONG_ROLE = FORBIDDEN "wrong-role", "The token's role does not allow this",
        "The token is valid, but its role does not include this request; `roles` lists those that do.";
    FOUR_EYES = FORBIDDEN "four-eyes", "Somebody else has to decide",
        "What needs a second person is never decided by the one who asked for it.";
    NOT_BY_HAND = FORBIDDEN "not-by-hand", "Such sagas follow from others",
        "Sagas that move money back are started by what they follow from: an order's cancellation, a refund that finance asks for.";
    NOT_FOUND = NOT_FOUND "not-found", "There is no such thing",
        "Nothing is at this address, or it belongs to somebody else.";
    METHOD_NOT_ALLOWED = METHOD_NOT_ALLOWED "method-not-allowed", "The method is not known here",
        "The address exists, the method does not; the `Allow` header lists those that do.";
    SEATS_UNAVAILABLE = CONFLICT "seats-unavailable", "Not all seats are available",
        "A hold takes all its seats or none; `unavailable` lists those that somebody else has.";
    NOT_ON_SALE = CONFLICT "not-on-sale", "The event is not on sale now",
        "The sale has not begun, or is over.";
    ORDER_EXISTS = CONFLICT "order-exists", "The hold has an order already",
        "The hold was used for an order; it can be neither changed, given back, nor used again.";
    HOLD_EXPIRED = CONFLICT "hold-expired", "The hold is over",
        "The seats are no longer kept; reserve again.";
    IDEMPOTENCY_CONFLICT = CONFLICT "idempotency-conflict", "The key was used with another body",
        "The idempotency key belongs to an earlier request with another body; that one's result is untouched.";
    NOT_CANCELLABLE = CONFLICT "not-cancellable", "The order cannot be cancelled",
        "The detail says why.";
    EXCEEDS_CAPTURED = CONFLICT "exceeds-captured", "There is not so much to give back",
        "More would go back than was taken and is neither back nor on its way; `left` is how much that is. The same seat is given back once.";
    NOT_REFUNDABLE = CONFLICT "not-refundable", "The order cannot be refunded now",
        "The detail says why: an order that is still being carried out is cancelled, not refunded; a refund that nobody has approved is not made; what the buyer's bank disputes is not refunded as well.";
    ALREADY_REFUNDED = CONFLICT "already-refunded", "The money is back",
        "All of the refund has gone back; nothing is sent again.";
    REFUND_UNDER_WAY = CONFLICT "refund-under-way", "The refund is being carried out",
        "The detail says what it waits for. It can be replayed when it has failed, needs a person or is in doubt.";
    APPROVAL_VOID = CONFLICT "approval-void", "There is nothing to consent to any more",
        "What was asked for has changed since, or is over, or nobody has decided in time. Ask for it again.";
    ALREADY_DECIDED = CONFLICT "already-decided", "It is decided already",
        "Somebody else has decided, or nobody needs to.";
    MOVED_ON = CONFLICT "moved-on", "The saga has moved since you looked",
        "The saga is past the `seq` that the request names; look again and decide again. `currentSeq` is where it is.";
    NOT_ALLOWED = CONFLICT "not-allowed", "The saga's state does not allow this act",
        "The detail says why.";
    TICKET_REVOKED = GONE "ticket-revoked", "The ticket has been taken back",
        "It lets nobody in any more, because its money went back, say; `reason` says why. It is not printed.";
    BODY_TOO_LARGE = PAYLOAD_TOO_LARGE "body-too-large", "The body is too large",
        "JSON may have 64 KiB, a webhook 1 MiB.";
    UNSUPPORTED_MEDIA_TYPE = UNSUPPORTED_MEDIA_TYPE "unsupported-media-type", "The body's type is not the expected one",
        "Send JSON as `application/json`, a definition as `application/yaml`.";
    INVALID_DEFINITION = UNPROCESSABLE_ENTITY "invalid-definition", "The definition has mistakes",
        "`mistakes` lists all of them, each with its line.";
    INVALID_SETTLEMENT = UNPROCESSABLE_ENTITY "invalid-settlement", "The settlement file cannot be read",
        "`mistakes` lists its lines with what is wrong with them, at most a hundred. Nothing of the file was taken.";
    INVALID_REPLAYS = UNPROCESSABLE_ENTITY "invalid-replays", "The file of refunds cannot be read",
        "It is CSV with a heading that has `refundId` or `orderId`. Nothing was planned.";
    RATE_LIMITED = TOO_MANY_REQUESTS "rate-limited", "Too many requests",
        "Wait for as many seconds as `Retry-After` says.";
    INTERNAL = INTERNAL_SERVER_ERROR "internal", "Something went wrong on our side",
        "The log has the cause under the `x-request-id` of this answer. It is safe to send the same request with the same idempotency key again.";
    OVERLOADED = SERVICE_UNAVAILABLE "overloaded", "Too much to do at the moment",
        "The request was not begun. Send it again after as many seconds as `Retry-After` says.";
    UNAVAILABLE = SERVICE_UNAVAILABLE "unavailable", "The database cannot be reached",
        "Whether the request took effect is not known; send it with the same idempotency key again after as many seconds as `Retry-After` says.";
    TIMED_OUT = SERVICE_UNAVAILABLE "timed-out", "It took too long",
        "Whether the request took effect is not known; send it with the same idempotency key again after as many seconds as `Retry-After` says.";
}

/// The kind with this slug.
#[must_use]
pub fn by_slug(slug: &str) -> Option<&'static Kind> {
    ALL.iter().find(|kind| kind.slug == slug)
}

/// `docs/problems.md`.
#[must_use]
pub fn document() -> String {
    let mut text = String::from(
        "# Problems\n\nErrors are answered as `application/problem+json` (RFC 9457). `type` is `/problems/<slug>`. \
         Generated from `api/src/problem/kinds.rs`.\n\n| slug | status | title | what it means |\n|---|---|---|---|\n",
    );
    for kind in ALL {
        text.push_str(&format!("| `{}` | {} | {} | {} |\n", kind.slug, kind.status.as_u16(), kind.title, kind.about));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn slugs_are_unique_and_readable() {
        let slugs: BTreeSet<_> = ALL.iter().map(|kind| kind.slug).collect();
        assert_eq!(slugs.len(), ALL.len());
        for kind in ALL {
            assert!(kind.slug.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{}", kind.slug);
            assert!(kind.status.is_client_error() || kind.status.is_server_error(), "{}", kind.slug);
            assert_eq!(by_slug(kind.slug), Some(kind));
        }
    }
}
