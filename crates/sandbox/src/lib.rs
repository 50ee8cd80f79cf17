//! Stand-ins for Meta's Cloud API and for a Bitrix24 portal.
//!
//! Small stateful programs that behave as the real services are known to behave, with a page each for a person and
//! switches for every fault. They share no types with the client libraries on purpose: a stand-in built from the
//! client's own types would agree with the client's mistakes.

pub mod graph;
pub mod portal;
