//! A database with one room, written row by row as the schema says, always the same: times, salts and names are counted.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};
use wardroom::{
    domain::{
        envelope::{Deletion, Message},
        ids::{MessageId, Producer, ProducerId, UserId},
        position::{Epoch, Position},
        room_name::RoomId,
    },
    log::sqlite::{
        chain::{Hash, Link, VisitLink},
        record::{Form, Record, RecordError, Wanted, Written},
        schema::{Lock, lock, open_writer},
    },
};

/// 2026-11-24 12:00:00 UTC.
pub(crate) const NOON: u64 = 1_795_521_600_000;

pub(crate) struct Book {
    folder: tempfile::TempDir,
    path: PathBuf,
    _lock: Lock,
    pub(crate) connection: Connection,
    pub(crate) room: RoomId,
    head: u64,
    epoch: u64,
    ts: u64,
    salts: u8,
    chain: Hash,
    visits: Hash,
}

/// The same person for the same name.
pub(crate) fn user(name: &str) -> UserId {
    let mut digest = [7; 32];
    for (to, from) in digest.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    UserId::from_digest(&digest)
}

impl Book {
    pub(crate) fn new(room: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("wardroom.db");
        let lock = lock(&path).expect("nobody else has it");
        let connection = open_writer(&path, &lock, 0).expect("a database");
        let room = RoomId::parse(room, 64).expect("a name");
        let (chain, visits) = (Hash::start(&room), Hash::start_of_visits(&room));
        let book = Self {
            folder,
            path,
            _lock: lock,
            connection,
            room,
            head: 0,
            epoch: 0x5f3a,
            ts: NOON,
            salts: 0,
            chain,
            visits,
        };
        book.connection
            .execute(
                "INSERT INTO room (id, name, head, epoch, first, ts, chain, base, visits, visits_base)
                 VALUES (1, ?1, 0, 0, 1, 0, ?2, ?2, ?3, ?3)",
                params![book.room.as_str(), chain.as_bytes(), visits.as_bytes()],
            )
            .expect("a room");
        book
    }

    /// A room in which everything has happened that a record can tell.
    pub(crate) fn eventful() -> Self {
        let mut book = Self::new("lobby");
        book.visit("alice", 1, "Alice");
        book.say("alice", "Alice", "Hello");
        book.visit("bob", 1, "Bob");
        book.say(
            "bob",
            "Bob",
            "Two\nlines, and \"quotes\" \\ \u{2067}אב\u{2069} 🙂",
        );
        book.say("alice", "Alice", "to be deleted");
        book.visit("bob", 3, "Robert");
        book.say("bob", "Robert", "to be withheld");
        book.restart();
        book.append("carol", &[1, 99, 3, 4]);
        book.visit("carol", 1, "Carol");
        book.visit("carol", 2, "Carol");
        book.say("alice", "Alice", "Bye");
        book.visit("alice", 2, "Alice");
        book.delete(3);
        book.hide(4);
        book.forget("carol");
        book
    }

    /// A book in which two messages were deleted: one with a reason, of two lines.
    pub(crate) fn moderated() -> Self {
        let mut book = Self::new("lobby");
        book.say("bob", "Bob", "my card is 4929");
        book.say("bob", "Bob", "and its code is 123");
        book.retract("alice", 1, Some("a card number\nof his own"));
        book.retract("alice", 2, None);
        book
    }

