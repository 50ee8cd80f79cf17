//! What operators read about templates: why a code sent nothing, and what waits for a template.

use super::{
    super::{
        code::{self, Malformed},
        from_whatsapp::markup,
        message::Language,
        template::{HeaderKind, Part, Refusal, Unsendable},
    },
    wrap,
};

fn pick(language: Language, english: String, russian: String) -> String {
    match language {
        Language::English => english,
        Language::Russian => russian,
    }
}

/// Why a code sent nothing, and what to do.
pub(super) fn refusal(refusal: &Refusal, language: Language) -> String {
    let (english, russian) = match refusal {
        Refusal::Malformed(malformed) => malformed_words(malformed),
        Refusal::UnknownName { name, nearest } => {
            let nearest = nearest.join(", ");
            (
                format!(
                    "there is no approved template “{name}”. Names that come close: {nearest}. Check the name and send the code again."
                ),
                format!(
                    "одобренного шаблона «{name}» нет. Похожие названия: {nearest}. Проверьте название и отправьте код ещё раз."
                ),
            )
        }
        Refusal::NoTemplates => (
            "this number has no approved template. Ask the administrator to create one in WhatsApp Manager or to synchronise the templates.".to_owned(),
            "у этого номера нет одобренных шаблонов. Попросите администратора создать шаблон в WhatsApp Manager или синхронизировать шаблоны.".to_owned(),
        ),
        Refusal::UnknownLanguage {
            name,
            language,
            languages,
        } => {
            let languages = languages.join(", ");
            (
                format!(
                    "the template “{name}” is not there in the language “{language}”. Its languages: {languages}. Write one of them."
                ),
                format!(
                    "шаблона «{name}» на языке «{language}» нет. Доступные языки: {languages}. Укажите один из них."
                ),
            )
        }
        Refusal::Ambiguous { name, languages } => {
            let languages = languages.join(", ");
            (
                format!(
                    "the template “{name}” is there in several languages: {languages}. Add the one that you mean, as in template-{name}+{}.",
                    first(&languages)
                ),
                format!(
                    "шаблон «{name}» есть на нескольких языках: {languages}. Добавьте нужный, например template-{name}+{}.",
                    first(&languages)
                ),
            )
        }
        Refusal::NotApproved {
            name,
            language,
            status,
        } => not_approved(name, language, status),
        Refusal::Beyond { name, what } => (
            format!(
                "the template “{name}” has a part ({what}) that cannot be filled from a code. Choose another template."
            ),
            format!(
                "в шаблоне «{name}» есть часть ({what}), которую нельзя заполнить из кода. Выберите другой шаблон."
            ),
        ),
        Refusal::Count {
            name,
            wanted,
            given,
            shape,
            code,
        } => (
            format!(
                "the template “{name}” takes {wanted} value(s), the code gives {given}. Write it as {code} — the template reads: {shape}"
            ),
            format!(
                "шаблону «{name}» нужно значений: {wanted}, в коде их {given}. Напишите так: {code} — текст шаблона: {shape}"
            ),
        ),
        Refusal::EmptyValue { number } => (
            format!("value {number} is empty. WhatsApp takes no empty values: write something in its place."),
            format!("значение {number} пустое. WhatsApp не принимает пустых значений: впишите что-нибудь."),
        ),
        Refusal::NotFilled { number, mark } => (
            format!("value {number} is still the place {mark}. Put there what the customer is to read and send the code again."),
            format!("вместо значения {number} осталось место {mark}. Впишите на его место то, что прочтёт клиент, и отправьте код ещё раз."),
        ),
        Refusal::UnknownValue { name, names } => {
            let names = names.join(", ");
            (
                format!("the template has no place “{name}”. Its places: {names}. Correct the name."),
                format!("в шаблоне нет места «{name}». Места: {names}. Исправьте название."),
            )
        }
        Refusal::Twice { name } => (
            format!("the place “{name}” is filled twice. Leave one of the two values out."),
            format!("место «{name}» заполнено дважды. Уберите одно из значений."),
        ),
        Refusal::ButtonCount { wanted, given } => (
            format!(
                "the code has {given} value(s) for buttons (button_param:), the template's buttons take {wanted}. Leave out what is too much."
            ),
            format!(
                "в коде значений для кнопок (button_param:): {given}, а кнопкам шаблона нужно {wanted}. Уберите лишние."
            ),
        ),
        Refusal::TooLong {
            part,
            length,
            limit,
        } => too_long(*part, *length, *limit),
        Refusal::FileMissing { kind } => (
            format!(
                "the template begins with {}. Attach it to the message with the code, or add file_link: and its address.",
                file_kind(*kind, Language::English)
            ),
            format!(
                "шаблон начинается с файла: {}. Прикрепите его к сообщению с кодом или добавьте file_link: и адрес.",
                file_kind(*kind, Language::Russian)
            ),
        ),
        Refusal::NoPlaceForFile { name } => (
            format!(
                "the template “{name}” has no file at its top. Send the file by itself once the customer has written."
            ),
            format!(
                "в шаблоне «{name}» нет места для файла. Отправьте файл отдельно, когда клиент напишет."
            ),
        ),
        Refusal::BadLink { link } => (
            format!(
                "“{link}” is not an address of a file. Write it in full, beginning with https://."
            ),
            format!("«{link}» не адрес файла. Напишите его полностью, начиная с https://."),
        ),
        Refusal::ManyFiles => (
            "a template takes one file. Attach one only.".to_owned(),
            "шаблон принимает один файл. Прикрепите только один.".to_owned(),
        ),
        Refusal::LocationMissing => (
            "the template begins with a place on the map. Add location:LATITUDE,LONGITUDE,NAME,ADDRESS as a value.".to_owned(),
            "шаблон начинается с точки на карте. Добавьте значение location:ШИРОТА,ДОЛГОТА,НАЗВАНИЕ,АДРЕС.".to_owned(),
        ),
        Refusal::NoWrapper => (
            "more than 24 hours have passed since the customer last wrote, and the number has no template for plain texts. Write a template's code, or ask the administrator to choose a template with one value for such texts.".to_owned(),
            "с последнего сообщения клиента прошло больше 24 часов, а у номера нет шаблона для обычного текста. Напишите код шаблона или попросите администратора выбрать для таких текстов шаблон с одним значением.".to_owned(),
        ),
        Refusal::OptedOut { name } => (
            format!(
                "“{name}” is a marketing template, and the customer has asked WhatsApp for no marketing messages from this number. Write without it, or send a template of another category."
            ),
            format!(
                "«{name}» — рекламный шаблон, а клиент попросил WhatsApp не присылать рекламу с этого номера. Напишите без него или отправьте шаблон другой категории."
            ),
        ),
        Refusal::NoInteractive { name, nearest } if nearest.is_empty() => (
            format!(
                "there is no stored message “{name}”, and none at all for this number. Ask the administrator to write one under Interactive messages."
            ),
            format!(
                "сохранённого сообщения «{name}» нет, и других у этого номера тоже нет. Попросите администратора создать его в разделе «Интерактивные сообщения»."
            ),
        ),
        Refusal::NoInteractive { name, nearest } => {
            let nearest = nearest.join(", ");
            (
                format!(
                    "there is no stored message “{name}”. Names that come close: {nearest}. Check the name and send the code again."
                ),
                format!(
                    "сохранённого сообщения «{name}» нет. Похожие названия: {nearest}. Проверьте название и отправьте код ещё раз."
                ),
            )
        }
        Refusal::InteractiveCount {
            name,
            wanted,
            given,
            shape,
            code,
        } => (
            format!(
                "the message “{name}” takes {wanted} value(s), the code gives {given}. Write it as {code} — the message reads: {shape}"
            ),
            format!(
                "сообщению «{name}» нужно значений: {wanted}, в коде их {given}. Напишите так: {code} — текст сообщения: {shape}"
            ),
        ),
        Refusal::InteractiveFile { name } => (
            format!(
                "the message “{name}” takes no file: what it shows is stored with it. Send the file by itself."
            ),
            format!(
                "сообщение «{name}» не принимает файл: всё нужное сохранено в нём самом. Отправьте файл отдельно."
            ),
        ),
        Refusal::SameTitles { title } => (
            format!(
                "with these values two buttons or rows are named “{title}”, and WhatsApp wants each to be another. Write other values."
            ),
            format!(
                "с этими значениями две кнопки или строки называются «{title}», а в WhatsApp названия не должны повторяться. Впишите другие значения."
            ),
        ),
        Refusal::InteractiveClosed { name } => (
            format!(
                "more than 24 hours have passed since the customer last wrote, and the message “{name}” can go out only within them. Send a template."
            ),
            format!(
                "с последнего сообщения клиента прошло больше 24 часов, а сообщение «{name}» можно отправить только в течение этого времени. Отправьте шаблон."
            ),
        ),
    };
    let (english, russian) = (
        format!("{} {english}", begin(refusal, Language::English)),
        format!("{} {russian}", begin(refusal, Language::Russian)),
    );
    pick(language, english, russian)
}

