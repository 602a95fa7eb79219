//! The page and the client library, embedded in the binary. What a browser may keep is known by the hash of its content.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, Response, StatusCode, header},
    response::IntoResponse,
};
use serde::Serialize;

use super::{etag, problem::Problem, state::Shared};
use crate::config::page::Page;

/// A file of `static/`.
struct Asset {
    path: &'static str,
    content: &'static [u8],
}

macro_rules! assets {
    ($($path:literal),* $(,)?) => {
        &[$(Asset { path: $path, content: include_bytes!(concat!("../../static/", $path)) }),*]
    };
}

/// Every file of `static/` but the index; `tests/architecture.rs` finds one that was forgotten.
const ASSETS: &[Asset] = assets![
    "favicon.svg",
    "manifest.webmanifest",
    "page/avatar.js",
    "page/chat.js",
    "page/clock.js",
    "page/composer.js",
    "page/connection.js",
    "page/credential.js",
    "page/dom.js",
    "page/drawers.js",
    "page/links.js",
    "page/log.js",
    "page/main.js",
    "page/message.js",
    "page/room_list.js",
    "page/room_view.js",
    "page/roster.js",
    "page/session.js",
    "page/sign_in.js",
    "page/theme.js",
    "page/words.js",
    "wardroom.css",
    "wardroom.js",
    "wardroom/backoff.js",
    "wardroom/client.js",
    "wardroom/close.js",
    "wardroom/cursor.js",
    "wardroom/dispatch.js",
    "wardroom/emitter.js",
    "wardroom/error.js",
    "wardroom/link.js",
    "wardroom/members.js",
    "wardroom/outbox.js",
    "wardroom/room.js",
    "wardroom/store.js",
    "wardroom/ticker.js",
    "wardroom/ticket.js",
    "wardroom/wake.js",
];

const INDEX: Asset = Asset {
    path: "index.html",
    content: include_bytes!("../../static/index.html"),
};

/// What the page is told about its gateway, and the validators of the files.
pub(super) struct PageSettings {
    json: PageJson,
    index_etag: HeaderValue,
    etags: Vec<HeaderValue>,
}

#[derive(Clone, Serialize)]
struct PageJson {
    title: String,
    development: bool,
    default_room: String,
    sign_in: SignIn,
}

#[derive(Clone, Serialize)]
struct SignIn {
    issuer: String,
    client_id: String,
    scope: String,
    resource: String,
}

impl PageSettings {
    pub(super) fn new(page: &Page, development: bool, default_room: &str) -> Self {
        Self {
            json: PageJson {
                title: page.title.clone(),
                development,
                default_room: default_room.to_owned(),
                sign_in: SignIn {
                    issuer: page.issuer.clone(),
                    client_id: page.client_id.clone(),
                    scope: page.scope.clone(),
                    resource: page.resource.clone(),
                },
            },
            index_etag: etag::of(INDEX.content),
            etags: ASSETS.iter().map(|asset| etag::of(asset.content)).collect(),
        }
    }
}

/// `GET /`.
pub(super) async fn index(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    if !shared.config.page.enabled {
        return Err(Problem::not_found());
    }
    Ok(answer(&INDEX, &shared.page.index_etag, &headers))
}

/// `GET /assets/*`. Nothing there is private, so any page may load it; it is revalidated by its hash at each use.
pub(super) async fn asset(
    State(shared): State<Arc<Shared>>,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    let found = ASSETS
        .iter()
        .zip(&shared.page.etags)
        .find(|(asset, _)| asset.path == path);
    let (asset, etag) = found.ok_or_else(Problem::not_found)?;
    let mut response = answer(asset, etag, &headers);
    response.headers_mut().insert(
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        HeaderValue::from_static("*"),
    );
    Ok(response)
}

/// `GET /api/v1/page.json`.
pub(super) async fn settings(State(shared): State<Arc<Shared>>) -> Result<Response<Body>, Problem> {
    if !shared.config.page.enabled {
        return Err(Problem::not_found());
    }
    Ok(Json(shared.page.json.clone()).into_response())
}

fn answer(asset: &Asset, etag: &HeaderValue, headers: &HeaderMap) -> Response<Body> {
    let known = etag::is_known(etag, headers);
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Response::new(Body::from(asset.content))
    };
    let out = response.headers_mut();
    out.insert(header::ETAG, etag.clone());
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if !known {
        out.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(content_type(asset.path)),
        );
    }
    response
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("webmanifest") => "application/manifest+json; charset=utf-8",
        _ => "application/octet-stream",
    }
}
