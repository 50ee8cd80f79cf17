//! What a portal may order: an SMS provider for each number that has one, and the step "Send a WhatsApp template" of
//! robots and workflows. Compared with what is there and put right like everything else that is published.
//!
//! Neither is a reason to call a number disconnected: a permission that is missing is told as a warning.

use bitrix24::{
    Error, bizproc,
    bizproc::{Kind, Property, Step},
    sms::{self, Sender},
};

use super::{Rest, Trouble};
use crate::{portal::CallError, registry::PhoneError};

/// Code of the step, in robots and in workflows alike.
pub(crate) const STEP: &str = "separator_template";

/// Beginning of the codes of our providers.
const SENDER: &str = "separator_";

/// What is to be there.
#[derive(Debug, Clone, Default)]
pub(crate) struct OrdersWish {
    /// Providers, one for each number that is offered as one.
    pub(crate) senders: Vec<Sender>,
    /// Where steps are posted to.
    pub(crate) steps_url: String,
    /// The page on which a step's settings are chosen.
    pub(crate) settings_url: String,
    /// The numbers to choose from in a step: our id and the number with its plus.
    pub(crate) numbers: Vec<(String, String)>,
}

/// Brings the providers to exactly those that are wanted.
pub(crate) async fn converge_senders(rest: &impl Rest, wish: &OrdersWish) -> Result<(), Trouble> {
    let found = match rest.run(sms::list()).await {
        Ok(result) => sms::read_list(&result),
        // Without any wish there is nothing to miss.
        Err(_) if wish.senders.is_empty() => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    for sender in &wish.senders {
        // Its name and its address may have changed; writing them again changes nothing else.
        let known = found
            .iter()
            .any(|code| code.eq_ignore_ascii_case(&sender.code));
        if known {
            rest.run(sender.update()).await?;
        } else {
            accept(rest.run(sender.add()).await, sms::is_known)?;
        }
    }
    for code in found {
        let wanted = |sender: &Sender| sender.code.eq_ignore_ascii_case(&code);
        if code.starts_with(SENDER) && !wish.senders.iter().any(wanted) {
            rest.run(sms::delete(&code)).await?;
        }
    }
    Ok(())
}

/// Brings the step to what is wanted: there while the portal has a number, else gone. A portal that lacks the permission
/// or workflows altogether does without.
pub(crate) async fn converge_steps(
    rest: &impl Rest,
    wish: &OrdersWish,
    user: i64,
) -> Result<(), Trouble> {
    let step = step(wish, user);
    for kind in [Kind::Robot, Kind::Activity] {
        let found = bizproc::read_list(&rest.run(bizproc::list(kind)).await?);
        let known = found.iter().any(|code| code.eq_ignore_ascii_case(STEP));
        if wish.numbers.is_empty() {
            if known {
                rest.run(bizproc::delete(kind, STEP)).await?;
            }
        } else if known {
            rest.run(step.update(kind)).await?;
        } else {
            accept(rest.run(step.add(kind)).await, bizproc::is_known)?;
        }
    }
    Ok(())
}

/// What somebody added in between is there as well.
fn accept<T>(outcome: Result<T, CallError>, is_known: fn(&Error) -> bool) -> Result<(), Trouble> {
    match outcome {
        Ok(_) => Ok(()),
        Err(CallError::Rest(error)) if is_known(&error) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn step(wish: &OrdersWish, user: i64) -> Step {
    let property = |key, english, russian, kind| Property {
        key,
        names: vec![("en", english), ("ru", russian)],
        kind,
        options: Vec::new(),
        required: false,
        multiple: false,
        default: None,
    };
    Step {
        code: STEP.to_owned(),
        names: vec![
            ("en", "Send a WhatsApp template"),
            ("ru", "Отправить шаблон WhatsApp"),
        ],
        handler: wish.steps_url.clone(),
        settings: wish.settings_url.clone(),
        user,
        properties: vec![
            Property {
                options: wish.numbers.clone(),
                ..property("number", "From the number", "С номера", "select")
            },
            Property {
                required: true,
                ..property("phone", "Recipient's phone", "Телефон получателя", "string")
            },
            Property {
                required: true,
                ..property(
                    "template",
                    "Template: its name or its code",
                    "Шаблон: название или код",
                    "string",
                )
            },
            Property {
                multiple: true,
                ..property(
                    "values",
                    "Values of the template",
                    "Значения шаблона",
                    "string",
                )
            },
            property(
                "file",
                "Address of the header's file",
                "Адрес файла заголовка",
                "string",
            ),
            Property {
                default: Some("N".to_owned()),
                ..property("wait", "Wait for delivery", "Ждать доставки", "bool")
            },
        ],
        results: vec![
            property(
                "message_id",
                "Id of the message",
                "Номер сообщения",
                "string",
            ),
            property("status", "Status", "Состояние", "string"),
            property("error", "Why it failed", "Причина отказа", "string"),
        ],
    }
}

/// The warning of a number that cannot be the SMS provider that it should be.
pub(crate) fn warning(trouble: &Trouble) -> PhoneError {
    let title = "Messages pass, but the number could not be offered as an SMS provider.".to_owned();
    let hint = "Give the application the permission messageservice in its form on the portal, then link the number again.";
    PhoneError {
        title,
        details: Some(trouble.to_string()),
        hint: Some(hint.to_owned()),
        ..(*trouble.error).clone()
    }
}
