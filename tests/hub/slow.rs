//! Slow consumers are cursors: they cost their outbox, and nobody else anything.

use std::{sync::Arc, time::Duration};

use crate::{
    outbound::{
        entry_frames::Format,
        outbox::{OutboxBounds, outbox},
        outbox_budget::OutboxBudget,
    },
    protocol::codes::CloseCode,
};

use super::house::{House, Keeps};

#[tokio::test(start_paused = true)]
async fn a_member_that_reads_nothing_costs_its_outbox_and_misses_nothing() {
    let house = House::new();
    let mut quick = house.guest(1);
    let mut stalled = house.guest_with(2, Format::Json, 10);
    let (_quick_in, _) = quick.join("lobby", 0).await;
    let (stalled_in, _) = stalled.join("lobby", 0).await;
    house.wait(Duration::from_secs(1)).await;
    stalled.frames();
    quick.frames();
    for n in 1..=500 {
        quick.say("lobby", &n.to_string()).await;
        if n % 50 == 0 {
            house.quiet().await;
            assert_eq!(quick.texts().len(), 50, "nobody waits for the stalled one");
        }
    }
    assert!(stalled_in.lags());
    assert!(stalled.reader.bytes_waiting() < 10 * 400);
    assert_eq!(house.metrics.slow_consumers.get(), 1);

    let mut told = Vec::new();
    while stalled_in.lags() {
        stalled.reader.ready().await;
        told.extend(stalled.texts());
        stalled_in.catch_up().await;
    }
    told.extend(stalled.texts());
    assert_eq!(told, (1..=500).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(house.metrics.slow_consumers.get(), 0);
    quick.say("lobby", "live").await;
    house.quiet().await;
    assert_eq!(stalled.texts(), ["live"]);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_fell_out_of_the_ring_pages_from_the_log() {
    let house = House::with(Keeps::Count(10_000), |_| {});
    let mut quick = house.guest(1);
    let mut stalled = house.guest_with(2, Format::Json, 64);
    let (_quick_in, _) = quick.join("lobby", 0).await;
    let (stalled_in, _) = stalled.join("lobby", 0).await;
    house.quiet().await;
    stalled.frames();
    for n in 1..=3000 {
        quick.say("lobby", &n.to_string()).await;
        if n % 40 == 0 {
            house.quiet().await;
            quick.frames();
        }
    }
    let mut told = Vec::new();
    while stalled_in.lags() {
        stalled.reader.ready().await;
        told.extend(stalled.texts());
        stalled_in.catch_up().await;
    }
    told.extend(stalled.texts());
    assert_eq!(told, (1..=3000).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn what_retention_takes_from_a_stalled_member_is_named() {
    let house = House::with(Keeps::Count(20), |settings| {
        settings.ring_bytes_total_max = 1;
    });
    let mut quick = house.guest(1);
    let mut stalled = house.guest_with(2, Format::Json, 8);
    let (_quick_in, _) = quick.join("lobby", 0).await;
    let (stalled_in, _) = stalled.join("lobby", 0).await;
    house.wait(Duration::from_secs(1)).await;
    stalled.frames();
    for n in 1..=100 {
        quick.say("lobby", &n.to_string()).await;
        house.quiet().await;
        quick.frames();
    }
    house.wait(Duration::from_secs(2)).await; // the ring is emptied
    let mut frames = Vec::new();
    while stalled_in.lags() {
        stalled.reader.ready().await;
        frames.extend(stalled.frames());
        stalled_in.catch_up().await;
    }
    frames.extend(stalled.frames());
    let mut own = 0;
    for frame in &frames {
        match frame["type"].as_str() {
            Some("message") => {
                own += 1;
                assert_eq!(frame["offset"], own);
            }
            Some("gap") => {
                assert_eq!(frame["from"], own + 1);
                own = frame["to"][0].as_u64().expect("a position");
                assert_eq!(own, 80);
            }
            _ => {}
        }
    }
    assert_eq!(own, 100);
}

#[tokio::test(start_paused = true)]
async fn when_the_node_is_full_the_fullest_are_closed_and_the_quick_are_served() {
    let metrics = crate::telemetry::metrics::Metrics::new();
    let budget = OutboxBudget::new(100_000, &metrics);
    let house = House::with(Keeps::Count(1000), |settings| {
        settings.budget = Arc::clone(&budget);
    });
    let bounds = OutboxBounds {
        messages_max: 1000,
        bytes_max: 65_536,
    };
    let mut guest = |number: u8| {
        let mut guest = house.guest(number);
        (guest.out, guest.reader) = outbox(bounds, &budget);
        guest
    };
    let mut quick = guest(1);
    let (_quick_in, _) = quick.join("lobby", 0).await;
    let mut stalled: Vec<_> = (2..=5).map(&mut guest).collect();
    let mut stays = Vec::new();
    for one in &mut stalled {
        stays.push(one.join("lobby", 0).await.0);
    }
    let mut heard = 0;
    for n in 1..=200 {
        quick
            .say("lobby", &format!("{n} {}", "x".repeat(300)))
            .await;
        house.quiet().await;
        house.wait(Duration::from_millis(20)).await;
        heard += quick.texts().len();
        assert!(budget.held() <= 100_000, "{}", budget.held());
        // As sessions do: who is told to close goes, and its bytes with it.
        stalled.retain(|one| one.reader.ended() != Some(CloseCode::SlowConsumer));
    }
    assert!(stalled.len() < 4, "some were closed");
    assert_eq!(heard, 200, "who reads hears everything, at once");
}

#[tokio::test(start_paused = true)]
async fn a_member_that_lags_in_silence_is_woken() {
    let house = House::new();
    let mut alice = house.guest(1);
    let (_alice_in, _) = alice.join("lobby", 0).await;
    let mut last = None;
    for n in 1..=150 {
        last = alice.say("lobby", &n.to_string()).await.at;
        house.quiet().await;
        alice.frames();
    }
    let epoch = last.expect("new").epoch.to_string();
    let mut bob = house.guest(2).since(&[(1, &epoch)]);
    let (bob_in, joined) = bob.join("lobby", 0).await; // a page of 100; the rest is to be pulled
    let mut told = super::house::texts(super::house::list(&joined["messages"]));
    bob.reader.ready().await; // resolves, though nothing waits
    told.extend(bob.texts());
    bob_in.catch_up().await;
    told.extend(bob.texts());
    assert_eq!(told.len(), 149);
}
