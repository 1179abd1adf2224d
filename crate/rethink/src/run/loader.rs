//! The images and labels that a run trains and is tested on, ready for the network: small images cropped and whitened
//! in memory, photographs decoded as they are needed.

use crate::data::Dataset;
use crate::data::augmentation::Augmentation;
use crate::data::photographs::{LeftOut, PhotographId, Photographs};
use crate::data::preprocessing::{Area, centre_values};
use crate::run::config::{RunConfig, TrainConfig};
use crate::run::streams::{AUGMENT, CROPS, epoch_stream, stream};
use crate::{Error, Result};
use rand::RngExt;
use rethink_nn::distributed::{ProcessGroup, part, total};
use rethink_nn::image::AugmentedImage;
use rethink_nn::image::{CROP, Pixels, centre, flip, rotate};
use rethink_nn::models::{Network, are_finite, count_correct, count_top};
use rethink_nn::threads;
use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

/// Images and labels of one run.
pub struct DataLoader {
    /// Numbers of an image.
    image: usize,
    train_labels: Vec<u16>,
    test_labels: Vec<u16>,
    images: Images,
}

enum Images {
    /// Cropped and whitened.
    Small {
        train: Vec<f32>,
        test: Vec<f32>,
        /// What the training images are made from.
        source: Varied,
    },
    Photographs(Streamed),
}

/// What random crops and augmented images are made from.
struct Varied {
    shape: [usize; 3],
    /// The images; moved out by [`DataLoader::keep_in`] where nothing changes from epoch to epoch, or the network holds them.
    pixels: Pixels,
    /// Whether the network keeps them.
    kept: bool,
    random_crop: bool,
    augment: Augmentation,
    seed: u64,
}

/// Photographs as the network sees them.
struct Streamed {
    photographs: Arc<Photographs>,
    side: usize,
    random_area: bool,
    augment: Augmentation,
    seed: u64,
}

/// The largest input.
const LARGEST: usize = 4096;

/// An epoch's random choices.
pub struct Choices {
    epoch: u32,
    /// Corner of each training image's crop; none for photographs, and where nothing changes.
    corners: Vec<(u32, u32)>,
}

/// Which images a network is tested on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subset {
    /// Those that it is trained on, with the run's corruption, without random changes.
    Train,
    /// The test images.
    Test,
}

impl Subset {
    /// "train" or "test".
    pub fn name(self) -> &'static str {
        match self {
            Subset::Train => "train",
            Subset::Test => "test",
        }
    }

    /// Its photograph of this number in the data set.
    pub fn photograph(self, number: usize) -> PhotographId {
        match self {
            Subset::Train => PhotographId::Train(number),
            Subset::Test => PhotographId::Test(number),
        }
    }
}

/// Some images of a [`Subset`] as the network sees them.
pub struct TestedImages<'a> {
    /// Their numbers in the data set, rising. Files that are no photographs are passed over.
    pub numbers: Vec<u32>,
    /// `n x C x H x W` numbers, ready for [`Network::logits`].
    pub images: Cow<'a, [f32]>,
    /// One each: of training images the label after the corruption.
    pub labels: Cow<'a, [u16]>,
}

/// Accuracies of one measurement, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Accuracy {
    /// The label has the highest score.
    pub top1: f64,
    /// The label is among the five highest; on photographs alone.
    pub top5: Option<f64>,
    /// Whether all scores were finite; if not, the network has diverged, even if its weights are finite. An image with a score that is
    /// not a number counts as wrong.
    pub finite: bool,
}

/// Whether the network sees `data` as photographs: small images too, where its input is of another size than their crop.
pub(crate) fn as_photographs(config: &RunConfig, data: &Dataset) -> bool {
    data.photographs.is_some() || config.input != CROP
}

