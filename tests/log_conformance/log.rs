//! `RoomLog`: append and read.

use std::{collections::BTreeSet, time::Duration};

use wardroom::{
    domain::{
        cursor::Cursor,
        entry::Body,
        ids::Producer,
        position::{Epoch, Position},
    },
    log::{Append, AppendError, Found, Health, Rejected, StateVersion},
};

use crate::world::{Bounds, Make, Sender, offsets, room};

fn rejected(answer: Result<wardroom::log::Placed, AppendError>) -> Rejected {
    match answer {
        Err(AppendError::Rejected(why)) => why,
        other => panic!("expected a rejection: {other:?}"),
    }
}

pub(crate) async fn offsets_are_dense_and_times_never_go_back(make: &dyn Make) {
    let world = make.make(Bounds::default());
    let mut sender = Sender::new(1);
    let mut last_ts = 0;
    for n in 1..=20 {
        if n % 3 == 0 {
            world.clock.advance(Duration::from_millis(5));
        }
        let placed = world
            .append("lobby", sender.next("hi"))
            .await
            .expect("placed");
        assert_eq!(placed.at.expect("new").offset, n);
        assert!(placed.ts >= last_ts);
        last_ts = placed.ts;
    }
}

pub(crate) async fn a_repeat_is_answered_with_the_first_position(make: &dyn Make) {
    let world = make.make(Bounds::default());
    let mut sender = Sender::new(1);
    let first = world
        .append("lobby", sender.next("hi"))
        .await
        .expect("placed");
    world.clock.advance(Duration::from_secs(1));
    let again = world
        .append("lobby", sender.numbered(1, 0, "hi"))
        .await
        .expect("a duplicate");
    assert!(again.duplicate && !first.duplicate);
    assert_eq!((again.at, again.ts), (first.at, first.ts));
    world.placed("lobby", sender.next("two")).await;
    let older = world
        .append("lobby", sender.numbered(1, 0, "hi"))
        .await
        .expect("decided before");
    assert_eq!((older.at, older.duplicate), (None, true));
    assert_eq!(world.before("lobby", None, 10).await.entries.len(), 2);
}

pub(crate) async fn a_repeat_with_another_text_is_a_conflict(make: &dyn Make) {
    let world = make.make(Bounds::default());
    let mut sender = Sender::new(1);
    world.placed("lobby", sender.next("hi")).await;
    let answer = world.append("lobby", sender.numbered(1, 0, "ho")).await;
    assert_eq!(rejected(answer), Rejected::Conflict);
    let two_writers = world.append("lobby", sender.numbered(3, 0, "hi")).await;
    assert_eq!(rejected(two_writers), Rejected::Conflict);
}

pub(crate) async fn what_is_missing_before_a_message_is_named(make: &dyn Make) {
    let world = make.make(Bounds::default());
    let mut sender = Sender::new(1);
    let nothing = world.append("lobby", sender.numbered(5, 4, "hi")).await;
    assert_eq!(rejected(nothing), Rejected::OutOfSequence { have: 0 });
    world.placed("lobby", sender.next("one")).await;
    let hole = world.append("lobby", sender.numbered(4, 3, "hi")).await;
    assert_eq!(rejected(hole), Rejected::OutOfSequence { have: 1 });
    // A number that was burnt before the log is skipped.
    assert_eq!(
        world
            .placed("lobby", sender.numbered(4, 1, "four"))
            .await
            .offset,
        2
    );
}

pub(crate) async fn a_repeat_is_recognised_as_long_as_was_asked_and_no_longer(make: &dyn Make) {
    let world = make.make(Bounds::default());
    let sender = Sender::new(1);
    let what = Append {
        remember: Duration::from_mins(1),
        ..sender.numbered(1, 0, "hi")
    };
    world.placed("lobby", what).await;
    world.clock.advance(Duration::from_millis(59_999));
    assert!(world.append("lobby", what).await.expect("known").duplicate);
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(
        rejected(world.append("lobby", sender.numbered(2, 1, "ho")).await),
        Rejected::OutOfSequence { have: 0 },
        "forgotten"
    );
    assert!(!world.append("lobby", what).await.expect("new").duplicate);
}

pub(crate) async fn chains_and_rooms_number_apart(make: &dyn Make) {
    let world = make.make(Bounds::default());
    let sender = Sender::new(1);
    let what = sender.numbered(1, 0, "hi");
    world.placed("lobby", what).await;
    assert_eq!(world.placed("garden", what).await.offset, 1);
    let mut raised = what;
    raised.id.producer = Producer {
        chain: 1,
        ..what.id.producer
    };
    assert_eq!(world.placed("lobby", raised).await.offset, 2);
}

pub(crate) async fn an_oversized_envelope_is_definitely_not_placed(make: &dyn Make) {
    let world = make.make(Bounds {
        envelope_max: 8,
        ..Bounds::default()
    });
    let mut sender = Sender::new(1);
    world.placed("lobby", sender.next("12345678")).await;
    let answer = world.append("lobby", sender.next("123456789")).await;
    assert_eq!(rejected(answer), Rejected::TooLarge { max: 8 });
    assert_eq!(world.before("lobby", None, 10).await.entries.len(), 1);
}

