//! A log that counts what it is asked, and can be told to fail.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, watch};

use crate::{
    domain::{
        cursor::Cursor, ids::SessionId, ids::UserId, nickname::Nickname, position::Position,
        room_name::RoomId,
    },
    log::{
        Append, AppendError, Engine, Entered, Erased, Facts, Feed, Follow, Fut, Health, Page,
        Placed, RoomLog, Seat, Seats, StateVersion, Unavailable, memory::MemoryEngine,
        retention::Keep,
    },
};

/// The memory log, watched.
#[derive(Debug)]
pub(super) struct Probe {
    inner: MemoryEngine,
    pub(super) reads: AtomicU32,
    pub(super) is_down: AtomicBool,
    /// The next answer to an append is lost on its way.
    pub(super) hangs: AtomicBool,
    /// The next append is placed without what it redacts.
    pub(super) leaves_content: AtomicBool,
    /// The next page is read at once and given when [`Probe::give`] says so.
    pub(super) keeps_page: AtomicBool,
    /// How many lists of people are read at once and given when [`Probe::give`] says so.
    pub(super) keeps_lists: AtomicU32,
    given: Notify,
}

impl Probe {
    pub(super) fn new(inner: MemoryEngine) -> Arc<Self> {
        Arc::new(Self {
            inner,
            reads: AtomicU32::new(0),
            is_down: AtomicBool::new(false),
            hangs: AtomicBool::new(false),
            leaves_content: AtomicBool::new(false),
            keeps_page: AtomicBool::new(false),
            keeps_lists: AtomicU32::new(0),
            given: Notify::new(),
        })
    }

    pub(super) fn reads(&self) -> u32 {
        self.reads.load(Ordering::Relaxed)
    }

    pub(super) fn goes_down(&self) {
        self.is_down.store(true, Ordering::Relaxed);
    }

    pub(super) fn comes_back(&self) {
        self.is_down.store(false, Ordering::Relaxed);
    }

    /// Gives the page that was kept.
    pub(super) fn give(&self) {
        self.given.notify_one();
    }

    async fn held(&self, page: Result<Page, Unavailable>) -> Result<Page, Unavailable> {
        if self.keeps_page.swap(false, Ordering::Relaxed) {
            self.given.notified().await;
        }
        page
    }

    /// Counts a read, which takes a moment, and fails when the log is down.
    async fn read_gate(&self) -> Result<(), Unavailable> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        if self.is_down.load(Ordering::Relaxed) {
            return Err(Unavailable {
                retry_after: Duration::from_millis(500),
            });
        }
        Ok(())
    }
}

impl RoomLog for Probe {
    fn append<'a>(
        &'a self,
        room: &'a RoomId,
        what: Append<'a>,
    ) -> Fut<'a, Result<Placed, AppendError>> {
        Box::pin(async move {
            let redacts = what
                .redacts
                .filter(|_| !self.leaves_content.swap(false, Ordering::Relaxed));
            let what = Append { redacts, ..what };
            let answer = self.inner.append(room, what).await;
            if self.hangs.swap(false, Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            answer
        })
    }

    fn read<'a>(
        &'a self,
        room: &'a RoomId,
        after: &'a Cursor,
        limit: u32,
    ) -> Fut<'a, Result<Page, Unavailable>> {
        Box::pin(async move {
            self.read_gate().await?;
            self.held(self.inner.read(room, after, limit).await).await
        })
    }

    fn before<'a>(
        &'a self,
        room: &'a RoomId,
        offset: Option<u64>,
        limit: u32,
    ) -> Fut<'a, Result<Page, Unavailable>> {
        Box::pin(async move {
            self.read_gate().await?;
            self.held(self.inner.before(room, offset, limit).await)
                .await
        })
    }

    fn heads<'a>(
        &'a self,
        rooms: &'a [RoomId],
    ) -> Fut<'a, Result<Vec<Option<Position>>, Unavailable>> {
        self.inner.heads(rooms)
    }

    fn state<'a>(
        &'a self,
        room: &'a RoomId,
    ) -> Fut<'a, Result<(StateVersion, Bytes), Unavailable>> {
        self.inner.state(room)
    }

    fn facts(&self) -> Facts {
        self.inner.facts()
    }

    fn keep(&self, room: &RoomId) -> Keep {
        self.inner.keep(room)
    }

    fn erase(&self, user: UserId) -> Fut<'_, Result<Erased, Unavailable>> {
        self.inner.erase(user)
    }
}

impl Follow for Probe {
    fn feed(&self) -> mpsc::Receiver<Feed> {
        self.inner.feed()
    }

    fn cast<'a>(&'a self, room: &'a RoomId, body: Bytes) -> Fut<'a, ()> {
        self.inner.cast(room, body)
    }
}

impl Seats for Probe {
    fn enter<'a>(&'a self, room: &'a RoomId, seat: Seat) -> Fut<'a, Result<Entered, Unavailable>> {
        self.inner.enter(room, seat)
    }

    fn leave<'a>(
        &'a self,
        room: &'a RoomId,
        session: SessionId,
    ) -> Fut<'a, Result<(), Unavailable>> {
        self.inner.leave(room, session)
    }

    fn list<'a>(
        &'a self,
        room: &'a RoomId,
        limit: u32,
    ) -> Fut<'a, Result<(u64, Vec<Seat>), Unavailable>> {
        Box::pin(async move {
            let list = self.inner.list(room, limit).await;
            let kept = self.keeps_lists.load(Ordering::Relaxed);
            if kept > 0 {
                self.keeps_lists.store(kept - 1, Ordering::Relaxed);
                self.given.notified().await;
            }
            list
        })
    }

    fn holder<'a>(
        &'a self,
        room: &'a RoomId,
        nick: &'a Nickname,
    ) -> Fut<'a, Result<Option<Seat>, Unavailable>> {
        self.inner.holder(room, nick)
    }
}

impl Engine for Probe {
    fn health(&self) -> watch::Receiver<Health> {
        self.inner.health()
    }

    fn close(&self) -> Fut<'_, ()> {
        self.inner.close()
    }
}
