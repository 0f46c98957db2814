//! Catalogue, seats and holds on a real PostgreSQL and a real Redis. Every test ends by asking the database
//! whether holds and seats agree.

#[path = "seats/cache.rs"]
mod cache;
#[path = "seats/catalogue.rs"]
mod catalogue;
#[path = "seats/holds.rs"]
mod holds;
#[path = "seats/in_order.rs"]
mod in_order;
#[path = "seats/race.rs"]
mod race;
#[path = "seats/world.rs"]
mod world;
