//! What an entry's bytes mean. The log keeps envelopes as opaque bytes; this file alone writes and reads them.
//!
//! Layout: version (1 byte, 1) · kind (1 byte) · fields of the kind. A string is its length (`u16`, big-endian) and its
//! UTF-8 bytes. A kind that this build does not know cannot be decoded: it comes from a later one.

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    ids::UserId,
    position::{Epoch, Position},
    reason::Reason,
    text::CleanText,
};

const VERSION: u8 = 1;
const MESSAGE: u8 = 1;
const DELETION: u8 = 2;

/// What an entry says, borrowed from its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Envelope<'a> {
    /// Somebody wrote something.
    Message(Message<'a>),
    /// Somebody took a message back.
    Deletion(Deletion<'a>),
}

/// A message as a person or a service wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Who wrote it.
    pub user: UserId,
    /// The name shown when it was written.
    pub nick: &'a str,
    /// Whether that name came from a claim of the identity provider.
    pub verified: bool,
    /// Canonical plain text.
    pub text: &'a str,
}

/// A message's content went, and who saw to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deletion<'a> {
    /// Where the message stands.
    pub target: Position,
    /// Who deleted it. For the record; members are not told.
    pub user: UserId,
    /// Why, if they said so. Likewise.
    pub reason: Option<&'a str>,
}

/// The bytes are no envelope of a version that this build reads. The hub counts it and shows the entry as removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the envelope cannot be decoded")]
pub struct EnvelopeError;

/// Writes a message. Fails never: a nickname and a text are bounded far below the 64 KiB that a length can say.
pub fn encode_message(user: UserId, nick: &str, verified: bool, text: &CleanText) -> Bytes {
    Message {
        user,
        nick,
        verified,
        text: text.as_str(),
    }
    .encode()
    .expect("names are bounded by `limits.nick_bytes_max`, at most 512")
}

impl Message<'_> {
    /// The bytes that [`decode`] reads: one message has one envelope, so a record need not hold both.
    pub fn encode(&self) -> Result<Bytes, EnvelopeError> {
        let mut out = BytesMut::with_capacity(32 + self.nick.len() + self.text.len());
        out.put_u8(VERSION);
        out.put_u8(MESSAGE);
        out.put_u8(u8::from(self.verified));
        put_str(&mut out, self.user.as_str())?;
        put_str(&mut out, self.nick)?;
        // A text may be larger than a `u16` can say (`content.text_bytes_max` up to 65536): it is the rest of the envelope.
        out.put_slice(self.text.as_bytes());
        Ok(out.freeze())
    }
}

/// The kind of an envelope of this version, known to this build or not.
pub fn kind(raw: &[u8]) -> Option<u8> {
    match raw {
        [VERSION, kind, ..] => Some(*kind),
        _ => None,
    }
}

/// Writes a deletion. Fails never: all of it is bounded.
pub fn encode_deletion(target: Position, user: UserId, reason: Option<&Reason>) -> Bytes {
    Deletion {
        target,
        user,
        reason: reason.map(Reason::as_str),
    }
    .encode()
    .expect("a user's id has 22 bytes")
}

impl Deletion<'_> {
    /// The bytes that [`decode`] reads: offset and epoch of the target, who, and the reason as the rest; none when nothing is
    /// left.
    pub fn encode(&self) -> Result<Bytes, EnvelopeError> {
        let reason = self.reason.unwrap_or_default();
        let mut out = BytesMut::with_capacity(48 + reason.len());
        out.put_u8(VERSION);
        out.put_u8(DELETION);
        out.put_u64(self.target.offset);
        out.put_u64(self.target.epoch.raw());
        put_str(&mut out, self.user.as_str())?;
        out.put_slice(reason.as_bytes());
        Ok(out.freeze())
    }
}

impl Envelope<'_> {
    /// Who wrote or did it.
    pub fn user(&self) -> UserId {
        match self {
            Self::Message(message) => message.user,
            Self::Deletion(deletion) => deletion.user,
        }
    }
}

/// Reads an envelope.
pub fn decode(raw: &[u8]) -> Result<Envelope<'_>, EnvelopeError> {
    match raw {
        [VERSION, MESSAGE, verified @ (0 | 1), rest @ ..] => {
            decode_message(*verified == 1, rest).map(Envelope::Message)
        }
        [VERSION, DELETION, rest @ ..] => decode_deletion(rest).map(Envelope::Deletion),
        _ => Err(EnvelopeError),
    }
}

