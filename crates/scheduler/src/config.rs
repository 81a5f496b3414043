//! How a scheduler is set: whose pods it places and what it prefers.

/// How free room turns into a score (`NodeResourcesFitArgs`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Strategy {
    /// Spread: the emptiest node is best.
    LeastAllocated,
    /// Pack: the fullest node that still has room is best.
    MostAllocated,
    /// A curve of one's own.
    RequestedToCapacityRatio(Vec<Shape>),
}

/// A point of a curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// The used share, in per cent.
    pub utilization: i64,
    /// The score there, 0 to 10.
    pub score: i64,
}

/// A scheduler under one name.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Pods with this `spec.schedulerName` are placed.
    pub scheduler_name: String,
    /// How free room turns into a score.
    pub fit_strategy: Strategy,
    /// Which resources that counts, with weights.
    pub fit_resources: Vec<(String, i64)>,
    /// Between which resources balance is sought.
    pub balanced_resources: Vec<String>,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            scheduler_name: "default-scheduler".to_owned(),
            fit_strategy: Strategy::LeastAllocated,
            fit_resources: vec![("cpu".to_owned(), 1), ("memory".to_owned(), 1)],
            balanced_resources: vec!["cpu".to_owned(), "memory".to_owned()],
        }
    }
}
