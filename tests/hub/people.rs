//! Presence and typing.

use std::{sync::atomic::Ordering, time::Duration};

use serde_json::json;

use crate::hub::testing;

use super::house::{House, id, kinds, nicks};

#[tokio::test(start_paused = true)]
async fn the_first_change_is_told_at_once_and_the_next_together() {
    let house = House::new();
    let mut alice = house.guest(1);
    let (_alice_in, joined) = alice.join("lobby", 0).await;
    assert_eq!(joined["members"], 1);
    house.quiet().await;
    assert!(
        alice.frames().is_empty(),
        "nobody is told that they came themselves"
    );
    house.wait(Duration::from_secs(1)).await;

    let mut others: Vec<_> = (2..=6).map(|n| house.guest(n)).collect();
    let (_second, _) = others[0].join("lobby", 0).await;
    house.quiet().await;
    let first = alice.frames();
    assert_eq!(kinds(&first), ["presence"], "at once");
    assert_eq!(
        (nicks(&first[0]["joined"]), &first[0]["count"]),
        (vec!["Guest 2"], &json!(2))
    );

    let mut stays = Vec::new();
    for guest in &mut others[1..] {
        stays.push(guest.join("lobby", 0).await.0);
        house.quiet().await;
    }
    let (went, _) = house.guest(7).join("lobby", 0).await;
    went.leave();
    house.wait(Duration::from_millis(200)).await;
    assert!(alice.frames().is_empty(), "not yet");
    house.wait(Duration::from_millis(51)).await;
    let rest = alice.frames();
    assert_eq!(kinds(&rest), ["presence"], "one frame");
    assert_eq!(nicks(&rest[0]["joined"]).len(), 4);
    assert_eq!(nicks(&rest[0]["left"]), ["Guest 7"]);
    assert_eq!(rest[0]["count"], 6);
    house.wait(Duration::from_secs(5)).await;
    assert!(alice.frames().is_empty());
}

#[tokio::test(start_paused = true)]
async fn sessions_of_one_person_are_one_person() {
    let house = House::new();
    let mut alice = house.guest(1);
    let (_alice_in, _) = alice.join("lobby", 0).await;
    let (laptop, joined) = house.guest(2).join("lobby", 0).await;
    assert_eq!(joined["members"], 2);
    let (phone, joined) = house.guest(2).join("lobby", 0).await;
    assert_eq!(joined["members"], 2, "oneself counts once");
    house.wait(Duration::from_secs(1)).await;
    assert_eq!(alice.frames_of("presence").len(), 1);
    laptop.leave();
    house.wait(Duration::from_secs(1)).await;
    assert!(alice.frames().is_empty(), "still here");
    phone.leave();
    house.quiet().await;
    let told = alice.frames();
    assert_eq!(
        (nicks(&told[0]["left"]), &told[0]["count"]),
        (vec!["Guest 2"], &json!(1))
    );
}

#[tokio::test(start_paused = true)]
async fn a_lost_socket_is_held_and_a_resume_in_time_never_flickers() {
    let house = House::new(); // held for 15 s
    let mut alice = house.guest(1);
    let (_alice_in, _) = alice.join("lobby", 0).await;
    let (lost, _) = house.guest(2).join("lobby", 0).await;
    house.wait(Duration::from_secs(1)).await;
    alice.frames();

    drop(lost);
    house.wait(Duration::from_secs(14)).await;
    let (back, joined) = house.guest(2).join("lobby", 0).await;
    assert_eq!(joined["members"], 2);
    house.wait(Duration::from_mins(1)).await;
    assert!(alice.frames().is_empty(), "never gone");

    drop(back);
    house.wait(Duration::from_millis(14_900)).await;
    assert!(alice.frames().is_empty());
    house.wait(Duration::from_millis(200)).await;
    let told = alice.frames();
    assert_eq!(nicks(&told[0]["left"]), ["Guest 2"]);
}

