//! The arguments of `wardroom load`, and the plan that is left once they have been checked against each other.

use std::{num::NonZeroU32, path::PathBuf, time::Duration};

use anyhow::ensure;
use wardroom::config::Config;

use super::text;

/// Puts load on a gateway and checks every single delivery.
#[derive(Clone, Debug, clap::Args)]
#[command(
    group = clap::ArgGroup::new("credential").required(true).args(["key", "token_file", "dev"]),
    after_help = "It ends by itself, with 1 when a message was lost, doubled, altered or out of order, or when a session was closed."
)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub(crate) struct LoadArgs {
    /// The gateway's WebSocket; only this machine unless --allow-remote is given
    #[arg(
        long,
        value_name = "URL",
        default_value = "wss://localhost:8443/ws/chat"
    )]
    pub(super) url: String,
    /// PEM root certificates that the gateway's certificate must lead to; without it, the system's
    #[arg(long, value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,
    /// Sessions
    #[arg(long, value_name = "N", default_value = "100")]
    pub(super) sockets: NonZeroU32,
    /// Rooms over which the sessions are spread, one room each; 0: the sessions join none, and nobody talks
    #[arg(long, value_name = "K", default_value_t = 1)]
    pub(super) rooms: u32,
    /// Name of the room; with several rooms NAME-0, NAME-1 …
    #[arg(long, value_name = "NAME", default_value = "lobby")]
    pub(super) room: String,
    /// Messages per second in all; 0: nobody talks
    #[arg(long, value_name = "R", default_value_t = 10)]
    pub(super) rate: u32,
    /// Instead of a rate: as fast as it goes, with at most W messages per room that have not reached every member
    #[arg(long, value_name = "W", conflicts_with = "rate")]
    pub(super) in_flight: Option<NonZeroU32>,
    /// Sessions that talk, in turn; without it as many as keep each at 4 messages per second or fewer
    #[arg(long, value_name = "S")]
    pub(super) senders: Option<u32>,
    /// Bytes of a message's text
    #[arg(long, value_name = "B", default_value_t = 100)]
    pub(super) bytes: usize,
    /// Seconds that are measured
    #[arg(long, value_name = "T", default_value_t = 10)]
    pub(super) seconds: u32,
    /// Seconds of talking before that: checked, but not measured
    #[arg(long, value_name = "T", default_value_t = 2)]
    pub(super) warmup: u32,
    /// Seconds of silence between the last join and the first message
    #[arg(long, value_name = "T", default_value_t = 0)]
    pub(super) settle: u32,
    /// Seconds that deliveries and answers may take after the last message before they count as lost
    #[arg(long, value_name = "T", default_value_t = 10)]
    pub(super) patience: u32,
    /// PEM private key that signs a token for each user
    #[arg(long, value_name = "FILE")]
    pub(super) key: Option<PathBuf>,
    /// The iss claim of those tokens
    #[arg(
        long,
        value_name = "ISSUER",
        default_value = Config::DEV_ISSUER,
        conflicts_with_all = ["token_file", "dev"]
    )]
    pub(super) iss: String,
    /// The aud claim of those tokens
    #[arg(
        long,
        value_name = "AUDIENCE",
        default_value = Config::DEV_AUDIENCE,
        conflicts_with_all = ["token_file", "dev"]
    )]
    pub(super) aud: String,
    /// A file with one token per line instead; sessions use them in turn
    #[arg(long, value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,
    /// Asks `wardroom dev` for the tokens instead
    #[arg(long)]
    pub(super) dev: bool,
    /// Users over which the sessions are spread; without it each session has its own
    #[arg(long, value_name = "U")]
    pub(super) users: Option<NonZeroU32>,
    /// Users are called PREFIX-0, PREFIX-1 …
    #[arg(long, value_name = "PREFIX", default_value = "load")]
    pub(super) user_prefix: String,
    /// Sessions that are set up at the same time
    #[arg(long, value_name = "N", default_value = "16")]
    pub(super) connecting: NonZeroU32,
    /// Makes a full TLS handshake for every session
    #[arg(long)]
    pub(super) no_resumption: bool,
    /// Process of the gateway on this machine: its CPU time and memory go into the report
    #[arg(long, value_name = "PID")]
    pub(super) server_pid: Option<u32>,
    /// Admits a gateway on another machine
    #[arg(long)]
    pub(super) allow_remote: bool,
    /// Prints the report as one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

/// How the talking is paced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// Nobody talks.
    Silent,
    /// So many messages per second, due at equal distances whatever the gateway does.
    Rate(NonZeroU32),
    /// So many messages per room under way at any time.
    InFlight(NonZeroU32),
}

/// The arguments, checked.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Sessions.
    pub(super) sockets: usize,
    /// The rooms' names; session `n` joins the one at `n % rooms.len()`. Empty: none is joined.
    pub(super) rooms: Vec<String>,
    /// Sessions `0..senders` talk.
    pub(super) senders: usize,
    /// How fast.
    pub(super) pace: Pace,
    /// Bytes of a text.
    pub(super) bytes: usize,
    /// What is measured.
    pub(super) measured: Duration,
    /// What is talked before that.
    pub(super) warmup: Duration,
    /// What is silence before that.
    pub(super) settle: Duration,
    /// For what is under way at the end.
    pub(super) patience: Duration,
    /// Distinct users.
    pub(super) users: usize,
    /// Sessions set up at the same time.
    pub(super) connecting: usize,
}

