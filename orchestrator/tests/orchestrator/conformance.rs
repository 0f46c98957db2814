//! What every store of the engine keeps to: PostgreSQL's, and the simulated one, by which the simulator would
//! otherwise prove things about a store that we do not have. Each case is written once and runs on both; a new one
//! is a line in the list.
//!
//! The first files ask the store itself, the last three the engine on it. A case never asks a store for anything
//! while it has a transaction open: where PostgreSQL makes only those wait who touch the same rows, the simulated
//! store makes everybody wait.

#[path = "conformance/acts.rs"]
mod acts;
#[path = "conformance/bench.rs"]
mod bench;
#[path = "conformance/children.rs"]
mod children;
#[path = "conformance/claims.rs"]
mod claims;
#[path = "conformance/commits.rs"]
mod commits;
#[path = "conformance/entries.rs"]
mod entries;
#[path = "conformance/local.rs"]
mod local;
#[path = "conformance/losses.rs"]
mod losses;
#[path = "conformance/moves.rs"]
mod moves;
#[path = "conformance/outbox.rs"]
mod outbox;
#[path = "conformance/sagas.rs"]
mod sagas;
#[path = "conformance/starts.rs"]
mod starts;
#[path = "conformance/sweeps.rs"]
mod sweeps;
#[path = "conformance/transactions.rs"]
mod transactions;
#[path = "conformance/workers.rs"]
mod workers;

use crate::ground::{OnPostgres, OnSimulated};

macro_rules! on_both_stores {
    ($($file:ident { $($case:ident,)+ })+) => {
        mod postgres {
            $(mod $file {
                $(#[tokio::test(flavor = "multi_thread")]
                async fn $case() {
                    super::super::$file::$case::<super::super::OnPostgres>().await;
                })+
            })+
        }
        mod simulated {
            $(mod $file {
                $(#[tokio::test(start_paused = true)]
                async fn $case() {
                    super::super::$file::$case::<super::super::OnSimulated>().await;
                })+
            })+
        }
    };
}

on_both_stores! {
    claims {
        a_claim_is_one_worker_s_until_its_lease_ends,
        claims_go_by_priority_and_then_by_time,
        what_is_not_due_is_nobody_s,
        workers_that_claim_at_once_share,
        a_lease_is_renewed_while_nobody_has_taken_it,
        a_claim_that_is_lost_is_not_renewed,
        what_is_handed_back_is_there_at_once_and_does_not_count,
        what_is_put_off_comes_later_and_does_not_count,
        locks_tell_whose_claims_they_are,
    }
    moves {
        a_move_says_what_becomes_of_the_claim,
        news_come_from_behind_what_was_seen,
        a_seq_is_written_once,
        a_bad_row_is_refused_for_good_and_alone,
        cases_open_and_close_with_moves,
    }
    entries {
        every_entry_is_read_as_it_was_written,
    }
    transactions {
        what_is_dropped_has_never_been,
        what_is_undone_goes_back_to_its_savepoint,
        a_transaction_that_has_failed_takes_nothing_until_it_is_undone,
        who_locks_a_claim_sees_what_was_written_before,
        who_locks_a_saga_sees_what_was_written_before,
    }
    losses {
        a_commit_that_never_arrived_is_not_done,
        a_commit_whose_answer_is_lost_is_done,
        a_commit_on_its_way_is_waited_for,
        a_claim_whose_answer_is_lost_is_free_when_its_lease_ends,
        a_message_whose_taker_heard_nothing_is_taken_again,
    }
    starts {
        a_key_is_the_first_one_s_that_takes_it,
        who_takes_a_key_at_once_waits_for_the_other,
        a_key_whose_taker_gave_up_is_free,
        a_saga_begins_once,
        definitions_are_found_by_name_and_version,
        an_announcement_is_heard_by_other_processes,
    }
    children {
        an_end_is_told_once_to_each_that_waits,
        an_end_that_has_come_is_not_waited_for,
        an_end_that_comes_meanwhile_is_told,
    }
    outbox {
        a_message_is_one_taker_s_for_a_while,
        what_failed_waits_longer_each_time_and_then_for_a_person,
        the_oldest_messages_are_taken_first,
        takers_at_once_share,
        what_could_not_be_delivered_is_delivered_later,
        what_was_refused_is_a_person_s_at_once,
        what_goes_elsewhere_is_not_taken_and_not_waited_for,
    }
    acts {
        an_act_is_found_by_all_that_it_was,
        an_act_is_done_once,
        twenty_clicks_are_one_act_with_one_answer,
        of_two_different_acts_one_is_told_that_the_saga_has_moved,
        of_a_retry_and_a_cancel_one_is_done,
        what_was_done_is_answered_again_although_the_saga_has_gone_on,
        a_kill_stops_without_taking_back_and_leaves_a_case,
    }
    sweeps {
        a_lost_wake_up_is_given_back_where_a_worker_owes_one,
        one_sweep_mends_a_thousand,
        every_invariant_is_seen_to_break,
    }
    local {
        a_local_action_commits_with_its_entry_or_not_at_all,
        local_steps_that_follow_each_other_share_a_commit,
        after_a_death_each_local_step_has_its_own_commit,
        what_one_of_them_comes_to_is_its_own,
        what_is_refused_of_one_does_not_take_those_before_along,
    }
    sagas {
        a_saga_completes_step_by_step,
        what_fails_for_good_is_taken_back_in_reverse,
        what_fails_for_now_is_tried_again_and_then_given_up,
        a_doubt_is_asked_about_before_anything_else,
        doubt_that_lasts_is_not_taken_for_workers_that_die,
        a_call_that_takes_too_long_is_in_doubt,
        past_the_pivot_a_refusal_is_for_a_person_and_a_retry_goes_on,
        a_signal_counts_before_and_after_it_is_waited_for,
        a_signal_that_comes_between_plan_and_move_is_not_passed_over,
        an_answer_outlives_a_person_s_retry_during_its_call,
        a_deadline_takes_back_what_waits,
        a_saga_begins_when_it_is_asked_to_and_higher_priorities_come_first,
        a_saga_waits_for_one_that_it_starts_by_key,
        a_saga_that_is_left_to_itself_is_started_once_with_the_note,
        several_steps_wait_for_the_same_saga_also_from_inside_a_transaction,
        running_sagas_stay_on_their_version,
    }
    workers {
        a_zombie_writes_nothing_and_learns_of_it_in_the_middle_of_its_call,
        a_zombie_s_local_action_has_no_effect,
        a_result_is_kept_when_others_write_in_the_middle_of_a_call,
        what_rests_on_nothing_being_told_is_planned_again_when_something_is,
        a_cancel_in_the_middle_of_a_call_stops_further_calls_and_is_carried_out,
        a_step_that_kills_every_worker_becomes_stuck_and_says_so,
        what_is_handed_back_is_claimed_by_others_at_once,
        a_claim_whose_holder_has_gone_is_not_kept_alive,
        a_lost_wake_up_is_seen_and_mended,
        one_saga_that_does_not_read_keeps_no_other_from_work,
    }
    commits {
        a_start_whose_commit_is_lost_is_done_once,
        a_local_step_whose_commit_is_lost_is_done_once,
        calls_whose_commits_are_lost_are_made_once,
        the_same_key_starts_once_alone_and_in_a_batch,
        a_move_that_is_refused_does_not_take_others_with_it,
        what_falls_over_or_is_refused_takes_nobody_with_it,
    }
}
