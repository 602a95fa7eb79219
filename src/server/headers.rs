//! The headers that every public answer carries: what a page of ours may do, and that nothing dynamic is kept.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::config::{Config, tls::TlsMode};

/// The headers, made once at start.
#[derive(Clone, Debug)]
pub(super) struct SecurityHeaders(Vec<(HeaderName, HeaderValue)>);

impl SecurityHeaders {
    /// Builds them for a configuration. `hsts` is off in `dev`: it would pin `localhost` for every other project.
    pub(super) fn new(config: &Config, hsts: bool) -> Self {
        let ancestors = if config.page.frame_ancestors.is_empty() {
            "'none'".to_owned()
        } else {
            config.page.frame_ancestors.join(" ")
        };
        let issuer = if config.page.issuer.is_empty() {
            String::new()
        } else {
            format!(" {}", config.page.issuer)
        };
        let policy = format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'{issuer}; \
             manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors {ancestors}; \
             require-trusted-types-for 'script'; trusted-types 'none'"
        );
        let mut all = vec![
            (
                header::X_CONTENT_TYPE_OPTIONS,
                HeaderValue::from_static("nosniff"),
            ),
            (
                header::REFERRER_POLICY,
                HeaderValue::from_static("no-referrer"),
            ),
            (
                HeaderName::from_static("cross-origin-opener-policy"),
                HeaderValue::from_static("same-origin"),
            ),
            (
                HeaderName::from_static("cross-origin-resource-policy"),
                HeaderValue::from_static("same-origin"),
            ),
            (
                HeaderName::from_static("permissions-policy"),
                HeaderValue::from_static(
                    "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
                ),
            ),
        ];
        if let Ok(policy) = HeaderValue::from_str(&policy) {
            all.push((header::CONTENT_SECURITY_POLICY, policy));
        }
        if hsts && config.tls.mode == TlsMode::Files {
            all.push((
                header::STRICT_TRANSPORT_SECURITY,
                HeaderValue::from_static("max-age=63072000"),
            ));
        }
        Self(all)
    }

    /// Adds them; what a handler said about caching stays.
    pub(super) fn apply(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.0 {
            headers.insert(name.clone(), value.clone());
        }
        headers
            .entry(header::CACHE_CONTROL)
            .or_insert(HeaderValue::from_static("no-store"));
    }
}
