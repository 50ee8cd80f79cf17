#![doc = include_str!("../README.md")]

pub mod app;
pub mod bizproc;
pub mod client;
pub mod connector;
pub mod event_handlers;
pub mod events;
pub mod form;
pub mod lines;
mod loose;
pub mod markup;
pub mod oauth;
pub mod placements;
mod secret;
pub mod sms;
pub mod telephony;

pub use client::{Answer, Call, Class, Error, Obstacle, Portal};
pub use lines::LineId;
pub use secret::{AccessToken, ApplicationToken, ClientSecret, RefreshToken};
