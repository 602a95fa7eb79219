//! One text for every engine: each sentence of the traits in `log/mod.rs` is a test here. An engine joins by a [`Make`].

#![expect(
    clippy::disallowed_methods,
    clippy::panic,
    reason = "a test spawns tasks that no drain waits for, and one that cannot go on ends"
)]

mod feed;
mod file;
mod log;
mod seats;
mod world;

use std::sync::Arc;

use wardroom::{
    clock::Clock,
    log::{
        memory::{MemoryEngine, MemorySettings},
        sqlite::{SqliteEngine, SqliteSettings},
    },
    telemetry::metrics::Metrics,
};

use world::{Bounds, Make, World};

/// The engine in this process.
struct Memory;

impl Make for Memory {
    fn make(&self, bounds: Bounds) -> World {
        let clock = Clock::manual(1_800_000_000_000);
        let engine = MemoryEngine::new(
            MemorySettings {
                retention: bounds.retention(),
                envelope_max: bounds.envelope_max,
                feed_entries_max: bounds.feed_entries_max,
                feed_bytes_max: bounds.feed_bytes_max,
            },
            clock.clone(),
            Metrics::new(),
        );
        World::new(Arc::new(engine), clock)
    }
}

/// The engine over one file.
struct Sqlite;

impl Make for Sqlite {
    fn make(&self, bounds: Bounds) -> World {
        let clock = Clock::manual(1_800_000_000_000);
        let folder = Arc::new(tempfile::tempdir().expect("a folder"));
        let settings = SqliteSettings {
            path: folder.path().join("log.db"),
            size_bytes_max: 0,
            record_presence: true,
            retention: bounds.retention(),
            envelope_max: bounds.envelope_max,
            page_bytes_max: 1 << 20,
            append_entries_max: 64,
            append_bytes_max: 1 << 20,
            feed_entries_max: bounds.feed_entries_max,
            feed_bytes_max: bounds.feed_bytes_max,
        };
        let engine = SqliteEngine::open(settings, clock.clone(), &Metrics::new());
        World::new(Arc::new(engine.expect("a new file")), clock).in_folder(folder)
    }
}

macro_rules! conformance {
    ($($module:ident: [$($promise:ident),+ $(,)?]),+ $(,)?) => {
        mod memory {
            $($(
                #[tokio::test(start_paused = true)]
                async fn $promise() {
                    crate::$module::$promise(&crate::Memory).await;
                }
            )+)+
        }
        // Not paused: the runtime would take the wait for the writer's thread for idleness and run ahead.
        mod sqlite {
            $($(
                #[tokio::test]
                async fn $promise() {
                    crate::$module::$promise(&crate::Sqlite).await;
                }
            )+)+
        }
    };
}

conformance! {
    log: [
        offsets_are_dense_and_times_never_go_back,
        a_repeat_is_answered_with_the_first_position,
        a_repeat_with_another_text_is_a_conflict,
        what_is_missing_before_a_message_is_named,
        a_repeat_is_recognised_as_long_as_was_asked_and_no_longer,
        chains_and_rooms_number_apart,
        an_oversized_envelope_is_definitely_not_placed,
        a_dropped_append_can_be_repeated,
        a_state_change_must_name_the_state_it_was_made_from,
        a_redaction_takes_the_content_and_leaves_the_place,
        pages_are_contiguous_and_ascending,
        a_page_before_an_offset_ends_just_below_it,
        a_cursor_beyond_the_head_is_a_fork_at_the_head,
        an_unknown_cursor_is_a_reset_with_the_newest_page,
        retention_by_count_moves_the_first_offset,
        retention_by_time_forgets_what_is_older,
        heads_come_in_the_order_asked,
        an_empty_room_has_nothing_and_starts_at_one,
        each_start_is_an_epoch_of_its_own,
        racing_appends_each_get_one_place,
        after_close_every_append_is_unavailable,
    ],
    feed: [
        the_feed_has_the_entry_before_the_caller_has_the_answer,
        a_repeat_does_not_come_through_the_feed_again,
        a_full_feed_is_suspect_then_sound_and_nobody_waits,
        a_feed_full_by_bytes_is_suspect,
        a_cast_reaches_the_feed_once,
        a_second_consumer_gets_a_closed_channel,
    ],
    seats: [
        people_are_listed_once_in_the_order_of_arrival,
        a_name_is_taken_by_any_of_its_keys,
        a_name_of_the_same_person_is_shared,
        a_name_is_free_again_when_its_seat_is,
        a_claim_displaces_a_chosen_name,
        of_equal_claims_the_later_gets_a_suffix,
        a_generated_name_is_never_taken,
        the_same_session_again_replaces_its_seat,
        leaving_without_a_seat_does_nothing,
        of_racing_claims_to_a_name_one_wins,
        the_feed_tells_what_others_see_and_nothing_else,
        the_holder_of_a_name_can_be_asked_for,
    ],
}
