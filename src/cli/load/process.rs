//! What the operating system says a process has used: CPU time and resident memory, from `/proc`.

use std::{io, time::Duration};

use anyhow::Context;

/// `/proc/PID/stat` counts in `USER_HZ`, which is 100 on every architecture that we build for (proc(5), time(7)).
const TICK: Duration = Duration::from_millis(10);

/// What a process has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// User and system time of all its threads, living and ended, in steps of 10 ms.
    pub(super) cpu: Duration,
    /// Resident memory, KiB.
    pub(super) resident_kib: u64,
}

impl Usage {
    /// Reads it now.
    pub(super) fn of(pid: u32) -> anyhow::Result<Self> {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}"));
        let whole = read("stat").and_then(|stat| read("status").map(|status| (stat, status)));
        let (stat, status) = whole.with_context(|| format!("process {pid} cannot be read"))?;
        Self::parse(&stat, &status).with_context(|| format!("process {pid} cannot be read"))
    }

    /// Reads it for this process.
    pub(super) fn of_self() -> anyhow::Result<Self> {
        Self::of(std::process::id())
    }

    fn parse(stat: &str, status: &str) -> io::Result<Self> {
        let malformed = || io::Error::other("a line of /proc is not as expected");
        // The name in parentheses may hold anything; what follows the last one is numbers (proc_pid_stat(5)).
        let (_, fields) = stat.rsplit_once(')').ok_or_else(malformed)?;
        let mut times = fields
            .split_ascii_whitespace()
            .skip(11)
            .map(str::parse::<u32>);
        let (Some(Ok(user)), Some(Ok(system))) = (times.next(), times.next()) else {
            return Err(malformed());
        };
        let resident = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .ok_or_else(malformed)?;
        let resident = resident
            .trim()
            .trim_end_matches("kB")
            .trim_end()
            .parse()
            .map_err(|_| malformed())?;
        Ok(Self {
            cpu: TICK * user + TICK * system,
            resident_kib: resident,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Usage;

    #[test]
    fn a_name_with_blanks_and_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 123 45 0 0 20 0 3 0 1 2 3";
        let status = "Name:\ta) b\nVmHWM:\t  999 kB\nVmRSS:\t   512 kB\n";
        let usage = Usage::parse(stat, status).unwrap();
        assert_eq!(
            usage,
            Usage {
                cpu: Duration::from_millis(1680),
                resident_kib: 512
            }
        );
        assert!(Usage::parse("7 a", status).is_err());
        assert!(Usage::parse(stat, "").is_err());
    }

    #[test]
    fn this_process_has_memory() {
        assert!(Usage::of_self().unwrap().resident_kib > 0);
        assert!(Usage::of(u32::MAX).is_err());
    }
}
