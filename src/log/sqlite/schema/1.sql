-- Version 1. Offsets and times are unsigned in the code and far below 2^63; epochs are 64 bits, stored as they are.
CREATE TABLE room (
    id          INTEGER PRIMARY KEY,
    name        TEXT    NOT NULL UNIQUE,
    head        INTEGER NOT NULL,           -- the newest offset; 0: nobody has said anything
    epoch       INTEGER NOT NULL,           -- of the newest entry
    first       INTEGER NOT NULL,           -- the first offset that is still there; head + 1: none
    ts          INTEGER NOT NULL,           -- of the newest entry, ms since 1970
    chain       BLOB    NOT NULL,           -- the hash chain after the newest entry
    base        BLOB    NOT NULL,           -- the hash chain before `first`
    visits      BLOB    NOT NULL,           -- the hash chain after the newest visit
    visits_base BLOB    NOT NULL,           -- and before the first that is still there
    state_at    INTEGER,
    state_epoch INTEGER,
    state       BLOB
) STRICT;
CREATE TABLE entry (
    id       INTEGER PRIMARY KEY,
    room     INTEGER NOT NULL,
    off      INTEGER NOT NULL,
    epoch    INTEGER NOT NULL,
    ts       INTEGER NOT NULL,
    producer BLOB    NOT NULL,              -- 12 bytes and the chain as two more, big-endian
    seq      INTEGER NOT NULL,
    user     TEXT    NOT NULL,
    env      BLOB,                          -- NULL: the content went
    salt     BLOB,                          -- goes with it: what is left cannot be guessed
    digest   BLOB    NOT NULL,              -- SHA-256(salt, env), stays
    chain    BLOB    NOT NULL,              -- the hash chain after this entry
    hidden   INTEGER NOT NULL DEFAULT 0     -- 1: taken back, and kept for a legal hold only
) STRICT;
CREATE UNIQUE INDEX entry_at ON entry (room, off);
CREATE INDEX entry_hidden ON entry (room) WHERE hidden = 1;
CREATE TABLE producer (
    room     INTEGER NOT NULL,
    producer BLOB    NOT NULL,
    seq      INTEGER NOT NULL,
    off      INTEGER NOT NULL,
    epoch    INTEGER NOT NULL,
    ts       INTEGER NOT NULL,
    hash     INTEGER NOT NULL,
    expires  INTEGER NOT NULL,              -- ms since 1970; from then on the producer is unknown
    PRIMARY KEY (room, producer)
) STRICT, WITHOUT ROWID;
CREATE TABLE epoch (
    room  INTEGER NOT NULL,
    start INTEGER NOT NULL,                 -- its first offset
    epoch INTEGER NOT NULL,
    PRIMARY KEY (room, start)
) STRICT, WITHOUT ROWID;
CREATE TABLE visit (                        -- who came and went, for the record
    id     INTEGER PRIMARY KEY,
    room   INTEGER NOT NULL,
    off    INTEGER NOT NULL,                -- the newest offset at that moment
    ts     INTEGER NOT NULL,
    user   TEXT    NOT NULL,
    act    INTEGER NOT NULL,                -- 1 came, 2 went, 3 is called otherwise
    nick   TEXT,                            -- NULL: erased
    salt   BLOB,
    digest BLOB    NOT NULL,                -- SHA-256(salt, nick)
    chain  BLOB    NOT NULL
) STRICT;
CREATE INDEX visit_at ON visit (room, off);
CREATE TABLE boot (
    id      INTEGER PRIMARY KEY,
    epoch   INTEGER NOT NULL,
    started INTEGER NOT NULL,
    clean   INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE probe (body BLOB NOT NULL) STRICT;  -- written and taken back to find out whether there is room again
