//! The log of the program: events of every station become lines of standard output, without anybody waiting for it.

use std::{
    io::{self, IsTerminal, Write},
    panic::{self, PanicHookInfo},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tracing::{Level, Subscriber, level_filters::LevelFilter};
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{filter::Targets, layer::SubscriberExt, registry::Registry};

use crate::{
    config::{
        Config, environment,
        telemetry::{LogFormat, LogLevel},
    },
    telemetry::{line::Lines, metrics::Metrics},
};

/// Lines that wait for standard output; beyond, they are dropped and counted. A line has a few hundred bytes, and a few
/// kilobytes at worst (32 fields of `limits.log_field_chars_max`), so this is 2 MiB on an ordinary bad day.
const LINES_MAX: usize = 8192;

/// Keeps the log going; on drop what waits is written, for at most a second. Held by `main`.
#[must_use = "the log ends when this is dropped"]
pub struct LogGuard {
    worker: Option<WorkerGuard>,
    queue: NonBlocking,
    dropped: ErrorCounter,
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        // A queue that is full at the end belongs to a reader that has stopped reading. The worker's guard would say so on
        // standard output, and wait there for ever for the same reader. An empty line finds out.
        let before = self.dropped.dropped_lines();
        self.queue.write_all(b"").ok();
        if self.dropped.dropped_lines() != before {
            std::mem::forget(self.worker.take());
        }
    }
}

/// Begins to log to standard output, as the configuration says. Once per process.
pub fn start(
    config: &Config,
    metrics: &Arc<Metrics>,
) -> Result<LogGuard, tracing::subscriber::SetGlobalDefaultError> {
    let colours = config.telemetry.log_format == LogFormat::Text
        && io::stdout().is_terminal()
        && !environment::asks_for_no_colour();
    let (subscriber, guard) = to_writer(config, metrics, io::stdout(), colours);
    tracing::subscriber::set_global_default(subscriber)?;
    panic::set_hook(Box::new(report_panic));
    Ok(guard)
}

/// The subscriber that writes to `out`, for tests too.
pub fn to_writer(
    config: &Config,
    metrics: &Arc<Metrics>,
    out: impl Write + Send + 'static,
    colours: bool,
) -> (impl Subscriber + Send + Sync, LogGuard) {
    let (queue, worker) = NonBlockingBuilder::default()
        .buffered_lines_limit(LINES_MAX)
        .lossy(true)
        .thread_name("log")
        .finish(out);
    let dropped = queue.error_counter();
    let lines = Lines {
        format: config.telemetry.log_format,
        chars_max: config.limits.log_field_chars_max,
        colours,
        writer: queue.clone(),
        after: count_drops(dropped.clone(), Arc::clone(metrics)),
    };
    let guard = LogGuard {
        worker: Some(worker),
        queue,
        dropped,
    };
    let subscriber = Registry::default()
        .with(filter(config.telemetry.log_level))
        .with(lines);
    (subscriber, guard)
}

/// Carries what the queue dropped over into the metric.
fn count_drops(dropped: ErrorCounter, metrics: Arc<Metrics>) -> Box<dyn Fn() + Send + Sync> {
    let told = AtomicUsize::new(0);
    Box::new(move || {
        let now = dropped.dropped_lines();
        let before = told.fetch_max(now, Ordering::Relaxed);
        if now > before {
            let more = u64::try_from(now - before).unwrap_or(u64::MAX);
            metrics.telemetry_lines_dropped.inc_by(more);
        }
    })
}

/// Our own events at the configured level; those of libraries at warn at most, for below it some of them write what passes
/// through: h2 and hyper headers, tungstenite payloads, rustls handshakes.
fn filter(level: LogLevel) -> Targets {
    let own = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    Targets::new()
        .with_target("wardroom", own)
        .with_default(own.min(LevelFilter::from_level(Level::WARN)))
}

