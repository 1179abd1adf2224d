"""Stands between Jupyter and evcxr: Jupyter's messages pass through, and what evcxr cannot do is done here.

    Jupyter  <-- shell, control, iopub, stdin, heartbeat -->  this  <-- shell, iopub, stdin -->  evcxr
                                                               ^                                   |
                                                               '---- one Unix socket ---- the process that runs cells

evcxr runs cells in a process of its own. There the crate `rethink` (crate/rethink/src/live.rs) connects to the Unix socket
that RETHINK_KERNEL_LIVE names, once for each of:
    out, err    standard output and error of the cells, as they are written: evcxr reads whole lines, and waits for ever
                for a line of its own that comes behind an unfinished one
    marks       evcxr's own lines, which were written between the cells' output, go back to evcxr
    talk        a line of JSON each: a call of the library begins, something is shown; this answers `go` or `stop` to a
                beginning, and says `stop` at an interrupt
A notebook that does not use the crate has none of these, and its output comes through evcxr.

What is done here:
- Requests wait here while a cell runs. After a cell that failed, those that wait are answered as aborted.
- A panic, and a `?` that returned an error, become an `error` message and a reply that says so: evcxr answers "ok".
- An interrupt: of nothing, nothing; of a compilation, its end; of a cell that calls the library, `stop`; of any other cell,
  or the second time, the end of the process, and its variables.
- While something is compiled, the page says what.
"""

import codecs
import ctypes
import hmac
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import deque
from datetime import datetime, timezone
from pathlib import Path

from cursor import BEFORE, as_statement, behind_name

DELIMITER = b"<IDS|MSG>"
# Seconds: after which it is said that a cell compiles; between two looks at that; that text on standard error waits for
# evcxr's mark that it is an error's; that evcxr has to start; that evcxr, after a panic of its own, has to answer.
COMPILES, LOOK, PENDING, START, RECOVERS = 2.0, 0.5, 0.1, 600.0, 3.0
# evcxr's own lines on standard output (its `runtime.rs`, `eval_context.rs`, `evcxr_input`), and two of crate/rethink/src/show.rs.
MARK = re.compile(
    rb"(?:EVCXR_(?:EXECUTION_COMPLETE|PANIC_NOTIFICATION|ERROR_OCCURRED|END_CONTENT)"
    rb"|EVCXR_VARIABLE_CHANGED_TYPE:.*|EVCXR_BEGIN_CONTENT [^ ]+|EVCXR_INPUT_REQUEST(?:_PASSWORD)?:.*"
    rb"|RETHINK_DISPLAY_(?:BEGIN|END))$"
)
BEGINNINGS = (b"EVCXR_", b"RETHINK_DISPLAY_")
BACKTRACE = re.compile(r"^(stack backtrace:|\s+\d+: |\s+at |note: )")
# What the `cargo` in tools has each `?` write that returns an error.
RETURNED = re.compile("\x01line (\\d+)\n")
PANICKED = re.compile(r"^thread '.*?'(?: \(\d+\))? panicked at (.*):(\d+):\d+:$", re.MULTILINE)
# What cells see of the crate is a library that holds it, of another name for each state of its sources.
LIBRARY = re.compile(r"\brethink_cells_[0-9a-f]+\b")
# The head of a compiler's report: evcxr names cells by a count of its own, and its line and column are always 1.
HEAD = re.compile(r"command_\d+:\d+:\d+")
# Of rust-analyzer's label of a completion (`config(…)`, `len()`, `println!(…)`, `Mixed {…}`), what is to be put in.
NAME = re.compile(r"[\w:#]+!?(?:\(\))?")
LOST = "All variables are lost; run the cells again from the first."


def processes():
    """Parent and name of every process."""
    found = {}
    if os.path.isdir("/proc/self"):
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    with open(f"/proc/{entry}/stat", "rb") as file:
                        head, _, rest = file.read().rpartition(b")")
                except OSError:
                    continue
                state, parent, *_ = rest.split()
                if state != b"Z":
                    found[int(entry)] = (int(parent), head.split(b"(", 1)[1].decode(errors="replace"))
        return found
    said = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,comm="], capture_output=True, text=True).stdout
    for line in said.splitlines():
        pid, parent, name = line.split(None, 2)
        found[int(pid)] = (int(parent), os.path.basename(name))
    return found


def below(pid, table, skip=()):
    """The processes that descend from `pid`, without those of `skip` and theirs."""
    found, new = [], [pid]
    while new:
        new = [p for p, (parent, _) in table.items() if parent in new and p not in skip]
        found += new
    return found


