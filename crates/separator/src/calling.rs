//! Calls: the company's WhatsApp number rings on its own telephone server, by SIP over TLS.
//!
//! Meta takes almost any address on saving and tests none of them: a wrong certificate shows only as silence. So what
//! somebody enters as the server's address is put into one form ([`address`]) and looked at as Meta would look at it
//! ([`preflight`]), and what the telephone server needs is written out ready to be pasted ([`pbx`]).

pub mod address;
pub mod pbx;
pub mod preflight;

#[cfg(test)]
mod rig;