/// A panic as a line of the log. What it says is left out unless it is a constant: a formatted message may hold the value
/// that nobody expected, and that value may be a client's.
fn report_panic(info: &PanicHookInfo<'_>) {
    let location = info.location().map(ToString::to_string);
    let said = info.payload().downcast_ref::<&'static str>();
    tracing::error!(
        location = location.as_deref().unwrap_or("unknown"),
        said = said.copied().unwrap_or("(withheld)"),
        thread = std::thread::current().name().unwrap_or("unnamed"),
        "a task panicked"
    );
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Write},
        sync::Arc,
    };

    use parking_lot::Mutex;
    use serde_json::Value;

    use super::to_writer;
    use crate::{
        config::{
            Config,
            telemetry::{LogFormat, LogLevel},
        },
        telemetry::metrics::Metrics,
    };

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(format: LogFormat, level: LogLevel, write: impl FnOnce()) -> String {
        let mut config = Config::defaults();
        config.telemetry.log_format = format;
        config.telemetry.log_level = level;
        let paper = Paper::default();
        let (subscriber, guard) = to_writer(&config, &Metrics::new(), paper.clone(), false);
        tracing::subscriber::with_default(subscriber, write);
        drop(guard);
        let bytes = paper.0.lock().clone();
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn o5_a_panic_says_where_and_withholds_what_it_was_given() {
        let log = written(LogFormat::Json, LogLevel::Trace, || {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(super::report_panic));
            let secret = "hunter2hunter2";
            std::panic::catch_unwind(|| assert!(secret.is_empty(), "{secret}")).ok();
            std::panic::catch_unwind(|| assert!(secret.is_empty(), "a constant")).ok();
            std::panic::set_hook(before);
        });
        assert!(!log.contains("hunter2"), "{log}");
        let said: Vec<Value> = log
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        assert_eq!(said[0]["said"], "(withheld)");
        assert_eq!(said[1]["said"], "a constant");
        assert!(log.contains("logging.rs:"), "{log}");
    }

    const FORGED: &str =
        "x\"}\r\n{\"level\":\"ERROR\",\"message\":\"forged\"}\u{2028}\u{1b}[2J\u{202e}\u{9b}";

    #[test]
    fn a_line_is_one_json_object_whatever_it_is_about() {
        let log = written(LogFormat::Json, LogLevel::Info, || {
            tracing::warn!(
                nick = FORGED,
                count = 3,
                ratio = 0.5,
                good = true,
                level = "mine",
                "a name was refused"
            );
            let span = tracing::info_span!("request", route = FORGED, method = "GET");
            let _inside = span.enter();
            tracing::info!(path = %FORGED, origin = ?FORGED, nothing = f64::NAN, "{FORGED}");
        });
        let lines: Vec<&str> = log.lines().collect();
        assert_eq!(lines.len(), 2, "{log}");
        for line in &lines {
            let hidden = |letter: char| letter.is_control() || "\u{2028}\u{202e}".contains(letter);
            assert!(!line.chars().any(hidden), "{line:?}");
        }
        let first: Value = serde_json::from_str(lines[0]).expect("JSON");
        assert_eq!(first["level"], "WARN");
        assert_eq!(first["message"], "a name was refused");
        assert_eq!(first["count"], 3);
        assert_eq!(first["ratio"], 0.5);
        assert_eq!(first["good"], true);
        assert_eq!(first["field.level"], "mine");
        assert!(
            first["target"]
                .as_str()
                .expect("a target")
                .starts_with("wardroom::")
        );
        assert!(first["timestamp"].as_str().expect("a time").ends_with('Z'));
        assert!(
            first["nick"]
                .as_str()
                .expect("a name")
                .contains("\\u{2028}\\u{1b}[2J\\u{202e}")
        );
        let second: Value = serde_json::from_str(lines[1]).expect("JSON");
        assert_eq!(second["method"], "GET");
        assert_eq!(second["nothing"], "NaN");
        for name in ["route", "path", "origin", "message"] {
            assert!(
                second[name].as_str().expect(name).contains("\\u{202e}"),
                "{second}"
            );
        }
    }

    #[test]
    fn a_text_line_stays_one_line_too() {
        let log = written(LogFormat::Text, LogLevel::Info, || {
            tracing::info!(nick = FORGED, empty = "", count = 3, "hello");
        });
        assert_eq!(log.lines().count(), 1, "{log}");
        assert!(
            log.contains("  INFO wardroom::telemetry::logging::tests: hello nick=\"x\\\"}\\r\\n"),
            "{log}"
        );
        assert!(log.trim_end().ends_with("empty=\"\" count=3"), "{log}");
        assert!(!log.contains('\u{1b}'), "{log}");
    }

    #[test]
    fn a_field_is_cut_at_its_limit() {
        let log = written(LogFormat::Json, LogLevel::Info, || {
            tracing::info!(fits = "a".repeat(256), long = "b".repeat(257), "lengths");
        });
        let line: Value = serde_json::from_str(&log).expect("JSON");
        assert_eq!(line["fits"], "a".repeat(256));
        assert_eq!(line["long"], "b".repeat(256) + "…(cut)");
    }

    #[test]
    fn libraries_write_warnings_at_most() {
        let log = written(LogFormat::Json, LogLevel::Trace, || {
            tracing::trace!("ours");
            for target in ["h2", "hyper", "tungstenite"] {
                match target {
                    "h2" => tracing::info!(target: "h2::codec", "a payload"),
                    "hyper" => tracing::debug!(target: "hyper::proto", "a header"),
                    _ => tracing::trace!(target: "tungstenite::protocol", "a message"),
                }
            }
            tracing::warn!(target: "rustls::conn", "a warning");
        });
        assert!(log.contains("ours") && log.contains("a warning"), "{log}");
        assert_eq!(log.lines().count(), 2, "{log}");
        let quiet = written(LogFormat::Json, LogLevel::Error, || {
            tracing::warn!("ours");
            tracing::warn!(target: "rustls::conn", "theirs");
        });
        assert_eq!(quiet, "");
    }

    #[test]
    fn a_reader_that_stopped_reading_makes_nobody_wait_and_is_counted() {
        /// Takes nothing until it is told to.
        struct Stuck(std::sync::mpsc::Receiver<()>);
        impl Write for Stuck {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.recv().ok();
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (release, stuck) = std::sync::mpsc::sync_channel(1);
        let metrics = Metrics::new();
        let (subscriber, guard) = to_writer(&Config::defaults(), &metrics, Stuck(stuck), false);
        tracing::subscriber::with_default(subscriber, || {
            for number in 0..super::LINES_MAX + 100 {
                tracing::info!(number, "a line");
            }
        });
        // One line is in the writer's hands, so 99 or 100 did not fit.
        let dropped = metrics.telemetry_lines_dropped.get();
        assert!((99..=100).contains(&dropped), "{dropped}");
        drop(guard);
        drop(release);
    }
}
