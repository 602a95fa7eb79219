//! What operators see: logging with redaction and every metric, declared once.

pub mod metrics;
