//! Somebody on a WebSocket.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::CloseFrame},
};

use super::{gateway::Tls, within};

/// An open session.
pub struct Client {
    pub ws: WebSocketStream<Tls>,
    /// The `welcome` frame, for `wardroom.v1`.
    pub welcome: Value,
    /// Frames that were read while another one was waited for.
    skipped: Vec<Value>,
}

impl Client {
    pub fn new(ws: WebSocketStream<Tls>) -> Self {
        Self {
            ws,
            welcome: Value::Null,
            skipped: Vec::new(),
        }
    }

    /// Sends one frame.
    pub async fn send(&mut self, frame: Value) {
        self.send_raw(frame.to_string()).await;
    }

    /// Sends text as it is.
    pub async fn send_raw(&mut self, text: impl Into<String>) {
        self.ws
            .send(Message::text(text.into()))
            .await
            .expect("the connection is open");
    }

    /// The next text as it is.
    pub async fn next_text(&mut self) -> String {
        loop {
            match within("a frame", self.ws.next()).await {
                Some(Ok(Message::Text(text))) => return text.as_str().to_owned(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("a text frame was expected, this came: {other:?}"),
            }
        }
    }

    /// The next frame.
    pub async fn next(&mut self) -> Value {
        serde_json::from_str(&self.next_text().await).expect("frames are JSON")
    }

    /// The next frame of a type; others are kept and found when they are asked for.
    pub async fn expect(&mut self, kind: &str) -> Value {
        if let Some(at) = self.skipped.iter().position(|frame| frame["type"] == kind) {
            return self.skipped.remove(at);
        }
        loop {
            let frame = self.next().await;
            if frame["type"] == kind {
                return frame;
            }
            assert!(
                self.skipped.len() < 10_000,
                "{kind} did not come, but much else"
            );
            self.skipped.push(frame);
        }
    }

    /// The next `error`: its code.
    pub async fn expect_error(&mut self) -> String {
        self.expect("error").await["code"]
            .as_str()
            .expect("a code")
            .to_owned()
    }

    /// What came and nobody asked for.
    pub fn skipped(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.skipped)
    }

    /// Joins a room, and the `joined` frame.
    pub async fn join(&mut self, room: &str) -> Value {
        self.join_with(json!({ "room": room })).await
    }

    /// Joins with more fields, and the `joined` frame.
    pub async fn join_with(&mut self, mut fields: Value) -> Value {
        fields["type"] = json!("join");
        fields["id"] = json!("join");
        self.send(fields).await;
        self.expect("joined").await
    }

    /// Says something and waits for the ack.
    pub async fn say(&mut self, room: &str, text: &str) -> Value {
        self.send(json!({ "type": "send", "id": "say", "room": room, "text": text }))
            .await;
        self.expect("ack").await
    }

    /// The next message.
    pub async fn hear(&mut self) -> Value {
        self.expect("message").await
    }

    /// Asks and waits for the pong: everything sent before was handled.
    pub async fn settle(&mut self) {
        self.send(json!({ "type": "ping", "id": "settle" })).await;
        self.expect("pong").await;
    }

    /// Reads to the end: the Close, if one came.
    pub async fn closed(&mut self) -> Option<(u16, String)> {
        within("the end of the session", async {
            loop {
                match self.ws.next().await {
                    Some(Ok(Message::Close(frame))) => {
                        return frame
                            .map(|CloseFrame { code, reason }| (code.into(), reason.to_string()));
                    }
                    Some(Ok(Message::Text(text))) => {
                        self.skipped
                            .extend(serde_json::from_str::<Value>(text.as_str()))
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return None,
                }
            }
        })
        .await
    }

    /// Leaves with a Close, as a browser does.
    pub async fn close(mut self) {
        self.ws.close(None).await.ok();
        while let Some(Ok(_)) = self.ws.next().await {}
    }
}
