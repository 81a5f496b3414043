//! How kinds behave: one file a kind; pure.
