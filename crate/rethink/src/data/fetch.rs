//! Downloads: resumed, checked against the official checksum, visible only when whole.
//!
//! Everything happens in a hidden working folder beside the final one (`.fetch-NAME`): a file grows as
//! `FILE.partial` and loses that suffix once its size and MD5 are right; an archive is unpacked
//! there; the finished folder is renamed into place. An interrupted download goes on where it stopped.

use crate::data::format::Format;
use crate::data::origin::{length, md5_of, origin_line, sums, unpack, write_sums};
use crate::lock::Lock;
use crate::{Error, Result};
use indicatif::{ProgressBar, ProgressStyle};
use rethink_nn::text::thousands;
use rethink_plot::files::remove_folder_if_there;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

/// A data set on the network.
#[derive(Clone, Debug)]
pub struct Remote {
    /// On the command line.
    pub name: String,
    /// The folder that it becomes.
    pub folder: String,
    /// What that folder then holds.
    pub format: &'static Format,
    /// The files' address without their names.
    pub base: String,
    /// What is downloaded.
    pub files: Vec<RemoteFile>,
}

/// A file of a [`Remote`]. One of the name of its format's archive is unpacked.
#[derive(Clone, Debug)]
pub struct RemoteFile {
    /// Its name, at the address and on disk.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Its official MD5, in hexadecimal.
    pub md5: String,
}

/// How long to wait, and how often to try again.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a connection, and for the answer's first line.
    pub connect: Duration,
    /// For the next bytes.
    pub stall: Duration,
    /// Attempts in a row that bring the file forward by less than a hundredth.
    pub tries: u32,
    /// Before the second attempt; twice as long before each further one.
    pub pause: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        let seconds = Duration::from_secs;
        Patience { connect: seconds(20), stall: seconds(30), tries: 5, pause: seconds(1) }
    }
}

const OPERATION: &str = "download";

/// Held in the working folder by the process that downloads.
const LOCK: &str = "lock";

/// `rethink/data` in the user's cache folder (`~/.cache` on Linux); `None` where the system names none.
pub fn cache() -> Option<PathBuf> {
    dirs::cache_dir().map(|c| c.join("rethink").join("data"))
}

/// The names that can be fetched.
pub fn names() -> Vec<&'static str> {
    let known = crate::data::known().into_iter();
    known.filter(|known| known.download.is_some()).map(|known| known.name).collect()
}

/// Where `name` is published. The environment variable `RETHINK_MIRROR` replaces the address, not the checksums.
///
/// Errors: [`Error::Argument`] for a data set that is not published so.
pub fn source(name: &str) -> Result<Remote> {
    let known = crate::data::known().into_iter().find(|known| known.name == name);
    let Some((known, download)) = known.and_then(|known| Some((known, known.download?))) else {
        let names = names();
        let (last, others) = names.split_last().expect("some can be fetched");
        let problem = format!("{name:?} cannot be fetched; {} and {last} can", others.join(", "));
        return Err(Error::argument("fetch a data set", problem));
    };
    let mirror = std::env::var("RETHINK_MIRROR").ok().filter(|m| !m.is_empty());
    let files = download.files.iter().map(|file| RemoteFile {
        name: file.name.into(),
        bytes: file.bytes,
        md5: file.md5.into(),
    });
    Ok(Remote {
        name: name.into(),
        folder: known.folder.into(),
        format: known.format,
        base: mirror.unwrap_or_else(|| download.base.into()),
        files: files.collect(),
    })
}

/// Puts the data set `name` into [`cache`] and returns its folder. One that is already there, passes
/// [`crate::data::verify`] and is known to be what is published is left alone.
///
/// Errors: as [`fetch_into`]; [`Error::Missing`] where the system names no cache folder.
pub fn fetch(name: &str) -> Result<PathBuf> {
    let remote = source(name)?;
    let root = cache().ok_or_else(|| Error::Missing {
        what: "this system names no cache folder".into(),
        remedy: "set XDG_CACHE_HOME (or HOME) to a folder that can be written".into(),
    })?;
    fetch_into(&remote, &root, Patience::default())
}

