//! The broker's contract: one set of cases, run on both homes, and what only one of them has.
//!
//! NATS is a real server, a child process; see `contract/nats_server.rs` for where it is found.

// Clippy takes for tests what only a test build holds.
#[cfg(test)]
mod contract {
    mod broken;
    mod catchup;
    mod embedded_only;
    mod home;
    mod instances;
    mod lease;
    mod live;
    mod nats_only;
    mod nats_server;
    mod notices;
    #[expect(unreachable_pub, reason = "it is public in the tests' own harness")]
    #[path = "../../../../tests/src/port.rs"]
    mod port;
    mod publish;
    mod requests;

    /// Enough for every case but those of a slow reader.
    const FEED_BYTES_MAX: usize = 8 * 1024 * 1024;

    /// Room for a few small events.
    const SMALL_FEED_BYTES_MAX: usize = 2 * 1024;

    /// Each case with the fault of a broken double that it must notice: it passes on both homes, and fails on
    /// the double. A case without a fault does not compile.
    macro_rules! contract {
        ($($module:ident :: { $($case:ident fails_on $fault:ident),* $(,)? } with $feed:expr;)*) => {
            mod embedded {
                $($(
                    #[tokio::test]
                    async fn $case() {
                        crate::contract::$module::$case(&crate::contract::home::Home::embedded($feed).await).await;
                    }
                )*)*
            }

            mod nats {
                $($(
                    #[tokio::test]
                    async fn $case() {
                        crate::contract::$module::$case(&crate::contract::home::Home::nats($feed).await).await;
                    }
                )*)*
            }

            mod fails_on_a_double {
                $($(
                    #[tokio::test]
                    async fn $case() {
                        let fault = crate::contract::broken::Fault::$fault;
                        let home = crate::contract::home::Home::embedded($feed).await.broken_by(fault).await;
                        let case = async move { crate::contract::$module::$case(&home).await };
                        crate::contract::broken::must_fail(fault, case).await;
                    }
                )*)*
            }
        };
    }

    contract! {
        publish::{
            sequences_are_numbered_over_all_subjects fails_on NumbersAnew,
            an_identity_is_stored_once fails_on StoresDoubles,
            an_identity_is_stored_once_across_a_restart fails_on StoresDoubles,
            an_identity_is_forgotten_after_the_window fails_on NeverForgets,
            a_stale_expectation_is_refused_and_stores_nothing fails_on IgnoresExpectations,
            order_holds_under_retries_and_a_restart fails_on StoresDoubles,
            what_is_too_large_or_malformed_is_refused_for_good fails_on RefusesNothing,
            the_last_event_of_a_subject_is_told fails_on ForgetsTheLast,
            a_generation_outlives_a_restart_and_belongs_to_one_stream fails_on AnotherGeneration,
        } with crate::contract::FEED_BYTES_MAX;
        catchup::{
            a_read_brings_what_was_published_also_after_a_restart fails_on LosesEvents,
            a_read_of_one_subject_leaves_the_others_out fails_on ReadsAllSubjects,
            a_long_read_goes_page_by_page fails_on LosesEvents,
            a_page_is_bounded_in_bytes fails_on ReadsWithoutBound,
            a_read_is_complete_to_exactly_the_end fails_on ClaimsTooMuch,
            deleted_events_are_absent_and_complete fails_on ClaimsTooLittle,
            what_is_removed_is_absent_and_the_numbers_go_on fails_on RemovesNothing,
            only_what_is_named_is_removed fails_on RemovesAnother,
            what_is_not_there_is_not_removed fails_on RemovesAlways,
            what_is_removed_stays_so_after_a_restart fails_on RemovesNothing,
            old_events_are_dropped fails_on KeepsEverything,
            the_oldest_events_are_dropped_when_there_is_too_much fails_on KeepsEverything,
        } with crate::contract::FEED_BYTES_MAX;
        live::{
            what_is_stored_after_the_feed_stands_comes_in_order fails_on SwapsEvents,
            a_duplicate_does_not_come_again fails_on StoresDoubles,
            a_hole_is_found_by_numbers_and_filled_by_a_read fails_on LosesEvents,
            a_head_reaches_all_feeds fails_on SilentHeads,
        } with crate::contract::FEED_BYTES_MAX;
        live::{a_slow_reader_is_told_that_events_are_missing fails_on HidesDisturbances} with crate::contract::SMALL_FEED_BYTES_MAX;
        lease::{
            the_lease_is_exclusive_until_it_is_released fails_on LeasesToAll,
            an_owner_takes_its_own_lease_again fails_on ForgetsOwners,
            a_renewed_lease_outlives_its_first_term fails_on RenewsNothing,
            a_lease_ends_by_itself_and_its_holder_is_fenced_off fails_on NeverEndsALease,
            a_renewal_must_meet_the_last_revision fails_on RenewsAnything,
            a_late_release_leaves_the_next_holder_alone fails_on ReleasesAnything,
            values_outlive_a_restart_and_the_lease fails_on ForgetsValues,
        } with crate::contract::FEED_BYTES_MAX;
        instances::{
            an_enrolled_instance_is_found_and_no_other fails_on FindsAnybody,
            an_instance_that_moved_is_found_where_it_is fails_on RemembersTheFirst,
            an_instance_that_withdrew_is_forgotten_and_may_come_back fails_on KeepsTheWithdrawn,
            an_instance_that_renews_stays_and_one_that_died_is_forgotten fails_on KeepsTheDead,
        } with crate::contract::FEED_BYTES_MAX;
        requests::{
            a_request_is_answered fails_on AnswersAnything,
            requests_are_answered_out_of_order fails_on AnswersAnything,
            a_request_that_nobody_serves_says_so fails_on AlwaysLate,
            a_request_without_an_answer_is_late fails_on AlwaysNobody,
        } with crate::contract::FEED_BYTES_MAX;
        notices::{
            a_notice_is_heard_by_everybody_who_listens fails_on SaysNothing,
            a_listener_above_hears_everything_below_and_nothing_else fails_on HearsEverything,
        } with crate::contract::FEED_BYTES_MAX;
    }
}
