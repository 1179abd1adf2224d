//! Data, corruptions and networks of one's own.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rethink::data::corruption::Corruption;
use rethink::data::{Dataset, Split, shapes10};
use rethink::run::appendix_a::config_at;
use rethink::run::config::{RunConfig, Scale, Seeds};
use rethink::run::loader::{DataLoader, crop_note};
use rethink::run::train::{Progress, train};
use rethink::study::Study;
use rethink_nn::memory::check_room;
use rethink_nn::models::custom::MOST_NESTED;
use rethink_nn::models::plan::{self, Layer};
use rethink_nn::models::{CustomModel, Init, ModelKind, Network, build_plan};
use rethink_nn::ops::ForwardContext;
use rethink_nn::ops::conv::{Padding, Window};
use rethink_tests::{formula, killed_after_each_epoch, rethink_bin};
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

/// Branches so many times inside one another.
fn nested(depth: usize) -> Vec<Layer> {
    (0..depth).fold(vec![Layer::conv(1, 2)], |inside, _| vec![Layer::Branches(vec![inside])])
}

/// What is trained can be read again, and JSON is read down to a depth.
#[test]
fn branches_as_deep_as_possible_are_read_again() {
    let out = tempfile::tempdir().unwrap();
    let study = study(out.path());
    let layers = [nested(MOST_NESTED), vec![Layer::scores(10)]].concat();
    assert_eq!((plan::depth(&layers), plan::depth(&nested(0))), (32, 0));
    let model = ModelKind::Custom(CustomModel::new("nested", layers).unwrap());
    let mut config = study.config(model, Corruption::TrueLabels);
    (config.data, config.hyper.epochs) = (study.data.id(40, 40), 1);
    study.train(std::slice::from_ref(&config)).unwrap();
    assert_eq!(study.store().get(&config).unwrap().expect("the run is in the store").record.config, config);
    assert_eq!(study.store().all().unwrap().len(), 1);
    let json = serde_json::to_string(&config).unwrap();
    let deeper = format!("{}{json}{}", "[".repeat(16), "]".repeat(16));
    assert!(serde_json::from_str::<serde_json::Value>(&deeper).is_ok());
}

/// Of a checkpoint's tensors, number 1,000 comes after number 101.
#[test]
fn a_network_of_more_than_a_thousand_tensors_goes_on_from_its_checkpoint() {
    let data = shapes10::generate(40, 20, 1).unwrap();
    let layers = [vec![Layer::hidden(2); 510], vec![Layer::scores(10)]].concat();
    let model = ModelKind::Custom(CustomModel::new("many", layers).unwrap());
    let mut config = config_at(&data, Scale::Smoke, model, Corruption::TrueLabels, Seeds::default());
    config.data = data.id(40, 20);
    (config.hyper.batch_size, config.hyper.epochs) = (20, 2);
    config.hyper.keep_going();
    let whole = train(&config, &data, Progress::quiet(&mut |_| {})).unwrap().unwrap();
    let (resumed, kills) = killed_after_each_epoch(&config, &data);
    assert_eq!((whole.parameters.len(), kills), (1_022, 1));
    assert!(resumed.parameters == whole.parameters);
}