#[tokio::test(start_paused = true)]
async fn leaving_and_coming_back_at_once_keeps_the_seat() {
    let house = House::new();
    let mut bob = house.guest(2);
    for _ in 0..5 {
        let (membership, joined) = bob.join("lobby", 0).await;
        assert_eq!(joined["members"], 1);
        membership.leave(); // and the answer of the log is not waited for
    }
    let (_membership, _) = bob.join("lobby", 0).await;
    house.wait(Duration::from_mins(1)).await;
    let grant = testing::read_grant(&id("lobby"), bob.user);
    let (count, people) = house.hub.members(grant(), 10).await.expect("readable");
    assert_eq!((count, people.len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_join_that_is_given_up_gives_its_seat_back() {
    let house = House::new();
    house.log.goes_down();
    let bob = house.guest(2);
    assert!(bob.try_join("lobby", 0).await.is_err());
    house.log.comes_back();
    house.wait(Duration::from_secs(1)).await;
    let grant = testing::read_grant(&id("lobby"), bob.user);
    assert_eq!(house.hub.members(grant(), 10).await.expect("readable").0, 0);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_overtaken_again_and_again_does_not_undo_what_was_told() {
    let house = House::new();
    let mut alice = house.guest(1);
    let (_alice_in, _) = alice.join("lobby", 0).await;
    let grant = testing::read_grant(&id("lobby"), alice.user);
    house.log.keeps_lists.store(5, Ordering::Relaxed);
    let overtaking = async {
        let mut stays = Vec::new();
        for number in 2..=6 {
            house.wait(Duration::from_millis(300)).await;
            stays.push(house.guest(number).join("lobby", 0).await.0);
            house.quiet().await;
            house.log.give();
        }
        stays
    };
    let (list, _stays) = tokio::join!(house.hub.members(grant(), 10), overtaking);
    let (count, people) = list.expect("readable");
    assert_eq!((count, people.len()), (6, 6));
}

#[tokio::test(start_paused = true)]
async fn in_a_crowd_the_count_is_exact_and_the_list_is_cut() {
    let house = House::with(super::house::Keeps::Count(10), |settings| {
        settings.members_page_max = 20;
    });
    let mut alice = house.guest(0);
    let (_alice_in, _) = alice.join("lobby", 0).await;
    house.quiet().await;
    let mut stays = Vec::new();
    for n in 1..=60 {
        stays.push(house.guest(n).join("lobby", 0).await.0);
    }
    house.wait(Duration::from_secs(1)).await;
    let told = alice.frames_of("presence");
    assert_eq!(
        told.last().map(|frame| frame["count"].clone()),
        Some(json!(61))
    );
    assert!(told.iter().all(|frame| nicks(&frame["joined"]).len() <= 20));
    let grant = testing::read_grant(&id("lobby"), alice.user);
    let (count, people) = house.hub.members(grant(), 1000).await.expect("readable");
    assert_eq!((count, people.len()), (61, 20));
}

#[tokio::test(start_paused = true)]
async fn typing_reaches_the_others_and_not_oneself() {
    let house = House::new();
    let mut alice = house.guest(1);
    let mut phone = house.guest(1);
    let mut bob = house.guest(2);
    let (alice_in, _) = alice.join("lobby", 0).await;
    let (_phone_in, _) = phone.join("lobby", 0).await;
    let (_bob_in, _) = bob.join("lobby", 0).await;
    house.wait(Duration::from_secs(1)).await;
    for guest in [&mut alice, &mut phone, &mut bob] {
        guest.frames();
    }
    house
        .hub
        .typing(&testing::send_grant(&id("lobby"), alice.user), &alice_in);
    house.quiet().await;
    let expected =
        json!({"type": "typing", "room": "lobby", "user": alice.user, "nick": "Guest 1"});
    assert_eq!(bob.frames(), std::slice::from_ref(&expected));
    assert_eq!(
        phone.frames(),
        [expected],
        "another session of the same person"
    );
    assert!(alice.frames().is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_could_not_be_told_is_told_the_sum_later() {
    let house = House::new();
    let mut slow = house.guest_with(1, crate::outbound::entry_frames::Format::Json, 8);
    let (slow_in, _) = slow.join("lobby", 0).await;
    let mut bob = house.guest(2);
    let (bob_in, _) = bob.join("lobby", 0).await;
    for n in 0..20 {
        bob.say("lobby", &n.to_string()).await; // the outbox is full
    }
    let (carol_in, _) = house.guest(3).join("lobby", 0).await;
    house.wait(Duration::from_secs(1)).await;
    bob_in.leave();
    house.wait(Duration::from_secs(1)).await;
    let mut told = Vec::new();
    while slow_in.lags() {
        told.extend(slow.frames_of("presence"));
        slow.reader.ready().await;
        slow_in.catch_up().await;
    }
    house.wait(Duration::from_secs(1)).await;
    told.extend(slow.frames_of("presence"));
    let last = told.last().expect("told");
    assert_eq!(
        (nicks(&last["joined"]), nicks(&last["left"])),
        (vec!["Guest 3"], vec!["Guest 2"])
    );
    assert_eq!(last["count"], 2);
    carol_in.leave();
}
