//! `typing`: relayed to the other members of a room on every node, without an offset and without a promise. A client that
//! hears nothing more for some seconds stops showing it.

use std::{sync::Arc, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::time::Instant;

use crate::{
    auth::grants::SendGrant,
    domain::ids::{SessionId, UserId},
    hub::{Hub, agenda::Job, members::Place, membership::Membership, room::Room},
    outbound::{entry_frames::Format, frame::Frame},
    protocol::server_frame::ServerFrame,
};

const VERSION: u8 = 1;
const TYPING: u8 = 1;
const SESSION_BYTES: usize = 16;
const USER_BYTES: usize = 22;

/// In a crowd everybody types: so many are relayed in a quarter of a second, the rest is noise.
const PER_WINDOW: u32 = 5;
const WINDOW: Duration = Duration::from_millis(250);

/// How many were relayed lately.
#[derive(Debug, Default)]
pub(super) struct TypingBrake {
    window: Option<Instant>,
    relayed: u32,
}

impl TypingBrake {
    fn lets_pass(&mut self, now: Instant) -> bool {
        if self.window.is_none_or(|start| now >= start + WINDOW) {
            self.window = Some(now);
            self.relayed = 0;
        }
        self.relayed += 1;
        self.relayed <= PER_WINDOW
    }
}

impl Hub {
    /// Tells the other members that this one types. Returns at once; nothing is promised.
    pub fn typing(&self, grant: &SendGrant, membership: &Membership) {
        debug_assert_eq!(
            grant.room(),
            membership.room(),
            "a right to one room opens no other"
        );
        let room = membership.place();
        if !room.state.lock().typing.lets_pass(Instant::now()) {
            return;
        }
        let body = encode(
            membership.session(),
            grant.user(),
            membership.nick().as_str(),
        );
        self.agenda.now(Job::Cast(room.id.clone(), body));
    }
}

impl Room {
    /// Takes what somebody cast. Another version than ours is nothing to us.
    pub(super) fn take_cast(self: &Arc<Self>, hub: &Hub, body: &[u8]) {
        let Some((session, user, nick)) = decode(body) else {
            return;
        };
        let frame = Frame::encode(&ServerFrame::Typing {
            room: &self.id,
            user,
            nick,
        });
        let mut tally = hub.settings.budget.tally();
        let state = self.state.lock();
        for member in state.members.iter() {
            let quick = matches!(member.place, Place::Tail) && member.format != Format::Text;
            if quick && member.shared.session.as_bytes() != session {
                // Whoever has no room for it does without.
                tally.offer(&member.outbox, &frame);
            }
        }
    }
}

fn encode(session: SessionId, user: UserId, nick: &str) -> Bytes {
    let mut out = BytesMut::with_capacity(2 + SESSION_BYTES + USER_BYTES + nick.len());
    out.put_u8(VERSION);
    out.put_u8(TYPING);
    out.put_slice(session.as_bytes());
    out.put_slice(user.as_str().as_bytes());
    out.put_slice(nick.as_bytes());
    out.freeze()
}

fn decode(raw: &[u8]) -> Option<(&[u8; SESSION_BYTES], UserId, &str)> {
    let [VERSION, TYPING, rest @ ..] = raw else {
        return None;
    };
    let (session, rest) = rest.split_first_chunk::<SESSION_BYTES>()?;
    let (user, nick) = rest.split_first_chunk::<USER_BYTES>()?;
    let user = UserId::parse(std::str::from_utf8(user).ok()?).ok()?;
    Some((session, user, std::str::from_utf8(nick).ok()?))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{TypingBrake, decode, encode};
    use crate::domain::ids::{SessionId, UserId};

    #[test]
    fn a_cast_reads_back_and_garbage_does_not() {
        let (session, user) = (
            SessionId::from_random([7; 16]),
            UserId::from_digest(&[1; 32]),
        );
        let body = encode(session, user, "Alice");
        assert_eq!(decode(&body), Some((session.as_bytes(), user, "Alice")));
        for bad in [&b""[..], b"\x01", b"\x02\x01", &body[..30], &[1; 60]] {
            assert_eq!(decode(bad), None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_that_types_is_thinned_out() {
        let mut brake = TypingBrake::default();
        let now = Instant::now();
        let passed = (0..100).filter(|_| brake.lets_pass(now)).count();
        assert_eq!(passed, 5);
        assert!(!brake.lets_pass(now + Duration::from_millis(249)));
        assert!(brake.lets_pass(now + Duration::from_millis(250)));
    }
}
