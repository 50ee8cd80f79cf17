//! `waba/phones/{id}/messaging`: how a number speaks outside the 24 hours, and what it shows of SMS and robots.

use serde_json::{Value, json};
use url::Url;

use super::{
    fields::Mode,
    operation::{Call, Described, Field, Operation, Outcome, Purpose, Shape},
    phones,
    problem::Problem,
    rule::Rule,
    rules,
};
use crate::{
    registry::{DefaultFiles, MarketingRoute, Messaging, OutsideWindow, TemplateRef},
    store::messaging,
};

const PATH: &str = "/api/v1/waba/phones/{id}/messaging";
const TAG: &str = "Phone numbers";

const OUTSIDE: &[&str] = &["hold", "template"];

const ROUTES: &[&str] = &["automatic", "messages", "marketing_messages"];

/// What an administrator of the portal may choose: all of it, for it is how the own operators work.
const PORTAL_FIELDS: &[&str] = &[
    "default_language",
    "wrapper_template",
    "wrapper_language",
    "outside_window",
    "mirror",
    "image_link",
    "video_link",
    "document_link",
];

const FIELDS: &[Field] = &[
    Field::optional(
        "default_language",
        Shape::Text,
        "Language of templates whose code names none, where the portal's language does not decide.",
        "en_US",
    ),
    Field::optional(
        "wrapper_template",
        Shape::Text,
        "Template for texts that may not go by themselves: with one value it carries the text, without any it asks the \
         customer to write.",
        "we_have_news",
    ),
    Field::optional(
        "wrapper_language",
        Shape::Text,
        "Its language; found as for a code where none is given.",
        "en_US",
    ),
    Field::defaulted(
        "outside_window",
        Shape::OneOf(OUTSIDE),
        "What becomes of an operator's message outside the 24 hours. hold: it waits for the customer, and the operator is \
         told. template: the wrapper template is sent at once.",
        "hold",
    ),
    Field::defaulted(
        "mirror",
        Shape::Boolean,
        "Whether operators see in their chat what was sent as an SMS or by a robot.",
        "true",
    ),
    Field::defaulted(
        "marketing_route",
        Shape::OneOf(ROUTES),
        "By which of Meta's ways marketing templates go. automatic: as all messages, unless Meta says that the account has to \
         use the Marketing Messages API (error 131063). messages: always as all messages. marketing_messages: always by that \
         API, whose terms have to be signed in WhatsApp Manager.",
        "automatic",
    ),
    Field::optional(
        "image_link",
        Shape::Address,
        "Address of the picture for headers of templates where a message brings none along.",
        "https://example.com/logo.png",
    ),
    Field::optional(
        "video_link",
        Shape::Address,
        "The same for videos.",
        "https://example.com/tour.mp4",
    ),
    Field::optional(
        "document_link",
        Shape::Address,
        "The same for documents.",
        "https://example.com/prices.pdf",
    ),
];

pub(super) const OBJECTS: &[Described] = &[Described {
    name: "Messaging",
    purpose: Purpose::Resource,
    description: "How a number speaks to customers who did not write within 24 hours.",
    fields: FIELDS,
}];

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        summary: "Show how a number speaks outside the 24 hours",
        ..Operation::get(PATH, TAG, "Messaging", Rule::Known, |call| {
            Box::pin(async move { get(&call) })
        })
    },
    Operation {
        summary: "Change how a number speaks outside the 24 hours",
        ..Operation::change(
            PATH,
            TAG,
            "MessagingChange",
            "Messaging",
            Rule::PortalAdministrators(PORTAL_FIELDS),
            |call| Box::pin(change(call)),
        )
    },
];