/// What was not sent.
fn begin(refusal: &Refusal, language: Language) -> &'static str {
    let interactive = matches!(
        refusal,
        Refusal::NoInteractive { .. }
            | Refusal::InteractiveCount { .. }
            | Refusal::InteractiveFile { .. }
            | Refusal::SameTitles { .. }
            | Refusal::InteractiveClosed { .. }
    );
    match (interactive, language) {
        (true, Language::English) => "Message not sent:",
        (true, Language::Russian) => "Сообщение не отправлено:",
        (false, Language::English) => "Template not sent:",
        (false, Language::Russian) => "Шаблон не отправлен:",
    }
}

fn first(list: &str) -> &str {
    list.split(", ").next().unwrap_or_default()
}

fn malformed_words(malformed: &Malformed) -> (String, String) {
    match malformed {
        Malformed::NoName => (
            "the code names no template. Write it as template-NAME+LANGUAGE.".to_owned(),
            "в коде нет названия шаблона. Напишите его так: template-НАЗВАНИЕ+ЯЗЫК.".to_owned(),
        ),
        Malformed::BadName(name) => (
            format!(
                "“{name}” cannot be a template's name. Write the code as template-NAME+LANGUAGE; if you meant an ordinary message, begin it with another word."
            ),
            format!(
                "«{name}» не может быть названием шаблона. Напишите код так: template-НАЗВАНИЕ+ЯЗЫК; если это обычное сообщение, начните его с другого слова."
            ),
        ),
        Malformed::Unclosed => (
            r"the code ends with a \ that escapes nothing. Take it off, or write \\ for the character itself.".to_owned(),
            r"код заканчивается знаком \, за которым ничего нет. Уберите его или напишите \\, если нужен сам знак.".to_owned(),
        ),
        Malformed::TwoFiles => (
            "the code names two files, a template takes one. Leave one out.".to_owned(),
            "в коде два файла, а шаблон принимает один. Уберите лишний.".to_owned(),
        ),
        Malformed::NotAlone => (
            "the code has to stand alone in the message. Send it without the other text.".to_owned(),
            "код должен стоять в сообщении один. Отправьте его без другого текста.".to_owned(),
        ),
    }
}

