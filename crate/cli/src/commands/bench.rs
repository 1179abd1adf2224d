//! `rethink bench`.

use crate::bench::{Best, Timing};
use crate::commands::runs::terminal_table;
use crate::{Result, bench, jupyter};
use rethink_nn::device::Device;
use rethink_nn::models::ModelKind;
use rethink_nn::precision::Precision;
use serde_json::{Value, json};
use std::path::Path;

/// Turns of each side, unless something else is asked for.
pub const TURNS: u64 = 9;

/// Measures `models`, or every one where none is named, on `device`, and prints a table or a line of JSON each.
pub fn bench(
    device: Device,
    models: &[ModelKind],
    peer: Option<&Path>,
    turns: u64,
    json: bool,
) -> Result<()> {
    let models = if models.is_empty() { &ModelKind::ALL } else { models };
    let rates =
        bench::measure(device, models, peer, turns as usize, &mut |line| rethink_plot::tell!("{line}"))?;
    if json {
        for rate in &rates {
            let best = |best: &Option<Best>| best.as_ref().map(|best| best.rate);
            let variant = |best: &Option<Best>| best.as_ref().map(|best| best.variant.clone());
            println!(
                "{}",
                json!({
                    "model": rate.model.name(), "device": device.to_string(), "ours": rate.ours, "ours_bf16": rate.ours_bf16, "of_peak": rate.of_peak,
                    "peer": best(&rate.peer), "variant": variant(&rate.peer), "ratio": rate.ratio(),
                    "peer_bf16": best(&rate.peer_bf16), "variant_bf16": variant(&rate.peer_bf16), "ratio_bf16": rate.ratio_bf16(),
                    "ours_memory": rate.ours_memory, "peer_memory": rate.peer_memory,
                })
            );
        }
        return Ok(());
    }
    let mut header = vec!["model", "rethink, images/s", "of the peak", "peak MiB", "in bf16"];
    if peer.is_some() {
        header.extend(["PyTorch at its best", "ratio", "peak MiB of it", "PyTorch in bf16", "ratio in bf16"]);
    }
    let mut table = terminal_table(&header);
    for rate in &rates {
        let optional = |v: Option<f64>, digits: usize| v.map_or("-".into(), |v| format!("{v:.digits$}"));
        let mebibytes = |v: Option<u64>| v.map_or("-".into(), |v| (v >> 20).to_string());
        let digits = if rate.ours < 100.0 { 2 } else { 0 };
        let best = |best: &Option<Best>| {
            best.as_ref().map_or("-".into(), |best| {
                format!("{:.digits$}, {}", best.rate, best.variant.replace("bf16+", ""))
            })
        };
        let mut row = vec![
            rate.model.title().to_string(),
            optional(Some(rate.ours), digits),
            rate.of_peak.map_or("-".into(), percent),
            mebibytes(rate.ours_memory),
            optional(rate.ours_bf16, digits),
        ];
        if peer.is_some() {
            row.extend([
                best(&rate.peer),
                optional(rate.ratio(), 2),
                mebibytes(rate.peer_memory),
                best(&rate.peer_bf16),
                optional(rate.ratio_bf16(), 2),
            ]);
        }
        table.add_row(row);
    }
    println!("{table}");
    Ok(())
}

fn percent(part: f64) -> String {
    format!("{:.0} %", 100.0 * part)
}

/// Measures each convolution and fully connected layer of `model` on the processor, and prints a table or a line of JSON each.
pub fn layers(model: ModelKind, precision: Precision, json: bool) -> Result<()> {
    let measured = bench::layers::measure(model, precision, &mut |line| rethink_plot::tell!("{line}"))?;
    if json {
        for layer in &measured {
            println!(
                "{}",
                json!({ "layer": layer.name, "kind": layer.kind, "flop": layer.work, "seconds": layer.seconds, "of_peak": layer.of_peak() })
            );
        }
        return Ok(());
    }
    let header =
        ["layer", "kind", "MFLOP", "forward, ms", "input's gradient", "weights' gradient", "of the peak"];
    let mut table = terminal_table(&header);
    for layer in &measured {
        let [forward, input, weights] = layer.seconds.map(|seconds| format!("{:.2}", 1e3 * seconds));
        let of_peak = layer.of_peak().map(percent).join(", ");
        let mega = format!("{:.0}", layer.work / 1e6);
        table.add_row(vec![
            layer.name.clone(),
            layer.kind.to_string(),
            mega,
            forward,
            input,
            weights,
            of_peak,
        ]);
    }
    println!("{table}");
    Ok(())
}

/// Measures the kernel equation of `n` points and prints a table or a line of JSON an operation.
pub fn kernels(n: usize, peer: Option<&Path>, json: bool) -> Result<()> {
    let timings = bench::kernels::measure(n, peer, &mut |line| rethink_plot::tell!("{line}"))?;
    print_timings(
        &timings,
        ["operation", "rethink, s", "NumPy and SciPy, s", "times as fast"],
        json,
        |timing| json!({ "operation": timing.what, "n": n, "ours": timing.ours, "peer": timing.peer, "ratio": timing.ratio() }),
    );
    Ok(())
}

/// Times `notebook` in the project's kernel, with `peer` in turns with evcxr as it comes, and prints a table or a line of
/// JSON a quantity.
pub fn notebooks(notebook: &Path, rounds: usize, peer: bool, json: bool) -> Result<()> {
    let root = jupyter::root()?;
    // The default is one of the project's, wherever this is called.
    let notebook = if notebook.exists() { notebook.to_path_buf() } else { root.join(notebook) };
    let timings =
        bench::notebooks::measure(&root, &notebook, rounds, peer, &mut |line| rethink_plot::tell!("{line}"))?;
    print_timings(
        &timings,
        ["seconds", "rethink", "evcxr as it comes", "times as fast"],
        json,
        |timing| json!({ "quantity": timing.what, "ours": timing.ours, "peer": timing.peer, "ratio": timing.ratio() }),
    );
    Ok(())
}

/// A table under `header`, or with `json` the line that `line` makes of each timing.
fn print_timings(timings: &[Timing], header: [&str; 4], json: bool, line: impl Fn(&Timing) -> Value) {
    if json {
        timings.iter().for_each(|timing| println!("{}", line(timing)));
        return;
    }
    let mut table = terminal_table(&header);
    for timing in timings {
        let optional = |v: Option<f64>| v.map_or("-".into(), |v| format!("{v:.2}"));
        let ours = format!("{:.2}", timing.ours);
        table.add_row(vec![timing.what.to_string(), ours, optional(timing.peer), optional(timing.ratio())]);
    }
    println!("{table}");
}
