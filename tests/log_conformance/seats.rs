//! `Seats`: presence and nickname claims.

use futures_util::future::join_all;
use wardroom::{
    domain::nickname::NameSource::{self, Chosen, Claim, Generated},
    log::{Entered, Feed, PersonChange, Seat, SeatsChange},
};

use crate::world::{Bounds, Make, World, drain, nick, room, session, user};

fn seat(session_n: u8, user_n: u8, name: &str, source: NameSource) -> Seat {
    Seat {
        session: session(session_n),
        user: user(user_n),
        nick: nick(name, source),
    }
}

fn shown(entered: &Entered) -> &str {
    match entered {
        Entered::In { nick, .. } => nick.as_str(),
        Entered::Taken => "(taken)",
    }
}

async fn names(world: &World) -> Vec<String> {
    world.people(100).await.1
}

pub(crate) async fn people_are_listed_once_in_the_order_of_arrival(make: &dyn Make) {
    let world = make.make(Bounds::default());
    for (n, person, name) in [(1, 1, "Zoe"), (2, 2, "Bob"), (3, 1, "Zoe"), (4, 3, "Ann")] {
        let entered = world.enter(seat(n, person, name, Chosen)).await;
        let Entered::In { count, .. } = entered else {
            panic!("{entered:?}");
        };
        assert_eq!(count, [1, 2, 2, 3][usize::from(n) - 1]);
    }
    assert_eq!(names(&world).await, ["Zoe", "Bob", "Ann"]);
    let (count, some) = world.people(2).await;
    assert_eq!(
        (count, some.len()),
        (3, 2),
        "the list is cut, the count is exact"
    );
    world.leave(1).await;
    assert_eq!(names(&world).await, ["Bob", "Zoe", "Ann"]);
}

pub(crate) async fn a_name_is_taken_by_any_of_its_keys(make: &dyn Make) {
    let world = make.make(Bounds::default());
    world.enter(seat(1, 1, "Alice", Chosen)).await;
    assert_eq!(
        world.enter(seat(2, 2, "ALICE", Chosen)).await,
        Entered::Taken
    );
    assert_eq!(world.people(9).await.0, 1, "who is refused takes no seat");
    world.enter(seat(3, 3, "Bob", Claim)).await;
    assert_eq!(world.enter(seat(2, 2, "bob", Chosen)).await, Entered::Taken);
}

pub(crate) async fn a_name_of_the_same_person_is_shared(make: &dyn Make) {
    let world = make.make(Bounds::default());
    world.enter(seat(1, 1, "Alice", Chosen)).await;
    assert_eq!(
        shown(&world.enter(seat(2, 1, "Alice", Chosen)).await),
        "Alice"
    );
    world.leave(1).await;
    assert_eq!(
        world.enter(seat(3, 3, "Alice", Chosen)).await,
        Entered::Taken
    );
}

pub(crate) async fn a_name_is_free_again_when_its_seat_is(make: &dyn Make) {
    let world = make.make(Bounds::default());
    world.enter(seat(1, 1, "Alice", Chosen)).await;
    world.leave(1).await;
    assert_eq!(
        shown(&world.enter(seat(2, 2, "Alice", Chosen)).await),
        "Alice"
    );
}

pub(crate) async fn a_claim_displaces_a_chosen_name(make: &dyn Make) {
    let world = make.make(Bounds::default());
    let mut feed = world.engine.feed();
    world.enter(seat(1, 1, "Alice", Chosen)).await;
    drain(&mut feed);
    let entered = world.enter(seat(2, 2, "Alice", Claim)).await;
    let Entered::In {
        nick: name,
        renamed,
        count,
    } = entered
    else {
        panic!("{entered:?}");
    };
    assert_eq!((name.as_str(), count), ("Alice", 2));
    let [displaced] = renamed.as_slice() else {
        panic!("{renamed:?}");
    };
    assert_eq!(displaced.was.as_str(), "Alice");
    let displaced = &displaced.seat;
    assert_eq!((displaced.session, displaced.user), (session(1), user(1)));
    assert!(displaced.nick.source() == Generated && displaced.nick.as_str() != "Alice");
    assert_eq!(names(&world).await, [displaced.nick.as_str(), "Alice"]);
    // Others learn both at once.
    let items = drain(&mut feed);
    let [
        Feed::Seats(
            _,
            SeatsChange {
                people,
                renamed,
                count: 2,
                ..
            },
        ),
    ] = items.as_slice()
    else {
        panic!("{items:?}");
    };
    assert_eq!(renamed[0].seat, *displaced);
    let lines: Vec<_> = people
        .iter()
        .map(|person| {
            (
                person.user,
                person.was.as_ref().map(|name| name.as_str().to_owned()),
            )
        })
        .collect();
    assert!(lines.contains(&(user(1), Some("Alice".to_owned()))));
    assert!(lines.contains(&(user(2), None)));
}