/// Networks as narrow as these are computed in lanes, but for those of which rows, which are in none, become images again.
#[test]
fn layers_after_rows_have_the_gradients_of_finite_differences() {
    let (mean, one) = (Layer::GlobalAvgPool, Window::square(1, 1, Padding::Same));
    let shapes: Vec<(&str, Vec<Layer>)> = vec![
        ("mean, convolution", vec![Layer::conv(3, 16), Layer::conv(3, 16), mean.clone(), Layer::conv(1, 4)]),
        ("mean, mean", vec![Layer::conv(3, 4), mean.clone(), mean.clone()]),
        ("mean of the images, mean", vec![mean.clone(), mean.clone()]),
        ("mean of the images, convolution", vec![mean.clone(), Layer::conv(1, 4)]),
        ("mean, local response normalisation", vec![mean.clone(), Layer::LocalResponseNorm]),
        ("mean, largest pixel", vec![mean.clone(), Layer::MaxPool(one)]),
        ("mean, mean pixel", vec![mean.clone(), Layer::AvgPool(one)]),
        (
            "mean, branches",
            vec![mean.clone(), Layer::Branches(vec![vec![Layer::hidden(4)], vec![Layer::conv(1, 3)]])],
        ),
        (
            "branches that end with a mean and a fully connected layer",
            vec![Layer::Branches(vec![vec![mean.clone()], vec![Layer::hidden(5)]])],
        ),
        (
            "branches that end with means",
            vec![Layer::Branches(vec![vec![mean.clone()], vec![Layer::conv(3, 4), mean.clone()]])],
        ),
        (
            "branches inside branches that end with a mean",
            vec![Layer::Branches(vec![
                vec![Layer::Branches(vec![vec![mean.clone()]])],
                vec![Layer::conv(3, 4), mean.clone()],
            ])],
        ),
        (
            "fully connected layer, branches",
            vec![
                Layer::conv(3, 4),
                Layer::hidden(5),
                Layer::Branches(vec![vec![Layer::dropout(0.5)], vec![]]),
            ],
        ),
        // It draws by image, whether the images lie in lanes or not.
        (
            "dropout of one pixel",
            vec![
                Layer::conv(3, 4),
                Layer::MaxPool(Window::square(8, 8, Padding::Valid)),
                Layer::dropout(0.5),
                Layer::hidden(8),
            ],
        ),
        // Which branch passes nothing with weights, and who gives the input of several branches its gradient first.
        (
            "branches of the images, the last one without weights",
            vec![Layer::Branches(vec![vec![Layer::conv(3, 4)], vec![]]), Layer::conv(3, 4)],
        ),
        (
            "branches of the images, the first one without weights",
            vec![Layer::Branches(vec![vec![], vec![Layer::conv(3, 4)]]), Layer::conv(3, 4)],
        ),
        (
            "branches that pass on, in the first of several branches",
            vec![
                Layer::conv(3, 4),
                Layer::Branches(vec![
                    vec![Layer::Branches(vec![vec![], vec![Layer::conv(3, 4)]])],
                    vec![Layer::conv(1, 3)],
                ]),
                Layer::conv(3, 4),
            ],
        ),
        (
            "branches that pass on, in branches that pass on",
            vec![
                Layer::conv(3, 4),
                Layer::Branches(vec![
                    vec![],
                    vec![Layer::Branches(vec![vec![], vec![Layer::dropout(0.5)], vec![Layer::conv(3, 4)]])],
                ]),
            ],
        ),
        // What only takes rows can follow them in lanes.
        (
            "mean, fully connected layers",
            vec![Layer::conv(3, 4), mean.clone(), Layer::hidden(8), Layer::dropout(0.5), Layer::hidden(8)],
        ),
    ];
    for (name, layers) in shapes {
        gradients_are_finite_differences(name, layers);
    }
}

/// Layers of one size of image, by chance: branches in branches of all forms.
fn random_layers(rng: &mut ChaCha8Rng, depth: usize, most: usize) -> Vec<Layer> {
    let window = Window::square(3, 1, Padding::Same);
    (0..rng.random_range(0..=most))
        .map(|_| match rng.random_range(0..if depth > 0 { 9 } else { 5 }) {
            0 | 1 => Layer::conv(3, rng.random_range(2..5)),
            2 => Layer::conv(1, 3),
            3 => Layer::dropout(0.5),
            4 => Layer::AvgPool(window),
            _ => {
                let count = rng.random_range(1..4);
                Layer::Branches((0..count).map(|_| random_layers(rng, depth - 1, 2)).collect())
            }
        })
        .collect()
}

#[test]
fn branches_of_any_form_have_the_gradients_of_finite_differences() {
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    for number in 0..60 {
        let layers = random_layers(&mut rng, 3, 3);
        if plan::count(&layers) == (0, 0) {
            // A network of one fully connected layer has its inputs in the order of the images, by channel.
            continue;
        }
        gradients_are_finite_differences(&format!("form {number}: {layers:?}"), layers);
    }
}

