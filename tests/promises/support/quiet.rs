//! The quiet set: whatever one peer does, two others talk on in another session and lose nothing, a bystander in its room
//! hears nothing of it, nothing is left behind, and one counter moves by one.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

use wardroom::config::Config;

use super::{client::Client, eventually, gateway::TestGateway};

/// The room of the two who talk.
const ROOM: &str = "control";
/// The room in which the bystander sits.
pub const SCENE: &str = "lobby";

/// Two who talk, a bystander, and what was counted before.
pub struct Quiet<'a> {
    gateway: &'a TestGateway,
    talker: Client,
    listener: Client,
    said: u64,
    counted: BTreeMap<String, f64>,
    held: BTreeMap<String, f64>,
}

/// Counters of which one offence moves one, by one.
const COUNTED: [&str; 4] = [
    "wardroom_refusals_total",
    "wardroom_rejects_total",
    "wardroom_sessions_closed_total",
    "wardroom_tls_handshakes_total",
];
/// Gauges that are what they were when the offender has gone.
const HELD: [&str; 5] = [
    "wardroom_connections",
    "wardroom_members",
    "wardroom_outbox_bytes",
    "wardroom_sessions",
    "wardroom_slow_consumers",
];

/// For tables of offences: the two may say more at once than people do, and who has gone is forgotten soon.
pub fn for_many(config: &mut Config) {
    let plenty = 1000.try_into().expect("not 0");
    config.limits.messages_burst = plenty;
    config.limits.messages_per_user_burst = plenty;
    config.limits.commands_burst = plenty;
    config.limits.frames_burst = plenty;
    config.limits.presence_hold = Duration::from_millis(50);
}

impl<'a> Quiet<'a> {
    /// Opens the sessions of the three and looks at every counter.
    pub async fn watch(gateway: &'a TestGateway) -> Self {
        let mut talker = gateway.member("Talker").await;
        let mut listener = gateway.member("Listener").await;
        talker.join(ROOM).await;
        listener.join(ROOM).await;
        listener.join(SCENE).await;
        // The scene's own arrival is told before it begins.
        listener.settle().await;
        let mut quiet = Self {
            gateway,
            talker,
            listener,
            said: 0,
            counted: BTreeMap::new(),
            held: BTreeMap::new(),
        };
        quiet.exchange().await;
        quiet.counted = quiet.series(&COUNTED);
        quiet.held = quiet.series(&HELD);
        // Whatever is on its way to the three just now will have been taken.
        quiet.held.remove("wardroom_outbox_bytes");
        quiet
    }

    /// Runs what the offender does while the two talk five times a second.
    pub async fn during<T>(&mut self, offence: impl Future<Output = T>) -> T {
        let mut offence = std::pin::pin!(offence);
        let mut beat = tokio::time::interval(Duration::from_millis(200));
        loop {
            tokio::select! {
                done = &mut offence => return done,
                _ = beat.tick() => self.exchange().await,
            }
        }
    }

    /// Checks that the two lost nothing, whatever the bystander was told.
    pub async fn settled(&mut self) {
        self.exchange().await;
        self.listener.settle().await;
    }

    /// Says one message and hears it, in order and once.
    async fn exchange(&mut self) {
        self.said += 1;
        let text = self.said.to_string();
        let ack = self.talker.say(ROOM, &text).await;
        let heard = self.listener.hear().await;
        assert_eq!(heard["room"], ROOM, "Q1: the bystander heard {heard}");
        assert_eq!(
            (heard["text"].as_str(), &heard["offset"]),
            (Some(text.as_str()), &ack["offset"]),
            "Q2, Q3"
        );
    }

    /// Checks the set; `moved` are the counters, with their labels, that moved by one each. Then the next offence may come.
    pub async fn holds(&mut self, moved: &[&str]) {
        self.exchange().await;
        self.listener.settle().await;
        let heard: Vec<Value> = self
            .listener
            .skipped()
            .into_iter()
            .filter(|frame| frame["type"] != "presence" && frame["room"] != ROOM)
            .collect();
        assert!(heard.is_empty(), "Q1: the bystander heard {heard:?}");
        eventually("Q4: everything was given back", async || {
            let now = self.series(&HELD);
            if now == self.held {
                Ok(())
            } else {
                Err(format!("{now:?} instead of {:?}", self.held))
            }
        })
        .await;
        for series in moved {
            *self.counted.entry((*series).to_owned()).or_default() += 1.0;
        }
        eventually("Q5, Q7: what was counted", async || {
            let now = self.series(&COUNTED);
            if now == self.counted {
                Ok(())
            } else {
                Err(format!("{now:?} instead of {:?}", self.counted))
            }
        })
        .await;
    }

    /// The series of some metrics. That a good handshake was made is no offence.
    fn series(&self, names: &[&str]) -> BTreeMap<String, f64> {
        let (_, text) = self.gateway.metrics.encode(None);
        text.lines()
            .filter_map(|line| line.rsplit_once(' '))
            .filter(|(series, _)| !series.contains("result=\"ok\""))
            .filter(|(series, _)| names.contains(&series.split('{').next().unwrap_or_default()))
            .filter_map(|(series, value)| Some((series.to_owned(), value.parse().ok()?)))
            .filter(|(_, value)| *value != 0.0)
            .collect()
    }
}
