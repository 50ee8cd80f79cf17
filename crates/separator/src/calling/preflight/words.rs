//! What was found, in words: what it is, and what to do. Both languages stand together, so that neither can lack a
//! sentence.

use super::{Verdict, finding::Finding, names::NameError};
use crate::{
    time::Millis,
    translate::{message::Language, notes::Words},
};

/// The verdict in one sentence.
pub(super) fn verdict(verdict: Verdict) -> Words {
    match verdict {
        Verdict::Green => Words {
            english: "Nothing stands in the way of calls.",
            russian: "Звонкам ничто не мешает.",
        },
        Verdict::Yellow => Words {
            english: "Calls may arrive; look at the warnings first.",
            russian: "Звонки могут проходить; сначала посмотрите предупреждения.",
        },
        Verdict::Red => Words {
            english: "Calls will not arrive.",
            russian: "Звонки не придут.",
        },
    }
}

fn pick(language: Language, english: impl Into<String>, russian: impl Into<String>) -> String {
    match language {
        Language::English => english.into(),
        Language::Russian => russian.into(),
    }
}

fn list<T: ToString>(items: &[T]) -> String {
    items
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

/// A day as `2026-11-25`.
fn day(moment: Millis) -> String {
    moment.to_string().chars().take(10).collect()
}

impl Finding {
    /// What it is.
    pub fn text(&self, language: Language) -> String {
        let say = |english: String, russian: String| pick(language, english, russian);
        let plain = |english: &str, russian: &str| pick(language, english, russian);
        match self {
            Self::Removed { removed } => say(
                format!("Removed from what was entered: {removed}"),
                format!("Убрано из введённого: {removed}"),
            ),
            Self::OtherScript { readable, ascii } => say(
                format!("{readable} is sent to Meta as {ascii}"),
                format!("{readable} передаётся в Meta как {ascii}"),
            ),
            Self::IpAddress => plain(
                "This is an IP address. Meta asks for a host name, and public authorities hardly sign certificates for IP addresses.",
                "Это IP-адрес. Meta требует имя хоста, а публичные центры почти не подписывают сертификаты для IP-адресов.",
            ),
            Self::Resolved { addresses } => say(
                format!("The name leads to {}", list(addresses)),
                format!("Имя ведёт на {}", list(addresses)),
            ),
            Self::NoName(NameError::Unknown) => plain(
                "The name has no address in the DNS.",
                "У этого имени нет адреса в DNS.",
            ),
            Self::NoName(NameError::Timeout | NameError::Failed) => plain(
                "The name servers did not answer.",
                "Серверы имён не ответили.",
            ),
            Self::NotPublic { addresses } => say(
                format!(
                    "{} is not reachable from the Internet, so Meta cannot reach it. Nothing was connected to.",
                    list(addresses)
                ),
                format!(
                    "{} недоступен из интернета, поэтому Meta до него не дойдёт. Соединение не устанавливалось.",
                    list(addresses)
                ),
            ),
            Self::OnlyIpv6 => plain(
                "The name has IPv6 addresses only. It is not known that Meta calls over IPv6.",
                "У имени есть только адреса IPv6. Неизвестно, звонит ли Meta по IPv6.",
            ),
            Self::Connected { milliseconds } => say(
                format!("Connected in {milliseconds} ms"),
                format!("Соединение за {milliseconds} мс"),
            ),
            Self::TcpTimeout => plain(
                "No answer from our server's point of view. If the firewall lets in only Meta's networks, this is expected.",
                "С нашего сервера ответа нет. Если межсетевой экран пускает только сети Meta, так и должно быть.",
            ),
            Self::Refused { port } => say(
                format!("Refused: nothing listens on port {port}."),
                format!("Отказ: порт {port} никто не слушает."),
            ),
            Self::Unreachable { why } => say(
                format!("There is no way to this address from here: {why}"),
                format!("Отсюда до этого адреса нет пути: {why}"),
            ),
            Self::Handshake {
                version,
                cipher,
                milliseconds,
            } => say(
                format!("{version}, {cipher}, {milliseconds} ms"),
                format!("{version}, {cipher}, {milliseconds} мс"),
            ),
            Self::CertificateRequested => plain(
                "The server asks for a client certificate and goes on without one. That is fine; Asterisk always asks.",
                "Сервер запрашивает сертификат клиента, но работает и без него. Это нормально: Asterisk запрашивает всегда.",
            ),
            Self::CertificateRequired => plain(
                "The server requires a client certificate. It must not: Meta's calls would be refused.",
                "Сервер требует сертификат клиента. Так нельзя: звонки от Meta будут отклонены.",
            ),
            Self::PlainSip => plain(
                "This port speaks SIP without TLS. Meta calls over TLS only.",
                "На этом порту SIP без TLS. Meta звонит только по TLS.",
            ),
            Self::PlainHttp => plain(
                "This port speaks HTTP, not SIP over TLS.",
                "На этом порту HTTP, а не SIP поверх TLS.",
            ),
            Self::Silent => plain(
                "The port takes connections and says nothing: neither TLS nor SIP.",
                "Порт принимает соединения и молчит: это ни TLS, ни SIP.",
            ),
            Self::ClosedDuringTls => plain(
                "The server closed the connection during the TLS handshake.",
                "Сервер закрыл соединение во время установки TLS.",
            ),
            Self::TooOld => plain(
                "The server offers nothing newer than TLS 1.1; TLS 1.2 or newer is needed.",
                "Сервер не умеет ничего новее TLS 1.1; нужен TLS 1.2 или новее.",
            ),
            Self::TlsFailed { why } => say(
                format!("The TLS handshake failed: {why}"),
                format!("Установить TLS не удалось: {why}"),
            ),
            Self::Trusted { issuer, until } => say(
                format!("Signed by {issuer}, good until {}", day(*until)),
                format!("Подписан {issuer}, действует до {}", day(*until)),
            ),
            Self::SelfSigned => plain(
                "The certificate is self-signed; Meta does not trust it.",
                "Сертификат самоподписанный (self-signed); Meta ему не доверяет.",
            ),
            Self::IntermediateMissing { issuer } => say(
                format!("The intermediate certificate is missing: {issuer}"),
                format!("Не хватает промежуточного сертификата: {issuer}"),
            ),
            Self::UnknownAuthority { issuer } => say(
                format!("The certificate was signed by an unknown authority: {issuer}"),
                format!("Сертификат подписан неизвестным центром: {issuer}"),
            ),
            Self::Unusable { why } => say(
                format!("The certificate cannot be used: {why}"),
                format!("Сертификат непригоден: {why}"),
            ),
            Self::Expired { on } => say(
                format!("The certificate expired on {}.", day(*on)),
                format!("Срок действия сертификата истёк {}.", day(*on)),
            ),
            Self::NotYetValid { from } => say(
                format!("The certificate is not valid before {}.", day(*from)),
                format!("Сертификат начнёт действовать только {}.", day(*from)),
            ),
            Self::ChainOutOfTime => plain(
                "A certificate of the authority that the server sends is out of its time.",
                "Один из присланных сертификатов центра вне срока действия.",
            ),
            Self::ExpiresSoon { on, days } => say(
                format!("The certificate ends on {}, in {days} days.", day(*on)),
                format!("Сертификат истекает {}, осталось дней: {days}.", day(*on)),
            ),
            Self::NameCovered => plain(
                "The certificate is for this host",
                "Сертификат выдан на этот хост",
            ),
            Self::OnlyCommonName => plain(
                "The host stands only in the certificate's common name, which is no longer looked at; it must be among the alternative names.",
                "Хост указан только в поле CN сертификата, на которое больше не смотрят; он должен быть среди альтернативных имён (SAN).",
            ),
            Self::WildcardTooShort { wildcard } => say(
                format!(
                    "The certificate is for {wildcard}, which covers one level of names only; this host lies deeper."
                ),
                format!(
                    "Сертификат выдан на {wildcard}, это покрывает только один уровень имён; этот хост глубже."
                ),
            ),
            Self::WrongName { names, .. } if names.is_empty() => plain(
                "The certificate names no host at all.",
                "В сертификате не указано ни одного хоста.",
            ),
            Self::WrongName { names, .. } => say(
                format!(
                    "The certificate is for {}, not for the host that was entered.",
                    list(names)
                ),
                format!(
                    "Сертификат выдан на {}, а не на указанный хост.",
                    list(names)
                ),
            ),
            Self::Answered {
                status,
                reason,
                server,
                milliseconds,
            } => {
                let server = server
                    .as_deref()
                    .map(|name| format!(", {name}"))
                    .unwrap_or_default();
                if matches!(status, 401 | 407) {
                    return say(
                        format!("SIP {status}: a PBX answers{server}, {milliseconds} ms"),
                        format!("SIP {status}: АТС отвечает{server}, {milliseconds} мс"),
                    );
                }
                say(
                    format!("SIP {status} {reason}{server}, {milliseconds} ms"),
                    format!("SIP {status} {reason}{server}, {milliseconds} мс"),
                )
            }
            Self::ClosedWithoutAnswer => plain(
                "The server closed the connection without an answer to a SIP request.",
                "Сервер закрыл соединение, не ответив на запрос SIP.",
            ),
            Self::NotSip => plain(
                "Something answers over TLS, but it is not SIP.",
                "По TLS кто-то отвечает, но это не SIP.",
            ),
            Self::NoAnswer => plain(
                "The server did not answer a SIP request.",
                "Сервер не ответил на запрос SIP.",
            ),
            Self::LoginAccepted => {
                plain("The PBX takes Meta's password", "АТС принимает пароль Meta")
            }
            Self::LoginRefused => plain(
                "The password in the PBX differs from Meta's.",
                "Пароль в АТС отличается от пароля Meta.",
            ),
            Self::LoginNotAsked => plain(
                "The PBX does not check the password: it answered without asking for it.",
                "АТС не проверяет пароль: она ответила, не спросив его.",
            ),
            Self::LoginUnknown => plain(
                "The PBX asks for the password in a way that Meta does not know; MD5 digest with qop=auth is needed.",
                "АТС запрашивает пароль способом, которого Meta не знает; нужен digest MD5 с qop=auth.",
            ),
            Self::LoginNotTried => plain(
                "The password was not tried, because the certificate is not good and the password's digest could be seen by others.",
                "Пароль не проверялся: сертификат неисправен, и дайджест пароля могли бы увидеть посторонние.",
            ),
            Self::OutOfTime => plain(
                "The time for the check was over before its end.",
                "Время проверки вышло раньше, чем она закончилась.",
            ),
        }
    }

    /// What to do about it, where there is something to do.
    pub fn fix(&self, language: Language) -> Option<String> {
        let plain = |english: &str, russian: &str| Some(pick(language, english, russian));
        match self {
            Self::IpAddress => plain(
                "Give the server a name and enter that.",
                "Дайте серверу имя и укажите его.",
            ),
            Self::NoName(NameError::Unknown) => plain(
                "Check the spelling, or add an A record for the name.",
                "Проверьте написание или добавьте для имени запись A.",
            ),
            Self::NoName(_) => plain(
                "Try again in a minute; if it stays so, check the name servers of the domain.",
                "Повторите через минуту; если не поможет, проверьте серверы имён домена.",
            ),
            Self::NotPublic { .. } => plain(
                "Enter the public address of the telephone server. If only this check may reach the private one, the operator can add its network to SEPARATOR_ALLOW_ADDRESSES.",
                "Укажите публичный адрес телефонного сервера. Если частный адрес нужен только для проверки, оператор может добавить его сеть в SEPARATOR_ALLOW_ADDRESSES.",
            ),
            Self::OnlyIpv6 => plain("Add an A record.", "Добавьте запись A."),
            Self::TcpTimeout => plain(
                "Open the TLS port for Meta's networks (AS32934); the configuration page lists them.",
                "Откройте порт TLS для сетей Meta (AS32934); они перечислены на странице настроек.",
            ),
            Self::Refused { .. } => plain(
                "Start the TLS transport of the PBX. In Asterisk look at `pjsip show transports`: with a key file that it cannot read there is no transport.",
                "Запустите транспорт TLS на АТС. В Asterisk посмотрите `pjsip show transports`: если файл ключа не читается, транспорта нет.",
            ),
            Self::Unreachable { .. } => plain(
                "Check the address and the route to it.",
                "Проверьте адрес и маршрут до него.",
            ),
            Self::CertificateRequired => plain(
                "Switch it off: verify_client=no and require_client_cert=no (Asterisk), require_certificate=no (Kamailio).",
                "Отключите: verify_client=no и require_client_cert=no (Asterisk), require_certificate=no (Kamailio).",
            ),
            Self::PlainSip => plain(
                "Enter the TLS port of the server, usually 5061.",
                "Укажите порт TLS этого сервера, обычно 5061.",
            ),
            Self::PlainHttp | Self::NotSip => plain(
                "Enter the port on which the PBX speaks SIP over TLS, usually 5061.",
                "Укажите порт, на котором АТС говорит SIP поверх TLS, обычно 5061.",
            ),
            Self::Silent | Self::ClosedDuringTls | Self::TlsFailed { .. } => plain(
                "Check that the port belongs to the TLS transport and that the PBX has loaded its certificate and key.",
                "Проверьте, что порт принадлежит транспорту TLS и что АТС загрузила сертификат и ключ.",
            ),
            Self::TooOld => plain(
                "Allow TLS 1.2: method=tlsv1_2 (Asterisk), method = TLSv1.2+ (Kamailio).",
                "Разрешите TLS 1.2: method=tlsv1_2 (Asterisk), method = TLSv1.2+ (Kamailio).",
            ),
            Self::SelfSigned | Self::UnknownAuthority { .. } => plain(
                "Get a certificate of a public authority, such as Let's Encrypt.",
                "Получите сертификат публичного центра, например Let's Encrypt.",
            ),
            Self::IntermediateMissing { .. } => plain(
                "Let the server send the whole chain: give it fullchain.pem in place of cert.pem.",
                "Сервер должен отдавать всю цепочку: укажите fullchain.pem вместо cert.pem.",
            ),
            Self::Unusable { .. } => plain(
                "Get another certificate, one for TLS servers.",
                "Получите другой сертификат, для серверов TLS.",
            ),
            Self::Expired { .. } | Self::ExpiresSoon { .. } | Self::ChainOutOfTime => plain(
                "Renew the certificate, and let the renewal reload the PBX.",
                "Продлите сертификат и настройте перезагрузку АТС при продлении.",
            ),
            Self::NotYetValid { .. } => plain(
                "Check the clock of the machine that made it, or wait.",
                "Проверьте часы машины, которая его выпустила, или подождите.",
            ),
            Self::OnlyCommonName
            | Self::WildcardTooShort { .. }
            | Self::WrongName { offer: None, .. } => plain(
                "Get a certificate for this host, or enter a host that the certificate covers.",
                "Получите сертификат на этот хост или укажите хост, на который сертификат выдан.",
            ),
            Self::WrongName {
                offer: Some(name), ..
            } => Some(pick(
                language,
                format!("Enter {name}: it leads to the same server and the certificate covers it."),
                format!(
                    "Укажите {name}: это имя ведёт на тот же сервер, и сертификат на него выдан."
                ),
            )),
            Self::Answered { status, .. } if *status >= 500 && *status < 600 => plain(
                "The server is there but in trouble; look at its log.",
                "Сервер на месте, но с ошибкой; посмотрите его журнал.",
            ),
            Self::ClosedWithoutAnswer => plain(
                "An access list may let in Meta only. If not, look at the log of the PBX.",
                "Возможно, список доступа пускает только Meta. Если нет, посмотрите журнал АТС.",
            ),
            Self::NoAnswer => plain(
                "Look at the log of the PBX: it may drop requests of unknown senders.",
                "Посмотрите журнал АТС: она может отбрасывать запросы неизвестных отправителей.",
            ),
            Self::LoginRefused => plain(
                "Copy the password from this page into the PBX; the user name is the number without +.",
                "Скопируйте пароль с этой страницы в АТС; имя пользователя — номер без +.",
            ),
            Self::LoginNotAsked => plain(
                "Fine if the PBX knows Meta by its networks; otherwise switch the password on.",
                "Допустимо, если АТС узнаёт Meta по сетям; иначе включите проверку пароля.",
            ),
            Self::LoginUnknown => {
                plain("Set the PBX to MD5 digest.", "Включите на АТС digest MD5.")
            }
            Self::LoginNotTried => plain(
                "Mend the certificate first.",
                "Сначала исправьте сертификат.",
            ),
            Self::OutOfTime => plain("Try again.", "Повторите проверку."),
            _ => None,
        }
    }
}