/// Puts `remote` into the folder `root/FOLDER` and returns that. Progress goes to standard error.
///
/// Errors: [`Error::Network`] when the server cannot be reached, refuses, sends something else
/// or stops sending; what has been received stays for the next call, except where the checksum is wrong.
/// [`Error::Format`] for an archive that does not hold the data set, [`Error::Io`],
/// [`Error::Program`] while another process downloads the same.
pub fn fetch_into(remote: &Remote, root: &Path, patience: Patience) -> Result<PathBuf> {
    let target = root.join(&remote.folder);
    let work = root.join(format!(".fetch-{}", remote.name));
    let there = if target.exists() { crate::data::verify(&target).ok() } else { None };
    if let Some(there) = &there
        && is_published(remote, &target, &there.data)
    {
        clear(&work);
        return Ok(target);
    }
    let Some(_lock) = Lock::try_take(&work.join(LOCK))? else {
        return Err(Error::Program {
            program: "rethink data fetch".into(),
            problem: format!("another process is downloading {} into {}", remote.name, root.display()),
            remedy: "wait until it has ended".into(),
        });
    };

    for file in &remote.files {
        download(&remote.base, file, &work, patience)?;
    }

    let ready = work.join("ready");
    remove_folder_if_there(&ready)?;
    fs::create_dir(&ready).map_err(Error::io("create the folder", &ready))?;
    for file in &remote.files {
        let path = work.join(&file.name);
        if let Some(archive) = remote.format.archive.filter(|archive| archive.file.name == file.name) {
            unpack(&path, &archive, &ready)?;
        } else {
            let to = ready.join(&file.name);
            fs::copy(&path, &to).map_err(Error::io("copy to", &to))?;
            sync(&to)?;
        }
    }
    let fetched = remote.format.read(&ready)?;
    let origin: Vec<(&str, &str)> = remote.files.iter().map(|file| (&*file.name, &*file.md5)).collect();
    write_sums(&ready, &origin)?;

    // What was there failed its verification above and is not the data set; or it is some other of the same form, which is kept.
    let old = match there.filter(|there| there.data.fingerprint != fetched.fingerprint) {
        None => work.join("old"),
        Some(_) => {
            let aside = (1..).map(|n| root.join(format!("{}.before-fetch-{n}", remote.folder)));
            aside.into_iter().find(|path| !path.exists()).unwrap_or(work.join("old"))
        }
    };
    if old.starts_with(&work) {
        remove_folder_if_there(&old)?;
    } else {
        rethink_plot::tell!(
            "{} was not what is fetched now; it is kept as {}",
            target.display(),
            old.display()
        );
    }
    if target.exists() {
        fs::rename(&target, &old).map_err(Error::io("move away", &target))?;
    }
    fs::rename(&ready, &target).map_err(Error::io("rename to", &target))?;
    sync(root)?;
    remove_folder_if_there(&work)?;
    Ok(target)
}

/// Removes the working folder of a download that was killed after its data set had been put into place. One that another process holds
/// is left to it; one that cannot be removed does no harm.
fn clear(work: &Path) {
    if let Ok(lock) = File::open(work.join(LOCK))
        && lock.try_lock().is_ok()
    {
        remove_folder_if_there(work).ok();
    }
}

fn sync(path: &Path) -> Result<()> {
    File::open(path).and_then(|f| f.sync_all()).map_err(Error::io("flush", path))
}

/// Whether `data`, read from `folder`, is what `remote` gives.
fn is_published(remote: &Remote, folder: &Path, data: &crate::data::Dataset) -> bool {
    let sums = sums(folder);
    let came = remote.files.iter().all(|file| sums.contains(&origin_line(&file.md5, &file.name)));
    let known = data.id(usize::MAX, usize::MAX).published();
    came || known.is_some_and(|known| known.fetched && known.name == remote.name)
}

/// How an attempt ended without the whole file.
enum Failure {
    /// Worth another attempt.
    Passing(String),
    /// Another attempt would end the same.
    Lasting(Error),
}

