//! `never!`: what must not happen, loud in tests, logged and survived in production.

/// Evaluates to whether `condition` holds, which it never should: panics in debug builds, logs an error in release
/// builds. Write `if never!(pod.uid.is_empty(), "a stored pod has no uid") { return; }`.
#[macro_export]
macro_rules! never {
    ($condition:expr, $($message:tt)+) => {{
        let broken = $condition;
        if broken {
            debug_assert!(!broken, $($message)+);
            $crate::never_log(&format!($($message)+));
        }
        broken
    }};
}

/// Where [`never!`] reports in release builds.
#[doc(hidden)]
pub fn never_log(message: &str) {
    tracing::error!(message, "an invariant does not hold");
}
