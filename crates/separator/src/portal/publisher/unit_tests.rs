//! When a portal is due, and for which numbers.

use super::*;

const CHECK_EVERY: Duration = Duration::from_mins(10);

const NOW: Millis = Millis(1_773_000_000_000);

fn phone(id: u128, connection: Connection, code: Option<&str>) -> Phone {
    Phone {
        id: Uuid::from_u128(id),
        account_id: Uuid::nil(),
        phone: "4915112345678".to_owned(),
        phone_number_id: id.to_string(),
        instance_id: Some(Uuid::nil()),
        sms_service: false,
        automatic_texts: true,
        calling: "disabled".to_owned(),
        sip: "disabled".to_owned(),
        sip_hostname: None,
        sip_port: 5061,
        connection,
        connector: None,
        line_id: None,
        line_name: None,
        chosen_line_id: None,
        offered_id: None,
        error: code.map(|code| PhoneError {
            code: code.to_owned(),
            ..PhoneError::default()
        }),
        paused: None,
        created_at: NOW,
    }
}

#[test]
fn pauses_grow_and_the_last_one_repeats() {
    let (portal, mut schedule) = (Uuid::from_u128(1), Schedule::new(CHECK_EVERY));
    let mut seconds = Vec::new();
    for _ in 0..7 {
        schedule.ended(portal, false, NOW);
        seconds.push(schedule.until_retry(portal, NOW).as_secs());
    }
    assert_eq!(seconds, [1, 5, 30, 120, 600, 600, 600]);
    schedule.ended(portal, true, NOW);
    assert_eq!(schedule.until_retry(portal, NOW), Duration::ZERO);
}

#[test]
fn something_changed_ends_the_pause() {
    let (portal, mut schedule) = (Uuid::from_u128(1), Schedule::new(CHECK_EVERY));
    schedule.ended(portal, false, NOW);
    schedule.forget(portal);
    assert_eq!(schedule.until_retry(portal, NOW), Duration::ZERO);
}

#[test]
fn a_portal_is_looked_over_at_start_and_every_ten_minutes() {
    let (portal, mut schedule) = (Uuid::from_u128(1), Schedule::new(CHECK_EVERY));
    assert_eq!(schedule.until_check(portal, NOW), Duration::ZERO);
    schedule.checked(portal, NOW);
    assert_eq!(
        schedule.until_check(portal, NOW + Duration::from_mins(4)),
        Duration::from_mins(6)
    );
    assert_eq!(
        schedule.until_check(portal, NOW + Duration::from_mins(10)),
        Duration::ZERO
    );
    assert_eq!(
        schedule.until_check(portal, NOW - Duration::from_mins(1)),
        Duration::ZERO,
        "the clock was set back"
    );
}

#[test]
fn an_error_that_somebody_chose_is_left_alone() {
    for code in CHOSEN {
        assert!(
            chosen(&phone(1, Connection::Error, Some(code))).is_some(),
            "{code}"
        );
        assert!(
            chosen(&phone(1, Connection::Pending, Some(code))).is_none(),
            "{code} after linking again"
        );
    }
    assert!(chosen(&phone(1, Connection::Error, Some("NOT_ADMINISTRATOR"))).is_none());
    assert!(chosen(&phone(1, Connection::Error, None)).is_none());
}
