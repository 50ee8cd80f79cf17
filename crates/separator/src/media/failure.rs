//! Why a file could not be had: whether it is worth trying again, what is kept of it, and what is said in the chat.
//!
//! What is kept in `media.error` is a word for the trouble and the reason: `gone: Meta no longer has the file`.

use std::{io, time::Duration};

use reqwest::StatusCode;
use whatsapp::codes::Class;

use super::{MAX_BYTES, folder::Interrupted};
use crate::{
    outgoing::{FetchError, Forbidden},
    translate::notes::FileTrouble,
};

/// How long to wait after each failed try; from then on the last one holds.
const WAITS: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_mins(2),
    Duration::from_mins(10),
];
/// Tries after the first for an answer that is seldom different the next time: 6 seconds.
const FEW: i64 = 2;
/// Tries after the first for what passes by itself: almost 13 minutes.
const USUAL: i64 = 5;
/// Tries after the first for what somebody has to put right here: about an hour.
const PATIENT: i64 = 10;
/// Tries after the first while the number's token does not work: more than six days. Meta keeps the files of customers for
/// seven (Meta: media), and none of them is to be lost because nobody was there at the weekend.
const TOKEN: i64 = 900;

/// A try to fetch a file failed. The text is the reason as the operator reads it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// It has more bytes than are carried.
    #[error("the file is larger than {} MB", MAX_BYTES / 1024 / 1024)]
    TooLarge,
    /// Nothing came.
    #[error("the file is empty")]
    Empty,
    /// The row does not say where it is.
    #[error("it is not known where the file is")]
    NoSource,
    /// The address is none.
    #[error("the address of the file is not valid")]
    NoAddress,
    /// The address, or one that it redirects to, may not be called.
    #[error("the address of the file may not be called")]
    Forbidden(Forbidden),
    /// The portal refused.
    #[error("the portal answered with HTTP {}", .0.as_u16())]
    Portal(StatusCode),
    /// The portal showed a page, mostly its login or "file not found".
    #[error("the portal answered with a web page instead of the file")]
    Page,
    /// No answer came, or it broke off.
    #[error("{sender} could not be reached or broke off")]
    Connection {
        /// Who.
        sender: &'static str,
        /// What the connection said, for the log; no address is in it.
        cause: String,
    },
    /// The time limit was reached.
    #[error("{0} did not deliver the file in time")]
    Time(&'static str),
    /// The number has no access token, or is gone.
    #[error("the number has no access token")]
    NoToken,
    /// Meta refused.
    #[error("{}", meta_reason(.0))]
    Meta(whatsapp::Error),
    /// The disk refused.
    #[error("the file could not be stored here")]
    Disk(#[from] io::Error),
}

impl Failure {
    /// When to try again after `attempts` earlier failures; `None` to give the file up.
    pub(super) fn wait(&self, attempts: i64) -> Option<Duration> {
        let (tries, least) = self.patience();
        if attempts >= tries {
            return None;
        }
        let step = usize::try_from(attempts).unwrap_or(0).min(WAITS.len() - 1);
        Some(WAITS[step].max(least))
    }

    /// The same for a file whose address somebody wrote into a message: it is right or wrong at once, and who waits for
    /// the message wants to know.
    pub(super) fn wait_for_link(&self, attempts: i64) -> Option<Duration> {
        let once = matches!(self, Self::Connection { .. } | Self::Disk(_)) && attempts == 0;
        once.then_some(WAITS[0])
    }

    /// What is kept in `media.error`; [`trouble`] reads it.
    pub(super) fn kept(&self) -> String {
        let trouble = self.trouble();
        let word = TROUBLES.iter().find(|(known, _)| *known == trouble);
        format!("{}: {self}", word.map_or("", |(_, word)| *word))
    }

    fn trouble(&self) -> FileTrouble {
        match self {
            Self::TooLarge => FileTrouble::TooLarge,
            Self::NoSource | Self::NoAddress => FileTrouble::Gone,
            Self::Portal(StatusCode::NOT_FOUND | StatusCode::GONE) => FileTrouble::Gone,
            Self::Portal(status) if !passes(*status) => FileTrouble::Refused,
            Self::Forbidden(_) => FileTrouble::Forbidden,
            Self::NoToken => FileTrouble::Refused,
            Self::Portal(_) | Self::Connection { .. } | Self::Time(_) => FileTrouble::Unreachable,
            Self::Page => FileTrouble::Page,
            Self::Empty | Self::Disk(_) => FileTrouble::Damaged,
            Self::Meta(error) => meta_trouble(error),
        }
    }

    /// How often to try again, and how long to wait at least.
    fn patience(&self) -> (i64, Duration) {
        let tries = match self {
            Self::TooLarge | Self::NoSource | Self::NoAddress | Self::Forbidden(_) => 0,
            Self::Empty | Self::Page => FEW,
            Self::Portal(status) if passes(*status) => USUAL,
            Self::Portal(_) => FEW,
            Self::Connection { .. } | Self::Time(_) => USUAL,
            Self::NoToken => TOKEN,
            Self::Disk(_) => PATIENT,
            Self::Meta(error) => return meta_patience(error),
        };
        (tries, Duration::ZERO)
    }
}

/// The words that stand for the troubles in `media.error`.
const TROUBLES: [(FileTrouble, &str); 7] = [
    (FileTrouble::Gone, "gone"),
    (FileTrouble::Unreachable, "unreachable"),
    (FileTrouble::Refused, "refused"),
    (FileTrouble::TooLarge, "too large"),
    (FileTrouble::Damaged, "damaged"),
    (FileTrouble::Page, "page"),
    (FileTrouble::Forbidden, "forbidden"),
];

/// What to say in the chat about a file with this `media.error`.
pub fn trouble(error: Option<&str>) -> FileTrouble {
    let word = error
        .and_then(|error| error.split_once(": "))
        .map(|(word, _)| word);
    let row = TROUBLES.iter().find(|(_, known)| Some(*known) == word);
    row.map_or(FileTrouble::Unreachable, |(trouble, _)| *trouble)
}

fn meta_trouble(error: &whatsapp::Error) -> FileTrouble {
    use whatsapp::Error;
    match (error, error.class()) {
        // "Object does not exist", which is all that Meta says about an old media id.
        (Error::Api(error), _) if error.code == Some(100) => FileTrouble::Gone,
        (Error::Api(_), Class::Refused | Class::Fix | Class::Blocked) => FileTrouble::Refused,
        (Error::Http { status: 404 | 410 } | Error::Request(_), _) => FileTrouble::Gone,
        (Error::Http { status: 401 | 403 } | Error::ForeignHost(_), _) => FileTrouble::Refused,
        _ => FileTrouble::Unreachable,
    }
}

fn passes(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY
        )
}

