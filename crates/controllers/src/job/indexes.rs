//! Completion indexes: `0-2,5` as the status writes them.

use std::collections::BTreeSet;

use client::Object;
use k8s_openapi::api::core::v1::Pod;

/// Under this name pods know their index.
pub(super) const INDEX: &str = "batch.kubernetes.io/job-completion-index";

/// The pod's index.
pub(super) fn of_pod(pod: &Pod) -> Option<i32> {
    pod.annotation(INDEX)?.parse().ok()
}

/// Reads what [`format`] writes.
pub(super) fn parse(text: &str) -> BTreeSet<i32> {
    let ranges = text.split(',').filter_map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse().ok()?..=last.parse().ok()?)
    });
    ranges.flatten().collect()
}

/// Writes indexes as numbers and ranges of three or more.
pub(super) fn format(indexes: &BTreeSet<i32>) -> String {
    let mut runs: Vec<(i32, i32)> = Vec::new();
    for index in indexes {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *index => *last = *index,
            _ => runs.push((*index, *index)),
        }
    }
    let texts = runs.into_iter().map(|(first, last)| match last - first {
        0 => first.to_string(),
        1 => format!("{first},{last}"),
        _ => format!("{first}-{last}"),
    });
    texts.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_written_and_read() {
        for text in ["", "0", "0,1", "0-2", "0-2,4,6,7", "3,10-12"] {
            assert_eq!(format(&parse(text)), text);
        }
    }
}
