//! What operators see: logging with redaction and every metric, declared once.

pub mod exposition;
pub mod histogram;
mod line;
pub mod log_safe;
pub mod logging;
pub mod metrics;
pub mod process;