def kill(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except OSError:
            pass


def waits_for_a_cell(pid):
    """Whether the process reads its standard input; None where the system does not tell."""
    try:
        with open(f"/proc/{pid}/syscall") as file:
            words = file.read().split()
    except OSError:
        return None
    read = {"x86_64": "0", "aarch64": "63"}.get(os.uname().machine)
    return None if read is None or not words else words[:2] == [read, "0x0"]


def crate_of(pid):
    """The crate that a rustc compiles."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().split(b"\0")
        return words[words.index(b"--crate-name") + 1].decode()
    except (OSError, ValueError, IndexError):
        return None


class Cell:
    """An execute_request that evcxr has."""

    def __init__(self, message):
        content = json.loads(message.parts[3])
        self.header, self.id, self.code = message.parts[0], message.id, content.get("code", "")
        self.stops = content.get("stop_on_error", True)
        self.started = time.monotonic()
        # evcxr's message that it is idle again: who reads it may ask for the next cell at once.
        self.idle = None
        # What its end was: (name, text, lines of it).
        self.failure = None
        # Reports of compilers that the page has: evcxr repeats what several lines of its own code have in common.
        self.reports = set()
        self.interrupts = 0
        # The interrupt waits for what evcxr does next.
        self.undecided = False
        # What stands in evcxr's error's place.
        self.instead = None
        self.told = False
        self.called = False
        self.reads = False
        self.compiling = None
        self.looked = time.monotonic()


class Message:
    """One of Jupyter's: whom it is for, and header, parent, metadata, content, buffers."""

    def __init__(self, frames):
        at = frames.index(DELIMITER)
        self.frames, self.idents, self.parts = frames, frames[:at], frames[at + 2 :]
        header = json.loads(self.parts[0])
        self.type, self.id = header["msg_type"], header["msg_id"]


def readable_report(text):
    """A compiler's, with the names that the notebook's reader knows."""
    return HEAD.sub("cell", LIBRARY.sub("rethink", text))


def counted_from_one(content):
    """evcxr calls the first cell the second."""
    if isinstance(content.get("execution_count"), int):
        content["execution_count"] -= 1
    return content


class Process:
    """The process that runs cells: its output, between which evcxr's own lines stand."""

    def __init__(self, relay, pid):
        self.relay, self.pid = relay, pid
        self.out, self.err, self.marks, self.talk = None, None, None, []
        self.line = bytearray()
        self.held = []
        self.content = False
        # Of `display` in the middle of a cell: MIME type to text.
        self.shown = None
        self.kind = None
        # What the cell has shown otherwise, MIME type to lines: evcxr would keep the last of each type.
        self.last_shown = {}
        self.decoders = {n: codecs.getincrementaldecoder("utf-8")("replace") for n in ("stdout", "stderr")}
        self.errors, self.errors_since = "", None

    def wrote(self, data):
        self.line += data
        while (end := self.line.find(b"\n")) >= 0:
            line = bytes(self.line[:end])
            del self.line[: end + 1]
            if self.content:
                self.within_content(line)
                continue
            mark = next((m for b in BEGINNINGS for m in [MARK.search(line, max(line.find(b), 0))] if m), None)
            if not mark:
                self.text(line + b"\n")
                continue
            self.text(line[: mark.start()])
            self.marked(line[mark.start() :])
        if not self.content:
            # The beginning of one of evcxr's lines waits for its end.
            self.text(self.take_unmarked())

    def take_unmarked(self):
        line = bytes(self.line)
        at = [line.find(b) for b in BEGINNINGS if line.find(b) >= 0]
        for b in BEGINNINGS:
            at += [len(line) - n for n in range(1, min(len(b), len(line) + 1)) if line.endswith(b[:n])]
        keep = min(at, default=len(line))
        del self.line[:keep]
        return line[:keep]

    def text(self, data):
        if data:
            self.relay.stream("stdout", self.decoders["stdout"].decode(data))

    def within_content(self, line):
        ends = line in (b"EVCXR_END_CONTENT", b"EVCXR_PANIC_NOTIFICATION")
        self.content = not ends
        if line == b"EVCXR_PANIC_NOTIFICATION":
            # In the middle of a value, which is not whole.
            if self.shown is None:
                self.last_shown.pop(self.kind, None)
            self.shown = None
            self.marked(line)
        elif self.shown is None:
            self.last_shown[self.kind].append(line)
        elif not ends:
            self.shown[self.kind] = self.shown.get(self.kind, "") + line.decode(errors="replace") + "\n"

    def marked(self, line):
        """One of evcxr's own lines: what was written before it on standard error is here already."""
        self.relay.drain(self.err)
        if line == b"RETHINK_DISPLAY_BEGIN":
            self.shown = {}
            return
        if line == b"RETHINK_DISPLAY_END":
            shown = {kind: text.rstrip("\n") for kind, text in (self.shown or {}).items()}
            self.shown = None
            self.relay.publish("display_data", {"data": shown, "metadata": {}, "transient": {}})
            return
        if line.startswith(b"EVCXR_BEGIN_CONTENT "):
            self.content = True
            self.kind = line.split(b" ", 1)[1].decode(errors="replace")
            if self.shown is None:
                if self.kind in self.last_shown:
                    self.publish_last_shown()
                self.last_shown[self.kind] = [line]
            return
        if line in (b"EVCXR_PANIC_NOTIFICATION", b"EVCXR_ERROR_OCCURRED"):
            if self.last_shown:
                self.publish_last_shown()
            self.relay.failed("Panic" if line == b"EVCXR_PANIC_NOTIFICATION" else "Error", self.take_errors())
        else:
            self.flush_errors()
        if line == b"EVCXR_EXECUTION_COMPLETE":
            self.shown = None
            # The last is evcxr's, as the cell's value.
            for held in self.last_shown.values():
                for each in held:
                    self.back(each)
            self.last_shown = {}
        if self.relay.cell and line.startswith(b"EVCXR_INPUT_REQUEST"):
            self.relay.cell.reads = True
        self.back(line)

    def publish_last_shown(self):
        """It is not the cell's value: another one is shown after it, or the cell failed."""
        shown, self.last_shown = self.last_shown, {}
        texts = {kind: b"\n".join(lines[1:-1]).decode(errors="replace") for kind, lines in shown.items()}
        self.relay.publish("display_data", {"data": texts, "metadata": {}, "transient": {}})

    def back(self, line=None):
        """Gives evcxr its line, once the way to it is open."""
        self.held += [line + b"\n"] if line is not None else []
        if self.marks:
            held, self.held = b"".join(self.held), []
            try:
                self.marks.sendall(held)
            except OSError:
                pass

    def complained(self, data):
        self.errors += self.decoders["stderr"].decode(data)
        self.errors_since = self.errors_since or time.monotonic()

    def flush_errors(self, late=False):
        """Says what stands on standard error; a panic's message, which a mark will follow, waits for it longer."""
        wait = 20 * PENDING if PANICKED.search(self.errors) else PENDING
        if self.errors and (not late or time.monotonic() - self.errors_since > wait):
            self.relay.stream("stderr", self.errors)
            self.errors, self.errors_since = "", None

    def take_errors(self):
        said, self.errors, self.errors_since = self.errors, "", None
        return said


class Relay:
    def __init__(self, folder, lock, evcxr, connection, env):
        self.folder, self.lock, self.env = folder, lock, env
        self.evcxr_program = evcxr
        with open(connection) as file:
            self.outer = json.load(file)
        self.key = self.outer["key"].encode()
        self.session = uuid.uuid4().hex
        self.sockets = self.socket_folder()
        self.cell, self.last = None, b"{}"
        self.queue = deque()
        self.information = None
        # What evcxr was asked for at a cursor and has not answered: since when, and where `BEFORE` was put in.
        self.asked = {}
        # When evcxr itself panicked, and whether it has said that it cannot go on.
        self.panicked, self.lost = None, False
        self.ready = self.heard = False
        self.texts = []
        self.live, self.waiting_hello = {}, {}
        self.ended = False
        self.parent = os.getppid()

    # Starting and ending.

    def socket_folder(self):
        """A folder of this user alone with a short path, as a socket's has to be; of a killed kernel's, nothing is left."""
        note = self.folder.with_name(self.folder.name + ".sockets")
        try:
            old = Path(note.read_text())
            if old.name.startswith("rethink-kernel-") and old.stat().st_uid == os.getuid():
                shutil.rmtree(old, ignore_errors=True)
        except OSError:
            pass
        folder = Path(tempfile.mkdtemp(prefix="rethink-kernel-"))
        note.write_text(str(folder))
        return folder

    def start(self):
        path = self.sockets / "live"
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(path))
        self.listener.listen(64)
        self.listener.setblocking(False)
        self.env["RETHINK_KERNEL_LIVE"] = str(path)
        names = ["shell_port", "iopub_port", "stdin_port", "control_port", "hb_port"]
        holders = [socket.socket() for _ in names]
        for holder in holders:
            holder.bind(("127.0.0.1", 0))
        self.inner = {name: holder.getsockname()[1] for name, holder in zip(names, holders)}
        self.inner.update(
            transport="tcp", ip="127.0.0.1", key=self.outer["key"], signature_scheme="hmac-sha256"
        )
        control = self.sockets / "evcxr.json"
        control.write_text(json.dumps(self.inner))
        for holder in holders:
            holder.close()
        own = os.getpid()

        def dies_with_this():
            if sys.platform == "linux":
                ctypes.CDLL(None).prctl(1, signal.SIGKILL)
                if os.getppid() != own:
                    os._exit(1)

        self.evcxr = subprocess.Popen(
            [self.evcxr_program, "--control_file", str(control)],
            env=self.env,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=[self.lock.fileno()],
            preexec_fn=dies_with_this,
        )
        threading.Thread(target=self.overhear, daemon=True).start()

    def overhear(self):
        """evcxr's own standard error goes to the log, where Jupyter keeps one; a panic in it is noticed."""
        for line in self.evcxr.stderr:
            if b" panicked at " in line:
                self.panicked = time.monotonic()
            # Whatever held it has panicked.
            self.lost = self.lost or b"PoisonError" in line
            try:
                sys.stderr.buffer.write(line)
                sys.stderr.buffer.flush()
            except (OSError, ValueError):
                pass

    def connect(self):
        # Here and not above: evcxr starts meanwhile.
        import zmq

        self.zmq = zmq
        context = self.context = zmq.Context(1)

        def outer(kind, name):
            made = context.socket(kind)
            made.linger = 1000
            transport, ip, port = self.outer["transport"], self.outer["ip"], self.outer[name]
            made.bind(f"{transport}://{ip}:{port}" if transport == "tcp" else f"{transport}://{ip}-{port}")
            return made

        def inner(kind, name):
            made = context.socket(kind)
            made.linger = 0
            made.reconnect_ivl = 10
            # evcxr sends a question for input to the one that asked it to execute.
            if kind == zmq.DEALER:
                made.identity = b"relay"
            if kind == zmq.SUB:
                made.subscribe(b"")
                made.rcvhwm = 0
            made.connect(f"tcp://127.0.0.1:{self.inner[name]}")
            return made

        self.shell, self.control = outer(zmq.ROUTER, "shell_port"), outer(zmq.ROUTER, "control_port")
        self.stdin, self.heart = outer(zmq.ROUTER, "stdin_port"), outer(zmq.REP, "hb_port")
        self.iopub = outer(zmq.PUB, "iopub_port")
        self.to_shell, self.to_stdin = inner(zmq.DEALER, "shell_port"), inner(zmq.DEALER, "stdin_port")
        self.from_iopub = inner(zmq.SUB, "iopub_port")
        self.poller = zmq.Poller()
        for one in (
            self.shell,
            self.control,
            self.stdin,
            self.heart,
            self.to_shell,
            self.to_stdin,
            self.from_iopub,
            self.listener,
        ):
            self.poller.register(one, zmq.POLLIN)

    def end(self, status):
        """Ends everything: evcxr, the process that runs cells, what compiles for them, this."""
        if self.ended:
            return
        self.ended = True
        table = processes()
        kill([self.evcxr.pid, *below(self.evcxr.pid, table)], signal.SIGKILL)
        self.evcxr.wait()
        shutil.rmtree(self.sockets, ignore_errors=True)
        self.folder.with_name(self.folder.name + ".sockets").unlink(missing_ok=True)
        if hasattr(self, "context"):
            self.context.destroy(linger=1000)
        os._exit(status)

    # Jupyter's messages.

    def sign(self, parts):
        if not self.key:
            return b""
        made = hmac.new(self.key, digestmod="sha256")
        for part in parts[:4]:
            made.update(part)
        return made.hexdigest().encode()

    def frames(self, kind, parent, content, idents=(), metadata={}):
        header = {
            "msg_id": uuid.uuid4().hex,
            "session": self.session,
            "username": "kernel",
            "date": datetime.now(timezone.utc).isoformat(),
            "msg_type": kind,
            "version": "5.3",
        }
        parts = [json.dumps(header).encode(), parent, json.dumps(metadata).encode(), json.dumps(content).encode()]
        return [*idents, DELIMITER, self.sign(parts), *parts]

    def publish(self, kind, content, parent=None):
        self.flush_texts()
        parent = parent or (self.cell.header if self.cell else self.last)
        self.iopub.send_multipart(self.frames(kind, parent, content, [kind.encode()]))

    def reply(self, message, kind, content, channel=None):
        frames = self.frames(kind, message.parts[0], content, message.idents)
        (channel or self.shell).send_multipart(frames)

    def answer(self, message, kind, content):
        """Answers a request in evcxr's place."""
        self.publish("status", {"execution_state": "busy"}, message.parts[0])
        self.reply(message, kind, content)
        self.publish("status", {"execution_state": "idle"}, message.parts[0])

    def stream(self, name, text):
        if text:
            if self.texts and self.texts[-1][0] == name:
                self.texts[-1][1].append(text)
            else:
                self.texts.append((name, [text]))

    def flush_texts(self):
        texts, self.texts = self.texts, []
        for name, parts in texts:
            self.publish("stream", {"name": name, "text": "".join(parts)})

    def failed(self, name, said):
        """The cell that runs panicked, or a `?` in it returned an error, and `said` so."""
        cell = self.cell
        panic = PANICKED.search(said) if name == "Panic" else None
        if panic:
            before, said = said[: panic.start()].strip("\n"), said[panic.start() :]
            self.stream("stderr", before and before + "\n")
        returned = RETURNED.search(said) if name == "Error" else None
        if returned:
            said = said[: returned.start()]
        lines = [line for line in said.splitlines() if line.strip() and not BACKTRACE.match(line)]
        where = self.line_of_cell(int(returned[1])) if returned else None
        if panic:
            place, number = panic[1], int(panic[2])
            lines = lines[1:]
            where = self.line_of_cell(number) if place == "src/lib.rs" else f"{place}:{number}"
        evalue = "\n".join(lines) or "the cell panicked"
        head = f"{name.lower()}: {lines[0]}" if lines else evalue
        if name == "Error":
            head = lines[0] if lines else "error"
        traceback = [head, *lines[1:], *([f"  at {where}"] if where else [])]
        if not cell:
            self.stream("stderr", "\n".join(traceback) + "\n")
            return
        if cell.failure:
            return
        cell.failure = {"ename": name, "evalue": evalue, "traceback": traceback}
        if self.instead_of_error(cell):
            return
        self.publish("error", cell.failure)

    def line_of_cell(self, number):
        """The cell's line that stands in line `number` of the source which evcxr wrote."""
        try:
            with open(self.folder / "src" / "lib.rs", encoding="utf-8") as file:
                generated = file.read().splitlines()[number - 1].strip()
        except (OSError, IndexError):
            return None
        lines = [line.strip().rstrip(";") for line in self.cell.code.splitlines()] if self.cell else []
        same = [n for n, line in enumerate(lines) if line and line == generated.rstrip(";")]
        return f"line {same[0] + 1} of the cell: {lines[same[0]]}" if len(same) == 1 else None

    def instead_of_error(self, cell):
        """Says what stands in the place of evcxr's error, once; False where nothing does."""
        if cell.instead and not cell.told:
            cell.told = True
            cell.failure = {
                "ename": "Interrupted",
                "evalue": cell.instead,
                "traceback": [cell.instead],
            }
            self.publish("error", cell.failure)
        return bool(cell.instead)

    # From Jupyter.

    def from_shell(self):
        for frames in self.all_of(self.shell):
            message = Message(frames)
            if message.type == "kernel_info_request" and self.information:
                self.answer(message, "kernel_info_reply", self.information)
                continue
            self.queue.append(message)
        self.forward()

    def ask_otherwise(self, message):
        """Changes a request for what is at a cursor so that evcxr can answer it."""
        content, put_in = json.loads(message.parts[3]), None
        try:
            if message.type == "inspect_request":
                content["cursor_pos"] = behind_name(content["code"], content["cursor_pos"])
            elif changed := as_statement(content["code"], content["cursor_pos"]):
                content["code"], content["cursor_pos"], put_in = changed
        except (KeyError, TypeError):
            # Not as Jupyter asks: evcxr is to answer it.
            pass
        self.asked[message.id] = (time.monotonic(), put_in)
        self.resign(message, content)

    def resign(self, message, content):
        message.parts[3] = json.dumps(content).encode()
        message.frames = [*message.idents, DELIMITER, self.sign(message.parts[:4]), *message.parts]

    def answered_otherwise(self, message, parent):
        """What evcxr says of positions, where more stood in what it was asked; and what a completion puts in."""
        _, put_in = self.asked.pop(parent.get("msg_id"), (None, None))
        if message.type != "complete_reply":
            return
        content = json.loads(message.parts[3])
        for where in ("cursor_start", "cursor_end"):
            if put_in is not None and isinstance(content.get(where), int) and content[where] > put_in:
                content[where] -= len(BEFORE)
        # JupyterLab puts in what it shows.
        for kind in (content.get("metadata") or {}).get("_jupyter_types_experimental") or []:
            if name := NAME.match(kind.get("text") or ""):
                kind["text"] = name[0]
        self.resign(message, content)

    def give_up_on_evcxr(self):
        """After a panic of its own, evcxr may answer nothing more: a kernel that ends is started again, one that hangs is not."""
        if self.panicked is None:
            return
        waited = time.monotonic() - self.panicked >= RECOVERS
        since = [asked for asked, _ in self.asked.values()] + ([self.cell.started] if self.cell else [])
        if self.lost or (waited and any(asked <= self.panicked for asked in since)):
            self.publish("stream", {"name": "stderr", "text": f"evcxr, which compiles cells, has failed. {LOST}\n"})
            self.end(1)
        if waited:
            self.panicked = None

    def forward(self):
        while self.ready and self.queue and not self.cell:
            message = self.queue.popleft()
            if message.type == "execute_request":
                self.cell = Cell(message)
                self.last = message.parts[0]
            elif message.type in ("complete_request", "inspect_request"):
                self.ask_otherwise(message)
            self.to_shell.send_multipart(message.frames)

    def abort_queue(self):
        for frames in self.all_of(self.shell):
            self.queue.append(Message(frames))
        waiting, self.queue = self.queue, deque()
        for message in waiting:
            if message.type == "execute_request":
                self.answer(message, "execute_reply", {"status": "aborted"})
            else:
                self.queue.append(message)

    def from_control(self):
        for frames in self.all_of(self.control):
            message = Message(frames)
            if message.type == "interrupt_request":
                if self.cell:
                    self.cell.undecided = True
                    self.interrupt()
                self.reply(message, "interrupt_reply", {"status": "ok"}, self.control)
            elif message.type == "shutdown_request":
                restart = bool(json.loads(message.parts[3]).get("restart"))
                content = {"status": "ok", "restart": restart}
                self.publish("shutdown_reply", content, message.parts[0])
                self.reply(message, "shutdown_reply", content, self.control)
                self.end(0)
            elif message.type == "kernel_info_request" and self.information:
                self.reply(message, "kernel_info_reply", self.information, self.control)

    def from_stdin(self):
        for frames in self.all_of(self.stdin):
            if self.cell:
                self.cell.reads = False
            self.to_stdin.send_multipart(frames)

    # From evcxr.

    def evcxr_replied(self):
        for frames in self.all_of(self.to_shell):
            message = Message(frames)
            parent = json.loads(message.parts[1])
            if parent.get("session") == self.session:
                self.information = json.loads(message.parts[3])
                continue
            # What evcxr published before it replied.
            self.evcxr_published()
            self.drain_all()
            self.flush_texts()
            if message.type == "execute_reply" and self.cell:
                self.finish(message)
            else:
                self.answered_otherwise(message, parent)
                self.shell.send_multipart(message.frames)
        self.forward()

    def finish(self, message):
        cell = self.cell
        content = counted_from_one(json.loads(message.parts[3]))
        if cell.instead and content.get("status") != "ok":
            self.instead_of_error(cell)
        self.say_compiling(None)
        if cell.failure:
            content = {"execution_count": content.get("execution_count"), "status": "error", **cell.failure}
        elif content.get("status") == "error":
            content = {"ename": "Error", "evalue": "", "traceback": [], **content}
        # What stands in the queue goes with it, before anybody can answer to the failure.
        if content["status"] == "error" and cell.stops:
            self.abort_queue()
        self.cell = None
        # Whether all that the cell wrote has been published: of what comes through evcxr, nobody knows that.
        whole = {"whole": bool(self.live)}
        frames = self.frames("execute_reply", message.parts[1], content, message.idents, whole)
        self.shell.send_multipart(frames)
        if cell.idle:
            cell.idle.parts[2] = json.dumps(whole).encode()
            self.resign(cell.idle, json.loads(cell.idle.parts[3]))
            self.iopub.send_multipart(cell.idle.frames)

    def evcxr_published(self):
        for frames in self.all_of(self.from_iopub):
            message = Message(frames)
            self.heard = True
            parent = json.loads(message.parts[1])
            if parent.get("session") == self.session:
                continue
            if message.type in ("execute_input", "execute_result"):
                self.resign(message, counted_from_one(json.loads(message.parts[3])))
            if message.type == "error":
                self.resign(message, json.loads(readable_report(message.parts[3].decode(errors="replace"))))
            if message.type == "error" and self.cell:
                self.drain_all()
                if self.instead_of_error(self.cell) or message.parts[3] in self.cell.reports:
                    continue
                self.cell.reports.add(message.parts[3])
                if not self.cell.failure:
                    error = json.loads(message.parts[3])
                    self.cell.failure = {k: error.get(k) for k in ("ename", "evalue", "traceback")}
            self.flush_texts()
            of_cell = self.cell and parent.get("msg_id") == self.cell.id
            if of_cell and message.type == "status" and json.loads(message.parts[3])["execution_state"] == "idle":
                # It waits for the reply: the cells that have to be aborted are so before, and none that is asked for after.
                self.cell.idle = message
                continue
            self.iopub.send_multipart(message.frames)

    def evcxr_asks(self):
        for frames in self.all_of(self.to_stdin):
            self.flush_texts()
            self.stdin.send_multipart(frames)

    def all_of(self, channel):
        while True:
            try:
                yield channel.recv_multipart(self.zmq.NOBLOCK)
            except self.zmq.Again:
                return

    # The process that runs cells.

    def accept(self):
        while True:
            try:
                made, _ = self.listener.accept()
            except OSError:
                return
            made.setblocking(False)
            self.waiting_hello[made.fileno()] = (made, bytearray())
            self.poller.register(made, self.zmq.POLLIN)

    def hello(self, number):
        made, seen = self.waiting_hello[number]
        # Byte by byte: what comes behind the line is output.
        while not seen.endswith(b"\n"):
            try:
                byte = made.recv(1)
            except BlockingIOError:
                return
            except OSError:
                byte = b""
            if not byte or len(seen) > 64:
                del self.waiting_hello[number]
                self.poller.unregister(made)
                made.close()
                return
            seen += byte
        del self.waiting_hello[number]
        what, pid = seen.decode().split()
        process = self.live.setdefault(int(pid), Process(self, int(pid)))
        if what == "talk":
            process.talk.append([made, bytearray()])
        else:
            setattr(process, what, made)
            if what == "marks":
                made.setblocking(True)
                self.poller.unregister(made)
                process.back()

    def find(self, number):
        for process in self.live.values():
            if process.out and process.out.fileno() == number:
                return process, process.out, process.wrote
            if process.err and process.err.fileno() == number:
                return process, process.err, process.complained
            for talk in process.talk:
                if talk[0].fileno() == number:
                    return process, talk[0], lambda data: self.talked(process, talk, data)
        return None

    def drain(self, made):
        """Reads what there is, as far as 1 MB; closes what has ended."""
        if made is None or made.fileno() < 0:
            return
        found = self.find(made.fileno())
        if not found:
            return
        process, made, to = found
        for _ in range(16):
            try:
                data = made.recv(65536)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self.close(process, made)
                return
            to(data)
            if made.fileno() < 0:
                return

    def drain_all(self):
        for process in list(self.live.values()):
            for made in [process.out, process.err, *(talk[0] for talk in process.talk)]:
                self.drain(made)
            process.flush_errors()

    def close(self, process, made):
        self.poller.unregister(made)
        made.close()
        if made is process.out:
            process.out = None
            # The process has ended: what it wrote last.
            self.drain(process.err)
            process.text(bytes(process.line))
            process.flush_errors()
            process.line.clear()
        elif made is process.err:
            process.err = None
        else:
            process.talk = [talk for talk in process.talk if talk[0] is not made]
        if not (process.out or process.err or process.talk):
            if process.marks:
                process.marks.close()
            self.live.pop(process.pid, None)

    def talked(self, process, talk, data):
        self.drain(process.out)
        made, seen = talk
        seen += data
        while (end := seen.find(b"\n")) >= 0:
            said = json.loads(bytes(seen[:end]))
            del seen[: end + 1]
            if "call" in said:
                if self.cell:
                    self.cell.called = True
                self.send(made, b"stop\n" if self.cell and self.cell.interrupts else b"go\n")
            elif "show" in said:
                kind = "update_display_data" if said.get("again") else "display_data"
                transient = {"display_id": said["show"]}
                self.publish(kind, {"data": said["data"], "metadata": {}, "transient": transient})

    def send(self, made, data):
        try:
            made.setblocking(True)
            made.sendall(data)
            made.setblocking(False)
        except OSError:
            pass

    # Interrupts, and what takes long.

    def compilers(self, table):
        return below(self.evcxr.pid, table, skip=self.running(table))

    def running(self, table):
        """The process that runs cells: evcxr's own program once more."""
        own = table.get(self.evcxr.pid, (0, ""))[1]
        return [p for p, (parent, name) in table.items() if parent == self.evcxr.pid and name == own]

    def interrupt(self):
        """What the cell's undecided interrupt means, as far as that can be told."""
        cell = self.cell
        table = processes()
        running, compilers = self.running(table), self.compilers(table)
        if compilers:
            cell.instead = "interrupted while it compiled; nothing was run, and variables are as they were"
            # evcxr compiles a cell several times in its own ways.
            kill(compilers, signal.SIGTERM)
            return
        if cell.instead:
            return
        if running and not cell.reads and waits_for_a_cell(running[0]):
            return
        cell.undecided = False
        cell.interrupts += 1
        if cell.called and cell.interrupts == 1:
            for process in self.live.values():
                for talk in process.talk:
                    self.send(talk[0], b"stop\n")
            return
        why = (
            "the cell went on after the first interrupt, so the second ended its process."
            if cell.interrupts > 1
            else "only calls of the library rethink can end early, and the cell was in none, so its process was ended."
        )
        cell.instead = f"interrupted: {why} {LOST}"
        kill(running, signal.SIGKILL)

    def look(self):
        """At a cell that takes long."""
        cell = self.cell
        if cell.undecided:
            self.interrupt()
        now = time.monotonic()
        # Less often where it takes long.
        if now - cell.started < COMPILES or now - cell.looked < min(5.0, max(LOOK, (now - cell.started) / 20)):
            return
        cell.looked = now
        compilers = self.compilers(processes())
        crates = sorted({name for name in map(crate_of, compilers) if name})
        own = [name for name in crates if name != "ctx"] or (["this cell"] if crates else [])
        if compilers:
            what = ", ".join(name.replace("build_script_build", "a build script") for name in own[:4])
            self.say_compiling(f"compiling {what or 'for this cell'} ({now - cell.started:.0f} s)")
        else:
            self.say_compiling(None)

    def say_compiling(self, text):
        cell = self.cell
        if self.env.get("RETHINK_LIVE") == "0" or (cell.compiling is None and text is None):
            return
        kind = "display_data" if cell.compiling is None else "update_display_data"
        cell.compiling = cell.compiling or uuid.uuid4().hex
        data = {"text/plain": text or ""}
        self.publish(kind, {"data": data, "metadata": {}, "transient": {"display_id": cell.compiling}})

    def run(self):
        zmq = self.zmq
        calls = {
            self.shell: self.from_shell,
            self.control: self.from_control,
            self.stdin: self.from_stdin,
            self.to_shell: self.evcxr_replied,
            self.to_stdin: self.evcxr_asks,
            self.from_iopub: self.evcxr_published,
            self.heart: lambda: [self.heart.send_multipart(beat) for beat in self.all_of(self.heart)],
            self.listener.fileno(): self.accept,
        }
        try:
            watch = os.pidfd_open(self.evcxr.pid)
            self.poller.register(watch, zmq.POLLIN)
        except (AttributeError, OSError):
            watch = None
        asked = 0.0
        while True:
            if not self.ready and time.monotonic() - asked > 0.1:
                # Once its answer and what it publishes have come, evcxr hears and is heard.
                asked = time.monotonic()
                self.to_shell.send_multipart(self.frames("kernel_info_request", b"{}", {}))
            waits = 0.02 if not self.ready else 3.0 if watch and not self.asked else 0.5
            if self.cell:
                waits = 0.05 if self.cell.undecided or any(p.errors for p in self.live.values()) else LOOK
            for one, _ in self.poller.poll(waits * 1000):
                if one in calls:
                    calls[one]()
                elif one in self.waiting_hello:
                    self.hello(one)
                elif isinstance(one, int) and (found := self.find(one)):
                    self.drain(found[1])
            for process in list(self.live.values()):
                process.flush_errors(late=True)
            self.flush_texts()
            if not self.ready and self.information and self.heard:
                self.ready = True
                self.forward()
            if self.cell:
                self.look()
            self.give_up_on_evcxr()
            # Who started the kernel has died and can end it no more.
            if os.getppid() != self.parent:
                self.end(0)
            if self.evcxr.poll() is not None:
                self.end(self.evcxr.returncode if self.evcxr.returncode > 0 else 1)


def relay(folder, lock, evcxr, connection, env):
    """Runs the kernel in `folder` until Jupyter or evcxr ends it."""
    made = Relay(folder, lock, evcxr, connection, env)
    made.start()
    # As Jupyter asks a kernel to end that does not answer.
    signal.signal(signal.SIGTERM, lambda *_: made.end(0))
    try:
        made.connect()
        made.run()
    except BaseException as error:
        if not isinstance(error, (SystemExit, KeyboardInterrupt)):
            import traceback

            traceback.print_exc()
        made.end(1)
