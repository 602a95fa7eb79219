//! TLS 1.3 records (RFC 8446 §5.2) with keys that were taken out of a finished handshake: the least work that makes bytes
//! readable for a TLS client. For the baseline alone: it answers no key update and no alert.

use anyhow::{Context, bail, ensure};
use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey,
};
use rustls::ConnectionTrafficSecrets;

const HEADER: usize = 5;
const TAG: usize = 16;
const APPLICATION_DATA: u8 = 23;

/// One direction of a connection.
pub(crate) struct Direction {
    key: LessSafeKey,
    iv: [u8; 12],
    sequence: u64,
}

impl Direction {
    /// From what rustls hands out.
    pub(crate) fn new(
        (sequence, secrets): (u64, ConnectionTrafficSecrets),
    ) -> anyhow::Result<Self> {
        let (algorithm, key, iv) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (&CHACHA20_POLY1305, key, iv),
            _ => bail!("an unknown cipher"),
        };
        let key = UnboundKey::new(algorithm, key.as_ref()).context("a key of the wrong length")?;
        let iv = iv
            .as_ref()
            .try_into()
            .context("an IV of the wrong length")?;
        Ok(Self {
            key: LessSafeKey::new(key),
            iv,
            sequence,
        })
    }

    /// The nonce of the next record: its number, laid over the IV.
    fn nonce(&mut self) -> Nonce {
        let mut nonce = self.iv;
        for (byte, number) in nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *byte ^= number;
        }
        self.sequence += 1;
        Nonce::assume_unique_for_key(nonce)
    }

    /// Writes `data` as one record into `out`, which is emptied first.
    pub(crate) fn seal(&mut self, data: &[u8], out: &mut Vec<u8>) -> anyhow::Result<()> {
        let length = u16::try_from(data.len() + 1 + TAG)
            .context("more than a record holds")?
            .to_be_bytes();
        let header = [APPLICATION_DATA, 3, 3, length[0], length[1]];
        out.clear();
        out.extend_from_slice(&header);
        out.extend_from_slice(data);
        out.push(APPLICATION_DATA);
        let nonce = self.nonce();
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(header), &mut out[HEADER..])
            .context("not sealed")?;
        out.extend_from_slice(tag.as_ref());
        Ok(())
    }

    /// Takes whole records off the front of `raw` and appends what they hold to `data`; false at the peer's alert.
    pub(crate) fn open(&mut self, raw: &mut Vec<u8>, data: &mut Vec<u8>) -> anyhow::Result<bool> {
        while let Some(header) = raw.first_chunk::<HEADER>().copied() {
            let end = HEADER + usize::from(u16::from_be_bytes([header[3], header[4]]));
            if raw.len() < end {
                break;
            }
            let nonce = self.nonce();
            let opened = self
                .key
                .open_in_place(nonce, Aad::from(header), &mut raw[HEADER..end])
                .context("not opened")?;
            let padded = opened
                .iter()
                .rposition(|&byte| byte != 0)
                .context("a record without a type")?;
            let kind = opened[padded];
            if kind == 21 {
                return Ok(false);
            }
            ensure!(kind == APPLICATION_DATA, "a record of type {kind}");
            data.extend_from_slice(&opened[..padded]);
            raw.drain(..end);
        }
        Ok(true)
    }
}
