//! What every store does, tried on SQLite and on a real PostgreSQL.

mod bench;
mod proxy;
mod samples;

mod contents;
mod deletion;
mod forks;
mod guards;
mod leases;
mod outages;
mod pages;
mod random;
mod retention;
mod schema;

/// Makes of each function two tests, one a database.
macro_rules! on_both {
    ($($module:ident::$name:ident,)*) => {
        mod sqlite {
            $(#[test] fn $name() {
                crate::bench::run(crate::bench::Kind::Sqlite, crate::$module::$name);
            })*
        }
        mod postgres {
            $(#[test] fn $name() {
                crate::bench::run(crate::bench::Kind::Postgres, crate::$module::$name);
            })*
        }
    };
}

on_both! {
    contents::everything_written_comes_back,
    contents::a_batch_written_twice_changes_nothing,
    contents::a_group_in_doubt_is_told_again,
    contents::a_call_given_up_at_any_moment_is_whole_or_nothing,
    contents::a_write_that_cannot_be_made_keeps_no_other_back,
    contents::a_final_simulation_comes_back_without_its_past,
    contents::an_ended_simulation_whose_history_is_not_whole_comes_back_with_its_past,
    contents::a_hundred_thousand_machines_go_in_at_once,
    contents::a_simulation_of_another_kernel_is_named,
    contents::an_unreadable_row_is_named_and_others_load,
    contents::nul_in_a_name_stops_nobody,
    deletion::a_deleted_simulation_is_gone_at_once_and_its_rows_later,
    deletion::an_id_can_be_used_again_while_its_rows_are_removed,
    forks::a_fork_begins_with_the_newest_cut_before_its_tick,
    forks::a_command_placed_again_after_a_cut_is_not_in_it_whatever_its_seq,
    forks::a_fork_before_any_cut_begins_with_creation,
    forks::a_fork_outlives_its_parent,
    forks::a_fork_that_cannot_be_is_a_conflict,
    forks::what_cannot_be_read_is_not_forked_and_stops_no_other,
    forks::a_cut_that_is_not_whole_is_passed_over,
    forks::a_cut_of_another_kernel_or_build_is_passed_over,
    guards::a_repeated_request_is_answered_as_before,
    guards::a_key_with_another_body_is_refused,
    guards::a_key_is_looked_up_without_being_kept,
    guards::a_command_stamped_again_replaces_its_row_and_answer,
    guards::a_withdrawn_command_frees_its_key,
    guards::what_is_taken_back_frees_its_key,
    guards::a_command_placed_again_after_its_simulation_was_deleted_frees_its_key,
    guards::a_key_is_forgotten_after_a_day,
    leases::the_second_waits_until_the_lease_runs_out,
    leases::a_stale_owner_writes_nothing,
    leases::where_each_owner_takes_a_simulation_up_is_kept,
    leases::an_expired_lease_that_nobody_took_is_renewed,
    leases::a_released_lease_is_free_at_once,
    leases::of_many_who_ask_one_gets_it,
    leases::nothing_is_committed_behind_a_take_over,
    outages::tables_that_are_older_are_named,
    pages::events_by_kind_tick_and_cursor,
    pages::a_log_by_seq,
    pages::metrics_thinned_by_ticks,
    pages::digests_from_a_tick,
    pages::commands_can_be_read_in_the_database,
    pages::of_no_simulation_there_is_none,
    random::random_rows_come_back,
    retention::history_beyond_its_bounds_is_removed_in_steps,
    retention::cuts_are_thinned,
    retention::only_what_has_something_to_remove_is_touched,
    retention::what_cannot_be_read_is_left_and_stops_no_other,
    retention::seqs_go_on_when_all_events_are_removed,
    schema::a_newer_schema_is_refused,
    schema::a_schema_of_another_text_is_refused,
    schema::those_that_migrate_at_once_all_succeed,
    schema::an_older_schema_is_refused_until_migrated,
}
