//! Fan-out, steady and saturated: gateway and baseline in turn, a window each, and the ratio of what they spent.

use std::fmt;

use tokio::time::Instant;

use crate::{
    generator::{self, Report},
    machine::{Busy, cpu_of},
    server::{Keys, Server},
};

/// A measured quantity.
#[derive(Debug, Default)]
pub(crate) struct Series(Vec<i64>);

impl Series {
    pub(crate) fn push(&mut self, value: i64) {
        self.0.push(value);
        self.0.sort_unstable();
    }

    pub(crate) fn median(&self) -> i64 {
        self.0.get(self.0.len() / 2).copied().unwrap_or(0)
    }

    fn shown(&self, divisor: i64, digits: u32) -> String {
        let one = |value: i64| decimal(value, divisor, digits);
        let (least, most) = (
            self.0.first().copied().unwrap_or(0),
            self.0.last().copied().unwrap_or(0),
        );
        format!("{} ({} – {})", one(self.median()), one(least), one(most))
    }

    /// As thousandths: median, least and most.
    pub(crate) fn thousandths(&self) -> String {
        self.shown(1000, 2)
    }

    /// As it is.
    pub(crate) fn whole(&self) -> String {
        self.shown(1, 0)
    }

    /// Bytes as KiB.
    pub(crate) fn kib(&self) -> String {
        self.shown(1024, 1)
    }
}

fn decimal(value: i64, divisor: i64, digits: u32) -> String {
    if digits == 0 {
        return (value / divisor).to_string();
    }
    let scale = 10_i64.pow(digits);
    let scaled = (value.abs() * scale + divisor / 2) / divisor;
    let sign = if value < 0 { "-" } else { "" };
    format!(
        "{sign}{}.{:0width$}",
        scaled / scale,
        scaled % scale,
        width = digits as usize
    )
}

/// Which windows count, and how many are wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) windows: usize,
    /// CPU that other programs may take meanwhile, in hundredths of a core.
    pub(crate) foreign_percent_max: u64,
}

/// What two contenders spent, window by window.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    gateway_ns: Series,
    baseline_ns: Series,
    ratio: Series,
    gateway_p50_us: Series,
    gateway_p99_us: Series,
    gateway_per_s: Series,
    baseline_p50_us: Series,
    baseline_p99_us: Series,
    baseline_per_s: Series,
    protocols: String,
    dropped: Vec<String>,
}

/// Visits both in turn until enough windows count.
pub(crate) fn compare(
    keys: &Keys,
    gateway: &Server,
    baseline: &Server,
    load: &str,
    rules: Rules,
) -> anyhow::Result<Comparison> {
    let mut comparison = Comparison::default();
    for round in 0..rules.windows * 3 {
        if comparison.ratio.0.len() == rules.windows {
            break;
        }
        // Who comes first changes, so that a drift of the machine favours neither.
        let order = if round % 2 == 0 {
            [gateway, baseline]
        } else {
            [baseline, gateway]
        };
        let mut seen = Vec::with_capacity(2);
        for server in order {
            seen.push(window(keys, server, gateway, baseline, load, rules)?);
        }
        if round % 2 == 1 {
            seen.reverse();
        }
        let baseline_seen = seen.pop();
        match (seen.pop(), baseline_seen) {
            (Some(Ok(gateway)), Some(Ok(baseline))) => comparison.add(&gateway, &baseline)?,
            (Some(Err(why)), _) | (_, Some(Err(why))) => comparison.dropped.push(why),
            _ => {}
        }
    }
    Ok(comparison)
}

/// One window; the reason why when it does not count.
fn window(
    keys: &Keys,
    server: &Server,
    one: &Server,
    other: &Server,
    load: &str,
    rules: Rules,
) -> anyhow::Result<Result<Report, String>> {
    let servers = || anyhow::Ok(cpu_of(one.pid())? + cpu_of(other.pid())?);
    let (busy, used, begun) = (Busy::now()?, servers()?, Instant::now());
    let report = generator::run(keys, server, load)?;
    let foreign =
        Busy::now()?.foreign_percent(&busy, servers()?.saturating_sub(used), begun.elapsed());
    Ok(if foreign > rules.foreign_percent_max {
        Err(format!("other programs took {foreign} % of a core"))
    } else if report.kept_up() {
        Ok(report)
    } else {
        Err("the generator did not keep up".to_owned())
    })
}

impl Comparison {
    fn add(&mut self, gateway: &Report, baseline: &Report) -> anyhow::Result<()> {
        let ns = |report: &Report| report.figure("/server/cpu_ns_per_delivery");
        let (ours, bare) = (ns(gateway)?, ns(baseline)?);
        self.gateway_ns.push(ours);
        self.baseline_ns.push(bare);
        self.ratio.push(ours * 1000 / bare.max(1));
        self.gateway_p50_us
            .push(gateway.figure("/deliveries/latency_us/p50")?);
        self.gateway_p99_us
            .push(gateway.figure("/deliveries/latency_us/p99")?);
        self.gateway_per_s
            .push(gateway.figure("/deliveries/per_s")?);
        self.baseline_p50_us
            .push(baseline.figure("/deliveries/latency_us/p50")?);
        self.baseline_p99_us
            .push(baseline.figure("/deliveries/latency_us/p99")?);
        self.baseline_per_s
            .push(baseline.figure("/deliveries/per_s")?);
        self.protocols = gateway.protocols();
        Ok(())
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} windows each, {} dropped; {}; median (least – most)",
            self.ratio.0.len(),
            self.dropped.len(),
            self.protocols
        )?;
        for why in &self.dropped {
            writeln!(f, "  dropped: {why}")?;
        }
        writeln!(
            f,
            "  ratio gateway / baseline  {}",
            self.ratio.thousandths()
        )?;
        writeln!(
            f,
            "  CPU µs per delivery       gateway {}, baseline {}",
            self.gateway_ns.thousandths(),
            self.baseline_ns.thousandths()
        )?;
        writeln!(
            f,
            "  deliveries per second     gateway {}, baseline {}",
            self.gateway_per_s.whole(),
            self.baseline_per_s.whole()
        )?;
        writeln!(
            f,
            "  latency p50, ms           gateway {}, baseline {}",
            self.gateway_p50_us.thousandths(),
            self.baseline_p50_us.thousandths()
        )?;
        writeln!(
            f,
            "  latency p99, ms           gateway {}, baseline {}",
            self.gateway_p99_us.thousandths(),
            self.baseline_p99_us.thousandths()
        )
    }
}