/// Leaves `work/FILE` with the right size and checksum.
fn download(base: &str, file: &RemoteFile, work: &Path, patience: Patience) -> Result<()> {
    let whole = work.join(&file.name);
    if whole.is_file() && md5_of(&whole)? == file.md5 {
        return Ok(());
    }
    let url = format!("{}/{}", base.trim_end_matches('/'), file.name);
    let network = |problem: String| Error::Network { operation: OPERATION, url: url.clone(), problem };
    let partial = work.join(format!("{}.partial", file.name));
    let progress = Progress::new(file);

    let mut best = length(&partial);
    let mut failures = 0;
    while length(&partial) != file.bytes {
        let problem = match attempt(&url, file, &partial, patience, &progress) {
            Ok(()) => break,
            Err(Failure::Lasting(error)) => return Err(error),
            Err(Failure::Passing(problem)) => problem,
        };
        let now = length(&partial);
        if now > best + file.bytes / 100 {
            best = now;
            failures = 0;
        }
        failures += 1;
        if failures >= patience.tries {
            return Err(network(format!(
                "{problem}; given up after {failures} attempts with {} of {} bytes, \
                 which the next call goes on from",
                thousands(now as usize),
                thousands(file.bytes as usize)
            )));
        }
        progress.say(&format!("{problem}; trying again"));
        std::thread::sleep(patience.pause * 2u32.pow((failures - 1).min(6)));
    }

    let md5 = md5_of(&partial)?;
    if md5 != file.md5 {
        fs::remove_file(&partial).map_err(Error::io("remove", &partial))?;
        return Err(network(format!(
            "the MD5 of what was received is {md5}, the official one {}; it has been deleted, \
             the next call starts afresh",
            file.md5
        )));
    }
    sync(&partial)?;
    fs::rename(&partial, &whole).map_err(Error::io("rename to", &whole))?;
    progress.finish();
    Ok(())
}

/// The variable that names a file of certificates (PEM) of the authorities that are trusted, as in OpenSSL.
pub const AUTHORITIES_VARIABLE: &str = "SSL_CERT_FILE";

/// The authorities whose certificates are trusted: those of [`AUTHORITIES_VARIABLE`], where it is set, else Mozilla's.
///
/// Errors: [`Error::Io`] for a file that cannot be read, [`Error::Argument`] for one without certificates.
fn authorities() -> Result<RootCerts> {
    let Some(path) = std::env::var_os(AUTHORITIES_VARIABLE).filter(|path| !path.is_empty()) else {
        return Ok(RootCerts::WebPki);
    };
    let path = PathBuf::from(path);
    let text = fs::read(&path).map_err(Error::io("read the certificates that SSL_CERT_FILE names", &path))?;
    let certificate = |item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    };
    let certificates: Vec<_> = parse_pem(&text).filter_map(certificate).collect();
    if certificates.is_empty() {
        return Err(Error::argument(
            AUTHORITIES_VARIABLE,
            format!("{} has no certificate in it (PEM)", path.display()),
        ));
    }
    Ok(RootCerts::new_with_certs(&certificates))
}

fn agent(url: &str, patience: Patience) -> Result<ureq::Agent> {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .user_agent(concat!("rethink/", env!("CARGO_PKG_VERSION")))
        .timeout_resolve(Some(patience.connect))
        .timeout_connect(Some(patience.connect))
        .timeout_recv_response(Some(patience.connect.max(patience.stall)))
        .timeout_per_read(Some(patience.stall))
        .tls_config(TlsConfig::builder().root_certs(authorities()?).build());
    // A proxy from the environment (HTTPS_PROXY, ALL_PROXY; socks5://, too) serves the network, not this machine.
    let own = url.starts_with("http://127.0.0.1") || url.starts_with("http://localhost");
    let config = if own { config.proxy(None) } else { config };
    Ok(config.build().into())
}

/// How a request failed, from what the library says.
fn request_failed(error: &ureq::Error, lasting: impl Fn(String) -> Failure) -> Failure {
    let said = error.to_string();
    if said.contains("invalid peer certificate") {
        return lasting(format!(
            "{said}: the server's certificate is not trusted; where your network has an authority of its own, set \
             {AUTHORITIES_VARIABLE} to the file with its certificate"
        ));
    }
    match error {
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => lasting(said),
        _ => Failure::Passing(said),
    }
}

