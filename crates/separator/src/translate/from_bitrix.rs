//! from_bitrix.
