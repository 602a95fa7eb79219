//! What `wardroom serve` refuses to start with, and what it only announces: no usable default secret, key or wildcard exists,
//! so what is missing is named, all of it at once.

use std::{collections::HashSet, net::SocketAddr, path::Path};

use crate::{
    config::{
        Config,
        auth::{Defaults, QueryToken},
        files,
        finding::Finding,
        issuers,
        listen::ProxyProtocol,
        log::LogEngine,
        tls::TlsMode,
    },
    domain::{origin::Origin, room_name::RoomId},
};

/// The two lists of a check.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// The program does not start.
    pub(super) refused: Vec<Finding>,
    /// Announced at every start.
    pub(super) warned: Vec<Finding>,
}

impl Report {
    pub(super) fn refuse(&mut self, key: impl Into<String>, text: impl Into<String>) {
        self.refused.push(Finding::new(key, text));
    }

    pub(super) fn warn(&mut self, key: impl Into<String>, text: impl Into<String>) {
        self.warned.push(Finding::new(key, text));
    }

    /// A file that must be given and good.
    pub(super) fn file(
        &mut self,
        key: impl Into<String>,
        path: &Path,
        look: impl FnOnce(&Path) -> Result<(), String>,
    ) {
        if path.as_os_str().is_empty() {
            self.refuse(key, "must name a file");
        } else if let Err(what) = look(path) {
            self.refuse(key, what);
        }
    }

    /// A file with a secret: as above, and a word if another user lets everybody read it.
    pub(super) fn secret_file<T>(
        &mut self,
        key: &str,
        path: &Path,
        look: impl FnOnce(&Path) -> Result<files::Usable<T>, String>,
    ) {
        let mut warning = None;
        self.file(key, path, |path| {
            look(path).map(|usable| warning = usable.warning)
        });
        if let Some(text) = warning {
            self.warn(key, text);
        }
    }
}

/// Looks at a configuration as `serve` would use it, its files included.
pub(super) fn check(config: &Config) -> Report {
    let mut report = values(config);
    report.certificate(config);
    report.pages_that_may_connect(config);
    issuers::check(&config.auth, &mut report);
    report.announcements(config);
    report
}

/// What is wrong wherever it is used, in `dev` too.
pub(super) fn values(config: &Config) -> Report {
    let mut report = Report::default();
    report.listeners(config);
    report.origins(config);
    report.rights(&config.auth.defaults);
    report.claims(config);
    report.rooms(config);
    report.page(config);
    report
}

impl Report {
    fn listeners(&mut self, config: &Config) {
        let listen = &config.listen;
        if !listen.admin.ip().is_loopback() {
            self.warn(
                "listen.admin",
                format!(
                    "{} is not loopback: whoever reaches it can read metrics and probes, without a credential or TLS",
                    listen.admin
                ),
            );
        }
        if listen
            .trusted_proxies
            .iter()
            .any(|net| net.prefix_len() == 0)
        {
            self.warn(
                "listen.trusted_proxies",
                "holds a network of everybody: each client then chooses the address that limits count",
            );
        }
        if listen.proxy_protocol == ProxyProtocol::Required && listen.trusted_proxies.is_empty() {
            self.refuse(
                "listen.trusted_proxies",
                "is empty while listen.proxy_protocol is \"required\": nobody could connect",
            );
        }
        let name = &listen.client_ip_header;
        let token = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || !name.bytes().all(token) {
            self.refuse(
                "listen.client_ip_header",
                "must be the name of one header in lower case, as x-forwarded-for",
            );
        }
        if !listen.security_txt_file.as_os_str().is_empty() {
            self.file(
                "listen.security_txt_file",
                &listen.security_txt_file,
                files::security_txt,
            );
        }
    }

    fn certificate(&mut self, config: &Config) {
        let tls = &config.tls;
        match tls.mode {
            TlsMode::Files => {
                self.file("tls.cert_file", &tls.cert_file, files::certificates);
                self.secret_file("tls.key_file", &tls.key_file, files::private_key);
            }
            TlsMode::Off => self.plaintext(config.listen.public, tls.allow_plaintext),
        }
    }

    fn plaintext(&mut self, public: SocketAddr, allowed: bool) {
        if public.ip().is_loopback() {
            self.warn(
                "tls.mode",
                "TLS is off: a proxy on this machine must speak it",
            );
        } else if allowed {
            self.warn(
                "tls.allow_plaintext",
                format!(
                    "{public} speaks plain HTTP: tokens and messages cross that network readable"
                ),
            );
        } else {
            self.refuse(
                "tls.mode",
                format!(
                    "\"off\" is refused on {public}, which is not loopback; if the network up to the proxy is trusted, say so \
                     with tls.allow_plaintext = true"
                ),
            );
        }
    }

