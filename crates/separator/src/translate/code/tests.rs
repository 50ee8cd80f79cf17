#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const DOCUMENT: &str = include_str!("../../../../../docs/template-codes.md");

/// The rows of the document's tables: what is written, and what it reads as.
fn rows() -> Vec<(String, &'static str)> {
    let mut rows = Vec::new();
    let mut inside = false;
    for line in DOCUMENT.lines() {
        match line.trim() {
            "```codes" => inside = true,
            "```" => inside = false,
            line if inside && !line.is_empty() => {
                let (written, read) = line.split_once(" => ").expect("each row has an arrow");
                rows.push((written.trim_end().replace('⏎', "\n"), read.trim()));
            }
            _ => {}
        }
    }
    rows
}

fn described(reading: Option<Result<Code, Malformed>>) -> Value {
    let code = match reading {
        None => return json!("text"),
        Some(Err(malformed)) => {
            return json!(match malformed {
                Malformed::NoName => "refused: no name",
                Malformed::BadName(_) => "refused: not a name",
                Malformed::Unclosed => "refused: unclosed escape",
                Malformed::TwoFiles => "refused: two files",
                Malformed::NotAlone => "refused: not alone",
            });
        }
        Some(Ok(code)) => code,
    };
    let mut shown = json!({ "name": code.name });
    if code.kind == Kind::Interactive {
        shown["kind"] = json!("interactive");
    }
    if let Some(language) = code.language {
        shown["language"] = json!(language);
    }
    if let Some(file) = code.file {
        shown["file"] = json!(file);
    }
    if !code.values.is_empty() {
        shown["values"] = json!(code.values);
    }
    shown
}

#[test]
fn every_row_of_the_document_reads_as_it_says() {
    let rows = rows();
    assert!(rows.len() >= 40, "only {} rows were found", rows.len());
    for (written, read) in rows {
        let wanted: Value = serde_json::from_str(read).unwrap_or_else(|_| json!(read));
        let reading = match written.strip_prefix("SMS: ") {
            Some(bare) => parse(bare).or_else(|| parse_bare(bare)),
            None => parse(&written),
        };
        assert_eq!(described(reading.clone()), wanted, "{written}");
        if let Some(Ok(code)) = reading {
            assert_eq!(parse(&code.to_string()), Some(Ok(code)), "{written}");
        }
    }
}

#[test]
fn what_is_printed_is_the_shortest_form() {
    for text in [
        "template-hello_world",
        "template-hello_world+en_US",
        "template-hello_world+en_US+value1|value2",
        "template-hello_world+file_link:https://file_link.url",
        "template-hello_world+en_US+file_link:https://file_link.url|value1|value2",
        "template-hello_world++de",
        r"template-a+de+1\|2|c\\",
        "interactive+menu",
        "interactive+menu|Anna|1+1",
    ] {
        assert_eq!(parse(text).unwrap().unwrap().to_string(), text);
    }
}

fn code() -> impl Strategy<Value = Code> {
    let value = r"[a-z+|\\ :_%\n]{0,8}".prop_map(|value| value.trim().to_owned());
    let value = value.prop_filter("no second file", |value| strip_word(value, FILE).is_none());
    let language = prop_oneof![Just("de"), Just("en_US"), Just("EN-us"), Just("fil")];
    let file = r"https://[a-z.]{1,8}/[a-z+%|\\]{0,6}";
    (
        any::<bool>(),
        "[a-z0-9_]{1,12}",
        prop::option::of(language),
        prop::option::of(file),
        prop::collection::vec(value, 0..5),
    )
        .prop_map(|(interactive, name, language, file, mut values)| {
            if file.is_none() && values == [""] {
                // One value that is nothing is no value.
                values.clear();
            }
            Code {
                kind: if interactive {
                    Kind::Interactive
                } else {
                    Kind::Template
                },
                name,
                language: language.filter(|_| !interactive).map(str::to_owned),
                file,
                values,
            }
        })
}

proptest! {
    #[test]
    fn whatever_is_printed_reads_as_the_same_code(code in code()) {
        prop_assert_eq!(parse(&code.to_string()), Some(Ok(code)));
    }

    #[test]
    fn whatever_parses_prints_back(rest in r"[a-z_]{0,6}[+|\\a-z_: \n]{0,40}", form in 0..3) {
        let read = match form {
            0 => parse_bare(&rest),
            1 => parse(&format!("template-{rest}")),
            _ => parse(&format!("interactive+{rest}")),
        };
        if let Some(Ok(code)) = read {
            prop_assert_eq!(parse(&code.to_string()), Some(Ok(code)));
        }
    }

    #[test]
    fn no_input_panics(text in any::<String>()) {
        let _ = parse(&text);
        let _ = parse_bare(&text);
        let _ = parse(&format!("template-{text}"));
        let _ = parse(&format!("TEMPLATE+a+{text}"));
        let _ = parse(&format!("interactive+{text}"));
    }
}
