//! Bitrix24.