fn not_approved(name: &str, language: &str, status: &str) -> (String, String) {
    let (english, russian) = match status {
        "PAUSED" => (
            "WhatsApp has paused it for low quality. Choose another template or wait until the pause ends.",
            "WhatsApp приостановил его из-за низкого качества. Выберите другой шаблон или дождитесь конца паузы.",
        ),
        "REJECTED" => (
            "WhatsApp has rejected it. Choose another template; the administrator can correct this one.",
            "WhatsApp отклонил его. Выберите другой шаблон; администратор может исправить этот.",
        ),
        "PENDING" | "IN_APPEAL" => (
            "WhatsApp is still reviewing it. Choose another template or wait for the approval.",
            "WhatsApp ещё проверяет его. Выберите другой шаблон или дождитесь одобрения.",
        ),
        "DISABLED" => (
            "WhatsApp has disabled it for low quality. Choose another template.",
            "WhatsApp отключил его из-за низкого качества. Выберите другой шаблон.",
        ),
        _ => (
            "WhatsApp does not let it be sent. Choose another template.",
            "WhatsApp не разрешает его отправлять. Выберите другой шаблон.",
        ),
    };
    (
        format!("the template “{name}” ({language}) is not approved ({status}): {english}"),
        format!("шаблон «{name}» ({language}) не одобрен ({status}): {russian}"),
    )
}

fn too_long(part: Part, length: usize, limit: usize) -> (String, String) {
    let (english, russian) = match part {
        Part::Header => ("the header", "заголовок"),
        Part::Body => ("the text", "текст"),
        Part::Button => ("a button's address", "адрес кнопки"),
        Part::Footer => ("the footer", "нижняя строка"),
        Part::Label => ("a button or a row", "кнопка или строка"),
    };
    (
        format!(
            "with these values {english} has {length} characters, WhatsApp takes {limit} at most. Shorten the values."
        ),
        format!(
            "с этими значениями {russian} занимает {length} символов, WhatsApp принимает не больше {limit}. Сократите значения."
        ),
    )
}

/// What a header's file has to be.
pub(super) fn file_kind(kind: HeaderKind, language: Language) -> &'static str {
    let (english, russian) = match kind {
        HeaderKind::Image => ("an image (JPEG or PNG)", "изображение (JPEG или PNG)"),
        HeaderKind::Video => ("a video (MP4)", "видео (MP4)"),
        HeaderKind::Gif => ("a short video (MP4)", "короткое видео (MP4)"),
        HeaderKind::Document => ("a document", "документ"),
    };
    match language {
        Language::English => english,
        Language::Russian => russian,
    }
}

