//! The frames of `wardroom.v1` as a client sees them: only the fields that the generator looks at.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// A frame from the gateway. `text` borrows where it can: this is read once per delivery.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Incoming<'a> {
    Welcome {
        #[serde(default)]
        limits: Limits,
    },
    Joined {
        room: &'a str,
        #[serde(borrow)]
        head: (u64, Cow<'a, str>),
    },
    Message(#[serde(borrow)] Message<'a>),
    Ack {
        #[serde(borrow)]
        id: Option<Cow<'a, str>>,
        offset: Option<u64>,
    },
    Error {
        #[serde(borrow, default)]
        id: Option<Cow<'a, str>>,
        code: &'a str,
        #[serde(default)]
        outcome: Option<&'a str>,
    },
    /// The log went on without these; the stream goes on after `to`.
    Gap {
        #[serde(borrow)]
        to: (u64, Cow<'a, str>),
    },
    Reset {
        #[serde(borrow)]
        to: (u64, Cow<'a, str>),
    },
    Fork {},
    /// Entries that take an offset and are not ours.
    Deleted {
        offset: u64,
    },
    Moderation {
        offset: u64,
    },
    #[serde(other)]
    Other,
}

/// `welcome.limits`, as far as the plan depends on it.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct Limits {
    pub(super) messages_per_s: Option<u32>,
}

/// `message`.
#[derive(Debug, Deserialize)]
pub(super) struct Message<'a> {
    pub(super) room: &'a str,
    pub(super) offset: u64,
    #[serde(borrow, default)]
    pub(super) text: Option<Cow<'a, str>>,
}

/// A frame to the gateway.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Outgoing<'a> {
    Send {
        id: &'a str,
        room: &'a str,
        text: &'a str,
    },
}

/// The `id` of a `send` says what its answer will be about: the number and the time it was due.
pub(super) fn send_id(number: u64, due_us: u64) -> String {
    format!("{number}.{due_us}")
}

/// Reads an id back.
pub(super) fn read_send_id(id: &str) -> Option<(u64, u64)> {
    let (number, due_us) = id.split_once('.')?;
    Some((number.parse().ok()?, due_us.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{Incoming, Outgoing, read_send_id, send_id};

    #[test]
    fn a_message_is_read_without_a_copy_and_unknown_fields_and_types_pass() {
        let frame = r#"{"type":"message","room":"lobby","offset":44,"id":"x.1","user":"u_a","nick":"A","verified":true,"text":"Hello","ts":"t"}"#;
        let Ok(Incoming::Message(message)) = serde_json::from_str(frame) else {
            panic!("{frame}")
        };
        assert_eq!(
            (message.room, message.offset, message.text.as_deref()),
            ("lobby", 44, Some("Hello"))
        );
        for other in [
            r#"{"type":"presence","room":"lobby","joined":[],"left":[],"count":1}"#,
            r#"{"type":"new","x":[1]}"#,
        ] {
            assert!(
                matches!(serde_json::from_str(other), Ok(Incoming::Other)),
                "{other}"
            );
        }
    }

    #[test]
    fn the_frames_around_a_message_are_read() {
        let welcome = r#"{"type":"welcome","session":"s","limits":{"text_bytes_max":4096,"messages_per_s":5}}"#;
        assert!(
            matches!(serde_json::from_str(welcome), Ok(Incoming::Welcome { limits }) if limits.messages_per_s == Some(5))
        );
        let joined = r#"{"type":"joined","room":"lobby","nick":"A","head":[43,"5f3a"],"recovered":true,"members":1,"messages":[]}"#;
        assert!(matches!(
            serde_json::from_str(joined),
            Ok(Incoming::Joined {
                room: "lobby",
                head: (43, _)
            })
        ));
        let ack = r#"{"type":"ack","id":"7.12","room":"lobby","offset":44,"epoch":"5f3a","message":"x.1","duplicate":false}"#;
        assert!(matches!(
            serde_json::from_str(ack),
            Ok(Incoming::Ack {
                offset: Some(44),
                ..
            })
        ));
        let error = r#"{"type":"error","id":"7.12","code":"rate_limited","detail":"…","retry_after_ms":3,"outcome":"no"}"#;
        assert!(matches!(
            serde_json::from_str(error),
            Ok(Incoming::Error {
                code: "rate_limited",
                outcome: Some("no"),
                ..
            })
        ));
    }

    #[test]
    fn a_send_id_fits_the_default_limit_and_reads_back() {
        let longest = send_id(u64::MAX, u64::MAX);
        assert!(longest.len() <= 64);
        assert_eq!(read_send_id(&longest), Some((u64::MAX, u64::MAX)));
        assert_eq!(read_send_id("x"), None);
        let send = Outgoing::Send {
            id: "1.2",
            room: "lobby",
            text: "hi",
        };
        assert_eq!(
            serde_json::to_string(&send).unwrap(),
            r#"{"type":"send","id":"1.2","room":"lobby","text":"hi"}"#
        );
    }
}
