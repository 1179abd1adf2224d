//! A notebook's cell and its page, while the cell runs: what the kernel (`crate/cli/src/jupyter/relay.py`) is told, and when
//! it asks that work ends early.
//!
//! The kernel listens at the Unix socket that [`SOCKET_VARIABLE`] names. As soon as a cell with this crate is loaded into the
//! process that runs cells, the process's standard output and error go there; evcxr's own lines among them come back and on to evcxr.
//! So nothing is lost when the process ends, a line need not be whole to be seen, and the kernel knows which output was before
//! which. A cell may have a copy of this crate for itself: the first one does this, the others find it done.
//!
//! Calls of the library that may take long are between [`Call`]'s beginning and end, and end early when the kernel says so
//! ([`rethink_nn::interrupt`]). In any other process, nothing of this happens.

/// Names the kernel's socket.
pub const SOCKET_VARIABLE: &str = "RETHINK_KERNEL_LIVE";
/// `0`: no progress and no growing curves on the page, but lines of progress on standard output.
pub const LIVE_VARIABLE: &str = "RETHINK_LIVE";

#[cfg(not(unix))]
pub use elsewhere::*;
#[cfg(unix)]
pub use here::*;

/// A call of the library that may take long and ends early where it can when the notebook's user asks for it. Calls within it belong
/// to it.
pub struct Call(());

impl Call {
    /// Begins. After an interrupt in the same cell, the call is to end at once.
    #[expect(clippy::new_without_default, reason = "it has an effect")]
    pub fn new() -> Call {
        begin();
        Call(())
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        end();
    }
}

/// Where there is no kernel.
#[cfg(not(unix))]
mod elsewhere {
    /// Never.
    pub fn is_attached() -> bool {
        false
    }

    /// Nowhere.
    pub fn show(_: &str, _: &serde_json::Value, _: bool) {}

    pub(super) fn begin() {}

    pub(super) fn end() {}
}

#[cfg(unix)]
mod here {
    use super::SOCKET_VARIABLE;
    use rethink_nn::interrupt;
    use serde_json::{Value, json};
    use std::fs::File;
    use std::io::{self, BufRead, BufReader, Read, Write};
    use std::os::fd::{AsFd, AsRawFd};
    use std::os::unix::fs::FileTypeExt;
    use std::os::unix::net::UnixStream;
    use std::path::PathBuf;
    use std::sync::mpsc::{Receiver, channel};
    use std::sync::{Mutex, OnceLock};
    use std::time::Duration;

    /// So long, at most, the kernel is waited for.
    const ANSWER: Duration = Duration::from_secs(5);

    unsafe extern "C" {
        fn dup2(from: i32, to: i32) -> i32;
        fn _exit(status: i32) -> !;
    }

    /// Called when the library is loaded.
    #[used]
    #[cfg_attr(target_os = "macos", unsafe(link_section = "__DATA,__mod_init_func"))]
    #[cfg_attr(not(target_os = "macos"), unsafe(link_section = ".init_array"))]
    static ATTACH: extern "C" fn() = attach;

    extern "C" fn attach() {
        if let Some(path) = socket() {
            // Without it, output goes through evcxr.
            let _ = redirect(&path);
        }
    }

    /// The kernel's socket, in a process that runs cells; a program that a cell starts inherits the variables.
    fn socket() -> Option<PathBuf> {
        let path = std::env::var_os(SOCKET_VARIABLE)?;
        std::env::var_os("EVCXR_IS_RUNTIME")?;
        let program = std::env::current_exe().ok()?;
        program.file_stem()?.to_str()?.starts_with("evcxr").then(|| path.into())
    }

    /// Connects to the kernel as one of what it knows.
    fn connect(path: &PathBuf, what: &str) -> io::Result<UnixStream> {
        let mut made = UnixStream::connect(path)?;
        writeln!(made, "{what} {}", std::process::id())?;
        Ok(made)
    }

    /// Whether standard output goes to the kernel.
    pub fn is_attached() -> bool {
        let here = || File::from(io::stdout().as_fd().try_clone_to_owned().ok()?).metadata().ok();
        socket().is_some() && here().is_some_and(|there| there.file_type().is_socket())
    }

    fn redirect(path: &PathBuf) -> io::Result<()> {
        let mut evcxr = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        if evcxr.metadata()?.file_type().is_socket() {
            return Ok(());
        }
        let (out, err) = (connect(path, "out")?, connect(path, "err")?);
        let mut marks = connect(path, "marks")?;
        std::thread::Builder::new().name("rethink: marks".into()).spawn(move || {
            // Not `io::copy`, which on Linux lets the system move the bytes, in its own time.
            let mut bytes = [0; 8192];
            while let Ok(count @ 1..) = marks.read(&mut bytes) {
                if evcxr.write_all(&bytes[..count]).is_err() {
                    break;
                }
            }
            // The kernel is gone, and nobody would hear of the cell's end.
            // SAFETY: ends the process.
            unsafe { _exit(0) }
        })?;
        // SAFETY: both are open files of this process. evcxr asks for a backtrace of its own machinery with each panic, in this
        // process's environment; the one cell that runs is just being loaded, and the thread above does not look.
        unsafe {
            dup2(out.as_raw_fd(), 1);
            dup2(err.as_raw_fd(), 2);
            std::env::set_var("RUST_BACKTRACE", "0");
        }
        Ok(())
    }

    /// The connection on which things are said.
    struct Connection {
        to: Mutex<UnixStream>,
        answers: Mutex<Receiver<()>>,
    }

    fn connection() -> Option<&'static Connection> {
        static CONNECTION: OnceLock<Option<Connection>> = OnceLock::new();
        let make = || {
            let to = connect(&socket()?, "talk").ok()?;
            let from = BufReader::new(to.try_clone().ok()?);
            let (answer, answers) = channel();
            let listen = move || {
                for line in from.lines().map_while(io::Result::ok) {
                    interrupt::want(line == "stop");
                    let _ = answer.send(());
                }
            };
            std::thread::Builder::new().name("rethink: kernel".into()).spawn(listen).ok()?;
            Some(Connection { to: Mutex::new(to), answers: Mutex::new(answers) })
        };
        CONNECTION.get_or_init(make).as_ref()
    }

    fn say(connection: &Connection, what: &Value) {
        let mut to = connection.to.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        // The kernel's end ends this process.
        let _ = to.write_all(format!("{what}\n").as_bytes());
    }

    /// Shows `data`, MIME types and texts, in the running cell under the name `id`; `again`: in the place of what it has shown.
    pub fn show(id: &str, data: &Value, again: bool) {
        if let Some(connection) = connection() {
            say(connection, &json!({ "show": id, "data": data, "again": again }));
        }
    }

    static CALLS: Mutex<usize> = Mutex::new(0);

    pub(super) fn begin() {
        let mut calls = CALLS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        *calls += 1;
        if *calls > 1 {
            return;
        }
        let Some(connection) = connection() else { return };
        let answers = connection.answers.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        // An interrupt that came after an earlier call's end.
        answers.try_iter().for_each(drop);
        say(connection, &json!({ "call": "begin" }));
        let _ = answers.recv_timeout(ANSWER);
    }

    pub(super) fn end() {
        let mut calls = CALLS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        *calls -= 1;
        if *calls == 0 && connection().is_some() {
            interrupt::want(false);
        }
    }
}
