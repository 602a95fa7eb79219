//! The room log: append, read, follow. A trusted message comes from the hub, gets its place here, and goes back to every
//! node's hub through the feed.

pub mod decide;
pub mod history;
mod local;
pub mod memory;
pub mod retention;
pub mod sqlite;

use std::{pin::Pin, time::Duration};

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use crate::domain::{
    cursor::Cursor,
    entry::Entry,
    ids::{MessageId, SessionId, UserId},
    nickname::Nickname,
    position::Position,
    room_name::RoomId,
};

use self::retention::Keep;

/// A future that a trait object can return.
pub type Fut<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What is to be appended.
#[derive(Clone, Copy, Debug)]
pub struct Append<'a> {
    /// Its name; a repeat under the same name is answered, not repeated.
    pub id: MessageId,
    /// The producer's latest earlier number that was not definitely rejected; 0 for none.
    pub prev: u64,
    /// Who wrote it; kept when the content goes.
    pub by: &'a UserId,
    /// How long a repeat is recognised: 24 h for a resumable producer, 1 h for an `Idempotency-Key`, 60 s for the node's own.
    pub remember: Duration,
    /// Hash of the text as received, not of the envelope: name and node may differ in a repeat.
    pub text_hash: u32,
    /// The state that the grant was decided on; `None` when it was not.
    pub checked: Option<StateVersion>,
    /// Opaque, first byte its version, at most `facts().envelope_max`.
    pub envelope: &'a [u8],
    /// Content that goes with this entry.
    pub redacts: Option<Position>,
    /// A new state document; `checked` must then match.
    pub state: Option<&'a [u8]>,
}

/// The entry that last changed a room's state; `None` before the first change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateVersion(pub Option<Position>);

/// An append that was settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Where; `None` for a duplicate older than the producer's last message.
    pub at: Option<Position>,
    /// When, in milliseconds since 1970.
    pub ts: u64,
    /// Whether it was there before.
    pub duplicate: bool,
    /// What this answer means.
    pub durability: Durability,
}

/// Which faults an acknowledged entry survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Durability {
    /// It is in this process.
    Memory,
    /// Its commit was flushed to the disk.
    Disk,
}

impl Durability {
    /// The word on the wire and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
        }
    }
}

/// Why an append was not acknowledged. The caller acts differently on the two, so they are two variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Definitely not in the log.
    #[error("not appended: {0}")]
    Rejected(#[from] Rejected),
    /// May be there: repeat the same id, nothing else.
    #[error("the outcome of the append is unknown")]
    Unknown,
}

/// Why an append is definitely not in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// Something before it is missing here.
    #[error("the log has this producer up to {have}")]
    OutOfSequence {
        /// The last number that the log holds.
        have: u64,
    },
    /// The state changed since the grant was decided: decide it anew.
    #[error("the room's state has changed")]
    StaleState(StateVersion),
    /// Two writers under one producer, or one number with two texts.
    #[error("the number was used for something else")]
    Conflict,
    /// The envelope or the state document is larger than `facts().envelope_max`.
    #[error("larger than {max} bytes")]
    TooLarge {
        /// The limit, in bytes.
        max: usize,
    },
    /// Not now.
    #[error("the log cannot take entries now")]
    Unavailable {
        /// After how long to try again.
        retry_after: Duration,
    },
}

/// A page of a room's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// What became of the cursor.
    pub found: Found,
    /// The first offset that the log still has; head + 1 when it has none. A gap is `first > wanted`, also when `entries`
    /// is empty.
    pub first: u64,
    /// The newest position; `None` for an empty room.
    pub head: Option<Position>,
    /// The version of the room's state.
    pub state: StateVersion,
    /// Contiguous and ascending; a removed one is `Body::Removed`.
    pub entries: Vec<Entry>,
}

