//! What a person said is gone once its erasure was answered: also from what this node keeps at hand, and from what was on its way
//! there.

use std::sync::atomic::Ordering;

use crate::{auth::grants::AdminGrant, hub::testing};

use super::house::{House, id};

async fn erase(house: &House, number: u8) {
    let grant = AdminGrant::of(testing::user(9));
    let erased = house.hub.erase(grant, testing::user(number)).await;
    erased.expect("the log is there");
}

/// What somebody who comes now is shown of the room.
async fn shown(house: &House, number: u8) -> String {
    let (_stay, joined) = house.guest(number).join("lobby", 50).await;
    joined["messages"].to_string()
}

#[tokio::test(start_paused = true)]
async fn what_is_still_on_its_way_to_the_room_is_gone_too() {
    let house = House::new();
    let mut alice = house.guest(1);
    let (_stay, _) = alice.join("lobby", 0).await;
    alice.say("lobby", "hello").await;
    house.quiet().await;
    alice.frames();
    alice.say("lobby", "secret").await;
    assert!(alice.texts().is_empty(), "not yet taken from the feed");
    erase(&house, 1).await;
    house.quiet().await;
    // No more than the ring has.
    let (_stay, joined) = house.guest(2).join("lobby", 1).await;
    assert!(!joined.to_string().contains("secret"), "{joined}");
}

#[tokio::test(start_paused = true)]
async fn a_page_that_was_being_read_meanwhile_does_not_bring_it_back() {
    let house = House::new();
    let mut alice = house.guest(1);
    let (_stay, _) = alice.join("lobby", 0).await;
    let mut at = None;
    for n in 0..5 {
        at = alice.say("lobby", &format!("secret {n}")).await.at;
    }
    let epoch = at.expect("new").epoch.to_string();
    house.quiet().await;
    erase(&house, 7).await; // nobody's words, but from here on the room has to read
    house
        .hub
        .rooms
        .find(&id("lobby"))
        .expect("alive")
        .state
        .lock()
        .ring
        .clear();
    house.log.keeps_page.store(true, Ordering::Relaxed);
    let mut bob = house.guest(2).since(&[(1, &epoch)]);
    let (joined, ()) = tokio::join!(bob.join("lobby", 0), async {
        house.quiet().await; // the page is read, and not given
        erase(&house, 1).await;
        house.log.give();
    });
    drop(joined);
    house.quiet().await;
    assert!(!shown(&house, 3).await.contains("secret"));
    let (_stay, joined) = house.guest(4).since(&[(1, &epoch)]).join("lobby", 0).await;
    assert!(!joined.to_string().contains("secret"), "{joined}");
}
