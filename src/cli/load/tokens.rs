//! A token for each user of the run: signed here, read from a file, or asked of `wardroom dev`.

use std::path::Path;

use anyhow::{Context, ensure};

use wardroom::{
    auth::mint::{Minter, TokenSpec},
    clock::Clock,
};

use super::{
    args::{LoadArgs, Plan},
    dev_tokens,
    target::Target,
};

/// The tokens of users 0, 1, 2 …; session `n` uses number `n` modulo how many there are.
pub(super) async fn for_users(
    args: &LoadArgs,
    plan: &Plan,
    target: &Target,
) -> anyhow::Result<Vec<String>> {
    let names = (0..plan.users).map(|n| format!("{}-{n}", args.user_prefix));
    match (&args.key, &args.token_file) {
        (Some(key), _) => sign(key, args, names),
        (None, Some(file)) => read(file),
        (None, None) => dev_tokens::fetch(target, &names.collect::<Vec<_>>()).await,
    }
}

/// Tokens that open the run's rooms, for longer than the run.
fn sign(
    key: &Path,
    args: &LoadArgs,
    names: impl Iterator<Item = String>,
) -> anyhow::Result<Vec<String>> {
    let minter =
        Minter::read(key).with_context(|| format!("{} cannot sign tokens", key.display()))?;
    let now_s = Clock::system().unix_s();
    let rooms = vec![args.room.clone(), format!("{}-*", args.room)];
    names
        .map(|name| {
            let mut spec = TokenSpec::new(&args.iss, &args.aud, name);
            spec.rooms = Some(rooms.clone());
            spec.scope = Some("chat".to_owned());
            minter
                .mint(&spec, now_s)
                .context("a token cannot be signed")
        })
        .collect()
}

fn read(file: &Path) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("{} cannot be read", file.display()))?;
    let lines = text.lines().map(str::trim);
    let tokens: Vec<_> = lines
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect();
    ensure!(!tokens.is_empty(), "{} holds no token", file.display());
    Ok(tokens)
}
