//! Many who do nothing cost little.

use std::time::Duration;

use tokio::time::Instant;

use crate::{PLENTY, sessions, support::program::Site};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_sessions_cost_little_memory_and_no_time() {
    const SESSIONS: usize = 1000;
    let site = Site::new();
    let node = site.serve(PLENTY).await;
    let memory = || node.process.told("status", "VmRSS");
    // What the first sessions bring with them once is not theirs.
    let warm = sessions(&site, &node.door, 0..100).await;
    let before = memory();
    let open = sessions(&site, &node.door, 100..100 + SESSIONS).await;
    let each = memory().saturating_sub(before) as f64 / SESSIONS as f64;
    assert!(each < 64.0, "R8: {each} KiB a session");
    // Ticks of the processor: no timer storm.
    let spent = || {
        let stat = String::from_utf8(node.process.proc_file("stat")).expect("ASCII");
        let (_, fields) = stat.rsplit_once(')').expect("a name");
        let field = |n: usize| {
            fields
                .split_whitespace()
                .nth(n)
                .and_then(|raw| raw.parse::<u64>().ok())
        };
        field(11).expect("user") + field(12).expect("system")
    };
    tokio::time::sleep_until(Instant::now() + Duration::from_secs(1)).await;
    let busy = spent();
    tokio::time::sleep_until(Instant::now() + Duration::from_secs(3)).await;
    let ticks = spent() - busy;
    assert!(ticks <= 60, "R8: {ticks} ticks in 3 s of idling");
    drop((warm, open));
}
