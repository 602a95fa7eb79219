//! What a run found, for people and as JSON. Units stand in the names; whole numbers only.

use std::{collections::BTreeMap, fmt, time::Duration};

use hdrhistogram::Histogram;
use serde::Serialize;

use super::recorder::Faults;

/// What a run found.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    /// How the sessions came about.
    pub(super) sessions: Sessions,
    /// What was said; the counts are of the whole run, warm-up included.
    pub(super) messages: Messages,
    /// What arrived.
    pub(super) deliveries: Deliveries,
    /// What must be zero.
    pub(super) faults: Faults,
    /// Whether the load was what it claims to be.
    pub(super) generator: Generator,
    /// What the gateway used, if its process was named.
    pub(super) server: Option<Server>,
}

/// The sessions.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Sessions {
    pub(super) count: u64,
    pub(super) rooms: u64,
    pub(super) users: u64,
    /// TLS version, cipher suite, key exchange: how many connections had it.
    pub(super) protocols: BTreeMap<String, u64>,
    pub(super) resumed: u64,
    /// How often the gateway made a connection wait.
    pub(super) delayed: u64,
    /// From the first connection to the last `joined`.
    pub(super) setup_ms: u64,
}

/// The messages.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Messages {
    pub(super) senders: u64,
    pub(super) bytes: u64,
    pub(super) sent: u64,
    pub(super) acknowledged: u64,
    pub(super) refused: BTreeMap<String, u64>,
    pub(super) ack_us: Latency,
}

/// The deliveries.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Deliveries {
    /// Over the whole run.
    pub(super) all: u64,
    /// Within the measured time.
    pub(super) measured: u64,
    pub(super) measured_ms: u64,
    pub(super) per_s: u64,
    /// From the time a message was due, whether or not the generator was late, to its arrival.
    pub(super) latency_us: Latency,
    /// Messages of others in the same rooms.
    pub(super) foreign: u64,
}

/// The generator's own part.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Generator {
    /// From due to handed to the connection.
    pub(super) late_us: Latency,
    /// Its CPU time within the measured time, in hundredths of one core.
    pub(super) cpu_percent: u64,
    /// Whether 99 % of the messages left within 20 ms of their time; always, when their time is when there is room for them.
    pub(super) kept_up: bool,
}

/// What the gateway's process used.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Server {
    /// From the first connection to the last `joined`.
    pub(super) setup_cpu_ms: u64,
    pub(super) setup_cpu_us_per_session: u64,
    /// Within the measured time.
    pub(super) cpu_ms: u64,
    /// Absent when nothing was delivered.
    pub(super) cpu_ns_per_delivery: Option<u64>,
    pub(super) resident_before_kib: u64,
    /// When the sessions had joined and settled.
    pub(super) resident_joined_kib: u64,
    pub(super) resident_end_kib: u64,
    /// Growth from `before` to `joined`.
    pub(super) resident_bytes_per_session: i64,
}

/// A distribution.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Latency {
    pub(super) p50: u64,
    pub(super) p99: u64,
    pub(super) p99_9: u64,
    pub(super) max: u64,
}

/// The most that 99 % of messages may leave after their time before the run says that it did not keep up.
pub(super) const LATE_MAX: Duration = Duration::from_millis(20);

impl Latency {
    pub(super) fn of(histogram: &Histogram<u64>) -> Self {
        let [p50, p99, p99_9] =
            [0.5, 0.99, 0.999].map(|quantile| histogram.value_at_quantile(quantile));
        Self {
            p50,
            p99,
            p99_9,
            max: histogram.max(),
        }
    }
}

impl Report {
    /// One line of JSON, or lines for people.
    pub(super) fn render(&self, json: bool) -> serde_json::Result<String> {
        if json {
            Ok(serde_json::to_string(self)? + "\n")
        } else {
            Ok(self.to_string())
        }
    }

    /// Whether every message that was taken reached everybody once, unchanged and in order, and every session lived to the
    /// end. A run whose every message was refused has shown nothing.
    pub(super) fn is_clean(&self) -> bool {
        self.faults.is_none() && (self.messages.sent == 0 || self.deliveries.all > 0)
    }

