//! What an engine has beside its log when no other node writes to it: its end of the feed, the seats, and its counters.

pub(super) mod counters;
pub(super) mod feed;
mod room_seats;
pub(super) mod seats;
