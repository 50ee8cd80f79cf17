//! The program and its machine: data folder, disk, database, clock, key, and the version of Meta's API.

use std::{io::Write as _, path::Path, sync::Arc, time::Duration};

use url::Url;

use super::{
    LOOK,
    verdict::{About, Check, Group, Text, Verdict, text},
};
use crate::{app::App, store, time::Millis};

/// Less than this is too little whatever the size of the disk, in bytes.
const LEAST_FREE: u64 = 1 << 30;
/// With less than a fifth of the disk free there should be this much, in bytes.
const FREE_ENOUGH: u64 = 10 << 30;

/// A clock that is off by more makes links and tokens end at the wrong time.
const CLOCK_OFF: Duration = Duration::from_mins(1);

/// How long before its end an API version is worth a warning.
const VERSION_WARNING: Duration = Duration::from_hours(60 * 24);

/// Versions of the Graph API and when they end (Meta: Graph API changelog, versions).
const GRAPH_VERSIONS: [(&str, &str); 6] = [
    ("v20.0", "2026-09-24"),
    ("v21.0", "2027-01-21"),
    ("v22.0", "2027-05-20"),
    ("v23.0", "2027-10-08"),
    ("v24.0", "2028-02-18"),
    ("v25.0", "2028-07-29"),
];

const GROUP: Group = Group::Installation;

pub(super) const CHECKS: &[Check<Seen>] = &[
    Check {
        about: About::new(
            "data_folder",
            GROUP,
            "The data folder can be written",
            "В папку данных можно писать",
        ),
        judge: data_folder,
    },
    Check {
        about: About::new(
            "disk_space",
            GROUP,
            "There is room on the disk",
            "На диске есть место",
        ),
        judge: disk_space,
    },
    Check {
        about: About::new(
            "database",
            GROUP,
            "The database takes changes",
            "База данных принимает изменения",
        ),
        judge: database,
    },
    Check {
        about: About::new("clock", GROUP, "The clock is right", "Часы идут верно"),
        judge: clock,
    },
    Check {
        about: About::new(
            "encryption_key",
            GROUP,
            "The key that protects secrets is kept well",
            "Ключ, который защищает секреты, хранится надёжно",
        ),
        judge: encryption_key,
    },
    Check {
        about: About::new(
            "graph_version",
            GROUP,
            "The version of Meta's API is supported",
            "Версия API Meta поддерживается",
        ),
        judge: graph_version,
    },
];

/// What was seen of the machine.
pub(super) struct Seen {
    folder: String,
    written: Result<(), String>,
    space: Result<Space, String>,
    database: Result<(), String>,
    clocks: Vec<(&'static str, Result<Duration, String>)>,
    key: KeyPlace,
    graph_version: String,
    now: Millis,
}

/// Room on the disk of the data folder, in bytes.
#[derive(Debug, Clone, Copy)]
struct Space {
    free: u64,
    total: u64,
}

/// Where the key that protects secrets is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum KeyPlace {
    /// In the settings.
    Settings,
    /// In the data folder, as a file that only its owner reads.
    File(String),
    /// In the data folder, as a file that others can read too.
    Open(String),
    /// It could not be looked at.
    Hidden(String),
}

pub(super) async fn see(app: &Arc<App>) -> Seen {
    let folder = app.settings.data_dir.clone();
    let now = app.clock.now();
    let on_disk = tokio::task::spawn_blocking({
        let folder = folder.clone();
        move || (write_probe(&folder), space(&folder), key_file(&folder))
    });
    let database = tokio::time::timeout(
        LOOK,
        store::doctor::write_note(&app.store, now, "heartbeat", ""),
    );
    let servers = [
        ("Meta", app.settings.graph_url.clone()),
        ("Bitrix24", authorization_server(app)),
    ];
    let clocks = servers.map(|(name, url)| async move { (name, clock_of(app, url).await) });
    let (on_disk, database, clocks) =
        tokio::join!(on_disk, database, futures_util::future::join_all(clocks));
    let (written, space, file) = on_disk.unwrap_or_else(|error| {
        let why = error.to_string();
        (Err(why.clone()), Err(why.clone()), KeyPlace::Hidden(why))
    });
    Seen {
        folder: folder.display().to_string(),
        written,
        space,
        database: match database {
            Ok(done) => done.map_err(|error| error.to_string()),
            Err(_) => Err("no answer in time".to_owned()),
        },
        clocks,
        key: if app.settings.encryption_key.is_some() {
            KeyPlace::Settings
        } else {
            file
        },
        graph_version: app.settings.graph_version.clone(),
        now,
    }
}

