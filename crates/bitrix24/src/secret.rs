//! Secrets as types of their own: they cannot be printed and cannot be taken for one another.

use std::fmt;
use std::hint::black_box;

/// Compares without telling by its duration where the difference is; only the length may be learned.
fn same(left: &str, right: &str) -> bool {
    if left.len() != right.len() {
        return false;
    }
    let difference = left
        .bytes()
        .zip(right.bytes())
        .fold(0_u8, |sum, (a, b)| black_box(sum | (a ^ b)));
    difference == 0
}

macro_rules! secret {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(String);

        impl $name {
            /// Wraps the secret text.
            pub fn new(secret: impl Into<String>) -> Self {
                Self(secret.into())
            }

            /// The secret itself, for the request that needs it or for encrypted storage.
            pub fn expose(&self) -> &str {
                &self.0
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                same(&self.0, &other.0)
            }
        }

        impl Eq for $name {}

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    };
}

secret!(
    /// Opens REST for an hour, as one employee of one portal (OAuth 2.0 access token).
    AccessToken
);
secret!(
    /// Buys the next pair of tokens, once (OAuth 2.0 refresh token; 180 days).
    RefreshToken
);
secret!(
    /// Constant per application and portal; its presence proves that a request comes from that portal.
    ///
    /// Comparing two of them takes the same time wherever they differ.
    ApplicationToken
);
secret!(
    /// The application's `client_secret`; only the authorization server may ever receive it.
    ClientSecret
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed() {
        let printed = format!("{:?}", Some(AccessToken::new("s6p6eclrvim6da22")));
        assert_eq!(printed, "Some(AccessToken(…))");
    }

    #[test]
    fn secrets_are_equal_only_when_every_byte_is() {
        let token = ApplicationToken::new("831c76b0");
        assert_eq!(token, ApplicationToken::new("831c76b0"));
        for other in ["", "831c76b", "831c76b1", "831c76b00", "931c76b0"] {
            assert_ne!(token, ApplicationToken::new(other), "{other}");
        }
    }
}
