//! What two keys must agree on, whoever set them and to whatever: `serve`, `dev` and tests alike.

use std::net::SocketAddr;

use crate::config::{Config, finding::Finding, log::LogEngine};

impl Config {
    /// Pairs of keys that contradict each other.
    pub fn contradictions(&self) -> Vec<Finding> {
        let limits = &self.limits;
        let mut found = Vec::new();
        let mut refuse = |wrong: bool, key: &str, text: String| {
            if wrong {
                found.push(Finding::new(key, text));
            }
        };
        let (page, outbox) = (limits.history_page_bytes_max, limits.outbox_bytes_max);
        refuse(
            page > outbox / 4,
            "limits.history_page_bytes_max",
            format!(
                "{page} is more than a quarter of limits.outbox_bytes_max ({outbox}): a page must fit an outbox even when JSON \
                 escapes it"
            ),
        );
        // A character of text is three bytes of JSON where it is escaped, and a frame has other fields too.
        let text = self.content.text_bytes_max;
        let needed = text.saturating_mul(3).saturating_add(1024);
        for (key, bytes) in [
            ("limits.ws_message_bytes_max", limits.ws_message_bytes_max),
            ("limits.body_bytes_max", limits.body_bytes_max),
        ] {
            refuse(
                bytes < needed,
                key,
                format!(
                    "{bytes} cannot hold a text of content.text_bytes_max ({text}): it must be at least {needed}"
                ),
            );
        }
        let (message, frame) = (limits.ws_message_bytes_max, limits.ws_frame_bytes_max);
        refuse(
            message < frame,
            "limits.ws_message_bytes_max",
            format!("{message} is less than limits.ws_frame_bytes_max ({frame})"),
        );
        let (silence, ping) = (limits.ws_silence.as_millis(), limits.ws_ping.as_millis());
        refuse(
            silence < 2 * ping,
            "limits.ws_silence_ms",
            format!(
                "{silence} is less than twice limits.ws_ping_ms ({ping}): one lost ping would end the session"
            ),
        );
        refuse(
            same_listener(self.listen.public, self.listen.admin),
            "listen.admin",
            format!(
                "{} is the address of listen.public: probes and metrics are not for the public",
                self.listen.admin
            ),
        );
        self.log_contradictions(&mut refuse);
        found
    }

    fn log_contradictions(&self, refuse: &mut impl FnMut(bool, &str, String)) {
        let memory = self.log.engine == LogEngine::Memory;
        refuse(
            self.log.engine == LogEngine::Redis,
            "log.engine",
            "\"redis\" is not available in this version".to_owned(),
        );
        refuse(
            self.log.engine == LogEngine::Sqlite && self.log.path.as_os_str().is_empty(),
            "log.path",
            "is empty: name the file in which the rooms keep their entries".to_owned(),
        );
        refuse(
            memory && self.log.retention_count == 0,
            "log.retention_count",
            "0 is no limit, and log.engine \"memory\" would fill the memory: set a number"
                .to_owned(),
        );
        for (index, room) in self.rooms.iter().enumerate() {
            refuse(
                memory && (room.hold || room.retention_count == 0),
                &format!(
                    "rooms[{index}].{}",
                    if room.hold { "hold" } else { "retention_count" }
                ),
                "log.engine \"memory\" cannot keep everything: it forgets with the process"
                    .to_owned(),
            );
        }
    }
}

/// Whether two addresses cannot both be bound. Port 0 takes a free one.
fn same_listener(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() != 0
        && one.port() == other.port()
        && (one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::same_listener;

    #[test]
    fn two_listeners_need_two_addresses() {
        let same = |one: &str, other: &str| {
            same_listener(one.parse().expect(one), other.parse().expect(other))
        };
        assert!(same("127.0.0.1:1", "127.0.0.1:1"));
        assert!(same("0.0.0.0:1", "127.0.0.1:1"));
        assert!(same("[::1]:1", "[::]:1"));
        assert!(!same("127.0.0.1:1", "127.0.0.1:2"));
        assert!(!same("127.0.0.1:1", "127.0.0.2:1"));
        assert!(!same("127.0.0.1:0", "127.0.0.1:0"));
    }
}
