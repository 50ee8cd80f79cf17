//! Why a message failed and what an operator or administrator does about it, for every code of Meta's.

use super::Words;

/// Codes that call for the same words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    Login,
    Permission,
    MetaFault,
    CallLimit,
    Throughput,
    PairLimit,
    NumberMissing,
    BadRequest,
    AccountLocked,
    BlockedByUs,
    Experiment,
    Country,
    Group,
    ToItself,
    Undeliverable,
    TestNumber,
    DisplayName,
    Payment,
    NotRegistered,
    WindowClosed,
    Spam,
    HeldBack,
    OptedOut,
    TypeNotSupported,
    MediaFetch,
    MediaRefused,
    Maintenance,
    PhoneNeeded,
    MarketingRoute,
    TemplateNotReady,
    WrongClassification,
    TemplateValues,
    TemplateMissing,
    TemplateTooLong,
    TemplatePolicy,
    TemplatePaused,
    TemplateDisabled,
    TemplateRefused,
    TemplateLimit,
    Flow,
    Pin,
    Verification,
    Registration,
    PaymentTerms,
    SecurityCode,
    CallingOff,
    CannotBeCalled,
    CallsLimit,
    CallFailed,
    CallPermission,
    BlockList,
    Username,
    NumberSetup,
    PhoneApp,
    Onboarding,
}

impl Trouble {
    /// The trouble behind a code; `None` for one that is not known.
    pub(super) fn of_code(code: i64) -> Option<Self> {
        Some(match code {
            0 | 102 | 104 | 190 => Self::Login,
            3 | 10 | 200..=299 | 131_005 => Self::Permission,
            1 | 2 | 131_000 | 131_016 | 133_004 => Self::MetaFault,
            4 | 17 | 613 | 80_007 => Self::CallLimit,
            130_429 => Self::Throughput,
            131_056 => Self::PairLimit,
            33 | 803 => Self::NumberMissing,
            100 | 131_008 | 131_009 | 135_000 => Self::BadRequest,
            368 | 131_031 => Self::AccountLocked,
            130_403 => Self::BlockedByUs,
            130_472 => Self::Experiment,
            130_497 => Self::Country,
            131_020 | 131_041 | 131_059 | 131_201..=131_215 => Self::Group,
            131_021 => Self::ToItself,
            131_026 => Self::Undeliverable,
            131_030 => Self::TestNumber,
            131_037 => Self::DisplayName,
            131_042 | 131_044 => Self::Payment,
            131_045 | 133_010 => Self::NotRegistered,
            131_047 => Self::WindowClosed,
            131_048 => Self::Spam,
            131_049 => Self::HeldBack,
            131_050 => Self::OptedOut,
            131_051 | 131_055 => Self::TypeNotSupported,
            131_052 => Self::MediaFetch,
            131_053 => Self::MediaRefused,
            131_057 | 133_015 | 2_494_100 => Self::Maintenance,
            131_062 => Self::PhoneNeeded,
            131_063 | 134_100 | 134_102 => Self::MarketingRoute,
            134_101 => Self::TemplateNotReady,
            131_064 => Self::WrongClassification,
            132_000 | 132_008 | 132_012 | 132_018 => Self::TemplateValues,
            132_001 => Self::TemplateMissing,
            132_005 => Self::TemplateTooLong,
            132_007 => Self::TemplatePolicy,
            132_015 => Self::TemplatePaused,
            132_016 => Self::TemplateDisabled,
            2_388_023 | 2_388_024 | 2_388_039 | 2_388_040 | 2_388_047 | 2_388_072 | 2_388_073
            | 2_388_293 | 2_388_299 => Self::TemplateRefused,
            2_388_019 => Self::TemplateLimit,
            132_068 | 132_069 | 139_000..=139_004 => Self::Flow,
            133_005 | 133_008 | 133_009 => Self::Pin,
            133_006 | 136_024 => Self::Verification,
            133_000 | 133_016 => Self::Registration,
            134_011 => Self::PaymentTerms,
            137_000 => Self::SecurityCode,
            138_000 | 138_014 | 138_015 | 138_018 => Self::CallingOff,
            138_001 | 138_013 => Self::CannotBeCalled,
            138_002 | 138_003 | 138_005 | 138_012 => Self::CallsLimit,
            138_004 | 138_007 | 138_011 | 138_019..=138_023 => Self::CallFailed,
            138_006 | 138_009 | 138_017 => Self::CallPermission,
            139_100..=139_103 => Self::BlockList,
            147_001..=147_005 => Self::Username,
            2_388_012 | 2_388_091..=2_388_093 | 2_388_103 => Self::NumberSetup,
            2_593_107..=2_593_109 => Self::PhoneApp,
            1_752_041 => Self::Onboarding,
            _ => return None,
        })
    }

