//! Tokens from `wardroom dev`: `POST /dev/token`, one request after the other on one connection.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep_until, timeout},
};
use tokio_tungstenite::tungstenite::{
    handshake::{client::Response, machine::TryParse},
    http::{StatusCode, header},
};

use super::target::{Target, Wire};

const ANSWER_LIMIT: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 64 * 1024;

#[derive(Deserialize)]
struct Answer {
    token: String,
}

/// One token for each nickname.
pub(super) async fn fetch(target: &Target, nicks: &[String]) -> anyhow::Result<Vec<String>> {
    let (mut wire, _) = target.connect().await?;
    let mut tokens = Vec::with_capacity(nicks.len());
    for nick in nicks {
        let asked = timeout(ANSWER_LIMIT * 6, ask(&mut wire, target.host(), nick));
        let token = asked
            .await
            .context("no token in time")?
            .context("no token from /dev/token; is this `wardroom dev`?")?;
        tokens.push(token);
    }
    Ok(tokens)
}

/// Asks until the limit of requests lets it through.
async fn ask(wire: &mut Box<dyn Wire>, host: &str, nick: &str) -> anyhow::Result<String> {
    let body = serde_json::json!({ "nick": nick }).to_string();
    let length = body.len();
    let request = format!(
        "POST /dev/token HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    loop {
        wire.write_all(request.as_bytes()).await?;
        wire.flush().await?;
        let (head, body) = timeout(ANSWER_LIMIT, answer(wire))
            .await
            .context("no answer in time")??;
        match head.status() {
            StatusCode::OK => {
                return Ok(serde_json::from_slice::<Answer>(&body)
                    .context("an answer without a token")?
                    .token);
            }
            StatusCode::TOO_MANY_REQUESTS => {
                sleep_until(Instant::now() + Duration::from_secs(1)).await;
            }
            status => bail!("{status} {}", String::from_utf8_lossy(&body)),
        }
    }
}

/// Reads one answer with a `Content-Length`.
async fn answer(wire: &mut Box<dyn Wire>) -> anyhow::Result<(Response, Vec<u8>)> {
    let mut read = Vec::new();
    loop {
        if let Some((head_bytes, head)) = Response::try_parse(&read)? {
            let length = head
                .headers()
                .get(header::CONTENT_LENGTH)
                .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
            let length = length.context("an answer without a length")?;
            ensure!(length <= ANSWER_BYTES_MAX, "an answer of {length} bytes");
            if let Some(body) = read.get(head_bytes..head_bytes + length) {
                return Ok((head, body.to_vec()));
            }
        }
        ensure!(read.len() <= 2 * ANSWER_BYTES_MAX, "an endless answer");
        ensure!(wire.read_buf(&mut read).await? > 0, "the connection ended");
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::ask;
    use crate::cli::load::target::Wire;

    /// Answers each request with the next of these, in pieces.
    fn serve(answers: Vec<&'static str>) -> Box<dyn Wire> {
        let (ours, mut theirs) = duplex(4096);
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move {
            let mut request = [0; 4096];
            for answer in answers {
                assert!(theirs.read(&mut request).await.unwrap() > 0);
                for piece in answer.as_bytes().chunks(7) {
                    theirs.write_all(piece).await.unwrap();
                }
            }
        });
        tasks.detach_all();
        Box::new(ours)
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_is_waited_for_and_an_error_is_not() {
        let limited = "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 2\r\n\r\n{}";
        let good = "HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n{\"token\":\"a.b\"}";
        let mut wire = serve(vec![limited, good]);
        assert_eq!(ask(&mut wire, "localhost", "load-0").await.unwrap(), "a.b");
        let mut wire = serve(vec![
            "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone",
        ]);
        assert!(
            ask(&mut wire, "localhost", "load-0")
                .await
                .unwrap_err()
                .to_string()
                .contains("404")
        );
    }
}
