-- What an operator's search box looks for: an e-mail address, a seat, a refund's reference.
create index order_emails_by_email on booking.order_emails (lower(email));
create index orders_by_seats on booking.orders using gin (seat_ids);
create index refunds_by_reference on booking.refunds (reference) where reference is not null;
