//! A frame, encoded once and shared by everybody who gets it.

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// One text frame's payload. Cloning shares the bytes; UTF-8 was checked once, when it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame(Utf8Bytes);

impl Frame {
    /// Encodes a server frame.
    pub fn encode<T: Serialize>(frame: &T) -> Self {
        Self::from(
            serde_json::to_string(frame).expect("frames are plain data: maps with string keys"),
        )
    }

    /// The payload.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Payload bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the payload is empty.
    pub fn is_empty(&self) -> bool {
        self.0.len() == 0
    }

    /// The payload for the socket, without a copy.
    pub fn into_utf8(self) -> Utf8Bytes {
        self.0
    }

    /// The payload as JSON that goes into another frame as it is.
    pub fn raw(&self) -> &RawValue {
        serde_json::from_str(self.as_str()).expect("a frame is one JSON object")
    }

    /// The payload as bytes, without a copy.
    pub fn bytes(&self) -> Bytes {
        Bytes::from(self.0.clone())
    }
}

impl From<String> for Frame {
    fn from(text: String) -> Self {
        Self(Utf8Bytes::from(text))
    }
}
