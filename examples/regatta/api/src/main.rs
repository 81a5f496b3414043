//! The regatta's API: counts oar strokes per crew in redis and says which pod answered. Hardly more than the standard
//! library, so that its image stays small. As process 1 of its container it must heed SIGTERM itself: the kernel gives
//! process 1 no default.
//!
//! Environment: `REDIS_ADDRESS` (host:port), `POD_NAME`. Files: `/etc/regatta/course-metres` (from a ConfigMap),
//! `/etc/regatta-secret/redis-password` (from a Secret); both are read on every request, so edits show at once.

mod redis;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use signal_hook::consts::SIGTERM;
use signal_hook::iterator::Signals;

/// The crews that take part.
const CREWS: [&str; 4] = ["scarlet", "amber", "jade", "azure"];
/// Metres a stroke moves a boat.
const METRES_PER_STROKE: u64 = 10;
/// A request's head may be so long, in bytes.
const HEAD_LIMIT_BYTES: u64 = 16 * 1024;
/// A client that says nothing for so long is let go.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(30);

/// Read-locked by every request that is being answered, so that the end waits for them.
static BUSY: RwLock<()> = RwLock::new(());

fn main() -> std::io::Result<()> {
    let mut signals = Signals::new([SIGTERM])?;
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            let _answered = BUSY.write().unwrap_or_else(PoisonError::into_inner);
            println!("regatta-api ends");
            std::process::exit(0);
        }
    });
    let listener = TcpListener::bind(("0.0.0.0", 8080))?;
    println!("regatta-api listens on {}", listener.local_addr()?);
    for stream in listener.incoming() {
        let stream = stream?;
        std::thread::spawn(move || {
            if let Err(error) = serve(stream) {
                eprintln!("a client went away: {error}");
            }
        });
    }
    Ok(())
}

fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(CLIENT_TIMEOUT))?;
    let mut head = BufReader::new(stream.try_clone()?.take(HEAD_LIMIT_BYTES)).lines();
    let request = head.next().transpose()?.unwrap_or_default();
    for line in head {
        if line?.is_empty() {
            break;
        }
    }
    let _busy = BUSY.read().unwrap_or_else(PoisonError::into_inner);
    let mut words = request.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (status, body) = answer(method, path);
    println!("{method} {path} {status}");
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// The answer to one request: status line and JSON.
fn answer(method: &str, path: &str) -> (&'static str, String) {
    let result = match (method, path) {
        ("GET", "/healthz") => return ("200 OK", "{}".to_owned()),
        ("GET", "/api/race") => race(),
        ("POST", "/api/start") => start().and_then(|()| race()),
        ("POST", _) => match CREWS.iter().find(|crew| path == format!("/api/stroke/{crew}")) {
            Some(crew) => redis::command(&["INCR", crew]).and_then(|_| race()),
            None => return ("404 Not Found", r#"{"error":"no such crew"}"#.to_owned()),
        },
        _ => return ("404 Not Found", r#"{"error":"no such page"}"#.to_owned()),
    };
    match result {
        Ok(body) => ("200 OK", body),
        Err(error) => ("503 Service Unavailable", format!(r#"{{"error":"redis: {error}"}}"#)),
    }
}

/// Every boat back to the start.
fn start() -> std::io::Result<()> {
    CREWS.iter().try_for_each(|crew| redis::command(&["SET", crew, "0"]).map(drop))
}

/// All positions, the length of the course and the pod that answers.
fn race() -> std::io::Result<String> {
    let crews = CREWS
        .iter()
        .map(|crew| {
            let strokes: u64 = redis::command(&["GET", crew])?.parse().unwrap_or(0);
            Ok(format!(r#"{{"crew":"{crew}","metres":{}}}"#, strokes * METRES_PER_STROKE))
        })
        .collect::<std::io::Result<Vec<String>>>()?;
    let course: u64 = std::fs::read_to_string("/etc/regatta/course-metres")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(500);
    let pod = std::env::var("POD_NAME").unwrap_or_default();
    Ok(format!(r#"{{"course":{course},"pod":"{pod}","crews":[{}]}}"#, crews.join(",")))
}
