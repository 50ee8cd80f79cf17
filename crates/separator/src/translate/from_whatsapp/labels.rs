//! The words around what customers send, in the operators' language.

use crate::translate::notes::Words;

/// A label with nothing to fill in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    Photo,
    Video,
    VoiceMessage,
    Audio,
    Document,
    Sticker,
    Location,
    Contact,
    OwnContact,
    ContactRequested,
    PressedButton,
    ChoseFromList,
    FilledForm,
    SentAddress,
    AllowedCalls,
    AllowedCallsForever,
    RefusedCalls,
    AnswerMissing,
    Order,
    Total,
    Reaction,
    ReactionRemoved,
    EarlierMessage,
    Opened,
    FromAdvertisement,
    FromPost,
    Forwarded,
    ForwardedOften,
    AboutProduct,
    InReply,
    WeWrote,
    CustomerWrote,
    Reported,
    Unsupported,
    EditUnseen,
    FileUnavailable,
    NotUnderstood,
}

impl Label {
    pub(super) fn words(self) -> Words {
        let (english, russian) = match self {
            Self::Photo => ("Photo", "Фото"),
            Self::Video => ("Video", "Видео"),
            Self::VoiceMessage => ("Voice message", "Голосовое сообщение"),
            Self::Audio => ("Audio", "Аудио"),
            Self::Document => ("Document", "Документ"),
            Self::Sticker => ("Sticker", "Стикер"),
            Self::Location => ("Location", "Местоположение"),
            Self::Contact => ("Contact", "Контакт"),
            Self::OwnContact => (
                "The customer shared their own contact",
                "Клиент поделился своим контактом",
            ),
            Self::ContactRequested => (
                "Phone number given on request",
                "Номер телефона передан по запросу",
            ),
            Self::PressedButton => ("Button pressed", "Нажата кнопка"),
            Self::ChoseFromList => ("Chosen from the list", "Выбрано из списка"),
            Self::FilledForm => ("Form filled in", "Заполнена форма"),
            Self::SentAddress => ("Address", "Адрес"),
            Self::AllowedCalls => (
                "The customer allows calls for some days",
                "Клиент разрешил звонить ему несколько дней",
            ),
            Self::AllowedCallsForever => {
                ("The customer allows calls", "Клиент разрешил звонить ему")
            }
            Self::RefusedCalls => (
                "The customer does not want to be called",
                "Клиент не разрешил звонить ему",
            ),
            Self::AnswerMissing => (
                "The customer answered, but WhatsApp did not pass the answer on. Ask them to write it.",
                "Клиент ответил, но WhatsApp не передал ответ. Попросите написать его текстом.",
            ),
            Self::Order => ("Order", "Заказ"),
            Self::Total => ("Total", "Итого"),
            Self::Reaction => ("on", "на"),
            Self::ReactionRemoved => ("Reaction removed from", "Реакция убрана с"),
            Self::EarlierMessage => ("an earlier message", "более раннее сообщение"),
            Self::Opened => ("The customer opened the chat", "Клиент открыл чат"),
            Self::FromAdvertisement => ("From an advertisement", "Из рекламы"),
            Self::FromPost => ("From a post", "Из публикации"),
            Self::Forwarded => ("Forwarded", "Переслано"),
            Self::ForwardedOften => ("Forwarded many times", "Переслано много раз"),
            Self::AboutProduct => ("About the product", "О товаре"),
            Self::InReply => (
                "In reply to an earlier message",
                "В ответ на более раннее сообщение",
            ),
            Self::WeWrote => ("We wrote", "Мы писали"),
            Self::CustomerWrote => ("The customer wrote", "Клиент писал"),
            Self::Reported => ("WhatsApp reports", "WhatsApp сообщает"),
            Self::Unsupported => (
                "The customer sent something that WhatsApp does not pass on to businesses. Ask them to send it as text, photo or file.",
                "Клиент отправил то, что WhatsApp не передаёт компаниям. Попросите прислать это текстом, фото или файлом.",
            ),
            Self::EditUnseen => (
                "The customer edited an earlier message, but WhatsApp did not pass the new text on.",
                "Клиент изменил более раннее сообщение, но WhatsApp не передал новый текст.",
            ),
            Self::FileUnavailable => (
                "The customer sent a file that WhatsApp could not pass on, perhaps because it is too large. Ask for a smaller file or a link.",
                "Клиент отправил файл, который WhatsApp не смог передать, возможно, из-за размера. Попросите файл поменьше или ссылку.",
            ),
            Self::NotUnderstood => (
                "The customer sent a message of a kind that is not known here yet. It is visible on the phone only.",
                "Клиент отправил сообщение неизвестного пока вида. Его видно только в телефоне.",
            ),
        };
        Words { english, russian }
    }
}
