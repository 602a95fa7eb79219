//! The PROXY header, v1 and v2: read exactly, before TLS, from a proxy that is trusted, within its time and size.

use std::{io, net::IpAddr, time::Duration};

use proxy_header::{ParseConfig, ProxyHeader};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::timeout,
};

/// The bounds.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProxyRules {
    pub(super) within: Duration,
    pub(super) bytes_max: usize,
}

/// The error for a peer that is no trusted proxy.
pub(super) fn foreign() -> io::Error {
    malformed("a PROXY header is taken from trusted proxies only")
}

const V2_SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// v1 is one line of 107 bytes at most.
const V1_BYTES_MAX: usize = 107;

/// The client's address; `None` for `LOCAL` and `UNKNOWN`, which mean the proxy itself.
pub(super) async fn read<T: AsyncRead + Unpin>(
    stream: &mut T,
    rules: &ProxyRules,
) -> io::Result<Option<IpAddr>> {
    let raw = timeout(rules.within, read_exactly(stream, rules.bytes_max))
        .await
        .map_err(|_| malformed("no PROXY header in time"))??;
    let config = ParseConfig {
        include_tlvs: false,
        ..ParseConfig::default()
    };
    let (header, used) =
        ProxyHeader::parse(&raw, config).map_err(|_| malformed("the PROXY header is malformed"))?;
    if used != raw.len() || names_a_socket_file(&raw) {
        return Err(malformed("the PROXY header is malformed"));
    }
    Ok(header
        .proxied_address()
        .map(|addresses| addresses.source.ip()))
}

/// Reads the header and not one byte more: what follows is TLS.
async fn read_exactly<T: AsyncRead + Unpin>(
    stream: &mut T,
    bytes_max: usize,
) -> io::Result<Vec<u8>> {
    let mut raw = vec![0; 8];
    stream.read_exact(&mut raw).await?;
    if raw.starts_with(b"PROXY ") {
        while !raw.ends_with(b"\r\n") {
            if raw.len() >= V1_BYTES_MAX {
                return Err(malformed("the PROXY header is too long"));
            }
            raw.push(stream.read_u8().await?);
        }
        return Ok(raw);
    }
    if !V2_SIGNATURE.starts_with(&raw) {
        return Err(malformed("there is no PROXY header"));
    }
    raw.resize(16, 0);
    stream
        .read_exact(raw.get_mut(8..).unwrap_or_default())
        .await?;
    let (signature, rest) = raw.split_at(12);
    let length = match rest {
        [_, _, high, low] if signature == V2_SIGNATURE => {
            usize::from(u16::from_be_bytes([*high, *low]))
        }
        _ => return Err(malformed("there is no PROXY header")),
    };
    if 16 + length > bytes_max {
        return Err(malformed("the PROXY header is too long"));
    }
    raw.resize(16 + length, 0);
    stream
        .read_exact(raw.get_mut(16..).unwrap_or_default())
        .await?;
    Ok(raw)
}

/// v2 for a client without an address that is no proxy either: `AF_UNIX`.
fn names_a_socket_file(raw: &[u8]) -> bool {
    raw.starts_with(&V2_SIGNATURE) && matches!(raw.get(12..14), Some([0x21, 0x30..=0x3f]))
}

fn malformed(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use std::{io::Cursor, net::IpAddr, time::Duration};

    use super::{ProxyRules, V2_SIGNATURE, read};

    const RULES: ProxyRules = ProxyRules {
        within: Duration::from_secs(3),
        bytes_max: 2048,
    };

    async fn parse(raw: &[u8]) -> Result<(Option<IpAddr>, Vec<u8>), std::io::Error> {
        let mut stream = Cursor::new([raw, b"\x16\x03\x01"].concat());
        let found = read(&mut stream, &RULES).await?;
        let at = usize::try_from(stream.position()).expect("small");
        Ok((found, stream.into_inner().split_off(at)))
    }

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).expect("short");
        [
            &V2_SIGNATURE[..],
            &[command, family],
            &length.to_be_bytes(),
            body,
        ]
        .concat()
    }

    #[tokio::test]
    async fn both_versions_name_the_client_and_leave_what_follows() {
        let four: IpAddr = "192.0.2.7".parse().expect("an address");
        let six: IpAddr = "2001:db8::7".parse().expect("an address");
        let tail = b"\x16\x03\x01".to_vec();
        let line = b"PROXY TCP4 192.0.2.7 203.0.113.1 5000 443\r\n";
        assert_eq!(parse(line).await.expect("v1"), (Some(four), tail.clone()));
        let line = b"PROXY TCP6 2001:db8::7 2001:db8::1 5000 443\r\n";
        assert_eq!(parse(line).await.expect("v1"), (Some(six), tail.clone()));
        assert_eq!(
            parse(b"PROXY UNKNOWN\r\n").await.expect("v1"),
            (None, tail.clone())
        );
        let body = [192, 0, 2, 7, 203, 0, 113, 1, 0x13, 0x88, 1, 0xbb];
        assert_eq!(
            parse(&v2(0x21, 0x11, &body)).await.expect("v2"),
            (Some(four), tail.clone())
        );
        assert_eq!(
            parse(&v2(0x20, 0x00, &[])).await.expect("v2 LOCAL"),
            (None, tail)
        );
    }

    #[tokio::test]
    async fn anything_else_is_refused() {
        let long = [b"PROXY TCP4 ".as_slice(), &[b'1'; 120]].concat();
        for bad in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"PROXY TCP4 192.0.2.7 203.0.113.1 99999 443\r\n",
            &long,
            &[&V2_SIGNATURE[..], &[0x21, 0x11, 0xff, 0xff]].concat(),
            &V2_SIGNATURE,
            &v2(0x21, 0x31, &[b'a'; 216]),
        ] {
            assert!(parse(bad).await.is_err(), "{bad:?}");
        }
    }
}
