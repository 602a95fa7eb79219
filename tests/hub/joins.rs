//! Joining and resuming.

use std::{sync::atomic::Ordering, time::Duration};

use serde_json::json;

use crate::{hub::join::JoinError, outbound::entry_frames::Format};

use super::house::{House, Keeps, kinds, list, texts};

#[tokio::test(start_paused = true)]
async fn a_fresh_join_of_an_empty_room_stands_at_the_start() {
    let house = House::new();
    let mut alice = house.guest(1);
    let (membership, joined) = alice.join("lobby", 50).await;
    assert_eq!(
        joined,
        json!({"type": "joined", "id": "7", "room": "lobby", "nick": "Guest 1", "head": [0, ""],
               "recovered": false, "members": 1, "messages": []})
    );
    assert_eq!(membership.room().as_str(), "lobby");
    let placed = alice.say("lobby", "first").await;
    house.quiet().await;
    let frames = alice.frames();
    assert_eq!(kinds(&frames), ["epoch", "message"]);
    assert_eq!(frames[0]["from"], 1);
    let epoch = placed.at.expect("new").epoch.to_string();
    assert_eq!(frames[0]["epoch"], epoch.as_str());
    alice.say("lobby", "second").await;
    house.quiet().await;
    assert_eq!(
        kinds(&alice.frames()),
        ["message"],
        "one frame per offset, the epoch once"
    );
}

