//! One redis command at a time over a fresh connection (RESP, the redis serialization protocol).

use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Redis must answer within this.
const TIMEOUT: Duration = Duration::from_secs(2);
/// A longer answer is not one of ours, in bytes.
const REPLY_LIMIT_BYTES: usize = 64 * 1024;

/// Runs one command and gives its answer as text; nothing becomes the empty text.
///
/// # Errors
/// When redis cannot be reached or refuses.
pub fn command(words: &[&str]) -> Result<String> {
    let address = std::env::var("REDIS_ADDRESS").unwrap_or_else(|_| "redis:6379".to_owned());
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let mut connection = BufReader::new(stream);
    if let Ok(password) = std::fs::read_to_string("/etc/regatta-secret/redis-password") {
        send(&mut connection, &["AUTH", password.trim()])?;
    }
    send(&mut connection, words)
}

fn send(connection: &mut BufReader<TcpStream>, words: &[&str]) -> Result<String> {
    let mut request = format!("*{}\r\n", words.len());
    for word in words {
        request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    connection.get_mut().write_all(request.as_bytes())?;
    let mut line = String::new();
    connection.read_line(&mut line)?;
    let line = line.trim_end();
    match line.split_at_checked(1) {
        Some(("+" | ":", text)) => Ok(text.to_owned()),
        Some(("-", text)) => Err(Error::other(text.to_owned())),
        Some(("$", "-1")) => Ok(String::new()),
        Some(("$", length)) => bulk(connection, length),
        _ => Err(Error::new(ErrorKind::InvalidData, "no redis answered")),
    }
}

fn bulk(connection: &mut BufReader<TcpStream>, length: &str) -> Result<String> {
    let length: usize = length.parse().map_err(|_| Error::new(ErrorKind::InvalidData, "a length that is no number"))?;
    if length > REPLY_LIMIT_BYTES {
        return Err(Error::new(ErrorKind::InvalidData, "too long an answer"));
    }
    let mut bytes = vec![0; length + 2];
    connection.read_exact(&mut bytes)?;
    bytes.truncate(length);
    String::from_utf8(bytes).map_err(|error| Error::new(ErrorKind::InvalidData, error))
}
