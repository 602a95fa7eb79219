//! `wardroom verify`: whether an exported record is whole and unchanged. Needs neither database nor configuration.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use clap::Args;
use wardroom::log::sqlite::record::{Verified, verify};

use crate::cli::{exit::Exit, output, progress::Bar};

/// What `verify` takes.
#[derive(Args, Debug)]
pub(super) struct Verify {
    /// What `wardroom export` wrote, or - for standard input
    file: PathBuf,
}

impl Verify {
    pub(super) fn run(self) -> Exit {
        let input: Box<dyn BufRead> = if self.file == Path::new("-") {
            Box::new(io::stdin().lock())
        } else {
            match File::open(&self.file) {
                Ok(file) => Box::new(BufReader::new(file)),
                Err(error) => return failed(&format!("{}: {error}", self.file.display())),
            }
        };
        let mut bar = Bar::new("verifying");
        let verified = verify(input, &mut |done, of| bar.at(done, of));
        drop(bar);
        match verified {
            Ok(verified) => {
                output::say(&report(&verified));
                Exit::Done
            }
            Err(error) => failed(&format!("{}: {error}", self.file.display())),
        }
    }
}

fn failed(why: &str) -> Exit {
    output::complain(why);
    Exit::Failed
}

fn report(verified: &Verified) -> String {
    let Verified {
        header,
        counts,
        head,
        head_hash,
        visits_hash,
    } = verified;
    let covers = if header.from > header.to {
        format!("nothing from offset {} on", header.from)
    } else {
        format!("offsets {} to {}", header.from, header.to)
    };
    let head = head.map_or_else(String::new, |head| {
        format!("  after offset {}, epoch {}", head.offset, head.epoch)
    });
    format!(
        "room         {}\n\
         covers       {covers}; the room had {} to {}\n\
         holds        {} entries, {} of them deleted, {} visits\n\
         exported     {} by wardroom {}\n\
         visits hash  {visits_hash}\n\
         head hash    {head_hash}{head}\n",
        header.room,
        header.first,
        header.last,
        counts.entries,
        counts.deleted,
        counts.visits,
        header.exported_at,
        header.wardroom,
    )
}
