//! A site: whether its name leads here, from outside, with a good certificate and nothing lost on the way.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use reqwest::{Response, header::HeaderName, tls::TlsInfo};
use url::Url;
use uuid::Uuid;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{
    LOOK, door,
    installation::day,
    verdict::{About, Check, Group, Verdict, text},
};
use crate::{
    app::App,
    media,
    outgoing::{Forbidden, causes, read_limited},
    registry::Registry,
    time::Millis,
};

/// How long before its end a certificate should have been renewed.
const CERTIFICATE_WARNING: Duration = Duration::from_hours(24 * 14);

/// A callback of Meta's or Bitrix24's that came within this time proves that we are reached.
const FRESH: Duration = Duration::from_hours(1);

const GROUP: Group = Group::Site;

pub(super) const CHECKS: &[Check<Seen>] = &[
    Check {
        about: About::new(
            "dns",
            GROUP,
            "The name resolves to a public address",
            "Имя указывает на публичный адрес",
        ),
        judge: dns,
    },
    Check {
        about: About::new(
            "certificate",
            GROUP,
            "The certificate is valid",
            "Сертификат действителен",
        ),
        judge: certificate,
    },
    Check {
        about: About::new(
            "reachable",
            GROUP,
            "The address leads to this server",
            "Адрес ведёт на этот сервер",
        ),
        judge: reachable,
    },
    Check {
        about: About::new(
            "proxy_headers",
            GROUP,
            "The proxy passes on what it was asked",
            "Прокси передаёт всё, что нужно",
        ),
        judge: proxy_headers,
    },
    Check {
        about: About::new(
            "media_links",
            GROUP,
            "Files can be fetched from here",
            "Файлы можно скачать с этого адреса",
        ),
        judge: media_links,
    },
];

/// What was seen of a site.
pub(super) struct Seen {
    domain: String,
    base: String,
    addresses: Result<usize, NoAddress>,
    door: Result<Door, NoDoor>,
    /// The file that is there to be fetched: what came in its place.
    file: Result<(), String>,
    /// The installation's own id.
    own: String,
    heard_at: Option<Millis>,
    now: Millis,
}

/// Why a name leads nowhere.
#[derive(Debug, Clone)]
enum NoAddress {
    Unknown(String),
    NotPublic(String),
}

/// What answered under the site's name.
#[derive(Debug, Clone)]
struct Door {
    status: u16,
    installation: Option<String>,
    host: Option<String>,
    proxy: Option<String>,
    /// When the certificate ends; `None` where the address needs none.
    certificate_end: Option<Millis>,
}

/// Why nothing answered.
#[derive(Debug, Clone)]
enum NoDoor {
    /// The certificate was not accepted.
    Certificate(String),
    /// Everything else.
    Silent(String),
}

pub(super) async fn see(app: &Arc<App>, registry: &Registry, id: Uuid) -> Option<Seen> {
    let site = registry.sites.get(&id)?;
    let heard_at = app.doctor.proofs.heard(id);
    Some(Seen {
        heard_at,
        ..see_domain(app, &site.domain, &site.base_url()).await
    })
}

/// Looks at a domain that need not be entered as a site.
pub(super) async fn see_domain(app: &Arc<App>, domain: &str, base: &str) -> Seen {
    let (addresses, door, file) = tokio::join!(
        addresses_of(app, base),
        door_of(app, base),
        file_of(app, base)
    );
    Seen {
        domain: domain.to_owned(),
        base: base.to_owned(),
        addresses,
        door,
        file,
        own: app.doctor.installation().to_owned(),
        heard_at: None,
        now: app.clock.now(),
    }
}

async fn addresses_of(app: &App, base: &str) -> Result<usize, NoAddress> {
    let unknown = |why: &str| NoAddress::Unknown(why.to_owned());
    let url = Url::parse(base).map_err(|_| unknown("it is not a host name"))?;
    let host = url
        .host_str()
        .ok_or_else(|| unknown("it is not a host name"))?;
    let port = url.port_or_known_default().unwrap_or(443);
    let host = host.trim_matches(['[', ']']);
    let found = tokio::time::timeout(LOOK, tokio::net::lookup_host((host, port))).await;
    let found: Vec<SocketAddr> = match found {
        Ok(Ok(found)) => found.collect(),
        Ok(Err(error)) => return Err(NoAddress::Unknown(error.to_string())),
        Err(_) => return Err(unknown("the name server gave no answer")),
    };
    let public = found
        .iter()
        .filter(|address| app.outgoing.permits(address.ip()))
        .count();
    match (found.first(), public) {
        (None, _) => Err(unknown("there is no address for it")),
        (Some(first), 0) => Err(NoAddress::NotPublic(first.ip().to_string())),
        (Some(_), public) => Ok(public),
    }
}

