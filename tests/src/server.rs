//! A local web server for the downloads' tests.

use md5::{Digest, Md5};
use rethink::data::fetch::{Remote, RemoteFile};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the server does with one request; when the list is used up, it behaves.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// It behaves.
    None,
    /// Sends the whole file.
    IgnoreRange,
    /// Announces everything, closes after this many bytes.
    Truncate(usize),
    /// As `Truncate`, without announcing a length.
    TruncateUnannounced(usize),
    /// Announces everything, sends this many bytes, then nothing for as long as the client waits.
    Stall(usize),
    /// Accepts the connection and never answers.
    Silence,
    /// One wrong bit.
    Corrupt,
    /// This status, with a short page.
    Status(u16),
    /// A page of another length with status 200.
    Page,
    /// Status 206 for another range than asked.
    WrongRange,
    /// More bytes than there are, without announcing a length.
    Endless,
    /// Not HTTP.
    Garbage,
}

/// Path and Range header of each request.
pub type Requests = Mutex<Vec<(String, Option<String>)>>;

/// A web server of data sets on the loopback address that misbehaves as told.
pub struct Server {
    /// Address of the folder of files.
    pub base: String,
    files: Vec<(String, Vec<u8>)>,
    /// Path and Range header of each request so far.
    pub requests: Arc<Requests>,
    /// Of the requests to come.
    pub faults: Arc<Mutex<VecDeque<Fault>>>,
}

impl Server {
    /// Serves `files` (name, bytes) from a thread that ends with the process.
    pub fn start(files: Vec<(String, Vec<u8>)>, faults: Vec<Fault>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}/data", listener.local_addr().unwrap());
        let server = Server {
            base,
            files: files.clone(),
            requests: Arc::default(),
            faults: Arc::new(Mutex::new(faults.into())),
        };
        let (requests, faults) = (server.requests.clone(), server.faults.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (files, requests, faults) = (files.clone(), requests.clone(), faults.clone());
                std::thread::spawn(move || serve(stream.unwrap(), &files, &requests, &faults));
            }
        });
        server
    }

    /// These files as a download of `name`.
    pub fn remote(&self, name: &str) -> Remote {
        let known = rethink::data::known().into_iter().find(|known| known.name == name).expect("a known set");
        let files = self.files.iter().map(|(name, bytes)| RemoteFile {
            name: name.clone(),
            bytes: bytes.len() as u64,
            md5: Md5::digest(bytes).iter().map(|b| format!("{b:02x}")).collect(),
        });
        Remote {
            name: name.into(),
            folder: known.folder.into(),
            format: known.format,
            base: self.base.clone(),
            files: files.collect(),
        }
    }

    /// The Range header of each request.
    pub fn ranges(&self) -> Vec<Option<String>> {
        self.requests.lock().unwrap().iter().map(|r| r.1.clone()).collect()
    }
}

fn serve(
    mut stream: TcpStream,
    files: &[(String, Vec<u8>)],
    requests: &Requests,
    faults: &Mutex<VecDeque<Fault>>,
) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut first = String::new();
    let mut range = None;
    if reader.read_line(&mut first).unwrap_or(0) == 0 {
        return;
    }
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("range")
        {
            range = Some(value.trim().to_string());
        }
    }
    let path = first.split_whitespace().nth(1).unwrap_or("").to_string();
    requests.lock().unwrap().push((path.clone(), range.clone()));
    let fault = faults.lock().unwrap().pop_front().unwrap_or(Fault::None);
    let Some((_, body)) = files.iter().find(|(name, _)| path == format!("/data/{name}")) else {
        let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        return;
    };
    let mut body = body.clone();
    let total = body.len();
    let ignore = matches!(fault, Fault::IgnoreRange | Fault::Endless | Fault::Page);
    let from = range
        .filter(|_| !ignore)
        .map(|r| r["bytes=".len()..].trim_end_matches('-').parse::<usize>().unwrap());
    let mut head = match (fault, from) {
        (Fault::Status(status), _) => format!("HTTP/1.1 {status} Refused\r\n"),
        (Fault::WrongRange, _) => {
            format!("HTTP/1.1 206 Partial\r\nContent-Range: bytes 1-{}/{total}\r\n", total - 1)
        }
        (_, Some(from)) => {
            format!("HTTP/1.1 206 Partial\r\nContent-Range: bytes {from}-{}/{total}\r\n", total - 1)
        }
        (_, None) => "HTTP/1.1 200 OK\r\n".to_string(),
    };
    body.drain(..from.unwrap_or(0));
    match fault {
        Fault::Status(_) | Fault::Page => body = b"<html>log in first</html>".to_vec(),
        Fault::Corrupt => {
            let middle = body.len() / 2;
            body[middle] ^= 1;
        }
        Fault::Endless => body.extend(vec![0; total + 100_000]),
        Fault::Silence => return hold(stream),
        Fault::Garbage => {
            let _ = stream.write_all(b"\0\x01\x02 no protocol\r\n\r\n");
            return;
        }
        _ => {}
    }
    if !matches!(fault, Fault::Endless | Fault::TruncateUnannounced(_)) {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    let _ = stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes());
    match fault {
        Fault::Truncate(n) | Fault::TruncateUnannounced(n) => {
            let _ = stream.write_all(&body[..n.min(body.len())]);
        }
        Fault::Stall(n) => {
            let _ = stream.write_all(&body[..n.min(body.len())]);
            hold(stream);
        }
        _ => {
            let _ = stream.write_all(&body);
        }
    }
}

/// Until the client hangs up.
fn hold(mut stream: TcpStream) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(60)));
    let _ = stream.read(&mut [0; 1]);
}
