//! What the program says while it runs: lines on standard error, as text or as JSON.
//!
//! Telephone numbers belong to people. Log lines name them through [`phone`], which leaves only the
//! last three digits (`…543`) unless debugging was asked for: with the filter
//! `separator::phones=debug` (or `debug` for everything) they are written in full. So the setting
//! `SEPARATOR_LOG=info,separator::phones=debug` shows numbers and nothing else that is new.

use std::{fmt, io, io::IsTerminal, str::FromStr};

use tracing::{Level, Subscriber};
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

/// The target whose level decides whether telephone numbers are written in full.
pub const PHONES_TARGET: &str = "separator::phones";

/// How log lines are written: the setting `SEPARATOR_LOG_FORMAT`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One readable line each.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// A name is none of a log format.
#[derive(Debug, thiserror::Error)]
#[error("log formats are `text` and `json`")]
pub struct NotALogFormat;

impl FromStr for LogFormat {
    type Err = NotALogFormat;

    fn from_str(name: &str) -> Result<Self, NotALogFormat> {
        match name {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(NotALogFormat),
        }
    }
}

/// Logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter cannot be understood.
    #[error("the log filter `{filter}` cannot be understood: {why}")]
    Filter {
        /// The filter as it was set.
        filter: String,
        /// What is wrong with it.
        why: String,
    },
    /// Something else in this process has set up logging already.
    #[error("logging was set up before")]
    AlreadySet,
}

/// Sends the log lines of the whole process to standard error.
pub fn init(filter: &str, format: LogFormat) -> Result<(), LoggingError> {
    let colours = io::stderr().is_terminal();
    let subscriber = subscriber(filter, format, colours, io::stderr)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LoggingError::AlreadySet)
}

/// Checks a filter such as `info` or `warn,separator=debug`.
pub fn check_filter(filter: &str) -> Result<(), LoggingError> {
    parse_filter(filter).map(drop)
}

fn parse_filter(filter: &str) -> Result<EnvFilter, LoggingError> {
    let fault = |why: String| LoggingError::Filter {
        filter: filter.to_owned(),
        why,
    };
    if filter.trim().is_empty() {
        return Err(fault("it is empty".to_owned()));
    }
    EnvFilter::builder()
        .parse(filter)
        .map_err(|error| fault(error.to_string()))
}

/// A subscriber that writes to `writer`; where it is installed is the caller's choice.
pub fn subscriber<W>(
    filter: &str,
    format: LogFormat,
    colours: bool,
    writer: W,
) -> Result<Box<dyn Subscriber + Send + Sync>, LoggingError>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt()
        .with_env_filter(parse_filter(filter)?)
        .with_ansi(colours)
        // A line that cannot be written is reported on standard error, by a macro that panics where that cannot be
        // written either, as when the log and the database share a full disk. A lost line must not end a task.
        .log_internal_errors(false)
        .with_writer(writer);
    Ok(match format {
        LogFormat::Text => Box::new(lines.finish()),
        LogFormat::Json => Box::new(lines.json().flatten_event(true).finish()),
    })
}

/// A telephone number, or another id of a person, for a log line.
///
/// Whether it is shown in full is decided here and not when it is written, because a subscriber
/// that is busy writing a line does not answer questions.
pub fn phone(number: &str) -> impl fmt::Display + '_ {
    Phone {
        number,
        full: tracing::enabled!(target: PHONES_TARGET, Level::DEBUG),
    }
}

struct Phone<'text> {
    number: &'text str,
    full: bool,
}

impl fmt::Display for Phone<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.full {
            return formatter.write_str(self.number);
        }
        formatter.write_str("…")?;
        // Three digits of a short number would be most of it.
        let count = self.number.chars().count();
        if count < 7 {
            return Ok(());
        }
        self.number
            .chars()
            .skip(count - 3)
            .try_for_each(|digit| write!(formatter, "{digit}"))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::{
        io::Write,
        sync::{Arc, Mutex},
    };

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(filter: &str, format: LogFormat, log: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(filter, format, false, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, log);
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn one_call() {
        tracing::info!(customer = %phone("491701234543"), "a message came in");
        tracing::debug!("details");
    }

    #[test]
    fn a_number_is_masked_unless_phones_are_asked_for() {
        for (filter, full) in [
            ("info", false),
            ("info,separator::phones=info", false),
            ("info,separator::phones=debug", true),
            ("debug", true),
            ("debug,separator::phones=off", false),
        ] {
            let text = logged(filter, LogFormat::Text, one_call);
            assert_eq!(text.contains("491701234543"), full, "{filter}: {text}");
            assert_eq!(text.contains("…543"), !full, "{filter}: {text}");
        }
    }

    #[test]
    fn showing_phones_does_not_show_other_details() {
        let text = logged("info,separator::phones=debug", LogFormat::Text, one_call);
        assert_eq!(text.lines().count(), 1, "{text}");
    }

    #[test]
    fn without_a_subscriber_a_number_is_masked() {
        let none = tracing::subscriber::NoSubscriber::default();
        tracing::subscriber::with_default(none, || {
            for (number, shown) in [
                ("491701234543", "…543"),
                ("12345", "…"),
                ("", "…"),
                ("DE.12345é", "…45é"),
            ] {
                assert_eq!(phone(number).to_string(), shown);
            }
        });
    }

    #[test]
    fn json_lines_are_objects_with_the_fields_on_top() {
        let text = logged("info", LogFormat::Json, one_call);
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["message"], "a message came in");
        assert_eq!(line["customer"], "…543");
        assert_eq!(line["level"], "INFO");
    }

    #[test]
    fn unusable_filters_are_named() {
        for filter in ["", " ", "info,separator=loud", "a=b=c"] {
            let message = check_filter(filter).unwrap_err().to_string();
            assert!(message.contains(&format!("`{filter}`")), "{message}");
        }
        for filter in [
            "info",
            "off",
            "warn,separator=debug",
            "separator::phones=debug",
        ] {
            assert!(check_filter(filter).is_ok(), "{filter}");
        }
    }

    #[test]
    fn formats_have_two_names() {
        assert_eq!("text".parse::<LogFormat>().unwrap(), LogFormat::Text);
        assert_eq!("json".parse::<LogFormat>().unwrap(), LogFormat::Json);
        assert!("JSON".parse::<LogFormat>().is_err());
    }
}