async fn ask(app: &App, url: &str) -> Result<Response, NoDoor> {
    let silent = |why: String| NoDoor::Silent(why);
    let url = Url::parse(url).map_err(|error| silent(error.to_string()))?;
    app.outgoing
        .vet(&url)
        .map_err(|error| silent(error.to_string()))?;
    let asked = app
        .outgoing
        .api_client()
        .get(url)
        .timeout(LOOK)
        .send()
        .await;
    asked.map_err(|error| match Forbidden::behind(&error) {
        Some(forbidden) => silent(forbidden.to_string()),
        None => {
            let why = causes(&error.without_url());
            if why.contains("certificate") {
                NoDoor::Certificate(why)
            } else {
                NoDoor::Silent(why)
            }
        }
    })
}

async fn door_of(app: &App, base: &str) -> Result<Door, NoDoor> {
    let answer = ask(app, &format!("{base}/healthz")).await?;
    let header = |name: HeaderName| {
        let value = answer.headers().get(name)?.to_str().ok()?;
        Some(value.to_owned())
    };
    let end = answer
        .extensions()
        .get::<TlsInfo>()
        .and_then(TlsInfo::peer_certificate)
        .and_then(end_of_certificate);
    Ok(Door {
        status: answer.status().as_u16(),
        installation: header(door::INSTALLATION),
        host: header(door::HOST),
        proxy: header(door::PROXY),
        certificate_end: end,
    })
}

/// When a certificate (DER) ends.
fn end_of_certificate(der: &[u8]) -> Option<Millis> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(Millis::from_seconds(
        certificate.validity().not_after.timestamp(),
    ))
}

/// Fetches the file that is there to be fetched, as Bitrix24 fetches a file.
async fn file_of(app: &App, base: &str) -> Result<(), String> {
    let answer = match ask(app, &media::probe_link(app, base)).await {
        Ok(answer) => answer,
        Err(NoDoor::Certificate(why) | NoDoor::Silent(why)) => return Err(why),
    };
    let status = answer.status().as_u16();
    if status != 200 {
        return Err(format!("HTTP {status}"));
    }
    let body = read_limited(answer, 4096)
        .await
        .map_err(|error| error.to_string())?;
    if body == media::PROBE {
        Ok(())
    } else {
        Err("another file came".to_owned())
    }
}

fn dns(seen: &Seen) -> Verdict {
    let domain = &seen.domain;
    match &seen.addresses {
        Ok(_) => Verdict::FINE,
        Err(NoAddress::Unknown(why)) => Verdict::fault(
            text!(
                "The name {domain} leads nowhere: {why}.",
                "Имя {domain} никуда не ведёт: {why}."
            ),
            text!(
                "Where the domain is managed, add an A record (or AAAA) for {domain} with this server's public address.",
                "В панели управления доменом добавьте для {domain} запись A (или AAAA) с публичным адресом этого сервера."
            ),
        ),
        Err(NoAddress::NotPublic(address)) => Verdict::fault(
            text!(
                "The name {domain} leads to {address}, which nobody outside this network reaches.",
                "Имя {domain} ведёт на {address}; из интернета этот адрес недоступен."
            ),
            text!(
                "Where the domain is managed, put this server's public address into the A record of {domain}. If the name \
                 has another address outside, add this network to SEPARATOR_ALLOW_ADDRESSES.",
                "В панели управления доменом укажите в записи A для {domain} публичный адрес этого сервера. Если снаружи \
                 у имени другой адрес, добавьте эту сеть в SEPARATOR_ALLOW_ADDRESSES."
            ),
        ),
    }
}

fn certificate(seen: &Seen) -> Verdict {
    let domain = &seen.domain;
    let renew = || {
        text!(
            "Renew the certificate of {domain} where HTTPS is set up (the proxy in front, such as nginx or Caddy), with \
             its whole chain.",
            "Обновите сертификат {domain} там, где настроен HTTPS (прокси перед программой: nginx, Caddy), со всей \
             цепочкой."
        )
    };
    match &seen.door {
        Err(NoDoor::Certificate(why)) => Verdict::fault(
            text!(
                "The certificate of {domain} is not accepted: {why}.",
                "Сертификат {domain} не принимается: {why}."
            ),
            renew(),
        ),
        Err(NoDoor::Silent(_)) => not_reached(),
        Ok(door) => match door.certificate_end {
            Some(end) if end <= seen.now + CERTIFICATE_WARNING => {
                let day = day(end);
                Verdict::fault(
                    text!(
                        "The certificate of {domain} ends on {day} and has not been renewed.",
                        "Сертификат {domain} действует до {day} и ещё не обновлён."
                    ),
                    renew(),
                )
            }
            Some(end) => {
                let day = day(end);
                Verdict::Fine(Some(text!(
                    "It is valid until {day}.",
                    "Действует до {day}."
                )))
            }
            None if seen.base.starts_with("http://") => Verdict::Fine(Some(text!(
                "An address on this machine needs none.",
                "Для адреса на этой же машине он не нужен."
            ))),
            None => Verdict::Unknown(text!(
                "The certificate was accepted, but its end cannot be read.",
                "Сертификат принят, но срок его действия прочитать не удалось."
            )),
        },
    }
}

