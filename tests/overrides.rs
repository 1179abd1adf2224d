//! `--set`: other values of what the recipes choose.

use clap::Parser;
use rethink::claims::Judgement;
use rethink::data::corruption::Corruption;
use rethink::data::shapes10;
use rethink::overrides::Overrides;
use rethink::paper;
use rethink::run::appendix_a;
use rethink::run::config::{RunConfig, Scale, Seeds};
use rethink::study::Study;
use rethink_cli::commands::command::{Action, Command};
use rethink_nn::models::{Init, ModelKind};
use rethink_nn::numbers::parsed;
use rethink_nn::optim::{DecayOn, Optimizer};
use rethink_nn::precision::Precision;
use rethink_tests::rethink_bin;
use std::path::Path;
use std::process;

fn study(scale: Scale, set: &str) -> Study {
    let study = Study::new(Some("shapes10"), scale, "/nowhere").unwrap();
    study.set(set.parse().unwrap_or_else(|e| panic!("{set}: {e}"))).unwrap()
}

fn configs(scale: Scale, id: &str, set: &str) -> Vec<RunConfig> {
    study(scale, set).configs_of(paper::find(id).unwrap())
}

#[test]
fn every_value_reaches_every_run() {
    let all = "epochs=7,n=300,test=90,width=0.25,batch=50,rate=0.3,momentum=0.8,decay=0.9,decay-every=3,\
               weight-decay=0.002,weight-decay-on=weights,norm-memory=0.99,optimizer=rmsprop+0.8+0.5,\
               label-smoothing=0.2,average=0.999,precision=bf16,log-every=4,eval-every=2,fitted-epochs=3";
    for id in ["fig1a", "fig1b", "table1", "table4", "fig2b"] {
        let (plain, changed) = (configs(Scale::Small, id, ""), configs(Scale::Small, id, all));
        assert_eq!(plain.len(), changed.len());
        for (plain, c) in plain.iter().zip(&changed) {
            assert_eq!((c.data.train, c.data.test, c.width_factor), (300, 90, 0.25), "{id}");
            let h = &c.hyper;
            assert_eq!((h.epochs, h.batch_size, h.learning_rate, h.momentum), (7, 50, 0.3, 0.8), "{id}");
            assert_eq!((h.rate_decay, h.rate_decay_every, c.log_every, c.eval_every), (0.9, 3, 4, 2), "{id}");
            // Only where the recipe has it: a row without a regulariser stays one.
            let expected = if plain.hyper.weight_decay > 0.0 { 0.002 } else { 0.0 };
            assert_eq!(h.weight_decay, expected, "{id}");
            // Only where a run ends so: one that goes on keeps its key.
            assert_eq!(h.fitted_epochs, if h.stop_when_fitted { 3 } else { 1 }, "{id}");
            let on = if expected > 0.0 { DecayOn::Weights } else { DecayOn::All };
            let rmsprop = Optimizer::RmsProp { decay: 0.8, epsilon: 0.5 };
            assert_eq!((h.weight_decay_on, h.norm_memory, h.optimizer), (on, 0.99, rmsprop), "{id}");
            assert_eq!((h.label_smoothing, h.average), (0.2, Some(0.999)), "{id}");
            assert_eq!(h.precision, Precision::Bf16, "{id}");
            assert_eq!((c.model, c.corruption, c.seeds), (plain.model, plain.corruption, plain.seeds));
            assert_ne!(c.key(), plain.key());
        }
    }
    assert_eq!(
        configs(Scale::Smoke, "fig1a", ""),
        paper::find("fig1a").unwrap().runs(&shapes10::dataset(), Scale::Smoke)
    );
}

