//! Which audiences the volumes of a pod ask tokens for: their own, and those of the CSI drivers that serve them
//! (KEP-2047).

use machinery::{Value, meta};

use super::Lister;

/// Whether a volume of `pod` needs a token for `audience`; the empty one is the API server's.
pub(super) fn names(pod: &Value, audience: &str, objects: &dyn Lister) -> bool {
    pod.items_at(&["spec", "volumes"]).iter().any(|volume| {
        projects(volume, audience)
            || driver_of(pod, volume, objects).is_some_and(|driver| driver_asks(&driver, audience, objects))
    })
}

fn projects(volume: &Value, audience: &str) -> bool {
    let tokens =
        volume.items_at(&["projected", "sources"]).iter().filter_map(|source| source.get("serviceAccountToken"));
    tokens.filter(|token| !token.is_null()).any(|token| token.str_at(&["audience"]).unwrap_or_default() == audience)
}

/// The CSI driver behind a volume, directly or through a claim and its bound volume.
fn driver_of(pod: &Value, volume: &Value, objects: &dyn Lister) -> Option<String> {
    if let Some(driver) = volume.str_at(&["csi", "driver"]) {
        return Some(driver.to_owned());
    }
    let claim = match volume.str_at(&["persistentVolumeClaim", "claimName"]) {
        Some(claim) => claim.to_owned(),
        None => {
            volume.at(&["ephemeral", "volumeClaimTemplate"])?;
            // A generic ephemeral volume's claim has the pod's and the volume's name (KEP-1698).
            format!("{}-{}", meta::name(pod), volume.str_at(&["name"]).unwrap_or_default())
        }
    };
    let claim = objects.get("", "persistentvolumeclaims", meta::namespace(pod), &claim)?;
    let bound = objects.get("", "persistentvolumes", "", claim.str_at(&["spec", "volumeName"])?)?;
    bound.str_at(&["spec", "csi", "driver"]).map(str::to_owned)
}

fn driver_asks(driver: &str, audience: &str, objects: &dyn Lister) -> bool {
    let Some(driver) = objects.get("storage.k8s.io", "csidrivers", "", driver) else { return false };
    let mut requests = driver.items_at(&["spec", "tokenRequests"]).iter();
    requests.any(|request| request.str_at(&["audience"]).unwrap_or_default() == audience)
}

#[cfg(test)]
mod tests {
    use machinery::yaml;

    use super::super::Objects;
    use super::*;

    #[test]
    fn audiences_come_from_projections_and_drivers() {
        let of = |text: &str| yaml::parse(text).unwrap();
        let objects = Objects::default()
            .with("", "persistentvolumeclaims", of("{metadata: {name: c, namespace: ns}, spec: {volumeName: v}}"))
            .with("", "persistentvolumeclaims", of("{metadata: {name: p-e, namespace: ns}, spec: {volumeName: v}}"))
            .with("", "persistentvolumes", of("{metadata: {name: v}, spec: {csi: {driver: d}}}"))
            .with("storage.k8s.io", "csidrivers", of("{metadata: {name: d}, spec: {tokenRequests: [{audience: x}]}}"));
        for (volume, audience, named) in [
            ("projected: {sources: [{serviceAccountToken: {path: t}}]}", "", true),
            ("projected: {sources: [{serviceAccountToken: {path: t, audience: other}}]}", "other", true),
            ("projected: {sources: [{configMap: {name: t}}]}", "", false),
            ("csi: {driver: d}", "x", true),
            ("csi: {driver: d}", "", false),
            ("csi: {driver: other}", "x", false),
            ("persistentVolumeClaim: {claimName: c}", "x", true),
            ("persistentVolumeClaim: {claimName: none}", "x", false),
            ("name: e, ephemeral: {volumeClaimTemplate: {spec: {}}}", "x", true),
        ] {
            let pod = of(&format!("{{metadata: {{name: p, namespace: ns}}, spec: {{volumes: [{{{volume}}}]}}}}"));
            assert_eq!(names(&pod, audience, &objects), named, "{volume} {audience}");
        }
    }
}
