#![doc = include_str!("../README.md")]

pub mod client;
pub mod codes;
pub mod error;
mod json;
pub mod media;
pub mod secret;
pub mod send;
pub mod signature;
pub mod webhook;

pub use client::{Client, Credentials};
pub use error::{ApiError, Error};
pub use json::Raw;
pub use secret::Secret;
