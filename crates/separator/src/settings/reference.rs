//! The list of all settings, for the documentation, the help, and the check of keys.

use std::fmt;

use super::DEFAULT_FILE;

/// One setting, for the documentation and the help.
#[derive(Debug, PartialEq, Eq)]
pub struct SettingDoc {
    /// The environment variable.
    pub variable: &'static str,
    /// The key in the file, which is the flag too with `-` in place of `_`.
    pub key: &'static str,
    /// The value where nothing is set, or what happens then.
    pub default: &'static str,
    /// What it does, in a sentence.
    pub meaning: &'static str,
}

/// All settings, in the order in which they are documented.
pub fn reference() -> &'static [SettingDoc] {
    &REFERENCE
}

/// All settings as text for a terminal.
pub fn help() -> String {
    use fmt::Write;

    let mut text = format!(
        "Settings, from {DEFAULT_FILE} (key), overridden by the environment, overridden by flags:\n"
    );
    for doc in reference() {
        let SettingDoc {
            variable,
            key,
            default,
            meaning,
        } = doc;
        write!(
            text,
            "\n  {variable} ({key})\n      {meaning}\n      Default: {default}\n"
        )
        .expect("writing to a String cannot fail");
    }
    text
}

static REFERENCE: [SettingDoc; 17] = [
    SettingDoc {
        variable: "SEPARATOR_LISTEN",
        key: "listen",
        default: "127.0.0.1:8080",
        meaning: "Address and port to listen on. A socket handed over by the service manager wins.",
    },
    SettingDoc {
        variable: "SEPARATOR_DATA_DIR",
        key: "data_dir",
        default: "./data",
        meaning: "Folder of the database, the media and the key file.",
    },
    SettingDoc {
        variable: "SEPARATOR_DATABASE_URL",
        key: "database_url",
        default: "the SQLite file separator.db in the data folder",
        meaning: "Database: sqlite:FILE or postgres://USER:PASSWORD@HOST/NAME.",
    },
    SettingDoc {
        variable: "SEPARATOR_ENCRYPTION_KEY",
        key: "encryption_key",
        default: "the file encryption.key in the data folder, made on the first start",
        meaning: "Key that protects secrets at rest: 32 bytes as base64 or hexadecimal. For \
                  rotation several with commas: the first one seals, all of them open. Has no flag, \
                  because flags can be seen by other users of the machine.",
    },
    SettingDoc {
        variable: "SEPARATOR_GRAPH_URL",
        key: "graph_url",
        default: "https://graph.facebook.com",
        meaning: "Base of Meta's Graph API.",
    },
    SettingDoc {
        variable: "SEPARATOR_GRAPH_VERSION",
        key: "graph_version",
        default: "v25.0",
        meaning: "Version of Meta's Graph API.",
    },
    SettingDoc {
        variable: "SEPARATOR_FACEBOOK_URL",
        key: "facebook_url",
        default: "https://www.facebook.com",
        meaning: "Base of Meta's login dialog.",
    },
    SettingDoc {
        variable: "SEPARATOR_BITRIX_OAUTH_URL",
        key: "bitrix_oauth_url",
        default: "Bitrix24's own servers",
        meaning: "Authorization server of Bitrix24. Where it is set, it is the only one used.",
    },
    SettingDoc {
        variable: "SEPARATOR_ALLOW_ADDRESSES",
        key: "allow_addresses",
        default: "none",
        meaning: "Networks (CIDR, several with commas) that outgoing requests may reach although \
                  they are private or loopback.",
    },
    SettingDoc {
        variable: "SEPARATOR_TRUST_PROXY",
        key: "trust_proxy",
        default: "none",
        meaning: "Networks (CIDR, several with commas) whose X-Forwarded-* headers are believed.",
    },
    SettingDoc {
        variable: "SEPARATOR_RETENTION_DAYS",
        key: "retention_days",
        default: "30",
        meaning: "Days for which events, media and finished messages are kept: 8 to 3650. Meta \
                  repeats an event for 7 days, and a repetition is only recognised by what is kept.",
    },
    SettingDoc {
        variable: "SEPARATOR_LOG",
        key: "log",
        default: "info",
        meaning: "What is logged: error, warn, info, debug, trace, also by part of the program. \
                  info,separator::phones=debug writes telephone numbers in full.",
    },
    SettingDoc {
        variable: "SEPARATOR_LOG_FORMAT",
        key: "log_format",
        default: "text",
        meaning: "How it is logged: text or json.",
    },
    SettingDoc {
        variable: "SEPARATOR_UNKNOWN_WAIT",
        key: "unknown_wait",
        default: "120",
        meaning: "Seconds that a message to WhatsApp whose sending got no answer waits for a status, \
                  which tells whether it went out: 1 to 3600.",
    },
    SettingDoc {
        variable: "SEPARATOR_MEDIA_WAIT",
        key: "media_wait",
        default: "5",
        meaning: "Seconds that a file has to arrive before the text beside it goes on without: 0 \
                  to 300.",
    },
    SettingDoc {
        variable: "SEPARATOR_LONGEST_CALL",
        key: "longest_call",
        default: "14400",
        meaning: "Seconds after which a call whose end WhatsApp never told is finished in the CRM \
                  with an unknown outcome: 1 to 604800.",
    },
    SettingDoc {
        variable: "SEPARATOR_PORTAL_CHECK",
        key: "portal_check",
        default: "600",
        meaning: "Seconds after which each portal is looked over again for a connector, a line or a \
                  handler that somebody took away: 1 to 86400.",
    },
];

/// The first setting that is the one.
pub(super) fn doc(matches: impl Fn(&SettingDoc) -> bool) -> Option<&'static SettingDoc> {
    REFERENCE.iter().find(|doc| matches(doc))
}
