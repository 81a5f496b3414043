//! What a request asks for, read from its method and URL alone (the API conventions' URL scheme).

use http::Method;

use crate::query::{Query, unescape};

/// The attributes of a request, known before anybody looks at its body.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RequestInfo {
    /// Whether it is about an API resource rather than a path such as `/version`.
    pub is_resource_request: bool,
    /// The whole path.
    pub path: String,
    /// get, list, watch, create, update, patch, delete, deletecollection, proxy; else the method in lower case.
    pub verb: String,
    /// `api` or `apis`.
    pub prefix: String,
    /// The API group; empty for the core group.
    pub group: String,
    /// The API version.
    pub version: String,
    /// The namespace; empty for cluster-wide requests.
    pub namespace: String,
    /// The plural of the kind.
    pub resource: String,
    /// `status`, `log`, …; empty for the object itself.
    pub subresource: String,
    /// The object's name; empty for collections and creates.
    pub name: String,
    /// Path segments after the group and version, decoded.
    pub parts: Vec<String>,
    /// The label selector as given.
    pub label_selector: String,
    /// The field selector as given.
    pub field_selector: String,
}

impl RequestInfo {
    /// Reads `method` and `path`, which may carry percent-encoding.
    #[must_use]
    pub fn parse(method: &Method, path: &str, query: &Query) -> Self {
        let lower = method.as_str().to_ascii_lowercase();
        let mut info = Self { path: path.to_owned(), verb: lower, ..Self::default() };
        let segments: Vec<String> = split(path);
        let Some(rest) = info.take_api_root(&segments) else { return info };
        info.is_resource_request = true;
        info.verb = verb_of(method).to_owned();
        let rest = info.take_special_verb(rest);
        info.take_object(rest);
        info.refine(query);
        info
    }

    /// Whether the answer may take as long as it likes: a watch or a connection to a container.
    #[must_use]
    pub fn is_long_running(&self) -> bool {
        matches!(self.verb.as_str(), "watch" | "proxy")
            || matches!(self.subresource.as_str(), "attach" | "exec" | "proxy" | "log" | "portforward")
    }

    /// Whether the request can change nothing.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        matches!(self.verb.as_str(), "get" | "list" | "watch" | "head")
    }

    /// `resource/subresource` as RBAC and messages write it.
    #[must_use]
    pub fn resource_path(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.clone()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }

    fn take_api_root<'a>(&mut self, segments: &'a [String]) -> Option<&'a [String]> {
        if segments.len() < 3 {
            return None;
        }
        match segments {
            [prefix, version, rest @ ..] if prefix == "api" => {
                (self.prefix, self.version) = (prefix.clone(), version.clone());
                Some(rest)
            }
            [prefix, group, version, rest @ ..] if prefix == "apis" && !rest.is_empty() => {
                (self.prefix, self.group, self.version) = (prefix.clone(), group.clone(), version.clone());
                Some(rest)
            }
            _ => None,
        }
    }

    /// `/api/v1/watch/…`: the old form of watches, which clients still use for one object.
    fn take_special_verb<'a>(&mut self, rest: &'a [String]) -> &'a [String] {
        match rest {
            [verb, tail @ ..] if !tail.is_empty() && (verb == "watch" || verb == "proxy") => {
                self.verb.clone_from(verb);
                tail
            }
            _ => rest,
        }
    }

    fn take_object(&mut self, rest: &[String]) {
        let mut rest = rest;
        if let [first, namespace, tail @ ..] = rest
            && first == "namespaces"
        {
            self.namespace.clone_from(namespace);
            if tail.first().is_some_and(|next| next != "status" && next != "finalize") {
                rest = tail;
            }
        }
        self.parts = rest.to_vec();
        let part = |at: usize| rest.get(at).cloned().unwrap_or_default();
        (self.resource, self.name) = (part(0), part(1));
        if self.verb != "proxy" {
            self.subresource = part(2);
        }
    }

    /// Without a name a get is a list or a watch and a delete is one of a collection.
    fn refine(&mut self, query: &Query) {
        self.label_selector = query.text("labelSelector").to_owned();
        self.field_selector = query.text("fieldSelector").to_owned();
        if self.name.is_empty() && self.verb == "get" {
            self.verb = if query.truth("watch") == Some(true) { "watch" } else { "list" }.to_owned();
        }
        if self.name.is_empty() && self.verb == "delete" {
            "deletecollection".clone_into(&mut self.verb);
        }
        if self.name.is_empty() && matches!(self.verb.as_str(), "list" | "watch" | "deletecollection") {
            self.name = name_in(&self.field_selector).unwrap_or_default();
        }
    }
}

