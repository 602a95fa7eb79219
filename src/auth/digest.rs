//! SHA-256 over parts, as `auth` needs it for pseudonyms, ticket hashes and key ids.

use aws_lc_rs::digest::{Context, SHA256};

/// The hash of the parts laid end to end. A caller whose parts have no fixed length puts a separator between them.
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::sha256;

    #[test]
    fn parts_hash_like_the_whole() {
        // FIPS 180-4, "abc".
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(HEXLOWER.encode(&sha256(&[b"abc"])), abc);
        assert_eq!(HEXLOWER.encode(&sha256(&[b"a", b"", b"bc"])), abc);
    }
}
