//! Data, corruptions and networks of one's own.

use rethink::data::corruption::Corruption;
use rethink::data::{Dataset, Split};
use rethink::run::config::{RunConfig, Scale};
use rethink::study::Study;
use rethink_nn::models::plan::Layer;
use rethink_nn::models::{CustomModel, ModelKind};
use rethink_tests::rethink_bin;
use std::fs;
use std::process::Command;

fn layers() -> Vec<Layer> {
    vec![
        Layer::conv(5, 6),
        Layer::max_pool(2),
        Layer::Branches(vec![vec![Layer::conv_norm(3, 4)], vec![Layer::conv(1, 4)]]),
        Layer::GlobalAvgPool,
        Layer::hidden(20),
        Layer::scores(10),
    ]
}

fn study(folder: &std::path::Path) -> Study {
    Study::new(Some("shapes10"), Scale::Smoke, folder).unwrap()
}

#[test]
fn an_own_network_trains_is_kept_and_read_again() {
    let out = tempfile::tempdir().unwrap();
    let study = study(out.path());
    let model = ModelKind::Custom(CustomModel::new("tiny", layers()).unwrap());
    let config = study.config(model, Corruption::TrueLabels);
    let run = study.train(std::slice::from_ref(&config)).unwrap().remove(0);
    // 5x5x3x6 + 6, 3x3x6x4 + 4, 1x1x6x4 + 4, 8x20 + 20, 20x10 + 10.
    let network = model.build(3, 10, model.init(), 0).unwrap();
    assert_eq!(network.parameter_count(), 456 + 220 + 28 + 180 + 210);
    let loss = |at: usize| run.frame.column("loss").unwrap().f64().unwrap().get(at).unwrap();
    assert!(loss(run.frame.height() - 1) < loss(0), "{:?}", run.frame);
    let again = study.store().get(&config).unwrap().expect("the run is in the store");
    assert_eq!(again.record.config, config);
    assert_eq!(again.record.config.model, model);
    assert!(study.store().all().unwrap().iter().any(|run| run.record.config.model.name() == "tiny"));
}

/// As many convolutions and fully connected layers as one likes.
#[test]
fn nine_convolutions_and_four_fully_connected_layers_train() {
    let out = tempfile::tempdir().unwrap();
    let study = study(out.path());
    let mut layers = vec![Layer::conv_norm(3, 4); 9];
    layers.extend([Layer::GlobalAvgPool, Layer::hidden(12), Layer::hidden(12), Layer::hidden(12)]);
    layers.push(Layer::scores(10));
    let model = ModelKind::Custom(CustomModel::new("deep", layers).unwrap());
    let parameters = model.build(3, 10, model.init(), 0).unwrap().parameters().unwrap();
    let weights = parameters.iter().filter(|p| p.name.ends_with(".weight"));
    let last: Vec<&str> = weights.map(|p| p.name.as_str()).skip(8).collect();
    let linears = [0, 1, 2, 3].map(|i| format!("linears.{i}.weight"));
    assert_eq!(last[0], "convs.8.conv.weight");
    assert_eq!(last[1..], linears);
    let mut config = study.config(model, Corruption::TrueLabels);
    (config.data, config.hyper.epochs) = (study.data.id(100, 100), 4);
    let run = study.train(std::slice::from_ref(&config)).unwrap().remove(0);
    let loss = |at: usize| run.frame.column("loss").unwrap().f64().unwrap().get(at).unwrap();
    assert!(loss(run.frame.height() - 1) < loss(0), "{:?}", run.frame);
    assert!(model.is_normalised() && study.store().get(&config).unwrap().is_some());
}

/// A changed network under its old name is another run.
#[test]
fn the_layers_are_part_of_the_key() {
    let out = tempfile::tempdir().unwrap();
    let study = study(out.path());
    let key = |layers: Vec<Layer>| {
        study
            .config(ModelKind::Custom(CustomModel::new("tiny", layers).unwrap()), Corruption::TrueLabels)
            .key()
    };
    let mut wider = layers();
    wider[4] = Layer::hidden(21);
    assert_eq!(key(layers()), key(layers()));
    assert_ne!(key(layers()), key(wider));
}

#[test]
fn the_same_network_from_json() {
    let model = ModelKind::Custom(CustomModel::new("tiny", layers()).unwrap());
    let json = serde_json::to_string(&model).unwrap();
    assert_eq!(serde_json::from_str::<ModelKind>(&json).unwrap(), model);
    assert_eq!(serde_json::to_string(&ModelKind::Alexnet).unwrap(), "\"alexnet\"");
}