/// Of all weights of the network of `layers` and a layer of scores, and the same as those of a network that is not computed in lanes.
fn gradients_are_finite_differences(name: &str, mut layers: Vec<Layer>) {
    // Two sixteens of images, of which the second is not full; each channel of each is another mean away.
    let (input, n) = ([8, 8, 3], 20);
    let images: Vec<f32> = formula(n * 192, 6007, 1.7)
        .into_iter()
        .enumerate()
        .map(|(i, v)| v + (i / 64 % 7) as f32 * 0.3 - 0.6)
        .collect();
    let labels: Vec<u16> = (0..n as u16).map(|i| i % 3).collect();
    layers.push(Layer::scores(10));
    let gradients_of = |network: &mut dyn Network| {
        network.gradients(images.clone(), &labels, ForwardContext::training_step(1, 0))
    };
    let mut network = build_plan(layers.clone(), input, Init::Glorot, 3).unwrap();
    let mut start = network.parameters().unwrap();
    // A unit that gets nothing but zeros, with a bias of zero, is where ReLU has no slope.
    let is_bias = |name: &str| name.ends_with("bias") || name.ends_with("shift");
    for bias in start.iter_mut().filter(|parameter| is_bias(&parameter.name)) {
        bias.values.iter_mut().enumerate().for_each(|(i, v)| *v = 0.05 + 0.01 * i as f32);
    }
    network.restore(&start, Vec::new()).unwrap();
    let (outcome, gradients) =
        gradients_of(network.as_mut()).unwrap_or_else(|error| panic!("{name}: {error}"));
    // With dropout of an image, though of none of its pixels, it is never computed in lanes.
    let by_pixel = [vec![Layer::dropout(0.0)], layers].concat();
    let mut by_pixel = build_plan(by_pixel, input, Init::Glorot, 3).unwrap();
    by_pixel.restore(&start, Vec::new()).unwrap();
    let (expected, theirs) = gradients_of(by_pixel.as_mut()).unwrap();
    assert!((outcome.loss - expected.loss).abs() < 1e-5, "{name}: {outcome:?} and {expected:?}");
    assert_eq!((start.len(), theirs.len()), (gradients.len(), gradients.len()), "{name}");
    for (tensor, gradient) in gradients.iter().enumerate() {
        let of = &start[tensor].name;
        let norm = gradient.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
        let apart = gradient.iter().zip(&theirs[tensor]).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
        assert!(norm > 0.0 && apart.sqrt() < 1e-4 * norm + 1e-6, "{name}, {of}: {norm}, {apart} apart");
        // Along the gradient itself, where the difference is largest against rounding.
        let mut along = |sign: f64| {
            let mut moved = start.clone();
            for (v, g) in moved[tensor].values.iter_mut().zip(gradient) {
                *v += (sign * 0.0005 * f64::from(*g) / norm) as f32;
            }
            network.restore(&moved, Vec::new()).unwrap();
            f64::from(gradients_of(network.as_mut()).unwrap().0.loss)
        };
        let slope = (along(1.0) - along(-1.0)) / 0.001;
        let wrong = (slope - norm).abs();
        assert!(wrong < 0.05 * norm + 1e-3, "{name}, {of}: slope {slope}, gradient's norm {norm}");
    }
}

/// Folders are named by a data set's name.
#[test]
fn a_data_set_has_a_plain_name() {
    let data = shapes10::dataset();
    let long = "a".repeat(101);
    for name in ["../up", "a/b", "", ".", ".hidden", "a b", "back\\slash", &long] {
        let error =
            data.changed(name, "Changed images", |train, _| train.images[0] ^= 1).unwrap_err().to_string();
        assert!(error.contains("names folders"), "{name}: {error}");
    }
    for name in ["mine", "shapes10-0.4_noisy", "Größe"] {
        assert!(data.changed(name, "Changed images", |train, _| train.images[0] ^= 1).is_ok(), "{name}");
    }
}

