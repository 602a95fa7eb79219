//! Secure random bytes: tickets, session ids, resume strings. Jitter takes `fastrand`; nothing secret ever does.

/// `N` bytes of the system's secure random source.
pub fn secret_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes)
        .expect("a system without a random source can open no session at all");
    bytes
}

#[cfg(test)]
mod tests {
    use super::secret_bytes;

    #[test]
    fn two_draws_differ() {
        assert_ne!(secret_bytes::<16>(), secret_bytes::<16>());
        assert_ne!(secret_bytes::<32>(), [0; 32]);
    }
}
