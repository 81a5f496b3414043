//! Which cox this is, and which Kubernetes it speaks.

use machinery::release::GIT_VERSION;

/// `cox 0.1.0 (Kubernetes v1.36.2)`.
pub fn text() -> String {
    format!("cox {} (Kubernetes {GIT_VERSION})", env!("CARGO_PKG_VERSION"))
}
