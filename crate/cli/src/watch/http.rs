//! Requests and answers: as much of HTTP/1.1 as one page on loopback needs.
//!
//! Every process of the machine may connect, with the token or without. So what a request costs is bounded before anything that it says
//! is believed: its first line and headers are read up to a length and for a time, its body never (the page's requests have none, and the
//! length that a request promises is anybody's), a connection has one request, and so many are served at once.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Connections that are served at once; those beyond are closed.
const MOST: usize = 64;
/// Bytes of a first line and headers.
const HEAD: usize = 16 << 10;
/// Headers of a request.
const HEADERS: usize = 64;
/// For how long these are waited for.
const READING: Duration = Duration::from_secs(10);
/// For how long an answer may take to be read.
const ANSWERING: Duration = Duration::from_secs(60);
/// Bytes after the headers that are read, and lost, so that the answer is not.
const LOST: usize = 1 << 20;
/// Between two attempts to accept a connection, where one failed: this process may have no file left to open for a while.
const PAUSE: Duration = Duration::from_millis(100);

/// A request's first line and headers.
pub(super) struct Request {
    /// As `GET`.
    pub(super) method: String,
    /// Path and query, as they came.
    pub(super) target: String,
    /// Names in small letters, and values.
    headers: Vec<(String, String)>,
}

impl Request {
    /// `None` for what is no request of HTTP/1, or has more headers than any browser sends.
    fn parse(head: &[u8]) -> Option<Request> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut parsed = httparse::Request::new(&mut headers);
        parsed.parse(head).ok().filter(httparse::Status::is_complete)?;
        let header = |header: &httparse::Header| {
            let value = String::from_utf8_lossy(header.value).into_owned();
            (header.name.to_ascii_lowercase(), value)
        };
        let (method, target) = (parsed.method?.into(), parsed.path?.into());
        Some(Request { method, target, headers: parsed.headers.iter().map(header).collect() })
    }

    /// The value of the first header of this name, which is in small letters.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|(own, _)| own == name);
        header.map(|(_, value)| value.as_str())
    }
}

/// What is sent back.
pub(super) struct Answer {
    /// As 200.
    pub(super) status: u16,
    /// The body's type.
    pub(super) kind: &'static str,
    /// Not sent to a request for the headers alone.
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// A line of text.
    pub(super) fn text(status: u16, text: &str) -> Answer {
        Answer { status, kind: "text/plain; charset=utf-8", body: text.into() }
    }
}

/// The place of a connection that is served, until it is dropped.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    /// `None` where as many are `taken` as there are.
    fn take(taken: &'a AtomicUsize) -> Option<Place<'a>> {
        let before = taken.fetch_add(1, Ordering::Relaxed);
        let place = Place(taken);
        (before < MOST).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Answers the request of each connection with what `answer` says and these `headers`, several at once, until the process ends.
pub(super) fn serve(
    listener: &TcpListener,
    headers: &[(&str, &str)],
    answer: &(impl Fn(&Request) -> Answer + Sync),
) {
    let taken = &AtomicUsize::new(0);
    thread::scope(|scope| {
        for stream in listener.incoming() {
            let Ok(stream) = stream else {
                thread::sleep(PAUSE);
                continue;
            };
            let Some(place) = Place::take(taken) else { continue };
            let one = move || {
                let _place = place;
                // A client that has left, or does not read, needs no answer.
                let _ = connection(&stream, headers, answer);
            };
            // Where the system has no thread left, the connection is closed.
            let _ = thread::Builder::new().spawn_scoped(scope, one);
        }
    });
}

/// Reads the request of a connection and answers it.
fn connection(
    stream: &TcpStream,
    headers: &[(&str, &str)],
    answer: &impl Fn(&Request) -> Answer,
) -> io::Result<()> {
    let end = Instant::now() + READING;
    let (mut head, mut some): (Vec<u8>, _) = (Vec::new(), [0; 4096]);
    let length = loop {
        if let Some(at) = head.windows(4).position(|four| four == b"\r\n\r\n") {
            break Some(at + 4);
        }
        if head.len() > HEAD {
            break None;
        }
        match read(stream, end, &mut some)? {
            0 => return Ok(()),
            count => head.extend_from_slice(&some[..count]),
        }
    };
    let request = length.map(|length| Request::parse(&head[..length]));
    let said = match &request {
        Some(Some(request)) => answer(request),
        Some(None) => Answer::text(400, "no request of HTTP/1"),
        None => Answer::text(431, "no request of this page's has as much in its headers"),
    };
    let without_body = matches!(&request, Some(Some(request)) if request.method == "HEAD");
    respond(stream, headers, &said, without_body)
}

fn respond(
    stream: &TcpStream,
    headers: &[(&str, &str)],
    answer: &Answer,
    without_body: bool,
) -> io::Result<()> {
    let end = Instant::now() + ANSWERING;
    let mut bytes = format!("HTTP/1.1 {} {}\r\n", answer.status, reason(answer.status));
    let length = answer.body.len().to_string();
    let own = [("Content-Type", answer.kind), ("Content-Length", length.as_str()), ("Connection", "close")];
    for (name, value) in own.iter().chain(headers) {
        bytes += &format!("{name}: {value}\r\n");
    }
    bytes += "\r\n";
    write(stream, end, bytes.as_bytes())?;
    if !without_body {
        write(stream, end, &answer.body)?;
    }
    stream.shutdown(Shutdown::Write)?;
    // A connection that is closed with bytes unread is reset, and the client may lose the answer.
    let (mut lost, mut some) = (0, [0; 4096]);
    while lost < LOST {
        match read(stream, end, &mut some)? {
            0 => break,
            count => lost += count,
        }
    }
    Ok(())
}

/// What HTTP calls a status.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        431 => "Request Header Fields Too Large",
        _ => "Internal Server Error",
    }
}

/// The time before `end`.
///
/// Errors: there is none.
fn left(end: Instant) -> io::Result<Duration> {
    let left = end.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// What comes next, before `end`; 0 bytes at the connection's end.
fn read(mut stream: &TcpStream, end: Instant, to: &mut [u8]) -> io::Result<usize> {
    stream.set_read_timeout(Some(left(end)?))?;
    stream.read(to)
}

/// Writes all of `bytes` before `end`.
fn write(mut stream: &TcpStream, end: Instant, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.set_write_timeout(Some(left(end)?))?;
        match stream.write(bytes)? {
            0 => return Err(ErrorKind::WriteZero.into()),
            count => bytes = &bytes[count..],
        }
    }
    Ok(())
}