/// What a session may send each second by the gateway's defaults is 5; this leaves room for jitter.
const MESSAGES_PER_SENDER_AND_S: u32 = 4;

impl Plan {
    /// Checks the arguments.
    pub(super) fn new(args: &LoadArgs) -> anyhow::Result<Self> {
        let sockets = args.sockets.get();
        ensure!(
            args.rooms <= sockets,
            "--rooms {} leaves rooms empty with --sockets {sockets}",
            args.rooms
        );
        ensure!(
            (text::BYTES_MIN..=text::BYTES_MAX).contains(&args.bytes),
            "--bytes is {} to {}: a text carries its number and its time",
            text::BYTES_MIN,
            text::BYTES_MAX
        );
        let pace = match (args.rooms, args.in_flight, NonZeroU32::new(args.rate)) {
            (0, ..) | (_, None, None) => Pace::Silent,
            (_, Some(window), _) => Pace::InFlight(window),
            (_, None, Some(rate)) => Pace::Rate(rate),
        };
        let senders = match (pace, args.senders) {
            (Pace::Silent, _) => 0,
            (_, Some(senders)) => senders,
            (Pace::Rate(rate), None) => rate
                .get()
                .div_ceil(MESSAGES_PER_SENDER_AND_S)
                .max(args.rooms)
                .min(sockets),
            (Pace::InFlight(window), None) => window.get().saturating_mul(args.rooms).min(sockets),
        };
        ensure!(
            senders <= sockets,
            "--senders {senders} are more than --sockets {sockets}"
        );
        ensure!(
            pace == Pace::Silent || senders >= args.rooms,
            "--senders {senders} leave rooms without one: there are {} rooms",
            args.rooms
        );
        let rooms = match args.rooms {
            1 => vec![args.room.clone()],
            many => (0..many).map(|n| format!("{}-{n}", args.room)).collect(),
        };
        Ok(Self {
            sockets: sockets as usize,
            rooms,
            senders: senders as usize,
            pace,
            bytes: args.bytes,
            measured: Duration::from_secs(args.seconds.into()),
            warmup: if pace == Pace::Silent {
                Duration::ZERO
            } else {
                Duration::from_secs(args.warmup.into())
            },
            settle: Duration::from_secs(args.settle.into()),
            patience: Duration::from_secs(args.patience.into()),
            users: args.users.map_or(sockets, |users| users.get().min(sockets)) as usize,
            connecting: args.connecting.get() as usize,
        })
    }

    /// The room that session `socket` joins, as an index.
    pub(super) fn room_of(&self, socket: usize) -> Option<usize> {
        socket.checked_rem(self.rooms.len())
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use clap::Parser;

    use super::{LoadArgs, Pace, Plan};

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        load: LoadArgs,
    }

    fn plan(line: &str) -> anyhow::Result<Plan> {
        let words = std::iter::once("load").chain(line.split(' '));
        Plan::new(&Cli::try_parse_from(words)?.load)
    }

    #[test]
    fn senders_are_enough_to_stay_below_the_default_limit() {
        let plan = plan("--dev --sockets 1000 --rate 50").unwrap();
        assert_eq!(plan.senders, 13);
        assert_eq!(plan.pace, Pace::Rate(NonZeroU32::new(50).unwrap()));
        assert_eq!(plan.rooms, ["lobby"]);
    }

    #[test]
    fn every_room_has_a_sender_and_a_member() {
        assert_eq!(
            plan("--dev --rooms 50 --sockets 1000 --rate 5")
                .unwrap()
                .senders,
            50
        );
        assert!(plan("--dev --rooms 50 --sockets 1000 --rate 5 --senders 49").is_err());
        assert!(plan("--dev --rooms 50 --sockets 49").is_err());
        let plan = plan("--dev --rooms 2 --sockets 3 --in-flight 16").unwrap();
        assert_eq!(
            (plan.room_of(0), plan.room_of(1), plan.room_of(2)),
            (Some(0), Some(1), Some(0))
        );
        assert_eq!(plan.rooms, ["lobby-0", "lobby-1"]);
        assert_eq!(plan.senders, 3);
    }

    #[test]
    fn without_a_room_or_a_rate_nobody_talks() {
        for line in [
            "--dev --rooms 0",
            "--dev --rate 0",
            "--dev --rooms 0 --in-flight 4",
        ] {
            let plan = plan(line).unwrap();
            assert_eq!(
                (plan.pace, plan.senders, plan.warmup.as_secs()),
                (Pace::Silent, 0, 0),
                "{line}"
            );
        }
        assert_eq!(plan("--dev --rooms 0").unwrap().room_of(7), None);
    }

    #[test]
    fn exactly_one_source_of_tokens_is_named() {
        assert!(plan("--sockets 1").is_err());
        assert!(plan("--dev --key k.pem").is_err());
        assert!(plan("--key k.pem").is_ok());
        assert!(plan("--dev --iss https://x.example").is_err());
    }
}
