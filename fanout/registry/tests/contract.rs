//! The contract of the registry's seams: one set of cases, run on both homes, and what only Redis has.
//!
//! Each case names the double, a home broken in one way, on which it fails: a case without one does not compile.
//! Redis is a real server, a child process; see `contract/redis_server.rs` for where it is found.

// Clippy takes for tests what only a test build holds.
#[cfg(test)]
mod contract {
    mod doubles;
    mod home;
    mod limits;
    mod outage;
    #[expect(unreachable_pub, reason = "it is public in the tests' own harness")]
    #[path = "../../../../tests/src/port.rs"]
    mod port;
    mod redis_server;
    mod revoked;
    mod same_rule;
    mod sessions;
    mod slots;

    macro_rules! contract {
        ($($module:ident :: $case:ident fails on $flaw:ident;)*) => {
            mod in_process {
                $(
                    #[tokio::test(start_paused = true)]
                    async fn $case() {
                        crate::contract::$module::$case(&crate::contract::home::Home::in_process()).await;
                    }
                )*
            }

            mod redis {
                $(
                    #[tokio::test]
                    async fn $case() {
                        crate::contract::$module::$case(&crate::contract::home::Home::redis().await).await;
                    }
                )*
            }

            mod broken {
                $(
                    #[tokio::test(start_paused = true)]
                    async fn $case() {
                        let home = crate::contract::home::Home::broken(crate::contract::doubles::Flaw::$flaw);
                        let trial = async move { crate::contract::$module::$case(&home).await };
                        let failed = tokio::spawn(trial).await;
                        assert!(failed.is_err_and(|error| error.is_panic()), "it passes on its double");
                    }
                )*
            }
        };
    }

    contract! {
        limits::two_clients_at_once_spend_one_quota fails on Separate;
        limits::the_call_made_at_retry_after_succeeds_and_the_next_does_not fails on Hasty;
        limits::a_refusal_costs_nothing fails on Punishing;
        limits::each_key_has_a_quota_of_its_own fails on OneKey;
        limits::what_is_paid_off_may_be_spent_at_once_again fails on Unforgiving;
        limits::a_smaller_quota_forgives_what_is_beyond_it fails on Grudging;
        slots::two_clients_at_once_hold_no_more_than_the_maximum fails on Separate;
        slots::ones_own_slot_may_be_taken_again fails on Counting;
        slots::a_slot_given_back_is_free_at_once fails on Hoarding;
        slots::the_slots_of_an_instance_that_was_killed_free_themselves fails on Immortal;
        slots::a_renewed_slot_outlives_its_first_term fails on Idle;
        slots::a_slot_that_the_home_has_forgotten_is_held_again_by_its_renewal fails on Idle;
        sessions::of_two_who_take_at_once_one_is_the_owner fails on Ownerless;
        sessions::a_former_owner_renews_changes_and_ends_nothing fails on Overwriting;
        sessions::a_session_ends_with_its_window fails on Endless;
        sessions::a_renewal_begins_the_window_again fails on Fixed;
        sessions::a_forgotten_session_is_kept_again_with_its_value_alone fails on Pretending;
        sessions::an_ended_session_can_not_be_taken fails on Undying;
        sessions::a_window_without_end_is_kept fails on Overflowing;
        revoked::of_two_revocations_of_one_key_the_later_times_hold fails on LastWins;
        revoked::what_has_ended_is_not_told fails on Unending;
        revoked::all_of_many_revocations_are_told fails on Paging;
        revoked::a_revocation_without_end_is_kept fails on Overflowing;
    }
}
