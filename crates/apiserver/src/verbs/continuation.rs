//! The token with which a client asks for the next page: the version of the list and where the page ended.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use machinery::field::quote;
use machinery::{Status, Value, json, value};

const VERSION: &str = "meta.k8s.io/v1";

/// Where a list goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Continuation {
    /// The version of the first page; -1 goes on in the present state.
    pub version: i64,
    /// The first key that may come, below the prefix of the list.
    pub start: String,
}

impl Continuation {
    /// Goes on after the key `last` (below the list's prefix).
    #[must_use]
    pub fn after(last: &str, version: i64) -> Self {
        Self { version, start: format!("{last}\0") }
    }

    /// The token.
    #[must_use]
    pub fn encode(&self) -> String {
        let token = value!({"v": (VERSION), "rv": (self.version), "start": (self.start.as_str())});
        URL_SAFE_NO_PAD.encode(json::to_vec(&token))
    }

    /// Reads a token.
    ///
    /// # Errors
    /// 400 for what is none.
    pub fn decode(token: &str) -> Result<Self, Status> {
        Self::read(token)
            .map_err(|why| Status::bad_request(format!("invalid continue token: continue key is not valid: {why}")))
    }

    fn read(token: &str) -> Result<Self, String> {
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| illegal(token))?;
        let token = json::parse(&bytes).map_err(|error| error.message)?;
        let version = token.str_at(&["v"]).unwrap_or_default();
        if version != VERSION {
            return Err(format!("server does not recognize this encoded version {}", quote(version)));
        }
        let (at, start) = (token.int_at(&["rv"]).unwrap_or(0), token.get("start").and_then(Value::as_str));
        let start = start.unwrap_or_default();
        if at == 0 {
            return Err(format!("incorrect encoded start resourceVersion (version {VERSION})"));
        }
        if start.is_empty() {
            return Err(format!("encoded start key empty (version {VERSION})"));
        }
        if !is_clean(start) {
            return Err(start.to_owned());
        }
        Ok(Self { version: at, start: start.strip_prefix('/').unwrap_or(start).to_owned() })
    }
}

/// Whether the key cannot lead out of the list's prefix.
fn is_clean(start: &str) -> bool {
    let start = start.strip_prefix('/').unwrap_or(start);
    start.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// Go's words for the first byte that is no base64.
fn illegal(token: &str) -> String {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let at = token.bytes().position(|byte| !known(byte)).unwrap_or(token.len());
    format!("illegal base64 data at input byte {at}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens() {
        let next = Continuation::after("default/a", 7);
        assert_eq!(Continuation::decode(&next.encode()).unwrap(), next);
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let cases = [
            "garbage!".to_owned(),
            "aGVsbG8=".to_owned(),
            encode(r#"{"v":"v2","rv":1,"start":"a"}"#),
            encode(r#"{"v":"meta.k8s.io/v1","start":"a"}"#),
            encode(r#"{"v":"meta.k8s.io/v1","rv":1}"#),
            encode(r#"{"v":"meta.k8s.io/v1","rv":1,"start":"../secrets"}"#),
        ];
        let shown: Vec<String> = cases.iter().map(|case| Continuation::decode(case).unwrap_err().message).collect();
        expect_test::expect![[r#"
            invalid continue token: continue key is not valid: illegal base64 data at input byte 7
            invalid continue token: continue key is not valid: illegal base64 data at input byte 7
            invalid continue token: continue key is not valid: server does not recognize this encoded version "v2"
            invalid continue token: continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)
            invalid continue token: continue key is not valid: encoded start key empty (version meta.k8s.io/v1)
            invalid continue token: continue key is not valid: ../secrets"#]]
        .assert_eq(&shown.join("\n"));
    }
}
