//! Escaping by the rules of each format. None of these takes line breaks: [`Plan::new`](super::Plan::new) refuses them.

/// A value in a configuration file of Asterisk, which must stand behind `name = `: a semicolon would begin a comment. A
/// backslash means something only in front of a semicolon, and a `>` only right behind the `=`.
pub(super) fn asterisk(value: &str) -> String {
    value.replace(';', "\\;")
}

/// Text within an attribute of FreeSWITCH's XML. The dollar is written as an entity too, because FreeSWITCH replaces
/// `$${name}` before it reads the XML.
pub(super) fn xml(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for character in value.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '$' => escaped.push_str("&#36;"),
            other => escaped.push(other),
        }
    }
    escaped
}