/// Where a cursor stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Its newest position is in this history.
    Here,
    /// This history and the cursor's are the same up to `keep`.
    Fork {
        /// The last common position.
        keep: Position,
    },
    /// Nothing of the cursor is known.
    Reset,
}

/// The log cannot be read now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log cannot be reached")]
pub struct Unavailable {
    /// After how long to try again.
    pub retry_after: Duration,
}

/// What [`RoomLog::erase`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// Messages whose content went.
    pub messages: u64,
    /// Rooms in which something went.
    pub rooms: Vec<RoomId>,
    /// Rooms in which something stays because of a legal hold.
    pub held: Vec<RoomId>,
}

/// What an engine promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The engine's name in metrics and logs.
    pub engine: &'static str,
    /// What an ack means.
    pub durability: Durability,
    /// Whether the engine has checked that this is true.
    pub verified: bool,
    /// Most bytes of an envelope.
    pub envelope_max: usize,
    /// Whether other nodes write to the same log.
    pub many_nodes: bool,
}

/// Append and read.
pub trait RoomLog: Send + Sync + 'static {
    /// Resolves when the entry is placed and as durable as [`RoomLog::facts`] says. Dropping the future leaves the outcome
    /// unknown. The rows of [`decide::decide`] are decided and carried out in one step: offsets are dense and `ts` never goes
    /// back. The feed has the entry before the caller has the answer, unless it was full.
    fn append<'a>(
        &'a self,
        room: &'a RoomId,
        what: Append<'a>,
    ) -> Fut<'a, Result<Placed, AppendError>>;
    /// At most `limit` entries after what [`Page::found`] says is common, ascending; after `Reset` the newest ones. A cursor
    /// at the start is `Here` in every room. Never an error: a cursor beyond the head is a `Fork` at the head, an unknown one
    /// a `Reset`.
    fn read<'a>(
        &'a self,
        room: &'a RoomId,
        after: &'a Cursor,
        limit: u32,
    ) -> Fut<'a, Result<Page, Unavailable>>;
    /// The `limit` entries just below `offset`, or the newest, ascending; `found` is always `Here`.
    fn before<'a>(
        &'a self,
        room: &'a RoomId,
        offset: Option<u64>,
        limit: u32,
    ) -> Fut<'a, Result<Page, Unavailable>>;
    /// The newest position of each room, in the order asked; `None` for a room without entries.
    fn heads<'a>(
        &'a self,
        rooms: &'a [RoomId],
    ) -> Fut<'a, Result<Vec<Option<Position>>, Unavailable>>;
    /// The room's state document, empty before the first change, and its version.
    fn state<'a>(&'a self, room: &'a RoomId)
    -> Fut<'a, Result<(StateVersion, Bytes), Unavailable>>;
    /// What the engine promises.
    fn facts(&self) -> Facts;
    /// What this room keeps.
    fn keep(&self, room: &RoomId) -> Keep;
    /// Takes the content of everything that a person said, and the names under which they came, in every room without a legal
    /// hold; places and times stay.
    fn erase(&self, user: UserId) -> Fut<'_, Result<Erased, Unavailable>>;
}

/// Follow what is appended, here and on other nodes.
pub trait Follow: Send + Sync + 'static {
    /// Bounded in entries and bytes; an engine that finds it full reports [`Feed::Suspect`] instead of waiting. Entries of one
    /// room come in the order of their offsets, changes of its seats in the order they were made. One consumer: a second call
    /// gets a closed channel.
    fn feed(&self) -> mpsc::Receiver<Feed>;
    /// To every node's feed once, without offset and without promise: typing, presence.
    fn cast<'a>(&'a self, room: &'a RoomId, body: Bytes) -> Fut<'a, ()>;
}

