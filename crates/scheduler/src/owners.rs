//! Who a pod belongs to: the Services and workloads whose pods are spread by default.

use std::collections::{BTreeMap, HashMap};

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use machinery::labels::Selector;

use crate::affinity::to_selector;
use crate::pod::PodInfo;

type Labels = BTreeMap<String, String>;

/// Selectors of Services, by namespace and name, and of workloads, by kind and `NAMESPACE/NAME`.
#[derive(Debug, Clone, Default)]
pub struct Owners {
    services: HashMap<String, BTreeMap<String, Labels>>,
    workloads: HashMap<(&'static str, String), LabelSelector>,
}

impl Owners {
    /// Takes over a Service's selector; `None` when it is gone or selects nothing itself.
    pub fn set_service(&mut self, namespace: &str, name: &str, selector: Option<Labels>) {
        let services = self.services.entry(namespace.to_owned()).or_default();
        match selector {
            Some(selector) => drop(services.insert(name.to_owned(), selector)),
            None => drop(services.remove(name)),
        }
    }

    /// Takes over a workload's selector; `None` when it is gone.
    pub fn set_workload(&mut self, kind: &'static str, key: &str, selector: Option<LabelSelector>) {
        match selector {
            Some(selector) => drop(self.workloads.insert((kind, key.to_owned()), selector)),
            None => drop(self.workloads.remove(&(kind, key.to_owned()))),
        }
    }

    /// What selects the pod's like: the selectors of its Services and of its workload together; none if it has none.
    #[must_use]
    pub fn selector(&self, pod: &PodInfo) -> Option<Selector> {
        let mut labels = Labels::new();
        for selector in self.services.get(pod.namespace()).into_iter().flat_map(BTreeMap::values) {
            let selects = selector.iter().all(|(key, value)| pod.labels().get(key) == Some(value));
            if selects {
                labels.extend(selector.clone());
            }
        }
        let workload = self.workload(&pod.pod).cloned().unwrap_or_default();
        let mut selector = workload;
        selector.match_labels.get_or_insert_default().extend(labels);
        let selector = to_selector(Some(&selector));
        (!selector.is_empty()).then_some(selector)
    }

    fn workload(&self, pod: &Pod) -> Option<&LabelSelector> {
        if self.workloads.is_empty() {
            return None;
        }
        let owners = pod.metadata.owner_references.as_deref()?;
        let owner = owners.iter().find(|owner| owner.controller == Some(true))?;
        let kind = match owner.kind.as_str() {
            "ReplicationController" => "ReplicationController",
            "ReplicaSet" => "ReplicaSet",
            "StatefulSet" => "StatefulSet",
            _ => return None,
        };
        let key = client::key(pod.metadata.namespace.as_deref().unwrap_or_default(), &owner.name);
        self.workloads.get(&(kind, key))
    }
}
