//! `wardroom load`: many sessions in one process that talk at a pace, hear everything, and account for every delivery.
//! Arguments become a plan, users become tokens, tokens become sessions; what they see ends in the recorder and in the report.

pub(super) mod args;
mod dev_tokens;
mod frame;
mod member;
mod pacer;
mod process;
mod receiver;
#[cfg(test)]
mod rehearsal;
mod recorder;
mod report;
mod socket;
mod target;
mod text;
mod tokens;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context, ensure};
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, mpsc},
    task::JoinSet,
    time::{Instant, sleep_until, timeout_at},
};
use tokio_util::sync::CancellationToken;

use self::{
    args::{LoadArgs, Pace, Plan},
    member::{Member, Run},
    pacer::{ORDERS_WAITING, Sender},
    process::Usage,
    receiver::Receiver,
    recorder::Recorder,
    report::{Deliveries, Generator, LATE_MAX, Latency, Messages, Report, Server, Sessions},
    socket::{Arrival, Socket},
    target::Target,
    text::Texts,
};
use crate::cli::{exit::Exit, output, progress::Progress};

/// After everything has arrived, for what should not come a second time.
const QUIET: Duration = Duration::from_millis(300);
/// For the sessions to say goodbye.
const GOODBYE_LIMIT: Duration = Duration::from_secs(5);
/// How often the progress line is drawn and conditions are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// Connecting takes this long at most, and so much more for each session: the gateway admits 50 per second by default.
const CONNECTING_LIMIT: Duration = Duration::from_secs(30);
const CONNECTING_LIMIT_EACH: Duration = Duration::from_millis(40);

impl LoadArgs {
    /// Runs the load and prints what it found; fails when a delivery or a session was lost, doubled or wrong.
    pub(super) fn run(self) -> Exit {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build();
        let report = runtime
            .context("no runtime")
            .and_then(|runtime| runtime.block_on(measure(&self)))
            .and_then(|report| Ok((report.render(self.json)?, report.is_clean())));
        match report {
            Ok((text, clean)) => {
                output::say(&text);
                if clean { Exit::Done } else { Exit::Failed }
            }
            Err(why) => {
                output::complain(&format!("{why:#}"));
                Exit::Failed
            }
        }
    }
}

async fn measure(args: &LoadArgs) -> anyhow::Result<Report> {
    let plan = Plan::new(args)?;
    // Fewer than wanted shows at the first connection that fails, with the system's own words.
    rlimit::increase_nofile_limit(u64::MAX).ok();
    let target = Target::resolve(
        &args.url,
        args.ca.as_deref(),
        !args.no_resumption,
        args.allow_remote,
    )
    .await?;
    let tokens = tokens::for_users(args, &plan, &target).await?;
    let mut load = Load::new(plan, args.server_pid)?;
    load.connect(&target, &tokens).await?;
    load.talk().await?;
    load.finish().await
}

/// A run under way.
struct Load {
    plan: Plan,
    run: Arc<Run>,
    server_pid: Option<u32>,
    sessions: JoinSet<()>,
    senders: Vec<Sender>,
    arrivals: Vec<Arrival>,
    setup: Duration,
    readings: Vec<Reading>,
    progress: Progress,
}

/// The state of the world at one moment.
#[derive(Clone, Copy, Debug)]
struct Reading {
    at: Instant,
    delivered: u64,
    own: Usage,
    server: Usage,
}

/// Which readings there are.
const BEFORE: usize = 0;
const CONNECTED: usize = 1;
const SETTLED: usize = 2;
const WINDOW: usize = 3;
const END: usize = 4;

impl Load {
    fn new(plan: Plan, server_pid: Option<u32>) -> anyhow::Result<Self> {
        let run = Run {
            origin: Instant::now(),
            rooms: plan.rooms.clone(),
            texts: Texts::new(fastrand::u32(..), plan.bytes),
            recorder: Mutex::new(Recorder::new(plan.rooms.len())),
            progress: Notify::new(),
            stop: CancellationToken::new(),
        };
        let mut load = Self {
            plan,
            run: Arc::new(run),
            server_pid,
            sessions: JoinSet::new(),
            senders: Vec::new(),
            arrivals: Vec::new(),
            setup: Duration::ZERO,
            readings: Vec::with_capacity(END + 1),
            progress: Progress::new(),
        };
        load.read()?;
        Ok(load)
    }