/// A number alone is what files had before: the probability of keeping. It stays so in a run's configuration, for its key.
#[test]
fn dropout_is_written_as_it_was_read() {
    let read = |json: &str| serde_json::from_str::<Layer>(json).map_err(|e| e.to_string());
    for (json, drop, keep) in
        [(r#"{"dropout":{"drop_probability":0.25}}"#, 0.25, 0.75), (r#"{"dropout":0.25}"#, 0.75, 0.25)]
    {
        let layer = read(json).unwrap();
        assert_eq!(serde_json::to_string(&layer).unwrap(), json);
        let Layer::Dropout(rate) = layer else { panic!("{layer:?}") };
        assert_eq!((rate.drop_probability(), rate.keep_probability()), (drop, keep));
    }
    assert_eq!(read(r#"{"dropout":{"drop_probability":0.25}}"#).unwrap(), Layer::dropout(0.25));
    for no in [r#"{"dropout":{"probability":0.25}}"#, r#"{"dropout":"0.25"}"#] {
        let error = read(no).unwrap_err();
        assert!(error.contains("{\"drop_probability\": 0.2}"), "{error}");
    }
}

#[test]
fn networks_that_cannot_be_built_are_told() {
    let scores = Layer::scores(10);
    let no: Vec<(&str, Vec<Layer>, &str)> = vec![
        ("", vec![scores.clone()], "name"),
        ("a b", vec![scores.clone()], "name"),
        ("alexnet", vec![scores.clone()], "paper's networks"),
        ("none", vec![], "last layer"),
        ("deep", [vec![Layer::conv(3, 4); 1_000], vec![scores.clone()]].concat(), "1001 layers"),
        ("relu", vec![Layer::hidden(10)], "last layer"),
        ("dropout", vec![Layer::dropout(1.0), scores.clone()], "dropout"),
        ("nan", vec![Layer::dropout(f32::NAN), scores.clone()], "dropout"),
        ("wide", vec![Layer::hidden(usize::MAX), scores.clone()], "outputs"),
        ("window", vec![Layer::conv(usize::MAX, 4), scores.clone()], "window"),
        ("still", vec![Layer::max_pool(0), scores.clone()], "window"),
        ("auxiliary", vec![Layer::Auxiliary(vec![scores.clone()]), scores.clone()], "auxiliary"),
    ];
    for (name, layers, expected) in no {
        let error = CustomModel::new(name, layers).unwrap_err().to_string();
        assert!(error.contains(expected), "{name}: {error}");
    }
    let plan =
        |layers| ModelKind::Custom(CustomModel::new("other", layers).unwrap()).plan([28, 28, 3], 10, 1.0);
    let classes = plan(vec![Layer::scores(7)]).unwrap_err().to_string();
    assert!(classes.contains("[1, 1, 10]") && classes.contains("[1, 1, 7]"), "{classes}");
    assert!(plan(vec![Layer::max_pool(29), scores]).is_err());
}

#[test]
fn the_command_line_trains_a_network_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tiny.json");
    let run = |text: &str| {
        fs::write(&file, text).unwrap();
        let said = Command::new(rethink_bin())
            .args(["run", "--data", "shapes10", "--scale", "smoke", "--model"])
            .arg(&file)
            .arg("--out")
            .arg(folder.path())
            .output()
            .unwrap();
        (said.status.success(), String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned())
    };
    let good = r#"{"name": "tiny", "layers": [
        {"conv": {"window": {"kernel": [5, 5], "stride": [2, 2], "padding": "same"}, "outputs": 6, "normalised": true}},
        "global-mean", {"linear": {"outputs": 10, "activation": "none"}}]}"#;
    let (well, said) = run(good);
    assert!(well && said.contains("tiny"), "{said}");
    for (bad, expected) in [
        (good.replace("\"tiny\"", "\"mlp1x512\""), "paper's networks"),
        (good.replace("outputs", "output"), "output"),
        (good.replace("[2, 2]", "[0, 2]"), "window"),
        (good[..40].to_string(), "EOF"),
    ] {
        let (well, said) = run(&bad);
        assert!(!well && said.contains("tiny.json") && said.contains(expected), "{expected}: {said}");
        assert!(!said.contains("panicked"), "{said}");
    }
}

/// A corruption of one's own changes what it says and nothing else.
#[test]
fn a_changed_data_set_has_its_own_identity() {
    let out = tempfile::tempdir().unwrap();
    let study = study(out.path());
    let next = |data: &Dataset| {
        data.changed("next", "one class on", |train, _| {
            train.labels.iter_mut().for_each(|label| *label = (*label + 1) % 10);
        })
    };
    let changed = next(&study.data).unwrap();
    assert_eq!(changed.fingerprint, next(&study.data).unwrap().fingerprint);
    assert_ne!(changed.fingerprint, study.data.fingerprint);
    assert!(changed.train.images == study.data.train.images && changed.test == study.data.test);
    let own = Study::of(changed, &study);
    let run = own.train(&[own.config(ModelKind::Mlp1x512, Corruption::TrueLabels)]).unwrap();
    assert_eq!(run[0].record.config.data.title, "one class on");
    let error = study.data.changed("bad", "bad", |train, _| train.labels[0] = 10).unwrap_err().to_string();
    assert!(error.contains("label 10 with 10 classes"), "{error}");
    assert!(study.data.changed("bad", "bad", |train, _| train.labels.clear()).is_err());
}

#[test]
fn a_set_of_ones_own_is_used_whole_and_a_changed_one_as_far_as_the_one_it_is_made_of() {
    let out = tempfile::tempdir().unwrap();
    let study = study(out.path());
    let sizes = |study: &Study| {
        let of = |config: &RunConfig| (config.data.train, config.data.test);
        let sweep: Vec<_> = study.configs("fig1b").unwrap().iter().map(of).collect();
        (of(&study.config(ModelKind::Mlp1x512, Corruption::TrueLabels)), sweep[0], sweep[8])
    };
    let changed = study.data.changed("next", "one class on", |train, _| train.labels[0] = 1).unwrap();
    assert_eq!(sizes(&Study::of(changed, &study)), sizes(&study));
    assert_eq!(sizes(&study).0, (200, 200));
    let cut = |split: &mut Split, n: usize| {
        split.images.truncate(n * 3072);
        split.labels.truncate(n);
    };
    let small = study.data.changed("few", "few images", |train, test| {
        cut(train, 700);
        cut(test, 50);
    });
    let own = Study::of(small.unwrap(), &study);
    assert!(own.to_string().contains("few images, as given, used whole"), "{own}");
    assert_eq!(sizes(&own), ((700, 50), (700, 50), (700, 50)));
    // Unless something else is set.
    let set = own.set("n=300".parse().unwrap()).unwrap();
    assert_eq!(set.configs("fig1b").unwrap()[0].data.train, 300);
}

/// In their order, whatever order they end in, and to the bit those that are trained one after the other.
#[test]
fn narrow_networks_trained_side_by_side_are_those_trained_alone() {
    let configs = |study: &Study| {
        let tiny = ModelKind::Custom(CustomModel::new("tiny", layers()).unwrap());
        let mut configs: Vec<RunConfig> = [tiny, ModelKind::Mlp1x512, tiny]
            .iter()
            .zip([Corruption::RandomLabels, Corruption::TrueLabels, Corruption::TrueLabels])
            .map(|(model, corruption)| study.config(*model, corruption))
            .collect();
        // The first takes longest; the fourth begins as the second, and the fifth is the first once more.
        configs[0].hyper.epochs = 30;
        let mut longer = configs[1].clone();
        (longer.hyper.epochs, longer.hyper.stop_when_fitted) = (14, true);
        configs.extend([longer, configs[0].clone()]);
        configs
    };
    let trained = |threads: usize| {
        let out = tempfile::tempdir().unwrap();
        let study = study(out.path());
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut lines = Vec::new();
        let runs =
            pool.install(|| study.train_all(&configs(&study), &mut |line| lines.push(line.to_string())));
        (runs.unwrap(), lines)
    };
    let (alone, _) = trained(1);
    let (beside, lines) = trained(4);
    assert_eq!(alone.len(), 5);
    let digests = |runs: &[rethink::store::Run]| {
        runs.iter().map(|run| (run.record.config.key(), run.record.digest.clone())).collect::<Vec<_>>()
    };
    assert_eq!(digests(&alone), digests(&beside));
    let ended: Vec<&str> =
        lines.iter().filter(|line| line.contains(" at epoch ")).map(|line| &line[..5]).collect();
    assert_eq!(ended, ["[1/5]", "[2/5]", "[3/5]", "[4/5]"], "{lines:?}");
    assert_eq!(lines.last().unwrap(), "1 of 5 runs were in the store", "{lines:?}");
}

/// A figure of several data sets names them all; lines of progress name one's own.
#[test]
fn an_own_data_set_is_named_where_its_runs_are_shown() {
    let out = tempfile::tempdir().unwrap();
    let study = study(out.path());
    let wrong = study
        .data
        .changed("shifted", "Shapes, labels one on", |train, _| {
            train.labels.iter_mut().for_each(|label| *label = (*label + 1) % 10);
        })
        .unwrap();
    let own = Study::of(wrong, &study);
    let mut config = study.config(ModelKind::Mlp1x512, Corruption::TrueLabels);
    config.hyper.epochs = 1;
    config.hyper.keep_going();
    let mut runs = study.train(std::slice::from_ref(&config)).unwrap();
    config.data = own.data.id(config.data.train, config.data.test);
    let mut lines = Vec::new();
    runs.extend(own.train_all(&[config.clone()], &mut |line| lines.push(line.to_string())).unwrap());
    assert!(lines[0].starts_with("[1/1] shifted: MLP 1x512, true labels"), "{lines:?}");
    let note = study.note(&runs);
    assert!(note.scale_line.starts_with("shapes10 (embedded); Shapes, labels one on, n = 200, "), "{note:?}");
    assert!(note.scale_line.contains(", 1 epoch,"), "each ran one, whatever its accuracy: {note:?}");
    assert_eq!(note.provenance["data"], "shapes10 (embedded); Shapes, labels one on");
    let said = config.to_string();
    for part in ["MLP 1x512, true labels", "Shapes, labels one on, n = 200", "whatever the training accuracy"]
    {
        assert!(said.contains(part), "{said}");
    }
}
