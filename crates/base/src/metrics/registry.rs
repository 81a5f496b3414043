//! The families of a part of a process.

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::cell::{Cell, Counter, Gauge, Histogram};
use super::family::{About, Family, Sample, Shape};

/// A family has at most so many sets of labels; further ones are counted by nobody. Labels come from what is
/// configured, so that this many means that something is wrong.
const SAMPLES: usize = 20_000;

/// Something that tells a family.
pub trait Collect: Send + Sync {
    /// What there is to tell now.
    fn family(&self) -> Family;
    /// Begins anew where that makes sense.
    fn reset(&self) {}
}

/// The families of a part of a process. Clones are the same registry.
#[derive(Clone, Default)]
pub struct Registry(Arc<Mutex<Vec<Arc<dyn Collect>>>>);

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("families", &self.0.lock().len()).finish()
    }
}

impl Registry {
    /// Without families.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A family of counters.
    #[must_use]
    pub fn counters(&self, about: About, labels: &[&'static str]) -> Counters {
        self.cells(about, Shape::Counter, labels, Counter::default)
    }

    /// A counter without labels.
    #[must_use]
    pub fn counter(&self, about: About) -> Arc<Counter> {
        self.counters(about, &[]).with(&[])
    }

    /// A family of gauges.
    #[must_use]
    pub fn gauges(&self, about: About, labels: &[&'static str]) -> Gauges {
        self.cells(about, Shape::Gauge, labels, Gauge::default)
    }

    /// A gauge without labels.
    #[must_use]
    pub fn gauge(&self, about: About) -> Arc<Gauge> {
        self.gauges(about, &[]).with(&[])
    }

    /// A family of histograms.
    #[must_use]
    pub fn histograms(&self, about: About, labels: &[&'static str], buckets: &[f64]) -> Histograms {
        let bounds: Arc<[f64]> = buckets.into();
        self.cells(about, Shape::Histogram, labels, move || Histogram::new(bounds.clone()))
    }

    /// A histogram without labels.
    #[must_use]
    pub fn histogram(&self, about: About, buckets: &[f64]) -> Arc<Histogram> {
        self.histograms(about, &[], buckets).with(&[])
    }

    /// Something that tells a family of its own.
    pub fn add(&self, family: Arc<dyn Collect>) {
        self.0.lock().push(family);
    }

    /// All families, also those with nothing to tell.
    #[must_use]
    pub fn gather(&self) -> Vec<Family> {
        let families = self.0.lock().clone();
        families.iter().map(|family| family.family()).collect()
    }

    /// Counts with labels begin anew; what says how things are now stays.
    pub fn reset(&self) {
        let families = self.0.lock().clone();
        families.iter().for_each(|family| family.reset());
    }

    fn cells<C: Cell + 'static>(
        &self,
        about: About,
        shape: Shape,
        labels: &[&'static str],
        make: impl Fn() -> C + Send + Sync + 'static,
    ) -> Cells<C> {
        let mut order: Vec<usize> = (0..labels.len()).collect();
        order.sort_unstable_by_key(|at| labels[*at]);
        let names = order.iter().map(|at| labels[*at]).collect();
        let make = Box::new(make);
        let inner = Arc::new(Inner { about, shape, names, order, make, cells: RwLock::default() });
        self.add(inner.clone());
        Cells(inner)
    }
}

/// Cells of one family by their labels.
pub struct Cells<C>(Arc<Inner<C>>);

/// Counters by their labels.
pub type Counters = Cells<Counter>;
/// Gauges by their labels.
pub type Gauges = Cells<Gauge>;
/// Histograms by their labels.
pub type Histograms = Cells<Histogram>;

struct Inner<C> {
    about: About,
    shape: Shape,
    /// Sorted.
    names: Vec<&'static str>,
    /// Where the value of each of `names` is among those that are given.
    order: Vec<usize>,
    make: Box<dyn Fn() -> C + Send + Sync>,
    /// Sorted by the values of `names`.
    cells: RwLock<Vec<(Vec<String>, Arc<C>)>>,
}

impl<C> Clone for Cells<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<C> std::fmt::Debug for Cells<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Cells").field(&self.0.about.name).finish()
    }
}

impl<C: Cell> Cells<C> {
    /// The cell for these values, in the order in which the labels were named.
    #[must_use]
    pub fn with(&self, values: &[&str]) -> Arc<C> {
        crate::never!(values.len() != self.0.order.len(), "a metric has a value for each label");
        let value = |at: usize| values.get(at).copied().unwrap_or_default();
        let place = |cells: &[(Vec<String>, Arc<C>)]| {
            let wanted = || self.0.order.iter().map(|at| value(*at));
            cells.binary_search_by(|(key, _)| key.iter().map(String::as_str).cmp(wanted()))
        };
        {
            let cells = self.0.cells.read();
            if let Ok(at) = place(&cells) {
                return cells[at].1.clone();
            }
        }
        let mut cells = self.0.cells.write();
        match place(&cells) {
            Ok(at) => cells[at].1.clone(),
            Err(_) if cells.len() >= SAMPLES => Arc::new((self.0.make)()),
            Err(at) => {
                let cell = Arc::new((self.0.make)());
                let key = self.0.order.iter().map(|at| value(*at).to_owned()).collect();
                cells.insert(at, (key, cell.clone()));
                cell
            }
        }
    }