fn meta_patience(error: &whatsapp::Error) -> (i64, Duration) {
    match error.class() {
        Class::Refused | Class::Fix => (0, Duration::ZERO),
        Class::Retry { at_most: Some(_) } => (FEW, Duration::ZERO),
        Class::Retry { at_most: None } | Class::Unknown => (USUAL, Duration::ZERO),
        Class::Blocked => (TOKEN, Duration::ZERO),
        Class::Later { wait } | Class::Limited { wait, .. } => (PATIENT, wait.min(WAITS[4])),
    }
}

fn meta_reason(error: &whatsapp::Error) -> String {
    use whatsapp::Error;
    match (error, error.class()) {
        (Error::Api(_), Class::Blocked) => "Meta refuses the access to the number".to_owned(),
        (Error::Api(error), _) => format!("Meta refused: {error}"),
        (Error::Http { status: 404 | 410 }, _) => "Meta no longer has the file".to_owned(),
        (Error::Http { status }, _) => format!("Meta answered with HTTP {status}"),
        (Error::Unreachable(_) | Error::Unknown(_), _) => "Meta did not answer".to_owned(),
        (Error::Malformed(_) | Error::Request(_) | Error::ForeignHost(_), _) => {
            "Meta did not say where the file is".to_owned()
        }
    }
}

impl From<whatsapp::Error> for Failure {
    fn from(error: whatsapp::Error) -> Self {
        Self::Meta(error)
    }
}

impl Failure {
    /// What it means that a request to the portal got no answer.
    pub(super) fn unanswered(error: FetchError) -> Self {
        match error {
            FetchError::Forbidden(forbidden) => Self::Forbidden(forbidden),
            FetchError::Http(error) if error.is_timeout() => Self::Time("the portal"),
            error @ FetchError::Http(_) => Self::Connection {
                sender: "the portal",
                cause: error.to_string(),
            },
        }
    }

