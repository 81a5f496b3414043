//! Short histories of one object, told as text: what was written by whom, and who owns what then.

use std::fmt::Write as _;

use super::{Set, Write, apply, ignore_timestamps, update};
use crate::schema::{self, FieldValidation, Message, decode};
use crate::{Value, json};

/// One object and its writers; the time is the number of the write.
struct History {
    message: &'static Message,
    live: Value,
    clock: u32,
    told: String,
}

fn history(group: &str, version: &str, kind: &str) -> History {
    let message = schema::of_kind(group, version, kind).unwrap();
    History { message, live: Value::object(), clock: 0, told: String::new() }
}

impl History {
    fn write<T>(&mut self, manager: &str, api_version: &str, act: impl FnOnce(&Value, &Write) -> T) -> T {
        self.clock += 1;
        let (name, subresource) = manager.split_once('/').unwrap_or((manager, ""));
        let mut status = Set::default();
        status.insert(&["status"]);
        let write = Write {
            manager: name,
            subresource,
            api_version,
            time: &format!("2026-01-01T00:00:{:02}Z", self.clock),
            message: self.message,
            reset: Some(&status).filter(|_| subresource.is_empty()),
            convert: &|_, _| None,
        };
        act(&self.live, &write)
    }

    fn parse(&self, text: &str) -> Value {
        json::parse(text.as_bytes()).unwrap()
    }

    /// A create or update with the whole object.
    fn update(mut self, manager: &str, object: &str) -> Self {
        let mut new = self.parse(object);
        decode(self.message, &mut new, FieldValidation::Strict).unwrap();
        let api_version = new.str_at(&["apiVersion"]).unwrap().to_owned();
        self.write(manager, &api_version, |live, write| update(live, &mut new, write));
        self.settle(&format!("{manager} updates"), new)
    }

    fn apply(mut self, manager: &str, config: &str) -> Self {
        let config = self.parse(config);
        let api_version = config.str_at(&["apiVersion"]).unwrap().to_owned();
        let (name, force) = manager.strip_suffix('!').map_or((manager, false), |name| (name, true));
        match self.write(name, &api_version, |live, write| apply(live, &config, force, write)) {
            Ok(mut new) => {
                decode(self.message, &mut new, FieldValidation::Strict).unwrap();
                self.settle(&format!("{manager} applies"), new)
            }
            Err(error) => {
                let _ = writeln!(self.told, "{manager} applies\n  {error}");
                self
            }
        }
    }

    fn settle(mut self, what: &str, mut new: Value) -> Self {
        new.set_at(&["metadata", "uid"], "u");
        ignore_timestamps(&self.live, &mut new);
        let mut plain = super::managers::without(&new);
        for name in ["kind", "apiVersion", "metadata", "status"] {
            plain.remove_at(&[name]);
        }
        let _ = writeln!(self.told, "{what}\n  {}", json::to_string(&plain));
        for entry in new.items_at(&["metadata", "managedFields"]) {
            let text = |name: &str| entry.str_at(&[name]).unwrap_or("-").to_owned();
            let time = text("time").trim_start_matches("2026-01-01T00:00:").trim_end_matches('Z').to_owned();
            let fields = json::to_string(entry.get("fieldsV1").unwrap());
            let subresource = entry.str_at(&["subresource"]).map_or(String::new(), |name| format!("/{name}"));
            let _ = writeln!(self.told, "  {}{subresource} {} {} {fields}", text("manager"), text("operation"), time);
        }
        self.live = new;
        self
    }

    fn told(&self, expected: &expect_test::Expect) {
        expected.assert_eq(&self.told);
    }
}

fn config_map(data: &str) -> String {
    format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"a"}},"data":{data}}}"#)
}

