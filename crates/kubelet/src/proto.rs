//! The generated messages and clients of `proto/`.
#![allow(clippy::all, clippy::pedantic, missing_docs, reason = "generated code")]

/// Container Runtime Interface v1.
pub mod cri {
    tonic::include_proto!("runtime.v1");
}

/// containerd's event service.
pub mod containerd_events {
    tonic::include_proto!("containerd.services.events.v1");
}

/// gRPC's health checking.
pub mod health {
    tonic::include_proto!("grpc.health.v1");
}
