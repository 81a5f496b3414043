//! Which cox this is, and which Kubernetes it speaks.

/// The version of Kubernetes whose API is served.
pub const KUBERNETES: &str = "v1.36.2";

/// `cox 0.1.0 (Kubernetes v1.36.2)`.
pub fn text() -> String {
    format!("cox {} (Kubernetes {KUBERNETES})", env!("CARGO_PKG_VERSION"))
}