#[test]
fn two_appliers() {
    history("", "v1", "ConfigMap")
        .apply("m1", &config_map(r#"{"x":"1"}"#))
        .apply("m2", &config_map(r#"{"x":"2"}"#))
        .apply("m2!", &config_map(r#"{"x":"2"}"#))
        .apply("m1", &config_map(r#"{"x":"3"}"#))
        .apply("m1", &config_map(r#"{"x":"2"}"#))
        .apply("m2", &config_map("{}"))
        .apply("m1", &config_map("{}"))
        .told(&expect_test::expect![[r#"
            m1 applies
              {"data":{"x":"1"}}
              m1 Apply 01 {"f:data":{"f:x":{}}}
            m2 applies
              Apply failed with 1 conflict: conflict with "m1": .data.x
            m2! applies
              {"data":{"x":"2"}}
              m2 Apply 03 {"f:data":{"f:x":{}}}
            m1 applies
              Apply failed with 1 conflict: conflict with "m2": .data.x
            m1 applies
              {"data":{"x":"2"}}
              m1 Apply - {"f:data":{"f:x":{}}}
              m2 Apply 03 {"f:data":{"f:x":{}}}
            m2 applies
              {"data":{"x":"2"}}
              m1 Apply - {"f:data":{"f:x":{}}}
              m2 Apply 03 {"f:data":{}}
            m1 applies
              {}
              m2 Apply 03 {"f:data":{}}
              m1 Apply 07 {"f:data":{}}
        "#]]);
}

#[test]
fn an_update_takes_what_it_changes() {
    history("", "v1", "ConfigMap")
        .update("creator", &config_map(r#"{"x":"1","y":"1","z":"1"}"#))
        .apply("m1", &config_map(r#"{"x":"2","y":"2"}"#))
        .apply("m1", &config_map(r#"{"x":"1"}"#))
        .update("editor", &config_map(r#"{"x":"5","y":"1","z":"1"}"#))
        .apply("m1", &config_map(r#"{"x":"1"}"#))
        .apply("m1!", &config_map(r#"{"x":"1"}"#))
        .update("editor", &config_map(r#"{"x":"1","y":"1","z":"1"}"#))
        .told(&expect_test::expect![[r#"
            creator updates
              {"data":{"x":"1","y":"1","z":"1"}}
              creator Update 01 {"f:data":{".":{},"f:x":{},"f:y":{},"f:z":{}}}
            m1 applies
              Apply failed with 2 conflicts: conflicts with "creator" using v1:
            - .data.x
            - .data.y
            m1 applies
              {"data":{"x":"1","y":"1","z":"1"}}
              m1 Apply - {"f:data":{"f:x":{}}}
              creator Update 01 {"f:data":{".":{},"f:x":{},"f:y":{},"f:z":{}}}
            editor updates
              {"data":{"x":"5","y":"1","z":"1"}}
              creator Update 01 {"f:data":{".":{},"f:y":{},"f:z":{}}}
              editor Update 04 {"f:data":{"f:x":{}}}
            m1 applies
              Apply failed with 1 conflict: conflict with "editor" using v1: .data.x
            m1! applies
              {"data":{"x":"1","y":"1","z":"1"}}
              m1 Apply 06 {"f:data":{"f:x":{}}}
              creator Update 01 {"f:data":{".":{},"f:y":{},"f:z":{}}}
            editor updates
              {"data":{"x":"1","y":"1","z":"1"}}
              m1 Apply 06 {"f:data":{"f:x":{}}}
              creator Update 01 {"f:data":{".":{},"f:y":{},"f:z":{}}}
        "#]]);
}

#[test]
fn lists_by_key_and_atomic_ones() {
    let deployment = |spec: &str| {
        format!(
            r#"{{"apiVersion":"apps/v1","kind":"Deployment","metadata":{{"name":"d"}},"spec":{{"template":{{"spec":{spec}}}}}}}"#
        )
    };
    history("apps", "v1", "Deployment")
        .apply(
            "m1",
            &deployment(
                r#"{"containers":[{"name":"c","image":"1","ports":[{"containerPort":80}]}],"nodeSelector":{"a":"b"}}"#,
            ),
        )
        .apply("m2", &deployment(r#"{"nodeSelector":{"c":"d"}}"#))
        .apply("m2", &deployment(r#"{"containers":[{"name":"c","args":["x"]},{"name":"d"}]}"#))
        .apply("m3", &deployment(r#"{"containers":[{"name":"c","args":["y"]}]}"#))
        .apply("m1", &deployment(r#"{"containers":[{"name":"c"}]}"#))
        .apply("m2", &deployment("{}"))
        .apply("m1", &deployment(r#"{"whoops":1}"#))
        .apply("m1", &deployment(r#"{"containers":[{"name":"c"},{"name":"c"}]}"#))
        .told(&expect_test::expect![[r#"
            m1 applies
              {"spec":{"selector":null,"template":{"metadata":{},"spec":{"containers":[{"name":"c","image":"1","ports":[{"containerPort":80}],"resources":{}}],"nodeSelector":{"a":"b"}}},"strategy":{}}}
              m1 Apply 01 {"f:spec":{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:image":{},"f:name":{},"f:ports":{"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{}}}}},"f:nodeSelector":{}}}}}
            m2 applies
              Apply failed with 1 conflict: conflict with "m1": .spec.template.spec.nodeSelector
            m2 applies
              {"spec":{"selector":null,"template":{"metadata":{},"spec":{"containers":[{"name":"c","image":"1","args":["x"],"ports":[{"containerPort":80}],"resources":{}},{"name":"d","resources":{}}],"nodeSelector":{"a":"b"}}},"strategy":{}}}
              m1 Apply 01 {"f:spec":{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:image":{},"f:name":{},"f:ports":{"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{}}}}},"f:nodeSelector":{}}}}}
              m2 Apply 03 {"f:spec":{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:args":{},"f:name":{}},"k:{\"name\":\"d\"}":{".":{},"f:name":{}}}}}}}
            m3 applies
              Apply failed with 1 conflict: conflict with "m2": .spec.template.spec.containers[name="c"].args
            m1 applies
              {"spec":{"selector":null,"template":{"metadata":{},"spec":{"containers":[{"name":"c","args":["x"],"resources":{}},{"name":"d","resources":{}}]}},"strategy":{}}}
              m2 Apply 03 {"f:spec":{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:args":{},"f:name":{}},"k:{\"name\":\"d\"}":{".":{},"f:name":{}}}}}}}
              m1 Apply 05 {"f:spec":{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:name":{}}}}}}}
            m2 applies
              {"spec":{"selector":null,"template":{"metadata":{},"spec":{"containers":[{"name":"c","resources":{}}]}},"strategy":{}}}
              m1 Apply 05 {"f:spec":{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:name":{}}}}}}}
              m2 Apply 06 {"f:spec":{"f:template":{"f:spec":{}}}}
            m1 applies
              failed to create typed patch object (/d; apps/v1, Kind=Deployment): .spec.template.spec.whoops: field not declared in schema
            m1 applies
              failed to create typed patch object (/d; apps/v1, Kind=Deployment): .spec.template.spec.containers: duplicate entries for key [name="c"]
        "#]]);
}

#[test]
fn status_is_written_through_its_subresource() {
    let pod = |status: &str| {
        format!(r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"p","finalizers":["f"]}},"status":{status}}}"#)
    };
    history("", "v1", "Pod")
        .update("creator", &pod(r#"{"phase":"Pending"}"#))
        .update("kubelet/status", &pod(r#"{"phase":"Running"}"#))
        .update("kubelet/status", &pod(r#"{"phase":"Running"}"#))
        .told(&expect_test::expect![[r#"
            creator updates
              {"spec":{"containers":null}}
              creator Update 01 {"f:metadata":{"f:finalizers":{".":{},"v:\"f\"":{}}}}
            kubelet/status updates
              {"spec":{"containers":null}}
              creator Update 01 {"f:metadata":{"f:finalizers":{".":{},"v:\"f\"":{}}}}
              kubelet/status Update 02 {"f:status":{"f:phase":{}}}
            kubelet/status updates
              {"spec":{"containers":null}}
              creator Update 01 {"f:metadata":{"f:finalizers":{".":{},"v:\"f\"":{}}}}
              kubelet/status Update 02 {"f:status":{"f:phase":{}}}
        "#]]);
}

#[test]
fn forgetting_owners() {
    history("", "v1", "ConfigMap")
        .apply("m1", &config_map(r#"{"x":"1"}"#))
        .update(
            "m2",
            r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","managedFields":[{}]},"data":{"x":"1"}}"#,
        )
        .apply("m1", &config_map(r#"{"y":"1"}"#))
        .told(&expect_test::expect![[r#"
            m1 applies
              {"data":{"x":"1"}}
              m1 Apply 01 {"f:data":{"f:x":{}}}
            m2 updates
              {"data":{"x":"1"}}
            m1 applies
              {"data":{"x":"1","y":"1"}}
              m1 Apply 03 {"f:data":{"f:y":{}}}
              before-first-apply Update 03 {"f:data":{".":{},"f:x":{}}}
        "#]]);
}

#[test]
fn many_updaters_are_put_together() {
    let mut history = history("", "v1", "ConfigMap");
    for n in 0..12 {
        let data: Vec<_> = (0..=n).map(|n| format!(r#""k{n}":"v""#)).collect();
        history = history.update(&format!("m{n:02}"), &config_map(&format!("{{{}}}", data.join(","))));
    }
    let last = history.told[history.told.rfind("m11 updates").unwrap()..].to_owned();
    expect_test::expect![[r#"
        m11 updates
          {"data":{"k0":"v","k1":"v","k10":"v","k11":"v","k2":"v","k3":"v","k4":"v","k5":"v","k6":"v","k7":"v","k8":"v","k9":"v"}}
          ancient-changes Update 03 {"f:data":{".":{},"f:k0":{},"f:k1":{},"f:k2":{}}}
          m03 Update 04 {"f:data":{"f:k3":{}}}
          m04 Update 05 {"f:data":{"f:k4":{}}}
          m05 Update 06 {"f:data":{"f:k5":{}}}
          m06 Update 07 {"f:data":{"f:k6":{}}}
          m07 Update 08 {"f:data":{"f:k7":{}}}
          m08 Update 09 {"f:data":{"f:k8":{}}}
          m09 Update 10 {"f:data":{"f:k9":{}}}
          m10 Update 11 {"f:data":{"f:k10":{}}}
          m11 Update 12 {"f:data":{"f:k11":{}}}
    "#]].assert_eq(&last);
}

#[test]
fn from_client_side_apply() {
    let with = |annotation: &str, x: &str| {
        format!(
            r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"a","annotations":{{{annotation}}}}},"data":{{"x":"{x}"}}}}"#
        )
    };
    let last = r#""kubectl.kubernetes.io/last-applied-configuration":"{\"data\":{\"x\":\"1\"}}""#;
    history("", "v1", "ConfigMap")
        .update("kubectl-client-side-apply", &with(last, "1"))
        .apply("other", &config_map(r#"{"x":"2"}"#))
        .apply("kubectl", &config_map(r#"{"x":"2"}"#))
        .told(&expect_test::expect![[r#"
            kubectl-client-side-apply updates
              {"data":{"x":"1"}}
              kubectl-client-side-apply Update 01 {"f:data":{".":{},"f:x":{}},"f:metadata":{"f:annotations":{".":{},"f:kubectl.kubernetes.io/last-applied-configuration":{}}}}
            other applies
              Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using v1: .data.x
            kubectl applies
              {"data":{"x":"2"}}
              kubectl Apply 03 {"f:data":{"f:x":{}}}
              kubectl-client-side-apply Update 01 {"f:data":{},"f:metadata":{"f:annotations":{".":{},"f:kubectl.kubernetes.io/last-applied-configuration":{}}}}
        "#]]);
}

proptest::proptest! {
    #[test]
    fn applying_twice_is_applying_once(first in data(), second in data()) {
        let config = |data: &str| crate::json::parse(config_map(data).as_bytes()).unwrap();
        let once = history("", "v1", "ConfigMap").apply("m1", &config_map(&first)).apply("m2!", &config_map(&second));
        let live = once.live.clone();
        let twice = once.apply("m2", &config_map(&second));
        proptest::prop_assert_eq!(&twice.live, &live);
        // What an applier says is there, and what it no longer says is gone.
        let gone = twice.apply("m2", &config_map("{}")).apply("m1!", &config_map(&first));
        proptest::prop_assert_eq!(gone.live.get("data").cloned().unwrap_or(Value::object()), config(&first).get("data").cloned().unwrap());
    }
}

fn data() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    prop::collection::btree_map("[abc]", "[12]", 0..4).prop_map(|pairs| {
        let pairs: Vec<_> = pairs.into_iter().map(|(name, value)| format!("{name:?}:{value:?}")).collect();
        format!("{{{}}}", pairs.join(","))
    })
}