fn verb_of(method: &Method) -> &'static str {
    match *method {
        Method::POST => "create",
        Method::GET | Method::HEAD => "get",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "",
    }
}

fn split(path: &str) -> Vec<String> {
    let path = unescape(path, false).unwrap_or_else(|| path.to_owned());
    let path = path.trim_matches('/');
    if path.is_empty() { Vec::new() } else { path.split('/').map(str::to_owned).collect() }
}

/// The name that a field selector demands, so that a rule with resource names can allow the list.
fn name_in(selector: &str) -> Option<String> {
    let name = selector.split(',').find_map(|term| {
        let value = term.strip_prefix("metadata.name=")?;
        Some(value.strip_prefix('=').unwrap_or(value).to_owned())
    })?;
    (!name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c))).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(method: &str, url: &str) -> String {
        let (path, query) = url.split_once('?').map_or((url, None), |(p, q)| (p, Some(q)));
        let info = RequestInfo::parse(&method.parse().unwrap(), path, &Query::parse(query));
        format!(
            "{} {} g={} v={} ns={} r={} n={}",
            if info.is_resource_request { "resource" } else { "path" },
            info.verb,
            info.group,
            info.version,
            info.namespace,
            info.resource_path(),
            info.name
        )
    }

    #[test]
    fn requests() {
        let cases = [
            ("GET", "/version"),
            ("GET", "/apis/apps/v1"),
            ("GET", "/api/v1/pods"),
            ("GET", "/api/v1/pods?watch=1"),
            ("GET", "/api/v1/namespaces/a/pods/x?watch=1"),
            ("GET", "/api/v1/watch/namespaces/a/pods/x"),
            ("POST", "/api/v1/namespaces/a/pods/x/eviction"),
            ("PUT", "/api/v1/namespaces/a/finalize"),
            ("GET", "/api/v1/namespaces/a"),
            ("DELETE", "/apis/apps/v1/namespaces/a/deployments"),
            ("GET", "/api/v1/pods?fieldSelector=metadata.name%3Dx"),
            ("PATCH", "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:a%3Ab/"),
        ];
        let shown: Vec<String> = cases.iter().map(|(m, u)| format!("{m} {u}\n  {}", show(m, u))).collect();
        expect_test::expect![[r#"
            GET /version
              path get g= v= ns= r= n=
            GET /apis/apps/v1
              path get g= v= ns= r= n=
            GET /api/v1/pods
              resource list g= v=v1 ns= r=pods n=
            GET /api/v1/pods?watch=1
              resource watch g= v=v1 ns= r=pods n=
            GET /api/v1/namespaces/a/pods/x?watch=1
              resource get g= v=v1 ns=a r=pods n=x
            GET /api/v1/watch/namespaces/a/pods/x
              resource watch g= v=v1 ns=a r=pods n=x
            POST /api/v1/namespaces/a/pods/x/eviction
              resource create g= v=v1 ns=a r=pods/eviction n=x
            PUT /api/v1/namespaces/a/finalize
              resource update g= v=v1 ns=a r=namespaces/finalize n=a
            GET /api/v1/namespaces/a
              resource get g= v=v1 ns=a r=namespaces n=a
            DELETE /apis/apps/v1/namespaces/a/deployments
              resource deletecollection g=apps v=v1 ns=a r=deployments n=
            GET /api/v1/pods?fieldSelector=metadata.name%3Dx
              resource list g= v=v1 ns= r=pods n=x
            PATCH /apis/rbac.authorization.k8s.io/v1/clusterroles/system:a%3Ab/
              resource patch g=rbac.authorization.k8s.io v=v1 ns= r=clusterroles n=system:a:b"#]]
        .assert_eq(&shown.join("\n"));
    }
}
