//! Nicknames: taken, displaced, told apart.

use std::time::Duration;

use serde_json::json;

use crate::{
    domain::nickname::NameSource::{Chosen, Claim},
    hub::{join::JoinError, send::SendError, testing},
};

use super::house::{House, id, message, nicks};

#[tokio::test(start_paused = true)]
async fn a_name_is_taken_until_its_seat_is_given_back() {
    let house = House::new();
    let (held, _) = house.guest(1).named("Alice", Chosen).join("lobby", 0).await;
    let mallory = house.guest(2).named("ALICE", Chosen);
    let taken = || async { mallory.try_join("lobby", 0).await.map(|_| ()).err() };
    assert_eq!(taken().await, Some(JoinError::NicknameTaken));
    drop(held);
    house.wait(Duration::from_secs(14)).await;
    assert_eq!(
        taken().await,
        Some(JoinError::NicknameTaken),
        "held for whoever resumes"
    );
    house.wait(Duration::from_secs(2)).await;
    assert_eq!(taken().await, None);
}

#[tokio::test(start_paused = true)]
async fn after_leave_a_name_is_free_at_once() {
    let house = House::new();
    let (left, _) = house.guest(1).named("Alice", Chosen).join("lobby", 0).await;
    left.leave();
    house.quiet().await;
    let (_stay, joined) = house.guest(2).named("Alice", Chosen).join("lobby", 0).await;
    assert_eq!(joined["nick"], "Alice");
}

#[tokio::test(start_paused = true)]
async fn a_claim_displaces_a_chosen_name_and_everybody_sees_it() {
    let house = House::new();
    let mut alice = house.guest(1).named("Alice", Chosen);
    let (alice_in, _) = alice.join("lobby", 0).await;
    let mut watcher = house.guest(9);
    let (_watcher_in, _) = watcher.join("lobby", 0).await;
    house.wait(Duration::from_secs(1)).await;
    watcher.frames();
    alice.frames();

    let (_claimed, joined) = house.guest(2).named("Alice", Claim).join("lobby", 0).await;
    assert_eq!(joined["nick"], "Alice");
    let now = alice_in.nick();
    assert!(now.as_str().starts_with("guest-"), "{}", now.as_str());
    house.quiet().await;
    for told in [watcher.frames_of("presence"), alice.frames_of("presence")] {
        assert_eq!(told.len(), 1);
        assert_eq!(nicks(&told[0]["left"]), ["Alice"]);
        let mut joined = nicks(&told[0]["joined"]);
        joined.sort_unstable();
        assert_eq!(joined, ["Alice", now.as_str()]);
        assert_eq!(told[0]["count"], 3);
    }
    let chosen = house.guest(3).named("alice", Chosen);
    let refused = chosen.try_join("lobby", 0).await.map(|_| ());
    assert_eq!(refused, Err(JoinError::NicknameTaken));
}

#[tokio::test(start_paused = true)]
async fn equal_claims_are_both_let_in_and_the_later_is_told_apart() {
    let house = House::new();
    let (first, _) = house.guest(1).named("Alice", Claim).join("lobby", 0).await;
    let (second, joined) = house.guest(2).named("Alice", Claim).join("lobby", 0).await;
    assert_eq!(first.nick().as_str(), "Alice");
    assert_ne!(second.nick().as_str(), "Alice");
    assert!(second.nick().as_str().starts_with("Alice"));
    assert!(second.nick().is_verified());
    assert_eq!(joined["nick"], second.nick().as_str());
}

#[tokio::test(start_paused = true)]
async fn a_service_cannot_speak_under_a_name_that_somebody_holds() {
    let house = House::new();
    let (_alice, _) = house.guest(1).named("Alice", Chosen).join("lobby", 0).await;
    let (_bob, _) = house.guest(2).named("Bob", Claim).join("lobby", 0).await;
    let service = testing::user(50);
    let mut seq = 0;
    for (name, answer) in [
        ("alice", Some(SendError::NicknameTaken)),
        ("Bob", Some(SendError::NicknameTaken)),
        ("Weather", None),
    ] {
        seq += u64::from(answer.is_none());
        let what = message(service, seq.max(1), testing::nick(name, Chosen), "sunny");
        let grant = testing::publish_grant(&id("lobby"), service);
        assert_eq!(house.hub.publish(grant, what).await.err(), answer, "{name}");
    }
    let published = house
        .metrics
        .messages
        .get_or_create(&[("kind", "chat"), ("source", "api")])
        .get();
    assert_eq!(published, 1);
}

#[tokio::test(start_paused = true)]
async fn of_racing_claims_to_a_chosen_name_one_wins() {
    let house = House::new();
    for round in 0..100 {
        let guests: Vec<_> = (0..2)
            .map(|n| house.guest(n).named(&format!("Name {round}"), Chosen))
            .collect();
        let joins = guests.iter().map(|guest| guest.try_join("lobby", 0));
        let answers = futures_util::future::join_all(joins).await;
        let won = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(won, 1, "round {round}");
        for membership in answers.into_iter().flatten() {
            membership.leave();
        }
        house.quiet().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_yields_while_its_owner_is_still_entering_yields() {
    let house = House::new();
    // The room is cold: the first guest has a seat, and waits for the log.
    let slow = house.guest(1).named("Alice", Chosen);
    let quick = house.guest(2).named("Alice", Claim);
    let (slow_in, quick_in) = tokio::join!(slow.try_join("lobby", 0), quick.try_join("lobby", 0));
    let (slow_in, quick_in) = (slow_in.expect("in"), quick_in.expect("in"));
    assert_eq!(quick_in.nick().as_str(), "Alice");
    assert!(slow_in.nick().as_str().starts_with("guest-"));
    house.quiet().await;
    let grant = testing::read_grant(&id("lobby"), testing::user(1));
    let (_, people) = house.hub.members(grant(), 10).await.expect("readable");
    let names: Vec<_> = people
        .iter()
        .map(|(_, nick)| json!(nick.as_str()))
        .collect();
    assert_eq!(names, [json!(slow_in.nick().as_str()), json!("Alice")]);
}
