//! What was deleted is gone: from the rings, from what is read, and from what was being read meanwhile.

use std::{sync::atomic::Ordering, time::Duration};

use serde_json::{Value, json};

use crate::{
    domain::{
        cursor::Cursor,
        envelope::encode_deletion,
        ids::{MessageId, Producer, ProducerId, UserId},
        position::{Epoch, Position},
        reason::Reason,
    },
    hub::{
        history::{HistoryAsk, PageFrom},
        redact::{RedactError, Redacted, Redaction, Source},
        testing,
    },
    log::{Append, RoomLog},
    outbound::entry_frames::Format,
};

use super::house::{House, Keeps, id, kinds, list};

async fn delete(house: &House, offset: u64, epoch: Option<Epoch>) -> Result<Redacted, RedactError> {
    let what = Redaction {
        offset,
        epoch,
        reason: Some(Reason::from_untrusted("because").expect("a reason")),
        source: Source::Socket,
    };
    let grant = testing::moderate_grant(&id("lobby"), testing::user(9));
    house.hub.redact(grant, what).await
}

async fn page(house: &House, from: PageFrom) -> Vec<Value> {
    let grant = testing::read_grant(&id("lobby"), testing::user(1));
    let ask = HistoryAsk {
        from,
        limit: 100,
        format: Format::Html,
    };
    let page = house.hub.history(grant(), ask).await.expect("readable");
    page.messages
        .iter()
        .map(|frame| serde_json::from_str(frame.as_str()).expect("JSON"))
        .collect()
}

/// Whether none of this says anything of a secret, or who wrote it.
fn is_gone(frames: &[Value]) -> bool {
    let all = json!(frames).to_string();
    !all.contains("secret") && !all.contains("because")
}