fn not_reached() -> Verdict {
    Verdict::Unknown(text!("The address gives no answer.", "Адрес не отвечает."))
}

fn reachable(seen: &Seen) -> Verdict {
    let base = &seen.base;
    let fix = || {
        text!(
            "Let requests for {base} through to this program: firewall, proxy, and the program itself must run.",
            "Пропустите запросы к {base} до этой программы: проверьте межсетевой экран, прокси и что сама программа \
             запущена."
        )
    };
    match &seen.door {
        // That is the certificate's fault, which has a check of its own.
        Err(NoDoor::Certificate(_)) => not_reached(),
        Err(NoDoor::Silent(_)) if seen.addresses.is_err() => {
            Verdict::Unknown(text!("The name leads nowhere.", "Имя никуда не ведёт."))
        }
        Err(NoDoor::Silent(why)) => {
            let heard = seen.heard_at.filter(|at| seen.now.since(*at) < FRESH);
            if let Some(at) = heard {
                return Verdict::Unknown(text!(
                    "This machine cannot call itself by {base} ({why}), but others can: the last callback came at {at}.",
                    "Сервер не может обратиться сам к себе по {base} ({why}), но другие могут: последнее событие пришло \
                     {at}."
                ));
            }
            Verdict::fault(
                text!(
                    "{base} gives no answer: {why}.",
                    "{base} не отвечает: {why}."
                ),
                fix(),
            )
        }
        Ok(door) if door.installation.as_deref() == Some(seen.own.as_str()) => Verdict::FINE,
        Ok(door) => {
            let status = door.status;
            Verdict::fault(
                text!(
                    "Something else answers under {base} (HTTP {status}), not this installation.",
                    "По адресу {base} отвечает не эта программа (HTTP {status})."
                ),
                fix(),
            )
        }
    }
}

fn proxy_headers(seen: &Seen) -> Verdict {
    let domain = &seen.domain;
    let Some(door) = seen
        .door
        .as_ref()
        .ok()
        .filter(|door| door.installation.as_deref() == Some(seen.own.as_str()))
    else {
        return not_reached();
    };
    let host = door.host.as_deref().unwrap_or_default();
    if host != domain {
        return Verdict::fault(
            text!(
                "A request for {domain} arrives here as one for \"{host}\", so Meta's callbacks find no application.",
                "Запрос к {domain} приходит сюда как запрос к «{host}», поэтому события Meta не находят приложение."
            ),
            text!(
                "Let the proxy keep the host: in nginx \"proxy_set_header Host $host;\", in Apache \"ProxyPreserveHost On\".",
                "Пусть прокси сохраняет имя: в nginx «proxy_set_header Host $host;», в Apache «ProxyPreserveHost On»."
            ),
        );
    }
    if door.proxy.as_deref() == Some("untrusted") {
        return Verdict::fault(
            text!(
                "A proxy passes requests on, but its headers are not believed, so every visitor seems to come from the \
                 proxy.",
                "Запросы передаёт прокси, но его заголовкам программа не доверяет, поэтому все посетители выглядят как \
                 один адрес."
            ),
            text!(
                "Put the proxy's network into SEPARATOR_TRUST_PROXY, such as 127.0.0.1/32, and start the program again.",
                "Укажите сеть прокси в SEPARATOR_TRUST_PROXY, например 127.0.0.1/32, и перезапустите программу."
            ),
        );
    }
    Verdict::FINE
}

