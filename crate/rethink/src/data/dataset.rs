//! A data set in memory: its images, their labels, and a sheet of them to look at.

use super::format::DIGITS;
use super::photographs::{PhotographId, Photographs};
use super::preprocessing::Area;
use super::{DataId, Format, Published};
use crate::{Error, Result};
use rethink_nn::image::CROP;
use rethink_nn::text::{counted, hex, thousands};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::Arc;

/// Height and width of CIFAR-10's images, of which the paper takes 28x28.
const PAPERS_SIDE: usize = 32;

/// Images of one size and their labels.
#[derive(Clone, PartialEq, Eq)]
pub struct Split {
    /// `n x C x H x W` bytes, 0 to 255, image after image, plane after plane, row after row.
    pub images: Vec<u8>,
    /// `n` class indices.
    pub labels: Vec<u16>,
}

impl Split {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// True without any image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

/// A data set in memory: a training and a test split of `u8` images.
#[derive(Clone)]
pub struct Dataset {
    /// Short name, as on the command line (`cifar10`).
    pub name: String,
    /// Name for figures and tables, with what a reader must know ("CIFAR-10 (JPEG q75)").
    pub title: String,
    /// Class names, in the order of the labels.
    pub classes: Vec<String>,
    /// Channels, height and width of every image; of photographs, which differ in size, the paper's 3, 299, 299.
    pub shape: [usize; 3],
    /// Training images.
    pub train: Split,
    /// Test images.
    pub test: Split,
    /// SHA-256 over shape, labels and images of both splits, in hexadecimal. Of photographs: over names, sizes and
    /// labels, and over the contents where the files have no more than 1 GiB.
    pub fingerprint: String,
    /// Training labels before [`Dataset::changed`] changed nothing but labels.
    pub before: Option<Arc<Vec<u16>>>,
    /// Photographs are decoded when they are needed: the splits have labels alone.
    pub photographs: Option<Arc<Photographs>>,
}

impl Dataset {
    /// Checks that the parts agree (lengths, label range, nothing empty) and fingerprints them. Images of any size: a run takes the middle
    /// 28x28 pixels of each unless its `input` says otherwise, and refuses smaller ones.
    ///
    /// Errors: [`Error::Argument`] where lengths disagree, for an empty split, fewer than two classes, a label that is no class, a
    /// title that belongs to other images ([`super::published`]), and a name that is not 1 to 100 letters, digits, `-`, `_` and `.` (not
    /// at the beginning): folders are named by it.
    pub fn new(
        name: impl Into<String>,
        title: impl Into<String>,
        classes: Vec<String>,
        shape: [usize; 3],
        train: Split,
        test: Split,
    ) -> Result<Dataset> {
        let (name, title) = (name.into(), title.into());
        let good = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
        if !(1..=100).contains(&name.len()) || name.starts_with('.') || !name.chars().all(good) {
            let problem = format!(
                "name {name:?}: 1 to 100 letters, digits, '-', '_' and '.' (not first), as it names folders"
            );
            return Err(Error::argument("data set", problem));
        }
        let mut data = Dataset::unnamed(classes, shape, train, test)?;
        let own = Published::by_fingerprint(&data.fingerprint).is_some_and(|known| known.title == title);
        if Published::is_reserved(&title) && !own {
            let problem = format!("{title:?} is the title of a published set, and these images are not it");
            return Err(Error::argument("data set", problem));
        }
        (data.name, data.title) = (name, title);
        Ok(data)
    }

    /// A data set read from files: with a published set's name where the images are that set's, to the byte, else with the
    /// format's and the folder's.
    pub(super) fn read_from(
        folder: &Path,
        format: &Format,
        classes: Vec<String>,
        shape: [usize; 3],
        (train, test): (Split, Split),
    ) -> Result<Dataset> {
        let mut data = Dataset::unnamed(classes, shape, train, test)?;
        match Published::by_fingerprint(&data.fingerprint) {
            Some(published) => data.call(published),
            None => (data.name, data.title) = format.called_by(&data.fingerprint, folder),
        }
        Ok(data)
    }

    /// What people call it: the name, or, where that was made of the fingerprint, the title without what is in brackets.
    pub(crate) fn short_name(&self) -> &str {
        let of_fingerprint = self.fingerprint.get(..DIGITS).is_some_and(|digits| self.name.ends_with(digits));
        let title = self.title.split(" (").next().unwrap_or(&self.title);
        if of_fingerprint { title } else { &self.name }
    }

