//! Who is who: one person, one chat, from whichever side and under whichever id first.
//!
//! Meta's `wa_id` is the truth for sending; for recognising, numbers of countries that write one subscriber in two ways
//! are brought into one form.

/// The form under which a phone number is recognised: digits, with Brazil's ninth digit, Mexico's `1` and Argentina's
/// `9` after the country code taken away where the number can be written with and without it.
pub fn canonical(digits: &str) -> String {
    let digits: String = digits.chars().filter(char::is_ascii_digit).collect();
    // Brazil: 55, two digits of area, then nine digits that start with 9 for a mobile; older ids lack that 9.
    if let Some(rest) = digits.strip_prefix("55")
        && rest.len() == 11
        && rest[2..].starts_with('9')
        && rest[3..].starts_with(['6', '7', '8', '9'])
    {
        return format!("55{}{}", &rest[..2], &rest[3..]);
    }
    // Mexico: 52 and ten digits, or 521 and ten digits.
    if let Some(rest) = digits.strip_prefix("521")
        && rest.len() == 10
    {
        return format!("52{rest}");
    }
    // Argentina: 54 and ten digits, or 549 and ten digits.
    if let Some(rest) = digits.strip_prefix("549")
        && rest.len() == 10
    {
        return format!("54{rest}");
    }
    digits
}

/// Calling codes of one and two digits; all others have three (ITU-T E.164).
const SHORT_CODES: [&str; 46] = [
    "1", "7", "20", "27", "30", "31", "32", "33", "34", "36", "39", "40", "41", "43", "44", "45",
    "46", "47", "48", "49", "51", "52", "53", "54", "55", "56", "57", "58", "60", "61", "62", "63",
    "64", "65", "66", "81", "82", "84", "86", "90", "91", "92", "93", "94", "95", "98",
];

/// The digits, country code first, of a number as a CRM holds it: with spaces and brackets, with `+` or `00`, or as one
/// dials it at home, where the country is that of the business number `own`. `None` where it cannot be a number.
pub fn dialled(text: &str, own: &str) -> Option<String> {
    let text = text.trim();
    if text.chars().any(char::is_alphabetic) {
        return None;
    }
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let country = || {
        let short = SHORT_CODES.into_iter().find(|code| own.starts_with(code));
        short.or_else(|| own.get(..3)).unwrap_or_default()
    };
    let number = if text.starts_with('+') {
        digits
    } else if let Some(abroad) = digits.strip_prefix("00") {
        abroad.to_owned()
    } else if let Some(home) = digits.strip_prefix('0') {
        format!("{}{home}", country())
    } else if digits.len() == 11 && digits.starts_with('8') && country() == "7" {
        // Russia and Kazakhstan dial 8 where others dial 0.
        format!("7{}", &digits[1..])
    } else {
        digits
    };
    (7..=15).contains(&number.len()).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::{canonical, dialled};

    #[test]
    fn numbers_of_a_crm_become_whole_numbers() {
        for (text, own, wanted) in [
            ("+49 157 555-09876", "4915755501234", Some("4915755509876")),
            (
                "0049 (157) 55509876",
                "4915755501234",
                Some("4915755509876"),
            ),
            ("0157 55509876", "4915755501234", Some("4915755509876")),
            ("4915755509876", "79001234567", Some("4915755509876")),
            ("8 (912) 345-67-89", "79001234567", Some("79123456789")),
            ("8 912 345 67 89", "4915755501234", Some("89123456789")),
            ("+7 912 345 67 89", "4915755501234", Some("79123456789")),
            ("050 123 4567", "380441234567", Some("380501234567")),
            ("12", "4915755501234", None),
            ("", "4915755501234", None),
            ("DE.7Kq2mZ0aXw41", "4915755501234", None),
            ("+1234567890123456", "4915755501234", None),
        ] {
            assert_eq!(dialled(text, own).as_deref(), wanted, "{text}");
        }
    }

    #[test]
    fn variants_of_one_subscriber_are_one() {
        for (one, other) in [
            ("5511987654321", "551187654321"),
            ("5215512345678", "525512345678"),
            ("5491123456789", "541123456789"),
        ] {
            assert_eq!(canonical(one), canonical(other));
        }
    }

    #[test]
    fn different_subscribers_stay_different() {
        // A Brazilian landline has eight digits that start with 2 to 5 and never a ninth one.
        assert_ne!(canonical("5511934567890"), canonical("551134567890"));
        assert_ne!(canonical("4915755509876"), canonical("4915755509877"));
        assert_eq!(canonical("+49 1575 5509876"), "4915755509876");
    }
}