/// Images of `height x width`, two training and two test ones of two classes.
fn of_size(name: &str, height: usize, width: usize) -> rethink::Result<Dataset> {
    let images = (0..2 * 3 * height * width).map(|i| (i * i % 251) as u8).collect();
    let split = Split { images, labels: vec![0, 1] };
    let names = ["a", "b"].map(String::from).to_vec();
    Dataset::new(name, "My images", names, [3, height, width], split.clone(), split)
}

#[test]
fn a_new_data_set_has_a_plain_name() {
    for name in ["../up", "", "/tmp/mine"] {
        let error = of_size(name, 32, 32).unwrap_err().to_string();
        assert!(error.contains(&format!("name {name:?}")) && error.contains("'-', '_' and '.'"), "{error}");
    }
}

#[test]
fn images_that_a_run_cannot_crop_are_refused_before_anything_is_written() {
    let out = tempfile::tempdir().unwrap();
    for (height, width) in [(27, 40), (40, 27), (8, 8)] {
        let own = Study::of(of_size("tiny", height, width).unwrap(), &study(out.path()));
        let mut config = own.config(ModelKind::Mlp1x512, Corruption::TrueLabels);
        let error = own.train(std::slice::from_ref(&config)).unwrap_err().to_string();
        let size = format!("images of {height}x{width} pixels");
        assert!(error.contains(&size) && error.contains("pad or enlarge"), "{error}");
        assert!(error.contains("config.input = 32"), "{error}");
        assert!(!own.store().folder().exists(), "{}", own.store().folder().display());
        let direct = train(&config, &own.data, Progress::quiet(&mut |_| {})).unwrap_err().to_string();
        assert!(direct.contains(&size), "{direct}");
        // What the error says helps.
        (config.input, config.hyper.epochs) = (32, 1);
        train(&config, &own.data, Progress::quiet(&mut |_| {})).unwrap().unwrap();
    }
    let own = Study::of(of_size("least", 28, 28).unwrap(), &study(out.path()));
    let mut config = own.config(ModelKind::Mlp1x512, Corruption::TrueLabels);
    config.hyper.epochs = 1;
    train(&config, &own.data, Progress::quiet(&mut |_| {})).unwrap().unwrap();
}

#[test]
fn images_of_which_a_run_sees_a_small_part_say_so() {
    let data = of_size("large", 64, 48).unwrap();
    assert_eq!(data.crop().unwrap(), "the middle 28x28 of 64x48 pixels");
    assert!(
        format!("{data:?}").starts_with(
            "My images: 2 train and 2 test images of 3x64x48 (runs see the middle 28x28 of 64x48 pixels), 2"
        ),
        "{data:?}"
    );
    let mut config =
        config_at(&data, Scale::Smoke, ModelKind::Mlp1x512, Corruption::TrueLabels, Seeds::default());
    let note = |config: &RunConfig| crop_note(config, &data);
    assert_eq!(
        note(&config).unwrap(),
        "My images: a run sees the middle 28x28 of 64x48 pixels; `config.input` shows more"
    );
    // Training says it once, before anything else.
    let out = tempfile::tempdir().unwrap();
    let own = Study::of(data.clone(), &study(out.path()));
    let configs = [Corruption::TrueLabels, Corruption::RandomLabels].map(|corruption| {
        let mut config = own.config(ModelKind::Mlp1x512, corruption);
        config.hyper.epochs = 1;
        config
    });
    let mut lines = Vec::new();
    own.train_all(&configs, &mut |line| lines.push(line.to_string())).unwrap();
    assert_eq!(lines.iter().position(|line| Some(line) == note(&config).as_ref()), Some(0), "{lines:?}");
    assert_eq!(lines.iter().filter(|line| line.contains("28x28")).count(), 1, "{lines:?}");
    config.hyper.random_crop = true;
    assert!(note(&config).unwrap().contains("random crops in training, in tests the middle"));
    config.input = 64;
    assert_eq!(note(&config), None);
    // As the paper's own.
    for (height, width) in [(28, 28), (32, 32)] {
        let data = of_size("small", height, width).unwrap();
        assert_eq!((data.crop(), crop_note(&config, &data)), (None, None));
        assert!(!format!("{data:?}").contains("middle"), "{data:?}");
    }
}

