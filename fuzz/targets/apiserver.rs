// What must hold of any bytes that reach the API server before it knows what they are.

use apiserver::options::{DeleteOptions, ListOptions, PatchKind, WriteOptions};
use apiserver::query::{Query, escape, go_duration, unescape};
use apiserver::{Continuation, RequestInfo};
use http::Method;

/// A target: its name, which is also that of its corpus, and what it checks.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const ALL: &[Target] = &[("continue_tokens", continue_tokens), ("paths", paths), ("queries", queries)];

/// A token that is read is written and read the same.
pub fn continue_tokens(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(token) = Continuation::decode(text) else { return };
    assert_eq!(Continuation::decode(&token.encode()).as_ref(), Ok(&token));
    assert!(!token.start.split('/').any(|part| part == ".."), "{}", token.start);
}

/// Path and query stand on both sides of a question mark.
pub fn paths(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (path, query) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
    let query = Query::parse(query);
    for method in [Method::GET, Method::POST, Method::DELETE, Method::PATCH] {
        let info = RequestInfo::parse(&method, path, &query);
        let _ = (info.is_long_running(), info.is_read_only(), info.resource_path());
    }
}

/// What is escaped is unescaped to the same.
pub fn queries(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    assert_eq!(unescape(&escape(text), false).as_deref(), Some(text));
    let _ = (go_duration(text), unescape(text, true));
    let query = Query::parse(Some(text));
    let _ = (ListOptions::parse(&query), DeleteOptions::from_query(&query));
    let _ = (WriteOptions::create(&query), WriteOptions::update(&query));
    for kind in [PatchKind::Json, PatchKind::Merge, PatchKind::Strategic, PatchKind::Apply] {
        let _ = WriteOptions::patch(&query, kind);
    }
    for name in ["limit", "timeoutSeconds", "watch", "dryRun"] {
        let _ = (query.number(name), query.truth(name), query.all(name).count());
    }
}