/// One request: appends to `partial`, or writes it anew where the server does not resume.
fn attempt(
    url: &str,
    file: &RemoteFile,
    partial: &Path,
    patience: Patience,
    progress: &Progress,
) -> std::result::Result<(), Failure> {
    let lasting = |problem: String| {
        Failure::Lasting(Error::Network { operation: OPERATION, url: url.to_string(), problem })
    };
    let io = |e: std::io::Error| Failure::Lasting(Error::io("write", partial)(e));
    let mut out = OpenOptions::new().create(true).truncate(false).write(true).open(partial).map_err(io)?;
    let mut offset = out.metadata().map_err(io)?.len();
    if offset > file.bytes {
        out.set_len(0).map_err(io)?;
        offset = 0;
    }

    let mut request =
        agent(url, patience).map_err(Failure::Lasting)?.get(url).header("Accept-Encoding", "identity");
    if offset > 0 {
        request = request.header("Range", format!("bytes={offset}-"));
    }
    let mut response = request.call().map_err(|e| request_failed(&e, lasting))?;

    let header = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_string);
    match response.status().as_u16() {
        206 => {
            // "bytes FIRST-LAST/TOTAL"
            let range = header("content-range").unwrap_or_default();
            let range = range.trim_start_matches("bytes").trim();
            let first = range.split('-').next().and_then(|n| n.parse().ok());
            if first != Some(offset) {
                out.set_len(0).map_err(io)?;
                return Err(Failure::Passing(format!("asked for bytes from {offset}, was sent {range:?}")));
            }
        }
        200 => offset = 0,
        416 => {
            out.set_len(0).map_err(io)?;
            return Err(Failure::Passing(format!("the server has nothing after byte {offset}")));
        }
        status @ (408 | 429 | 500..=599) => {
            return Err(Failure::Passing(format!("the server answers {status}")));
        }
        status => return Err(lasting(format!("the server answers {status}"))),
    }
    let offered = header("content-length").and_then(|n| n.parse::<u64>().ok());
    if let Some(offered) = offered
        && offset.saturating_add(offered) != file.bytes
    {
        let (offered, expected) = (thousands(offered as usize), thousands((file.bytes - offset) as usize));
        return Err(lasting(format!("the server offers {offered} bytes, expected {expected}")));
    }

    out.set_len(offset).map_err(io)?;
    out.seek(SeekFrom::Start(offset)).map_err(io)?;
    progress.start(offset);
    let mut body = response.body_mut().as_reader().take(file.bytes - offset + 1);
    let mut buffer = vec![0; 1 << 16];
    let mut received = offset;
    while received <= file.bytes {
        let n = match body.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(e) => return Err(Failure::Passing(e.to_string())),
        };
        out.write_all(&buffer[..n]).map_err(io)?;
        received += n as u64;
        progress.at(received);
    }
    if received > file.bytes {
        out.set_len(0).map_err(io)?;
        return Err(lasting(format!(
            "the server sends more than the official {} bytes; what was received has been deleted",
            thousands(file.bytes as usize)
        )));
    }
    if received < file.bytes {
        let (received, bytes) = (thousands(received as usize), thousands(file.bytes as usize));
        return Err(Failure::Passing(format!("the connection ended after {received} of {bytes} bytes")));
    }
    Ok(())
}

/// A bar on a terminal; elsewhere a line at each tenth.
struct Progress {
    name: String,
    bytes: u64,
    bar: ProgressBar,
    started: std::cell::Cell<(Instant, u64)>,
    tenth: std::cell::Cell<u64>,
}

impl Progress {
    fn new(file: &RemoteFile) -> Progress {
        let style = "{prefix} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta} left";
        let style = ProgressStyle::with_template(style).expect("a template of known keys");
        let bar = ProgressBar::new(file.bytes).with_style(style).with_prefix(file.name.clone());
        Progress {
            name: file.name.clone(),
            bytes: file.bytes,
            bar,
            started: (Instant::now(), 0).into(),
            tenth: 0.into(),
        }
    }

    fn start(&self, offset: u64) {
        self.started.set((Instant::now(), offset));
        self.tenth.set(offset * 10 / self.bytes.max(1));
        self.bar.set_position(offset);
        self.bar.reset_eta();
        if offset > 0 {
            self.say(&format!("going on from byte {}", thousands(offset as usize)));
        }
    }

    fn at(&self, received: u64) {
        self.bar.set_position(received);
        let tenth = received * 10 / self.bytes.max(1);
        if self.bar.is_hidden() && tenth > self.tenth.replace(tenth) {
            let (start, offset) = self.started.get();
            let rate = received.saturating_sub(offset) as f64 / start.elapsed().as_secs_f64().max(1e-3) / 1e6;
            self.say(&format!(
                "{} % of {} bytes, {rate:.1} MB/s",
                tenth * 10,
                thousands(self.bytes as usize)
            ));
        }
    }

    fn say(&self, text: &str) {
        self.bar.suspend(|| rethink_plot::tell!("{}: {text}", self.name));
    }

    fn finish(&self) {
        self.bar.finish();
    }
}
