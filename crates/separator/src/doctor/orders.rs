//! What a portal may order of us: the SMS providers of its numbers, and the step for robots and workflows.

use std::sync::Arc;

use bitrix24::{
    bizproc::{self, Kind},
    sms,
};

use super::{
    portal::{Silence, ask},
    verdict::{Text, Verdict, text},
};
use crate::{
    app::App,
    portal::publish::orders::STEP,
    receive::orders::sender_code,
    registry::{Instance, Phone},
};

/// What was seen of it.
pub(super) struct Orders {
    /// The providers that the set-up wants: their codes, and the numbers with their plus.
    wanted: Vec<(String, String)>,
    /// Whether a number is linked, so that the step is wanted.
    has_numbers: bool,
    /// The codes of the providers that the portal lists (Bitrix24: messageservice.sender.list).
    providers: Result<Vec<String>, Silence>,
    /// The codes of the steps that it lists for robots, then for workflows (Bitrix24: bizproc.robot.list,
    /// bizproc.activity.list).
    steps: [Result<Vec<String>, Silence>; 2],
}

impl Orders {
    /// Asks the portal.
    pub(super) async fn see(app: &Arc<App>, instance: &Instance, numbers: &[&Phone]) -> Self {
        let steps = async |kind| {
            ask(app, instance, bizproc::list(kind))
                .await
                .map(|result| bizproc::read_list(&result))
        };
        Self {
            providers: ask(app, instance, sms::list())
                .await
                .map(|result| sms::read_list(&result)),
            steps: [steps(Kind::Robot).await, steps(Kind::Activity).await],
            ..Self::unseen(&Silence::Later(String::new()), numbers)
        }
    }

    /// A portal that tells nothing.
    pub(super) fn unseen(silence: &Silence, numbers: &[&Phone]) -> Self {
        Self {
            wanted: numbers
                .iter()
                .filter(|phone| phone.sms_service)
                .map(|phone| (sender_code(phone), format!("+{}", phone.phone)))
                .collect(),
            has_numbers: !numbers.is_empty(),
            providers: Err(silence.clone()),
            steps: [Err(silence.clone()), Err(silence.clone())],
        }
    }
}

fn lists(found: &[String], code: &str) -> bool {
    found.iter().any(|one| one.eq_ignore_ascii_case(code))
}

fn register_again() -> Text {
    text!(
        "Register it again with the button here. Only with the rights of an administrator does the portal take it.",
        "Зарегистрируйте заново кнопкой здесь. Портал принимает это только с правами администратора."
    )
}

/// Whether every number that is switched to Sms service is a provider there.
pub(super) fn providers(seen: &Orders) -> Verdict {
    if seen.wanted.is_empty() {
        return Verdict::Fine(Some(text!(
            "No number of the portal is switched to Sms service.",
            "Ни у одного номера портала не включён Sms service."
        )));
    }
    let found = match &seen.providers {
        Ok(found) => found,
        Err(Silence::Scope(_)) => {
            return Verdict::fault(
                text!(
                    "The application lacks the permission messageservice, so no number can be an SMS provider.",
                    "У приложения нет права messageservice, поэтому номера не могут быть SMS-провайдерами."
                ),
                text!(
                    "On the portal: Applications, Developer resources, Integrations, the application, Permissions: tick \
                     Message service (messageservice), then Save; then use the button here.",
                    "На портале: «Разработчикам», «Интеграции», приложение, «Настройка прав»: отметьте «Служба \
                     сообщений» (messageservice), затем «Сохранить»; потом нажмите кнопку здесь."
                ),
            );
        }
        Err(silence) => return silence.unknown(),
    };
    let missing: Vec<&str> = seen
        .wanted
        .iter()
        .filter(|(code, _)| !lists(found, code))
        .map(|(_, number)| number.as_str())
        .collect();
    if missing.is_empty() {
        return Verdict::FINE;
    }
    let missing = missing.join(", ");
    Verdict::fault(
        text!(
            "The portal does not list {missing} as SMS provider: the CRM cannot send through it, and what became of \
             earlier SMS cannot be told.",
            "Портал не показывает {missing} среди SMS-провайдеров: CRM не может отправлять через него, и судьбу прежних \
             SMS не сообщить."
        ),
        register_again(),
    )
}

/// Whether the step is there for robots and for workflows. A portal without workflows does without.
pub(super) fn steps(seen: &Orders) -> Verdict {
    if !seen.has_numbers {
        return Verdict::Fine(Some(text!(
            "No number is linked to the portal yet.",
            "К порталу ещё не привязан ни один номер."
        )));
    }
    let mut missing = false;
    for found in &seen.steps {
        match found {
            Ok(found) => missing |= !lists(found, STEP),
            Err(Silence::Scope(_)) => {
                return Verdict::Fine(Some(text!(
                    "Robots are not offered: the application has no permission bizproc.",
                    "Роботы не предлагаются: у приложения нет права bizproc."
                )));
            }
            Err(silence) => return silence.unknown(),
        }
    }
    if !missing {
        return Verdict::FINE;
    }
    Verdict::fault(
        text!(
            "The portal has lost the step \"Send a WhatsApp template\": robots and workflows that use it fail.",
            "Портал потерял шаг «Отправить шаблон WhatsApp»: роботы и бизнес-процессы с ним не работают."
        ),
        register_again(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(
        providers: Result<Vec<String>, Silence>,
        steps: Result<Vec<String>, Silence>,
    ) -> Orders {
        Orders {
            wanted: vec![("separator_1".to_owned(), "+491".to_owned())],
            has_numbers: true,
            providers,
            steps: [steps.clone(), steps],
        }
    }

    #[test]
    fn codes_are_compared_as_the_portal_writes_them() {
        let all = seen(
            Ok(vec!["SEPARATOR_1".to_owned()]),
            Ok(vec![STEP.to_uppercase()]),
        );
        assert_eq!(providers(&all), Verdict::FINE);
        assert_eq!(steps(&all), Verdict::FINE);
        let none = seen(Ok(Vec::new()), Ok(Vec::new()));
        assert!(matches!(providers(&none), Verdict::Fault { .. }));
        assert!(matches!(steps(&none), Verdict::Fault { .. }));
    }

    #[test]
    fn a_permission_that_is_missing_is_a_fault_only_where_it_was_asked_for() {
        let scope = || Err(Silence::Scope("insufficient_scope".to_owned()));
        let denied = seen(scope(), scope());
        assert!(matches!(providers(&denied), Verdict::Fault { .. }));
        assert!(matches!(steps(&denied), Verdict::Fine(Some(_))));
        let unwanted = Orders {
            wanted: Vec::new(),
            ..denied
        };
        assert!(matches!(providers(&unwanted), Verdict::Fine(Some(_))));
    }

    #[test]
    fn a_portal_that_cannot_be_asked_leaves_both_unknown() {
        let silent = || Err(Silence::Later("a limit".to_owned()));
        let silent = seen(silent(), silent());
        assert!(matches!(providers(&silent), Verdict::Unknown(_)));
        assert!(matches!(steps(&silent), Verdict::Unknown(_)));
    }
}
