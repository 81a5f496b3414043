//! What is counted of service accounts' tokens, under upstream's names.

use std::sync::Arc;

use base::metrics::{Counter, Registry, alpha};

/// The counters.
#[derive(Debug, Clone)]
pub struct Counts {
    pub(crate) registry: Registry,
    /// Tokens that count.
    pub(super) valid: Arc<Counter>,
    /// Tokens that count, but that a newer one should have taken the place of.
    pub(super) stale: Arc<Counter>,
    /// Tokens that live in a secret and never expire.
    pub(super) legacy: Arc<Counter>,
}

impl Default for Counts {
    fn default() -> Self {
        let registry = Registry::new();
        let all = &registry;
        Self {
            valid: all.counter(alpha(
                "serviceaccount_valid_tokens_total",
                "Requests with tokens of service accounts that were renewed in time.",
            )),
            stale: all.counter(alpha(
                "serviceaccount_stale_tokens_total",
                "Requests with tokens of service accounts that should have been renewed before.",
            )),
            legacy: all.counter(alpha(
                "serviceaccount_legacy_tokens_total",
                "Requests with tokens of service accounts that live in secrets.",
            )),
            registry,
        }
    }
}
