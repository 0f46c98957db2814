-- What gates ask for: which tickets of an event were taken back.

create index revoked_tickets_by_event on booking.tickets (event_id, ticket_id) where revoked_at is not null;