    /// An entry that takes another back.
    pub(crate) fn retract(&mut self, who: &str, offset: u64, reason: Option<&str>) {
        let deletion = Deletion {
            target: Position {
                offset,
                epoch: Epoch::new(self.epoch),
            },
            user: user(who),
            reason,
        };
        self.append(who, &deletion.encode().expect("short names"));
        self.delete(offset);
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn say(&mut self, who: &str, nick: &str, text: &str) {
        let message = Message {
            user: user(who),
            nick,
            verified: who == "alice",
            text,
        };
        self.append(who, &message.encode().expect("short names"));
    }

    pub(crate) fn append(&mut self, who: &str, envelope: &[u8]) {
        let salt = self.salt();
        self.head += 1;
        self.ts += 1001;
        let user = user(who);
        let digest = Hash::of_content(&salt, envelope);
        let producer = [self.epoch.to_be_bytes()[7]; 12];
        self.chain = self.chain.after(&Link {
            at: Position {
                offset: self.head,
                epoch: Epoch::new(self.epoch),
            },
            ts: self.ts,
            id: MessageId {
                producer: Producer {
                    id: ProducerId::from_bytes(producer),
                    chain: 2,
                },
                seq: self.head,
            },
            user: user.as_str(),
            digest,
        });
        self.connection
            .execute(
                "INSERT INTO entry (room, off, epoch, ts, producer, seq, user, env, salt, digest, chain)
                 VALUES (1, ?1, ?2, ?3, ?4, ?1, ?5, ?6, ?7, ?8, ?9)",
                params![
                    self.head.cast_signed(),
                    self.epoch.cast_signed(),
                    self.ts.cast_signed(),
                    [&producer[..], &[0, 2]].concat(),
                    user.as_str(),
                    envelope,
                    salt,
                    digest.as_bytes(),
                    self.chain.as_bytes()
                ],
            )
            .expect("an entry");
        self.connection
            .execute(
                "UPDATE room SET head = ?1, epoch = ?2, ts = ?3, chain = ?4",
                params![
                    self.head.cast_signed(),
                    self.epoch.cast_signed(),
                    self.ts.cast_signed(),
                    self.chain.as_bytes()
                ],
            )
            .expect("a head");
    }

    pub(crate) fn visit(&mut self, who: &str, act: u8, nick: &str) {
        let salt = self.salt();
        self.ts += 1001;
        let user = user(who);
        let digest = Hash::of_content(&salt, nick.as_bytes());
        self.visits = self.visits.after_visit(&VisitLink {
            offset: self.head,
            ts: self.ts,
            user: user.as_str(),
            act: ["came", "went", "renamed"][usize::from(act) - 1],
            digest,
        });
        self.connection
            .execute(
                "INSERT INTO visit (room, off, ts, user, act, nick, salt, digest, chain)
                 VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                params![
                    self.head.cast_signed(),
                    self.ts.cast_signed(),
                    user.as_str(),
                    act,
                    nick,
                    salt,
                    digest.as_bytes(),
                    self.visits.as_bytes()
                ],
            )
            .expect("a visit");
        self.set("visits", self.visits);
    }

    pub(crate) fn restart(&mut self) {
        self.epoch = self.epoch.wrapping_mul(0x1234_5678_9abc_def1);
    }

    pub(crate) fn delete(&self, offset: u64) {
        self.sql(&format!(
            "UPDATE entry SET env = NULL, salt = NULL WHERE off = {offset}"
        ));
    }

    pub(crate) fn hide(&self, offset: u64) {
        self.sql(&format!("UPDATE entry SET hidden = 1 WHERE off = {offset}"));
    }

    pub(crate) fn forget(&self, who: &str) {
        let user = user(who);
        self.sql(&format!(
            "UPDATE visit SET nick = NULL, salt = NULL WHERE user = '{user}'"
        ));
    }

    /// What retention does.
    pub(crate) fn trim(&self, first: u64) {
        let base = self.hash(&format!(
            "SELECT chain FROM entry WHERE off = {}",
            first - 1
        ));
        self.set("base", base);
        let gone = format!("off < {}", first - 1);
        if self.count(&format!("visit WHERE {gone}")) > 0 {
            let last = format!("SELECT chain FROM visit WHERE {gone} ORDER BY off DESC, id DESC");
            self.set("visits_base", self.hash(&last));
        }
        self.sql(&format!("DELETE FROM visit WHERE {gone}"));
        self.sql(&format!("DELETE FROM entry WHERE off < {first}"));
        self.sql(&format!("UPDATE room SET first = {first}"));
    }

    pub(crate) fn sql(&self, sql: &str) {
        self.connection.execute_batch(sql).expect(sql);
    }

    pub(crate) fn export(&self, from: Option<u64>, to: Option<u64>) -> String {
        let (file, written) = self.written(from, to, Form::Lines).expect("a record");
        assert_eq!(written.fault, None);
        file
    }

    pub(crate) fn text(&self) -> String {
        self.written(None, None, Form::Text).expect("a record").0
    }

    pub(crate) fn written(
        &self,
        from: Option<u64>,
        to: Option<u64>,
        form: Form,
    ) -> Result<(String, Written), RecordError> {
        let mut out = Vec::new();
        let wanted = self.wanted(from, to, form);
        let record = Record::open(self.path())?;
        let written = record.export(&wanted, &mut out, &mut |_, _| {})?;
        Ok((String::from_utf8(out).expect("UTF-8"), written))
    }

    pub(crate) fn wanted(&self, from: Option<u64>, to: Option<u64>, form: Form) -> Wanted {
        Wanted {
            room: self.room.clone(),
            from,
            to,
            form,
            now: NOON + 86_400_000,
        }
    }

    pub(crate) fn head(&self) -> u64 {
        self.head
    }

    pub(crate) fn chain(&self) -> Hash {
        self.chain
    }

    pub(crate) fn visits(&self) -> Hash {
        self.visits
    }

    fn salt(&mut self) -> [u8; 16] {
        self.salts = self.salts.wrapping_add(1);
        [self.salts; 16]
    }

    fn set(&self, column: &str, hash: Hash) {
        self.connection
            .execute(&format!("UPDATE room SET {column} = ?1"), [hash.as_bytes()])
            .expect("a hash");
    }

    fn hash(&self, sql: &str) -> Hash {
        let bytes = self.connection.query_row(sql, [], |row| row.get(0));
        Hash::from_bytes(bytes.expect("a hash"))
    }

    fn count(&self, of: &str) -> i64 {
        self.connection
            .query_row(&format!("SELECT count(*) FROM {of}"), [], |row| row.get(0))
            .expect("a number")
    }
}
