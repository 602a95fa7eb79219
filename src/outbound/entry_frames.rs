//! The frames of one entry, made when somebody first needs them and shared by everybody after that.

use std::sync::{Arc, OnceLock};

use crate::{
    domain::{
        entry::{Body, Entry},
        envelope::{self, Envelope},
        position::Position,
        room_name::RoomId,
    },
    outbound::frame::Frame,
    protocol::{
        plain_text,
        server_frame::{Message, Said, ServerFrame},
        timestamp::rfc3339,
    },
};

/// Makes markup of canonical text that is safe as element content.
pub type DeriveHtml = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// In which form a session gets what is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// `wardroom.v1`.
    Json,
    /// `wardroom.v1` of a session that asked for `html`, too.
    Html,
    /// `wardroom.text`: `nickname: message`, and nothing else.
    Text,
}

/// An entry with its frames.
#[derive(Debug)]
pub struct EntryFrames {
    room: RoomId,
    entry: Entry,
    poisoned: bool,
    target: Option<Position>,
    json: OnceLock<Frame>,
    html: OnceLock<Frame>,
    /// `None` inside: nothing is shown for an entry that says nothing.
    text: OnceLock<Option<Frame>>,
}

impl EntryFrames {
    /// Takes an entry. One whose envelope cannot be decoded is treated as removed, and says so.
    pub fn new(room: RoomId, mut entry: Entry) -> Self {
        let (mut poisoned, mut target) = (false, None);
        if let Body::Kept(bytes) = &entry.body {
            match envelope::decode(bytes) {
                Ok(Envelope::Message(_)) => {}
                Ok(Envelope::Deletion(deletion)) => target = Some(deletion.target),
                Err(_) => poisoned = true,
            }
        }
        if poisoned {
            entry.body = Body::Removed;
        }
        Self {
            room,
            entry,
            poisoned,
            target,
            json: OnceLock::new(),
            html: OnceLock::new(),
            text: OnceLock::new(),
        }
    }

    /// The entry.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Whether its envelope could not be decoded.
    pub fn is_poisoned(&self) -> bool {
        self.poisoned
    }

    /// The position of the message that this entry deletes.
    pub fn target(&self) -> Option<Position> {
        self.target
    }

    /// The same place without its content.
    #[must_use]
    pub fn emptied(&self) -> Self {
        let entry = Entry {
            body: Body::Removed,
            ..self.entry
        };
        Self::new(self.room.clone(), entry)
    }

    /// The frame in this form; `None` where the form has none for an entry that says nothing. The first call makes it.
    pub fn frame(&self, format: Format, derive: &DeriveHtml) -> Option<&Frame> {
        match format {
            Format::Json => Some(self.json()),
            Format::Html => Some(self.html(derive)),
            Format::Text => self.text.get_or_init(|| self.make_text()).as_ref(),
        }
    }

    /// About what it costs while it is kept: the envelope, one frame of it, and the rest.
    pub fn cost(&self) -> usize {
        const FRAME: usize = 200;
        const REST: usize = 320;
        let envelope = match &self.entry.body {
            Body::Kept(bytes) => bytes.len(),
            Body::Removed => 0,
        };
        2 * envelope + FRAME + REST
    }

    fn json(&self) -> &Frame {
        self.json.get_or_init(|| self.make_json(None))
    }

    fn html(&self, derive: &DeriveHtml) -> &Frame {
        let Some(message) = self.message() else {
            return self.json();
        };
        self.html
            .get_or_init(|| self.make_json(Some(&derive(message.text))))
    }

    fn make_json(&self, html: Option<&str>) -> Frame {
        if let Some(target) = self.target {
            return Frame::encode(&ServerFrame::Deleted {
                room: &self.room,
                offset: self.entry.at.offset,
                target: target.offset,
            });
        }
        let said = self.message().map(|message| Said {
            user: message.user,
            nick: message.nick,
            verified: message.verified,
            text: message.text,
            html,
        });
        Frame::encode(&ServerFrame::Message(Message {
            room: &self.room,
            offset: self.entry.at.offset,
            id: self.entry.id,
            deleted: said.is_none(),
            said,
            ts: &rfc3339(self.entry.ts),
        }))
    }

    fn make_text(&self) -> Option<Frame> {
        let message = self.message()?;
        Some(Frame::from(plain_text::write(message.nick, message.text)))
    }

