//! What the process itself uses, read when it is scraped, and which build it is. The names are those that every exporter
//! shares, so they carry no prefix of ours.

use std::{fmt, fs};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};

/// The commit of this build; the build says it in `WARDROOM_BUILD_COMMIT`.
pub const COMMIT: &str = match option_env!("WARDROOM_BUILD_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// The compiler of this build; the build says it in `WARDROOM_BUILD_RUSTC`, else it is the one that the sources ask for.
pub const RUSTC: &str = match option_env!("WARDROOM_BUILD_RUSTC") {
    Some(rustc) => rustc,
    None => env!("CARGO_PKG_RUST_VERSION"),
};

/// The version of this build.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Ticks of a second in `/proc`: `USER_HZ`, 100 on every architecture that we build for.
const TICKS_PER_SECOND: f64 = 100.0;

/// Reads `/proc/self`. What a system does not tell is left out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        if let Some(open) = open_files() {
            gauge(
                &mut encoder,
                "process_open_fds",
                "Open files and sockets",
                None,
                open,
            )?;
        }
        if let Some(max) = files_max() {
            gauge(
                &mut encoder,
                "process_max_fds",
                "Most open files and sockets",
                None,
                max,
            )?;
        }
        if let Some(bytes) = resident_bytes() {
            gauge(
                &mut encoder,
                "process_resident_memory",
                "Memory that is in RAM",
                Some(&Unit::Bytes),
                bytes,
            )?;
        }
        let Some(times) = Times::read() else {
            return Ok(());
        };
        let cpu = ConstCounter::new(times.cpu_seconds);
        cpu.encode(encoder.encode_descriptor(
            "process_cpu",
            "CPU time of user and system.",
            Some(&Unit::Seconds),
            cpu.metric_type(),
        )?)?;
        let Some(started) = times.started_at() else {
            return Ok(());
        };
        let started = ConstGauge::new(started);
        started.encode(encoder.encode_descriptor(
            "process_start_time",
            "When the process began, seconds since 1970.",
            Some(&Unit::Seconds),
            started.metric_type(),
        )?)
    }
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    value: u64,
) -> fmt::Result {
    let gauge = ConstGauge::new(value);
    let help = format!("{help}.");
    gauge.encode(encoder.encode_descriptor(name, &help, unit, gauge.metric_type())?)
}

fn open_files() -> Option<u64> {
    // Less the one that this very reading opens.
    let open = fs::read_dir("/proc/self/fd")
        .ok()?
        .count()
        .saturating_sub(1);
    u64::try_from(open).ok()
}

fn files_max() -> Option<u64> {
    let (soft, _) = rlimit::getrlimit(rlimit::Resource::NOFILE).ok()?;
    Some(soft)
}

fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

struct Times {
    cpu_seconds: f64,
    ticks_after_boot: f64,
}

impl Times {
    /// From the line of proc(5): `pid (name) state …`. The name may hold spaces and brackets, so counting begins after it.
    fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let (_, after_name) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
        // The state is field 3 of the page: utime 14, stime 15, starttime 22.
        let field = |number: usize| fields.get(number.checked_sub(3)?)?.parse::<f64>().ok();
        Some(Self {
            cpu_seconds: (field(14)? + field(15)?) / TICKS_PER_SECOND,
            ticks_after_boot: field(22)?,
        })
    }

    fn started_at(&self) -> Option<f64> {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        let booted: f64 = stat
            .lines()
            .find_map(|line| line.strip_prefix("btime "))?
            .trim()
            .parse()
            .ok()?;
        Some(booted + self.ticks_after_boot / TICKS_PER_SECOND)
    }
}
