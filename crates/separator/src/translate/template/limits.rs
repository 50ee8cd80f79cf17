//! What Meta demands of a template that is written: told before Meta is asked, each at its place.
//! Source: Meta, "Message templates: components".

use serde_json::Value;

/// Characters of a header's text.
const HEADER: usize = 60;
/// Characters of a body.
const BODY: usize = 1024;
/// Characters of a footer.
const FOOTER: usize = 60;
/// Buttons in all.
const BUTTONS: usize = 10;
/// Characters on a button.
const BUTTON_TEXT: usize = 25;
/// Minutes after which a one-time password can expire.
const EXPIRY: std::ops::RangeInclusive<i64> = 1..=90;
/// Apps into which a one-time password can be filled.
const APPS: usize = 5;
/// Characters of the hash of an Android app's signature.
const SIGNATURE: usize = 11;
/// Characters of a button's address.
const URL: usize = 2000;
/// Buttons of a kind that there may be.
const OF_A_KIND: [(&str, usize); 3] = [("URL", 2), ("PHONE_NUMBER", 1), ("COPY_CODE", 1)];

/// Something that Meta would refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// `header`, `body`, `footer` or `buttons`; empty: the whole.
    pub place: &'static str,
    /// What is wrong, as the end of a sentence that begins with the place.
    pub message: String,
}

fn text<'a>(component: &'a Value, name: &str) -> &'a str {
    component[name].as_str().unwrap_or_default()
}

fn is(component: &Value, name: &str, wanted: &str) -> bool {
    text(component, name).eq_ignore_ascii_case(wanted)
}

/// The names between `{{` and `}}` in their order, each once.
fn variables(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (name, _) in text
        .split("{{")
        .skip(1)
        .filter_map(|rest| rest.split_once("}}"))
    {
        if !found.contains(&name.trim()) {
            found.push(name.trim());
        }
    }
    found
}

/// Everything that Meta would refuse in these components. Kinds that are not known here are left to Meta.
pub fn faults(components: &Value, category: &str, named: bool) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut fault = |place: &'static str, message: String| faults.push(Fault { place, message });
    let Some(all) = components.as_array() else {
        fault("", "must be a list of components".to_owned());
        return faults;
    };
    for (kind, place) in [
        ("HEADER", "header"),
        ("BODY", "body"),
        ("FOOTER", "footer"),
        ("BUTTONS", "buttons"),
    ] {
        if all.iter().filter(|one| is(one, "type", kind)).count() > 1 {
            fault(place, "can be there only once".to_owned());
        }
    }
    if category.eq_ignore_ascii_case("AUTHENTICATION") {
        authentication(all, &mut fault);
        return faults;
    }
    if !all.iter().any(|one| is(one, "type", "BODY")) {
        fault("body", "is required".to_owned());
    }
    for component in all {
        match text(component, "type").to_ascii_uppercase().as_str() {
            "HEADER" => header(component, named, &mut fault),
            "BODY" => body(component, named, &mut fault),
            "FOOTER" => {
                let footer = text(component, "text");
                length("footer", footer, FOOTER, &mut fault);
                if !variables(footer).is_empty() {
                    fault("footer", "cannot have variables".to_owned());
                }
            }
            "BUTTONS" => buttons(component, &mut fault),
            _ => {}
        }
    }
    faults
}