/// What waits, and how it goes on; `codes` as they stand in the note.
pub(super) fn held(codes: &[String], language: Language) -> String {
    let (begin, end) = held_words(codes.is_empty(), language);
    let mut note = format!("{begin} {end}");
    for code in codes {
        note.push('\n');
        note.push_str(code);
    }
    note
}

/// The same in the markup of the chat, where each code is a button: one that needs nothing sends itself, one with places
/// to fill goes into the operator's text field.
///
/// A message of a connector has no field for a keyboard (Bitrix24: imconnector.send.messages takes text and files), but
/// its text may hold `[send=…]` and `[put=…]` (Bitrix24: message formatting). What is on a button is the code itself, so
/// that a place that draws no buttons shows it as text.
pub(super) fn held_markup(codes: &[String], language: Language) -> String {
    let (begin, end) = held_words(codes.is_empty(), language);
    let mut note = wrap(&format!("{begin} {end}"));
    for code in codes {
        note.push('\n');
        note.push_str(&button(code));
    }
    note
}

fn button(code: &str) -> String {
    let bracketed = code.contains(|character: char| {
        matches!(character, '[' | ']' | '&' | '"' | '<' | '>') || character.is_control()
    });
    if bracketed {
        // Not within a tag: whoever named the template so gets no button.
        return markup::disarm(code);
    }
    let complete = matches!(
        code::parse(code),
        Some(Ok(read)) if read.values.is_empty() && read.file.is_none()
    );
    let tag = if complete { "send" } else { "put" };
    format!("[{tag}={code}]{code}[/{tag}]")
}

fn held_words(none: bool, language: Language) -> (String, String) {
    let begin = pick(
        language,
        "More than 24 hours have passed since the customer last wrote, so WhatsApp takes only templates. Your message waits: it goes out by itself as soon as the customer writes, within the next 24 hours.".to_owned(),
        "С последнего сообщения клиента прошло больше 24 часов, и WhatsApp принимает только шаблоны. Ваше сообщение ждёт: оно уйдёт само, как только клиент напишет, в течение ближайших 24 часов.".to_owned(),
    );
    let end = if none {
        pick(
            language,
            "This number has no approved template yet: ask the administrator.".to_owned(),
            "У этого номера пока нет одобренных шаблонов: обратитесь к администратору.".to_owned(),
        )
    } else {
        pick(
            language,
            "To write first, send one of these codes:".to_owned(),
            "Чтобы написать первым, отправьте один из этих кодов:".to_owned(),
        )
    };
    (begin, end)
}

/// Why WhatsApp does not take a template that a message was made from.
pub(super) fn unsendable(why: &Unsendable, language: Language) -> String {
    let (english, russian) = match why {
        Unsendable::NotApproved { status } => {
            let (english, russian) = match status.as_str() {
                "PAUSED" => (
                    "WhatsApp has paused it for low quality.",
                    "WhatsApp приостановил его из-за низкого качества.",
                ),
                "REJECTED" => ("WhatsApp has rejected it.", "WhatsApp отклонил его."),
                "PENDING" | "IN_APPEAL" => ("WhatsApp is reviewing it.", "WhatsApp его проверяет."),
                "DISABLED" => (
                    "WhatsApp has disabled it for low quality.",
                    "WhatsApp отключил его из-за низкого качества.",
                ),
                "DELETED" | "PENDING_DELETION" => ("it is being deleted.", "его удаляют."),
                _ => (
                    "WhatsApp does not let it be sent.",
                    "WhatsApp не разрешает его отправлять.",
                ),
            };
            (
                format!("{english} ({status})"),
                format!("{russian} ({status})"),
            )
        }
        Unsendable::Changed { shape } => (
            format!(
                "it was changed, and the values of this message do not fit any more. It reads now: {shape}."
            ),
            format!(
                "его изменили, и значения этого сообщения больше не подходят. Сейчас он такой: {shape}."
            ),
        ),
        Unsendable::Gone => ("it was deleted.".to_owned(), "его удалили.".to_owned()),
    };
    pick(language, english, russian)
}

/// That a message waits for its template, and what to do.
pub(super) fn waits(name: &str, of: &str, why: &Unsendable, language: Language) -> String {
    let reason = unsendable(why, language);
    pick(
        language,
        format!(
            "Your message from the template “{name}” ({of}) waits: {reason} It is sent by itself as soon as WhatsApp takes the template again, within 24 hours. If it is urgent, send another template."
        ),
        format!(
            "Сообщение по шаблону «{name}» ({of}) ждёт: {reason} Оно уйдёт само, как только WhatsApp снова примет шаблон, в течение 24 часов. Если это срочно, отправьте другой шаблон."
        ),
    )
}