    fn read(&mut self) -> anyhow::Result<()> {
        let server = self
            .server_pid
            .map(Usage::of)
            .transpose()?
            .unwrap_or_default();
        let delivered = self.run.recorder.lock().delivered;
        self.readings.push(Reading {
            at: Instant::now(),
            delivered,
            own: Usage::of_self()?,
            server,
        });
        Ok(())
    }

    async fn connect(&mut self, target: &Target, tokens: &[String]) -> anyhow::Result<()> {
        let began = Instant::now();
        let sockets = u32::try_from(self.plan.sockets).unwrap_or(u32::MAX);
        let deadline = began + CONNECTING_LIMIT + CONNECTING_LIMIT_EACH * sockets;
        let rooms = self.run.rooms.clone();
        let plan = self.plan.clone();
        let (plan, rooms) = (&plan, &rooms);
        let mut arriving = stream::iter(0..plan.sockets)
            .map(|n| async move {
                let token = &tokens[n % tokens.len()];
                let room = plan.room_of(n).map(|room| rooms[room].as_str());
                let arrived =
                    timeout_at(deadline, Socket::arrive(target, token, room, deadline)).await;
                arrived
                    .context("connecting took too long")?
                    .map(|(socket, arrival)| (n, socket, arrival))
            })
            .buffer_unordered(plan.connecting);
        while let Some(arrived) = arriving.next().await {
            let (n, socket, arrival) = arrived?;
            self.enter(n, socket, arrival);
            let done = self.arrivals.len();
            self.progress.draw(
                "joining",
                done as u64,
                sockets.into(),
                &format!("{done}/{sockets}"),
            );
        }
        self.setup = began.elapsed();
        self.check_sender_limits()?;
        self.senders.sort_by_key(|sender| sender.socket);
        self.read()
    }

    fn enter(&mut self, n: usize, socket: Socket, arrival: Arrival) {
        let receiver = self
            .plan
            .room_of(n)
            .map(|room| Receiver::new(room, arrival.head, self.run.recorder.lock().joined(room)));
        let orders = receiver
            .as_ref()
            .filter(|_| n < self.plan.senders)
            .map(|receiver| {
                let (orders, taken) = mpsc::channel(ORDERS_WAITING);
                self.senders.push(Sender {
                    socket: n,
                    room: receiver.room(),
                    orders,
                });
                taken
            });
        self.sessions
            .spawn(Member::new(Arc::clone(&self.run), socket, receiver, orders).live());
        self.arrivals.push(arrival);
    }

    /// The gateway says how much a session may send; more than that would only measure refusals.
    fn check_sender_limits(&self) -> anyhow::Result<()> {
        let (Pace::Rate(rate), Some(limit)) = (
            self.plan.pace,
            self.arrivals
                .iter()
                .find_map(|arrival| arrival.limits.messages_per_s),
        ) else {
            return Ok(());
        };
        let wanted = u32::try_from(self.plan.senders)
            .unwrap_or(u32::MAX)
            .saturating_mul(limit);
        ensure!(
            rate.get() <= wanted,
            "the gateway lets a session send {limit} messages per second: {rate} need --senders {} or more, or a higher limits.messages_per_s",
            rate.get().div_ceil(limit.max(1))
        );
        Ok(())
    }

