//! Bitrix24's other doors: the forms that open our pages in a frame (Bitrix24: widgets, installation master).
//!
//! A form is verified with Bitrix24 before anything is stored or shown ([`crate::portal::frame`]). What is answered is the web
//! application's page with a token in it; no cookie, because browsers keep cookies of others from frames. What is refused
//! is answered with a page that says why and what to do; it holds nothing else and needs no script.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use bitrix24::{Class, events::PagePost};
use serde_json::json;
use url::Url;

use super::{bitrix, consent, origin, read_body};
use crate::{
    app::App,
    pages,
    portal::{
        InstallError,
        frame::{self, Door, FrameError, Opened},
    },
    translate::message::Language,
    users,
};

/// `GET` and `HEAD` of the doors: probes of the form in which an address is entered, and browsers that come back from the
/// authorization page, which Bitrix24 sends to the handler path.
pub async fn probe(uri: Uri) -> Response {
    consent::forwarded(&uri).unwrap_or_else(|| "This page is opened by Bitrix24.".into_response())
}

/// `POST /app-install/`: the installation page.
pub async fn install(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    open(&app, peer, request, Door::Install).await
}

/// `POST /app-settings/`: the application's page.
pub async fn application(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    open(&app, peer, request, Door::Application).await
}

/// `POST /placement/`: the connector's settings and every other place.
pub async fn placement(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    open(&app, peer, request, Door::Placement).await
}

async fn open(app: &Arc<App>, peer: SocketAddr, request: Request, door: Door) -> Response {
    let (head, body) = request.into_parts();
    let body = match read_body(body).await {
        Ok(body) => body,
        Err(status) => return status.into_response(),
    };
    let query = head.uri.query().unwrap_or_default();
    // The install event may be entered with this address too.
    if bitrix24::events::Event::parse(&body).is_ok() {
        let request = Request::from_parts(head, body.into());
        return bitrix::event_at(app, peer, request).await;
    }
    let Ok(page) = PagePost::parse(query, &body) else {
        app.metrics.count("doors_refused", "not_understood");
        return refusal(&Refusal::not_understood(), Language::English, None);
    };
    let site = origin::domain(&head.headers, peer, &app.settings)
        .and_then(|domain| Some(app.directory.snapshot().site_on(&domain)?.id));
    match frame::open(app, &page, door, site).await {
        Ok(opened) => {
            app.metrics.count("doors_accepted", "frame");
            shown(app, opened)
        }
        Err(error) => {
            tracing::warn!(%error, member_id = page.member_id, ?door, "a page was not opened");
            app.metrics.count("doors_refused", "frame");
            let language = Language::from_code(page.language.as_deref().unwrap_or_default());
            refusal(
                &Refusal::of(&error, language),
                language,
                named_origin(&page).as_ref(),
            )
        }
    }
}

/// The web application's page with who is looking and where.
fn shown(app: &App, opened: Opened) -> Response {
    let token = users::frame::issue(&app.sealer, opened.person, app.clock.now());
    let frame = json!({
        "token": token.expose(),
        "place": opened.place,
        "options": opened.options,
    });
    pages::in_frame(&frame, &opened.origin)
}

/// The origin that a refused form names: its page may be shown there, since it holds nothing.
fn named_origin(page: &PagePost) -> Option<Url> {
    page.client_endpoint()
}

/// Why a page is not shown, for the person in front of it.
struct Refusal {
    status: StatusCode,
    title: String,
    fix: String,
}

impl Refusal {
    fn new(status: StatusCode, title: impl Into<String>, fix: &str) -> Self {
        Self {
            status,
            title: title.into(),
            fix: fix.to_owned(),
        }
    }