fn media_links(seen: &Seen) -> Verdict {
    let answered = seen
        .door
        .as_ref()
        .is_ok_and(|door| door.installation.as_deref() == Some(seen.own.as_str()));
    match &seen.file {
        Ok(()) => Verdict::FINE,
        Err(_) if !answered => not_reached(),
        Err(why) => {
            let base = &seen.base;
            Verdict::fault(
                text!(
                    "The server is reached, but a file under {base}/media/ is not: {why}. Customers' files would not \
                     reach the operators.",
                    "Сервер доступен, но файл по адресу {base}/media/ не отдаётся: {why}. Файлы клиентов не дойдут до \
                     операторов."
                ),
                text!(
                    "Let the proxy pass everything under /media/ on to this program, without a login and without a cache.",
                    "Пусть прокси передаёт этой программе всё, что начинается с /media/, без входа по паролю и без кеша."
                ),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::doctor::verdict::{State, Subject, judge_all};

    fn now() -> Millis {
        "2026-11-25T00:00:00Z".parse().unwrap()
    }

    fn healthy() -> Seen {
        Seen {
            domain: "separator.example".to_owned(),
            base: "https://separator.example".to_owned(),
            addresses: Ok(1),
            door: Ok(Door {
                status: 200,
                installation: Some("own".to_owned()),
                host: Some("separator.example".to_owned()),
                proxy: Some("trusted".to_owned()),
                certificate_end: Some(now() + Duration::from_hours(24 * 60)),
            }),
            file: Ok(()),
            own: "own".to_owned(),
            heard_at: None,
            now: now(),
        }
    }

    fn red(seen: &Seen) -> Vec<String> {
        let subject = Subject {
            kind: "site".to_owned(),
            id: String::new(),
            name: seen.domain.clone(),
        };
        judge_all(CHECKS, seen, &subject)
            .into_iter()
            .filter(|finding| finding.state == State::Fault)
            .map(|finding| finding.check)
            .collect()
    }

    fn door(seen: &mut Seen, change: impl FnOnce(&mut Door)) {
        change(seen.door.as_mut().unwrap());
    }

    #[test]
    fn one_fault_of_a_site_turns_one_check_red() {
        assert!(red(&healthy()).is_empty());
        let silent = || NoDoor::Silent("connection refused".to_owned());
        let faults: [(&str, &dyn Fn(&mut Seen)); 9] = [
            ("dns", &|seen| {
                seen.addresses = Err(NoAddress::Unknown("no such name".to_owned()));
                seen.door = Err(silent());
                seen.file = Err("no such name".to_owned());
            }),
            ("dns", &|seen| {
                seen.addresses = Err(NoAddress::NotPublic("10.0.0.1".to_owned()));
                seen.door = Err(silent());
                seen.file = Err("not a public address".to_owned());
            }),
            ("certificate", &|seen| {
                seen.door = Err(NoDoor::Certificate(
                    "invalid peer certificate: Expired".to_owned(),
                ));
                seen.file = Err("invalid peer certificate: Expired".to_owned());
            }),
            ("certificate", &|seen| {
                door(seen, |door| {
                    door.certificate_end = Some(now() + Duration::from_hours(24 * 13))
                });
            }),
            ("reachable", &|seen| {
                seen.door = Err(silent());
                seen.file = Err("connection refused".to_owned());
            }),
            ("reachable", &|seen| {
                door(seen, |door| door.installation = None);
                seen.file = Err("HTTP 404".to_owned());
            }),
            ("proxy_headers", &|seen| {
                door(seen, |door| door.host = Some("127.0.0.1:8080".to_owned()))
            }),
            ("proxy_headers", &|seen| {
                door(seen, |door| door.proxy = Some("untrusted".to_owned()))
            }),
            ("media_links", &|seen| {
                seen.file = Err("HTTP 403".to_owned())
            }),
        ];
        for (check, seed) in faults {
            let mut seen = healthy();
            seed(&mut seen);
            assert_eq!(red(&seen), [check]);
        }
    }

    #[test]
    fn a_machine_that_cannot_call_itself_is_not_called_unreachable_while_callbacks_come() {
        let mut seen = healthy();
        seen.door = Err(NoDoor::Silent("timed out".to_owned()));
        seen.file = Err("timed out".to_owned());
        seen.heard_at = Some(now());
        assert!(red(&seen).is_empty());
        seen.now = now() + Duration::from_hours(2);
        assert_eq!(red(&seen), ["reachable"]);
    }

    #[test]
    fn the_end_of_a_certificate_is_read_from_it() {
        let mut parameters =
            rcgen::CertificateParams::new(vec!["separator.example".to_owned()]).unwrap();
        parameters.not_after = rcgen::date_time_ymd(2031, 2, 3);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        assert_eq!(
            end_of_certificate(certificate.der()),
            Some("2031-02-03T00:00:00Z".parse().unwrap())
        );
        assert_eq!(end_of_certificate(b"no certificate"), None);
    }
}