fn authorization_server(app: &App) -> Url {
    let official = || Url::parse(bitrix24::oauth::OFFICIAL[0]).ok();
    app.settings
        .bitrix_oauth_url
        .clone()
        .or_else(official)
        // The constant is an address.
        .unwrap_or_else(|| app.settings.graph_url.clone())
}

fn write_probe(folder: &Path) -> Result<(), String> {
    let probe = folder.join(".doctor");
    let written = std::fs::File::create(&probe)
        .and_then(|mut file| file.write_all(b"separator").and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::remove_file(&probe));
    written.map_err(|error| error.to_string())
}

fn space(folder: &Path) -> Result<Space, String> {
    let disk = rustix::fs::statvfs(folder).map_err(|error| error.to_string())?;
    Ok(Space {
        free: disk.f_bavail.saturating_mul(disk.f_frsize),
        total: disk.f_blocks.saturating_mul(disk.f_frsize),
    })
}

fn key_file(folder: &Path) -> KeyPlace {
    use std::os::unix::fs::PermissionsExt as _;

    let file = folder.join(crate::seal::KEY_FILE);
    let name = file.display().to_string();
    match std::fs::metadata(&file) {
        Ok(metadata) if !for_others(metadata.permissions().mode()) => KeyPlace::File(name),
        Ok(_) => KeyPlace::Open(name),
        Err(error) => KeyPlace::Hidden(format!("{name}: {error}")),
    }
}

/// Whether a file with this mode is for anybody but its owner.
fn for_others(mode: u32) -> bool {
    const GROUP_AND_OTHERS: u32 = 0o077;
    mode & GROUP_AND_OTHERS != 0
}

/// How far our clock is from the one behind an address, as its `Date` header tells (RFC 9110, section 6.6.1).
async fn clock_of(app: &App, url: Url) -> Result<Duration, String> {
    app.outgoing.vet(&url).map_err(|error| error.to_string())?;
    let asked = app
        .outgoing
        .api_client()
        .get(url)
        .timeout(LOOK)
        .send()
        .await;
    let answer = asked.map_err(|error| crate::outgoing::causes(&error.without_url()))?;
    let date = answer
        .headers()
        .get(reqwest::header::DATE)
        .and_then(|date| date.to_str().ok())
        .ok_or_else(|| "the answer bears no date".to_owned())?;
    let there = http_date(date).ok_or_else(|| "the answer's date cannot be read".to_owned())?;
    let here = app.clock.now();
    Ok(there.since(here).max(here.since(there)))
}

/// Reads the date of an HTTP answer, such as `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(text: &str) -> Option<Millis> {
    let moment = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(Millis(moment.timestamp().as_millisecond()))
}

fn data_folder(seen: &Seen) -> Verdict {
    let Err(why) = &seen.written else {
        return Verdict::FINE;
    };
    let folder = &seen.folder;
    Verdict::fault(
        text!(
            "The folder {folder} cannot be written: {why}.",
            "В папку {folder} нельзя писать: {why}."
        ),
        text!(
            "Give the user that runs the program the right to write there, or name another folder in SEPARATOR_DATA_DIR.",
            "Дайте пользователю, от имени которого работает программа, право писать туда или укажите другую папку в \
             SEPARATOR_DATA_DIR."
        ),
    )
}

fn disk_space(seen: &Seen) -> Verdict {
    let space = match &seen.space {
        Ok(space) => *space,
        Err(why) => {
            return Verdict::Unknown(text!(
                "The disk does not tell how much room it has: {why}.",
                "Диск не сообщает, сколько на нём места: {why}."
            ));
        }
    };
    let little =
        space.free < LEAST_FREE || (space.free < space.total / 5 && space.free < FREE_ENOUGH);
    if !little {
        return Verdict::FINE;
    }
    let free = space.free / (1 << 20);
    let folder = &seen.folder;
    Verdict::fault(
        text!(
            "Only {free} MB are free on the disk of {folder}. When it is full, callbacks are refused.",
            "На диске с папкой {folder} свободно только {free} МБ. Когда он заполнится, входящие события будут \
             отклоняться."
        ),
        text!(
            "Make room on the disk, or keep less: SEPARATOR_RETENTION_DAYS.",
            "Освободите место на диске или храните меньше: SEPARATOR_RETENTION_DAYS."
        ),
    )
}

