//! TensorBoard event files: read back record by record, and by the tensorboard package itself where
//! RETHINK_TENSORBOARD names a Python that has it (`fixtures/tensorboard_read.py`).

use rethink::data::corruption::Corruption;
use rethink::data::shapes10;
use rethink::run::appendix_a::config_at;
use rethink::run::config::{Scale, Seeds};
use rethink::run::row::LogRow;
use rethink::run::tensorboard::Events;
use rethink::run::train::{Progress, train};
use rethink::store::{Run, Store};
use rethink_nn::models::ModelKind;
use rethink_tests::root;
use rethink_tests::skips::{Need, skip};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// CRC-32C, bit by bit, and TensorFlow's mask.
fn masked(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    let crc = !crc;
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The messages of a record file, checksums checked.
fn records(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        assert_eq!(word(8), masked(&bytes[..8]), "checksum of the length");
        let message = &bytes[12..12 + length];
        assert_eq!(word(12 + length), masked(message), "checksum of the message");
        out.push(message.to_vec());
        bytes = &bytes[16 + length..];
    }
    out
}

enum Field<'a> {
    Number(u64),
    Double(f64),
    Float(f32),
    Bytes(&'a [u8]),
}

/// (number, value) of a protocol buffer message.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                return value;
            }
        }
    }
    fn take<'a>(bytes: &mut &'a [u8], n: usize) -> &'a [u8] {
        let (head, rest) = bytes.split_at(n);
        *bytes = rest;
        head
    }
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let value = match key & 7 {
            0 => Field::Number(varint(&mut bytes)),
            1 => Field::Double(f64::from_le_bytes(take(&mut bytes, 8).try_into().unwrap())),
            5 => Field::Float(f32::from_le_bytes(take(&mut bytes, 4).try_into().unwrap())),
            2 => {
                let length = varint(&mut bytes) as usize;
                Field::Bytes(take(&mut bytes, length))
            }
            other => panic!("wire type {other}"),
        };
        out.push((key >> 3, value));
    }
    out
}

/// (wall time, step, tag to value) of every event after the first, which must be the version.
fn events(path: &Path) -> Vec<(f64, u64, BTreeMap<String, f32>)> {
    let records = records(&std::fs::read(path).unwrap());
    let version = fields(&records[0]).into_iter().any(|f| matches!(f, (3, Field::Bytes(b"brain.Event:2"))));
    assert!(version, "the first record is the version");
    let event = |record: &Vec<u8>| {
        let (mut wall, mut step, mut values) = (0.0, 0, BTreeMap::new());
        for field in fields(record) {
            match field {
                (1, Field::Double(v)) => wall = v,
                (2, Field::Number(v)) => step = v,
                (5, Field::Bytes(summary)) => {
                    for (number, value) in fields(summary) {
                        let (1, Field::Bytes(value)) = (number, value) else { panic!("a value") };
                        let (mut tag, mut number) = (String::new(), f32::NAN);
                        for field in fields(value) {
                            match field {
                                (1, Field::Bytes(v)) => tag = String::from_utf8(v.to_vec()).unwrap(),
                                (2, Field::Float(v)) => number = v,
                                _ => panic!("a field that no scalar has"),
                            }
                        }
                        values.insert(tag, number);
                    }
                }
                (number, _) => panic!("field {number}"),
            }
        }
        (wall, step, values)
    };
    records[1..].iter().map(event).collect()
}

fn only_file(folder: &Path) -> PathBuf {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let file = files.remove(0);
    assert!(file.file_name().unwrap().to_str().unwrap().starts_with("events.out.tfevents."));
    file
}

/// The events are the run's rows.
fn check(events: &[(f64, u64, BTreeMap<String, f32>)], run: &Run) {
    let column =
        |name: &str| -> Vec<Option<f64>> { run.frame.column(name).unwrap().f64().unwrap().iter().collect() };
    assert_eq!(events.len(), run.frame.height());
    for (tag, name) in [
        ("loss", "loss"),
        ("accuracy/batch", "batch_accuracy"),
        ("accuracy/train", "train_accuracy"),
        ("accuracy/test", "test_accuracy"),
        ("learning_rate", "learning_rate"),
    ] {
        for (event, value) in events.iter().zip(column(name)) {
            assert_eq!(event.2.get(tag).copied(), value.map(|v| v as f32), "{tag} at step {}", event.1);
        }
    }
    let steps: Vec<u64> =
        run.frame.column("step").unwrap().u32().unwrap().iter().flatten().map(u64::from).collect();
    assert_eq!(events.iter().map(|e| e.1).collect::<Vec<_>>(), steps);
    assert!(events.windows(2).all(|pair| pair[0].0 <= pair[1].0), "wall times rise");
}