    fn message(&self) -> Option<envelope::Message<'_>> {
        let Body::Kept(bytes) = &self.entry.body else {
            return None;
        };
        match envelope::decode(bytes) {
            Ok(Envelope::Message(message)) => Some(message),
            Ok(Envelope::Deletion(_)) | Err(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use bytes::Bytes;

    use super::{DeriveHtml, EntryFrames, Format};
    use crate::domain::{
        entry::{Body, Entry},
        envelope::{encode_deletion, encode_message},
        ids::{MessageId, Producer, ProducerId, UserId},
        position::{Epoch, Position},
        reason::Reason,
        room_name::RoomId,
        text::{CleanText, TextRules},
    };

    fn entry(body: Body) -> EntryFrames {
        let entry = Entry {
            at: Position {
                offset: 44,
                epoch: Epoch::new(0x5f3a),
            },
            ts: 1_795_521_600_000,
            id: MessageId {
                producer: Producer {
                    id: ProducerId::from_bytes([0; 12]),
                    chain: 0,
                },
                seq: 7,
            },
            body,
        };
        EntryFrames::new(RoomId::parse("lobby", 64).expect("a name"), entry)
    }

    fn said(text: &str) -> EntryFrames {
        let rules = TextRules {
            bytes_max: 4096,
            graphemes_max: 2000,
            lines_max: 50,
            marks_max: 8,
        };
        let text = CleanText::from_untrusted(text, &rules).expect("a text");
        let user = UserId::from_digest(&[0; 32]);
        entry(Body::Kept(encode_message(user, "Alice", true, &text)))
    }

    fn shout() -> (DeriveHtml, Arc<AtomicUsize>) {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let derive = move |text: &str| {
            counted.fetch_add(1, Ordering::Relaxed);
            text.to_uppercase()
        };
        (Arc::new(derive), calls)
    }

    #[test]
    fn each_form_has_its_frame_and_is_made_once() {
        let (derive, calls) = shout();
        let entry = said("hi\nyou");
        let frame = |format| {
            entry
                .frame(format, &derive)
                .map(|frame| frame.as_str().to_owned())
        };
        let json = r#"{"type":"message","room":"lobby","offset":44,"id":"AAAAAAAAAAAAAAAA.7","user":"u_aaaaaaaaaaaaaaaaaaaa","nick":"Alice","verified":true,"text":"hi\nyou","ts":"2026-11-24T12:00:00.000Z"}"#;
        assert_eq!(frame(Format::Json).as_deref(), Some(json));
        assert_eq!(calls.load(Ordering::Relaxed), 0, "nobody asked for html");
        for _ in 0..3 {
            let html = frame(Format::Html).expect("every offset has a frame");
            assert!(
                html.contains(r#""text":"hi\nyou","html":"HI\nYOU""#),
                "{html}"
            );
        }
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        assert_eq!(frame(Format::Text).as_deref(), Some("Alice: hi you"));
    }

    #[test]
    fn a_deletion_names_its_target_and_neither_who_nor_why() {
        let (derive, calls) = shout();
        let target = Position {
            offset: 41,
            epoch: Epoch::new(0x5f3a),
        };
        let reason = Reason::from_untrusted("spam").expect("a reason");
        let envelope = encode_deletion(target, UserId::from_digest(&[0; 32]), Some(&reason));
        let deletion = entry(Body::Kept(envelope));
        assert_eq!(
            (deletion.target(), deletion.is_poisoned()),
            (Some(target), false)
        );
        for format in [Format::Json, Format::Html] {
            let frame = deletion.frame(format, &derive).expect("a frame");
            assert_eq!(
                frame.as_str(),
                r#"{"type":"deleted","room":"lobby","offset":44,"target":41}"#
            );
        }
        assert_eq!(deletion.frame(Format::Text, &derive), None);
        assert_eq!(calls.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_is_emptied_keeps_its_place_and_shows_nothing() {
        let (derive, _) = shout();
        let full = said("secret");
        full.frame(Format::Html, &derive);
        let emptied = full.emptied();
        assert_eq!(emptied.entry().at, full.entry().at);
        assert!(emptied.cost() < full.cost());
        for format in [Format::Json, Format::Html] {
            let frame = emptied.frame(format, &derive).expect("a frame");
            assert_eq!(
                frame.as_str(),
                r#"{"type":"message","room":"lobby","offset":44,"id":"AAAAAAAAAAAAAAAA.7","deleted":true,"ts":"2026-11-24T12:00:00.000Z"}"#
            );
        }
        assert_eq!(emptied.frame(Format::Text, &derive), None);
    }

    #[test]
    fn an_entry_without_content_keeps_its_place_and_shows_nothing() {
        let (derive, _) = shout();
        for (entry, poisoned) in [
            (entry(Body::Removed), false),
            (entry(Body::Kept(Bytes::from_static(b"\x09not ours"))), true),
        ] {
            assert_eq!(entry.is_poisoned(), poisoned);
            for format in [Format::Json, Format::Html] {
                assert_eq!(
                    entry
                        .frame(format, &derive)
                        .expect("every offset has a frame")
                        .as_str(),
                    r#"{"type":"message","room":"lobby","offset":44,"id":"AAAAAAAAAAAAAAAA.7","deleted":true,"ts":"2026-11-24T12:00:00.000Z"}"#
                );
            }
            assert_eq!(entry.frame(Format::Text, &derive), None);
        }
    }
}