    /// Less came than was announced, and nothing else told of the break.
    pub(super) fn cut(sender: &'static str) -> Self {
        let cause = "the connection ended before the announced size".to_owned();
        Self::Connection { sender, cause }
    }

    /// What it means that the file of `sender` did not come to its end.
    pub(super) fn interrupted(
        interrupted: Interrupted<reqwest::Error>,
        sender: &'static str,
    ) -> Self {
        match interrupted {
            Interrupted::TooLarge => Self::TooLarge,
            Interrupted::Stream(error) if error.is_timeout() => Self::Time(sender),
            Interrupted::Stream(error) => Self::Connection {
                sender,
                cause: FetchError::from(error).to_string(),
            },
            Interrupted::Disk(error) => Self::Disk(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use whatsapp::ApiError;

    use super::*;

    fn api(code: i64, message: &str) -> Failure {
        Failure::Meta(whatsapp::Error::Api(Box::new(ApiError {
            code: Some(code),
            message: message.to_owned(),
            ..ApiError::default()
        })))
    }

    /// Seconds from the first try to the one after which the file is given up.
    fn lasts(failure: &Failure) -> u64 {
        (0..)
            .map_while(|attempts| failure.wait(attempts))
            .map(|wait| wait.as_secs())
            .sum()
    }

    #[test]
    fn each_failure_has_its_patience_and_its_words() {
        use whatsapp::Error;
        let io = || io::Error::other("secret path");
        for (failure, seconds, kept) in [
            (
                Failure::TooLarge,
                0,
                "too large: the file is larger than 100 MB",
            ),
            (
                Failure::NoAddress,
                0,
                "gone: the address of the file is not valid",
            ),
            (
                Failure::Forbidden(Forbidden::NoHost),
                0,
                "forbidden: the address of the file may not be called",
            ),
            (
                Failure::Page,
                6,
                "page: the portal answered with a web page instead of the file",
            ),
            (
                Failure::Portal(StatusCode::NOT_FOUND),
                6,
                "gone: the portal answered with HTTP 404",
            ),
            (
                Failure::Portal(StatusCode::BAD_GATEWAY),
                756,
                "unreachable: the portal answered with HTTP 502",
            ),
            (
                Failure::Portal(StatusCode::TOO_MANY_REQUESTS),
                756,
                "unreachable: the portal answered with HTTP 429",
            ),
            (
                Failure::cut("Meta"),
                756,
                "unreachable: Meta could not be reached or broke off",
            ),
            (
                Failure::Time("the portal"),
                756,
                "unreachable: the portal did not deliver the file in time",
            ),
            (
                Failure::NoToken,
                537_756,
                "refused: the number has no access token",
            ),
            (
                Failure::Disk(io()),
                3756,
                "damaged: the file could not be stored here",
            ),
            (
                api(190, "token expired"),
                537_756,
                "refused: Meta refuses the access to the number",
            ),
            (
                api(131_000, "odd"),
                6,
                "unreachable: Meta refused: odd (131000)",
            ),
            (api(2, "busy"), 756, "unreachable: Meta refused: busy (2)"),
            (
                api(100, "no such object"),
                0,
                "gone: Meta refused: no such object (100)",
            ),
            (
                Failure::Meta(Error::Http { status: 404 }),
                6,
                "gone: Meta no longer has the file",
            ),
            (
                Failure::Meta(Error::Unknown("secret".into())),
                756,
                "unreachable: Meta did not answer",
            ),
            (
                Failure::Meta(Error::ForeignHost("evil".into())),
                0,
                "refused: Meta did not say where the file is",
            ),
        ] {
            assert_eq!(failure.kept(), kept);
            assert_eq!(trouble(Some(kept)), failure.trouble(), "{kept}");
            assert_eq!(lasts(&failure), seconds, "{kept}");
        }
    }

    #[test]
    fn what_was_kept_in_other_words_is_still_said() {
        for error in [None, Some(""), Some("gone"), Some("moon: full")] {
            assert_eq!(trouble(error), FileTrouble::Unreachable, "{error:?}");
        }
    }

    #[test]
    fn a_limit_is_waited_for() {
        let limited = Failure::Meta(whatsapp::Error::Http { status: 429 });
        assert_eq!(limited.wait(0), Some(Duration::from_secs(10)));
        assert_eq!(limited.wait(2), Some(Duration::from_secs(30)));
        assert_eq!(limited.wait(PATIENT), None);
    }
}
