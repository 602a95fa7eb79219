//! The machine: its cores, what it runs, and how busy it is with other things.

use std::{
    ffi::OsStr,
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::Context;

/// `/proc` counts in hundredths of a second (`USER_HZ`, proc(5)).
const TICK: Duration = Duration::from_millis(10);

/// Which half of the machine a process gets.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Half {
    /// The gateway and the baseline.
    Server,
    /// The generator.
    Generator,
}

/// A command that is bound to its half of the cores, where `taskset` and two cores are there.
pub(crate) fn pinned(half: Half, program: &Path) -> Command {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cores < 2 || !is_there("taskset") {
        return Command::new(program);
    }
    let list = match half {
        Half::Server => "0".to_owned(),
        Half::Generator => format!("1-{}", cores - 1),
    };
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", &list]).arg(program);
    command
}

fn is_there(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// What stands above every table.
pub(crate) fn describe(gateway: &Path) -> String {
    let said = |program: &OsStr, argument: &str| {
        let output = Command::new(program).arg(argument).output();
        output.map_or_else(
            |_| "?".to_owned(),
            |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        )
    };
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("?", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{}, {} cores of {model}, kernel {}, {}, {}",
        said("date".as_ref(), "+%F"),
        std::thread::available_parallelism().map_or(1, usize::from),
        kernel.trim(),
        said("rustc".as_ref(), "--version"),
        said(gateway.as_os_str(), "--version"),
    )
}

/// CPU time of the whole machine, and of this program's children that have ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Busy {
    all: Duration,
    own: Duration,
}

impl Busy {
    /// Reads it now.
    pub(crate) fn now() -> anyhow::Result<Self> {
        let stat = fs::read_to_string("/proc/stat")?;
        let line = stat
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("cpu "))
            .context("/proc/stat is not as expected")?;
        let fields: Vec<u32> = line
            .split_ascii_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        // user, nice, system, (idle, iowait,) irq, softirq, steal; guest time is in user already.
        let busy: u32 = [0, 1, 2, 5, 6, 7]
            .into_iter()
            .filter_map(|at| fields.get(at))
            .sum();
        let own = fs::read_to_string("/proc/self/stat")?;
        let (_, own) = own
            .rsplit_once(')')
            .context("/proc/self/stat is not as expected")?;
        // utime, stime, cutime, cstime.
        let own: u32 = own
            .split_ascii_whitespace()
            .skip(11)
            .take(4)
            .filter_map(|field| field.parse::<u32>().ok())
            .sum();
        Ok(Self {
            all: TICK * busy,
            own: TICK * own,
        })
    }

    /// What the machine spent since then on neither this program, its ended children nor `known`, in hundredths of a core.
    pub(crate) fn foreign_percent(&self, then: &Self, known: Duration, elapsed: Duration) -> u64 {
        let all = self.all.saturating_sub(then.all);
        let own = self.own.saturating_sub(then.own) + known;
        let foreign = u64::try_from(all.saturating_sub(own).as_millis()).unwrap_or(u64::MAX);
        foreign * 100
            / u64::try_from(elapsed.as_millis())
                .unwrap_or(u64::MAX)
                .max(1)
    }
}

/// CPU time of a living process.
pub(crate) fn cpu_of(pid: u32) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("/proc is not as expected")?;
    Ok(TICK
        * fields
            .split_ascii_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<u32>().ok())
            .sum())
}

/// Open files of a living process.
pub(crate) fn files_of(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}