fn show(messaging: &Messaging) -> Value {
    let wrapper = messaging.wrapper.as_ref();
    json!({
        "default_language": messaging.default_language,
        "wrapper_template": wrapper.map(|wrapper| &wrapper.name),
        "wrapper_language": wrapper.and_then(|wrapper| wrapper.language.as_ref()),
        "outside_window": messaging.outside_window.as_str(),
        "mirror": messaging.mirror,
        "marketing_route": messaging.marketing_route.as_str(),
        "image_link": messaging.files.image,
        "video_link": messaging.files.video,
        "document_link": messaging.files.document,
    })
}

fn get(call: &Call) -> Outcome {
    let id = call.id(phones::WHAT)?;
    let registry = call.registry();
    if !registry.phones.contains_key(&id) {
        return Err(Problem::unknown(phones::WHAT));
    }
    Ok(show(registry.whole().messaging_of(id)))
}

/// Where a file of a header lies.
fn link(value: &Value) -> Result<String, String> {
    let text = rules::text(2000)(value)?;
    let good = Url::parse(&text)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if good {
        Ok(text)
    } else {
        Err("must be an address that begins with https://".to_owned())
    }
}

async fn change(call: Call) -> Outcome {
    let id = call.id(phones::WHAT)?;
    let registry = call.registry();
    if !registry.phones.contains_key(&id) {
        return Err(Problem::unknown(phones::WHAT));
    }
    let before = registry.whole().messaging_of(id).clone();
    let mut fields = call.fields(FIELDS, Mode::Change)?;
    let default_language = fields.optional("default_language", rules::language);
    let name = fields.optional("wrapper_template", rules::template_name);
    let language = fields.optional("wrapper_language", rules::language);
    let outside = fields.with_default("outside_window", "hold".to_owned(), rules::choice(OUTSIDE));
    let mirror = fields.with_default("mirror", true, rules::boolean);
    let route = fields.with_default(
        "marketing_route",
        "automatic".to_owned(),
        rules::choice(ROUTES),
    );
    let image = fields.optional("image_link", link);
    let video = fields.optional("video_link", link);
    let document = fields.optional("document_link", link);
    let (old_name, old_language) = before.wrapper.map_or((None, None), |wrapper| {
        (Some(wrapper.name), wrapper.language)
    });
    let language = language.unwrap_or(old_language);
    let changed = Messaging {
        default_language: default_language.unwrap_or(before.default_language),
        wrapper: name
            .unwrap_or(old_name)
            .map(|name| TemplateRef { name, language }),
        outside_window: outside.map_or(before.outside_window, |text| OutsideWindow::parse(&text)),
        mirror: mirror.unwrap_or(before.mirror),
        marketing_route: route.map_or(before.marketing_route, |text| MarketingRoute::parse(&text)),
        files: DefaultFiles {
            image: image.unwrap_or(before.files.image),
            video: video.unwrap_or(before.files.video),
            document: document.unwrap_or(before.files.document),
        },
    };
    for (name, file) in [
        ("image_link", &changed.files.image),
        ("video_link", &changed.files.video),
        ("document_link", &changed.files.document),
    ] {
        let refused = file
            .as_deref()
            .and_then(|file| Url::parse(file).ok())
            .and_then(|url| call.app.outgoing.vet(&url).err());
        if let Some(refused) = refused {
            fields.error(name, refused.to_string());
        }
    }
    if changed.outside_window == OutsideWindow::Template && changed.wrapper.is_none() {
        fields.error(
            "outside_window",
            "can be template only where wrapper_template names the template",
        );
    }
    fields.finish()?;
    messaging::save(&call.app.store, id, &changed).await?;
    let registry = call.changed().await?;
    Ok(show(registry.whole().messaging_of(id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_what_is_described() {
        let messaging = Messaging {
            default_language: None,
            wrapper: Some(TemplateRef {
                name: "we_have_news".to_owned(),
                language: None,
            }),
            outside_window: OutsideWindow::Template,
            mirror: true,
            marketing_route: MarketingRoute::Automatic,
            files: DefaultFiles::default(),
        };
        crate::api::description::assert_described("Messaging", &show(&messaging));
    }
}
