//! Pure translation between the two sides: what came in and what we know, to what should happen.
//!
//! Nothing in here does input or output, knows the time or awaits anything; a test enforces the imports.

pub mod code;
pub mod from_bitrix;
pub mod from_whatsapp;
pub mod interactive;
pub mod message;
pub mod notes;
pub mod template;
