//! The baseline: a program that does nothing but send the ready frame to every socket, sealed first where TLS is spoken. No
//! token, no limit, no log, no queue, no task per message; one thread. Everything else about it (certificate, handshake,
//! upgrade, frame, generator) is as with the gateway, so that the difference is the gateway's own work.
//!
//! It takes the text for the next frame out of what a sender sends: once per message, so about two microseconds for a
//! thousand deliveries.

use std::{cell::RefCell, io::Write, path::Path, rc::Rc, sync::Arc};

use anyhow::{Context, ensure};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::{LocalSet, spawn_local},
};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::record::Direction;

/// A member's way out.
struct Out {
    id: usize,
    stream: std::net::TcpStream,
    seal: Option<Direction>,
}

#[derive(Default)]
struct Room {
    ids: usize,
    offset: u64,
    members: Vec<Out>,
    /// One record at a time.
    record: Vec<u8>,
}

/// Serves until it is killed; the first line of standard output is its address.
pub(crate) fn serve(tls: Option<(&Path, &Path)>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let acceptor = tls.map(|(cert, key)| acceptor(cert, key)).transpose()?;
    LocalSet::new().block_on(&runtime, accept(acceptor))
}

fn acceptor(cert: &Path, key: &Path) -> anyhow::Result<TlsAcceptor> {
    let chain = CertificateDer::pem_file_iter(cert)?.collect::<Result<Vec<_>, _>>()?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.enable_secret_extraction = true;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn accept(acceptor: Option<TlsAcceptor>) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
    let room = Rc::new(RefCell::new(Room::default()));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (acceptor, room) = (acceptor.clone(), Rc::clone(&room));
        spawn_local(async move {
            if let Err(error) = connection(stream, acceptor, &room).await {
                writeln!(std::io::stderr(), "baseline: {error:#}").ok();
            }
        });
    }
}

async fn connection(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    room: &RefCell<Room>,
) -> anyhow::Result<()> {
    let (stream, seal, open) = match acceptor {
        None => {
            let mut stream = stream;
            upgrade(&mut stream, room).await?;
            (stream, None, None)
        }
        Some(acceptor) => {
            let mut stream = acceptor.accept(stream).await?;
            upgrade(&mut stream, room).await?;
            let (stream, tls) = stream.into_inner();
            let secrets = tls.dangerous_extract_secrets()?;
            (
                stream,
                Some(Direction::new(secrets.tx)?),
                Some(Direction::new(secrets.rx)?),
            )
        }
    };
    // The same socket twice: the copy only sends, without a look at the runtime's readiness.
    let stream = stream.into_std()?;
    let id = room.borrow_mut().enter(stream.try_clone()?, seal);
    let heard = listen(TcpStream::from_std(stream)?, open, id, room).await;
    room.borrow_mut().members.retain(|member| member.id != id);
    heard
}

