//! Separator: WhatsApp Business numbers in the Open Lines of Bitrix24.

pub mod translate;
