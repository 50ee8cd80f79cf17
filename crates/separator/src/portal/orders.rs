//! What a portal may order of us, made right together with its numbers: see [`super::publish::orders`].

use bitrix24::sms::{self, Sender};
use uuid::Uuid;

use super::publish::{
    Rest, Trouble,
    orders::{self, OrdersWish},
};
use crate::{
    receive::orders::{robots_handler, sender_code, sms_handler},
    registry::{Instance, Phone, PhoneError, Registry},
    seal::Sealer,
};

/// Brings SMS providers and the step of robots and workflows to what the set-up says. Gives the warning for numbers that
/// should be providers and could not be made some; the rest is a matter for the log.
pub(super) async fn converge(
    rest: &impl Rest,
    registry: &Registry,
    sealer: &Sealer,
    instance: &Instance,
    user: i64,
) -> Option<PhoneError> {
    let wish = wish(registry, sealer, instance)?;
    let may = |scope: &str| {
        instance.scope.is_empty() || instance.scope.split([',', ' ']).any(|had| had == scope)
    };
    if may("bizproc")
        && let Err(trouble) = orders::converge_steps(rest, &wish, user).await
    {
        // Not every plan has workflows; nothing else depends on them.
        tracing::info!(portal = instance.domain, %trouble, "the step of robots and workflows could not be offered");
    }
    if !may("messageservice") {
        let missing = Trouble::lasting(
            "insufficient_scope",
            "The application lacks the permission messageservice.",
            "Tick it in the application's form on the portal and save.",
        );
        return (!wish.senders.is_empty()).then(|| orders::warning(&missing));
    }
    match orders::converge_senders(rest, &wish).await {
        Ok(()) => None,
        Err(trouble) => {
            tracing::warn!(portal = instance.domain, %trouble, "SMS providers could not be put right");
            (!wish.senders.is_empty()).then(|| orders::warning(&trouble))
        }
    }
}

fn wish(registry: &Registry, sealer: &Sealer, instance: &Instance) -> Option<OrdersWish> {
    let application = registry.bitrix_apps.get(&instance.app_id)?;
    let base = registry.sites.get(&application.site_id)?.base_url();
    let mut phones: Vec<&Phone> = registry.phones_of(instance.id).collect();
    phones.sort_unstable_by_key(|phone| phone.id);
    let sender = |phone: &&&Phone| Sender {
        code: sender_code(phone),
        name: format!("WhatsApp +{}", phone.phone),
        description:
            "Templates by their code, and texts within 24 hours after the customer's last message."
                .to_owned(),
        handler: sms_handler(&base, sealer, phone.id, instance.id),
    };
    Some(OrdersWish {
        senders: phones
            .iter()
            .filter(|phone| phone.sms_service)
            .map(|phone| sender(&phone))
            .collect(),
        steps_url: robots_handler(&base),
        settings_url: format!("{base}/placement/"),
        numbers: phones
            .iter()
            .map(|phone| (phone.id.to_string(), format!("+{}", phone.phone)))
            .collect(),
    })
}

/// Takes the provider of a number away that leaves its portal. A portal that does not know it, or cannot be asked, keeps
/// nothing that works: the handler's address is good for this number on this portal only.
pub(super) async fn withdraw(rest: &impl Rest, phone: &Phone, instance: Uuid) {
    if !phone.sms_service {
        return;
    }
    if let Err(error) = rest.run(sms::delete(&sender_code(phone))).await {
        tracing::info!(%error, %instance, phone = %phone.id, "an SMS provider was not taken away");
    }
}
