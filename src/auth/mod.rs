//! Temporary while files arrive.
#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects
)]
mod claim_path;
mod claims;
pub mod credential;
pub mod crypto;
pub mod digest;
pub mod error;
pub mod fetch;
pub mod grants;
mod header;
pub mod identity;
mod jwks;
mod key_set;
mod key_source;
pub mod keys;
pub mod mint;
pub mod random;
pub mod reason;
pub mod rights;
pub mod secret_file;
mod strict_json;
#[cfg(test)]
pub(crate) mod testing;
