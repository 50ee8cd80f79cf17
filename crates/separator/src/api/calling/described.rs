//! What the API says of the objects about calls of a number.

use crate::api::operation::{Described, Field, Purpose, Shape};

pub(super) const CHECK_FIELDS: &[Field] = &[
    Field::optional(
        "hostname",
        Shape::Text,
        "Telephone server to look at; the chosen one where none is given.",
        "sip.example.com",
    ),
    Field::optional("port", Shape::Whole, "Its TLS port.", "5061"),
    Field::defaulted(
        "password",
        Shape::Boolean,
        "Whether Meta's password is tried at the server too, where its certificate is good.",
        "false",
    ),
];

const STATUS_FIELDS: &[Field] = &[
    Field::read(
        "state",
        Shape::OneOf(&[
            "none", "pending", "in_sync", "refused", "changed", "unknown",
        ]),
        "Where it stands: nothing chosen, to be saved, Meta has it, Meta has something else, somebody changed it at Meta, \
         a save was cut.",
        "in_sync",
    ),
    Field::read(
        "attempts",
        Shape::Whole,
        "How often the last save was tried.",
        "1",
    ),
    Field::nullable("next_try_at", Shape::Time, "When it is tried again.", ""),
    Field::nullable("applied", Shape::Anything, "What Meta said last.", ""),
    Field::nullable("applied_at", Shape::Time, "When.", ""),
    Field::read(
        "has_password",
        Shape::Boolean,
        "Whether Meta's password is known.",
        "true",
    ),
    Field::read(
        "warnings",
        Shape::List("CallingWarning"),
        "What to know.",
        "",
    ),
    Field::nullable(
        "error",
        Shape::Object("PhoneError"),
        "Why Meta does not have what was chosen.",
        "",
    ),
    Field::nullable(
        "outside",
        Shape::Anything,
        "What was changed at Meta by others.",
        "",
    ),
    Field::nullable(
        "check",
        Shape::Object("SipReport"),
        "The last look at the telephone server.",
        "",
    ),
    Field::read(
        "check_stale",
        Shape::Boolean,
        "Whether that look was at another address than the chosen one.",
        "false",
    ),
];

const WARNING_FIELDS: &[Field] = &[
    Field::read(
        "code",
        Shape::Text,
        "A word for programs.",
        "foreign_server",
    ),
    Field::read("text", Shape::Text, "In words.", ""),
];

const REPORT_FIELDS: &[Field] = &[
    Field::read(
        "host",
        Shape::Text,
        "Host in the form that Meta gets.",
        "sip.example.com",
    ),
    Field::nullable(
        "readable",
        Shape::Text,
        "Host as people read it, where that differs.",
        "",
    ),
    Field::read("port", Shape::Whole, "TLS port.", "5061"),
    Field::read(
        "verdict",
        Shape::OneOf(&["green", "yellow", "red"]),
        "Whether calls will arrive, as far as can be told from here.",
        "green",
    ),
    Field::read(
        "sentence",
        Shape::Text,
        "The verdict in words.",
        "Nothing stands in the way of calls.",
    ),
    Field::read(
        "checked_at",
        Shape::Time,
        "When.",
        "2026-11-23T04:47:32.010Z",
    ),
    Field::read("milliseconds", Shape::Whole, "How long it took.", "180"),
    Field::read(
        "stages",
        Shape::List("SipStage"),
        "What was found, in the order of the stages.",
        "",
    ),
    Field::nullable(
        "certificate",
        Shape::Anything,
        "What the certificate says.",
        "",
    ),
];

const STAGE_FIELDS: &[Field] = &[
    Field::read(
        "stage",
        Shape::OneOf(&[
            "input", "dns", "tcp", "tls", "chain", "name", "sip", "login",
        ]),
        "The stage.",
        "tls",
    ),
    Field::read(
        "state",
        Shape::OneOf(&["pass", "note", "warning", "fault"]),
        "How bad it is.",
        "pass",
    ),
    Field::read("code", Shape::Text, "A word for programs.", "handshake"),
    Field::nullable(
        "address",
        Shape::Text,
        "Where it was found.",
        "203.0.113.7:5061",
    ),
    Field::read("text", Shape::Text, "What it is.", ""),
    Field::nullable("fix", Shape::Text, "What to do.", ""),
];

const PBX_FIELDS: &[Field] = &[
    Field::read("files", Shape::List("PbxFile"), "The files.", ""),
    Field::read(
        "freepbx",
        Shape::Anything,
        "What to enter in FreePBX: tab, field, value.",
        "",
    ),
    Field::read(
        "archive",
        Shape::Text,
        "All files as a tar archive, in base64.",
        "",
    ),
    Field::nullable(
        "password",
        Shape::Text,
        "Meta's password; only where it was asked to be revealed.",
        "",
    ),
    Field::read(
        "has_password",
        Shape::Boolean,
        "Whether Meta's password is known.",
        "true",
    ),
];

const FILE_FIELDS: &[Field] = &[
    Field::read(
        "program",
        Shape::OneOf(&["asterisk", "freepbx", "freeswitch", "kamailio", "firewall"]),
        "The program it is for.",
        "asterisk",
    ),
    Field::read(
        "name",
        Shape::Text,
        "Name in the archive.",
        "asterisk/pjsip.conf",
    ),
    Field::read("text", Shape::Text, "Content.", ""),
];

pub(in crate::api) const OBJECTS: &[Described] = &[
    Described {
        name: "CallingStatus",
        purpose: Purpose::Shown,
        description: "How far a number's calling settings are at Meta.",
        fields: STATUS_FIELDS,
    },
    Described {
        name: "CallingWarning",
        purpose: Purpose::Shown,
        description: "Something to know about calls of a number.",
        fields: WARNING_FIELDS,
    },
    Described {
        name: "SipCheck",
        purpose: Purpose::Sent,
        description: "What to look at.",
        fields: CHECK_FIELDS,
    },
    Described {
        name: "SipReport",
        purpose: Purpose::Shown,
        description: "What a look at a telephone server found.",
        fields: REPORT_FIELDS,
    },
    Described {
        name: "SipStage",
        purpose: Purpose::Shown,
        description: "One thing that was found.",
        fields: STAGE_FIELDS,
    },
    Described {
        name: "Pbx",
        purpose: Purpose::Shown,
        description: "What a telephone server needs to take the number's calls.",
        fields: PBX_FIELDS,
    },
    Described {
        name: "PbxFile",
        purpose: Purpose::Shown,
        description: "A file for a telephone server.",
        fields: FILE_FIELDS,
    },
];
