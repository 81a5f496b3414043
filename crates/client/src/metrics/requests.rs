//! What is counted of requests to API servers.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base::metrics::{Counter, Counters, Histogram, Histograms, Registry, alpha};
use http::{Method, StatusCode};
use parking_lot::Mutex;

use super::ALL;

const DURATIONS: [f64; 12] = [0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0];

/// From 64 bytes to 16 MiB.
const SIZES: [f64; 11] =
    [64.0, 256.0, 512.0, 1024.0, 4096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 16_777_216.0];

/// The methods of requests.
const METHODS: [Method; 6] = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD];

/// The codes that answers mostly have.
const CODES: [u16; 14] = [200, 201, 202, 400, 401, 403, 404, 409, 410, 422, 429, 500, 503, 504];

/// What upstream counts a request as that no answer came to.
const NO_ANSWER: &str = "<error>";

pub(super) struct Families {
    requests: Counters,
    durations: Histograms,
    request_sizes: Histograms,
    response_sizes: Histograms,
    hosts: Mutex<HashMap<String, Arc<OfHost>>>,
}

impl Families {
    pub(super) fn new(registry: &Registry) -> Self {
        let labels = ["verb", "host"];
        Self {
            requests: registry.counters(
                alpha("rest_client_requests_total", "Requests sent, by code, method and host."),
                &["code", "method", "host"],
            ),
            durations: registry.histograms(
                alpha("rest_client_request_duration_seconds", "How long answers took, by verb and host."),
                &labels,
                &DURATIONS,
            ),
            request_sizes: registry.histograms(
                alpha("rest_client_request_size_bytes", "Sizes of requests' bodies, by verb and host."),
                &labels,
                &SIZES,
            ),
            response_sizes: registry.histograms(
                alpha("rest_client_response_size_bytes", "Sizes of answers whose size is known, by verb and host."),
                &labels,
                &SIZES,
            ),
            hosts: Mutex::default(),
        }
    }
}

/// The counters of the requests to one host.
#[derive(Debug)]
pub(crate) struct OfHost {
    host: String,
    methods: [OfMethod; METHODS.len()],
}

/// The cells of one method; each is made when it is first needed.
#[derive(Debug, Default)]
struct OfMethod {
    codes: [OnceLock<Arc<Counter>>; CODES.len()],
    cells: OnceLock<[Arc<Histogram>; 3]>,
}

/// What is known of a request and its answer.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) method: Method,
    /// `None`: there was no answer.
    pub(crate) code: Option<StatusCode>,
    pub(crate) took: Duration,
    pub(crate) sent_bytes: Option<u64>,
    pub(crate) received_bytes: Option<u64>,
}

impl OfHost {
    /// Those of this host.
    pub(crate) fn of(host: &str) -> Arc<Self> {
        let make = || Arc::new(Self { host: host.to_owned(), methods: Default::default() });
        ALL.requests.hosts.lock().entry(host.to_owned()).or_insert_with(make).clone()
    }

    /// A request was answered, or could not be.
    pub(crate) fn answered(&self, answered: &Answered) {
        let method = METHODS.iter().position(|method| *method == answered.method).unwrap_or(0);
        self.count(method, answered.code);
        let (families, verb) = (&ALL.requests, [METHODS[method].as_str(), self.host.as_str()]);
        let make = || [&families.durations, &families.request_sizes, &families.response_sizes].map(|f| f.with(&verb));
        let [durations, sent, received] = self.methods[method].cells.get_or_init(make);
        durations.took(answered.took);
        #[allow(clippy::cast_precision_loss, reason = "buckets are coarser than that")]
        for (sizes, bytes) in [(sent, answered.sent_bytes), (received, answered.received_bytes)] {
            bytes.into_iter().for_each(|bytes| sizes.observe(bytes as f64));
        }
    }

    fn count(&self, method: usize, code: Option<StatusCode>) {
        let cell = |code: &str| ALL.requests.requests.with(&[code, METHODS[method].as_str(), &self.host]);
        let Some(code) = code else { return cell(NO_ANSWER).inc() };
        match CODES.iter().position(|known| *known == code.as_u16()) {
            Some(at) => self.methods[method].codes[at].get_or_init(|| cell(code.as_str())).inc(),
            None => cell(code.as_str()).inc(),
        }
    }
}