    /// Whether Meta's own details add something: which value, which field.
    pub(super) fn shows_details(self) -> bool {
        matches!(
            self,
            Self::BadRequest
                | Self::MediaFetch
                | Self::MediaRefused
                | Self::TemplateValues
                | Self::TemplateTooLong
                | Self::TemplatePolicy
                | Self::TemplateRefused
                | Self::TypeNotSupported
                | Self::Group
                | Self::Flow
                | Self::Pin
                | Self::NumberSetup
                | Self::Username
                | Self::AccountLocked
                | Self::CallFailed
        )
    }

    /// What happened, and what to do.
    pub(super) fn words(self) -> Words {
        let (english, russian) = match self {
            Self::Login => (
                "The connection to WhatsApp is no longer valid. An administrator has to connect the WhatsApp account again.",
                "Подключение к WhatsApp больше не действует. Администратору нужно заново подключить аккаунт WhatsApp.",
            ),
            Self::Permission => (
                "The connection lacks a permission for this WhatsApp account. An administrator has to connect the account again and grant all permissions.",
                "У подключения нет нужного разрешения для этого аккаунта WhatsApp. Администратору нужно подключить аккаунт заново и выдать все разрешения.",
            ),
            Self::MetaFault => (
                "WhatsApp had a passing fault. Send the message again in a few minutes.",
                "Временный сбой на стороне WhatsApp. Отправьте сообщение ещё раз через несколько минут.",
            ),
            Self::CallLimit => (
                "There were too many requests to WhatsApp. Send the message again in a few minutes.",
                "Слишком много запросов к WhatsApp. Отправьте сообщение ещё раз через несколько минут.",
            ),
            Self::Throughput => (
                "The number sends too many messages at once. Send this one again in a minute.",
                "С номера отправляется слишком много сообщений сразу. Отправьте это сообщение ещё раз через минуту.",
            ),
            Self::PairLimit => (
                "Too many messages went to this customer in a short time. Wait a minute and put more into one message.",
                "Этому клиенту отправлено слишком много сообщений за короткое время. Подождите минуту и объединяйте сообщения.",
            ),
            Self::NumberMissing => (
                "WhatsApp does not find the number or the account, or the connection may not see it. An administrator has to check the number and connect it again.",
                "WhatsApp не находит номер или аккаунт, либо у подключения нет к нему доступа. Администратору нужно проверить номер и подключить его заново.",
            ),
            Self::BadRequest => (
                "WhatsApp does not accept this message in this form. Change it and send it again; if that does not help, tell the administrator.",
                "WhatsApp не принимает сообщение в таком виде. Измените его и отправьте снова; если не поможет, сообщите администратору.",
            ),
            Self::AccountLocked => (
                "WhatsApp has locked or restricted the account. An administrator has to look into WhatsApp Manager under account quality and may ask for a review there.",
                "WhatsApp заблокировал или ограничил аккаунт. Администратору нужно открыть WhatsApp Manager, раздел качества аккаунта, и при необходимости запросить проверку.",
            ),
            Self::BlockedByUs => (
                "This customer is on your own block list. Take them off it to write to them.",
                "Этот клиент заблокирован вашей компанией. Чтобы написать ему, снимите блокировку.",
            ),
            Self::Experiment => (
                "Meta holds back marketing messages to this customer for a study. Wait until they write, or use a utility template.",
                "Meta временно не доставляет этому клиенту рекламные сообщения. Дождитесь, пока он напишет, или используйте сервисный шаблон.",
            ),
            Self::Country => (
                "Your company may not write to customers in this country by WhatsApp. Contact the customer another way.",
                "Вашей компании нельзя писать в WhatsApp клиентам из этой страны. Свяжитесь с клиентом другим способом.",
            ),
            Self::Group => (
                "WhatsApp could not do this in the group. Check that the group exists and that your number belongs to it.",
                "WhatsApp не смог выполнить действие в группе. Проверьте, что группа существует и ваш номер в ней состоит.",
            ),
            Self::ToItself => (
                "The recipient is your own WhatsApp number. Check the customer's phone number.",
                "Получатель совпадает с вашим номером WhatsApp. Проверьте телефон клиента.",
            ),
            Self::Undeliverable => (
                "WhatsApp cannot deliver to this customer: the number has no WhatsApp, the app is too old, its terms were not accepted, or the customer blocked you. Check the number or contact them another way.",
                "WhatsApp не может доставить сообщение: на номере нет WhatsApp, приложение устарело, не приняты его условия или клиент вас заблокировал. Проверьте номер или свяжитесь с клиентом другим способом.",
            ),
            Self::TestNumber => (
                "This is Meta's test number, and it only writes to numbers on its list. An administrator can add the customer's number in Meta's app settings or connect a real number.",
                "Это тестовый номер Meta, он пишет только на номера из своего списка. Администратор может добавить номер клиента в настройках приложения Meta или подключить настоящий номер.",
            ),
            Self::DisplayName => (
                "The display name of your number is not approved yet. An administrator has to set it in WhatsApp Manager and wait for approval.",
                "Отображаемое имя вашего номера ещё не одобрено. Администратору нужно указать его в WhatsApp Manager и дождаться одобрения.",
            ),
            Self::Payment => (
                "Meta has a problem with the payment. An administrator has to check the payment method and open bills in WhatsApp Manager.",
                "У Meta проблема с оплатой. Администратору нужно проверить способ оплаты и счета в WhatsApp Manager.",
            ),
            Self::NotRegistered => (
                "Your number is not registered on WhatsApp's Cloud API. An administrator has to register it.",
                "Ваш номер не зарегистрирован в WhatsApp Cloud API. Администратору нужно его зарегистрировать.",
            ),
            Self::WindowClosed => (
                "More than 24 hours have passed since the customer last wrote. Until they write again only a template can be sent.",
                "С последнего сообщения клиента прошло больше 24 часов. Пока он не напишет, можно отправить только шаблон.",
            ),
            Self::Spam => (
                "Too many people blocked or reported your number, and WhatsApp slows it down. Pause mailings, check the quality in WhatsApp Manager, and try again in some hours.",
                "Слишком многие заблокировали ваш номер или пожаловались на него, и WhatsApp его ограничил. Остановите рассылки, проверьте качество номера в WhatsApp Manager и попробуйте через несколько часов.",
            ),
            Self::HeldBack => (
                "WhatsApp held this message back because the customer gets too many marketing messages or may not get any. Do not repeat it within 24 hours.",
                "WhatsApp не доставил сообщение: клиент получает слишком много рекламы или ему нельзя её отправлять. Не повторяйте его в течение 24 часов.",
            ),
            Self::OptedOut => (
                "The customer has stopped marketing messages from you. Send them none until they allow it again.",
                "Клиент отказался от ваших рекламных сообщений. Не отправляйте их, пока он снова не разрешит.",
            ),
            Self::TypeNotSupported => (
                "WhatsApp does not support this kind of message here. Send it as text or as a file.",
                "WhatsApp не поддерживает здесь такой вид сообщения. Отправьте текст или файл.",
            ),
            Self::MediaFetch => (
                "WhatsApp could not load the file. Attach it again and send it once more.",
                "WhatsApp не смог загрузить файл. Прикрепите его заново и отправьте ещё раз.",
            ),
            Self::MediaRefused => (
                "WhatsApp does not accept this file: its format or size does not fit. Send it as JPEG, PNG, MP4, MP3 or PDF, or smaller.",
                "WhatsApp не принимает этот файл: не подходит формат или размер. Отправьте его в формате JPEG, PNG, MP4, MP3 или PDF либо меньшего размера.",
            ),
            Self::Maintenance => (
                "WhatsApp is changing something on your number. Send the message again in some minutes.",
                "WhatsApp проводит работы с вашим номером. Отправьте сообщение ещё раз через несколько минут.",
            ),
            Self::PhoneNeeded => (
                "The customer hides their phone number, and this message can only go to a phone number. Ask them for it, or send an ordinary message.",
                "Клиент скрывает номер телефона, а это сообщение можно отправить только на номер. Попросите номер или отправьте обычное сообщение.",
            ),
            Self::MarketingRoute => (
                "Marketing templates cannot go this way for your account. An administrator has to check the marketing message settings in WhatsApp Manager.",
                "Рекламные шаблоны нельзя отправить этим путём с вашего аккаунта. Администратору нужно проверить настройки рекламных сообщений в WhatsApp Manager.",
            ),
            Self::TemplateNotReady => (
                "The template was approved only a moment ago and is not ready yet. Send it again in ten minutes.",
                "Шаблон одобрен только что и ещё не готов. Отправьте его снова через десять минут.",
            ),
            Self::WrongClassification => (
                "WhatsApp restricted the account because templates were filed under the wrong category. An administrator has to correct them in WhatsApp Manager.",
                "WhatsApp ограничил аккаунт из-за шаблонов с неверной категорией. Администратору нужно исправить их в WhatsApp Manager.",
            ),
            Self::TemplateValues => (
                "The values for the template do not fit it: one is missing, too many, empty or of the wrong kind. Check them and send the template again.",
                "Значения не подходят к шаблону: какого-то не хватает, есть лишнее, пустое или не того вида. Проверьте их и отправьте шаблон ещё раз.",
            ),
            Self::TemplateMissing => (
                "There is no approved template of this name in this language. Check name and language, or wait for its approval.",
                "Нет одобренного шаблона с таким названием на этом языке. Проверьте название и язык или дождитесь одобрения.",
            ),
            Self::TemplateTooLong => (
                "With these values the template's text is too long. Shorten them and send it again.",
                "С этими значениями текст шаблона слишком длинный. Сократите их и отправьте снова.",
            ),
            Self::TemplatePolicy => (
                "What the template says breaks a WhatsApp rule. Change the values or use another template.",
                "Содержание шаблона нарушает правила WhatsApp. Измените значения или возьмите другой шаблон.",
            ),
            Self::TemplatePaused => (
                "WhatsApp paused the template because customers did not like it. Use another one, or try again in some hours.",
                "WhatsApp приостановил шаблон из-за негативных отзывов клиентов. Возьмите другой или попробуйте через несколько часов.",
            ),
            Self::TemplateDisabled => (
                "WhatsApp switched the template off for good because customers did not like it. Use another one.",
                "WhatsApp навсегда отключил шаблон из-за негативных отзывов клиентов. Возьмите другой.",
            ),
            Self::TemplateRefused => (
                "WhatsApp does not accept the template as it is written. Correct it and submit it again.",
                "WhatsApp не принимает шаблон в таком виде. Исправьте его и отправьте на проверку снова.",
            ),
            Self::TemplateLimit => (
                "The account has as many templates as it may have. Delete some that are not used.",
                "В аккаунте уже предельное число шаблонов. Удалите неиспользуемые.",
            ),
            Self::Flow => (
                "The form (flow) in this message is blocked, limited or could not be changed. An administrator has to check it in WhatsApp Manager.",
                "Форма (flow) в сообщении заблокирована, ограничена или её не удалось изменить. Администратору нужно проверить её в WhatsApp Manager.",
            ),
            Self::Pin => (
                "The two-step verification PIN of the number is wrong or was entered too often. An administrator has to wait, then enter the right one or reset it in WhatsApp Manager.",
                "PIN двухэтапной проверки номера неверен или вводился слишком часто. Администратору нужно подождать и ввести верный либо сбросить его в WhatsApp Manager.",
            ),
            Self::Verification => (
                "The number has to be verified with a code again. An administrator can request one in WhatsApp Manager.",
                "Номер нужно заново подтвердить кодом. Администратор может запросить код в WhatsApp Manager.",
            ),
            Self::Registration => (
                "The number was registered and removed too often, or is still being removed. An administrator has to wait, up to 72 hours, and register it again.",
                "Номер слишком часто регистрировали и удаляли, либо удаление ещё не завершено. Администратору нужно подождать, до 72 часов, и зарегистрировать его снова.",
            ),
            Self::PaymentTerms => (
                "The terms for payments in WhatsApp are not accepted. An administrator has to accept them in WhatsApp Manager.",
                "Не приняты условия платежей в WhatsApp. Администратору нужно принять их в WhatsApp Manager.",
            ),
            Self::SecurityCode => (
                "The customer's security code has changed, perhaps with a new phone. Make sure that it is still them, then send the message again.",
                "Код безопасности клиента изменился, возможно, у него новый телефон. Убедитесь, что это он, и отправьте сообщение ещё раз.",
            ),
            Self::CallingOff => (
                "Calls are not switched on for this number, or WhatsApp does not allow them to it. An administrator has to check the number's call settings.",
                "Звонки для этого номера не включены или WhatsApp их не разрешает. Администратору нужно проверить настройки звонков номера.",
            ),
            Self::CannotBeCalled => (
                "This customer cannot be called by WhatsApp. Write to them or call their phone.",
                "Этому клиенту нельзя позвонить в WhatsApp. Напишите ему или позвоните по телефону.",
            ),
            Self::CallsLimit => (
                "There are too many calls at once or to this customer. Try again later.",
                "Слишком много звонков одновременно или этому клиенту. Попробуйте позже.",
            ),
            Self::CallFailed => (
                "The call could not be put through. Try again.",
                "Не удалось установить соединение. Попробуйте позвонить ещё раз.",
            ),
            Self::CallPermission => (
                "Calling needs the customer's permission, and it can be asked for only once a day. Ask in the chat and call when it is given.",
                "Для звонка нужно разрешение клиента, а запросить его можно только раз в день. Попросите в чате и звоните, когда клиент разрешит.",
            ),
            Self::BlockList => (
                "The block list could not be changed. Try again later; only customers who wrote in the last 24 hours can be blocked.",
                "Не удалось изменить список заблокированных. Попробуйте позже; заблокировать можно только тех, кто писал за последние 24 часа.",
            ),
            Self::Username => (
                "The username cannot be had. An administrator has to choose another one or meet WhatsApp's conditions for it.",
                "Такое имя пользователя получить нельзя. Администратору нужно выбрать другое или выполнить условия WhatsApp.",
            ),
            Self::NumberSetup => (
                "The number cannot be added this way. An administrator has to check in WhatsApp Manager whether it is in use already, and verify it there.",
                "Номер нельзя добавить таким способом. Администратору нужно проверить в WhatsApp Manager, не используется ли он уже, и подтвердить его там.",
            ),
            Self::PhoneApp => (
                "Contacts or history cannot be taken over from the phone app: it was done already, was declined, or the 24 hours for it are over. New messages are not affected.",
                "Перенести контакты или историю из приложения на телефоне нельзя: это уже сделано, отклонено, или прошли отведённые 24 часа. На новые сообщения это не влияет.",
            ),
            Self::Onboarding => (
                "The account is being connected already. Wait for that to end.",
                "Аккаунт уже подключается. Дождитесь завершения.",
            ),
        };
        Words { english, russian }
    }
}
