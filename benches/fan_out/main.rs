//! `cargo bench --bench fan_out -- [fan-out|saturated|memory|upgrade|all]`: what the gateway spends, beside a program that only
//! sends. `benches/README.md` says how to repeat each figure.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

mod baseline;
mod connections;
mod generator;
mod machine;
mod record;
mod server;
mod windows;

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};

use crate::{
    server::{GATEWAY, Keys, Server, Wire},
    windows::Rules,
};

/// What the gateway spends, beside a program that only sends.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    what: Option<What>,
    /// Windows that must count, of each contender
    #[arg(long, default_value_t = 6, global = true)]
    windows: usize,
    /// Seconds of a window
    #[arg(long, default_value_t = 5, global = true)]
    seconds: u32,
    /// Members of the room
    #[arg(long, default_value_t = 1000, global = true)]
    members: u32,
    /// Without TLS
    #[arg(long, global = true)]
    plain: bool,
    /// A window counts only if other programs took less, in hundredths of a core
    #[arg(long, default_value_t = 10, global = true)]
    foreign_percent_max: u64,
    /// Given by cargo
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Clone, Debug, Subcommand)]
enum What {
    /// One room, 50 messages per second
    FanOut,
    /// One room, 16 messages under way at any time
    Saturated,
    /// Idle sessions
    Memory,
    /// Handshake and upgrade
    Upgrade,
    /// All of it
    All,
    /// The baseline itself, until it is killed
    #[command(hide = true)]
    Baseline {
        #[arg(long, requires = "key")]
        certificate: Option<PathBuf>,
        #[arg(long)]
        key: Option<PathBuf>,
    },
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let wire = if cli.plain { Wire::Plain } else { Wire::Tls };
    let what = cli.what.clone().unwrap_or(What::All);
    if let What::Baseline { certificate, key } = &what {
        return baseline::serve(certificate.as_deref().zip(key.as_deref()));
    }
    println!(
        "{}; {}",
        machine::describe(Path::new(GATEWAY)),
        if cli.plain { "plain" } else { "TLS" }
    );
    let keys = Keys::new()?;
    match what {
        What::FanOut => fan_out(&cli, &keys, wire),
        What::Saturated => saturated(&cli, &keys, wire),
        What::Memory => memory(&keys, wire),
        What::Upgrade => upgrade(&keys, wire),
        What::All | What::Baseline { .. } => {
            fan_out(&cli, &keys, wire)?;
            saturated(&cli, &keys, wire)?;
            memory(&keys, wire)?;
            upgrade(&keys, wire)
        }
    }
}

fn fan_out(cli: &Cli, keys: &Keys, wire: Wire) -> anyhow::Result<()> {
    println!(
        "\nfan-out: one room, {} members, 50 messages/s of 100 bytes",
        cli.members
    );
    compare(
        cli,
        keys,
        wire,
        &format!(
            "--sockets {} --rate 50 --warmup 2 --seconds {}",
            cli.members, cli.seconds
        ),
    )
}

fn saturated(cli: &Cli, keys: &Keys, wire: Wire) -> anyhow::Result<()> {
    println!(
        "\nsaturated: one room, {} members, 16 messages of 100 bytes under way",
        cli.members
    );
    compare(
        cli,
        keys,
        wire,
        &format!(
            "--sockets {} --in-flight 16 --warmup 2 --seconds {}",
            cli.members, cli.seconds
        ),
    )
}

fn compare(cli: &Cli, keys: &Keys, wire: Wire, load: &str) -> anyhow::Result<()> {
    let gateway = Server::gateway(keys, wire)?;
    let baseline = Server::baseline(keys, wire)?;
    let rules = Rules {
        windows: cli.windows,
        foreign_percent_max: cli.foreign_percent_max,
    };
    print!(
        "{}",
        windows::compare(keys, &gateway, &baseline, load, rules)?
    );
    Ok(())
}

fn memory(keys: &Keys, wire: Wire) -> anyhow::Result<()> {
    println!("\nmemory: growth from 500 to 5500 idle sessions, one room each, 50 members a room");
    let bytes = connections::memory(keys, wire, 5000, 3)?;
    println!("  resident KiB per session  {}", bytes.kib());
    Ok(())
}

fn upgrade(keys: &Keys, wire: Wire) -> anyhow::Result<()> {
    println!("\nupgrade: handshake, ES256 token, 101, welcome; 2000 connections, 16 at a time");
    for (name, server) in [
        ("gateway", Server::gateway(keys, wire)?),
        ("baseline", Server::baseline(keys, wire)?),
    ] {
        let setup = connections::upgrade(keys, &server, 2000, 5)?;
        println!(
            "  CPU µs per connection     {name}: full {}, resumed {} ({} % were); {}",
            setup.full_us.whole(),
            setup.resumed_us.whole(),
            setup.resumed_percent,
            setup.protocols
        );
    }
    Ok(())
}
