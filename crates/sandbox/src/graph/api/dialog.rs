//! The login dialog at Facebook: a page on which a person grants or declines, and the way back with a code.
//! Source: Meta: manual login flow; Facebook Login for Business.

use super::Call;
use crate::graph::{
    Shared,
    console::Consent,
    faults::{Fault, Place},
    world::{App, Code, SCOPES, Token, World},
};
use axum::{
    http::{StatusCode, header},
    response::{Html, IntoResponse as _, Response},
};
use std::{collections::BTreeSet, fmt::Write as _, sync::Arc};
use url::Url;

/// How long the token of a login with a configuration lives (60 days), and of one without (2 hours), in milliseconds.
const CONFIGURED: i64 = 60 * 24 * 60 * 60 * 1000;
const CLASSIC: i64 = 2 * 60 * 60 * 1000;

/// What the browser asked for, checked as Facebook checks it before it shows anything.
struct Asked {
    app_id: Arc<str>,
    back: Url,
    redirect_uri: String,
    state: String,
    configured: bool,
}

/// A page that does not lead back, as Facebook shows it; title and text.
type Stopped = (&'static str, String);

fn asked(world: &World, value: impl Fn(&str) -> Option<String>) -> Result<Asked, Stopped> {
    let client_id = value("client_id").unwrap_or_default();
    let app: &App = world.apps.get(client_id.as_str()).ok_or((
        "Invalid App ID",
        "The provided app ID does not look like a valid app ID.".to_owned(),
    ))?;
    let redirect_uri = value("redirect_uri").unwrap_or_default();
    let listed = app
        .redirect_uris
        .as_ref()
        .is_none_or(|listed| listed.contains(&redirect_uri));
    let back = Url::parse(&redirect_uri).ok().filter(|_| listed).ok_or((
        "URL Blocked",
        "This redirect failed because the redirect URI is not whitelisted in the app's Client OAuth Settings. \
         Make sure Client and Web OAuth Login are on and add all your app domains as Valid OAuth Redirect URIs."
            .to_owned(),
    ))?;
    if !app.live {
        return Err((
            "App not active",
            "This app is not currently accessible and the app developer is aware of the issue. You will be able to \
             log in when the app is reactivated."
                .to_owned(),
        ));
    }
    Ok(Asked {
        app_id: Arc::clone(&app.id),
        back,
        redirect_uri,
        state: value("state").unwrap_or_default(),
        configured: value("config_id").is_some(),
    })
}

/// `GET /dialog/oauth`: the page, unless a fault declines at once.
pub(super) fn show(shared: &Shared, call: &Call) -> Response {
    let world = shared.world();
    let asked = match asked(&world, |name| call.query.get(name).cloned()) {
        Ok(asked) => asked,
        Err(stopped) => return stop(&stopped),
    };
    if shared
        .faults
        .strike(Fault::LoginDenied, &Place::default())
        .is_some()
    {
        return to(&denied(asked));
    }
    page(&world, &asked, call)
}

/// `POST /dialog/answer`: a button of the page.
pub(super) fn answer(shared: &Shared, call: &Call) -> Response {
    let text = |name: &str| call.body[name].as_str().map(str::to_owned);
    let ticked = |prefix: &str| -> Vec<String> {
        call.body
            .as_object()
            .into_iter()
            .flat_map(|body| body.keys())
            .filter_map(|name| name.strip_prefix(prefix).map(str::to_owned))
            .collect()
    };
    let consent = match text("choice").as_deref() {
        Some("deny") => Consent::Deny,
        Some("used_code") => Consent::UsedCode,
        Some("other_app") => Consent::OtherApp,
        Some("other_redirect") => Consent::OtherRedirect,
        _ => Consent::Grant {
            accounts: ticked("account_"),
            scopes: ticked("scope_"),
        },
    };
    match consented(&mut shared.world(), text, consent) {
        Ok(back) => to(&back),
        Err(stopped) => stop(&stopped),
    }
}

/// Where the browser goes after an answer; `value` gives the dialog's own parameters.
pub(in crate::graph) fn consented(
    world: &mut World,
    value: impl Fn(&str) -> Option<String>,
    consent: Consent,
) -> Result<Url, Stopped> {
    let asked = asked(world, value)?;
    let mut code = Code {
        app_id: Arc::clone(&asked.app_id),
        redirect_uri: Some(asked.redirect_uri.clone()),
        used: false,
        token: Token {
            kind: if asked.configured {
                "SYSTEM_USER"
            } else {
                "USER"
            }
            .to_owned(),
            expires_at: Some(
                world.clock.now()
                    + if asked.configured {
                        CONFIGURED
                    } else {
                        CLASSIC
                    },
            ),
            ..Token::new(Arc::clone(&asked.app_id))
        },
    };
    match consent {
        Consent::Deny => return Ok(denied(asked)),
        Consent::Grant { accounts, scopes } => {
            code.token.accounts = Some(accounts.into_iter().collect());
            code.token.scopes = scopes.into_iter().collect::<BTreeSet<_>>();
        }
        Consent::UsedCode => code.used = true,
        Consent::OtherRedirect => code.redirect_uri = Some(format!("{}other", asked.redirect_uri)),
        Consent::OtherApp => code.token.app_id = "999900000000009".into(),
    }
    let value = world.new_secret();
    world.codes.insert(value.clone(), code);
    let mut back = asked.back;
    back.query_pairs_mut()
        .append_pair("code", &value)
        .append_pair("state", &asked.state);
    // Facebook leaves this mark behind.
    back.set_fragment(Some("_=_"));
    Ok(back)
}

fn denied(asked: Asked) -> Url {
    let mut back = asked.back;
    back.query_pairs_mut()
        .append_pair("error", "access_denied")
        .append_pair("error_code", "200")
        .append_pair("error_reason", "user_denied")
        .append_pair("error_description", "Permissions error")
        .append_pair("state", &asked.state);
    back
}

fn to(address: &Url) -> Response {
    let location = address.to_string();
    (StatusCode::FOUND, [(header::LOCATION, location)]).into_response()
}

fn stop((title, text): &Stopped) -> Response {
    let main = format!("<h1>{}</h1><p>{}</p>", escaped(title), escaped(text));
    (StatusCode::BAD_REQUEST, document(title, &main)).into_response()
}

fn page(world: &World, asked: &Asked, call: &Call) -> Response {
    let app = world
        .apps
        .get(&asked.app_id)
        .map_or("", |app| app.name.as_str());
    let mut form = format!(
        "<h1>{app} wants to access your WhatsApp accounts</h1>\
         <p class=\"hint\">A stand-in for the login at Facebook. Nothing leaves this machine.</p>\
         <form method=\"post\" action=\"/dialog/answer\">",
        app = escaped(app)
    );
    // Writing to a String cannot fail.
    for name in ["client_id", "redirect_uri", "state", "config_id"] {
        if let Some(value) = call.query.get(name) {
            let value = escaped(value);
            let _ = write!(
                form,
                "<input type=\"hidden\" name=\"{name}\" value=\"{value}\">"
            );
        }
    }
    form.push_str("<fieldset><legend>Accounts</legend>");
    for account in world.accounts.values() {
        let _ = write!(
            form,
            "<label class=\"switch\"><input type=\"checkbox\" name=\"account_{id}\" checked> {name} ({id})</label><br>",
            id = escaped(&account.id),
            name = escaped(&account.name)
        );
    }
    form.push_str("</fieldset><fieldset><legend>Permissions</legend>");
    for scope in SCOPES {
        let _ = write!(
            form,
            "<label class=\"switch\"><input type=\"checkbox\" name=\"scope_{scope}\" checked> {scope}</label><br>"
        );
    }
    form.push_str("</fieldset><p class=\"buttons\">");
    for (choice, label, class) in [
        ("grant", "Continue", "send"),
        ("deny", "Not now", "quiet"),
        ("used_code", "Come back with a used code", "quiet"),
        (
            "other_redirect",
            "Come back with another redirect address",
            "quiet",
        ),
        (
            "other_app",
            "Come back with a token of another app",
            "quiet",
        ),
    ] {
        let _ = write!(
            form,
            "<button type=\"submit\" name=\"choice\" value=\"{choice}\" class=\"{class}\">{label}</button> "
        );
    }
    form.push_str("</p></form>");
    document("Log in at Facebook (sandbox)", &form).into_response()
}

fn document(title: &str, main: &str) -> Html<String> {
    let title = escaped(title);
    Html(format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{title}</title>\
         <link rel=\"stylesheet\" href=\"/page.css\"></head>\
         <body class=\"login\"><main>{main}</main></body></html>"
    ))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
