//! The hub over the memory log, from its public calls to the frames in outboxes: what each of its promises looks like to a
//! client.

mod erasures;
mod house;
mod joins;
mod limits;
mod names;
mod pages;
mod people;
mod probe;
mod redactions;
mod slow;
