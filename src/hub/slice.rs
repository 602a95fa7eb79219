//! The first frames of somebody's stream, as many as fit into a page: what goes out inside `joined`.

use crate::{
    domain::cursor::Cursor,
    hub::{
        room::{Room, State},
        settings::HubSettings,
        stream::{FramedPage, Stream, Told},
    },
    outbound::{
        entry_frames::{EntryFrames, Format},
        frame::Frame,
    },
    protocol::server_frame::{Joined, ServerFrame},
};

/// Frames and where they lead.
pub(super) struct Slice<'a> {
    room: &'a Room,
    format: Format,
    settings: &'a HubSettings,
    pub(super) cursor: Cursor,
    pub(super) frames: Vec<Frame>,
    /// How many of them are entries.
    pub(super) entries: usize,
    /// The bytes of these.
    bytes: usize,
    full: bool,
}

impl<'a> Slice<'a> {
    /// Nothing yet, after this cursor.
    pub(super) fn after(
        cursor: Cursor,
        room: &'a Room,
        format: Format,
        settings: &'a HubSettings,
    ) -> Self {
        Self {
            room,
            format,
            settings,
            cursor,
            frames: Vec::new(),
            entries: 0,
            bytes: 0,
            full: false,
        }
    }

    /// A fresh stream from this offset on: with entries to come it starts from nothing, so that `epoch` comes first; without
    /// it starts at the head.
    pub(super) fn start_at(&mut self, state: &State, from: u64) {
        match state.ring.at(from) {
            Some(_) => self.entries(state.ring.from(from), None),
            None => self.cursor = state.cursor.clone(),
        }
    }

    /// Goes through a page that was read after this slice's cursor, up to `head`.
    pub(super) fn page(&mut self, page: &FramedPage, head: Option<u64>, silent_gap: bool) {
        self.walk(|stream| stream.page(page, head, silent_gap).is_ok());
    }

    /// Goes through entries that follow, up to `head`.
    pub(super) fn entries<'e>(
        &mut self,
        mut entries: impl Iterator<Item = &'e EntryFrames>,
        head: Option<u64>,
    ) {
        let covered = |entry: &EntryFrames| head.is_none_or(|head| entry.entry().at.offset <= head);
        self.walk(|stream| {
            entries
                .by_ref()
                .take_while(|entry| covered(entry))
                .all(|entry| stream.entry(entry).is_ok())
        });
    }

    /// Where the page is full the cursor stands still; the rest is pulled.
    fn walk(&mut self, walk: impl FnOnce(&mut Stream<'_>) -> bool) {
        if self.full {
            return;
        }
        let entries_max = usize::try_from(self.settings.history_page_max).unwrap_or(usize::MAX);
        let bytes_max = self.settings.history_page_bytes_max;
        let (frames, entries, bytes) = (&mut self.frames, &mut self.entries, &mut self.bytes);
        let mut emit = |told_now: &[&Frame], told: Told| {
            if told == Told::Entry {
                // The entry is the last of them; what goes before it is not counted, as in a page that was asked for.
                let len = told_now.last().map_or(0, |frame| frame.len());
                let fits = *entries == 0 || (*entries < entries_max && *bytes + len <= bytes_max);
                if !fits {
                    return false;
                }
                *entries += 1;
                *bytes += len;
            }
            frames.extend(told_now.iter().copied().cloned());
            true
        };
        let mut stream = Stream {
            room: &self.room.id,
            format: self.format,
            derive: &self.settings.derive_html,
            cursor: std::mem::take(&mut self.cursor),
            emit: &mut emit,
        };
        self.full = !walk(&mut stream);
        self.cursor = stream.cursor;
    }
}

/// Frames go into `joined` as they are: `messages` is its last field, so they are set into the encoded frame. Parsing each
/// of them again, as a raw value asks for, would be done under the room's lock.
pub(super) fn with_messages(joined: Joined<'_>, frames: &[Frame]) -> Frame {
    const END: &str = "]}";
    debug_assert!(joined.messages.is_empty(), "they come from `frames`");
    let mut out = serde_json::to_string(&ServerFrame::Joined(joined))
        .expect("frames are plain data: maps with string keys");
    out.truncate(out.len() - END.len());
    out.reserve(frames.iter().map(|frame| frame.len() + 1).sum::<usize>() + END.len());
    for (index, frame) in frames.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(frame.as_str());
    }
    out.push_str(END);
    Frame::from(out)
}