/// Answers the upgrade, then what a client of the gateway waits for.
async fn upgrade<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    room: &RefCell<Room>,
) -> anyhow::Result<()> {
    let mut head = Vec::with_capacity(2048);
    while !head.ends_with(b"\r\n\r\n") {
        ensure!(
            stream.read_buf(&mut head).await? > 0 && head.len() < 16_384,
            "no request"
        );
    }
    let head = String::from_utf8(head)?;
    let key = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key")
            .then(|| value.trim())
    });
    let accept = derive_accept_key(key.context("no key")?.as_bytes());
    let mut answer =
        format!("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n")
            .into_bytes();
    answer.extend(text_frame(r#"{"type":"welcome"}"#));
    let asked = head
        .split(' ')
        .nth(1)
        .and_then(|target| target.split_once("room="));
    if let Some((_, name)) = asked {
        let offset = room.borrow().offset;
        answer.extend(text_frame(&format!(r#"{{"type":"joined","room":"{name}","head":[{offset},"5f3a"],"members":1,"messages":[]}}"#)));
    }
    stream.write_all(&answer).await?;
    Ok(stream.flush().await?)
}

/// An unmasked text frame.
fn text_frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    let length = u16::try_from(text.len()).expect("frames of the baseline are short");
    match u8::try_from(length) {
        Ok(short) if short <= 125 => frame.push(short),
        _ => {
            frame.push(126);
            frame.extend(length.to_be_bytes());
        }
    }
    frame.extend(text.as_bytes());
    frame
}

/// Hears what a member says until it closes.
async fn listen(
    stream: TcpStream,
    mut open: Option<Direction>,
    id: usize,
    room: &RefCell<Room>,
) -> anyhow::Result<()> {
    let (mut raw, mut data) = (Vec::new(), Vec::new());
    loop {
        stream.readable().await?;
        match stream.try_read_buf(&mut raw) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(_) => return Ok(()),
        }
        match &mut open {
            None => data.append(&mut raw),
            Some(open) => {
                if !open.open(&mut raw, &mut data)? {
                    return Ok(());
                }
            }
        }
        while let Some((opcode, payload)) = client_frame(&mut data) {
            match opcode {
                1 => room.borrow_mut().say(id, &payload)?,
                8 => return Ok(()),
                _ => {}
            }
        }
    }
}

/// Takes a masked frame off the front.
fn client_frame(data: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let (&first, &second) = (data.first()?, data.get(1)?);
    let (length, at) = match second & 0x7f {
        126 => (
            usize::from(u16::from_be_bytes([*data.get(2)?, *data.get(3)?])),
            4,
        ),
        127 => return None,
        short => (usize::from(short), 2),
    };
    let mask: [u8; 4] = data.get(at..at + 4)?.try_into().ok()?;
    let payload = data.get(at + 4..at + 4 + length)?;
    let payload = payload
        .iter()
        .zip(mask.iter().cycle())
        .map(|(byte, mask)| byte ^ mask)
        .collect();
    data.drain(..at + 4 + length);
    Some((first & 0x0f, payload))
}

/// The value of a string member; the generator's hold no escapes.
fn member<'a>(frame: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = frame.split_once(&format!("\"{name}\":\""))?;
    rest.split_once('"').map(|(value, _)| value)
}

impl Room {
    fn enter(&mut self, stream: std::net::TcpStream, seal: Option<Direction>) -> usize {
        self.ids += 1;
        self.members.push(Out {
            id: self.ids,
            stream,
            seal,
        });
        self.ids
    }

    /// What the baseline is: the ready frame, sealed and sent to each.
    fn say(&mut self, id: usize, payload: &[u8]) -> anyhow::Result<()> {
        let said = std::str::from_utf8(payload)?;
        let (Some(answer_to), Some(room), Some(text)) = (
            member(said, "id"),
            member(said, "room"),
            member(said, "text"),
        ) else {
            return Ok(());
        };
        self.offset += 1;
        let Self {
            offset,
            members,
            record,
            ..
        } = self;
        let message = text_frame(&format!(
            r#"{{"type":"message","room":"{room}","offset":{offset},"id":"AAAAAAAAAAAAAAAA.{offset}","user":"u_aaaaaaaaaaaaaaaaaaaa","nick":"Guest abcdef","verified":false,"text":"{text}","ts":"2026-11-24T12:00:00.000Z"}}"#
        ));
        for out in &mut *members {
            out.send(&message, record)?;
        }
        let ack = text_frame(&format!(
            r#"{{"type":"ack","id":"{answer_to}","room":"{room}","offset":{offset},"epoch":"5f3a"}}"#
        ));
        match members.iter_mut().find(|out| out.id == id) {
            Some(out) => out.send(&ack, record),
            None => Ok(()),
        }
    }
}

impl Out {
    fn send(&mut self, frame: &[u8], record: &mut Vec<u8>) -> anyhow::Result<()> {
        let bytes = match &mut self.seal {
            None => frame,
            Some(seal) => {
                seal.seal(frame, record)?;
                record
            }
        };
        match self.stream.write(bytes) {
            Ok(written) => ensure!(
                written == bytes.len(),
                "a socket took half a frame: the load is too much for a program without a queue"
            ),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                anyhow::bail!(
                    "a socket was full: the load is too much for a program without a queue"
                )
            }
            // It has closed; its reader will notice.
            Err(_) => {}
        }
        Ok(())
    }
}