/// What is wrong with the size of small images of which a run would take 28x28 pixels, if anything.
pub(crate) fn size_problem(config: &RunConfig, data: &Dataset) -> Option<String> {
    let [_, height, width] = data.shape;
    let too_small = !as_photographs(config, data) && height.min(width) < CROP;
    too_small.then(|| {
        format!(
            "images of {height}x{width} pixels, of which a run takes {CROP}x{CROP}: pad or enlarge them before \
             `Dataset::new`, or have them resized to another `input` (`config.input = 32`)"
        )
    })
}

/// In a line, that a run sees only a part of each small image where that is less than the paper's 28x28 of 32x32; `None` where it
/// is not.
pub fn crop_note(config: &RunConfig, data: &Dataset) -> Option<String> {
    let crop = data.crop().filter(|_| !as_photographs(config, data))?;
    let seen = match config.hyper.random_crop {
        true => format!("random crops in training, in tests {crop}"),
        false => crop,
    };
    Some(format!("{}: a run sees {seen}; `config.input` shows more", data.title))
}

impl Varied {
    /// Whether images change from epoch to epoch.
    fn varies(&self) -> bool {
        self.random_crop || !self.augment.is_off()
    }

    fn view(&self, index: usize, choices: &Choices) -> AugmentedImage {
        let change = || self.augment.draw(self.seed, stream(AUGMENT, choices.epoch), index as u32);
        AugmentedImage {
            index,
            corner: choices.corners[index],
            change: (!self.augment.is_off()).then(change),
        }
    }
}

impl Streamed {
    /// Photograph number `index` of the training set in `epoch`; `false` where the file is none.
    ///
    /// Errors: those of [`Photographs::with`].
    fn train(&self, index: usize, epoch: u32, out: &mut [f32]) -> Result<bool> {
        let change = self.augment.draw(self.seed, stream(AUGMENT, epoch), index as u32);
        let written = self.photographs.with(PhotographId::Train(index), |photograph| {
            let area = if self.random_area {
                let mut rng = epoch_stream(self.seed, CROPS, epoch);
                // Room for a hundred draws of four numbers, of two words each, for every photograph.
                rng.set_word_pos(index as u128 * 1024);
                Area::random(photograph.height, photograph.width, &mut rng)
            } else {
                Area::central(photograph.height, photograph.width)
            };
            photograph.resized(area, self.side, out);
        })?;
        if written.is_none() {
            return Ok(false);
        }
        if self.augment.rotation > 0.0 {
            let whole = out.to_vec();
            rotate(&whole, [3, self.side, self.side], change.degrees, out);
        }
        if change.flip {
            flip(out, self.side);
        }
        change.colours(out, 3);
        centre_values(out);
        Ok(true)
    }

    /// A photograph as networks are tested on it: its central part; `false` where the file is none.
    ///
    /// Errors: those of [`Photographs::with`].
    fn central(&self, place: PhotographId, out: &mut [f32]) -> Result<bool> {
        let written = self.photographs.with(place, |photograph| {
            photograph.resized(Area::central(photograph.height, photograph.width), self.side, out);
        })?;
        centre_values(out);
        Ok(written.is_some())
    }
}

impl DataLoader {
    /// The first `train` training and `test` test images of `data` after the corruption of `config`.
    ///
    /// Small images are seen as photographs are where the input is of another size than 28 pixels.
    ///
    /// Errors: [`Error::Shape`] for small images below 28x28, [`Error::Argument`] for an input of more than 4,096 pixels, and
    /// for a corruption of a photograph's pixels.
    pub fn new(config: &RunConfig, data: &Dataset, train: usize, test: usize) -> Result<DataLoader> {
        let operation = "training run";
        let TrainConfig { random_crop, augment, .. } = config.hyper;
        let seed = config.seeds.order;
        let side = config.input;
        if as_photographs(config, data) {
            let small = || Arc::new(Photographs::of_small(data));
            let photographs = data.photographs.clone().unwrap_or_else(small);
            if side == 0 || side > LARGEST {
                return Err(Error::argument(operation, format!("input of {side} pixels (1 to {LARGEST})")));
            }
            let labels = &data.train.labels[..train];
            return Ok(DataLoader {
                image: 3 * side * side,
                train_labels: config.corruption.labels(labels, data.classes.len(), config.seeds.data)?,
                test_labels: data.test.labels[..test].to_vec(),
                images: Images::Photographs(Streamed {
                    photographs,
                    side,
                    random_area: random_crop,
                    augment,
                    seed,
                }),
            });
        }
        let corrupted = config.corruption.apply(data, train, test, config.seeds.data)?;
        let shape = corrupted.shape;
        Ok(DataLoader {
            image: shape[0] * CROP * CROP,
            train_labels: corrupted.train_labels,
            test_labels: corrupted.test_labels,
            images: Images::Small {
                train: corrupted.train.whitened_all(train, shape)?,
                test: corrupted.test.whitened_all(test, shape)?,
                source: Varied { shape, pixels: corrupted.train, kept: false, random_crop, augment, seed },
            },
        })
    }

