//! End-to-end tests: the real program against the stand-ins, over real sockets.
//!
//! Each test has a [`world::World`] of its own and speaks the product's language: what the customer writes, what the
//! operator sees. A world refuses to end dirty. On SQLite by default; on PostgreSQL where `SEPARATOR_TEST_POSTGRES`
//! names a server in which databases may be made.

#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(unreachable_pub, reason = "modules of one test program")]
#![expect(clippy::print_stdout, reason = "a failed test says what repeats it")]
#![expect(
    clippy::disallowed_methods,
    reason = "the rules are for the product; tests stand outside it"
)]

mod api;
mod backup;
mod bad_input;
mod both_ways;
mod calling;
mod calls;
mod cards;
mod codes;
mod commands;
mod connect_meta;
mod crash;
mod doctor;
mod doctor_calling;
mod doors;
mod failures;
mod frames;
mod headers;
mod house;
mod identity;
mod inbound;
mod install;
mod interactive;
mod interleavings;
mod lifecycle;
mod limits;
mod meta_upkeep;
mod mistakes;
mod opt_outs;
mod outages;
mod outbound;
mod people;
mod poison;
mod readme;
mod robots;
mod sms;
mod statuses;
mod template_hold;
mod templates;
mod tokens;
mod upgrade;
mod window;
mod world;