fn database(seen: &Seen) -> Verdict {
    let Err(why) = &seen.database else {
        return Verdict::FINE;
    };
    Verdict::fault(
        text!(
            "A row could not be written: {why}.",
            "Не удалось записать строку: {why}."
        ),
        text!(
            "Look whether the database server runs and its disk has room; the address is in SEPARATOR_DATABASE_URL.",
            "Проверьте, что сервер базы данных работает и на его диске есть место; адрес указан в SEPARATOR_DATABASE_URL."
        ),
    )
}

fn clock(seen: &Seen) -> Verdict {
    let known: Vec<Duration> = seen
        .clocks
        .iter()
        .filter_map(|(_, off)| off.as_ref().ok().copied())
        .collect();
    // Ours is wrong if nobody agrees with it; that one of the others is wrong is none of our business.
    let Some(least) = known.iter().min() else {
        let why = seen
            .clocks
            .iter()
            .filter_map(|(name, off)| Some(format!("{name}: {}", off.as_ref().err()?)))
            .collect::<Vec<_>>()
            .join("; ");
        return Verdict::Unknown(text!(
            "There is no clock to compare with. {why}.",
            "Часы не с чем сравнить. {why}."
        ));
    };
    if *least <= CLOCK_OFF {
        return Verdict::FINE;
    }
    let seconds = least.as_secs();
    Verdict::fault(
        text!(
            "This machine's clock differs by {seconds} seconds from the clocks of Meta and Bitrix24.",
            "Часы этого сервера отличаются на {seconds} с от часов Meta и Bitrix24."
        ),
        text!(
            "Switch on time synchronization on this machine: timedatectl set-ntp true.",
            "Включите синхронизацию времени на этом сервере: timedatectl set-ntp true."
        ),
    )
}

fn encryption_key(seen: &Seen) -> Verdict {
    match &seen.key {
        KeyPlace::Settings => Verdict::Fine(Some(text!(
            "The key is in SEPARATOR_ENCRYPTION_KEY. A backup of the database is worth nothing without it: keep a copy \
             of the key apart from the backup.",
            "Ключ указан в SEPARATOR_ENCRYPTION_KEY. Без него резервная копия базы бесполезна: храните копию ключа \
             отдельно от неё."
        ))),
        KeyPlace::File(file) => Verdict::Fine(Some(text!(
            "The key is the file {file}. A backup of the database is worth nothing without it: keep a copy of the file \
             in another place.",
            "Ключ лежит в файле {file}. Без него резервная копия базы бесполезна: храните копию этого файла в другом \
             месте."
        ))),
        KeyPlace::Open(file) => Verdict::fault(
            text!(
                "Other users of this machine can read {file}.",
                "Файл {file} могут читать другие пользователи этого сервера."
            ),
            text!("Run: chmod 600 {file}", "Выполните: chmod 600 {file}"),
        ),
        KeyPlace::Hidden(why) => Verdict::Unknown(text!(
            "The key file cannot be looked at: {why}.",
            "Файл ключа не удаётся проверить: {why}."
        )),
    }
}

fn graph_version(seen: &Seen) -> Verdict {
    let version = &seen.graph_version;
    let Some(end) = end_of(version) else {
        // A version that the table does not know is a newer one, or a very old one.
        return if version_number(version) > version_number("v25.0") {
            Verdict::FINE
        } else {
            expired(version)
        };
    };
    if end <= seen.now {
        return expired(version);
    }
    if end <= seen.now + VERSION_WARNING {
        let day = day(end);
        return Verdict::fault(
            text!(
                "Version {version} of Meta's API ends on {day}.",
                "Версия {version} API Meta перестанет работать {day}."
            ),
            newer(),
        );
    }
    Verdict::FINE
}

fn expired(version: &str) -> Verdict {
    Verdict::fault(
        text!(
            "Version {version} of Meta's API has ended; Meta answers with another one, whose answers may differ.",
            "Версия {version} API Meta больше не поддерживается; Meta отвечает другой версией, её ответы могут \
             отличаться."
        ),
        newer(),
    )
}

fn newer() -> Text {
    text!(
        "Take SEPARATOR_GRAPH_VERSION out of the settings to use the version that this program was made for.",
        "Уберите SEPARATOR_GRAPH_VERSION из настроек, чтобы использовать версию, для которой сделана эта программа."
    )
}

fn end_of(version: &str) -> Option<Millis> {
    let (_, day) = GRAPH_VERSIONS.iter().find(|(known, _)| *known == version)?;
    format!("{day}T00:00:00Z").parse().ok()
}

