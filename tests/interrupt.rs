//! Training that is to end early: it leaves within an epoch, and goes on bit for bit. In a file of its own, since the wish is the whole
//! process's.

use rethink::data::shapes10;
use rethink::nn::interrupt;
use rethink::nn::models::ModelKind;
use rethink::prelude::{Corruption, Scale, Seeds, Store};
use rethink::run::appendix_a::config_at;
use rethink::run::row::StopReason;
use rethink::run::watch::{Place, Watch};
use rethink::store::Event;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[test]
fn an_interrupted_run_goes_on_within_its_epoch() {
    let data = shapes10::generate(1_000, 100, 1).expect("images");
    let mut config =
        config_at(&data, Scale::Smoke, ModelKind::Mlp1x512, Corruption::RandomLabels, Seeds::default());
    config.data = data.id(1_000, 100);
    (config.hyper.batch_size, config.hyper.epochs, config.log_every) = (16, 6, 5);
    config.hyper.keep_going();

    let folder = tempfile::tempdir().expect("a folder");
    let whole = Store::new(folder.path().join("whole"));
    let whole = whole.run(&config, &data, Scale::Smoke, &mut |_| ()).expect("it trains");

    let store = Store::new(folder.path().join("parts"));
    let watch: Mutex<Option<Arc<Watch>>> = Mutex::new(None);
    let over = AtomicBool::new(false);
    let (mut parts, mut within) = (0, 0);
    std::thread::scope(|scope| {
        // Wants an end some steps after each beginning.
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let place = watch.lock().expect("no panic").as_ref().map(|watch| watch.place());
                interrupt::want(place.is_some_and(|Place { step, .. }| step % 17 == 9));
                std::thread::sleep(Duration::from_micros(200));
            }
            interrupt::want(false);
        });
        let run = loop {
            let mut began = 0;
            let run = store.run(&config, &data, Scale::Smoke, &mut |event| {
                if let Event::Training(of, after) = event {
                    began = after;
                    *watch.lock().expect("no panic") = Some(of);
                }
            });
            *watch.lock().expect("no panic") = None;
            interrupt::want(false);
            let run = run.expect("it trains");
            if run.record.ending != StopReason::Interrupted {
                break run;
            }
            parts += 1;
            assert!(store.get(&config).expect("a store").is_none(), "no interrupted run is in a store");
            let checkpoint = store.folder().join(format!("{}.partial/checkpoint.safetensors", config.key()));
            let bytes = std::fs::read(checkpoint).expect("an interrupted run has a checkpoint");
            within += usize::from(String::from_utf8_lossy(&bytes).contains("within"));
            assert!(parts < 400, "after {parts} parts at epoch {began}");
        };
        over.store(true, Ordering::Relaxed);
        assert!(within > 0, "{parts} interrupts, none within an epoch");
        assert_eq!(run.record.digest, whole.record.digest, "{parts} interrupts, {within} within an epoch");
        assert!(
            run.frame
                .drop("seconds")
                .expect("a frame")
                .equals_missing(&whole.frame.drop("seconds").expect("a frame"))
        );
    });
}
