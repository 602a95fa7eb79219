//! A session's deadlines behind one timer: ping, silence, expiry of the credential, a peer that takes nothing.
//!
//! The rules take the time and return values; the session alone writes to the socket.

use std::time::Duration;

use tokio::time::Instant;

use crate::protocol::codes::CloseCode;

/// A session is looked at this often, whether or not anything is due: a key that its issuer has withdrawn ends the sessions that
/// it signed for within five minutes.
const REVIEW: Duration = Duration::from_mins(4);

/// The lengths of the deadlines.
#[derive(Clone, Copy, Debug)]
pub struct TimerRules {
    /// A ping is sent after this long without anything from the peer.
    pub ping: Duration,
    /// Without anything from the peer for this long it is gone.
    pub silence: Duration,
    /// `expiring` is sent this long before the end.
    pub expiry_warning: Duration,
    /// A peer that takes nothing for this long, while something waits, is too slow.
    pub stall: Duration,
}

/// What a deadline asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tick {
    /// Send a ping.
    Ping,
    /// Tell that the credential ends in this long.
    Expiring(Duration),
    /// End the session.
    Over(CloseCode),
}

/// The deadlines of one session.
#[derive(Debug)]
pub struct Timers {
    rules: TimerRules,
    heard: Instant,
    pinged: Instant,
    expires: Instant,
    warned: bool,
    stalled: Option<Stall>,
    reviewed: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Stall {
    since: Instant,
    written: u64,
}

impl Timers {
    /// Deadlines of a session that begins `now` and whose credential ends at `expires`.
    pub fn new(rules: TimerRules, now: Instant, expires: Instant) -> Self {
        Self {
            rules,
            heard: now,
            pinged: now,
            expires,
            warned: false,
            stalled: None,
            reviewed: now,
        }
    }

    /// The peer was heard.
    pub fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// The credential was refreshed and now ends at `expires`.
    pub fn refreshed(&mut self, expires: Instant) {
        self.expires = expires;
        self.warned = false;
    }

    /// Something waits for the peer, which has taken `written` bytes so far; or nothing waits any more.
    pub fn waiting(&mut self, waits: bool, written: u64, now: Instant) {
        self.stalled = match self.stalled {
            _ if !waits => None,
            Some(stall) if stall.written == written => Some(stall),
            _ => Some(Stall {
                since: now,
                written,
            }),
        };
    }

    /// When to look again.
    pub fn next(&self) -> Instant {
        let ping = self.heard.max(self.pinged) + self.rules.ping;
        let expiry = if self.warned {
            self.expires
        } else {
            self.warn_at()
        };
        let silence = self.heard + self.rules.silence;
        let stall = self.stalled.map(|stall| stall.since + self.rules.stall);
        ping.min(expiry)
            .min(silence)
            .min(stall.unwrap_or(silence))
            .min(self.reviewed + REVIEW)
    }

    /// What is due, one thing at a time; `written` as in [`Timers::waiting`].
    pub fn due(&mut self, now: Instant, written: u64) -> Option<Tick> {
        self.reviewed = now;
        if now >= self.expires {
            return Some(Tick::Over(CloseCode::CredentialExpired));
        }
        if now >= self.heard + self.rules.silence {
            return Some(Tick::Over(CloseCode::SilentPeer));
        }
        if let Some(stall) = self.stalled {
            self.waiting(true, written, now);
            if stall.written == written && now >= stall.since + self.rules.stall {
                return Some(Tick::Over(CloseCode::SlowConsumer));
            }
        }
        if !self.warned && now >= self.warn_at() {
            self.warned = true;
            return Some(Tick::Expiring(self.expires - now));
        }
        if now >= self.heard.max(self.pinged) + self.rules.ping {
            self.pinged = now;
            return Some(Tick::Ping);
        }
        None
    }

    fn warn_at(&self) -> Instant {
        self.expires
            .checked_sub(self.rules.expiry_warning)
            .unwrap_or(self.expires)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Tick, TimerRules, Timers};
    use crate::protocol::codes::CloseCode;

    const S: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_never_pauses_is_looked_at_every_few_minutes_too() {
        let now = Instant::now();
        let mut timers = timers(now);
        for minute in 1..=3 {
            timers.heard(now + minute * 60 * S);
        }
        timers.heard(now + 239 * S);
        assert_eq!(timers.next(), now + 240 * S);
        assert_eq!(timers.due(now + 240 * S, 0), None);
        timers.heard(now + 479 * S);
        assert_eq!(timers.next(), now + 480 * S);
    }

    fn timers(now: Instant) -> Timers {
        let rules = TimerRules {
            ping: 25 * S,
            silence: 60 * S,
            expiry_warning: 60 * S,
            stall: 30 * S,
        };
        Timers::new(rules, now, now + 3600 * S)
    }

    #[test]
    fn a_silent_peer_is_pinged_and_then_given_up() {
        let start = Instant::now();
        let mut timers = timers(start);
        assert_eq!(timers.next(), start + 25 * S);
        assert_eq!(timers.due(start + 24 * S, 0), None);
        assert_eq!(timers.due(start + 25 * S, 0), Some(Tick::Ping));
        assert_eq!(
            timers.due(start + 25 * S, 0),
            None,
            "one ping, not one a poll"
        );
        assert_eq!(timers.due(start + 50 * S, 0), Some(Tick::Ping));
        assert_eq!(
            timers.due(start + 60 * S, 0),
            Some(Tick::Over(CloseCode::SilentPeer))
        );
    }

    #[test]
    fn whoever_is_heard_lives_on() {
        let start = Instant::now();
        let mut timers = timers(start);
        timers.heard(start + 59 * S);
        assert_eq!(timers.due(start + 61 * S, 0), None);
        assert_eq!(
            timers.due(start + 119 * S, 0),
            Some(Tick::Over(CloseCode::SilentPeer))
        );
    }

    #[test]
    fn expiry_is_told_once_and_then_ends_the_session() {
        let start = Instant::now();
        let mut timers = timers(start);
        timers.heard(start + 3539 * S);
        assert_eq!(
            timers.due(start + 3540 * S, 0),
            Some(Tick::Expiring(60 * S))
        );
        timers.heard(start + 3599 * S);
        assert_eq!(timers.due(start + 3599 * S, 0), None);
        assert_eq!(
            timers.due(start + 3600 * S, 0),
            Some(Tick::Over(CloseCode::CredentialExpired))
        );
        timers.refreshed(start + 7200 * S);
        assert_eq!(
            timers.due(start + 3601 * S, 0),
            None,
            "a refresh moves the end"
        );
    }

    #[test]
    fn a_peer_that_takes_a_byte_now_and_then_is_slow_but_not_stalled() {
        let start = Instant::now();
        let mut timers = timers(start);
        timers.waiting(true, 100, start);
        timers.waiting(true, 101, start + 29 * S);
        timers.heard(start + 40 * S);
        assert_eq!(timers.due(start + 31 * S, 101), None);
        assert_eq!(
            timers.due(start + 59 * S, 101),
            Some(Tick::Over(CloseCode::SlowConsumer))
        );
    }
}
