//! Pages of history.

use crate::{
    domain::cursor::Cursor,
    hub::{
        history::{HistoryAsk, HistoryPage, PageFrom},
        testing,
    },
    outbound::entry_frames::Format,
};

use super::house::{House, Keeps, id};

async fn page(house: &House, from: PageFrom, limit: u32) -> HistoryPage {
    let grant = testing::read_grant(&id("lobby"), testing::user(1));
    let ask = HistoryAsk {
        from,
        limit,
        format: Format::Json,
    };
    house.hub.history(grant(), ask).await.expect("readable")
}

/// Offsets of the messages; -1 for an epoch frame.
fn offsets(page: &HistoryPage) -> Vec<i64> {
    page.messages
        .iter()
        .map(|frame| {
            let frame: serde_json::Value = serde_json::from_str(frame.as_str()).expect("JSON");
            frame["offset"].as_i64().unwrap_or(-1)
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn pages_go_back_from_the_newest_and_forward_from_a_position() {
    let house = House::with(Keeps::Count(30), |_| {});
    let mut alice = house.guest(1);
    let mut head = None;
    for n in 1..=40 {
        head = alice.say("lobby", &n.to_string()).await.at;
    }
    let newest = page(&house, PageFrom::Before(None), 3).await;
    assert_eq!(
        offsets(&newest),
        [38, 39, 40],
        "of the head's epoch, so no epoch frame"
    );
    assert_eq!((newest.first, newest.head.0), (11, head));
    assert_eq!(
        offsets(&page(&house, PageFrom::Before(Some(38)), 3).await),
        [35, 36, 37]
    );
    assert_eq!(
        offsets(&page(&house, PageFrom::Before(Some(13)), 9).await),
        [11, 12]
    );

    let start = page(&house, PageFrom::After(Cursor::default()), 2).await;
    assert_eq!(offsets(&start), [11, 12]);
    let (from, to) = start.gap.expect("1 to 10 are gone");
    assert_eq!((from, to.0.map(|to| to.offset)), (1, Some(10)));
    let bare = page(&house, PageFrom::AfterOffset(20), 2).await;
    assert_eq!(
        (offsets(&bare), bare.gap, bare.fork),
        (vec![21, 22], None, None)
    );
    let gone = page(&house, PageFrom::AfterOffset(3), 2).await;
    assert_eq!(
        (offsets(&gone), gone.gap.map(|gap| gap.0)),
        (vec![11, 12], Some(4))
    );
    assert!(offsets(&page(&house, PageFrom::AfterOffset(40), 5).await).is_empty());
    assert!(offsets(&page(&house, PageFrom::AfterOffset(99), 5).await).is_empty());

    let known = Cursor::at(head);
    assert!(
        page(&house, PageFrom::After(known), 5)
            .await
            .messages
            .is_empty()
    );
    let beyond = head.map(|head| crate::domain::position::Position { offset: 50, ..head });
    let forked = page(&house, PageFrom::After(Cursor::at(beyond)), 5).await;
    assert_eq!(forked.fork, head);
    let foreign = Cursor::parse(&[(5, "1".to_owned())], 4).expect("a cursor");
    let reset = page(&house, PageFrom::After(foreign), 5).await;
    assert_eq!(offsets(&reset), [36, 37, 38, 39, 40]);
    assert_eq!(
        reset.reset.and_then(|to| to.0).map(|to| to.offset),
        Some(35)
    );
}

#[tokio::test(start_paused = true)]
async fn a_page_ends_earlier_when_it_grows_too_large() {
    let house = House::with(Keeps::Count(100), |settings| {
        settings.history_page_bytes_max = 2000;
        settings.history_page_max = 10;
    });
    let mut alice = house.guest(1);
    for _ in 0..20 {
        alice.say("lobby", &"x".repeat(400)).await;
    }
    let newest = page(&house, PageFrom::Before(None), 10).await;
    assert_eq!(
        offsets(&newest),
        [18, 19, 20],
        "the nearest to where it was asked from"
    );
    let after = page(&house, PageFrom::After(Cursor::default()), 10).await;
    assert_eq!(offsets(&after), [1, 2, 3]);
    alice.say("lobby", &"y".repeat(3000)).await;
    assert_eq!(
        offsets(&page(&house, PageFrom::Before(None), 10).await),
        [21],
        "at least one"
    );
    assert_eq!(
        offsets(&page(&house, PageFrom::Before(None), 999).await),
        [21]
    );
}

#[tokio::test(start_paused = true)]
async fn a_read_after_an_ack_has_the_message() {
    let house = House::new();
    let mut alice = house.guest(1);
    for _ in 0..20 {
        let at = alice.say("lobby", "hi").await.at.expect("new");
        let newest = page(&house, PageFrom::Before(None), 1).await;
        assert_eq!(newest.head.0, Some(at));
    }
}
