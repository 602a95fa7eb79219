//! The edge: sockets, TLS, HTTP, the upgrade, the drain. A connection enters here and, once it has been let in, becomes a
//! session. The only place that names axum, hyper, tower and rustls.

mod admin;
mod answer_timer;
mod api;
pub mod certificate_time;
mod cors;
mod credential;
mod dev;
mod drain;
mod edge;
mod etag;
mod fetch;
mod frame_walker;
mod gateway;
mod guarded_stream;
mod head_watch;
mod headers;
mod page;
mod precheck;
mod problem;
mod proxy_header;
mod query;
mod refusal;
mod request;
mod router;
mod state;
mod tls;
mod upgrade;
mod ws_socket;

pub use self::{
    drain::{Drained, Stop},
    gateway::{Gateway, Mode, Remedy, ServeError, StartError},
    tls::{TlsError, try_pair},
};
