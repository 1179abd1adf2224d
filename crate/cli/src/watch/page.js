"use strict";
(() => {
  const token = new URLSearchParams(location.search).get("token");
  const one = id => document.getElementById(id);
  // Milliseconds between two looks: while a run is in progress, and else.
  const SOON = 2000, LATER = 15000;
  // As many runs as there are colours to tell apart twice: solid, then dashed.
  const COLOURS = 8, MOST = 16;

  let runs = [], chosen = [], sort = null, lost = false;
  // Curves by key, as far as they have come.
  const curves = new Map();

  async function get(path) {
    const answer = await fetch(path, { headers: { Authorization: "token " + token } });
    if (!answer.ok) throw new Error(await answer.text());
    return answer.json();
  }

  // ---- the table

  const percent = v => (v == null ? "-" : (100 * v).toFixed(2));
  const reported = (run, what) => run.paper.filter(row => row[what] != null).map(row => row[what].toFixed(2)).join(" / ");
  const clock = seconds => {
    const then = new Date(seconds * 1000), days = (Date.now() - then) / 86400000;
    const time = then.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    return days < 1 ? time : then.toLocaleDateString() + " " + time;
  };
  const state = run => ({
    finished: run.ended,
    diverged: "diverged",
    running: run.since ? "running since " + clock(run.since) : "running",
    stopped: run.last ? "not running; last epoch " + clock(run.last) : "not running",
  })[run.state];
  const ORDER = { running: 0, stopped: 1, diverged: 2, finished: 3 };

  // Heading, class, text, what is sorted by.
  const COLUMNS = [
    ["model", "run", run => run.model || run.key, run => run.model || ""],
    ["data", "", run => run.data || "?", run => run.data || ""],
    ["corruption", "", run => run.corruption || "?", run => run.corruption || ""],
    ["n", "number", run => (run.n == null ? "?" : run.n.toLocaleString("en")), run => run.n || 0],
    ["width", "number extra", run => run.width ?? "?", run => run.width || 0],
    ["seed", "number extra", run => run.seed ?? "?", run => run.seed || 0],
    ["epochs", "number", run => (run.state === "finished" || run.of == null ? run.epochs : run.epochs + " / " + run.of), run => run.epochs],
    ["train %", "number", run => percent(run.train ?? run.batch), run => run.train ?? run.batch ?? -1],
    ["paper", "number paper", run => reported(run, "train"), run => +reported(run, "train").split(" ")[0] || -1],
    ["test %", "number", run => percent(run.test), run => run.test ?? -1],
    ["paper", "number paper", run => reported(run, "test"), run => +reported(run, "test").split(" ")[0] || -1],
    ["state", "state", state, run => ORDER[run.state]],
  ];

  function element(name, text, kind) {
    const made = document.createElement(name);
    if (text != null) made.textContent = text;
    if (kind) made.className = kind;
    return made;
  }

  function head() {
    one("head").append(element("th", ""));
    one("head").firstChild.setAttribute("aria-label", "in the charts");
    COLUMNS.forEach(([title, kind], index) => {
      const cell = element("th", null, kind), button = element("button", title);
      button.type = "button";
      button.onclick = () => {
        sort = sort && sort.index === index ? (sort.up ? { index, up: false } : null) : { index, up: true };
        [...one("head").children].forEach((th, i) => {
          const own = sort && i === sort.index + 1;
          own ? th.setAttribute("aria-sort", sort.up ? "ascending" : "descending") : th.removeAttribute("aria-sort");
        });
        table();
      };
      if (title === "paper") button.setAttribute("aria-label", "the paper's " + COLUMNS[index - 1][0]);
      cell.append(button);
      one("head").append(cell);
    });
  }

  const words = run => [run.model, run.data, run.corruption, run.setting, run.scale, run.key, run.state, run.ended,
    "n=" + run.n, "width=" + run.width, "seed=" + run.seed].join(" ").toLowerCase();

  function shown() {
    const wanted = one("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = runs.filter(run => wanted.every(word => words(run).includes(word)));
    if (sort) {
      const by = COLUMNS[sort.index][3], sign = sort.up ? 1 : -1;
      const order = (a, b) => (typeof a === "string" ? a.localeCompare(b) : a - b);
      found.sort((a, b) => sign * order(by(a), by(b)));
    }
    return found;
  }

  // A run keeps its colour as long as it is chosen, whatever else comes and goes.
  const slots = new Map();
  function slot(key) {
    if (!chosen.includes(key)) { slots.delete(key); return -1; }
    if (!slots.has(key)) {
      const taken = chosen.filter(other => slots.has(other)).map(other => slots.get(other));
      let free = 0;
      while (taken.includes(free)) free++;
      slots.set(key, free);
    }
    return slots.get(key);
  }
  const colour = key => getComputedStyle(document.documentElement).getPropertyValue("--c" + (slot(key) % COLOURS)).trim();

  function swatch(key) {
    const made = element("span", null, "swatch");
    const dashed = slot(key) >= COLOURS ? `repeating-linear-gradient(90deg, ${colour(key)} 0 5px, transparent 5px 8px)` : colour(key);
    made.style.background = dashed;
    return made;
  }

  // Rows are kept from look to look, so that the focus stays where it is.
  const kept = new Map();
  function row(run) {
    let made = kept.get(run.key);
    if (!made) {
      made = element("tr");
      const box = element("input");
      box.type = "checkbox";
      box.onchange = () => choose(run.key, box.checked);
      const cell = element("td");
      cell.append(box);
      made.append(cell, ...COLUMNS.map(([, kind]) => element("td", null, kind)));
      made.onclick = event => {
        if (event.target === box || getSelection().toString()) return;
        box.checked = !box.checked;
        box.onchange();
      };
      kept.set(run.key, made);
    }
    const box = made.firstChild.firstChild, index = slot(run.key);
    box.checked = index >= 0;
    box.setAttribute("aria-label", label(run));
    made.className = index >= 0 ? "chosen" : "";
    made.firstChild.lastChild === box || made.firstChild.lastChild.remove();
    if (index >= 0) made.firstChild.append(swatch(run.key));
    COLUMNS.forEach(([, , text], i) => {
      const cell = made.children[i + 1], said = String(text(run));
      if (i === 0) {
        if (cell.dataset.said === said + run.setting) return;
        cell.dataset.said = said + run.setting;
        cell.replaceChildren(said);
        if (run.setting) cell.append(element("div", run.setting, "more"));
        cell.title = run.key;
      } else if (cell.textContent !== said) cell.textContent = said;
      if (COLUMNS[i][0] === "train %") {
        const batches = run.train == null && run.batch != null;
        cell.classList.toggle("batches", batches);
        cell.title = batches ? "on the last batches; the whole training set has not been measured" : "";
      }
      if (cell.classList.contains("paper")) cell.title = run.paper.map(row => row.table).join(", ");
    });
    const last = made.lastChild;
    last.className = "state " + run.state;
    return made;
  }

  function table() {
    const found = shown(), rows = found.map(row), body = one("rows");
    const same = rows.length === body.children.length && rows.every((r, i) => body.children[i] === r);
    if (!same) {
      const focus = document.activeElement;
      body.replaceChildren(...rows);
      if (focus && body.contains(focus)) focus.focus();
    }
    one("count").textContent = runs.length ? found.length + " of " + runs.length + " runs" : "no runs yet";
  }

  // ---- what is chosen

  function choose(key, on) {
    chosen = chosen.filter(other => other !== key);
    if (on) chosen.push(key);
    chosen = chosen.slice(-MOST);
    table();
    draw();
    more();
  }

  async function more() {
    const wanted = chosen.filter(key => {
      const run = runs.find(run => run.key === key), curve = curves.get(key);
      return run && (!curve || !curve.whole);
    });
    if (!wanted.length) return;
    try {
      const query = wanted.map(key => "run=" + key + ":" + (curves.get(key)?.step.length || 0)).join("&");
      const ended = new Set(runs.filter(run => run.state === "finished" || run.state === "diverged").map(run => run.key));
      const found = await get("/api/curves?" + query);
      let grown = false;
      for (const [key, part] of Object.entries(found)) {
        const before = curves.get(key), own = before && part.from === before.step.length && part.from > 0 ? before : {};
        const now = {};
        for (const name of ["step", "epoch", "loss", "batch", "train", "test"]) now[name] = (own[name] || []).concat(part[name]);
        // A look at the store that came later than the list of runs has all of a run that the list calls finished.
        now.whole = ended.has(key) && now.step.length === part.total;
        grown ||= !before || now.step.length !== before.step.length || now.whole !== before.whole;
        curves.set(key, now);
      }
      if (grown) draw();
    } catch (error) { said(error); }
  }

  // ---- the charts

  const control = name => document.forms.controls.elements[name];
  const label = run => [run.model || run.key, run.corruption, run.setting, run.width === 1 || run.width == null ? "" : "width " + run.width,
    run.data, run.seed == null ? "" : "seed " + run.seed].filter(Boolean).join(", ");

  function xs(curve) {
    if (control("x").value === "step") return curve.step;
    // The first epoch's last row stands at its end.
    const first = curve.epoch[0], steps = curve.epoch.lastIndexOf(first);
    const each = curve.step[steps] / first || 1;
    return curve.step.map(step => step / each);
  }

  const charts = {};
  let drawn = "";

  function draw() {
    const there = chosen.filter(key => curves.has(key));
    const style = getComputedStyle(document.documentElement), of = name => style.getPropertyValue(name).trim();
    const log = control("scale").value === "log", epochs = control("x").value === "epoch";
    const times100 = values => values.map(v => (v == null ? null : 100 * v));
    // Adam's and every long run's loss can be 0, which has no logarithm.
    const positive = values => values.map(v => (v > 0 ? v : null));
    const lossTables = [], accuracyTables = [], lossSeries = [{}], accuracySeries = [{}], paper = [];
    there.forEach(key => {
      const curve = curves.get(key), x = xs(curve), run = runs.find(run => run.key === key);
      const dash = slot(key) >= COLOURS ? [7, 4] : undefined;
      const line = (extra) => ({ stroke: colour(key), width: 1.6, spanGaps: true, points: { show: x.length < 3 }, dash, ...extra });
      lossTables.push([x, log ? positive(curve.loss) : curve.loss]);
      lossSeries.push(line());
      const columns = [x];
      if (control("batch").checked) { columns.push(times100(curve.batch)); accuracySeries.push(line({ width: 0.8, alpha: 0.75 })); }
      if (control("train").checked) {
        columns.push(times100(curve.train));
        accuracySeries.push(line({ dash: [], width: 1, points: { show: true, size: 6, fill: of("--ground"), width: 1.6 } }));
      }
      if (control("test").checked) {
        columns.push(times100(curve.test));
        accuracySeries.push(line({ width: 2.4, points: { show: true, size: 4, fill: colour(key) } }));
      }
      if (columns.length > 1) accuracyTables.push(columns);
      if (run && control("paper").checked) run.paper.filter(row => row.test != null).forEach(row => paper.push([row.test, colour(key)]));
    });
    const power = v => Math.abs(Math.log10(v) - Math.round(Math.log10(v))) < 1e-6;
    // Of a logarithmic axis: lines and numbers at powers of ten, where there are several.
    const tens = (plot, splits) => splits.map(v => (power(v) || plot.scales.y.max / plot.scales.y.min < 20 ? v : null));
    const plain = v => (v == null ? "" : v >= 1e-3 || v === 0 ? String(+v.toPrecision(3)) : v.toExponential().replace("-", "\u2212"));
    const axis = { stroke: of("--quiet"), grid: { stroke: of("--grid"), width: 1 }, ticks: { stroke: of("--rule"), width: 1 }, font: "12px system-ui" };
    const ordinate = y => (y.distr === 3
      ? { ...axis, size: 62, filter: tens, grid: { ...axis.grid, filter: tens }, values: (plot, splits) => splits.map(plain) }
      : { ...axis, size: 62 });
    const chart = (id, tables, series, y, hooks) => {
      const place = one(id), joined = tables.length ? uPlot.join(tables) : [[]];
      const size = { width: place.clientWidth, height: place.clientHeight };
      // As long as only rows are added, the chart stays, and with it what was zoomed into.
      const form = JSON.stringify([series, y.distr, epochs, of("--ground"), paper]);
      if (charts[id] && charts[id].form === form) {
        const zoomed = charts[id].zoomed();
        charts[id].plot.setData(joined, !zoomed);
        return;
      }
      charts[id]?.plot.destroy();
      const plot = new uPlot({
        ...size, series, hooks: { ...hooks, setCursor: [follow] },
        scales: { x: { time: false }, y },
        axes: [{ ...axis, label: epochs ? "epoch" : "step", labelSize: 18, labelFont: "12px system-ui", size: 34 }, ordinate(y)],
        cursor: { sync: { key: "rethink" }, drag: { x: true, y: false } },
        legend: { show: false },
      }, joined, place);
      const zoomed = () => {
        const x = plot.scales.x, data = plot.data[0];
        return data.length > 0 && x.min != null && (x.min > data[0] || x.max < data[data.length - 1]);
      };
      charts[id] = { plot, form, zoomed };
    };
    const lines = plot => {
      const { ctx, bbox } = plot;
      ctx.save();
      ctx.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio]);
      ctx.lineWidth = 1.4 * devicePixelRatio;
      for (const [value, stroke] of paper) {
        const y = Math.round(plot.valToPos(value, "y", true));
        ctx.strokeStyle = stroke;
        ctx.beginPath();
        ctx.moveTo(bbox.left, y);
        ctx.lineTo(bbox.left + bbox.width, y);
        ctx.stroke();
      }
      ctx.restore();
    };
    chart("loss", lossTables, lossSeries, log ? { distr: 3 } : { distr: 1 });
    chart("accuracy", accuracyTables, accuracySeries, { distr: 1, range: [0, 100] }, { draw: [lines] });
    const listed = one("legend"), now = there.join();
    if (drawn !== now || listed.dataset.ground !== of("--ground")) {
      drawn = now;
      listed.dataset.ground = of("--ground");
      listed.replaceChildren(...there.map(key => {
        const run = runs.find(run => run.key === key), made = element("li");
        made.append(swatch(key), element("span", run ? label(run) : key), element("span", "", "at"));
        made.dataset.key = key;
        return made;
      }));
    }
    one("hint").textContent = there.length
      ? "Test: thick. Training batches: thin. Training set: circles. Dotted: the paper's test accuracy. Drag to zoom, double-click to leave."
      : "Choose runs in the table below: click a row, or the space bar on its box; arrow keys move, / filters.";
    values();
  }

  // Under the cursor, or at the end.
  let at = null;
  function follow(plot) {
    const now = plot.cursor.left >= 0 && plot.data[0].length ? plot.posToVal(plot.cursor.left, "x") : null;
    if (now !== at) { at = now; values(); }
  }
  function values() {
    for (const item of one("legend").children) {
      const curve = curves.get(item.dataset.key);
      if (!curve || !curve.step.length) continue;
      const x = xs(curve);
      let i = x.length - 1;
      if (at != null) while (i > 0 && x[i] > at) i--;
      const last = values => { for (let j = i; j >= 0; j--) if (values[j] != null) return values[j]; return null; };
      item.lastChild.textContent = "step " + curve.step[i].toLocaleString("en") + ", epoch " + curve.epoch[i] +
        ": loss " + (curve.loss[i] == null ? "not a number" : curve.loss[i].toPrecision(3)) + ", batches " + percent(curve.batch[i]) + " %" +
        (last(curve.test) == null ? "" : ", test " + percent(last(curve.test)) + " %");
    }
  }

  // ---- from look to look

  function said(error) {
    lost = Boolean(error);
    const link = one("link");
    link.className = lost ? "lost" : "";
    const text = !lost ? "" : error instanceof TypeError ? "`rethink watch` does not answer; trying again" : error.message;
    if (lost) link.textContent = text;
  }

  async function look() {
    let busy = false;
    try {
      const found = await get("/api/runs");
      const first = !runs.length;
      runs = found.runs;
      // A run that was stopped and begun anew, or is finished now, is asked for again.
      busy = runs.some(run => run.state === "running");
      const count = what => runs.filter(run => run.state === what).length;
      const parts = [[count("running"), "in progress"], [count("stopped"), "not running"], [count("diverged"), "diverged"], [count("finished"), "finished"]];
      one("about").textContent = found.store + ": " + (parts.filter(([n]) => n).map(([n, what]) => n + " " + what).join(", ") || "empty");
      said(null);
      one("link").textContent = "looks every " + (busy ? SOON : LATER) / 1000 + " s";
      const others = one("others");
      others.hidden = !found.passed_over.length;
      const many = found.passed_over.length;
      others.firstChild.textContent = many === 1 ? "1 file that is no run is passed over" : many + " files that are no runs are passed over";
      others.lastChild.replaceChildren(...found.passed_over.map(other => element("li", other.path + ": " + other.reason)));
      // What is in progress is what one has come to see.
      if (first && !chosen.length) chosen = runs.filter(run => run.state === "running").slice(0, 4).map(run => run.key);
      table();
      await more();
      if (!Object.keys(charts).length) draw();
    } catch (error) { said(error); }
    setTimeout(look, busy || lost ? SOON : LATER);
  }

  // ---- what is pressed

  document.addEventListener("keydown", event => {
    const typing = event.target === one("filter");
    if (event.key === "/" && !typing) { event.preventDefault(); one("filter").focus(); }
    if (event.key === "Escape" && typing) { one("filter").value = ""; table(); }
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const boxes = [...one("rows").querySelectorAll("input")], here = boxes.indexOf(document.activeElement);
      if (here < 0 && !(typing && event.key === "ArrowDown")) return;
      const next = boxes[here + (event.key === "ArrowDown" ? 1 : -1)];
      if (next || here === 0) { event.preventDefault(); (next || one("filter")).focus(); }
    }
  });
  one("filter").oninput = table;
  one("overlay").onclick = () => { chosen = shown().slice(0, MOST).map(run => run.key); table(); draw(); more(); };
  one("clear").onclick = () => { chosen = []; table(); draw(); };
  document.forms.controls.onchange = draw;
  document.forms.controls.onsubmit = event => event.preventDefault();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { table(); draw(); });
  new ResizeObserver(() => {
    for (const [id, { plot }] of Object.entries(charts)) plot.setSize({ width: one(id).clientWidth, height: one(id).clientHeight });
  }).observe(one("charts"));

  head();
  draw();
  look();
})();
