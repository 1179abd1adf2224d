//! What a notebook asks of a network while it is trained: numbers of one's own after each epoch, and what the network sees.

use crate::data::{Dataset, Split};
use crate::run::loader::{DataLoader, Subset};
use crate::run::setup;
use crate::store::Run;
use crate::study::Study;
use crate::{Error, Result};
use polars::prelude::{Column, DataFrame};
use rethink_nn::memory::free_memory;
use rethink_nn::models::{Network, count_correct};
use rethink_nn::text::counted;
use rethink_nn::threads;

/// Images whose scores are computed at a time.
const AT_ONCE: usize = 250;

/// Images as a network is tested on them, and their labels.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// `n x C x H x W` numbers, cropped and whitened, as [`Network::logits`] takes them.
    pub images: Vec<f32>,
    /// One each: of training images the label after the run's corruption.
    pub labels: Vec<u16>,
}

impl Inputs {
    fn of(loader: &DataLoader, subset: Subset) -> Result<Inputs> {
        let (mut images, mut labels) = (Vec::new(), Vec::new());
        loader.tested(subset, &mut |tested| {
            images.extend_from_slice(&tested.images);
            labels.extend_from_slice(&tested.labels);
            Ok(())
        })?;
        Ok(Inputs { images, labels })
    }

    /// The share of the images of which the network says the label, 0 to 1.
    ///
    /// Errors: those of [`Network::logits`].
    pub fn accuracy(&self, network: &dyn Network) -> Result<f64> {
        let mut correct = 0;
        self.each(network, |scores, labels| {
            correct += count_correct(scores, labels, scores.len() / labels.len());
        })?;
        Ok(correct as f64 / self.labels.len() as f64)
    }

    /// The mean cross-entropy of the network's scores with the labels, in nats; without weight decay and smoothing.
    ///
    /// Errors: those of [`Network::logits`].
    pub fn loss(&self, network: &dyn Network) -> Result<f64> {
        let mut sum = 0.0;
        self.each(network, |scores, labels| {
            let rows = scores.chunks_exact(scores.len() / labels.len()).zip(labels);
            sum += rows.map(|(row, label)| cross_entropy(row, *label)).sum::<f64>();
        })?;
        Ok(sum / self.labels.len() as f64)
    }

    /// Calls `work` with the network's scores of some images after the other, and these images' labels.
    fn each(&self, network: &dyn Network, mut work: impl FnMut(&[f32], &[u16])) -> Result<()> {
        let size = self.images.len() / self.labels.len().max(1);
        let parts = self.images.chunks(AT_ONCE * size.max(1)).zip(self.labels.chunks(AT_ONCE));
        threads::awake(|| -> Result<()> {
            for (images, labels) in parts {
                work(&network.logits(images.to_vec())?, labels);
            }
            Ok(())
        })
    }
}

