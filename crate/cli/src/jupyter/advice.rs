//! What a tool's failure comes from, from what the tool said, and what to do about it.

/// Why a tool could not do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// No room on the disk.
    Disk,
    /// A file or folder that this user may not write.
    Permission,
    /// The system ended it for want of memory.
    Memory,
    /// A certificate that is not trusted.
    Certificate,
    /// A SOCKS proxy, which pip cannot use.
    Socks,
    /// A proxy that refuses or is not there.
    Proxy,
    /// No connection.
    Network,
    /// A version that the registry does not have for this Python.
    Version,
    /// A compiler, linker or header that is not there.
    Compiler,
}

/// What each cause makes pip, cargo, git, curl and Python say, in lower case. The first that fits counts: pip names a failed
/// connection and then, in the same breath, that it found no version.
const SIGNS: &[(Cause, &[&str])] = &[
    (
        Cause::Disk,
        &[
            "no space left",
            "disk quota",
            "disc quota",
            "errno 28",
            "os error 28",
            "errno 122",
            "os error 122",
        ],
    ),
    (
        Cause::Permission,
        &[
            "permission denied",
            "read-only file system",
            "operation not permitted",
            "errno 13]",
            "os error 13)",
            "errno 30]",
            "os error 30)",
        ],
    ),
    (
        Cause::Memory,
        &["signal: 9", "sigkill", "out of memory", "cannot allocate memory", "memoryerror", "os error 12)"],
    ),
    (
        Cause::Certificate,
        &[
            "certificate_verify_failed",
            "certificate verify failed",
            "self signed certificate",
            "self-signed certificate",
            "unable to get local issuer",
            "ssl certificate problem",
            "server certificate verification failed",
            "invalid peer certificate",
            "unknownissuer",
            "unknown ca",
            "tls ca certificate bundle",
            "sslerror",
        ],
    ),
    (Cause::Socks, &["dependencies for socks", "socks support", "unsupported proxy"]),
    (
        Cause::Proxy,
        &[
            "proxyerror",
            "to proxy",
            "resolve proxy",
            "proxy authentication required",
            "code 407",
            "tunnel connection failed",
            "connect tunnel failed",
        ],
    ),
    (
        Cause::Network,
        &[
            "resolve host",
            "name resolution",
            "name or service not known",
            "nodename nor servname",
            "getaddrinfo failed",
            "failed to lookup address",
            "failed to establish a new connection",
            "max retries exceeded",
            "network is unreachable",
            "no route to host",
            "connection refused",
            "connection reset",
            "connection aborted",
            "connection broken",
            "connection timed out",
            "operation timed out",
            "operation too slow",
            "timeout was reached",
            "read timed out",
            "connecttimeout",
            "readtimeout",
            "spurious network error",
            "failed to download",
            "download of config.json failed",
            "http error 5",
            "incompleteread",
        ],
    ),
    (
        Cause::Version,
        &[
            "no matching distribution",
            "could not find a version that satisfies",
            "requires a different python",
            "resolutionimpossible",
            "failed to select a version",
            "do not match the hashes",
        ],
    ),
    (
        Cause::Compiler,
        &[
            "linker `",
            "failed to build",
            "failed building wheel",
            "python.h",
            "command 'gcc'",
            "command 'cc'",
            "-linux-gnu-gcc'",
            "cannot find -l",
            "failed to find tool",
            "is `cc` installed",
            "c++ build tools",
        ],
    ),
];

/// The cause that `said` tells of; `None` where it tells of none that is known.
pub fn cause(said: &str) -> Option<Cause> {
    let said = said.to_lowercase();
    // pip without retries says nothing else of an index that it did not reach.
    if said.contains("(from versions: none)") && !said.contains("require a different python") {
        return Some(Cause::Network);
    }
    SIGNS.iter().find(|(_, signs)| signs.iter().any(|sign| said.contains(sign))).map(|(cause, _)| *cause)
}

/// What to do about a failed installation that said `said`. `space` says how much room the tool needs.
pub fn remedy(said: &str, space: &str) -> String {
    let then = "and run this again; what is done stays done";
    match cause(said) {
        Some(Cause::Disk) => format!("make room on the disk ({space}) {then}"),
        Some(Cause::Permission) => {
            format!("see that you may write the file or folder that is named above {then}")
        }
        Some(Cause::Memory) => format!(
            "the system ended it, as it does where memory runs out: close other programs or set \
             CARGO_BUILD_JOBS=1 {then}"
        ),
        Some(Cause::Certificate) => format!(
            "the server's certificate is not trusted: where your network has an authority of its own, set SSL_CERT_FILE \
             (for cargo also CARGO_HTTP_CAINFO) to the file with its certificate {then}"
        ),
        Some(Cause::Socks) => format!(
            "pip cannot use a SOCKS proxy in a new environment: unset ALL_PROXY and set HTTPS_PROXY to an HTTP proxy, or \
             set PIP_INDEX_URL to a mirror that needs none, {then}"
        ),
        Some(Cause::Proxy) => {
            format!("correct the proxy's address or password (HTTPS_PROXY, ALL_PROXY) {then}")
        }
        Some(Cause::Network) => format!("see that the network is up (a proxy: HTTPS_PROXY) {then}"),
        Some(Cause::Version) => format!(
            "the package index does not have the version named above for this Python: take another Python \
             (RETHINK_PYTHON) or another index (PIP_INDEX_URL, pip.conf) {then}"
        ),
        Some(Cause::Compiler) => format!(
            "it compiles something for which a tool is missing: install a C compiler (Debian, Ubuntu: `apt install \
             build-essential`; for a Python package also python3-dev), or take another Python (RETHINK_PYTHON) for which \
             the package is ready-made, {then}"
        ),
        None => "correct what it says above and run this again; what is done stays done".into(),
    }
}

/// What to do about a kernel, or a program of the Python environment, that did not do its work and said `said`.
pub fn of_kernel(said: &str) -> String {
    let lower = said.to_lowercase();
    let any = |signs: &[&str]| signs.iter().any(|sign| lower.contains(sign));
    if any(&["on path; install", "on path, nor in"]) {
        return "install Rust from https://rustup.rs, or set CARGO_HOME to the folder that it is in, and run this again".into();
    }
    if any(&["modulenotfounderror", "importerror", "no module named", "no such kernel"]) {
        return "remove .rethink/venv and run this again; it will be set up anew".into();
    }
    if any(&["dlopen", "failed to map segment", "cannot open shared object"]) {
        return "a compiled cell could not be loaded: see that the folder named above exists and that programs may run from it \
                (it is not mounted noexec), and run this again"
            .into();
    }
    if cause(said).is_some() {
        return remedy(said, "some hundred MB");
    }
    "run this again; where it stays so, `rethink lab` shows what the kernel says".into()
}