/// What is called so in a configuration is understood under that name too, and shown under the one that is listed.
#[test]
fn names_of_fields_are_understood() {
    let fields = "width_factor=0.25,batch_size=50,learning_rate=0.3,rate_decay=0.9,rate_decay_every=3,weight_decay=0.002,\
                  weight_decay_on=weights,norm_memory=0.99,label_smoothing=0.2,log_every=4,eval_every=2,fitted_epochs=3";
    let listed = "width=0.25,batch=50,rate=0.3,decay=0.9,decay-every=3,weight-decay=0.002,weight-decay-on=weights,\
                  norm-memory=0.99,label-smoothing=0.2,log-every=4,eval-every=2,fitted-epochs=3";
    let read: Overrides = fields.parse().unwrap();
    assert_eq!((&read, read.to_string().as_str()), (&listed.parse().unwrap(), listed));
    let error = "rate=0.1,learning_rate=0.2".parse::<Overrides>().unwrap_err().to_string();
    assert!(error.contains("learning_rate is given twice"), "{error}");
    let error = "learning_rate=0".parse::<Overrides>().unwrap_err().to_string();
    assert!(error.contains("learning_rate=0: above 0"), "{error}");
    // Each is a field's: of the hyper-parameters' or the run's own.
    let config = configs(Scale::Smoke, "fig2b", fields).remove(0);
    assert_eq!((config.width_factor, config.hyper.learning_rate, config.hyper.rate_decay), (0.25, 0.3, 0.9));
}

#[test]
fn only_the_networks_that_are_named() {
    for (id, count) in [("fig1b", 4), ("table1", 6), ("table4", 2), ("fig1a", 0)] {
        let chosen = configs(Scale::Small, id, "models=mlp1x512+mlp3x512,epochs=9");
        assert!(chosen.len() >= count && (count > 0 || chosen.is_empty()), "{id}: {}", chosen.len());
        assert!(chosen.iter().all(|c| c.model.is_mlp() && c.hyper.epochs == 9), "{id}");
        let all = configs(Scale::Small, id, "epochs=9");
        let kept: Vec<_> = all.into_iter().filter(|c| c.model.is_mlp()).collect();
        assert_eq!(chosen, kept, "{id}");
    }
    let set = study(Scale::Small, "models=mlp1x512+mlp3x512").overrides.to_string();
    assert_eq!(set, "models=mlp1x512+mlp3x512");
    for wrong in ["models=", "models=mlp", "models=mlp1x512+", "models=mlp1x512,models=alexnet"] {
        let error = wrong.parse::<Overrides>().unwrap_err().to_string();
        assert!(error.contains("models"), "{wrong}: {error}");
    }
}