/// Meta writes the texts of authentication templates itself, in each language; what can be chosen is the advice not to
/// share the code, its expiry, and the button that hands it over. Source: Meta, "Authentication templates".
fn authentication(all: &[Value], fault: &mut impl FnMut(&'static str, String)) {
    let part = |kind: &str| all.iter().find(|one| is(one, "type", kind));
    if part("HEADER").is_some() {
        fault(
            "header",
            "has no place in an authentication template".to_owned(),
        );
    }
    let body = part("BODY");
    if body.is_none() {
        fault("body", "is required".to_owned());
    } else if body.is_some_and(|body| !body["text"].is_null()) {
        fault(
            "body",
            "of an authentication template is written by Meta; leave its text out".to_owned(),
        );
    }
    if let Some(footer) = part("FOOTER") {
        let minutes = footer["code_expiration_minutes"].as_i64();
        if !minutes.is_some_and(|minutes| EXPIRY.contains(&minutes)) {
            let (least, most) = (EXPIRY.start(), EXPIRY.end());
            fault(
                "footer",
                format!("must say after how many minutes the code expires, {least} to {most}"),
            );
        }
    }
    let none = Vec::new();
    let buttons = part("BUTTONS").and_then(|one| one["buttons"].as_array());
    let [button] = buttons.unwrap_or(&none).as_slice() else {
        return fault(
            "buttons",
            "must be one: the one that hands over the code".to_owned(),
        );
    };
    let kinds = ["COPY_CODE", "ONE_TAP", "ZERO_TAP"];
    if !is(button, "type", "OTP") || !kinds.iter().any(|kind| is(button, "otp_type", kind)) {
        let kinds = kinds.join(", ");
        return fault(
            "buttons",
            format!("must be of the kind OTP, with an otp_type of {kinds}"),
        );
    }
    for name in ["text", "autofill_text"] {
        if text(button, name).chars().count() > BUTTON_TEXT {
            fault(
                "buttons",
                format!("must have at most {BUTTON_TEXT} characters on them"),
            );
        }
    }
    if is(button, "otp_type", "COPY_CODE") {
        return;
    }
    let apps = button["supported_apps"].as_array().unwrap_or(&none);
    if apps.is_empty() || apps.len() > APPS {
        fault(
            "buttons",
            format!("need 1 to {APPS} Android apps into which the code is filled"),
        );
    }
    for app in apps {
        let package = text(app, "package_name");
        let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
        if !package.contains('.') || !package.bytes().all(good) {
            fault(
                "buttons",
                format!("name the app “{package}”; write its package, such as com.example.shop"),
            );
        }
        if text(app, "signature_hash").chars().count() != SIGNATURE {
            fault(
                "buttons",
                format!("need the hash of the app's signature, which has {SIGNATURE} characters"),
            );
        }
    }
}

fn length(
    place: &'static str,
    text: &str,
    most: usize,
    fault: &mut impl FnMut(&'static str, String),
) {
    let found = text.chars().count();
    if text.trim().is_empty() {
        fault(place, "cannot be empty".to_owned());
    } else if found > most {
        fault(
            place,
            format!("has {found} characters; at most {most} are taken"),
        );
    }
}

fn header(component: &Value, named: bool, fault: &mut impl FnMut(&'static str, String)) {
    match text(component, "format").to_ascii_uppercase().as_str() {
        "TEXT" => {
            let written = text(component, "text");
            length("header", written, HEADER, fault);
            let found = variables(written);
            if found.len() > 1 {
                fault("header", "can have at most one variable".to_owned());
            }
            names("header", &found, named, fault);
            let example = &component["example"];
            let samples = [
                &example["header_text"],
                &example["header_text_named_params"],
            ]
            .into_iter()
            .filter_map(Value::as_array)
            .map(Vec::len)
            .sum::<usize>();
            sampled("header", found.len(), samples, fault);
        }
        "IMAGE" | "VIDEO" | "GIF" | "DOCUMENT" => {
            if component["example"]["header_handle"][0]
                .as_str()
                .is_none_or(str::is_empty)
            {
                fault(
                    "header",
                    "needs a sample of its file: an address in example.header_handle".to_owned(),
                );
            }
        }
        "LOCATION" | "PRODUCT" => {}
        _ => fault(
            "header",
            "must have a format: TEXT, IMAGE, VIDEO, GIF, DOCUMENT or LOCATION".to_owned(),
        ),
    }
}

fn body(component: &Value, named: bool, fault: &mut impl FnMut(&'static str, String)) {
    let written = text(component, "text");
    length("body", written, BODY, fault);
    let trimmed = written.trim();
    if trimmed.starts_with("{{") || trimmed.ends_with("}}") {
        fault("body", "cannot begin or end with a variable".to_owned());
    }
    let found = variables(written);
    names("body", &found, named, fault);
    let example = &component["example"];
    let samples = if named {
        example["body_text_named_params"]
            .as_array()
            .map_or(0, Vec::len)
    } else {
        example["body_text"][0].as_array().map_or(0, Vec::len)
    };
    sampled("body", found.len(), samples, fault);
}

fn sampled(
    place: &'static str,
    variables: usize,
    samples: usize,
    fault: &mut impl FnMut(&'static str, String),
) {
    if samples < variables {
        fault(
            place,
            format!("needs a sample for each of its {variables} variables; {samples} are given"),
        );
    }
}

fn names(
    place: &'static str,
    found: &[&str],
    named: bool,
    fault: &mut impl FnMut(&'static str, String),
) {
    for (index, name) in found.iter().enumerate() {
        let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if named && (name.is_empty() || !name.bytes().all(good)) {
            fault(
                place,
                format!(
                    "has the variable {{{{{name}}}}}; names are lower-case letters, digits and underscores"
                ),
            );
        } else if !named && **name != (index + 1).to_string() {
            fault(
                place,
                format!(
                    "has {{{{{name}}}}} where {{{{{}}}}} belongs: variables are numbered from 1",
                    index + 1
                ),
            );
        }
    }
}

fn buttons(component: &Value, fault: &mut impl FnMut(&'static str, String)) {
    let none = Vec::new();
    let all = component["buttons"].as_array().unwrap_or(&none);
    if all.is_empty() || all.len() > BUTTONS {
        fault("buttons", format!("must be 1 to {BUTTONS}"));
    }
    for (kind, most) in OF_A_KIND {
        let found = all.iter().filter(|one| is(one, "type", kind)).count();
        if found > most {
            fault(
                "buttons",
                format!("can have at most {most} of the kind {kind}"),
            );
        }
    }
    let quick: Vec<bool> = all
        .iter()
        .map(|one| is(one, "type", "QUICK_REPLY"))
        .collect();
    if quick.windows(2).filter(|pair| pair[0] != pair[1]).count() > 1 {
        fault(
            "buttons",
            "must have all quick replies next to each other".to_owned(),
        );
    }
    for (index, button) in all.iter().enumerate() {
        let number = index + 1;
        let label = text(button, "text").chars().count();
        let has_label = !is(button, "type", "COPY_CODE") && !is(button, "type", "OTP");
        if has_label && !(1..=BUTTON_TEXT).contains(&label) {
            fault(
                "buttons",
                format!(
                    "must have 1 to {BUTTON_TEXT} characters on them; number {number} has {label}"
                ),
            );
        }
        if is(button, "type", "URL") {
            let url = text(button, "url");
            let places = url.matches("{{").count();
            if !url.starts_with("https://") && !url.starts_with("http://")
                || url.chars().count() > URL
            {
                fault(
                    "buttons",
                    format!(
                        "must open an address of at most {URL} characters; number {number} does not"
                    ),
                );
            } else if places > 1 || (places == 1 && !url.ends_with("}}")) {
                fault(
                    "buttons",
                    format!(
                        "can have one variable, at the end of the address; number {number} has it elsewhere"
                    ),
                );
            } else if places == 1 && button["example"][0].as_str().is_none_or(str::is_empty) {
                fault(
                    "buttons",
                    format!("need a sample of an address that varies; number {number} has none"),
                );
            }
        }
        if is(button, "type", "PHONE_NUMBER")
            && !(1..=20).contains(&text(button, "phone_number").len())
        {
            fault(
                "buttons",
                format!("must call a number of at most 20 characters; number {number} does not"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn places(components: &Value, named: bool) -> Vec<&'static str> {
        let mut places: Vec<_> = faults(components, "UTILITY", named)
            .into_iter()
            .map(|fault| fault.place)
            .collect();
        places.dedup();
        places
    }

    #[test]
    fn of_an_authentication_template_only_its_choices_are_given() {
        let body = json!({"type": "BODY", "add_security_recommendation": true});
        let footer = |minutes: i64| json!({"type": "FOOTER", "code_expiration_minutes": minutes});
        let button = |button: Value| json!({"type": "BUTTONS", "buttons": [button]});
        let copy = button(json!({"type": "OTP", "otp_type": "COPY_CODE", "text": "Copy"}));
        let tap = |package: &str, hash: &str| {
            button(
                json!({"type": "OTP", "otp_type": "ONE_TAP", "text": "Copy", "autofill_text": "Fill in",
                "supported_apps": [{"package_name": package, "signature_hash": hash}]}),
            )
        };
        let cases: Vec<(Value, Vec<&str>)> = vec![
            (json!([body, copy]), vec![]),
            (json!([body, footer(10), copy]), vec![]),
            (
                json!([body, tap("com.example.shop", "K8a/AINcGX7")]),
                vec![],
            ),
            (json!([copy]), vec!["body"]),
            (json!([body]), vec!["buttons"]),
            (
                json!([{"type": "BODY", "text": "{{1}} is your code."}, copy]),
                vec!["body"],
            ),
            (json!([body, footer(91), copy]), vec!["footer"]),
            (
                json!([body, {"type": "HEADER", "format": "TEXT", "text": "x"}, copy]),
                vec!["header"],
            ),
            (
                json!([body, button(json!({"type": "URL", "text": "x"}))]),
                vec!["buttons"],
            ),
            (json!([body, tap("shop", "K8a/AINcGX7")]), vec!["buttons"]),
            (json!([body, tap("com.example.shop", "x")]), vec!["buttons"]),
        ];
        for (components, expected) in cases {
            let mut places: Vec<_> = faults(&components, "AUTHENTICATION", false)
                .into_iter()
                .map(|fault| fault.place)
                .collect();
            places.dedup();
            assert_eq!(places, expected, "{components}");
        }
    }

    #[test]
    fn what_meta_would_refuse_is_told_at_its_place() {
        let body =
            json!({"type": "BODY", "text": "Hello {{1}}.", "example": {"body_text": [["Lena"]]}});
        let button = |kind: &str, text: &str| json!({"type": kind, "text": text, "url": "https://a.example/{{1}}", "example": ["x"], "phone_number": "+49"});
        let buttons = |all: Vec<Value>| json!({"type": "BUTTONS", "buttons": all});
        let with = |other: Value| json!([body, other]);
        let cases: Vec<(Value, Vec<&str>)> = vec![
            (json!([body]), vec![]),
            (json!("odd"), vec![""]),
            (json!([]), vec!["body"]),
            (json!([body, body]), vec!["body"]),
            (json!([{"type": "body", "text": ""}]), vec!["body"]),
            (
                json!([{"type": "BODY", "text": "x".repeat(1025)}]),
                vec!["body"],
            ),
            (
                json!([{"type": "BODY", "text": "Hello {{1}}.", "example": {}}]),
                vec!["body"],
            ),
            (
                json!([{"type": "BODY", "text": "Hello {{2}}.", "example": {"body_text": [["a"]]}}]),
                vec!["body"],
            ),
            (
                json!([{"type": "BODY", "text": "{{1}} hello", "example": {"body_text": [["a"]]}}]),
                vec!["body"],
            ),
            (
                with(json!({"type": "HEADER", "format": "TEXT", "text": "x".repeat(61)})),
                vec!["header"],
            ),
            (
                with(
                    json!({"type": "HEADER", "format": "TEXT", "text": "{{1}} {{2}}", "example": {"header_text": ["a", "b"]}}),
                ),
                vec!["header"],
            ),
            (
                with(json!({"type": "HEADER", "format": "IMAGE"})),
                vec!["header"],
            ),
            (
                with(json!({"type": "HEADER", "format": "LOCATION"})),
                vec![],
            ),
            (with(json!({"type": "HEADER"})), vec!["header"]),
            (
                with(json!({"type": "FOOTER", "text": "to {{1}}"})),
                vec!["footer"],
            ),
            (with(buttons(vec![])), vec!["buttons"]),
            (
                with(buttons(vec![
                    button("URL", "Open"),
                    button("QUICK_REPLY", "Yes"),
                    button("QUICK_REPLY", "No"),
                ])),
                vec![],
            ),
            (
                with(buttons(vec![
                    button("QUICK_REPLY", "Yes"),
                    button("URL", "Open"),
                    button("QUICK_REPLY", "No"),
                ])),
                vec!["buttons"],
            ),
            (
                with(buttons(vec![
                    button("URL", "a"),
                    button("URL", "b"),
                    button("URL", "c"),
                ])),
                vec!["buttons"],
            ),
            (
                with(buttons(vec![button("QUICK_REPLY", &"x".repeat(26))])),
                vec!["buttons"],
            ),
            (
                with(buttons(vec![
                    json!({"type": "URL", "text": "a", "url": "https://a.example/{{1}}/b"}),
                ])),
                vec!["buttons"],
            ),
        ];
        for (components, expected) in cases {
            assert_eq!(places(&components, false), expected, "{components}");
        }
        let named = json!([{"type": "BODY", "text": "Hello {{first_name}}.",
            "example": {"body_text_named_params": [{"param_name": "first_name", "example": "Lena"}]}}]);
        assert_eq!(places(&named, true), Vec::<&str>::new());
        assert_eq!(places(&named, false), vec!["body"]);
    }
}