    /// Names what is known to be `published`.
    pub(super) fn call(&mut self, published: Published) {
        (self.name, self.title) = (published.name.into(), published.title.into());
    }

    /// `like` after one image was changed for a measurement, under the name of `like`.
    pub(crate) fn changed_for(like: &Dataset, train: Split, test: Split) -> Result<Dataset> {
        let mut data = Dataset::unnamed(like.classes.clone(), like.shape, train, test)?;
        (data.name, data.title) = (like.name.clone(), like.title.clone());
        Ok(data)
    }

    fn unnamed(classes: Vec<String>, shape: [usize; 3], train: Split, test: Split) -> Result<Dataset> {
        let operation = "data set";
        let pixels: usize = shape.iter().product();
        if classes.len() < 2 {
            let problem = format!("{}; there have to be two or more", counted(classes.len(), "class name"));
            return Err(Error::argument(operation, problem));
        }
        for (split, name) in [(&train, "training"), (&test, "test")] {
            if split.is_empty() || pixels == 0 {
                return Err(Error::argument(operation, format!("no {name} images")));
            }
            if split.images.len() != split.len() * pixels {
                let [channels, height, width] = shape;
                let problem = format!(
                    "{} bytes of {name} images, where {} of {channels}x{height}x{width} pixels need {}; both are \
                     numbers of one byte (uint8)",
                    thousands(split.images.len()),
                    counted(split.len(), "label"),
                    thousands(split.len() * pixels)
                );
                return Err(Error::argument(operation, problem));
            }
            let wrong =
                split.labels.iter().enumerate().find(|(_, label)| usize::from(**label) >= classes.len());
            if let Some((image, label)) = wrong {
                let problem =
                    format!("{name} image {image} has label {label}, with {} classes", classes.len());
                return Err(Error::argument(operation, problem));
            }
        }
        let mut hash = Sha256::new();
        for size in shape.iter().chain([&classes.len()]) {
            hash.update((*size as u64).to_le_bytes());
        }
        for split in [&train, &test] {
            hash.update((split.len() as u64).to_le_bytes());
            for label in &split.labels {
                hash.update(label.to_le_bytes());
            }
            hash.update(&split.images);
        }
        let fingerprint = hex(&hash.finalize());
        let (name, title) = (String::new(), String::new());
        Ok(Dataset { name, title, classes, shape, train, test, fingerprint, before: None, photographs: None })
    }

    /// This data set after `change`, a modification of one's own: of labels, of images (bytes, [`Split::images`]), of
    /// how many there are. `change` gets training and test split; draw from a seeded generator in it, so that the same
    /// cell gives the same data. Runs on the changed set have its own `name`, `title` and fingerprint.
    ///
    /// Errors: those of [`Dataset::new`] on what `change` left; [`Error::Argument`] for photographs.
    pub fn changed(
        &self,
        name: &str,
        title: &str,
        change: impl FnOnce(&mut Split, &mut Split),
    ) -> Result<Dataset> {
        self.pixels("change the data set")?;
        let (mut train, mut test) = (self.train.clone(), self.test.clone());
        change(&mut train, &mut test);
        let mut data = Dataset::new(name, title, self.classes.clone(), self.shape, train, test)?;
        if data.train.images == self.train.images {
            data.before = self.before.clone().or_else(|| Some(Arc::new(self.train.labels.clone())));
        }
        Ok(data)
    }

    /// Nothing, if the images are small ones in memory.
    ///
    /// Errors: [`Error::Argument`] for photographs, of which `operation` is not made.
    pub fn pixels(&self, operation: &'static str) -> Result<()> {
        match self.photographs {
            None => Ok(()),
            Some(_) => Err(Error::argument(
                operation,
                format!("{} holds photographs; this is made of small images of one size", self.title),
            )),
        }
    }

    /// How much a run sees of images larger than the paper's 32x32, of which it takes 28x28 pixels unless its `input` is another:
    /// "the middle 28x28 of 64x64 pixels". `None` for images up to that size, and for photographs, which are resized.
    pub fn crop(&self) -> Option<String> {
        let [_, height, width] = self.shape;
        let cropped = self.photographs.is_none() && height.max(width) > PAPERS_SIDE;
        cropped.then(|| format!("the middle {CROP}x{CROP} of {height}x{width} pixels"))
    }