/// In figures that compare networks, beside those of the paper that are named; in no other item.
#[test]
fn a_network_of_ones_own_enters_the_figures() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tiny.json");
    let write = |outputs: usize| {
        let hidden = format!(r#"{{"linear": {{"outputs": {outputs}, "activation": "relu"}}}}"#);
        let last = r#"{"linear": {"outputs": 10, "activation": "none"}}"#;
        std::fs::write(&file, format!(r#"{{"name": "tiny", "layers": [{hidden}, {last}]}}"#)).unwrap();
    };
    write(20);
    let set = format!("models=alexnet+{}", file.display());
    let titles = |id: &str, set: &str| {
        let mut titles: Vec<&str> =
            configs(Scale::Smoke, id, set).iter().map(|config| config.model.title()).collect();
        titles.dedup();
        titles
    };
    for id in ["fig1b", "fig1c"] {
        assert_eq!(titles(id, &set), ["Alexnet", "tiny"]);
        assert_eq!(configs(Scale::Smoke, id, &set).len(), 6, "at three levels each");
    }
    for (id, expected) in [("fig1a", &["tiny"][..]), ("fig2b", &["tiny"]), ("table4", &["Alexnet"])] {
        assert_eq!(titles(id, &set), expected, "{id}");
    }
    // What is shown, and the folder, have its name and its layers' checksum; a notebook is given the file.
    let mine = study(Scale::Smoke, &set);
    let shown = mine.overrides.to_string();
    assert!(shown.starts_with("models=alexnet+tiny-") && !shown.contains('/'), "{shown}");
    assert_eq!(mine.folder(), Path::new(&format!("/nowhere/shapes10-smoke,{shown}")));
    assert_eq!(mine.overrides.argument().parse::<Overrides>().unwrap(), mine.overrides);
    write(21);
    assert_ne!(study(Scale::Smoke, &set).overrides.to_string(), shown, "another network of that name");
    // What is wrong with a file is told.
    std::fs::write(&file, "{").unwrap();
    let error = set.parse::<Overrides>().unwrap_err().to_string();
    assert!(error.contains("tiny.json") && error.contains("EOF"), "{error}");
    let error = "models=/nowhere/a,b.json".parse::<Overrides>().unwrap_err().to_string();
    assert!(error.contains("models"), "{error}");
}

#[test]
fn levels_of_figures_1b_and_1c() {
    for id in ["fig1b", "fig1c"] {
        let levels: Vec<f64> = configs(Scale::Smoke, id, "levels=1+0.25+0+0.25,models=mlp1x512")
            .iter()
            .filter_map(|config| config.corruption.label_noise())
            .collect();
        assert_eq!(levels, [0.0, 0.25, 1.0], "{id}");
    }
    assert!(configs(Scale::Smoke, "table1", "levels=0+1").is_empty());
    let set = study(Scale::Smoke, "levels=1+0+-0");
    assert_eq!(set.folder(), Path::new("/nowhere/shapes10-smoke,levels=0+1"));
    for wrong in ["levels=", "levels=0+1.1", "levels=nan", "levels=-0.1", "levels=0,levels=1"] {
        let error = wrong.parse::<Overrides>().unwrap_err().to_string();
        assert!(error.contains("levels"), "{wrong}: {error}");
    }
}

/// At paper scale on all 10,000 images the rate decays every 5 epochs; with 1,000 of them every 50.
#[test]
fn what_depends_on_a_changed_value_follows_it() {
    let of = |set: &str| configs(Scale::Paper, "fig1b", set).remove(0);
    let (plain, fewer) = (of(""), of("n=1000"));
    assert_eq!((plain.hyper.rate_decay_every, plain.log_every, plain.eval_every), (5, 79, 5));
    assert_eq!((fewer.hyper.rate_decay_every, fewer.log_every, fewer.eval_every), (50, 8, 10));
    assert_eq!(of("batch=1000").log_every, 10);
    let alexnet = |set: &str| {
        let all = configs(Scale::Paper, "fig1b", set);
        all.into_iter().find(|c| c.model == ModelKind::Alexnet).unwrap().hyper.init
    };
    assert_eq!((alexnet(""), alexnet("width=0.125")), (Init::Tutorial, Init::Glorot));
    // What a recipe has chosen itself stays.
    assert_eq!(
        configs(Scale::Small, "fig2b", "n=300")[0].eval_every,
        configs(Scale::Small, "fig2b", "")[0].eval_every
    );
}

/// `rethink run --width 0.5 --train 500` is what `--set width=0.5,n=500` makes of the same recipe's run.
#[test]
fn the_command_lines_choice_of_a_run_is_followed_in_the_same_way() {
    for (scale, model) in [(Scale::Small, "alexnet"), (Scale::Paper, "alexnet"), (Scale::Paper, "mlp1x512")] {
        for (train, width, batch) in [(500, 0.5, 50), (1_000, 1.0, 128), (10_000, 1.0, 64)] {
            let line = format!(
                "rethink run --model {model} --train {train} --width {width} --batch-size {batch} --repeat 1"
            );
            let Action::Run { choice, .. } = Command::try_parse_from(line.split(' ')).unwrap().action else {
                panic!("{line}");
            };
            let study = study(scale, "");
            let seeds = Seeds::repeat(1);
            let mut expected = appendix_a::config_at(
                &study.data,
                scale,
                model.parse().unwrap(),
                Corruption::TrueLabels,
                seeds,
            );
            let set: Overrides = format!("n={train},width={width},batch={batch}").parse().unwrap();
            set.apply(&mut expected, &study.data);
            assert_eq!(choice.configure(&study), expected, "{line}");
        }
    }
}

#[test]
fn the_command_line_says_when_a_run_ends() {
    let rule = |more: &str| {
        let line = format!("rethink run --model mlp1x512{more}");
        let Action::Run { choice, .. } =
            Command::try_parse_from(line.split(' ')).map_err(|e| e.to_string())?.action
        else {
            panic!("{line}");
        };
        let hyper = choice.configure(&study(Scale::Smoke, "")).hyper;
        Ok::<_, String>((hyper.stop_when_fitted, hyper.fitted_epochs))
    };
    assert_eq!(rule(""), Ok((true, appendix_a::FITTED_EPOCHS)));
    assert_eq!(rule(" --fitted-epochs 1"), Ok((true, 1)));
    assert_eq!(rule(" --keep-going"), Ok((false, 1)));
    for wrong in ["0", "-1", "some", "1.5", "3 --keep-going"] {
        let error = rule(&format!(" --fitted-epochs {wrong}")).unwrap_err();
        assert!(error.contains("--fitted-epochs"), "{wrong}: {error}");
    }
    for wrong in ["fitted-epochs=0", "fitted-epochs=x", "fitted-epochs=2,fitted-epochs=3"] {
        let error = wrong.parse::<Overrides>().unwrap_err().to_string();
        assert!(error.contains("fitted-epochs"), "{wrong}: {error}");
    }
}

#[test]
fn results_are_kept_apart_and_say_what_was_set() {
    let set = study(Scale::Smoke, " rate=0.05 , epochs=20 ");
    assert_eq!(set.overrides.to_string(), "epochs=20,rate=0.05");
    assert_eq!(set.overrides.to_string().parse::<Overrides>().unwrap(), set.overrides);
    assert_eq!(set.folder(), Path::new("/nowhere/shapes10-smoke,epochs=20,rate=0.05"));
    assert!(set.to_string().contains("set:   epochs=20,rate=0.05\n"), "{set}");
    assert!(
        set.scale_line(&[]).ends_with("scale smoke, set epochs=20, rate=0.05"),
        "{}",
        set.scale_line(&[])
    );
    let all = "epochs=7,n=300,test=90,width=0.25,batch=50,rate=0.3,momentum=0.8,decay=0.9,decay-every=3,weight-decay=0.002,\
               weight-decay-on=fc,norm-memory=0.99,optimizer=rmsprop,label-smoothing=0.2,average=0.999,precision=bf16,log-every=4,\
               eval-every=2,models=mlp1x512";
    assert_eq!(all.parse::<Overrides>().unwrap().to_string(), all);
    let plain = study(Scale::Smoke, "");
    assert_eq!(plain.folder(), Path::new("/nowhere/shapes10-smoke"));
    assert!(!plain.to_string().contains("set:") && plain.scale_line(&[]).ends_with("scale smoke"));
}

/// In one store: claims speak of the recipes' own setting alone.
#[test]
fn runs_with_other_values_are_no_evidence_for_the_paper() {
    let out = tempfile::tempdir().unwrap();
    let claim = ["alexnet-and-mlps-fit"];
    let at = |set: &str| {
        Study::new(Some("shapes10"), Scale::Smoke, out.path()).unwrap().set(set.parse().unwrap()).unwrap()
    };
    let train = |study: &Study| {
        let all = study.configs_of(paper::find("table1").unwrap());
        let mlps: Vec<RunConfig> = all.into_iter().filter(|c| c.model.title() == "MLP 1x512").collect();
        study.train_all(&mlps, &mut |_| {}).unwrap();
    };
    for set in ["epochs=1", "n=60,test=50", "rate=0.02,epochs=1", "weight-decay=0.5"] {
        train(&at(set));
        if set != "weight-decay=0.5" {
            assert_eq!(at("").claims(&claim).unwrap()[0].verdict, Judgement::NotYetMeasured, "{set}");
        }
    }
    train(&at(""));
    let checks = at("").claims(&claim).unwrap();
    assert_eq!(checks.len(), 1, "one number of images: {checks:?}");
    assert_eq!(checks[0].n, 200);
    // Nor are the plain runs evidence for a study with other values; where these are the recipe's own, they are.
    assert_eq!(at("epochs=1").claims(&claim).unwrap()[0].verdict, Judgement::NotYetMeasured);
    assert_ne!(at("momentum=0.9").claims(&claim).unwrap()[0].verdict, Judgement::NotYetMeasured);
}

#[test]
fn unknown_names_and_bad_values_are_errors_that_list_the_names() {
    let rethink = |arguments: &[&str]| {
        let said = process::Command::new(rethink_bin()).args(arguments).output().unwrap();
        assert!(!said.status.success(), "{arguments:?}");
        String::from_utf8_lossy(&said.stderr).into_owned()
    };
    for (set, part) in [
        ("epoch=3", "epochs (1 to 100,000), n (1 or more)"),
        ("epochs", "NAME=VALUE"),
        ("epochs=0", "1 to 100,000"),
        ("epochs=many", "epochs=many"),
        ("rate=nan", "above 0, at most 100"),
        ("momentum=1", "below 1"),
        ("rate=1e-50", "above 0, at most 100"),
        ("norm-memory=1", "norm-memory=1: 0 or more, below 1"),
        ("optimizer=adagrad", "sgd, rmsprop, adam, adamw, or one of the last three with +DECAY+EPSILON"),
        ("optimizer=adam+1+1", "sgd, rmsprop, adam, adamw, or one of the last three with +DECAY+EPSILON"),
        ("label-smoothing=-0.1", "below 1"),
        ("average=0.99999999999", "average=0.99999999999: 0 or more, below 1"),
        ("precision=tf32", "float32 or bf16"),
        ("weight-decay-on=biases", "all, fc or weights"),
        ("n=20000", "shapes10 (embedded) has 10,000 training images"),
        ("n=5,n=6", "n is given twice"),
    ] {
        for command in [["reproduce", "--only"], ["sweep", "--scale"]] {
            let value = if command[0] == "sweep" { "smoke" } else { "fig1a" };
            let mut arguments = vec![command[0]];
            if command[0] == "sweep" {
                arguments.push("fig1a");
            }
            arguments.extend([
                command[1],
                value,
                "--data",
                "shapes10",
                "--out",
                "/nonexistent/x",
                "--set",
                set,
            ]);
            let said = rethink(&arguments);
            assert!(said.contains("--set") && said.contains(part), "{set}: {said}");
            assert!(!said.contains("panicked"), "{said}");
        }
    }
    let said =
        rethink(&["sweep", "theorem1", "--data", "shapes10", "--set", "epochs=3", "--out", "/nonexistent/x"]);
    assert!(said.contains("theorem1 is made of no training runs"), "{said}");
    let said =
        rethink(&["sweep", "table1", "--data", "shapes10", "--set", "levels=0", "--out", "/nonexistent/x"]);
    assert!(said.contains("table1 has no levels"), "{said}");
    // A recipe of training runs that has none of the network.
    for (id, set, said) in [
        ("fig1a", "models=mlp1x512", "no run of fig1a is of mlp1x512: models can be inception\n"),
        (
            "fig1b",
            "models=inception-v3",
            "no run of fig1b is of inception-v3: models can be inception, alexnet or mlp1x512\n",
        ),
    ] {
        let error = rethink(&["sweep", id, "--data", "shapes10", "--set", set, "--out", "/nonexistent/x"]);
        assert!(error.contains(said), "{error}");
    }
}

/// -0 is 0, in the key too: equal runs are made once.
#[test]
fn minus_nothing_is_nothing() {
    let study = study(Scale::Smoke, "");
    let of = |more: &str| {
        let line = format!("rethink run --model mlp1x512{more}");
        let Action::Run { choice, .. } = Command::try_parse_from(line.split(' ')).unwrap().action else {
            panic!("{line}");
        };
        choice.configure(&study)
    };
    for option in [
        "momentum",
        "label-smoothing",
        "average",
        "norm-memory",
        "weight-decay",
        "rotation",
        "brightness",
        "saturation",
        "hue",
        "contrast",
    ] {
        for minus in ["-0", "-0.0", "-0e5"] {
            let (plus, minus) = (of(&format!(" --{option}=0")), of(&format!(" --{option}={minus}")));
            assert_eq!(plus.key(), minus.key(), "{option}");
        }
    }
    for (option, plus, minus) in [
        ("corruption", "partial-labels:0", "partial-labels:-0"),
        ("optimizer", "rmsprop+0+1", "rmsprop+-0+1"),
    ] {
        let (plus, minus) = (of(&format!(" --{option} {plus}")), of(&format!(" --{option} {minus}")));
        assert_eq!(plus.key(), minus.key(), "{option}");
    }
    for name in ["momentum", "norm-memory", "label-smoothing", "average", "levels"] {
        let of = |zero: &str| -> Vec<String> {
            let set = format!("{name}={zero}");
            configs(Scale::Smoke, "fig1b", &set).iter().map(RunConfig::key).collect()
        };
        assert_eq!(of("0"), of("-0"), "{name}");
    }
    // All other numbers keep their bits.
    for text in ["0", "1", "-1", "0.1", "-0.3", "1e-310", "5e-324", "-5e-324", "1e308", "inf", "-inf"] {
        let (own, plain): (f64, f64) = (parsed(text).unwrap(), text.parse().unwrap());
        assert_eq!(own.to_bits(), plain.to_bits(), "{text}");
    }
    assert_eq!(parsed("-0").unwrap().to_bits(), 0);
    assert_eq!(parsed("much").unwrap_err(), "much".parse::<f64>().unwrap_err());
}
