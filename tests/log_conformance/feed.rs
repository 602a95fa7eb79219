//! `Follow`: what comes back up.

use bytes::Bytes;
use wardroom::{domain::cursor::Cursor, log::Feed};

use crate::world::{Bounds, Make, Sender, drain, offsets, room};

fn entry_offsets(items: &[Feed]) -> Vec<u64> {
    items
        .iter()
        .filter_map(|item| match item {
            Feed::Entry(_, entry) => Some(entry.at.offset),
            _ => None,
        })
        .collect()
}

fn marks(items: &[Feed]) -> Vec<&'static str> {
    items
        .iter()
        .filter_map(|item| match item {
            Feed::Suspect(_) => Some("suspect"),
            Feed::Sound(_) => Some("sound"),
            _ => None,
        })
        .collect()
}

pub(crate) async fn the_feed_has_the_entry_before_the_caller_has_the_answer(make: &dyn Make) {
    let world = make.make(Bounds::default());
    let mut feed = world.engine.feed();
    let mut sender = Sender::new(1);
    for n in 1..=5 {
        let at = world.placed("lobby", sender.next("hi")).await;
        let items = drain(&mut feed);
        let [Feed::Entry(name, entry)] = items.as_slice() else {
            panic!("expected one entry, number {n}: {items:?}");
        };
        assert_eq!((name.as_str(), entry.at), ("lobby", at));
    }
}

pub(crate) async fn a_repeat_does_not_come_through_the_feed_again(make: &dyn Make) {
    let world = make.make(Bounds::default());
    let mut feed = world.engine.feed();
    let mut sender = Sender::new(1);
    world.placed("lobby", sender.next("hi")).await;
    world
        .append("lobby", sender.numbered(1, 0, "hi"))
        .await
        .expect("known");
    assert_eq!(entry_offsets(&drain(&mut feed)), [1]);
}

pub(crate) async fn a_full_feed_is_suspect_then_sound_and_nobody_waits(make: &dyn Make) {
    let world = make.make(Bounds {
        feed_entries_max: 16,
        ..Bounds::default()
    });
    let mut feed = world.engine.feed();
    world.fill("lobby", 16).await;
    assert_eq!(entry_offsets(&drain(&mut feed)).len(), 16, "n pass");
    world.fill("garden", 40).await; // answered, though nobody reads
    let items = drain(&mut feed);
    assert_eq!(marks(&items), ["suspect", "sound"]);
    let got = entry_offsets(&items);
    assert_eq!(
        got,
        (1..=u64::try_from(got.len()).expect("few")).collect::<Vec<_>>()
    );
    // What the feed lost is in the log.
    let page = world.read("garden", &Cursor::default(), 100).await;
    assert_eq!(offsets(&page.entries), (1..=40).collect::<Vec<_>>());
    let mut late = Sender::new(9);
    world.placed("garden", late.next("after")).await;
    assert_eq!(entry_offsets(&drain(&mut feed)), [41]);
}

pub(crate) async fn a_feed_full_by_bytes_is_suspect(make: &dyn Make) {
    let world = make.make(Bounds {
        feed_bytes_max: 8192,
        ..Bounds::default()
    });
    let mut feed = world.engine.feed();
    let mut sender = Sender::new(1);
    let text = "x".repeat(4000);
    for _ in 0..4 {
        world.placed("lobby", sender.next(&text)).await;
    }
    let items = drain(&mut feed);
    assert!(entry_offsets(&items).len() < 4);
    assert_eq!(marks(&items), ["suspect", "sound"]);
}

pub(crate) async fn a_cast_reaches_the_feed_once(make: &dyn Make) {
    let world = make.make(Bounds::default());
    let mut feed = world.engine.feed();
    world
        .engine
        .cast(&room("lobby"), Bytes::from_static(b"typing"))
        .await;
    let items = drain(&mut feed);
    let [Feed::Cast(name, body)] = items.as_slice() else {
        panic!("expected one cast: {items:?}");
    };
    assert_eq!((name.as_str(), &body[..]), ("lobby", &b"typing"[..]));
}

pub(crate) async fn a_second_consumer_gets_a_closed_channel(make: &dyn Make) {
    let world = make.make(Bounds::default());
    let mut first = world.engine.feed();
    assert!(world.engine.feed().recv().await.is_none());
    world.fill("lobby", 1).await;
    assert_eq!(drain(&mut first).len(), 1);
}