/// Of one image's scores, in nats.
fn cross_entropy(scores: &[f32], label: u16) -> f64 {
    let most = f64::from(scores.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = scores.iter().map(|score| (f64::from(*score) - most).exp()).sum();
    most + sum.ln() - f64::from(scores[usize::from(label)])
}

impl Study {
    /// The training and the test images of `run`, as its network is tested on them: with the run's corruption, without random changes and
    /// without files that are no photographs.
    ///
    /// Errors: [`Error::Missing`] where there is no memory for all of them; those of [`DataLoader::new`] and [`DataLoader::tested`].
    pub fn inputs(&self, run: &Run) -> Result<[Inputs; 2]> {
        let config = &run.record.config;
        setup::check(config, &self.data)?;
        let loader = DataLoader::new(config, &self.data, config.data.train, config.data.test)?;
        let count = config.data.train + config.data.test;
        let bytes = count as u64 * loader.image_size() as u64 * size_of::<f32>() as u64;
        if let Some(free) = free_memory().filter(|free| bytes > *free) {
            let [takes, free] = [bytes, free].map(|bytes| bytes as f64 / 1e9);
            let images = counted(count, "image");
            return Err(Error::Missing {
                what: format!("{images} as inputs take {takes:.1} GB of memory, {free:.1} GB are free"),
                remedy: "take fewer images (`n`), or a smaller input".into(),
            });
        }
        Ok([Inputs::of(&loader, Subset::Train)?, Inputs::of(&loader, Subset::Test)?])
    }

    /// Other test images as the network of `run` is tested on its own, with the run's crop, whitening and corruption: of another source
    /// ([`read_split`](crate::data::arrays::read_split)), or the data set's own after a change. They have the study's shape and classes.
    ///
    /// Errors: [`Error::Argument`] for photographs, and where images and labels do not fit each other or the study's data; those of
    /// [`DataLoader::new`] and [`DataLoader::tested`].
    pub fn inputs_of(&self, run: &Run, test: &Split) -> Result<Inputs> {
        let config = &run.record.config;
        setup::check(config, &self.data)?;
        self.data.pixels("test on other images")?;
        // Some corruptions of pixels are drawn by what the training images are.
        let data = Dataset::changed_for(&self.data, self.data.train.clone(), test.clone())?;
        let loader = DataLoader::new(config, &data, config.data.train, test.len())?;
        Inputs::of(&loader, Subset::Test)
    }

    /// Numbers of one's own before the first epoch of `run`, as epoch 0, and after each: a frame with the column `epoch` (u32) and one of f64
    /// for each name that `measure` gives. It is called with the epoch and with the network as it is tested.
    ///
    /// The run's training is repeated, as [`Study::network`] does, and has to give the run's own numbers, bit for bit; what `measure`
    /// takes of time comes on top.
    ///
    /// Errors: those of [`Study::network`] and of `measure`; [`Error::Argument`] where it gives no names, one twice or `epoch`, and where it gives
    /// other names than at epoch 0.
    pub fn observe<Name: Into<String>>(
        &self,
        run: &Run,
        mut measure: impl FnMut(u32, &dyn Network) -> Result<Vec<(Name, f64)>>,
    ) -> Result<DataFrame> {
        setup::check(&run.record.config, &self.data)?;
        let mut observed = Observed::default();
        self.trained_again(run, "to be observed", &mut |epoch, network| {
            let row = measure(epoch, network)?;
            observed.add(epoch, row.into_iter().map(|(name, value)| (name.into(), value)).collect())
        })?;
        observed.frame()
    }
}

/// The columns of [`Study::observe`].
#[derive(Default)]
struct Observed {
    epochs: Vec<u32>,
    names: Vec<String>,
    values: Vec<Vec<f64>>,
}

impl Observed {
    fn add(&mut self, epoch: u32, row: Vec<(String, f64)>) -> Result<()> {
        let (names, row): (Vec<String>, Vec<f64>) = row.into_iter().unzip();
        if self.epochs.is_empty() {
            check_names(&names)?;
            (self.names, self.values) = (names, vec![Vec::new(); row.len()]);
        } else if names != self.names {
            let problem =
                format!("epoch {epoch} gives {}, the epochs before {}", listed(&names), listed(&self.names));
            return Err(Error::argument("observe", problem));
        }
        self.epochs.push(epoch);
        self.values.iter_mut().zip(row).for_each(|(values, value)| values.push(value));
        Ok(())
    }

    fn frame(self) -> Result<DataFrame> {
        let height = self.epochs.len();
        let own = self.names.into_iter().zip(self.values);
        let own = own.map(|(name, values)| Column::new(name.into(), values));
        let all = std::iter::once(Column::new("epoch".into(), self.epochs)).chain(own).collect();
        DataFrame::new(height, all).map_err(Error::frame("observe"))
    }
}

/// Whether a frame can have columns of these names beside `epoch`.
fn check_names(names: &[String]) -> Result<()> {
    let taken = |(at, name): &(usize, &String)| *name == "epoch" || names[..*at].contains(name);
    if names.is_empty() {
        return Err(Error::argument("observe", "epoch 0 gives no number: `Ok(vec![(\"name\", number)])`"));
    }
    match names.iter().enumerate().find(taken) {
        None => Ok(()),
        Some((_, name)) => {
            let problem = format!(
                "two columns of the name {name} (`epoch` is there already); epoch 0 gives {}",
                listed(names)
            );
            Err(Error::argument("observe", problem))
        }
    }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "nothing".into() } else { names.join(", ") }
}