pub(crate) async fn a_dropped_append_can_be_repeated(make: &dyn Make) {
    let world = make.make(Bounds::default());
    let sender = Sender::new(1);
    let what = sender.numbered(1, 0, "hi");
    drop(world.engine.append(&room("lobby"), what));
    let at = world
        .append("lobby", what)
        .await
        .expect("placed, then or now")
        .at;
    assert_eq!(at.map(|at| at.offset), Some(1));
    assert_eq!(world.before("lobby", None, 10).await.entries.len(), 1);
}

pub(crate) async fn a_state_change_must_name_the_state_it_was_made_from(make: &dyn Make) {
    let world = make.make(Bounds::default());
    let sender = Sender::new(1);
    let none = StateVersion(None);
    let lobby = room("lobby");
    let state = || world.engine.state(&lobby);
    assert_eq!(
        state().await.expect("readable"),
        (none, bytes::Bytes::new())
    );

    let blind = Append {
        state: Some(b"bans"),
        ..sender.numbered(1, 0, "ban")
    };
    assert_eq!(
        rejected(world.append("lobby", blind).await),
        Rejected::StaleState(none)
    );
    let change = Append {
        checked: Some(none),
        ..blind
    };
    let at = world.placed("lobby", change).await;
    let version = StateVersion(Some(at));
    assert_eq!(
        state().await.expect("readable"),
        (version, bytes::Bytes::from_static(b"bans"))
    );
    assert_eq!(world.before("lobby", None, 1).await.state, version);

    let decided_before = Append {
        checked: Some(none),
        ..sender.numbered(2, 1, "late")
    };
    assert_eq!(
        rejected(world.append("lobby", decided_before).await),
        Rejected::StaleState(version)
    );
    // A repeat of what is in the log is answered, whatever the state is now.
    assert!(
        world
            .append("lobby", change)
            .await
            .expect("known")
            .duplicate
    );
}

pub(crate) async fn a_redaction_takes_the_content_and_leaves_the_place(make: &dyn Make) {
    let world = make.make(Bounds::default());
    let at = world.fill("lobby", 3).await;
    let mut moderator = Sender::new(9);
    let wrong_epoch = Position {
        epoch: Epoch::new(1),
        ..at[1]
    };
    for target in [wrong_epoch, at[1]] {
        let what = Append {
            redacts: Some(target),
            ..moderator.next("redaction")
        };
        world.placed("lobby", what).await;
        let page = world.read("lobby", &Cursor::default(), 10).await;
        let removed: Vec<u64> = page
            .entries
            .iter()
            .filter(|entry| entry.body == Body::Removed)
            .map(|entry| entry.at.offset)
            .collect();
        let expected: &[u64] = if target == at[1] { &[2] } else { &[] };
        assert_eq!(removed, expected);
    }
    let page = world.read("lobby", &Cursor::default(), 10).await;
    assert_eq!(offsets(&page.entries), [1, 2, 3, 4, 5]);
}

pub(crate) async fn pages_are_contiguous_and_ascending(make: &dyn Make) {
    let world = make.make(Bounds::default());
    let at = world.fill("lobby", 25).await;
    let mut cursor = Cursor::default();
    let mut seen = Vec::new();
    loop {
        let page = world.read("lobby", &cursor, 10).await;
        assert_eq!(
            (page.found, page.first, page.head),
            (Found::Here, 1, Some(at[24]))
        );
        let Some(last) = page.entries.last() else {
            break;
        };
        cursor = Cursor::at(Some(last.at));
        seen.extend(offsets(&page.entries));
    }
    assert_eq!(seen, (1..=25).collect::<Vec<_>>());
    assert!(
        world
            .read("lobby", &Cursor::default(), 0)
            .await
            .entries
            .is_empty()
    );
}

pub(crate) async fn a_page_before_an_offset_ends_just_below_it(make: &dyn Make) {
    let world = make.make(Bounds::default());
    world.fill("lobby", 9).await;
    for (before, limit, expected) in [
        (None, 3, &[7, 8, 9][..]),
        (Some(5), 3, &[2, 3, 4]),
        (Some(3), 9, &[1, 2]),
        (Some(1), 9, &[]),
        (Some(0), 9, &[]),
        (Some(u64::MAX), 2, &[8, 9]),
        (None, 0, &[]),
    ] {
        let page = world.before("lobby", before, limit).await;
        assert_eq!(offsets(&page.entries), expected, "{before:?} {limit}");
        assert_eq!((page.found, page.first), (Found::Here, 1));
    }
}

pub(crate) async fn a_cursor_beyond_the_head_is_a_fork_at_the_head(make: &dyn Make) {
    let world = make.make(Bounds::default());
    let head = *world.fill("lobby", 4).await.last().expect("four");
    for offset in [5, 900, u64::MAX] {
        let beyond = Cursor::at(Some(Position { offset, ..head }));
        let page = world.read("lobby", &beyond, 10).await;
        assert_eq!(page.found, Found::Fork { keep: head });
        assert!(page.entries.is_empty());
    }
}

