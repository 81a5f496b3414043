//! Just enough HTTP to ask an application: one request, one connection.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result};

/// Who says nothing for so long does not answer.
const SILENCE: Duration = Duration::from_secs(10);

/// Sends a request to `address` (host:port); gives the status code and the body.
///
/// # Errors
/// When nobody answers, or not in HTTP.
pub fn ask(address: &str, method: &str, path: &str, body: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).with_context(|| format!("reading from {address}"))?;
    let answer = String::from_utf8_lossy(&answer);
    let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).context("an answer without a code")?;
    let (_, body) = answer.split_once("\r\n\r\n").context("an answer without an end of its head")?;
    Ok((code, body.to_owned()))
}