/// The guide says what an input of another size shows.
#[test]
fn another_input_shows_all_but_the_edges() {
    let side = 64;
    let value = |i: usize| if (i / side) % side < 8 { 255 } else { 0 };
    let images: Vec<u8> = (0..3 * side * side).map(value).collect();
    let split = Split { images, labels: vec![0] };
    let names = ["one", "other"].map(String::from).to_vec();
    let data = Dataset::new("edge", "Edge", names, [3, side, side], split.clone(), split).unwrap();
    let mut config =
        config_at(&data, Scale::Smoke, ModelKind::Mlp1x512, Corruption::TrueLabels, Seeds::default());
    // Of the eight white rows, four are cut off with an input of 64; all are with the crop.
    for (input, rows) in [(28, 0), (56, 4), (64, 4)] {
        config.input = input;
        let loader = DataLoader::new(&config, &data, 1, 1).unwrap();
        let (images, _) = loader.batch(&[0], &loader.choices(1).unwrap()).unwrap();
        assert_eq!(images.len(), 3 * input * input);
        let white = (0..input).filter(|y| images[y * input] > 0.99).count();
        assert!((rows..=rows + 1).contains(&white), "{input}: {white} white rows");
    }
}

/// Within all bounds, and with more weights than any memory holds; or more than 64 bits count.
#[test]
fn networks_too_large_for_the_memory_are_refused_before_anything_is_written() {
    let out = tempfile::tempdir().unwrap();
    let study = study(out.path());
    let (scores, large) = (Layer::scores(10), Layer::conv(1_024, 65_536));
    let wide = Layer::Branches(vec![vec![Layer::conv(1, 65_536)]; 200]);
    let doubled = Layer::Branches(vec![vec![], vec![]]);
    for (name, layers, width, expected) in [
        // 3 x 65,536 weights, 1,024 x 1,024 x 65,536 x 65,536 and 28 x 28 x 65,536 x 10, and the biases.
        (
            "huge",
            vec![Layer::conv(1, 65_536), large.clone(), scores.clone()],
            1.0,
            "huge of 4,503,600,141,500,426 parameters",
        ),
        // 1,024 x 1,024 x 200 x 16 x 65,536 x 16 x 65,536.
        ("larger", vec![wide, large, scores.clone()], 16.0, "larger of 2.3e20 parameters"),
        // 28 x 28 x 3 x 2^40 x 10 + 10.
        (
            "doubled",
            [vec![doubled.clone(); 40], vec![scores.clone()]].concat(),
            1.0,
            "doubled of 25,860,513,485,291,530 parameters",
        ),
    ] {
        let model = ModelKind::Custom(CustomModel::new(name, layers).unwrap());
        let mut config = study.config(model, Corruption::TrueLabels);
        config.width_factor = width;
        let run = study.store().run(&config, &study.data, Scale::Smoke, &mut |_| {});
        let error = run.unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("are free"), "{error}");
        assert_eq!(fs::read_dir(study.store().folder()).map_or(0, |files| files.count()), 0, "{name}");
        let built = model.build_for([28, 28, 3], 10, width, Init::Glorot, 0);
        let error = built.err().expect("no memory holds it").to_string();
        assert!(error.contains("are free"), "{error}");
    }
    let model = CustomModel::new("doubled", [vec![doubled; 63], vec![scores]].concat()).unwrap();
    let error = ModelKind::Custom(model).plan([28, 28, 3], 10, 1.0).unwrap_err().to_string();
    assert!(error.contains("doubled: layer 63: more channels than can be counted"), "{error}");

    let check = |bytes, free| check_room("tiny", 1_234_567, bytes, free).map_err(|e| e.to_string());
    assert_eq!(check(8_000_000_000, Some(8_000_000_000)), Ok(()));
    let error = check(9_000_000_000, Some(8_000_000_000)).unwrap_err();
    let expected = "tiny of 1,234,567 parameters takes 9.0 GB of memory, 8.0 GB are free";
    assert!(error.contains(expected), "{error}");
    // Where the system does not say what is free.
    assert_eq!((check(1 << 47, None), check(u128::MAX, None).is_err()), (Ok(()), true));
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
        ("nested", [nested(33), vec![scores.clone()]].concat(), "33 deep inside one another; at most 32"),
        // Not one unit, which is what the width makes of fewer.
        (
            "zero",
            vec![Layer::hidden(0), scores.clone()],
            "zero: layer 1: a fully connected layer of 0 outputs",
        ),
        (
            "zero",
            vec![scores.clone(), Layer::conv(3, 0), scores.clone()],
            "layer 2: a convolution of 0 outputs",
        ),
        ("zero", vec![Layer::scores(0)], "layer 1: a fully connected layer of 0 outputs"),
        (
            "inner",
            vec![
                Layer::max_pool(2),
                Layer::Branches(vec![vec![], vec![Layer::conv(3, 4), Layer::hidden(0)]]),
                scores.clone(),
            ],
            "inner: layer 2: branch 2: layer 2: a fully connected layer of 0 outputs",
        ),
        ("empty", vec![Layer::Branches(vec![]), scores.clone()], "layer 1: no branches"),
    ];
    for (name, layers, expected) in no {
        let error = CustomModel::new(name, layers).unwrap_err().to_string();
        assert!(error.contains(expected), "{name}: {error}");
    }
    let plan =
        |layers| ModelKind::Custom(CustomModel::new("other", layers).unwrap()).plan([28, 28, 3], 10, 1.0);
    let classes = plan(vec![Layer::scores(7)]).unwrap_err().to_string();
    assert!(classes.contains("other: the last layer: expected shape [1, 1, 10]"), "{classes}");
    assert!(classes.contains("[1, 1, 7]"), "{classes}");
    // Of which network and of which layer it is.
    let large = plan(vec![Layer::conv(3, 4), Layer::max_pool(29), scores.clone()]).unwrap_err().to_string();
    assert!(large.contains("other: layer 2: expected shape [29, 29], got [28, 28]"), "{large}");
    let branches = Layer::Branches(vec![vec![Layer::max_pool(2)], vec![Layer::max_pool(29)]]);
    let large = plan(vec![branches, scores]).unwrap_err().to_string();
    assert!(large.contains("other: layer 1: branch 2: layer 1: expected shape [29, 29]"), "{large}");
}

