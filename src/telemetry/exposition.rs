//! Every metric as text, in the form that the scraper asks for.

use prometheus_client::encoding::{prometheus_text, text};

use crate::telemetry::metrics::Metrics;

/// The media type of `OpenMetrics`, as it is answered.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

impl Metrics {
    /// The exposition and its media type: `OpenMetrics` for a scraper that prefers it, else the text format 0.0.4.
    pub fn encode(&self, accept: Option<&str>) -> (&'static str, String) {
        let mut body = String::with_capacity(64 * 1024);
        let (content_type, written) = if prefers_open_metrics(accept.unwrap_or_default()) {
            (OPEN_METRICS, text::encode(&mut body, self.registry()))
        } else {
            (
                prometheus_text::CONTENT_TYPE,
                prometheus_text::encode(&mut body, self.registry()),
            )
        };
        written.expect("a string takes what is written to it");
        (content_type, body)
    }
}

/// Whether `OpenMetrics` is accepted at least as gladly as plain text.
fn prefers_open_metrics(accept: &str) -> bool {
    let weight_of = |wanted: &str| {
        accept
            .split(',')
            .filter_map(|range| {
                let mut parts = range.split(';').map(str::trim);
                let name = parts.next()?;
                let weight = parts
                    .find_map(|parameter| parameter.strip_prefix("q="))
                    .map_or(Some(1.0), |weight| weight.trim().parse::<f32>().ok())?;
                name.eq_ignore_ascii_case(wanted).then_some(weight)
            })
            .fold(0.0, f32::max)
    };
    let open = weight_of("application/openmetrics-text");
    open > 0.0 && open >= weight_of("text/plain")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::prefers_open_metrics;
    use crate::{
        protocol::codes::{CloseCode, ErrorCode},
        telemetry::metrics::{ClosedBy, Metrics},
    };

    #[test]
    fn the_scraper_chooses_the_form() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;\
                          q=0.75,text/plain;version=0.0.4;q=0.7,*/*;q=0.2";
        assert!(prefers_open_metrics(prometheus));
        assert!(prefers_open_metrics("application/openmetrics-text"));
        for plain in [
            "",
            "*/*",
            "text/plain",
            "text/html, */*;q=0.8",
            "application/openmetrics-text;q=0",
        ] {
            assert!(!prefers_open_metrics(plain), "{plain}");
        }
        assert!(!prefers_open_metrics(
            "application/openmetrics-text;q=0.1, text/plain"
        ));
        let metrics = Metrics::new();
        let (plain, body) = metrics.encode(None);
        assert_eq!(plain, "text/plain; version=0.0.4; charset=utf-8");
        assert!(!body.contains("# EOF"));
        let (open, body) = metrics.encode(Some(prometheus));
        assert!(open.starts_with("application/openmetrics-text; version=1.0.0"));
        assert!(body.ends_with("# EOF\n"));
    }

    /// What `promtool check metrics` would say, and a little more.
    #[test]
    fn the_exposition_keeps_the_rules() {
        let metrics = Metrics::new();
        touch(&metrics);
        let (_, body) = metrics.encode(None);
        let mut kinds = BTreeMap::new();
        let mut samples = BTreeSet::new();
        for line in body.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, text) = help.split_once(' ').expect("a help text");
                assert!(
                    text.len() > 5 && text.ends_with('.') && !text.ends_with(".."),
                    "{line}"
                );
                assert!(
                    text.starts_with(|first: char| first.is_uppercase()
                        || first == 'l'
                        || first.is_ascii_digit()),
                    "{line}"
                );
                assert!(!name.contains("__"), "{line}");
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').expect("a type");
                assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
                assert!(kinds.insert(name, kind).is_none(), "{name} is there twice");
                assert!(
                    name.starts_with("wardroom_") || name.starts_with("process_"),
                    "{name}"
                );
                for wrong in [
                    "_ms",
                    "_millis",
                    "_minutes",
                    "_kb",
                    "_count_",
                    "_gauge",
                    "_histogram",
                ] {
                    assert!(!name.contains(wrong), "{name}");
                }
            } else {
                let (series, value) = line.rsplit_once(' ').expect("a sample");
                value.parse::<f64>().expect(line);
                assert!(samples.insert(series), "{series} is there twice");
                let name = series.split('{').next().expect("a name");
                let family = ["_bucket", "_sum", "_count"]
                    .iter()
                    .find_map(|suffix| {
                        name.strip_suffix(suffix)
                            .filter(|it| kinds.get(it) == Some(&"histogram"))
                    })
                    .unwrap_or(name);
                assert!(kinds.contains_key(family), "{line} has no type");
            }
        }
        for (name, kind) in [
            ("wardroom_build_info", "gauge"),
            ("wardroom_sessions_closed_total", "counter"),
            ("wardroom_received_bytes_total", "counter"),
            ("wardroom_delivery_seconds", "histogram"),
            ("wardroom_ack_seconds", "histogram"),
            (
                "wardroom_tls_certificate_not_after_timestamp_seconds",
                "gauge",
            ),
            ("process_open_fds", "gauge"),
            ("process_max_fds", "gauge"),
            ("process_resident_memory_bytes", "gauge"),
            ("process_cpu_seconds_total", "counter"),
            ("process_start_time_seconds", "gauge"),
        ] {
            assert_eq!(kinds.get(name), Some(&kind), "{name}\n{body}");
        }
        assert!(body.contains(&format!(
            "wardroom_build_info{{version=\"{}\",",
            env!("CARGO_PKG_VERSION")
        )));
    }

    /// A family shows nothing before its first label, so each gets one.
    fn touch(metrics: &Metrics) {
        metrics.refused(ErrorCode::Unauthorized);
        metrics.rejected(ErrorCode::RateLimited);
        metrics.closed(CloseCode::Restart, ClosedBy::Server);
        metrics.limited("room");
        metrics
            .ack_seconds
            .get_or_create(&[("durability", "memory")])
            .observe(0.1);
        metrics
            .acks
            .get_or_create(&[("durability", "memory"), ("duplicate", "false")])
            .inc();
        metrics
            .jwks_last_success
            .get_or_create(&[("issuer", "https://idp.example".to_owned())])
            .set(1);
        metrics
            .http_request_seconds
            .get_or_create(&[("route", "/healthz".to_owned())])
            .observe(0.1);
        metrics
            .log_append_seconds
            .get_or_create(&[("engine", "memory")])
            .observe(0.1);
        metrics.delivery_seconds.observe(0.1);
    }

    #[test]
    fn the_process_is_measured() {
        let (_, body) = Metrics::new().encode(None);
        let value = |name: &str| {
            body.lines()
                .find_map(|line| {
                    line.strip_prefix(name)?
                        .strip_prefix(' ')?
                        .parse::<f64>()
                        .ok()
                })
                .unwrap_or_else(|| panic!("{name} is missing:\n{body}"))
        };
        assert!(value("process_open_fds") >= 3.0);
        assert!(value("process_max_fds") >= value("process_open_fds"));
        assert!(value("process_resident_memory_bytes") > 1024.0 * 1024.0);
        assert!(value("process_cpu_seconds_total") >= 0.0);
        let at_the_time_of_writing = 1.7e9;
        assert!(value("process_start_time_seconds") > at_the_time_of_writing);
    }
}
