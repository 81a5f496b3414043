//! What a member's refusal or silence means: may the request be repeated, does another member help, what is told on.

use std::error::Error as _;

use tonic::{Code, ConnectError, Status};

use crate::Error;

/// Why a member did not do what was asked.
#[derive(Debug)]
pub struct Failure {
    /// What follows from it.
    pub kind: Kind,
    /// What the caller is told, where nobody knows better.
    pub error: Error,
}

/// What follows from a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The member never heard of the request.
    Unsent,
    /// Whether the member did it is not known.
    InDoubt,
    /// The revision asked for is compacted.
    Compacted,
    /// The revision asked for has not happened yet.
    Future,
    /// The lease is over.
    NoLease,
    /// The cluster will not do it, now or at all; it was not done.
    Refused,
}

/// Whether doing a request twice is as good as doing it once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// Yes: it reads.
    Harmless,
    /// No: it is repeated only if no member heard of it.
    Never,
}

impl Failure {
    /// What a member's answer means. Texts are etcd's own; they are part of its API.
    pub fn of(status: &Status) -> Self {
        let kind = if never_connected(status) { Kind::Unsent } else { kind(status) };
        let message = told(status);
        let error = match kind {
            Kind::Unsent | Kind::InDoubt => Error::Unavailable { message },
            _ => Error::Refused { message },
        };
        Self { kind, error }
    }

    /// The member said nothing in time.
    pub fn silence(doing: &'static str) -> Self {
        Self { kind: Kind::InDoubt, error: Error::TimedOut { doing } }
    }

    /// Whether another member may do better.
    pub fn is_the_members(&self) -> bool {
        matches!(self.kind, Kind::Unsent | Kind::InDoubt)
    }

    /// Whether the request can be repeated.
    pub fn may_repeat(&self, again: Again) -> bool {
        match self.kind {
            Kind::Unsent => true,
            Kind::InDoubt => again == Again::Harmless,
            _ => false,
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

fn never_connected(status: &Status) -> bool {
    let mut source = status.source();
    while let Some(error) = source {
        if error.is::<ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}

fn kind(status: &Status) -> Kind {
    match (status.code(), status.message()) {
        (Code::OutOfRange, "etcdserver: mvcc: required revision has been compacted") => Kind::Compacted,
        (Code::OutOfRange, "etcdserver: mvcc: required revision is a future revision") => Kind::Future,
        (Code::NotFound, "etcdserver: requested lease not found") => Kind::NoLease,
        (Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled, _) => Kind::InDoubt,
        // The connection broke: no member words it so.
        _ if status.source().is_some() => Kind::InDoubt,
        _ => Kind::Refused,
    }
}

/// As etcd's own client words it: the cluster's errors plainly, those of the connection with their code.
fn told(status: &Status) -> String {
    let (code, message) = (status.code(), status.message());
    if message.starts_with("etcdserver: ") {
        return message.to_owned();
    }
    // What broke a connection has no code of its own.
    let code = if code == Code::Unknown && status.source().is_some() { Code::Unavailable } else { code };
    format!("rpc error: code = {code:?} desc = {message}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows() {
        let broken = Status::from_error(Box::new(std::io::Error::from(std::io::ErrorKind::BrokenPipe)));
        let refused = Status::from_error(Box::new(ConnectError("connection refused".into())));
        let cases = [
            (Status::unavailable("etcdserver: request timed out"), "InDoubt etcdserver: request timed out"),
            (Status::unavailable("etcdserver: leader changed"), "InDoubt etcdserver: leader changed"),
            (Status::invalid_argument("etcdserver: request is too large"), "Refused etcdserver: request is too large"),
            (
                Status::resource_exhausted("etcdserver: mvcc: database space exceeded"),
                "Refused etcdserver: mvcc: database space exceeded",
            ),
            (
                Status::out_of_range("etcdserver: mvcc: required revision has been compacted"),
                "Compacted etcdserver: mvcc: required revision has been compacted",
            ),
            (
                Status::not_found("etcdserver: requested lease not found"),
                "NoLease etcdserver: requested lease not found",
            ),
            (broken, "InDoubt rpc error: code = Unavailable desc = broken pipe"),
            (refused, "Unsent rpc error: code = Unavailable desc = connection refused"),
        ];
        for (status, expected) in cases {
            let failure = Failure::of(&status);
            assert_eq!(format!("{:?} {}", failure.kind, failure.error), expected);
        }
    }
}