pub(crate) async fn of_equal_claims_the_later_gets_a_suffix(make: &dyn Make) {
    let world = make.make(Bounds::default());
    world.enter(seat(1, 1, "Alice", Claim)).await;
    let entered = world.enter(seat(2, 2, "Alice", Claim)).await;
    let Entered::In {
        nick: name,
        renamed,
        ..
    } = &entered
    else {
        panic!("{entered:?}");
    };
    assert!(renamed.is_empty());
    assert_ne!(name.as_str(), "Alice");
    assert!(name.as_str().starts_with("Alice") && name.is_verified());
    assert_eq!(names(&world).await, ["Alice", name.as_str()]);
}

pub(crate) async fn a_generated_name_is_never_taken(make: &dyn Make) {
    let world = make.make(Bounds::default());
    world.enter(seat(1, 1, "guest", Generated)).await;
    let entered = world.enter(seat(2, 2, "guest", Generated)).await;
    assert!(!["guest", "(taken)"].contains(&shown(&entered)));
}

pub(crate) async fn the_same_session_again_replaces_its_seat(make: &dyn Make) {
    let world = make.make(Bounds::default());
    world.enter(seat(1, 1, "Alice", Chosen)).await;
    world.enter(seat(2, 2, "Bob", Chosen)).await;
    assert_eq!(
        shown(&world.enter(seat(1, 1, "Ally", Chosen)).await),
        "Ally"
    );
    assert_eq!(names(&world).await, ["Ally", "Bob"]);
    assert_eq!(
        shown(&world.enter(seat(3, 3, "Alice", Chosen)).await),
        "Alice"
    );
    assert_eq!(world.enter(seat(1, 1, "Bob", Chosen)).await, Entered::Taken);
    assert_eq!(
        names(&world).await,
        ["Ally", "Bob", "Alice"],
        "who is refused keeps the seat"
    );
}

pub(crate) async fn leaving_without_a_seat_does_nothing(make: &dyn Make) {
    let world = make.make(Bounds::default());
    let mut feed = world.engine.feed();
    world.leave(9).await;
    world.enter(seat(1, 1, "Alice", Chosen)).await;
    drain(&mut feed);
    world.leave(9).await;
    assert_eq!(names(&world).await, ["Alice"]);
    assert!(drain(&mut feed).is_empty());
}

pub(crate) async fn of_racing_claims_to_a_name_one_wins(make: &dyn Make) {
    let world = make.make(Bounds::default());
    for round in 0..25 {
        let name = format!("Name {round}");
        let entering = (1..=4).map(|n| world.enter(seat(n, n, &name, Chosen)));
        let answers = join_all(entering).await;
        let winners = answers
            .iter()
            .filter(|entered| shown(entered) == name)
            .count();
        assert_eq!(winners, 1, "round {round}");
    }
}

/// The name that a person had, and the one that they have.
type Line = (Option<String>, Option<String>);

pub(crate) async fn the_feed_tells_what_others_see_and_nothing_else(make: &dyn Make) {
    let world = make.make(Bounds::default());
    let mut feed = world.engine.feed();
    let mut change = || -> Option<(Vec<Line>, u64)> {
        let mut items = drain(&mut feed);
        assert!(items.len() <= 1, "{items:?}");
        let Feed::Seats(name, change) = items.pop()? else {
            panic!("not a change of seats");
        };
        assert_eq!(name, room("lobby"));
        let text = |name: &Option<wardroom::domain::nickname::Nickname>| {
            name.as_ref().map(|name| name.as_str().to_owned())
        };
        let people = change
            .people
            .iter()
            .map(|PersonChange { was, is, .. }| (text(was), text(is)));
        Some((people.collect(), change.count))
    };
    let some = |name: &str| Some(name.to_owned());

    world.enter(seat(1, 1, "Alice", Chosen)).await;
    assert_eq!(change(), Some((vec![(None, some("Alice"))], 1)));
    world.enter(seat(2, 1, "Ally", Chosen)).await;
    assert_eq!(change(), None, "a second session of the same person");
    world.leave(1).await;
    assert_eq!(change(), Some((vec![(some("Alice"), some("Ally"))], 1)));
    world.enter(seat(3, 3, "ally", Chosen)).await;
    assert_eq!(change(), None, "refused");
    world.leave(2).await;
    assert_eq!(change(), Some((vec![(some("Ally"), None)], 0)));
}

pub(crate) async fn the_holder_of_a_name_can_be_asked_for(make: &dyn Make) {
    let world = make.make(Bounds::default());
    world.enter(seat(1, 1, "Alice", Chosen)).await;
    world.enter(seat(2, 2, "Bob", Claim)).await;
    for (name, holder) in [
        ("ALICE", Some(user(1))),
        ("bob", Some(user(2))),
        ("Carol", None),
    ] {
        let (lobby, asked) = (room("lobby"), nick(name, Chosen));
        let seat = world
            .engine
            .holder(&lobby, &asked)
            .await
            .expect("reachable");
        assert_eq!(seat.map(|seat| seat.user), holder, "{name}");
    }
}