    /// What a person should do about what was refused.
    fn advice(&self) -> Option<&'static str> {
        let refused = |code: &str| self.messages.refused.contains_key(code);
        if refused("rate_limited") {
            Some(
                "the gateway refuses what goes too fast: more --senders (each session may send limits.messages_per_s), or a room above limits.messages_per_room_per_s",
            )
        } else if refused("text_too_long") {
            Some(
                "--bytes is above content.text_bytes_max or content.text_graphemes_max of the gateway",
            )
        } else if refused("forbidden") {
            Some("the tokens lack chat:send or the room")
        } else {
            None
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            sessions,
            messages,
            deliveries,
            faults,
            generator,
            server,
        } = self;
        let refused: u64 = messages.refused.values().sum();
        let protocols = sessions
            .protocols
            .iter()
            .map(|(name, count)| format!("{count} × {name}"))
            .collect::<Vec<_>>()
            .join(", ");
        writeln!(
            f,
            "sessions     {} in {} rooms, set up in {}, {} resumed; {protocols}",
            sessions.count,
            sessions.rooms,
            millis(sessions.setup_ms),
            sessions.resumed
        )?;
        if sessions.delayed > 0 {
            writeln!(
                f,
                "             {} times the gateway made a connection wait",
                sessions.delayed
            )?;
        }
        if messages.sent > 0 {
            writeln!(
                f,
                "messages     {} of {} bytes from {} senders, {} acknowledged, {refused} refused",
                messages.sent, messages.bytes, messages.senders, messages.acknowledged
            )?;
            for (code, count) in &messages.refused {
                writeln!(f, "             {count} × {code}")?;
            }
            writeln!(
                f,
                "deliveries   {} in {}, {}/s; {} in all",
                deliveries.measured,
                millis(deliveries.measured_ms),
                deliveries.per_s,
                deliveries.all
            )?;
            writeln!(
                f,
                "latency      {} from due to received",
                deliveries.latency_us
            )?;
            writeln!(
                f,
                "ack          {} from due to acknowledged",
                messages.ack_us
            )?;
            writeln!(
                f,
                "generator    {} from due to sent; {} % of a core",
                generator.late_us, generator.cpu_percent
            )?;
            if !generator.kept_up {
                writeln!(
                    f,
                    "             the generator did NOT keep up: latencies are too high, the rate may be too low"
                )?;
            }
        }
        if let Some(server) = server {
            write!(f, "{server}")?;
        }
        writeln!(f, "{faults}")?;
        match self.advice() {
            Some(advice) => writeln!(f, "hint         {advice}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "server       {} µs of CPU per session to set up",
            self.setup_cpu_us_per_session
        )?;
        if let Some(ns) = self.cpu_ns_per_delivery {
            write!(f, ", {}.{:02} µs per delivery", ns / 1000, ns % 1000 / 10)?;
        }
        writeln!(f)?;
        writeln!(
            f,
            "memory       {} KiB resident before, {} joined, {} at the end; {} bytes per session",
            self.resident_before_kib,
            self.resident_joined_kib,
            self.resident_end_kib,
            self.resident_bytes_per_session
        )
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            lost,
            doubled,
            altered,
            disordered,
            contradicted,
            breaks,
            unanswered,
            closed,
        } = self;
        write!(
            f,
            "faults       {lost} lost, {doubled} doubled, {altered} altered, {disordered} out of order, {contradicted} contradicted, {breaks} gaps, {unanswered} unanswered, {} closed",
            closed.values().sum::<u64>()
        )?;
        closed
            .iter()
            .try_for_each(|(code, count)| write!(f, "\n             {count} × closed: {code}"))
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99, p99_9, max] = [self.p50, self.p99, self.p99_9, self.max].map(micros);
        write!(f, "p50 {p50}, p99 {p99}, p99.9 {p99_9}, max {max}")
    }
}

fn micros(us: u64) -> String {
    match us {
        0..1000 => format!("{us} µs"),
        _ => format!("{}.{} ms", us / 1000, us % 1000 / 100),
    }
}

fn millis(ms: u64) -> String {
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Deliveries, Generator, Latency, Messages, Report, Server, Sessions};
    use crate::cli::load::recorder::Faults;

    fn report() -> Report {
        Report {
            sessions: Sessions {
                count: 1000,
                rooms: 1,
                users: 1000,
                protocols: BTreeMap::from([("TLSv1_3".to_owned(), 1000)]),
                resumed: 992,
                delayed: 0,
                setup_ms: 1234,
            },
            messages: Messages {
                senders: 13,
                bytes: 100,
                sent: 600,
                acknowledged: 600,
                refused: BTreeMap::new(),
                ack_us: Latency::default(),
            },
            deliveries: Deliveries {
                all: 600_000,
                measured: 500_000,
                measured_ms: 10_000,
                per_s: 50_000,
                latency_us: Latency::default(),
                foreign: 0,
            },
            faults: Faults::default(),
            generator: Generator {
                late_us: Latency::default(),
                cpu_percent: 40,
                kept_up: true,
            },
            server: Some(Server {
                setup_cpu_ms: 200,
                setup_cpu_us_per_session: 200,
                cpu_ms: 2000,
                cpu_ns_per_delivery: Some(4005),
                resident_before_kib: 1,
                resident_joined_kib: 2,
                resident_end_kib: 3,
                resident_bytes_per_session: 4,
            }),
        }
    }

    #[test]
    fn a_person_reads_what_was_found_and_what_to_do() {
        let mut report = report();
        let text = report.to_string();
        assert!(
            text.contains("4.00 µs per delivery")
                && text.contains("0 lost, 0 doubled")
                && !text.contains("hint"),
            "{text}"
        );
        report.messages.refused.insert("rate_limited".to_owned(), 3);
        report.generator.kept_up = false;
        report
            .faults
            .closed
            .insert("4520 slow_consumer".to_owned(), 1);
        let text = report.to_string();
        assert!(
            text.contains("--senders")
                && text.contains("NOT keep up")
                && text.contains("1 × closed: 4520 slow_consumer"),
            "{text}"
        );
    }

    #[test]
    fn any_fault_makes_a_run_unclean() {
        assert!(report().is_clean());
        for (n, fault) in [
            |faults: &mut Faults| faults.lost = 1,
            |faults: &mut Faults| faults.doubled = 1,
            |faults: &mut Faults| faults.altered = 1,
            |faults: &mut Faults| faults.disordered = 1,
            |faults: &mut Faults| faults.contradicted = 1,
            |faults: &mut Faults| faults.breaks = 1,
            |faults: &mut Faults| faults.unanswered = 1,
            |faults: &mut Faults| faults.closed.extend([(String::new(), 1)]),
        ]
        .into_iter()
        .enumerate()
        {
            let mut report = report();
            fault(&mut report.faults);
            assert!(!report.is_clean(), "fault {n}");
        }
        let mut report = report();
        report.deliveries.all = 0;
        assert!(!report.is_clean(), "nothing came");
    }
}