    /// Lets `network` keep small images on its device, if it can and no other process trains with it (`alone`); it then trains on
    /// [`DataLoader::views`] of them.
    ///
    /// Errors: those of [`Network::keep`].
    pub fn keep_in(&mut self, network: &mut dyn Network, alone: bool) -> Result<()> {
        if let Images::Small { source, .. } = &mut self.images {
            source.kept = alone && network.keep(&source.pixels, source.shape)?;
            if source.kept || !source.varies() {
                source.pixels = Pixels::Bytes(Vec::new());
            }
        }
        Ok(())
    }

    /// Number of training examples.
    pub fn len(&self) -> usize {
        self.train_labels.len()
    }

    /// Always `false`: a run has a training set.
    pub fn is_empty(&self) -> bool {
        self.train_labels.is_empty()
    }

    /// The random choices of `epoch` (from 1): the same whenever they are asked for.
    ///
    /// Errors: [`Error::Shape`] for images below 28x28.
    pub fn choices(&self, epoch: u32) -> Result<Choices> {
        let n = self.len();
        let corners = match &self.images {
            Images::Small {
                source: Varied { shape: [_, height, width], random_crop: true, seed, .. },
                ..
            } => {
                let mut rng = epoch_stream(*seed, CROPS, epoch);
                let mut up_to = |size: usize| rng.random_range(0..=size - CROP) as u32;
                (0..n).map(|_| (up_to(*height), up_to(*width))).collect()
            }
            Images::Small { source: Varied { shape: [_, height, width], .. }, .. } => {
                let (top, left) = centre(*height, *width)?;
                vec![(top as u32, left as u32); n]
            }
            _ => Vec::new(),
        };
        Ok(Choices { epoch, corners })
    }

    /// Reads and decodes the photographs of a run that are not in memory, before its first step, so that what is left out
    /// is known and a file that fails later has changed. Of several processes, each reads a part. Says how many of the data
    /// set's files are left out; `None` where none is.
    ///
    /// Errors: those of [`Photographs::with`]; [`Error::Argument`] where no training or no test photograph is left.
    pub fn check(&self, team: Option<&dyn ProcessGroup>) -> Result<Option<LeftOut>> {
        let Images::Photographs(Streamed { photographs, .. }) = &self.images else { return Ok(None) };
        let (train, test) = (self.train_labels.len(), self.test_labels.len());
        let all: Vec<PhotographId> =
            (0..train).map(PhotographId::Train).chain((0..test).map(PhotographId::Test)).collect();
        let (rank, size) = places(team);
        let mine = part(all.len(), rank, size);
        photographs.check(&all[mine.clone()])?;
        if let Some(team) = team {
            let mut left: Vec<f32> = vec![0.0; all.len()];
            for at in mine {
                left[at] = f32::from(photographs.is_left_out(all[at]));
            }
            team.sum(&mut left);
            all.iter().zip(left).for_each(|(place, left)| photographs.learn(*place, left > 0.0));
        }
        let none_of = |count: usize, place: fn(usize) -> PhotographId| {
            (0..count).all(|i| photographs.is_left_out(place(i)))
        };
        if none_of(train, PhotographId::Train) || none_of(test, PhotographId::Test) {
            let problem = format!("no photograph is left to train or to test on: {}", self.report());
            return Err(Error::argument("training run", problem));
        }
        let left_out = photographs.left_out(train, test);
        Ok((left_out != LeftOut::default()).then_some(left_out))
    }