    /// Forgets the cells whose labels, by name, are not to be kept; those that somebody holds are no longer shown.
    pub fn retain(&self, keep: impl Fn(&[(&'static str, &str)]) -> bool) {
        self.0.cells.write().retain(|(values, _)| {
            let labels: Vec<_> = self.0.names.iter().copied().zip(values.iter().map(String::as_str)).collect();
            keep(&labels)
        });
    }

    /// Forgets all cells; those that somebody kept are no longer shown.
    pub fn clear(&self) {
        self.0.cells.write().clear();
    }
}

impl<C: Cell> Collect for Inner<C> {
    fn family(&self) -> Family {
        let is_single = self.names.is_empty();
        let cells = self.cells.read();
        let shown = cells.iter().filter(|(_, cell)| is_single || cell.is_touched());
        let samples = shown.map(|(labels, cell)| Sample { labels: labels.clone(), value: cell.value() });
        Family { about: self.about, shape: self.shape, labels: self.names.clone(), samples: samples.collect() }
    }

    fn reset(&self) {
        if !self.names.is_empty() {
            self.cells.read().iter().for_each(|(_, cell)| cell.reset());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Exposition, Wanted, alpha, stable};
    use super::*;

    #[test]
    fn what_was_counted_is_told_and_forgotten() {
        let registry = Registry::new();
        let requests = registry.counters(stable("requests_total", "Requests."), &["verb", "code"]);
        let sizes = registry.histograms(alpha("sizes", "Sizes."), &["verb"], &[1.0, 1e9]);
        let open = registry.gauges(alpha("open", "Open\nones."), &["of"]);
        let _unused = registry.counters(alpha("unused_total", "Nothing."), &["x"]);
        let failures = registry.counter(alpha("failures_total", "Failures."));
        let get = requests.with(&["GET", "200"]);
        get.inc();
        requests.with(&["GET", "100"]).add(1_234_567);
        sizes.with(&["a\"b"]).observe(0.5);
        sizes.with(&["a\"b"]).observe(1.0);
        sizes.with(&["a\"b"]).observe(2e9);
        open.with(&["x"]).dec();
        failures.inc();
        let text =
            |registry: &Registry| String::from_utf8(Exposition::of(registry.gather(), Wanted::default()).body).unwrap();
        let first = text(&registry);
        assert_eq!(
            first,
            "# HELP failures_total [ALPHA] Failures.\n# TYPE failures_total counter\nfailures_total 1\n\
             # HELP open [ALPHA] Open\\nones.\n# TYPE open gauge\nopen{of=\"x\"} -1\n\
             # HELP requests_total [STABLE] Requests.\n# TYPE requests_total counter\n\
             requests_total{code=\"100\",verb=\"GET\"} 1.234567e+06\nrequests_total{code=\"200\",verb=\"GET\"} 1\n\
             # HELP sizes [ALPHA] Sizes.\n# TYPE sizes histogram\nsizes_bucket{verb=\"a\\\"b\",le=\"1\"} 2\n\
             sizes_bucket{verb=\"a\\\"b\",le=\"1e+09\"} 2\nsizes_bucket{verb=\"a\\\"b\",le=\"+Inf\"} 3\n\
             sizes_sum{verb=\"a\\\"b\"} 2.0000000015e+09\nsizes_count{verb=\"a\\\"b\"} 3\n"
        );
        registry.reset();
        get.inc();
        assert_eq!(
            text(&registry),
            "# HELP failures_total [ALPHA] Failures.\n# TYPE failures_total counter\nfailures_total 1\n\
             # HELP open [ALPHA] Open\\nones.\n# TYPE open gauge\nopen{of=\"x\"} -1\n\
             # HELP requests_total [STABLE] Requests.\n# TYPE requests_total counter\n\
             requests_total{code=\"200\",verb=\"GET\"} 1\n"
        );
    }
}