fn decode_message(verified: bool, rest: &[u8]) -> Result<Message<'_>, EnvelopeError> {
    let (user, rest) = take_user(rest)?;
    let (nick, rest) = take_str(rest)?;
    Ok(Message {
        user,
        nick,
        verified,
        text: as_str(rest)?,
    })
}

fn decode_deletion(rest: &[u8]) -> Result<Deletion<'_>, EnvelopeError> {
    let (offset, rest) = take_u64(rest)?;
    let (epoch, rest) = take_u64(rest)?;
    let (user, rest) = take_user(rest)?;
    let reason = as_str(rest)?;
    Ok(Deletion {
        target: Position {
            offset,
            epoch: Epoch::new(epoch),
        },
        user,
        reason: (!reason.is_empty()).then_some(reason),
    })
}

fn put_str(out: &mut BytesMut, value: &str) -> Result<(), EnvelopeError> {
    let len = u16::try_from(value.len()).map_err(|_| EnvelopeError)?;
    out.put_u16(len);
    out.put_slice(value.as_bytes());
    Ok(())
}

fn take_str(raw: &[u8]) -> Result<(&str, &[u8]), EnvelopeError> {
    let (len, rest) = raw.split_first_chunk::<2>().ok_or(EnvelopeError)?;
    let (value, rest) = rest
        .split_at_checked(usize::from(u16::from_be_bytes(*len)))
        .ok_or(EnvelopeError)?;
    Ok((as_str(value)?, rest))
}

fn take_user(raw: &[u8]) -> Result<(UserId, &[u8]), EnvelopeError> {
    let (user, rest) = take_str(raw)?;
    Ok((UserId::parse(user).map_err(|_| EnvelopeError)?, rest))
}

fn take_u64(raw: &[u8]) -> Result<(u64, &[u8]), EnvelopeError> {
    let (number, rest) = raw.split_first_chunk().ok_or(EnvelopeError)?;
    Ok((u64::from_be_bytes(*number), rest))
}

fn as_str(raw: &[u8]) -> Result<&str, EnvelopeError> {
    std::str::from_utf8(raw).map_err(|_| EnvelopeError)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::{Deletion, Envelope, EnvelopeError, decode, encode_deletion};
    use crate::domain::{
        ids::UserId,
        position::{Epoch, Position},
        reason::Reason,
    };

    fn target() -> Position {
        Position {
            offset: 41,
            epoch: Epoch::new(0x5f3a),
        }
    }

    #[test]
    fn a_deletion_reads_back_with_and_without_its_reason() {
        let user = UserId::from_digest(&[7; 32]);
        let spam = Reason::from_untrusted("spam").expect("a reason");
        for reason in [None, Some(&spam)] {
            let raw = encode_deletion(target(), user, reason);
            let expected = Envelope::Deletion(Deletion {
                target: target(),
                user,
                reason: reason.map(Reason::as_str),
            });
            assert_eq!(decode(&raw), Ok(expected));
            let head = raw.len() - reason.map_or(0, |reason| reason.as_str().len());
            for cut in 0..head {
                assert_eq!(decode(&raw[..cut]), Err(EnvelopeError), "{cut} bytes");
            }
        }
    }

    /// Files outlive builds: what version 1 wrote is read for ever.
    #[test]
    fn the_layout_of_a_deletion_does_not_change() {
        let raw = b"\x01\x02\0\0\0\0\0\0\0\x29\0\0\0\0\0\0\x5f\x3a\0\x16u_aaaaaaaaaaaaaaaaaaaaspam";
        let user = UserId::from_digest(&[0; 32]);
        let spam = Reason::from_untrusted("spam").expect("a reason");
        assert_eq!(encode_deletion(target(), user, Some(&spam)), raw.as_slice());
    }

    #[test]
    fn a_version_or_kind_of_a_later_build_cannot_be_decoded() {
        let raw = encode_deletion(target(), UserId::from_digest(&[7; 32]), None);
        for (place, value) in [(0, 0), (0, 2), (1, 0), (1, 3), (1, 255)] {
            let mut other = raw.to_vec();
            other[place] = value;
            assert_eq!(decode(&other), Err(EnvelopeError), "{place}: {value}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(raw in any::<Vec<u8>>(), kind in 0_u8..4) {
            decode(&raw).ok();
            decode(&[&[1, kind], raw.as_slice()].concat()).ok();
        }
    }
}
