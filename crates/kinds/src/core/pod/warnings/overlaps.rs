//! Files of a volume that would lie at the same place, or one below the other.

use machinery::Value;
use machinery::field::quote;

/// A file, and the source that it comes from when the volume has several.
struct File {
    path: String,
    source: String,
}

impl File {
    fn shown(&self) -> String {
        let path = quote(&self.path);
        if self.source.is_empty() { path } else { format!("{path} ({})", self.source) }
    }

    fn overlaps(&self, other: &Self) -> bool {
        let below = |inner: &Self, outer: &Self| format!("{}/", inner.path).starts_with(&format!("{}/", outer.path));
        !self.path.is_empty() && !other.path.is_empty() && (below(self, other) || below(other, self))
    }
}

/// The warnings about the volumes of a pod's spec.
pub(super) fn warnings(spec: &Value) -> Vec<String> {
    spec.items_at(&["volumes"]).iter().flat_map(of_volume).collect()
}

fn of_volume(volume: &Value) -> Vec<String> {
    let name = quote(volume.str_at(&["name"]).unwrap_or_default());
    let mut all = Vec::new();
    for (field, what) in [
        ("configMap", named(volume, "configMap", "name", "ConfigMap")),
        ("secret", named(volume, "secret", "secretName", "Secret")),
    ] {
        all.extend(within(&name, &what, items(volume, field, "")));
    }
    all.extend(within(&name, "DownwardAPI", items(volume, "downwardAPI", "")));
    let sources = volume.items_at(&["projected", "sources"]);
    if sources.iter().any(|source| source.as_object().is_some_and(|source| source.is_empty())) {
        all.push(format!("volume {name} (Projected) has no sources provided"));
    }
    all.extend(within(&name, "Projected", sources.iter().flat_map(of_source).collect()));
    all
}

/// The files of a part of a projected volume.
fn of_source(source: &Value) -> Vec<File> {
    let mut files = items(source, "configMap", &named(source, "configMap", "name", "ConfigMap"));
    files.extend(items(source, "secret", &named(source, "secret", "name", "Secret")));
    files.extend(items(source, "downwardAPI", "DownwardAPI"));
    if let Some(path) = source.str_at(&["serviceAccountToken", "path"]) {
        files.push(file(path, "ServiceAccountToken"));
    }
    if let Some(path) = source.str_at(&["clusterTrustBundle", "path"]) {
        let by = if source.str_at(&["clusterTrustBundle", "name"]).is_some() { "name" } else { "signerName" };
        files.push(file(path, &named(source, "clusterTrustBundle", by, "ClusterTrustBundle")));
    }
    files
}

fn named(source: &Value, field: &str, by: &str, kind: &str) -> String {
    format!("{kind} {}", quote(source.str_at(&[field, by]).unwrap_or_default()))
}

fn items(source: &Value, field: &str, shown: &str) -> Vec<File> {
    let items = source.items_at(&[field, "items"]).iter();
    items.map(|item| file(item.str_at(&["path"]).unwrap_or_default(), shown)).collect()
}

fn file(path: &str, source: &str) -> File {
    File { path: path.trim_end_matches('/').to_owned(), source: source.to_owned() }
}

fn within(volume: &str, what: &str, files: Vec<File>) -> Vec<String> {
    let mut all = Vec::new();
    for (i, file) in files.iter().enumerate() {
        for other in files[..i].iter().filter(|other| other.overlaps(file)) {
            let (file, other) = (file.shown(), other.shown());
            all.push(format!("volume {volume} ({what}): overlapping paths: {file} with {other}"));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::value;

    #[test]
    fn volumes() {
        let spec = value!({"volumes": [
            {"name": "c", "configMap": {"name": "m", "items": [{"path": "a"}, {"path": "a/b"}, {"path": "ab"}, {"path": "a"}]}},
            {"name": "s", "secret": {"secretName": "m", "items": [{"path": "x"}, {"path": "y"}]}},
            {"name": "p", "projected": {"sources": [
                {"serviceAccountToken": {"path": "token"}},
                {"configMap": {"name": "m"}},
                {"secret": {"name": "q", "items": [{"path": "token/x"}]}},
                {},
            ]}},
        ]});
        expect_test::expect![[r#"
            volume "c" (ConfigMap "m"): overlapping paths: "a/b" with "a"
            volume "c" (ConfigMap "m"): overlapping paths: "a" with "a"
            volume "c" (ConfigMap "m"): overlapping paths: "a" with "a/b"
            volume "p" (Projected) has no sources provided
            volume "p" (Projected): overlapping paths: "token/x" (Secret "q") with "token" (ServiceAccountToken)"#]]
        .assert_eq(&warnings(&spec).join("\n"));
    }
}
