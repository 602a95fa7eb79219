//! Pages of a room's log, and who is in it: answers that go to the asker alone.

use crate::{
    auth::grants::ReadGrant,
    domain::{
        cursor::Cursor,
        ids::UserId,
        nickname::Nickname,
        position::{Head, Position},
        room_name::RoomId,
    },
    hub::{Hub, stream},
    log::{Found, Page, Unavailable},
    outbound::{
        entry_frames::{EntryFrames, Format},
        frame::Frame,
    },
};

/// How often a list is read again because somebody came or went meanwhile. Frames are a quarter of a second apart, so so many
/// in a row mean a log that takes seconds; then an old list is better than none.
const LISTS_MAX: u32 = 8;

/// From where a page is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageFrom {
    /// The entries just below this offset, or the newest.
    Before(Option<u64>),
    /// The entries after a cursor; at the start: from the first.
    After(Cursor),
    /// The entries after an offset whose epoch the asker does not know, so that a fork cannot be detected.
    AfterOffset(u64),
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct HistoryAsk {
    /// From where.
    pub from: PageFrom,
    /// How many entries; at most `limits.history_page_max` are given, and no more than `history_page_bytes_max` of them.
    pub limit: u32,
    /// In which form.
    pub format: Format,
}

/// A page: ascending, contiguous, every frame as it would have come live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryPage {
    /// Entries, with `epoch` before the first of another epoch than the one before it. A page that starts from no position
    /// is of `head`'s epoch unless it says otherwise.
    pub messages: Vec<Frame>,
    /// The first offset that the log still has.
    pub first: u64,
    /// The log's head.
    pub head: Head,
    /// Everything that the asker has above this position is void.
    pub fork: Option<Position>,
    /// Offsets from the first up to and including that of the position are gone.
    pub gap: Option<(u64, Head)>,
    /// Nothing that the asker has is known here; the newest page follows, after this position.
    pub reset: Option<Head>,
}

impl Hub {
    /// Reads a page. It is never older than what was acknowledged before it was asked for.
    pub async fn history(
        &self,
        grant: ReadGrant,
        ask: HistoryAsk,
    ) -> Result<HistoryPage, Unavailable> {
        let room = grant.room();
        let limit = ask.limit.min(self.settings.history_page_max);
        let (page, wanted) = match &ask.from {
            PageFrom::Before(offset) => (self.engine.before(room, *offset, limit).await?, None),
            PageFrom::After(cursor) => {
                let wanted = cursor.newest().map_or(1, |newest| newest.offset + 1);
                (self.engine.read(room, cursor, limit).await?, Some(wanted))
            }
            PageFrom::AfterOffset(offset) => {
                let page = self.after_offset(room, *offset, limit).await?;
                (page, Some(offset.saturating_add(1)))
            }
        };
        let page = self.framed(room, page);
        let mut answer = HistoryPage {
            messages: Vec::new(),
            first: page.first,
            head: Head(page.head),
            fork: None,
            gap: None,
            reset: None,
        };
        let mut epoch = page.head.map(|head| head.epoch);
        if let PageFrom::After(cursor) = &ask.from
            && let Some(newest) = cursor.newest()
        {
            epoch = Some(newest.epoch);
        }
        let mut wanted = wanted;
        match page.found {
            Found::Here => {}
            Found::Fork { keep } => {
                answer.fork = Some(keep);
                epoch = Some(keep.epoch);
                wanted = Some(keep.offset + 1);
            }
            Found::Reset => {
                answer.reset = Some(Head(page.base()));
                epoch = page.base().map(|base| base.epoch);
                wanted = None;
            }
        }
        if let Some(from) = wanted.filter(|wanted| page.first > *wanted) {
            answer.gap = Some((from, Head(page.base())));
            epoch = page.base().map(|base| base.epoch).or(epoch);
        }
        let fitting = self.fitting(&page.entries, &ask);
        for entry in fitting {
            let at = entry.entry().at;
            if epoch != Some(at.epoch) {
                answer.messages.push(stream::epoch(room, at));
                epoch = Some(at.epoch);
            }
            answer
                .messages
                .extend(entry.frame(ask.format, &self.settings.derive_html).cloned());
        }
        Ok(answer)
    }

    /// A bare offset is taken to be of the log's newest epoch: it is in this history, as far as this history reaches.
    async fn after_offset(
        &self,
        room: &RoomId,
        offset: u64,
        limit: u32,
    ) -> Result<Page, Unavailable> {
        let heads = self.engine.heads(std::slice::from_ref(room)).await?;
        let head = heads.into_iter().next().flatten();
        let cursor = Cursor::at(
            head.filter(|_| offset > 0)
                .map(|head| Position { offset, ..head }),
        );
        let mut page = self.engine.read(room, &cursor, limit).await?;
        page.found = Found::Here;
        page.entries.retain(|entry| entry.at.offset > offset);
        Ok(page)
    }

    /// As many as fit into a page, at least one: the nearest to where it was asked from.
    fn fitting<'a>(&self, entries: &'a [EntryFrames], ask: &HistoryAsk) -> &'a [EntryFrames] {
        let mut bytes = 0;
        let fits = |entry: &&EntryFrames| {
            let first = bytes == 0;
            bytes += entry
                .frame(ask.format, &self.settings.derive_html)
                .map_or(0, Frame::len);
            first || bytes <= self.settings.history_page_bytes_max
        };
        if matches!(ask.from, PageFrom::Before(_)) {
            let kept = entries.iter().rev().take_while(fits).count();
            entries.get(entries.len() - kept..).unwrap_or_default()
        } else {
            let kept = entries.iter().take_while(fits).count();
            entries.get(..kept).unwrap_or_default()
        }
    }

    /// How many people are in a room, and the first of them in the order of arrival: at most `limit`, at most
    /// `limits.members_page_max`.
    pub async fn members(
        &self,
        grant: ReadGrant,
        limit: u32,
    ) -> Result<(u64, Vec<(UserId, Nickname)>), Unavailable> {
        let limit = limit.min(self.settings.members_page_max);
        let room = self.rooms.find(grant.room());
        let told = || room.as_ref().map(|room| room.state.lock().presence.sent());
        let mut tries = 0;
        loop {
            // A list that is older than a presence frame would undo it in the asker's eyes.
            let before = told();
            let (count, seats) = self.engine.list(grant.room(), limit).await?;
            tries += 1;
            if before == told() || tries == LISTS_MAX {
                let people = seats.into_iter().map(|seat| (seat.user, seat.nick));
                return Ok((count, people.collect()));
            }
        }
    }
}