#[tokio::test(start_paused = true)]
async fn a_deletion_is_told_to_everybody_and_what_it_names_is_empty_from_then_on() {
    let house = House::new();
    let mut alice = house.guest(1);
    let mut plain = house.guest_with(3, Format::Text, 256);
    let (_a, _) = alice.join("lobby", 0).await;
    let (_p, _) = plain.join("lobby", 0).await;
    alice.say("lobby", "before").await;
    let secret = alice.say("lobby", "secret").await.at.expect("new");
    alice.say("lobby", "after").await;
    house.quiet().await;
    alice.frames();
    plain.frames();

    let gone = delete(&house, secret.offset, Some(secret.epoch)).await;
    let place = gone.expect("deleted").placed.at.expect("new");
    assert_eq!(place.offset, 4);
    let reads = house.log.reads();
    let mut soon = house.guest(4); // not even before the feed has brought it
    let (_s, joined) = soon.join("lobby", 50).await;
    assert!(is_gone(list(&joined["messages"])), "{joined}");
    assert_eq!(house.log.reads(), reads, "all of it came out of the ring");
    house.quiet().await;

    let deleted = json!({ "type": "deleted", "room": "lobby", "offset": 4, "target": 2 });
    assert_eq!(alice.frames_of("deleted"), std::slice::from_ref(&deleted));
    assert!(plain.frames().is_empty(), "a plain reader is told nothing");
    for format in [Format::Json, Format::Html] {
        let mut late = house.guest_with(5, format, 256);
        let (_l, joined) = late.join("lobby", 50).await;
        let told = list(&joined["messages"]);
        assert!(is_gone(told), "{joined}");
        assert_eq!(
            kinds(told),
            ["epoch", "message", "message", "message", "deleted"]
        );
        let empty = &told[2];
        assert_eq!(
            (&empty["deleted"], &empty["offset"]),
            (&json!(true), &json!(2))
        );
        for field in ["user", "nick", "verified", "text", "html"] {
            assert!(empty.get(field).is_none(), "{empty}");
        }
        assert_eq!(told[4], deleted);
    }
    let mut back = house.guest(6).since(&[(1, &secret.epoch.to_string())]);
    let (_b, joined) = back.join("lobby", 0).await;
    assert_eq!(joined["recovered"], true);
    assert!(is_gone(list(&joined["messages"])), "{joined}");
    for from in [PageFrom::Before(None), PageFrom::After(Cursor::default())] {
        let told = page(&house, from).await;
        assert!(is_gone(&told));
        assert_eq!(kinds(&told), ["message", "message", "message", "deleted"]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_another_node_deletes_is_gone_from_the_ring_too() {
    let house = House::new();
    let mut alice = house.guest(1);
    let (_a, _) = alice.join("lobby", 0).await;
    let secret = alice.say("lobby", "secret").await.at.expect("new");
    house.quiet().await;
    let by = testing::user(9);
    let deletion = Append {
        envelope: &encode_deletion(secret, by, None),
        redacts: Some(secret),
        ..append(&by)
    };
    house
        .log
        .append(&id("lobby"), deletion)
        .await
        .expect("placed");
    house.quiet().await;
    let (_b, joined) = house.guest(2).join("lobby", 50).await;
    let told = list(&joined["messages"]);
    assert!(is_gone(told) && is_empty_at(told, 1), "{joined}");
}

/// An append beside the hub.
fn append(by: &UserId) -> Append<'_> {
    Append {
        id: MessageId {
            producer: Producer {
                id: ProducerId::from_bytes([7; 12]),
                chain: 0,
            },
            seq: 1,
        },
        prev: 0,
        by,
        remember: Duration::from_mins(1),
        text_hash: 0,
        checked: None,
        envelope: b"",
        redacts: None,
        state: None,
    }
}

/// A house with a long log, somebody in the room, and an epoch.
async fn long_house() -> (House, super::house::Guest, String) {
    let house = House::with(Keeps::Count(10_000), |_| {});
    let mut alice = house.guest(1);
    let mut at = None;
    for n in 1..=3000 {
        at = alice.say("lobby", &n.to_string()).await.at;
    }
    let epoch = at.expect("new").epoch.to_string();
    (house, alice, epoch)
}

/// The next page is read, then the message goes, then the page is given.
async fn delete_while_a_page_is_under_way(house: &House, target: u64) {
    house.quiet().await;
    delete(house, target, None).await.expect("deleted");
    house.quiet().await;
    house.log.give();
}

fn is_empty_at(frames: &[Value], target: u64) -> bool {
    let one = frames.iter().find(|frame| frame["offset"] == target);
    one.expect("it came")["deleted"] == true
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_with_a_page_that_was_read_before_a_deletion_gets_it_emptied() {
    // Just below the ring, which is filled up by that page, and far below it, with a page for nobody else.
    for (since, target) in [(2890, 2895), (400, 405)] {
        let (house, mut alice, epoch) = long_house().await;
        let (_a, _) = alice.join("lobby", 0).await;
        for number in [2, 3] {
            let mut bob = house.guest(number).since(&[(since, &epoch)]);
            let is_first = number == 2;
            house.log.keeps_page.store(is_first, Ordering::Relaxed);
            let (_b, joined) = if is_first {
                let delete = delete_while_a_page_is_under_way(&house, target);
                tokio::join!(bob.join("lobby", 0), delete).0
            } else {
                bob.join("lobby", 0).await
            };
            let told = list(&joined["messages"]);
            assert!(is_empty_at(told, target), "{since}, guest {number}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_lags_gets_a_page_that_was_read_before_a_deletion_emptied() {
    let (house, mut alice, epoch) = long_house().await;
    let (_a, _) = alice.join("lobby", 0).await;
    let mut bob = house.guest(2).since(&[(400, &epoch)]);
    let (stay, joined) = bob.join("lobby", 0).await;
    assert_eq!(list(&joined["messages"]).len(), 100);
    assert!(stay.lags(), "and there is more to come");
    house.log.keeps_page.store(true, Ordering::Relaxed);
    let delete = delete_while_a_page_is_under_way(&house, 505);
    tokio::join!(stay.catch_up(), delete);
    assert!(is_empty_at(&bob.frames(), 505));
}

#[tokio::test(start_paused = true)]
async fn what_is_deleted_twice_is_deleted_once_while_the_log_remembers() {
    let house = House::new();
    let mut alice = house.guest(1);
    let secret = alice.say("lobby", "secret").await.at.expect("new");
    let first = delete(&house, 1, Some(secret.epoch))
        .await
        .expect("deleted");
    let again = delete(&house, 1, None).await.expect("deleted before");
    assert!(again.placed.duplicate);
    assert_eq!(
        (again.id, again.placed.at, again.placed.ts),
        (first.id, first.placed.at, first.placed.ts)
    );
    assert_eq!(page(&house, PageFrom::Before(None)).await.len(), 2);
    let counted = |house: &House| {
        let labels = [("act", "delete"), ("source", "socket")];
        house.metrics.moderation_acts.get_or_create(&labels).get()
    };
    assert_eq!(counted(&house), 1, "an act that changes nothing is none");

    house.clock.advance(Duration::from_hours(25));
    let later = delete(&house, 1, None).await.expect("deleted before");
    assert_eq!(
        later.placed.at.map(|at| at.offset),
        Some(3),
        "forgotten: another entry, which does no harm"
    );
    let told = page(&house, PageFrom::Before(None)).await;
    assert_eq!(kinds(&told), ["message", "deleted", "deleted"]);
}

#[tokio::test(start_paused = true)]
async fn a_repeat_makes_sure_that_the_content_is_gone() {
    let house = House::new();
    let mut alice = house.guest(1);
    alice.say("lobby", "secret").await;
    house.log.leaves_content.store(true, Ordering::Relaxed);
    let first = delete(&house, 1, None).await.expect("placed");
    assert!(
        !is_gone(&page(&house, PageFrom::Before(None)).await),
        "the log was set back in between"
    );
    let again = delete(&house, 1, None).await.expect("deleted");
    assert!(is_gone(&page(&house, PageFrom::Before(None)).await));
    assert_ne!(first.id, again.id);
    assert_eq!(again.placed.at.map(|at| at.offset), Some(3));
}

#[tokio::test(start_paused = true)]
async fn only_a_message_that_is_there_in_the_epoch_that_is_meant_can_be_deleted() {
    let house = House::with(Keeps::Count(3), |_| {});
    let mut alice = house.guest(1);
    let mut head = None;
    for n in 1..=5 {
        head = alice.say("lobby", &n.to_string()).await.at;
    }
    let epoch = head.expect("new").epoch;
    let other = Epoch::new(epoch.raw() + 1);
    for (offset, why) in [
        (0, "nothing"),
        (2, "gone"),
        (6, "above the head"),
        (u64::MAX, "far"),
    ] {
        for epoch in [None, Some(epoch), Some(other)] {
            let answer = delete(&house, offset, epoch).await;
            assert_eq!(answer, Err(RedactError::NotFound), "{offset}: {why}");
        }
    }
    assert_eq!(
        delete(&house, 5, Some(other)).await,
        Err(RedactError::Conflict)
    );
    let by = testing::user(1);
    let later_build = Append {
        envelope: b"\x01\xffof a later build",
        ..append(&by)
    };
    house
        .log
        .append(&id("lobby"), later_build)
        .await
        .expect("placed");
    assert_eq!(delete(&house, 6, None).await, Err(RedactError::NotFound));
    let done = delete(&house, 5, Some(epoch)).await.expect("deleted");
    let place = done.placed.at.expect("new");
    assert_eq!(place, Position { offset: 7, epoch });
    assert_eq!(
        delete(&house, place.offset, Some(epoch)).await,
        Err(RedactError::NotFound),
        "a deletion is no message"
    );
}

#[tokio::test(start_paused = true)]
async fn a_deletion_whose_answer_is_lost_is_unknown_in_time_and_known_when_repeated() {
    let house = House::new();
    let mut alice = house.guest(1);
    alice.say("lobby", "secret").await;
    house.log.hangs.store(true, Ordering::Relaxed);
    assert_eq!(delete(&house, 1, None).await, Err(RedactError::Unknown));
    let again = delete(&house, 1, None).await.expect("known");
    assert_eq!(
        (again.placed.duplicate, again.placed.at.map(|at| at.offset)),
        (true, Some(2))
    );
}
