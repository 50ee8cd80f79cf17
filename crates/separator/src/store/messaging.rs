//! How each number speaks outside the 24 hours; a row exists only where somebody chose something.

use uuid::Uuid;

use super::{Error, Store};
use crate::registry::{DefaultFiles, MarketingRoute, Messaging, OutsideWindow, TemplateRef};

/// The settings of all numbers that have any.
pub async fn all(store: &Store) -> Result<Vec<(Uuid, Messaging)>, Error> {
    let rows = store
        .fetch(
            "SELECT phone_id, default_language, wrapper_name, wrapper_language, outside_window, mirror, marketing_route, \
             image_link, video_link, document_link FROM messaging",
            &[],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let language = row.maybe_text("wrapper_language")?;
            let wrapper = row
                .maybe_text("wrapper_name")?
                .map(|name| TemplateRef { name, language });
            let messaging = Messaging {
                default_language: row.maybe_text("default_language")?,
                wrapper,
                outside_window: OutsideWindow::parse(&row.text("outside_window")?),
                mirror: row.flag("mirror")?,
                marketing_route: MarketingRoute::parse(&row.text("marketing_route")?),
                files: DefaultFiles {
                    image: row.maybe_text("image_link")?,
                    video: row.maybe_text("video_link")?,
                    document: row.maybe_text("document_link")?,
                },
            };
            Ok((row.id("phone_id")?, messaging))
        })
        .collect()
}

/// Keeps the settings of a number.
pub async fn save(store: &Store, phone: Uuid, messaging: &Messaging) -> Result<(), Error> {
    let wrapper = messaging.wrapper.as_ref();
    store
        .execute(
            "INSERT INTO messaging (phone_id, default_language, wrapper_name, wrapper_language, outside_window, mirror, \
             marketing_route, image_link, video_link, document_link) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (phone_id) DO UPDATE SET \
             default_language = excluded.default_language, wrapper_name = excluded.wrapper_name, \
             wrapper_language = excluded.wrapper_language, outside_window = excluded.outside_window, \
             mirror = excluded.mirror, marketing_route = excluded.marketing_route, \
             image_link = excluded.image_link, video_link = excluded.video_link, \
             document_link = excluded.document_link",
            &[
                phone.into(),
                messaging.default_language.clone().into(),
                wrapper.map(|wrapper| wrapper.name.clone()).into(),
                wrapper.and_then(|wrapper| wrapper.language.clone()).into(),
                messaging.outside_window.as_str().into(),
                messaging.mirror.into(),
                messaging.marketing_route.as_str().into(),
                messaging.files.image.clone().into(),
                messaging.files.video.clone().into(),
                messaging.files.document.clone().into(),
            ],
        )
        .await?;
    Ok(())
}
