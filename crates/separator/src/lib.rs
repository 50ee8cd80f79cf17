//! Separator: WhatsApp Business numbers in the Open Lines of Bitrix24.
//!
//! The modules stand in the order in which a message meets them; `ARCHITECTURE.md` tells the whole way.

pub mod receive;

pub mod intake;

pub mod translate;

pub mod deliver;

pub mod person;

pub mod compose;

pub mod window;

pub mod template_watch;

pub mod portal;

pub mod account;

pub mod media;

pub mod calling;

pub mod store;

pub mod registry;

pub mod doctor;
pub mod overview;

pub mod api;
pub mod users;

pub mod app;
pub mod commands;
pub mod housekeeping;
pub mod lease;
pub mod metrics;
pub mod sandbox_command;
pub mod serve;

pub mod identifiers;
pub mod logging;
pub mod outgoing;
pub mod pages;
pub mod seal;
pub mod secret;
pub mod settings;
pub mod time;