    /// Silence, warm-up and the measured window; an interrupt ends them, and what was seen is reported.
    async fn talk(&mut self) -> anyhow::Result<()> {
        let interrupted = CancellationToken::new();
        let watched = interrupted.clone();
        let mut watch = JoinSet::new();
        watch.spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                watched.cancel();
            }
        });
        self.wait_until("settling", Instant::now() + self.plan.settle, &interrupted)
            .await;
        self.read()?;
        let start = Instant::now();
        let window = start + self.plan.warmup;
        let end = window + self.plan.measured;
        let [start_us, window_us, end_us] =
            [start, window, end].map(|at| micros(at.duration_since(self.run.origin)));
        self.run.recorder.lock().set_window(window_us..end_us);
        let run = Arc::clone(&self.run);
        let senders = std::mem::take(&mut self.senders);
        let pace = self.plan.pace;
        let stop_talking = interrupted.clone();
        watch.spawn(async move {
            tokio::select! {
                () = stop_talking.cancelled() => {}
                () = pacer::speak(&run, &senders, pace, start_us, end_us) => {}
            }
        });
        self.wait_until("warming up", window, &interrupted).await;
        self.read()?;
        self.wait_until("measuring", end, &interrupted).await;
        self.read()?;
        watch.shutdown().await;
        Ok(())
    }

    /// Waits, and shows what happens meanwhile.
    async fn wait_until(&self, stage: &str, end: Instant, interrupted: &CancellationToken) {
        let begin = Instant::now();
        while Instant::now() < end && !interrupted.is_cancelled() {
            let (sent, delivered, lost) = {
                let recorder = self.run.recorder.lock();
                (recorder.sent, recorder.delivered, recorder.faults.lost)
            };
            let detail = format!("{sent} sent, {delivered} delivered, {lost} lost");
            self.progress
                .draw(stage, micros(begin.elapsed()), micros(end - begin), &detail);
            tokio::select! {
                () = sleep_until(end.min(Instant::now() + LOOK * 4)) => {}
                () = interrupted.cancelled() => {}
            }
        }
    }

    /// Waits for what is under way, ends the sessions, and adds up.
    async fn finish(mut self) -> anyhow::Result<Report> {
        let deadline = Instant::now() + self.plan.patience;
        while Instant::now() < deadline && !self.run.recorder.lock().is_settled() {
            sleep_until(Instant::now() + LOOK).await;
        }
        if self.run.recorder.lock().sent > 0 {
            sleep_until(Instant::now() + QUIET).await;
        }
        self.run.stop.cancel();
        let goodbye = Instant::now() + GOODBYE_LIMIT;
        while let Ok(Some(ended)) = timeout_at(goodbye, self.sessions.join_next()).await {
            ended.context("a session of the generator failed")?;
        }
        self.progress.clear();
        self.run.recorder.lock().finish();
        Ok(self.report())
    }

    fn report(&self) -> Report {
        let recorder = self.run.recorder.lock();
        let [before, connected, settled, window, end] =
            [BEFORE, CONNECTED, SETTLED, WINDOW, END].map(|n| self.readings[n]);
        let measured = end.at - window.at;
        let delivered = end.delivered - window.delivered;
        let count = self.arrivals.len() as u64;
        let mut protocols = BTreeMap::new();
        for arrival in &self.arrivals {
            *protocols
                .entry(arrival.handshake.protocol.clone())
                .or_default() += 1;
        }
        let late_us = Latency::of(&recorder.late);
        Report {
            sessions: Sessions {
                count,
                rooms: self.plan.rooms.len() as u64,
                users: self.plan.users as u64,
                protocols,
                resumed: self
                    .arrivals
                    .iter()
                    .filter(|arrival| arrival.handshake.resumed)
                    .count() as u64,
                delayed: self
                    .arrivals
                    .iter()
                    .map(|arrival| u64::from(arrival.delayed))
                    .sum(),
                setup_ms: millis(self.setup),
            },
            messages: Messages {
                senders: self.plan.senders as u64,
                bytes: self.plan.bytes as u64,
                sent: recorder.sent,
                acknowledged: recorder.acked,
                refused: recorder.refused.clone(),
                ack_us: Latency::of(&recorder.ack),
            },
            deliveries: Deliveries {
                all: recorder.delivered,
                measured: delivered,
                measured_ms: millis(measured),
                per_s: delivered * 1000 / millis(measured).max(1),
                latency_us: Latency::of(&recorder.delivery),
                foreign: recorder.foreign,
            },
            faults: recorder.faults.clone(),
            generator: Generator {
                late_us,
                cpu_percent: millis(end.own.cpu.saturating_sub(window.own.cpu)) * 100
                    / millis(measured).max(1),
                kept_up: !matches!(self.plan.pace, Pace::Rate(_))
                    || late_us.p99 <= micros(LATE_MAX),
            },
            server: self.server_pid.map(|_| {
                let setup = connected.server.cpu.saturating_sub(before.server.cpu);
                let used = end.server.cpu.saturating_sub(window.server.cpu);
                let grown = settled.server.resident_kib.cast_signed()
                    - before.server.resident_kib.cast_signed();
                Server {
                    setup_cpu_ms: millis(setup),
                    setup_cpu_us_per_session: micros(setup) / count.max(1),
                    cpu_ms: millis(used),
                    cpu_ns_per_delivery: (micros(used) * 1000).checked_div(delivered),
                    resident_before_kib: before.server.resident_kib,
                    resident_joined_kib: settled.server.resident_kib,
                    resident_end_kib: end.server.resident_kib,
                    resident_bytes_per_session: grown * 1024 / count.max(1).cast_signed(),
                }
            }),
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