    fn pages_that_may_connect(&mut self, config: &Config) {
        let key = "admission.allowed_origins";
        if !config.admission.allowed_origins.is_empty() {
            return;
        }
        if config.page.enabled {
            self.refuse(
                key,
                "is empty while the page is enabled, so that not even the page could connect: name its origin, as \
                 https://chat.example",
            );
        } else {
            self.warn(key, "is empty: no browser can connect");
        }
    }

    fn origins(&mut self, config: &Config) {
        let key = "admission.allowed_origins";
        for written in &config.admission.allowed_origins {
            match Origin::parse(written) {
                Err(error) => self.refuse(key, format!("{written:?} is none: {error}")),
                Ok(origin) if origin.as_str() == "null" => self.warn(
                    key,
                    "admits \"null\": sandboxed frames and local files of anybody",
                ),
                Ok(_) => {}
            }
        }
    }

    fn rights(&mut self, defaults: &Defaults) {
        const SCOPES: [&str; 6] = [
            "chat",
            "chat:read",
            "chat:send",
            "chat:publish",
            "chat:moderate",
            "chat:admin",
        ];
        for scope in &defaults.scopes {
            if !SCOPES.contains(&scope.as_str()) {
                self.refuse(
                    "auth.defaults.scopes",
                    format!("{scope:?} is none of {}", SCOPES.join(", ")),
                );
            } else if matches!(scope.as_str(), "chat:moderate" | "chat:admin") {
                self.warn(
                    "auth.defaults.scopes",
                    format!("gives {scope} to everybody whose token has no scope"),
                );
            }
        }
        for room in &defaults.rooms {
            if !is_room_pattern(room) {
                self.refuse(
                    "auth.defaults.rooms",
                    format!("{room:?} is neither a room's name nor a prefix that ends in *"),
                );
            }
        }
    }

    fn claims(&mut self, config: &Config) {
        let claims = &config.auth.claims;
        for (key, path) in [
            ("auth.claims.nickname", &claims.nickname),
            ("auth.claims.rooms", &claims.rooms),
            ("auth.claims.scope", &claims.scope),
        ] {
            if path.is_empty() || path.len() > 256 {
                self.refuse(key, "must name a claim, in 1 to 256 bytes");
            }
        }
        if config.nicknames.reserved.iter().any(String::is_empty) {
            self.refuse("nicknames.reserved", "holds an empty name");
        }
    }

    fn rooms(&mut self, config: &Config) {
        let mut seen = HashSet::new();
        for (index, room) in config.rooms.iter().enumerate() {
            let key = format!("rooms[{index}].name");
            if !is_room_pattern(&room.name) {
                self.refuse(
                    key,
                    format!(
                        "{:?} is neither a room's name nor a prefix that ends in *",
                        room.name
                    ),
                );
            } else if !seen.insert(&room.name) {
                self.refuse(key, format!("{} has an entry already", room.name));
            }
        }
    }

    fn page(&mut self, config: &Config) {
        let page = &config.page;
        let letters = page.title.chars().count();
        if !(1..=100).contains(&letters) || page.title.chars().any(char::is_control) {
            self.refuse(
                "page.title",
                "must be 1 to 100 characters, none of them a control character",
            );
        }
        for written in &page.frame_ancestors {
            if !Origin::parse(written).is_ok_and(|origin| origin.as_str() != "null") {
                self.refuse(
                    "page.frame_ancestors",
                    format!("{written:?} is no origin: write scheme://host or scheme://host:port"),
                );
            }
        }
    }

    fn announcements(&mut self, config: &Config) {
        if config.auth.query_token == QueryToken::On {
            self.warn(
                "auth.query_token",
                "is \"on\": tokens of any life in ?token= end up in the logs of proxies; tickets do not",
            );
        }
        let drain = &config.drain;
        if drain.delay + drain.spread > drain.grace {
            self.warn(
                "drain.grace_s",
                "is less than drain.delay_s and drain.spread_s together: the last sessions are cut, not asked",
            );
        }
        if config.log.engine == LogEngine::Memory {
            self.warn(
                "log.engine",
                "is \"memory\": a restart forgets every message, and whoever was away finds the room begun anew",
            );
        }
    }
}

/// A room's name, or a prefix of one and a final `*`.
fn is_room_pattern(pattern: &str) -> bool {
    let name = pattern.strip_suffix('*').unwrap_or(pattern);
    // The bound of a name is a limit of its own; 128 bytes is the most that it can be.
    (name.is_empty() && pattern == "*") || RoomId::parse(name, 128).is_ok()
}
