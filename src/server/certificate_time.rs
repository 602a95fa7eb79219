//! When a certificate ends: the one field of X.509 that operators must be able to watch, read by walking its DER.

/// The `notAfter` of a certificate in seconds since 1970; `None` when its DER is not what RFC 5280 §4.1 says.
pub fn not_after(der: &[u8]) -> Option<u64> {
    let (certificate, _) = element(der, 0x30)?;
    let (mut tbs, _) = element(certificate, 0x30)?;
    if let Some((_version, rest)) = element(tbs, 0xa0) {
        tbs = rest;
    }
    let (_serial, rest) = element(tbs, 0x02)?;
    let (_algorithm, rest) = element(rest, 0x30)?;
    let (_issuer, rest) = element(rest, 0x30)?;
    let (validity, _) = element(rest, 0x30)?;
    let (_not_before, rest) = any_element(validity)?;
    let (tag, value, _) = raw_element(rest)?;
    time(tag, value)
}

/// The content of the first element if it has this tag, and what follows it.
fn element(der: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    let (tag, value, rest) = raw_element(der)?;
    (tag == wanted).then_some((value, rest))
}

fn any_element(der: &[u8]) -> Option<(&[u8], &[u8])> {
    raw_element(der).map(|(_, value, rest)| (value, rest))
}

fn raw_element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [tag, first, rest @ ..] = der else {
        return None;
    };
    let (length, rest) = match first {
        short @ 0..=0x7f => (usize::from(*short), rest),
        long @ 0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(long & 0x0f))?;
            (
                bytes.iter().try_fold(0_usize, |sum, byte| {
                    sum.checked_mul(256)?.checked_add(usize::from(*byte))
                })?,
                rest,
            )
        }
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(length)?;
    Some((*tag, value, rest))
}

/// `UTCTime` (two digits of the year, 1950–2049) or `GeneralizedTime` (four), both ending in `Z` (RFC 5280 §4.1.2.5).
fn time(tag: u8, value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?.strip_suffix('Z')?;
    let full = match tag {
        0x17 if text.len() == 12 => {
            format!("{}{text}", if text.get(..2)? < "50" { "20" } else { "19" })
        }
        0x18 if text.len() == 14 => text.to_owned(),
        _ => return None,
    };
    let part = |from: usize, to: usize| full.get(from..to);
    let iso = format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0, 4)?,
        part(4, 6)?,
        part(6, 8)?,
        part(8, 10)?,
        part(10, 12)?,
        part(12, 14)?
    );
    u64::try_from(iso.parse::<jiff::Timestamp>().ok()?.as_second()).ok()
}

#[cfg(test)]
mod tests {
    use super::{not_after, time};

    #[test]
    fn both_forms_of_time_are_read() {
        assert_eq!(time(0x17, b"261124120000Z"), Some(1_795_521_600));
        assert_eq!(time(0x18, b"20261124120000Z"), Some(1_795_521_600));
        assert_eq!(time(0x17, b"700101000000Z"), Some(0));
        assert_eq!(time(0x18, b"2026112412000Z"), None);
        assert_eq!(time(0x17, b"261324120000Z"), None);
    }

    #[test]
    fn a_real_certificate_says_when_it_ends() {
        let mut params =
            rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        params.not_after = rcgen::date_time_ymd(2031, 7, 9);
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        assert_eq!(not_after(certificate.der()), Some(1_941_321_600));
        for cut in 0..40 {
            assert_eq!(not_after(&certificate.der()[..cut]), None);
        }
    }
}