fn version_number(version: &str) -> u32 {
    version
        .trim_start_matches('v')
        .split('.')
        .next()
        .and_then(|major| major.parse().ok())
        .unwrap_or(0)
}

/// The day of a moment, as `2026-11-23`.
pub(super) fn day(moment: Millis) -> String {
    moment.to_string().chars().take(10).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::doctor::{Patient, verdict::State, verdict::judge_all};

    type Damage = fn(&mut Seen);

    fn healthy() -> Seen {
        Seen {
            folder: "/var/lib/separator".to_owned(),
            written: Ok(()),
            space: Ok(Space {
                free: 50 << 30,
                total: 100 << 30,
            }),
            database: Ok(()),
            clocks: vec![
                ("Meta", Ok(Duration::from_secs(1))),
                ("Bitrix24", Ok(Duration::from_secs(2))),
            ],
            key: KeyPlace::Settings,
            graph_version: "v25.0".to_owned(),
            now: "2026-11-25T00:00:00Z".parse().unwrap(),
        }
    }

    /// The checks that are red and those that do not know.
    fn found(seen: &Seen) -> (Vec<String>, Vec<String>) {
        let findings = judge_all(
            CHECKS,
            seen,
            &Patient::Installation.subject(&crate::registry::Registry::default()),
        );
        let of = |state| {
            findings
                .iter()
                .filter(|finding| finding.state == state)
                .map(|finding| finding.check.clone())
                .collect()
        };
        (of(State::Fault), of(State::Unknown))
    }

    #[test]
    fn one_fault_of_the_machine_turns_one_check_red() {
        assert_eq!(found(&healthy()), (vec![], vec![]));
        let faults: [(&str, Damage); 9] = [
            ("data_folder", |seen| {
                seen.written = Err("read-only file system".to_owned());
            }),
            ("disk_space", |seen| {
                seen.space = Ok(Space {
                    free: 500 << 20,
                    total: 1 << 40,
                });
            }),
            ("disk_space", |seen| {
                seen.space = Ok(Space {
                    free: 9 << 30,
                    total: 100 << 30,
                });
            }),
            ("database", |seen| {
                seen.database = Err("disk I/O error".to_owned());
            }),
            ("clock", |seen| {
                seen.clocks = vec![
                    ("Meta", Ok(Duration::from_secs(90))),
                    ("Bitrix24", Ok(Duration::from_secs(91))),
                ];
            }),
            ("encryption_key", |seen| {
                seen.key = KeyPlace::Open("key".to_owned());
            }),
            ("graph_version", |seen| {
                seen.graph_version = "v20.0".to_owned();
            }),
            ("graph_version", |seen| {
                seen.graph_version = "v21.0".to_owned();
            }),
            ("graph_version", |seen| {
                seen.graph_version = "v17.0".to_owned();
            }),
        ];
        for (check, seed) in faults {
            let mut seen = healthy();
            seed(&mut seen);
            assert_eq!(found(&seen), (vec![check.to_owned()], vec![]));
        }
    }

    #[test]
    fn what_cannot_be_looked_at_is_not_known() {
        let mut seen = healthy();
        seen.space = Err("not supported".to_owned());
        seen.clocks = vec![
            ("Meta", Err("no answer".to_owned())),
            ("Bitrix24", Err("no answer".to_owned())),
        ];
        seen.key = KeyPlace::Hidden("key: permission denied".to_owned());
        let unknown = ["disk_space", "clock", "encryption_key"]
            .map(str::to_owned)
            .to_vec();
        assert_eq!(found(&seen), (vec![], unknown));
        // One wrong clock among the others is not ours.
        seen.clocks = vec![
            ("Meta", Ok(Duration::from_hours(1))),
            ("Bitrix24", Ok(Duration::ZERO)),
        ];
        assert_eq!(clock(&seen), Verdict::FINE);
    }

    #[test]
    fn a_large_disk_needs_no_fifth_of_it() {
        let mut seen = healthy();
        seen.space = Ok(Space {
            free: 20 << 30,
            total: 1 << 40,
        });
        assert_eq!(disk_space(&seen), Verdict::FINE);
    }

    #[test]
    fn the_date_of_an_answer_is_read() {
        assert_eq!(
            http_date("Sun, 06 Nov 1994 08:49:37 GMT"),
            Some("1994-11-06T08:49:37Z".parse().unwrap())
        );
        assert_eq!(http_date("yesterday"), None);
    }
}