    fn not_understood() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "This is not a form of Bitrix24.",
            "Open the page from inside Bitrix24.",
        )
    }

    fn of(error: &FrameError, language: Language) -> Self {
        match language {
            Language::English => Self::in_english(error),
            Language::Russian => Self::in_russian(error),
        }
    }

    fn in_english(error: &FrameError) -> Self {
        match error {
            FrameError::NotEntered(client_id) => Self::new(
                StatusCode::CONFLICT,
                format!("The application {client_id} is not entered in Separator yet."),
                "Enter this Client id and the Client secret there (Bitrix24, Applications), then open this page again.",
            ),
            FrameError::NotConnected => Self::new(
                StatusCode::FORBIDDEN,
                "The application is not connected on this portal yet.",
                "Ask an administrator of the portal to open it once.",
            ),
            FrameError::OtherToken => Self::new(
                StatusCode::UNAUTHORIZED,
                "This portal's application token is not the one that Separator knows.",
                "Save the application's form on the portal again; its installation tells Separator the new one.",
            ),
            FrameError::Install(InstallError::NotAdministrator) => Self::new(
                StatusCode::FORBIDDEN,
                "Only an administrator of the portal can install the application.",
                "Ask an administrator to open it. Nothing was installed.",
            ),
            FrameError::Install(error) if error.is_temporary() => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "Bitrix24 does not answer at the moment, so it cannot be verified who opened this page.",
                "Try again in a minute.",
            ),
            FrameError::Install(InstallError::Portal(error)) if error.class() != Class::Refresh => {
                Self::new(
                    StatusCode::BAD_GATEWAY,
                    format!("The portal refused to say who opened this page: {error}"),
                    "If the plan of the portal has ended, renew it; then open this page again.",
                )
            }
            FrameError::Install(error) => Self::new(
                StatusCode::UNAUTHORIZED,
                format!("This page could not be verified: {error}."),
                "Close it and open it again from inside Bitrix24.",
            ),
        }
    }

    fn in_russian(error: &FrameError) -> Self {
        match error {
            FrameError::NotEntered(client_id) => Self::new(
                StatusCode::CONFLICT,
                format!("Приложение {client_id} ещё не внесено в Separator."),
                "Внесите там этот Client id и Client secret (Bitrix24, Приложения) и откройте эту страницу снова.",
            ),
            FrameError::NotConnected => Self::new(
                StatusCode::FORBIDDEN,
                "Приложение на этом портале ещё не подключено.",
                "Попросите администратора портала открыть его один раз.",
            ),
            FrameError::OtherToken => Self::new(
                StatusCode::UNAUTHORIZED,
                "Токен приложения этого портала не тот, который известен Separator.",
                "Сохраните форму приложения на портале ещё раз: при установке Separator узнает новый.",
            ),
            FrameError::Install(InstallError::NotAdministrator) => Self::new(
                StatusCode::FORBIDDEN,
                "Установить приложение может только администратор портала.",
                "Попросите администратора открыть его. Ничего не установлено.",
            ),
            FrameError::Install(error) if error.is_temporary() => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "Bitrix24 сейчас не отвечает, и нельзя проверить, кто открыл эту страницу.",
                "Попробуйте ещё раз через минуту.",
            ),
            FrameError::Install(InstallError::Portal(error)) if error.class() != Class::Refresh => {
                Self::new(
                    StatusCode::BAD_GATEWAY,
                    format!("Портал не сказал, кто открыл эту страницу: {error}"),
                    "Если тариф портала закончился, продлите его и откройте эту страницу снова.",
                )
            }
            FrameError::Install(error) => Self::new(
                StatusCode::UNAUTHORIZED,
                format!("Страницу не удалось проверить: {error}."),
                "Закройте её и откройте снова из Bitrix24.",
            ),
        }
    }
}

/// A page of two sentences. It may stand in a frame of the portal that the form names and of no other.
fn refusal(refusal: &Refusal, language: Language, named: Option<&Url>) -> Response {
    let ancestors = named.map_or_else(
        || "'none'".to_owned(),
        |portal| portal.origin().ascii_serialization(),
    );
    let code = match language {
        Language::English => "en",
        Language::Russian => "ru",
    };
    let page = format!(
        "<!doctype html>\n<html lang=\"{code}\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Separator</title>\n\
         <h1>{}</h1>\n<p>{}</p>\n</html>\n",
        escaped(&refusal.title),
        escaped(&refusal.fix)
    );
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (
            header::CONTENT_SECURITY_POLICY,
            format!(
                "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors {ancestors}"
            ),
        ),
        (header::CACHE_CONTROL, "no-store".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    (refusal.status, headers, page).into_response()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
