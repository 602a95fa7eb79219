//! The real gateway on port 0 with real TLS, and the people who meet it. They speak the wire from their own code, not ours.

pub mod client;
pub mod gateway;
pub mod http;
pub mod identity;
pub mod liar;
pub mod program;
pub mod provider_server;
pub mod quiet;

use std::time::Duration;

/// How long a test waits for something that must happen.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Polls a condition until it holds or the deadline passes; then it says what it saw last.
pub async fn eventually<T: std::fmt::Debug>(
    what: &str,
    mut look: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let seen = match look().await {
            Ok(value) => return value,
            Err(seen) => seen,
        };
        assert!(
            tokio::time::Instant::now() < deadline,
            "{what} did not happen; seen last: {seen}"
        );
        tokio::time::sleep_until(tokio::time::Instant::now() + Duration::from_millis(10)).await;
    }
}

/// Waits for a future, or fails with what was waited for.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("waited in vain for {what}"))
}
