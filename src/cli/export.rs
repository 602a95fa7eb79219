//! `wardroom export`: the record of a room, to standard output.

use std::io::{self, BufWriter, ErrorKind};

use clap::{Args, ValueEnum};
use wardroom::{
    clock::Clock,
    domain::room_name::RoomId,
    log::sqlite::record::{Form, Record, RecordError, Wanted, Written},
};

use crate::cli::{database::Database, exit::Exit, output, progress::Bar};

/// Written at once.
const BUFFER_BYTES: usize = 64 * 1024;

/// What `export` takes.
#[derive(Args, Debug)]
pub(super) struct Export {
    /// The room
    #[arg(long, value_name = "ROOM", value_parser = room)]
    room: RoomId,
    /// The first offset; without it the first that is kept
    #[arg(long, value_name = "OFFSET")]
    from: Option<u64>,
    /// The last offset; without it the newest
    #[arg(long, value_name = "OFFSET")]
    to: Option<u64>,
    /// What is written
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    format: Format,
    #[command(flatten)]
    database: Database,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// A JSON object a line, which `wardroom verify` checks
    Jsonl,
    /// For people
    Text,
}

impl Export {
    pub(super) fn run(self) -> Exit {
        let path = match self.database.path() {
            Ok(path) => path,
            Err(exit) => return exit,
        };
        let wanted = Wanted {
            room: self.room,
            from: self.from,
            to: self.to,
            form: match self.format {
                Format::Jsonl => Form::Lines,
                Format::Text => Form::Text,
            },
            now: Clock::system().unix_ms(),
        };
        let mut bar = Bar::beside_output("exporting");
        let mut out = BufWriter::with_capacity(BUFFER_BYTES, io::stdout().lock());
        let written = Record::open(&path)
            .and_then(|record| record.export(&wanted, &mut out, &mut |done, of| bar.at(done, of)));
        drop(bar);
        match written {
            Ok(Written { fault: None, .. }) => Exit::Done,
            Ok(Written {
                fault: Some((offset, fault)),
                ..
            }) => failed(&format!(
                "{}: the record of {} is damaged, {offset} is the first offset where it shows: {fault}; all that is there was written",
                path.display(),
                wanted.room
            )),
            // Whoever read has gone, as `head` does.
            Err(RecordError::Write(error)) if error.kind() == ErrorKind::BrokenPipe => {
                // What is left in the buffer has no reader either.
                drop(out.into_parts());
                Exit::Done
            }
            Err(RecordError::Open(error)) => failed(&error.to_string()),
            Err(error) => failed(&format!("{}: {error}", path.display())),
        }
    }
}

fn failed(why: &str) -> Exit {
    output::complain(why);
    Exit::Failed
}

/// However long: a name that the configuration no longer allows may have a record.
fn room(written: &str) -> Result<RoomId, String> {
    RoomId::parse(written, usize::MAX).map_err(|error| error.to_string())
}
