//! The network address that limits are counted for: one IPv4 address, or the /64 that one subscriber of IPv6 has to himself.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

/// A key of limiters and caps. An IPv4 address that is written as IPv6 is the same key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AddressKey(IpAddr);

impl From<IpAddr> for AddressKey {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            v4 @ IpAddr::V4(_) => v4,
            IpAddr::V6(v6) => {
                let network = v6.to_bits() & !u128::from(u64::MAX);
                IpAddr::V6(Ipv6Addr::from_bits(network))
            }
        })
    }
}

/// An address is personal data; it is shown where an operator asks for it and not by accident.
impl fmt::Debug for AddressKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AddressKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::AddressKey;

    fn same(a: &str, b: &str) -> bool {
        let key = |raw: &str| AddressKey::from(raw.parse::<std::net::IpAddr>().expect(raw));
        key(a) == key(b)
    }

    #[test]
    fn an_ipv4_address_is_a_key_and_so_is_an_ipv6_64() {
        assert!(!same("192.0.2.1", "192.0.2.2"));
        assert!(same("::ffff:192.0.2.1", "192.0.2.1"));
        assert!(same("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff"));
        assert!(!same("2001:db8::1", "2001:db8:0:1::1"));
        assert!(!same("::1", "127.0.0.1"));
    }
}
