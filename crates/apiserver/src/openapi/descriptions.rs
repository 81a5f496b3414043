//! What a person reads about types and fields, taken from k8s-openapi's schemas at run time.

use std::collections::BTreeMap;

use k8s_openapi::api;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1 as apiextensions;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1 as apiregistration;
use schemars::SchemaGenerator;
use serde_json::{Map, Value};

/// The texts about one type.
#[derive(Debug, Default)]
pub struct Description {
    /// About the type itself.
    pub text: String,
    /// About its fields, by JSON name.
    pub fields: BTreeMap<String, String>,
}

/// Makes the schemas of the types named, and of all that they use.
macro_rules! generate {
    ($generator:ident: $($($part:ident)::+),* $(,)?) => {
        $( $generator.subschema_for::<$($part)::+>(); )*
    };
}

/// The texts about every type of the API, by schema name.
#[must_use]
pub fn all() -> BTreeMap<String, Description> {
    let mut generator = SchemaGenerator::default();
    core(&mut generator);
    workloads(&mut generator);
    access(&mut generator);
    cluster(&mut generator);
    generator.take_definitions(true).iter().map(|(name, schema)| (name.clone(), description(schema))).collect()
}

fn description(schema: &Value) -> Description {
    let text = |value: Option<&Value>| {
        value.and_then(|v| v.get("description")).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let empty = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    Description {
        text: text(Some(schema)),
        fields: properties.iter().map(|(name, property)| (name.clone(), text(Some(property)))).collect(),
    }
}

fn core(generator: &mut SchemaGenerator) {
    use api::core::v1;
    generate!(generator: v1::Binding, v1::ComponentStatus, v1::ConfigMap, v1::Endpoints, v1::Event, v1::LimitRange,
        v1::Namespace, v1::Node, v1::PersistentVolume, v1::PersistentVolumeClaim, v1::Pod, v1::PodTemplate,
        v1::ReplicationController, v1::ResourceQuota, v1::Secret, v1::Service, v1::ServiceAccount, meta::DeleteOptions,
        meta::Status, meta::ListMeta);
}

fn workloads(generator: &mut SchemaGenerator) {
    use api::{apps::v1 as apps, autoscaling, batch::v1 as batch, policy::v1 as policy, scheduling::v1 as scheduling};
    generate!(generator: apps::ControllerRevision, apps::DaemonSet, apps::Deployment, apps::ReplicaSet,
        apps::StatefulSet, autoscaling::v1::HorizontalPodAutoscaler, autoscaling::v1::Scale,
        autoscaling::v2::HorizontalPodAutoscaler, batch::CronJob, batch::Job, policy::Eviction,
        policy::PodDisruptionBudget, scheduling::PriorityClass);
}

fn access(generator: &mut SchemaGenerator) {
    use api::{admissionregistration::v1 as admission, certificates::v1 as certificates, flowcontrol::v1 as flow};
    use api::{authentication::v1 as authentication, authorization::v1 as authorization, rbac::v1 as rbac};
    generate!(generator: authentication::SelfSubjectReview, authentication::TokenRequest, authentication::TokenReview,
        authorization::LocalSubjectAccessReview, authorization::SelfSubjectAccessReview,
        authorization::SelfSubjectRulesReview, authorization::SubjectAccessReview, rbac::ClusterRole,
        rbac::ClusterRoleBinding, rbac::Role, rbac::RoleBinding, certificates::CertificateSigningRequest,
        flow::FlowSchema, flow::PriorityLevelConfiguration, admission::MutatingWebhookConfiguration,
        admission::ValidatingWebhookConfiguration, admission::ValidatingAdmissionPolicy,
        admission::ValidatingAdmissionPolicyBinding, admission::MutatingAdmissionPolicy,
        admission::MutatingAdmissionPolicyBinding);
}

fn cluster(generator: &mut SchemaGenerator) {
    use api::{coordination::v1 as coordination, discovery::v1 as discovery, events::v1 as events};
    use api::{networking::v1 as networking, node::v1 as node, resource::v1 as resource, storage::v1 as storage};
    generate!(generator: coordination::Lease, discovery::EndpointSlice, events::Event, networking::Ingress,
        networking::IngressClass, networking::IPAddress, networking::NetworkPolicy, networking::ServiceCIDR,
        node::RuntimeClass, resource::DeviceClass, resource::ResourceClaim, resource::ResourceClaimTemplate,
        resource::ResourceSlice, storage::CSIDriver, storage::CSINode, storage::CSIStorageCapacity,
        storage::StorageClass, storage::VolumeAttachment, storage::VolumeAttributesClass,
        apiextensions::CustomResourceDefinition, apiregistration::APIService);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_of_a_pod_is_described() {
        let all = all();
        assert!(!all["io.k8s.api.core.v1.PodSpec"].fields["containers"].is_empty());
        assert!(!all["io.k8s.api.core.v1.Probe"].text.is_empty());
        assert!(!all["io.k8s.api.core.v1.ConfigMap"].fields.contains_key("nothing"));
    }
}