pub(crate) async fn an_unknown_cursor_is_a_reset_with_the_newest_page(make: &dyn Make) {
    let world = make.make(Bounds::default());
    let foreign = Cursor::at(Some(Position {
        offset: 2,
        epoch: Epoch::new(3),
    }));
    let page = world.read("lobby", &foreign, 3).await;
    assert_eq!((page.found, page.head), (Found::Reset, None));
    world.fill("lobby", 9).await;
    let page = world.read("lobby", &foreign, 3).await;
    assert_eq!(page.found, Found::Reset);
    assert_eq!(offsets(&page.entries), [7, 8, 9]);
}

pub(crate) async fn retention_by_count_moves_the_first_offset(make: &dyn Make) {
    let world = make.make(Bounds {
        retention_count: 5,
        ..Bounds::default()
    });
    let at = world.fill("lobby", 12).await;
    let page = world.read("lobby", &Cursor::at(Some(at[2])), 10).await;
    assert_eq!(
        (page.found, page.first),
        (Found::Here, 8),
        "a gap, not a fork"
    );
    assert_eq!(offsets(&page.entries), [8, 9, 10, 11, 12]);
    assert_eq!(
        offsets(&world.before("lobby", Some(9), 10).await.entries),
        [8]
    );
}

pub(crate) async fn retention_by_time_forgets_what_is_older(make: &dyn Make) {
    let world = make.make(Bounds {
        retention: Some(Duration::from_hours(1)),
        ..Bounds::default()
    });
    let at = world.fill("lobby", 3).await;
    world.clock.advance(Duration::from_hours(1));
    assert_eq!(world.before("lobby", None, 10).await.entries.len(), 3);
    world.clock.advance(Duration::from_millis(1));
    let page = world.read("lobby", &Cursor::at(Some(at[0])), 10).await;
    assert_eq!(
        (page.found, page.first, page.entries.len()),
        (Found::Here, 4, 0)
    );
    assert_eq!(page.head, Some(at[2]), "offsets go on");
    let mut late = Sender::new(7);
    assert_eq!(world.placed("lobby", late.next("late")).await.offset, 4);
}

pub(crate) async fn heads_come_in_the_order_asked(make: &dyn Make) {
    let world = make.make(Bounds::default());
    let lobby = world.fill("lobby", 2).await;
    let garden = world.fill("garden", 3).await;
    let asked = [room("garden"), room("nowhere"), room("lobby")];
    let heads = world.engine.heads(&asked).await.expect("readable");
    assert_eq!(heads, [garden.last().copied(), None, lobby.last().copied()]);
}

pub(crate) async fn an_empty_room_has_nothing_and_starts_at_one(make: &dyn Make) {
    let world = make.make(Bounds::default());
    for page in [
        world.read("lobby", &Cursor::default(), 10).await,
        world.before("lobby", None, 10).await,
    ] {
        assert_eq!((page.found, page.first, page.head), (Found::Here, 1, None));
        assert!(page.entries.is_empty());
    }
}

pub(crate) async fn each_start_is_an_epoch_of_its_own(make: &dyn Make) {
    let mut epochs = BTreeSet::new();
    for _ in 0..3 {
        let world = make.make(Bounds::default());
        epochs.insert(world.fill("lobby", 1).await[0].epoch.to_string());
    }
    assert_eq!(epochs.len(), 3);
}

pub(crate) async fn racing_appends_each_get_one_place(make: &dyn Make) {
    let world = make.make(Bounds::default());
    let lobby = room("lobby");
    let mut senders: Vec<Sender> = (1..=40).map(Sender::new).collect();
    // Each twice, under the same id: one of the two is the duplicate.
    let appends: Vec<_> = senders.iter_mut().map(|sender| sender.next("hi")).collect();
    let twice = appends.iter().chain(&appends);
    let answers =
        futures_util::future::join_all(twice.map(|what| world.engine.append(&lobby, *what))).await;
    let answers: Vec<_> = answers
        .into_iter()
        .map(|answer| answer.expect("settled"))
        .collect();
    assert_eq!(answers.iter().filter(|placed| placed.duplicate).count(), 40);
    let places: BTreeSet<u64> = answers
        .iter()
        .filter_map(|placed| placed.at)
        .map(|at| at.offset)
        .collect();
    assert_eq!(places, (1..=40).collect());
}

pub(crate) async fn after_close_every_append_is_unavailable(make: &dyn Make) {
    let world = make.make(Bounds::default());
    let mut sender = Sender::new(1);
    world.placed("lobby", sender.next("hi")).await;
    assert_eq!(*world.engine.health().borrow(), Health::Ok);
    world.engine.close().await;
    let answer = world.append("lobby", sender.next("late")).await;
    assert!(matches!(rejected(answer), Rejected::Unavailable { .. }));
    assert_eq!(*world.engine.health().borrow(), Health::Down);
}