#[test]
fn a_file_may_begin_with_a_byte_order_mark_and_says_how_deep_branches_may_lie() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tiny.json");
    let read = |text: &str| {
        fs::write(&file, text).unwrap();
        CustomModel::read(&file).map_err(|error| error.to_string())
    };
    let text = r#"{"name": "tiny", "layers": [{"linear": {"outputs": 10, "activation": "none"}}]}"#;
    assert_eq!(
        read(&format!("\u{feff}{text}")),
        Ok(CustomModel::new("tiny", vec![Layer::scores(10)]).unwrap())
    );
    let error = read(&format!("{text}\u{feff}")).unwrap_err();
    assert!(error.contains("tiny.json"), "{error}");
    let branches = format!("{}{}", r#"{"branches": [["#.repeat(60), "]]}".repeat(60));
    let error = read(&text.replacen('[', &format!("[{branches}, "), 1)).unwrap_err();
    assert!(error.contains("tiny.json") && error.contains("at most 32 deep"), "{error}");
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
    assert!(error.contains("training image 0 has label 10, with 10 classes"), "{error}");
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
    assert!(lines[0].starts_with("[1/1] shifted: MLP 1x512, labels as given"), "{lines:?}");
    let note = study.note(&runs);
    assert!(
        note.scale_line.starts_with("MLP 1x512, shapes10 (embedded); Shapes, labels one on, n = 200, "),
        "{note:?}"
    );
    assert!(note.scale_line.contains(", 1 epoch,"), "each ran one, whatever its accuracy: {note:?}");
    assert_eq!(note.provenance["data"], "shapes10 (embedded); Shapes, labels one on");
    let said = config.to_string();
    for part in ["MLP 1x512, true labels", "Shapes, labels one on, n = 200", "whatever the training accuracy"]
    {
        assert!(said.contains(part), "{said}");
    }
}
