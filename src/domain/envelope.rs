//! What an entry's bytes mean. The log keeps envelopes as opaque bytes; this file alone writes and reads them.
//!
//! Layout: version (1 byte, 1) · kind (1 byte) · fields of the kind. A string is its length (`u16`, big-endian) and its
//! UTF-8 bytes.

use bytes::{BufMut, Bytes, BytesMut};

use super::{ids::UserId, text::CleanText};

const VERSION: u8 = 1;
const MESSAGE: u8 = 1;

/// A message as a person or a service wrote it, borrowed from the entry's bytes.
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
    /// The bytes that [`decode_message`] read: one message has one envelope, so a record need not hold both.
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

/// Reads a message.
pub fn decode_message(raw: &[u8]) -> Result<Message<'_>, EnvelopeError> {
    let [VERSION, MESSAGE, verified @ (0 | 1), rest @ ..] = raw else {
        return Err(EnvelopeError);
    };
    let (user, rest) = take_str(rest)?;
    let (nick, rest) = take_str(rest)?;
    Ok(Message {
        user: UserId::parse(user).map_err(|_| EnvelopeError)?,
        nick,
        verified: *verified == 1,
        text: std::str::from_utf8(rest).map_err(|_| EnvelopeError)?,
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
    Ok((std::str::from_utf8(value).map_err(|_| EnvelopeError)?, rest))
}