#[tokio::test(start_paused = true)]
async fn a_fresh_join_starts_with_the_newest_after_an_epoch_frame() {
    let house = House::new();
    let mut alice = house.guest(1);
    let (_membership, _) = alice.join("lobby", 0).await;
    for n in 1..=20 {
        alice.say("lobby", &n.to_string()).await;
    }
    house.quiet().await;
    for (history, expected) in [(0, 0), (1, 1), (5, 5), (20, 20), (90, 20)] {
        let mut bob = house.guest(2);
        let (_stay, joined) = bob.join("lobby", history).await;
        let messages = list(&joined["messages"]);
        assert_eq!(texts(messages).len(), expected, "history {history}");
        assert_eq!(joined["head"][0], 20);
        assert_eq!(joined["members"], 2);
        if expected > 0 {
            assert_eq!(messages[0]["type"], "epoch");
            assert_eq!(messages[0]["from"], 20 - expected + 1);
            assert_eq!(texts(messages).last().map(String::as_str), Some("20"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_room_that_nobody_is_in_begins_with_what_the_log_has() {
    let house = House::new();
    let mut ghost = house.guest(9);
    for n in 1..=150 {
        ghost.say("lobby", &n.to_string()).await;
    }
    let mut bob = house.guest(2);
    let (_stay, joined) = bob.join("lobby", 100).await;
    let told = texts(list(&joined["messages"]));
    assert_eq!(told.len(), 100);
    assert_eq!((told[0].as_str(), told[99].as_str()), ("51", "150"));
    ghost.say("lobby", "151").await;
    house.quiet().await;
    assert_eq!(bob.texts(), ["151"]);
}

#[tokio::test(start_paused = true)]
async fn who_resumes_gets_what_was_missed_and_is_told_so() {
    let house = House::new();
    let mut alice = house.guest(1);
    let (_membership, _) = alice.join("lobby", 0).await;
    for n in 1..=9 {
        alice.say("lobby", &n.to_string()).await;
    }
    house.quiet().await;
    let epoch = alice.frames()[0]["epoch"].as_str().expect("hex").to_owned();
    for (seen, missed) in [(9, 0), (8, 1), (4, 5), (1, 8)] {
        let mut bob = house.guest(2).since(&[(seen, &epoch)]);
        let (_stay, joined) = bob.join("lobby", 3).await;
        let messages = list(&joined["messages"]);
        assert_eq!(messages.len(), missed, "from {seen}");
        assert_eq!(texts(messages).len(), missed, "the epoch is known");
        assert_eq!(joined["recovered"], true);
    }
    // A newest offset of 0 is a fresh join.
    let mut carol = house.guest(3).since(&[(0, "")]);
    let (_stay, joined) = carol.join("lobby", 3).await;
    assert_eq!(
        kinds(list(&joined["messages"])),
        ["epoch", "message", "message", "message"]
    );
    assert_eq!(joined["recovered"], false);
}

#[tokio::test(start_paused = true)]
async fn a_foreign_or_future_cursor_is_a_reset_or_a_fork_and_never_an_error() {
    let house = House::new();
    let mut alice = house.guest(1);
    let (_membership, _) = alice.join("lobby", 0).await;
    for n in 1..=9 {
        alice.say("lobby", &n.to_string()).await;
    }
    house.quiet().await;
    let epoch = alice.frames()[0]["epoch"].as_str().expect("hex").to_owned();

    let mut bob = house.guest(2).since(&[(12, &epoch)]);
    let (_stay, joined) = bob.join("lobby", 0).await;
    assert_eq!(
        joined["messages"],
        json!([{"type": "fork", "room": "lobby", "keep": [9, epoch]}])
    );
    assert_eq!(joined["recovered"], false);

    let mut carol = house.guest(3).since(&[(5, "5f3a")]);
    let (_stay, joined) = carol.join("lobby", 0).await;
    let messages = list(&joined["messages"]);
    assert_eq!(
        messages[0],
        json!({"type": "reset", "room": "lobby", "to": [0, ""]})
    );
    assert_eq!(messages[1]["type"], "epoch");
    assert_eq!(texts(messages).len(), 9, "the newest page follows");
    assert_eq!(joined["recovered"], false);

    let mut dave = house.guest(4).since(&[(5, "5f3a")]);
    let (_stay, joined) = dave.join("empty", 0).await;
    assert_eq!(
        joined["messages"],
        json!([{"type": "reset", "room": "empty", "to": [0, ""]}])
    );
}

#[tokio::test(start_paused = true)]
async fn what_retention_took_is_a_gap_with_or_without_entries() {
    let house = House::with(Keeps::Count(5), |_| {});
    let mut alice = house.guest(1);
    for n in 1..=20 {
        alice.say("lobby", &n.to_string()).await;
    }
    let placed = alice.say("lobby", "21").await;
    let epoch = placed.at.expect("new").epoch.to_string();
    let mut bob = house.guest(2).since(&[(3, &epoch)]);
    let (_stay, joined) = bob.join("lobby", 0).await;
    let messages = list(&joined["messages"]);
    let gap = json!({"type": "gap", "room": "lobby", "from": 4, "to": [16, epoch]});
    assert_eq!(messages[0], gap);
    assert_eq!(texts(messages), ["17", "18", "19", "20", "21"]);
    assert_eq!(joined["recovered"], false);

    let house = House::with(Keeps::Count(0), |_| {});
    let mut alice = house.guest(1);
    alice.say("lobby", "1").await;
    let placed = alice.say("lobby", "2").await;
    let epoch = placed.at.expect("new").epoch.to_string();
    let mut bob = house.guest(2).since(&[(1, &epoch)]);
    let (_stay, joined) = bob.join("lobby", 0).await;
    let gap = json!([{"type": "gap", "room": "lobby", "from": 2, "to": [2, epoch]}]);
    assert_eq!(joined["messages"], gap);
}

#[tokio::test(start_paused = true)]
async fn what_retention_took_is_not_served_from_memory_either() {
    let hour = Duration::from_hours(1);
    for keeps in [Keeps::Count(5), Keeps::Time(hour)] {
        let house = House::with(keeps, |_| {});
        let mut alice = house.guest(1);
        let (_here, _) = alice.join("lobby", 0).await; // the room is alive all the time
        let mut epoch = String::new();
        for n in 1..=9 {
            if n == 5 {
                house.clock.advance(hour);
                house.clock.advance(Duration::from_millis(1));
            }
            let at = alice.say("lobby", &n.to_string()).await.at.expect("new");
            epoch = at.epoch.to_string();
        }
        house.quiet().await;
        let mut bob = house.guest(2).since(&[(1, &epoch)]);
        let (_stay, joined) = bob.join("lobby", 0).await;
        let messages = list(&joined["messages"]);
        let gap = json!({"type": "gap", "room": "lobby", "from": 2, "to": [4, epoch]});
        assert_eq!(messages[0], gap);
        assert_eq!(texts(messages), ["5", "6", "7", "8", "9"]);
        assert_eq!(joined["recovered"], false);
        let reads = house.log.reads();
        let (_stay, joined) = house.guest(3).join("lobby", 50).await;
        assert_eq!(texts(list(&joined["messages"])).len(), 5);
        if matches!(keeps, Keeps::Count(_)) {
            assert_eq!(house.log.reads(), reads, "the ring is all there is");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_absence_comes_in_pages_and_then_live() {
    let house = House::new();
    let mut alice = house.guest(1);
    let (_membership, _) = alice.join("lobby", 0).await;
    for n in 1..=350 {
        alice.say("lobby", &n.to_string()).await;
        alice.frames();
    }
    let at = alice.say("lobby", "351").await.at.expect("new");
    let mut bob = house.guest(2).since(&[(1, &at.epoch.to_string())]);
    let (membership, joined) = bob.join("lobby", 0).await;
    let mut told = texts(list(&joined["messages"]));
    assert_eq!(told.len(), 100, "the first page");
    assert_eq!(joined["recovered"], true);
    alice.say("lobby", "352").await;
    house.quiet().await;
    while membership.lags() {
        membership.catch_up().await;
        bob.reader.ready().await;
        told.extend(bob.texts());
    }
    alice.say("lobby", "353").await;
    house.quiet().await;
    told.extend(bob.texts());
    let all: Vec<String> = (2..=353).map(|n| n.to_string()).collect();
    assert_eq!(told, all);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_who_come_back_together_cost_one_read_each_page() {
    let house = House::new();
    let mut ghost = house.guest(9);
    let mut last = None;
    for n in 1..=600 {
        last = ghost.say("lobby", &n.to_string()).await.at;
    }
    let epoch = last.expect("new").epoch.to_string();
    let mut first = house.guest(1);
    let (_membership, _) = first.join("lobby", 0).await; // the room holds its newest page now
    let before = house.log.reads();
    let mut guests: Vec<_> = (0..200)
        .map(|n| house.guest(n).since(&[(300 + u64::from(n) / 2, &epoch)]))
        .collect();
    let joins = guests.iter_mut().map(|guest| guest.join("lobby", 0));
    let joined = futures_util::future::join_all(joins).await;
    for (n, (_, joined)) in (0_u64..).zip(&joined) {
        let told = texts(list(&joined["messages"]));
        assert_eq!(told[0], (301 + n / 2).to_string());
    }
    let backfills = house.metrics.log_backfills.get();
    assert!((1..=2).contains(&backfills), "{backfills} back-fills");
    assert!(
        house.log.reads() - before <= 2,
        "{} reads",
        house.log.reads() - before
    );
}

#[tokio::test(start_paused = true)]
async fn a_room_that_was_level_once_lets_people_in_while_the_log_is_away() {
    let house = House::new();
    let mut alice = house.guest(1);
    let (_membership, _) = alice.join("lobby", 0).await;
    let at = alice.say("lobby", "hi").await.at.expect("new");
    house.quiet().await;
    house.log.goes_down();
    let mut bob = house.guest(2).since(&[(at.offset, &at.epoch.to_string())]);
    let (_stay, joined) = bob.join("lobby", 0).await;
    assert_eq!(joined["recovered"], true);
    let carol = house.guest(3);
    let refused = carol
        .try_join("garden", 0)
        .await
        .map(|_| ())
        .expect_err("never read");
    assert!(
        matches!(refused, JoinError::Unavailable { .. }),
        "{refused}"
    );
    house.log.comes_back();
    house.wait(Duration::from_secs(2)).await;
    let (_stay, _) = house.guest(3).join("garden", 0).await;
}

#[tokio::test(start_paused = true)]
async fn html_comes_only_to_those_who_asked_and_lines_to_plain_readers() {
    let house = House::new();
    let mut alice = house.guest(1);
    let mut html = house.guest_with(2, Format::Html, 256);
    let mut plain = house.guest_with(3, Format::Text, 256);
    let (_a, _) = alice.join("lobby", 0).await;
    alice.say("lobby", "before").await;
    house.quiet().await;
    let (_b, joined) = html.join("lobby", 5).await;
    assert_eq!(joined["messages"][1]["html"], "<i>before</i>");
    let (_c, nothing) = plain.join("lobby", 0).await;
    assert!(
        nothing.is_null(),
        "no joined, no presence, no epoch: {nothing}"
    );
    alice.frames();
    alice.say("lobby", "two\nlines").await;
    house.quiet().await;
    assert!(alice.frames_of("message")[0].get("html").is_none());
    assert_eq!(html.frames_of("message")[0]["html"], "<i>two\nlines</i>");
    assert_eq!(plain.frames(), ["Guest 1: two lines"]);
}

#[tokio::test(start_paused = true)]
async fn an_append_whose_answer_is_lost_is_unknown_in_time_and_known_when_repeated() {
    let house = House::new();
    let mut alice = house.guest(1);
    house.log.hangs.store(true, Ordering::Relaxed);
    let answer = alice.try_say("lobby", "hi").await;
    assert_eq!(answer, Err(crate::hub::send::SendError::Unknown));
    let repeat = super::house::message(alice.user, 1, alice.nick.clone(), "hi");
    let grant = crate::hub::testing::send_grant(&super::house::id("lobby"), alice.user);
    assert!(
        house
            .hub
            .send(grant, repeat)
            .await
            .expect("known")
            .duplicate
    );
}