#[test]
fn a_run_leaves_an_event_file_that_reads_back_and_stays() {
    let data = shapes10::generate(200, 100, 1).unwrap();
    let mut config = config_at(
        &data,
        Scale::Smoke,
        ModelKind::Mlp1x512,
        Corruption::PartialLabels { p: 0.5 },
        Seeds::default(),
    );
    config.data = data.id(200, 100);
    config.hyper.epochs = 5;
    config.log_every = 2;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path());
    let run = store.run(&config, &data, Scale::Smoke, &mut |_| {}).unwrap();
    let file = only_file(&store.events(&config));
    let name = store.events(&config).file_name().unwrap().to_str().unwrap().to_string();
    assert_eq!(name, format!("mlp1x512-partial-labels-0.5-{}", config.key()));
    check(&events(&file), &run);
    // A finished run is not written again.
    let before = std::fs::read(&file).unwrap();
    store.run(&config, &data, Scale::Smoke, &mut |_| {}).unwrap();
    assert_eq!(std::fs::read(only_file(&store.events(&config))).unwrap(), before);

    let Some(python) = std::env::var_os("RETHINK_TENSORBOARD") else {
        let test =
            "a_run_leaves_an_event_file_that_reads_back_and_stays, the part by the tensorboard package";
        skip(test, Need::Tensorboard, "RETHINK_TENSORBOARD names no Python that has it");
        return;
    };
    let script = root().join("tests/fixtures/tensorboard_read.py");
    let out = Command::new(python).arg(script).arg(store.events(&config)).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let read: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let ours = events(&file);
    for tag in ["loss", "accuracy/batch", "accuracy/train", "accuracy/test", "learning_rate"] {
        let ours: Vec<(u64, f64)> =
            ours.iter().filter_map(|e| Some((e.1, f64::from(*e.2.get(tag)?)))).collect();
        let theirs: Vec<(u64, f64)> = read[tag]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| (p[0].as_u64().unwrap(), p[1].as_f64().unwrap()))
            .collect();
        assert_eq!(ours, theirs, "{tag}");
    }
}

#[test]
fn a_killed_run_has_no_step_twice() {
    let data = shapes10::generate(200, 100, 1).unwrap();
    let mut config =
        config_at(&data, Scale::Smoke, ModelKind::Mlp1x512, Corruption::RandomLabels, Seeds::default());
    config.data = data.id(200, 100);
    config.hyper.epochs = 6;
    let folder = tempfile::tempdir().unwrap();
    let (partial, place) = (folder.path().join("partial"), folder.path().join("events"));
    let part = |every: Duration, leave_after| {
        let mut on_epoch = |_: &_| {};
        let progress = Progress {
            folder: Some(partial.clone()),
            events: Some(place.clone()),
            checkpoint_every: every,
            leave_after,
            observer: None,
            ..Progress::quiet(&mut on_epoch)
        };
        train(&config, &data, progress).unwrap()
    };
    assert!(part(Duration::ZERO, Some(2)).is_none());
    // As if it had gone on for a while after its checkpoint, with a record cut off by the kill.
    let later = LogRow {
        step: 400,
        epoch: 9,
        loss: 1.0,
        batch_accuracy: 0.1,
        train_accuracy: None,
        test_accuracy: None,
        learning_rate: 0.1,
        train_top5: None,
        test_top5: None,
        seconds: 9.0,
    };
    let mut left = Events::create(&place, std::slice::from_ref(&later)).unwrap();
    left.append(&[later]).unwrap();
    let bytes = std::fs::read(only_file(&place)).unwrap();
    std::fs::write(only_file(&place), &bytes[..bytes.len() - 5]).unwrap();
    let trained = part(Duration::ZERO, None).unwrap();
    let events = events(&only_file(&place));
    let steps: Vec<u64> = events.iter().map(|e| e.1).collect();
    assert_eq!(steps, trained.rows.iter().map(|r| u64::from(r.step)).collect::<Vec<_>>());
}

#[test]
fn a_number_of_many_digits_makes_no_name_that_is_too_long() {
    let data = shapes10::dataset();
    let corruption = Corruption::PartialLabels { p: 1e-300 };
    let config = config_at(&data, Scale::Smoke, ModelKind::Mlp1x512, corruption, Seeds::default());
    let events = Store::new("runs").events(&config);
    let name = events.file_name().unwrap().to_str().unwrap();
    assert!(name.len() <= 255 && name.ends_with(&config.key()), "{name}");
    assert!(name.starts_with("mlp1x512-partial-labels-0.000"), "{name}");
}
