//! The page for people at `/`, and `/metrics` for Prometheus: over plain HTTP, on loopback unless the owner says
//! otherwise, for whoever knows the token.
//!
//! No script, no picture, nothing from outside; what comes from routers is escaped. Whoever wants it elsewhere puts
//! a web server with TLS before it.

mod door;
mod gather;
mod html;
mod metrics;
mod session;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Form, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use log::{info, warn};
use serde::Deserialize;
use tokio::net::TcpListener;

use crate::config;
use crate::error::Error;
use crate::hub::Hub;
use crate::revoke;
use door::Door;
use session::Sessions;

/// Nobody has more to say.
const BODY_MAX: usize = 4096;

/// What every answer says to browsers.
const HEADERS: [(header::HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::CACHE_CONTROL, "no-store"),
];

struct Page {
    hub: Arc<Hub>,
    sessions: Sessions,
    /// One reading of the buckets at a time.
    reading: tokio::sync::Mutex<()>,
}

type Shared = State<Arc<Page>>;

/// Serves it for ever; without a token there is none.
///
/// # Errors
/// The token cannot be read, or nobody can listen there.
pub async fn start(hub: Arc<Hub>) -> Result<(), String> {
    let Some(file) = &hub.config.page.token_file else { return Ok(()) };
    let sessions = Sessions::new(config::secret(file)?)?;
    let listen = &hub.config.page.listen;
    let listener = TcpListener::bind(listen).await.map_err(|error| format!("[page] listen {listen}: {error}"))?;
    let shown = listener.local_addr().map_or_else(|_| listen.clone(), |address| address.to_string());
    info!("the page is at http://{shown}/");
    let door = Door::new(listener, hub.clone());
    let page = Arc::new(Page { hub, sessions, reading: tokio::sync::Mutex::default() });
    let routes = Router::new()
        .route("/", get(overview))
        .route("/login", post(login))
        .route("/revoke", get(ask_to_revoke).post(do_revoke))
        .route("/metrics", get(numbers))
        .route("/style.css", get(style))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(from_fn(headers))
        .with_state(page);
    tokio::spawn(async move {
        if let Err(error) = axum::serve(door, routes).await {
            warn!("the page is gone: {error}");
        }
    });
    Ok(())
}

async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css")], html::STYLE)
}

#[derive(Deserialize)]
struct Asked {
    address: Option<String>,
}

async fn overview(State(page): Shared, headers: HeaderMap, Query(asked): Query<Asked>) -> Response {
    if page.sessions.of(&headers).is_none() {
        return Html(html::login(false)).into_response();
    }
    let _one = page.reading.lock().await;
    let address = asked.address.as_deref().map(str::trim).filter(|address| !address.is_empty());
    match gather::gather(&page.hub, address).await {
        Ok(gathered) => Html(html::overview(&gathered)).into_response(),
        Err(error) => failed(&error),
    }
}

fn failed(error: &Error) -> Response {
    let status =
        if matches!(error, Error::Refused(_)) { StatusCode::BAD_REQUEST } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Html(html::message(&error.to_string()))).into_response()
}

#[derive(Deserialize)]
struct Login {
    token: String,
}

async fn login(State(page): Shared, Form(login): Form<Login>) -> Response {
    match page.sessions.open(&login.token).await {
        Some(cookie) => ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response(),
        None => (StatusCode::FORBIDDEN, Html(html::login(true))).into_response(),
    }
}

#[derive(Deserialize)]
struct Revoke {
    login: String,
    #[serde(default)]
    form: String,
}

async fn ask_to_revoke(State(page): Shared, headers: HeaderMap, Query(asked): Query<Revoke>) -> Response {
    match page.sessions.of(&headers) {
        Some(form) => Html(html::ask_to_revoke(&asked.login, &form)).into_response(),
        None => Redirect::to("/").into_response(),
    }
}

async fn do_revoke(State(page): Shared, headers: HeaderMap, Form(asked): Form<Revoke>) -> Response {
    // What another site made a browser send has no form's word.
    if page.sessions.of(&headers).is_none_or(|form| form != asked.form) {
        return (StatusCode::FORBIDDEN, Html(html::login(false))).into_response();
    }
    let hub = &page.hub;
    match revoke::unheard(&hub.store, &asked.login).await {
        Ok(None) => {}
        Ok(Some(told)) => return (StatusCode::NOT_FOUND, Html(html::message(&told))).into_response(),
        Err(error) => return failed(&error),
    }
    match revoke::revoke(&hub.store, &hub.config.trust, &asked.login, hub.clock.now()).await {
        Ok(done) => {
            info!("{} is revoked by the page", asked.login);
            Html(html::revoked(&asked.login, done)).into_response()
        }
        Err(error) => failed(&error),
    }
}

async fn numbers(State(page): Shared, headers: HeaderMap) -> Response {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let known = match bearer.and_then(|value| value.strip_prefix("Bearer ")) {
        Some(token) => page.sessions.knows(token).await,
        None => page.sessions.of(&headers).is_some(),
    };
    if !known {
        return (StatusCode::UNAUTHORIZED, "give the token as Authorization: Bearer TOKEN\n").into_response();
    }
    match metrics::text(&page.hub).await {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::TYPE)], text).into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}
