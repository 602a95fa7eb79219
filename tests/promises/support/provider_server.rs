//! An identity provider's server: its key set and its discovery document over plain HTTP on loopback, true or a lie.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What is answered.
#[derive(Clone, Debug)]
pub enum Says {
    /// The key set, and a discovery document with this issuer.
    Truth { issuer: String, keys: Vec<Value> },
    /// A status and a body.
    Raw(u16, Vec<u8>),
    /// A redirect.
    Elsewhere(String),
    /// A head that never ends.
    Slowly,
}

/// A running server; dropped, it is down.
pub struct ProviderServer {
    pub address: SocketAddr,
    state: Arc<Mutex<(Says, usize)>>,
    serving: JoinHandle<()>,
}

impl ProviderServer {
    /// A server on any port.
    pub async fn start(says: Says) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        Self::on(listener, says)
    }

    /// A server on a listener that is there.
    pub fn on(listener: TcpListener, says: Says) -> Self {
        let address = listener.local_addr().expect("bound");
        let state = Arc::new(Mutex::new((says, 0)));
        let shared = Arc::clone(&state);
        let serving = tokio::spawn(async move {
            while let Ok((io, _)) = listener.accept().await {
                tokio::spawn(serve(io, address, Arc::clone(&shared)));
            }
        });
        Self {
            address,
            state,
            serving,
        }
    }

    /// Where it is.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Changes what is answered from now on.
    pub fn say(&self, says: Says) {
        self.state.lock().0 = says;
    }

    /// Requests so far.
    pub fn asked(&self) -> usize {
        self.state.lock().1
    }
}

impl Drop for ProviderServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(mut io: TcpStream, address: SocketAddr, state: Arc<Mutex<(Says, usize)>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if io.read_buf(&mut head).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let says = {
        let mut state = state.lock();
        state.1 += 1;
        state.0.clone()
    };
    let (status, more, body) = match says {
        Says::Truth { issuer, keys } => {
            let body = if head.starts_with(b"GET /.well-known/openid-configuration ") {
                json!({ "issuer": issuer, "jwks_uri": format!("http://{address}/keys") })
            } else {
                json!({ "keys": keys })
            };
            (200, String::new(), body.to_string().into_bytes())
        }
        Says::Raw(status, body) => (status, String::new(), body),
        Says::Elsewhere(place) => (302, format!("location: {place}\r\n"), Vec::new()),
        Says::Slowly => {
            io.write_all(b"HTTP/1.1 200 OK\r\nx: ").await.ok();
            let mut tick = tokio::time::interval(Duration::from_millis(100));
            loop {
                tick.tick().await;
                if io.write_all(b"x").await.is_err() {
                    return;
                }
            }
        }
    };
    let head = format!(
        "HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\n{more}content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    io.write_all(head.as_bytes()).await.ok();
    io.write_all(&body).await.ok();
    io.shutdown().await.ok();
}
