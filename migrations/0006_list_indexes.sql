-- A saga that completes is the rule, and its row has to be in each of these again when it does. Nobody looks for those by
-- their state: the newest sagas are found by their ids, and nearly all of them have completed.
--
-- Moves wait while this runs: a few seconds for each million sagas that are kept.
set local statement_timeout = 0;
create index sagas_by_rare_state on engine.sagas (state, saga_id desc) where state <> 'completed';
create index sagas_by_definition_and_id on engine.sagas (definition, saga_id desc);
drop index engine.sagas_by_state;
drop index engine.sagas_by_definition;
