//! Checks that several kinds share: metadata, selectors, resources, containers, volumes, pod specs.

pub mod metadata;