/// What comes back up from the log.
#[derive(Clone, Debug)]
pub enum Feed {
    /// An entry was placed.
    Entry(RoomId, Entry),
    /// Somebody cast.
    Cast(RoomId, Bytes),
    /// Somebody came, went or is called otherwise.
    Seats(RoomId, SeatsChange),
    /// Entries and changes of seats of these rooms may have been missed: read again when `Sound` comes.
    Suspect(Scope),
    /// The feed of these rooms is whole from here on: compare heads.
    Sound(Scope),
}

/// What one `enter` or `leave` changed for those who look on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeatsChange {
    /// Whose `enter` or `leave` it was.
    pub session: SessionId,
    /// Who came, went, or is shown under another name: one line per person.
    pub people: Vec<PersonChange>,
    /// Seats whose name yielded to a claim.
    pub renamed: Vec<Yielded>,
    /// How many people sit in the room now.
    pub count: u64,
}

/// A seat whose name yielded to a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Yielded {
    /// The name that it had.
    pub was: Nickname,
    /// The seat with the name that it has now.
    pub seat: Seat,
}

/// A person as the room sees them: under the name of their first seat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonChange {
    /// Who.
    pub user: UserId,
    /// The name before; `None` for somebody who came.
    pub was: Option<Nickname>,
    /// The name now; `None` for somebody who went.
    pub is: Option<Nickname>,
}

/// A set of rooms. An engine with one feed has one scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope;

impl Scope {
    /// Whether the room is in the set.
    pub fn holds(self, _room: &RoomId) -> bool {
        true
    }
}

/// Presence and nickname claims. Every change that others can see comes back through the feed as [`Feed::Seats`], in order.
pub trait Seats: Send + Sync + 'static {
    /// Takes a seat and its name, atomically. The same session again replaces its seat and keeps its place in the order; a
    /// name held by the same user is shared, also by another session. A name is taken if any of its keys meets any key held
    /// by another user. A claim is never taken: chosen and generated names yield to it, and of equal claims the later gets a
    /// suffix. A generated name that is taken is replaced by another.
    fn enter<'a>(&'a self, room: &'a RoomId, seat: Seat) -> Fut<'a, Result<Entered, Unavailable>>;
    /// Gives the seat and its name back; without one it does nothing.
    fn leave<'a>(
        &'a self,
        room: &'a RoomId,
        session: SessionId,
    ) -> Fut<'a, Result<(), Unavailable>>;
    /// How many people sit in the room, and the first `limit` of them, one per user, in the order of arrival.
    fn list<'a>(
        &'a self,
        room: &'a RoomId,
        limit: u32,
    ) -> Fut<'a, Result<(u64, Vec<Seat>), Unavailable>>;
    /// Who holds this name, or one that looks like it; a holder by claim before others.
    fn holder<'a>(
        &'a self,
        room: &'a RoomId,
        nick: &'a Nickname,
    ) -> Fut<'a, Result<Option<Seat>, Unavailable>>;
}

/// A member's place in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Whose connection.
    pub session: SessionId,
    /// Who.
    pub user: UserId,
    /// Under which name.
    pub nick: Nickname,
}

/// The answer to [`Seats::enter`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entered {
    /// Seated.
    In {
        /// The name as it is shown here: an equal claim of another user gave it a suffix.
        nick: Nickname,
        /// How many people sit in the room now.
        count: u64,
        /// Seats whose chosen name yielded to this claim.
        renamed: Vec<Yielded>,
    },
    /// Another user holds that name, or one that looks like it.
    Taken,
}

/// Whether the engine can do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// All of it.
    Ok,
    /// Reads work, appends do not; or the feed is not proved.
    Degraded,
    /// Nothing works.
    Down,
    /// The storage failed in a way that only a restart can judge: nothing is acknowledged any more, the process must end.
    Failed,
}

/// All of it in one engine.
pub trait Engine: RoomLog + Follow + Seats {
    /// The engine's own view of itself.
    fn health(&self) -> watch::Receiver<Health>;
    /// Flushes and ends; every append after it is `Unavailable`.
    fn close(&self) -> Fut<'_, ()>;
}
