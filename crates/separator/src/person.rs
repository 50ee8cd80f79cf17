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

#[cfg(test)]
mod tests {
    use super::canonical;

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
