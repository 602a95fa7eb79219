//! The promises of the compliance record: what the database holds is what is written out, what was written out cannot be changed
//! unseen, and a copy is a database.

mod backups;
mod book;
mod commands;
mod exporting;
mod golden;
mod rooms;
mod verifying;

use wardroom::log::sqlite::record::{Verified, VerifyError, verify};

/// What `verify` says of a file.
fn check(file: impl AsRef<[u8]>) -> Result<Verified, VerifyError> {
    verify(file.as_ref(), &mut |_, _| {})
}

/// What it says of one that is wrong.
#[track_caller]
fn wrong(file: impl AsRef<[u8]>) -> String {
    let error = check(file.as_ref()).expect_err("the file is wrong");
    error.to_string()
}
