-- Which version new sagas used before: whoever goes back to it needs nobody's consent.

alter table engine.active_definitions add column version_before integer;