    /// Of photographs, the first `rows` training ones of each class, their central parts at 64x64 pixels, as a data
    /// set for [`Dataset::contact_sheet`].
    fn thumbnails(&self, photographs: &Photographs, rows: usize) -> Dataset {
        const SIDE: usize = 64;
        let mut split = Split { images: Vec::new(), labels: Vec::new() };
        let mut found = vec![0; self.classes.len()];
        for (index, &label) in self.train.labels.iter().enumerate() {
            if found[usize::from(label)] == rows {
                continue;
            }
            let mut small = vec![0.0; 3 * SIDE * SIDE];
            let resized = photographs.with(PhotographId::Train(index), |photograph| {
                let area = Area::central(photograph.height, photograph.width);
                photograph.resized(area, SIDE, &mut small);
            });
            // Only a picture to look at: the next one of its class does as well.
            if resized.is_ok_and(|resized| resized.is_some()) {
                found[usize::from(label)] += 1;
                split.images.extend(small.iter().map(|v| (255.0 * v).round() as u8));
                split.labels.push(label);
            }
        }
        Dataset { shape: [3, SIDE, SIDE], train: split, photographs: None, ..self.clone() }
    }

    /// The first `rows` training images of each class, one class per column in the order of
    /// [`Dataset::classes`], each pixel `zoom` times enlarged, with white gaps between them. Places
    /// without an image stay white.
    pub fn contact_sheet(&self, rows: usize, zoom: usize) -> Sheet {
        if let Some(photographs) = &self.photographs {
            return self.thumbnails(photographs, rows).contact_sheet(rows, zoom);
        }
        let [channels, height, width] = self.shape;
        let zoom = zoom.max(1);
        let (cell_width, cell_height) = (width + 2, height + 2);
        let sheet_width = self.classes.len() * cell_width * zoom;
        let sheet_height = rows * cell_height * zoom;
        let mut rgb = vec![255; sheet_width * sheet_height * 3];
        let mut filled = vec![0; self.classes.len()];
        for (image, &label) in
            self.train.images.chunks_exact(channels * height * width).zip(&self.train.labels)
        {
            let column = usize::from(label);
            let row = filled[column];
            if row == rows {
                continue;
            }
            filled[column] += 1;
            for y in 0..height * zoom {
                for x in 0..width * zoom {
                    let to = ((row * cell_height + 1) * zoom + y) * sheet_width
                        + (column * cell_width + 1) * zoom
                        + x;
                    for c in 0..3 {
                        // A grey image has one plane for all three colours.
                        let plane = c.min(channels - 1);
                        rgb[3 * to + c] = image[(plane * height + y / zoom) * width + x / zoom];
                    }
                }
            }
        }
        Sheet { rgb, width: sheet_width, height: sheet_height }
    }

    /// The identity of a run's data when only the first `train` and `test` images are used
    /// (as many as there are, where fewer).
    pub fn id(&self, train: usize, test: usize) -> DataId {
        DataId {
            name: self.name.clone(),
            title: self.title.clone(),
            fingerprint: self.fingerprint.clone(),
            train: train.min(self.train.len()),
            test: test.min(self.test.len()),
        }
    }
}

impl std::fmt::Debug for Dataset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [c, h, w] = self.shape;
        let crop = self.crop().map_or(String::new(), |crop| format!(" (runs see {crop})"));
        let images = match self.photographs {
            Some(_) => "photographs".into(),
            None => format!("images of {c}x{h}x{w}{crop}"),
        };
        write!(
            f,
            "{}: {} train and {} test {images}, {} classes, sha256 {}",
            self.title,
            self.train.len(),
            self.test.len(),
            self.classes.len(),
            &self.fingerprint[..16]
        )
    }
}

/// A picture: `height` rows of `width` pixels of red, green and blue, a byte each.
pub struct Sheet {
    /// `height x width x 3` bytes.
    pub rgb: Vec<u8>,
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
}

impl Sheet {
    /// As a PNG file.
    ///
    /// Errors: [`Error::Drawing`].
    pub fn png(&self) -> Result<Vec<u8>> {
        let operation = "draw the contact sheet";
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Rgb);
        let mut writer = encoder.write_header().map_err(Error::drawing(operation))?;
        writer.write_image_data(&self.rgb).map_err(Error::drawing(operation))?;
        writer.finish().map_err(Error::drawing(operation))?;
        Ok(bytes)
    }

    /// Called by the notebook kernel.
    pub fn evcxr_display(&self) {
        match self.png() {
            Ok(bytes) => evcxr_runtime::mime_type("image/png").bytes(&bytes),
            Err(error) => println!("{error}"),
        }
    }
}