    fn report(&self) -> String {
        match &self.images {
            Images::Photographs(s) => s.photographs.report().unwrap_or_default(),
            Images::Small { .. } => String::new(),
        }
    }

    /// The indices in `order` of training images that are not left out.
    pub fn present<'a>(&self, order: &'a [u32]) -> Cow<'a, [u32]> {
        let Images::Photographs(Streamed { photographs, .. }) = &self.images else { return order.into() };
        let left_out = |index: &u32| photographs.is_left_out(PhotographId::Train(*index as usize));
        if !order.iter().any(left_out) {
            return order.into();
        }
        order.iter().copied().filter(|index| !left_out(index)).collect()
    }

    /// The training images `order`, gathered side by side, as they are in this epoch, and their labels. Files that are no
    /// photographs are left out.
    ///
    /// Errors: those of [`Photographs::with`].
    pub fn batch(&self, order: &[u32], choices: &Choices) -> Result<(Vec<f32>, Vec<u16>)> {
        let labels = || order.iter().map(|&i| self.train_labels[i as usize]);
        let mut images = vec![0.0; order.len() * self.image];
        match &self.images {
            Images::Small { train, source, .. } => {
                threads::each_chunk(&mut images, self.image, |at, out| {
                    let index = order[at] as usize;
                    if source.varies() {
                        source.view(index, choices).write(&source.pixels, source.shape, out);
                    } else {
                        out.copy_from_slice(&train[index * self.image..(index + 1) * self.image]);
                    }
                });
                Ok((images, labels().collect()))
            }
            Images::Photographs(streamed) => {
                let labels: Vec<u16> = labels().collect();
                self.decoded(images, labels, |at, out| streamed.train(order[at] as usize, choices.epoch, out))
            }
        }
    }

    /// The training images `order` as they are in this epoch, for a network that keeps them, and their labels; `None`
    /// where it does not.
    pub fn views(&self, order: &[u32], choices: &Choices) -> Option<(Vec<AugmentedImage>, Vec<u16>)> {
        let Images::Small { source, .. } = &self.images else { return None };
        let view = |&index: &u32| source.view(index as usize, choices);
        let labels = order.iter().map(|&i| self.train_labels[i as usize]);
        source.kept.then(|| (order.iter().map(view).collect(), labels.collect()))
    }

    /// Fills `images` by `write` and leaves out those for which it says `false`.
    ///
    /// Errors: that of the first image that has one.
    fn decoded(
        &self,
        mut images: Vec<f32>,
        mut labels: Vec<u16>,
        write: impl Fn(usize, &mut [f32]) -> Result<bool> + Sync,
    ) -> Result<(Vec<f32>, Vec<u16>)> {
        let mut there = vec![false; labels.len()];
        let failed: Mutex<Option<(usize, Error)>> = Mutex::new(None);
        let places: Vec<_> = images.chunks_exact_mut(self.image).zip(&mut there).enumerate().collect();
        threads::each_item(places, |(at, (out, there))| match write(at, out) {
            Ok(written) => *there = written,
            Err(error) => {
                let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                if failed.as_ref().is_none_or(|(first, _)| at < *first) {
                    *failed = Some((at, error));
                }
            }
        });
        if let Some((_, error)) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        if there.contains(&false) {
            let kept = images.chunks_exact(self.image).zip(&there).filter(|(_, there)| **there);
            images = kept.flat_map(|(image, _)| image.iter().copied()).collect();
            let mut there = there.iter();
            labels.retain(|_| there.next() == Some(&true));
        }
        Ok((images, labels))
    }

    /// The labels of `subset`, those of files that are no photographs among them: of training images after the corruption.
    pub fn labels(&self, subset: Subset) -> &[u16] {
        match subset {
            Subset::Train => &self.train_labels,
            Subset::Test => &self.test_labels,
        }
    }

    /// Calls `work` with the images of `subset` as networks are tested on them, some at a time, in their order.
    ///
    /// Errors: those of `work` and of [`Photographs::with`].
    pub fn tested(&self, subset: Subset, work: &mut dyn FnMut(TestedImages) -> Result<()>) -> Result<()> {
        self.tested_by((0, 1), subset, work)
    }

    /// As [`DataLoader::tested`], of which process `rank` of `size` has its share.
    fn tested_by(
        &self,
        (rank, size): (usize, usize),
        subset: Subset,
        work: &mut dyn FnMut(TestedImages) -> Result<()>,
    ) -> Result<()> {
        let labels = self.labels(subset);
        let at_once = match self.images {
            Images::Small { .. } => 250,
            Images::Photographs(_) => 50,
        };
        for (part, labels) in labels.chunks(at_once).enumerate().skip(rank).step_by(size) {
            let first = part * at_once;
            let numbers: Vec<u32> = (first as u32..).take(labels.len()).collect();
            let tested = match &self.images {
                Images::Small { train, test, .. } => {
                    let all = if subset == Subset::Train { train } else { test };
                    let images = &all[first * self.image..(first + labels.len()) * self.image];
                    TestedImages { numbers, images: images.into(), labels: labels.into() }
                }
                Images::Photographs(streamed) => {
                    let images = vec![0.0; labels.len() * self.image];
                    let (images, labels) = self.decoded(images, labels.to_vec(), |at, out| {
                        streamed.central(subset.photograph(first + at), out)
                    })?;
                    // What is no photograph has been found out by now.
                    let there =
                        |number: &u32| !streamed.photographs.is_left_out(subset.photograph(*number as usize));
                    let numbers = numbers.into_iter().filter(there).collect();
                    TestedImages { numbers, images: images.into(), labels: labels.into() }
                }
            };
            if !tested.labels.is_empty() {
                work(tested)?;
            }
        }
        Ok(())
    }

    /// How many of the images of `subset` the network says the label of; of several processes, each looks at a part.
    ///
    /// Errors: those of [`Network::logits`] and of [`Photographs::with`].
    pub fn accuracy(
        &self,
        network: &dyn Network,
        subset: Subset,
        team: Option<&dyn ProcessGroup>,
    ) -> Result<Accuracy> {
        let of_photographs = matches!(self.images, Images::Photographs(_));
        let (mut correct, mut among_five, mut seen, mut unsound) = (0, 0, 0, 0);
        threads::awake(|| {
            self.tested_by(places(team), subset, &mut |TestedImages { images, labels, .. }| {
                let scores = network.logits(images.into_owned())?;
                let classes = scores.len() / labels.len();
                correct += count_correct(&scores, &labels, classes);
                if of_photographs {
                    among_five += count_top(5, &scores, &labels, classes);
                }
                seen += labels.len();
                unsound += usize::from(!are_finite(&scores));
                Ok(())
            })
        })?;
        let [correct, among_five, seen, unsound] =
            together(team, [correct, among_five, seen, unsound].map(|n| n as f64));
        let share = |count: f64| count / seen.max(1.0);
        let top5 = of_photographs.then(|| share(among_five));
        Ok(Accuracy { top1: share(correct), top5, finite: unsound == 0.0 })
    }

    /// Numbers of an image.
    pub fn image_size(&self) -> usize {
        self.image
    }
}

/// This process's number, and how many processes share the images to classify.
fn places(team: Option<&dyn ProcessGroup>) -> (usize, usize) {
    team.map_or((0, 1), |team| (team.rank(), team.size()))
}

/// Counts summed up over all processes.
fn together<const N: usize>(team: Option<&dyn ProcessGroup>, counts: [f64; N]) -> [f64; N] {
    let Some(team) = team else { return counts };
    let sums = total(team, &counts);
    std::array::from_fn(|i| sums[i])
}
