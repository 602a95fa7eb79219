//! HTTP by hand: the bytes of a request are the test's own, the answer is read as it comes.

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::within;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(one, _)| one.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!("no JSON: {error}: {}", String::from_utf8_lossy(&self.body))
        })
    }

    /// The code of a problem document, after its form was checked.
    pub fn problem(&self) -> String {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        let body = self.json();
        for field in ["type", "title", "status", "detail", "code", "request_id"] {
            assert!(!body[field].is_null(), "a problem without {field}: {body}");
        }
        assert_eq!(body["status"], self.status);
        body["code"].as_str().expect("a code").to_owned()
    }

    /// Status and code in one, to compare with a row of a table.
    pub fn refusal(&self) -> (u16, String) {
        (self.status, self.problem())
    }
}

/// Sends bytes and reads one answer; what came behind its head is its body, up to its length.
pub async fn exchange<T: AsyncRead + AsyncWrite + Unpin>(
    io: &mut T,
    request: &[u8],
) -> std::io::Result<(Answer, Vec<u8>)> {
    io.write_all(request).await?;
    io.flush().await?;
    within("an HTTP answer", read_answer(io)).await
}

/// Reads one answer and the bytes that came behind it.
pub async fn read_answer<T: AsyncRead + Unpin>(io: &mut T) -> std::io::Result<(Answer, Vec<u8>)> {
    let mut raw = Vec::new();
    let head_end = loop {
        if let Some(at) = raw.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        if io.read_buf(&mut raw).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    };
    let mut rest = raw.split_off(head_end + 4);
    let head = String::from_utf8(raw).expect("an ASCII head");
    let mut lines = head.trim_end().split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .and_then(|code| code.parse().ok())
        .expect("a status line");
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let mut answer = Answer {
        status,
        headers,
        body: Vec::new(),
    };
    let length = answer
        .header("content-length")
        .map(|length| length.parse::<usize>().expect("a length"));
    while length.is_some_and(|length| rest.len() < length) {
        if io.read_buf(&mut rest).await? == 0 {
            break;
        }
    }
    let tail = rest.split_off(length.unwrap_or(0).min(rest.len()));
    answer.body = rest;
    Ok((answer, tail))
}
