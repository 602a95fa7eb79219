//! Bounds, idle rooms, and one room's trouble staying its own.

use std::{sync::Arc, time::Duration};

use crate::{hub::join::JoinError, outbound::entry_frames::Format, protocol::codes::CloseCode};

use super::house::{House, Keeps};

#[tokio::test(start_paused = true)]
async fn n_rooms_live_here_and_one_more_does_not() {
    let house = House::with(Keeps::Count(10), |settings| settings.rooms_max = 3);
    let mut alice = house.guest(1);
    let mut stays = Vec::new();
    for room in ["a", "b", "c"] {
        stays.push(alice.join(room, 0).await.0);
    }
    let full = alice.try_join("d", 0).await.map(|_| ());
    assert_eq!(full, Err(JoinError::RoomsFull));
    let (_again, _) = house.guest(2).join("c", 0).await;
    // A room that nobody is in goes cold and makes room.
    stays.remove(0).leave();
    house.wait(Duration::from_secs(25)).await;
    assert!(alice.try_join("d", 0).await.is_err(), "not yet");
    house.wait(Duration::from_secs(8)).await;
    assert!(alice.try_join("d", 0).await.is_ok());
    let rooms = house.metrics.rooms.get_or_create(&[("kind", "chat")]).get();
    assert_eq!(rooms, 3);
}

#[tokio::test(start_paused = true)]
async fn a_cold_room_comes_back_from_the_log() {
    let house = House::new();
    let mut alice = house.guest(1);
    let (membership, _) = alice.join("lobby", 0).await;
    alice.say("lobby", "one").await;
    membership.leave();
    house.wait(Duration::from_mins(1)).await;
    assert_eq!(house.hub.rooms.len(), 0);
    let mut ghost = house.guest(9);
    ghost.say("lobby", "two").await;
    let (_back, joined) = alice.join("lobby", 9).await;
    assert_eq!(
        super::house::texts(super::house::list(&joined["messages"])),
        ["one", "two"]
    );
}

#[tokio::test(start_paused = true)]
async fn rings_hold_no_more_than_they_may() {
    let house = House::with(Keeps::Count(1000), |settings| {
        settings.ring_bytes_total_max = 40_000;
    });
    let mut stays = Vec::new();
    for (n, room) in ["a", "b", "c", "d"].into_iter().enumerate() {
        let mut guest = house.guest(u8::try_from(n).expect("few"));
        stays.push(guest.join(room, 0).await.0);
        for _ in 0..30 {
            guest.say(room, &"x".repeat(200)).await;
            house.quiet().await;
            guest.frames();
        }
        house.wait(Duration::from_secs(2)).await;
    }
    let held = house
        .hub
        .ring_bytes
        .load(std::sync::atomic::Ordering::Relaxed);
    assert!(held <= 40_000, "{held}");
    // Whoever resumes is served from the log instead.
    let epoch = {
        let mut guest = house.guest(1);
        guest
            .say("a", "more")
            .await
            .at
            .expect("new")
            .epoch
            .to_string()
    };
    let mut back = house.guest(7).since(&[(3, &epoch)]);
    let (_stay, joined) = back.join("a", 0).await;
    assert_eq!(joined["recovered"], true);
    assert_eq!(super::house::list(&joined["messages"]).len(), 28);
}

#[tokio::test(start_paused = true)]
async fn a_panic_over_one_room_stays_that_rooms() {
    let house = House::with(Keeps::Count(100), |settings| {
        settings.derive_html = Arc::new(|text| {
            assert!(text != "boom", "on purpose");
            text.to_owned()
        });
    });
    let mut alice = house.guest_with(1, Format::Html, 256);
    let mut bob = house.guest(2);
    let (alice_in, _) = alice.join("lobby", 0).await;
    let (_bob_in, _) = bob.join("garden", 0).await;
    alice.say("lobby", "boom").await;
    house.quiet().await;
    assert_eq!(alice.reader.ended(), Some(CloseCode::Internal));
    assert_eq!(bob.reader.ended(), None);
    bob.say("garden", "all is well").await;
    house.quiet().await;
    assert_eq!(bob.texts(), ["all is well"]);
    // The room is made anew from the log.
    drop(alice_in);
    let mut carol = house.guest(3);
    let (_carol_in, joined) = carol.join("lobby", 5).await;
    assert_eq!(
        super::house::texts(super::house::list(&joined["messages"])),
        ["boom"]
    );
    carol.say("lobby", "again").await;
    house.quiet().await;
    assert_eq!(carol.texts(), ["again"]);
}
