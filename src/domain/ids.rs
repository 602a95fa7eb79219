//! Who and which: users, sessions, producers, messages. Each is made in one place and printed in one form.

use std::fmt;

use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};

/// A user's public pseudonym: `u_` and 20 base32 characters, computed from issuer and subject. Copied freely.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId([u8; 22]);

/// The string is not `u_` and 20 characters of lower-case base32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a user id")]
pub struct UserIdError;

impl UserId {
    /// From SHA-256(`iss` ‖ 0x00 ‖ `sub`); the hash is computed in `auth`, where the crypto library lives.
    pub fn from_digest(digest: &[u8; 32]) -> Self {
        let mut out = *b"u_00000000000000000000";
        let encoded = BASE32_NOPAD.encode(digest);
        for (to, from) in out.iter_mut().skip(2).zip(encoded.bytes()) {
            *to = from.to_ascii_lowercase();
        }
        Self(out)
    }

    /// Reads the printed form back.
    pub fn parse(raw: &str) -> Result<Self, UserIdError> {
        let bytes: [u8; 22] = raw.as_bytes().try_into().map_err(|_| UserIdError)?;
        let tail = raw.strip_prefix("u_").ok_or(UserIdError)?;
        if tail
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7'))
        {
            Ok(Self(bytes))
        } else {
            Err(UserIdError)
        }
    }

    /// The printed form.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("both constructors admit ASCII only")
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl serde::Serialize for UserId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// One connection's life. 128 random bits, printed as base64url.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId([u8; 16]);

impl SessionId {
    /// From 16 bytes of the secure random source.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes, for what travels between nodes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64URL_NOPAD.encode(&self.0))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for SessionId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Who numbers messages: 96 bits, computed by the server from a user and a resume string, or at random.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProducerId([u8; 12]);

impl ProducerId {
    /// From the first 12 bytes of a hash or of the secure random source.
    pub fn from_bytes(bytes: [u8; 12]) -> Self {
        Self(bytes)
    }

    /// The 12 bytes, for an engine that stores them.
    pub fn as_bytes(&self) -> &[u8; 12] {
        &self.0
    }
}

impl fmt::Display for ProducerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64URL_NOPAD.encode(&self.0))
    }
}

impl fmt::Debug for ProducerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for ProducerId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A producer and which of its numberings: a client that cannot fill a hole raises `chain` and starts at 1 again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Producer {
    /// Who numbers.
    pub id: ProducerId,
    /// Which numbering, 0 for the first.
    pub chain: u16,
}

/// A message's name, the same on every node for ever. Printed `<producer>.<seq>`, or `<producer>~<chain>.<seq>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId {
    /// Who numbered it.
    pub producer: Producer,
    /// The number, from 1.
    pub seq: u64,
}

/// The string is no message's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a message id")]
pub struct MessageIdError;

impl MessageId {
    /// Reads the printed form back.
    pub fn parse(raw: &str) -> Result<Self, MessageIdError> {
        let (producer, seq) = raw.split_once('.').ok_or(MessageIdError)?;
        let (id, chain) = producer.split_once('~').unwrap_or((producer, "0"));
        let bytes = BASE64URL_NOPAD
            .decode(id.as_bytes())
            .map_err(|_| MessageIdError)?;
        let read = Self {
            producer: Producer {
                id: ProducerId(bytes.try_into().map_err(|_| MessageIdError)?),
                chain: chain.parse().map_err(|_| MessageIdError)?,
            },
            seq: seq.parse().map_err(|_| MessageIdError)?,
        };
        // A sign, a leading zero, `~0`: one message has one name.
        if read.to_string() == raw {
            Ok(read)
        } else {
            Err(MessageIdError)
        }
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.producer.chain {
            0 => write!(f, "{}.{}", self.producer.id, self.seq),
            chain => write!(f, "{}~{chain}.{}", self.producer.id, self.seq),
        }
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for MessageId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::{MessageId, Producer, ProducerId, UserId};

    #[test]
    fn a_user_id_reads_back_what_it_prints() {
        let user = UserId::from_digest(&[0xa5; 32]);
        assert_eq!(UserId::parse(user.as_str()), Ok(user));
        assert_eq!(user.as_str().len(), 22);
        for bad in [
            "",
            "u_",
            "x_aaaaaaaaaaaaaaaaaaaa",
            "u_AAAAAAAAAAAAAAAAAAAA",
            "u_aaaaaaaaaaaaaaaaaaa1",
            "u_aaaaaaaaaaaaaaaaaaaaa",
        ] {
            assert!(UserId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_message_id_names_its_chain_only_when_there_is_one() {
        let id = ProducerId::from_bytes([0; 12]);
        let name = |chain| {
            MessageId {
                producer: Producer { id, chain },
                seq: 7,
            }
            .to_string()
        };
        assert_eq!(name(0), "AAAAAAAAAAAAAAAA.7");
        assert_eq!(name(2), "AAAAAAAAAAAAAAAA~2.7");
        for good in ["AAAAAAAAAAAAAAAA.7", "AAAAAAAAAAAAAAAA~2.7"] {
            let read = MessageId::parse(good).map(|id| id.to_string());
            assert_eq!(read.as_deref(), Ok(good));
        }
        for bad in [
            "",
            ".",
            "AAAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAA.",
            "AAAAAAAAAAAAAAAA.07",
            "AAAAAAAAAAAAAAAA.+7",
            "AAAAAAAAAAAAAAAA~0.7",
            "AAAAAAAAAAAAAAAA~65536.7",
            "AAAAAAAAAAAAAAA.7",
            "AAAAAAAAAAAAAAA=.7",
        ] {
            assert!(MessageId::parse(bad).is_err(), "{bad}");
        }
    }
}
