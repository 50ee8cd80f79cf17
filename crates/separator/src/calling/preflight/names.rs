//! Resolving names, once.

use std::{collections::BTreeSet, fmt, net::IpAddr, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

/// Why a name gave no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NameError {
    /// There is no such name, or it has neither A nor AAAA records.
    Unknown,
    /// The name servers did not answer in time.
    Timeout,
    /// The name servers could not be asked.
    Failed,
}

impl NameError {
    /// As the API says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown_name",
            Self::Timeout => "dns_timeout",
            Self::Failed => "dns_failed",
        }
    }
}

/// A way to resolve names that a test owns.
pub(super) type Table = Arc<dyn Fn(&str) -> Result<Vec<IpAddr>, NameError> + Send + Sync>;

/// Where names are resolved.
#[derive(Clone)]
pub enum Names {
    /// The system's resolver.
    System,
    /// A table, for tests.
    Table(Table),
}

impl fmt::Debug for Names {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::System => "System",
            Self::Table(_) => "Table",
        })
    }
}

impl Names {
    /// The addresses of a name, IPv4 first, each once.
    pub(super) async fn resolve(
        &self,
        name: &str,
        limit: Duration,
    ) -> Result<Vec<IpAddr>, NameError> {
        let found: BTreeSet<IpAddr> = match self {
            Self::Table(table) => table(name)?.into_iter().collect(),
            Self::System => {
                let asking = tokio::net::lookup_host((name, 0));
                let answer = tokio::time::timeout(limit, asking)
                    .await
                    .map_err(|_| NameError::Timeout)?;
                // The resolver of the C library tells "no such name" from "no answer" by its words only.
                answer
                    .map_err(|error| {
                        if error.to_string().contains("emporary failure") {
                            NameError::Failed
                        } else {
                            NameError::Unknown
                        }
                    })?
                    .map(|address| address.ip())
                    .collect()
            }
        };
        if found.is_empty() {
            return Err(NameError::Unknown);
        }
        Ok(found.into_iter().collect())
    }
}
