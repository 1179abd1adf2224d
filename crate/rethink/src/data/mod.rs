//! Data sets: what they are, where they are looked for, and the readers of their formats.

pub mod augmentation;
pub mod cifar;
pub mod corruption;
pub mod fetch;
mod id;
pub mod imagenet;
pub mod mnist;
pub mod origin;
pub mod preprocessing;
pub mod published;
pub mod shapes10;

use crate::data::preprocessing::Area;
use crate::{Error, Result};
pub use id::DataId;
use imagenet::Photographs;
pub use published::Published;
use rethink_nn::text::hex;
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
    /// Photographs are decoded when they are needed: the splits have labels alone.
    pub photographs: Option<Arc<Photographs>>,
}

impl Dataset {
    /// Checks that the parts agree (lengths, label range, nothing empty) and fingerprints them.
    ///
    /// Errors: [`Error::Shape`] where lengths disagree, [`Error::Argument`] for an empty split,
    /// a label that is no class, and a title that belongs to other images ([`published`]).
    pub fn new(
        name: impl Into<String>,
        title: impl Into<String>,
        classes: Vec<String>,
        shape: [usize; 3],
        train: Split,
        test: Split,
    ) -> Result<Dataset> {
        let (name, title) = (name.into(), title.into());
        let mut data = Dataset::unnamed(classes, shape, train, test)?;
        let own = Published::by_fingerprint(&data.fingerprint).is_some_and(|(.., known)| known == title);
        if Published::is_reserved(&title) && !own {
            let problem = format!("{title:?} is the title of a published set, and these images are not it");
            return Err(Error::argument("data set", problem));
        }
        (data.name, data.title) = (name, title);
        Ok(data)
    }

    /// A data set read from files: with a published set's name where the images are that set's, to the byte, else with the
    /// format's and the folder's.
    fn read_from(
        folder: &Path,
        format: Format,
        classes: Vec<String>,
        shape: [usize; 3],
        (train, test): (Split, Split),
    ) -> Result<Dataset> {
        let mut data = Dataset::unnamed(classes, shape, train, test)?;
        (data.name, data.title) = match Published::by_fingerprint(&data.fingerprint) {
            Some((_, name, title)) => (name.into(), title.into()),
            None => published::of_format(format, &data.fingerprint, folder),
        };
        Ok(data)
    }

    /// The same after one image was changed for a measurement, which is of `like`.
    pub(crate) fn changed_for(like: &Dataset, train: Split, test: Split) -> Result<Dataset> {
        let mut data = Dataset::unnamed(like.classes.clone(), like.shape, train, test)?;
        (data.name, data.title) = (like.name.clone(), like.title.clone());
        Ok(data)
    }

    fn unnamed(classes: Vec<String>, shape: [usize; 3], train: Split, test: Split) -> Result<Dataset> {
        let operation = "data set";
        let pixels: usize = shape.iter().product();
        for split in [&train, &test] {
            if split.is_empty() || pixels == 0 {
                return Err(Error::argument(operation, "a split without images"));
            }
            if split.images.len() != split.len() * pixels {
                return Err(Error::Shape {
                    operation,
                    expected: vec![split.len(), shape[0], shape[1], shape[2]],
                    got: vec![split.images.len()],
                });
            }
            if let Some(label) = split.labels.iter().find(|&&l| usize::from(l) >= classes.len()) {
                let problem = format!("label {label} with {} classes", classes.len());
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
        Ok(Dataset { name, title, classes, shape, train, test, fingerprint, photographs: None })
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
        Dataset::new(name, title, self.classes.clone(), self.shape, train, test)
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
            let resized = photographs.with(imagenet::PhotographId::Train(index), |photograph| {
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
        let images =
            if self.photographs.is_some() { "photographs".into() } else { format!("images of {c}x{h}x{w}") };
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

/// A format that a folder can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// [`cifar`].
    Cifar,
    /// [`mnist`].
    Mnist,
    /// [`imagenet`].
    Photographs,
}

impl Format {
    /// The format of the files in `folder`, by their names.
    pub fn of(folder: &Path) -> Option<Format> {
        if cifar::is_here(folder) {
            Some(Format::Cifar)
        } else if mnist::is_here(folder) {
            Some(Format::Mnist)
        } else if imagenet::is_here(folder) {
            Some(Format::Photographs)
        } else {
            None
        }
    }

    /// For people: "CIFAR-10 binary", "MNIST idx", "ILSVRC folders".
    pub fn title(self) -> &'static str {
        match self {
            Format::Cifar => "CIFAR-10 binary",
            Format::Mnist => "MNIST idx",
            Format::Photographs => "ILSVRC folders",
        }
    }

    /// Reads the data set in `folder`.
    ///
    /// Errors: those of the format's reader.
    pub fn read(self, folder: &Path) -> Result<Dataset> {
        match self {
            Format::Cifar => cifar::read(folder),
            Format::Mnist => mnist::read(folder),
            Format::Photographs => imagenet::read(folder),
        }
    }

    /// Training and test images in `folder` without reading them.
    pub fn count(self, folder: &Path) -> Option<(usize, usize)> {
        match self {
            Format::Cifar => cifar::count(folder),
            Format::Mnist => mnist::count(folder),
            Format::Photographs => imagenet::count(folder),
        }
    }
}

/// A data set that is looked for in folders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// On the command line.
    pub name: &'static str,
    /// The folder's name inside `RETHINK_DATA` and the cache.
    pub folder: &'static str,
    /// What the folder holds.
    pub format: Format,
    /// One line for people.
    pub about: &'static str,
}

/// The whole CIFAR-10.
pub const CIFAR10: Known = Known {
    name: "cifar10",
    folder: "cifar-10-batches-bin",
    format: Format::Cifar,
    about: "60,000 photographs of 32x32x3 in ten classes; the paper's data set",
};
/// A part of CIFAR-10 in the same layout.
pub const CIFAR10_LOSSLESS: Known = Known {
    name: "cifar10-lossless",
    folder: "cifar-10-lossless-bin",
    format: Format::Cifar,
    about: "a part of CIFAR-10 with the official pixels",
};
/// MNIST.
pub const MNIST: Known = Known {
    name: "mnist",
    folder: "mnist",
    format: Format::Mnist,
    about: "70,000 handwritten digits of 28x28x1",
};
/// Ten classes of ImageNet, whole or a part.
pub const IMAGENETTE: Known = Known {
    name: "imagenette",
    folder: "imagenette",
    format: Format::Photographs,
    about: "photographs of ten classes of ImageNet",
};
/// The whole ILSVRC-2012, or a part.
pub const IMAGENET: Known = Known {
    name: "imagenet",
    folder: "imagenet",
    format: Format::Photographs,
    about: "ILSVRC-2012's photographs of 1,000 classes; the paper's second data set",
};
/// Every data set of a folder, in the order in which `RETHINK_DATA` and the cache are searched
/// when nothing is named.
pub const KNOWN: [Known; 5] = [CIFAR10, CIFAR10_LOSSLESS, MNIST, IMAGENETTE, IMAGENET];
/// Names the folder in which data sets are looked for first.
pub const DATA_VARIABLE: &str = "RETHINK_DATA";
/// The embedded data set's name.
pub const SHAPES10: &str = "shapes10";

/// Where data sets are looked for.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// The environment variable `RETHINK_DATA`.
    pub named: Option<PathBuf>,
    /// What [`fetch`] fills: `rethink/data` in the user's cache folder.
    pub cache: Option<PathBuf>,
}

/// A place of [`Places`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folder {
    /// `RETHINK_DATA`.
    Named,
    /// The user's cache.
    Cache,
}

impl Places {
    /// From the environment; an empty `RETHINK_DATA` counts as unset.
    pub fn from_env() -> Places {
        let named = std::env::var_os(DATA_VARIABLE).filter(|v| !v.is_empty()).map(PathBuf::from);
        Places { named, cache: fetch::cache() }
    }

    /// The folder of a known data set, and which place it is in.
    pub fn find(&self, known: &Known) -> Option<(Folder, PathBuf)> {
        let inside = |folder: &Path| {
            let sub = folder.join(known.folder);
            (Format::of(&sub) == Some(known.format)).then_some(sub)
        };
        // RETHINK_DATA may be the set's own folder, unless its name says that it is another set's.
        let itself = |folder: &Path| {
            let other = KNOWN.iter().any(|k| k != known && folder.ends_with(k.folder));
            let whole = known.name != CIFAR10_LOSSLESS.name || folder.ends_with(known.folder);
            (Format::of(folder) == Some(known.format) && whole && !other).then(|| folder.to_path_buf())
        };
        let named = self.named.as_deref().and_then(|f| inside(f).or_else(|| itself(f)));
        let cached = || self.cache.as_deref().and_then(inside);
        named.map(|p| (Folder::Named, p)).or_else(|| cached().map(|p| (Folder::Cache, p)))
    }

    /// Picks a data set by the rules of [`choose`] without reading it.
    pub fn pick(&self, name: Option<&str>) -> Result<DatasetChoice> {
        match name {
            Some(name) => self.pick_named(name),
            None => self.pick_default(),
        }
    }

    fn pick_named(&self, name: &str) -> Result<DatasetChoice> {
        if name == SHAPES10 {
            let why = "shapes10, the embedded data set, as named".to_string();
            return Ok(DatasetChoice { source: Source::Shapes10, why });
        }
        if let Some(known) = KNOWN.iter().find(|k| k.name == name) {
            return match self.find(known) {
                Some((place, folder)) => {
                    Ok(DatasetChoice::folder(known.name, known.format, folder, place.title()))
                }
                None => Err(self.missing(known)),
            };
        }
        if let Some(folder) = name.strip_prefix("imagenet:").map(Path::new) {
            if Format::of(folder) == Some(Format::Photographs) {
                return Ok(DatasetChoice::folder(
                    IMAGENET.name,
                    IMAGENET.format,
                    folder.to_path_buf(),
                    "as named",
                ));
            }
            let problem = "no train with folders named by WordNet ids (n01440764), and val";
            return Err(Error::format("open the data set", folder, problem));
        }
        let folder = Path::new(name);
        if let Some(format) = Format::of(folder) {
            return Ok(DatasetChoice::folder(format.title(), format, folder.to_path_buf(), "as named"));
        }
        if folder.is_dir() {
            let inside = Places { named: Some(folder.to_path_buf()), cache: None };
            if let Some((known, folder)) = KNOWN.iter().find_map(|k| inside.find(k).map(|(_, f)| (k, f))) {
                return Ok(DatasetChoice::folder(known.name, known.format, folder, "as named"));
            }
            let problem = "no data_batch_1.bin (CIFAR-10 binary), no train-images-idx3-ubyte (MNIST idx), no train and \
                           val with folders named by WordNet ids (ILSVRC)";
            return Err(Error::format("open the data set", folder, problem));
        }
        let names: Vec<&str> = KNOWN.iter().map(|k| k.name).chain([SHAPES10]).collect();
        let problem = format!("{name:?} is no folder and none of {}", names.join(", "));
        Err(Error::argument("open the data set", problem))
    }

    fn pick_default(&self) -> Result<DatasetChoice> {
        if let Some(named) = &self.named {
            let only = Places { named: self.named.clone(), cache: None };
            return match KNOWN.iter().find_map(|k| only.find(k).map(|(_, f)| (k, f))) {
                Some((known, folder)) => {
                    Ok(DatasetChoice::folder(known.name, known.format, folder, Folder::Named.title()))
                }
                None => Err(Error::Missing {
                    what: format!("no data set in RETHINK_DATA={}", named.display()),
                    remedy: format!(
                        "it should hold one of the folders {}; unset it to use what `rethink data fetch` \
                         has fetched, or the embedded shapes10",
                        KNOWN.map(|k| k.folder).join(", ")
                    ),
                }),
            };
        }
        if let Some((known, (place, folder))) = KNOWN.iter().find_map(|k| self.find(k).map(|f| (k, f))) {
            return Ok(DatasetChoice::folder(known.name, known.format, folder, place.title()));
        }
        let why = "shapes10, the embedded data set, since none is named, RETHINK_DATA is not set and nothing \
                   has been fetched (`rethink data fetch cifar10`)";
        Ok(DatasetChoice { source: Source::Shapes10, why: why.to_string() })
    }

    fn missing(&self, known: &Known) -> Error {
        let mut places = Vec::new();
        match &self.named {
            Some(folder) => places.push(format!("RETHINK_DATA={}", folder.display())),
            None => places.push("RETHINK_DATA (not set)".to_string()),
        }
        if let Some(folder) = &self.cache {
            places.push(folder.join(known.folder).display().to_string());
        }
        let fetch = match fetch::source(known.name) {
            Ok(_) => format!("`rethink data fetch {}` downloads it; or ", known.name),
            Err(_) => String::new(),
        };
        Error::Missing {
            what: format!("the data set {} is not in {}", known.name, places.join(" nor in ")),
            remedy: format!("{fetch}set RETHINK_DATA to a folder that holds {}", known.folder),
        }
    }
}

impl Folder {
    fn title(self) -> &'static str {
        match self {
            Folder::Named => "from RETHINK_DATA",
            Folder::Cache => "from the cache that `rethink data fetch` fills",
        }
    }
}

/// Where a chosen data set comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Drawn by [`shapes10`].
    Shapes10,
    /// Read from a folder.
    Folder(Format, PathBuf),
}

/// A data set picked, not yet read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatasetChoice {
    /// Where it comes from.
    pub source: Source,
    /// For people: which data set, from where, and why.
    pub why: String,
}

impl DatasetChoice {
    fn folder(name: &str, format: Format, folder: PathBuf, why: &str) -> DatasetChoice {
        let why = format!("{name}, {why}: {}", folder.display());
        DatasetChoice { source: Source::Folder(format, folder), why }
    }

    /// A name by which it is found again, from another folder and by another process: that of a known data set where
    /// it was `asked` for or would be found by it, else its folder.
    pub fn name(&self, asked: Option<&str>) -> String {
        let Source::Folder(format, folder) = &self.source else { return SHAPES10.into() };
        let places = Places::from_env();
        let found = |known: &&Known| match asked {
            Some(asked) => asked == known.name,
            None => places.find(known).is_some_and(|(_, found)| found == *folder),
        };
        if let Some(known) = KNOWN.iter().find(found) {
            return known.name.into();
        }
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.clone());
        let kind = if *format == Format::Photographs { "imagenet:" } else { "" };
        format!("{kind}{}", folder.display())
    }

    /// Reads or draws it.
    pub fn read(&self) -> Result<Dataset> {
        match &self.source {
            Source::Shapes10 => Ok(shapes10::dataset()),
            Source::Folder(format, folder) => format.read(folder),
        }
    }
}

/// Opens the data set `name`: `cifar10`, `cifar10-lossless`, `mnist`, `imagenette`, `imagenet`, `shapes10`, `imagenet:DIR`, or a
/// folder that holds a known format. A name is looked for in the folder `RETHINK_DATA`, then in the cache that [`fetch`]
/// fills. Without a name: the first data set of `RETHINK_DATA` where that is set, else the first of
/// the cache, else `shapes10`.
///
/// Errors: [`Error::Missing`] with the remedy for a data set that is nowhere, [`Error::Argument`] for an
/// unknown name, and the readers' own.
pub fn open(name: Option<&str>) -> Result<Dataset> {
    Ok(choose(name)?.0)
}

/// As [`open`], with a line that says which data set is used and why.
pub fn choose(name: Option<&str>) -> Result<(Dataset, String)> {
    let choice = Places::from_env().pick(name)?;
    Ok((choice.read()?, choice.why))
}

/// What [`verify`] found in a folder that is whole.
pub struct Verified {
    /// The data set that the folder holds.
    pub data: Dataset,
    /// The files' format.
    pub format: Format,
    /// Each file's name, bytes and SHA-256; none of photographs.
    pub files: Vec<(String, u64, String)>,
    /// What the checksums say, in a sentence.
    pub verdict: String,
}

/// The file in which [`fetch`] leaves the SHA-256 of what it has put in a folder, in the format of
/// `sha256sum`.
pub const SUMS_FILE: &str = "SHA256SUMS";

/// Checks a folder: that every file is there and well-formed, its checksums where some are known (those
/// that [`fetch`] left beside the files), and which published set the images are. Where the official archive of CIFAR-10 lies in
/// the folder or beside it, and the files are that archive's, this is noted beside them ([`fetch::vouch`]).
///
/// Errors: [`Error::Missing`] when the folder holds no known format; [`Error::Format`] naming the file
/// that is damaged or whose checksum is not that in [`SUMS_FILE`]; [`Error::Io`].
pub fn verify(folder: &Path) -> Result<Verified> {
    let operation = "verify";
    let Some(format) = Format::of(folder) else {
        return Err(Error::Missing {
            what: format!("{} holds no known data set", folder.display()),
            remedy: "name a folder with data_batch_1.bin (CIFAR-10 binary), train-images-idx3-ubyte, \
                     plain or .gz (MNIST idx), or train and val with folders named by WordNet ids (ILSVRC)"
                .into(),
        });
    };
    if format == Format::Cifar {
        fetch::vouch(folder)?;
    }
    let data = format.read(folder)?;
    let paths: Vec<PathBuf> = match format {
        Format::Cifar => {
            cifar::TRAIN_FILES.iter().chain([&cifar::TEST_FILE]).map(|f| folder.join(f)).collect()
        }
        Format::Mnist => mnist::FILES.iter().filter_map(|f| mnist::find(folder, f)).collect(),
        Format::Photographs => Vec::new(),
    };
    if let Some(photographs) = &data.photographs {
        photographs.decode_all()?;
        let verdict = photographs.report().unwrap_or("every file is a photograph".into());
        return Ok(Verified { data, format, files: Vec::new(), verdict });
    }
    let mut files = Vec::new();
    for path in &paths {
        let bytes = read_regular(path, operation, 4 << 30)?;
        files.push((file_name(path), bytes.len() as u64, sha256_hex(&bytes)));
    }
    let sums = folder.join(SUMS_FILE);
    if sums.exists() {
        check_sums(&sums, &files)?;
    }
    let verdict = match data.id(usize::MAX, usize::MAX).published() {
        Some(Published::Cifar10) => {
            "the files are the official ones: they come from the archive of the official checksum"
        }
        Some(Published::Mnist) => "the images are the official ones, by their checksum",
        Some(Published::Cifar10JpegQ75) => {
            "the files are a known JPEG re-encoding at quality 75, not the official ones"
        }
        Some(Published::Cifar10Lossless) => {
            "the images are the first of each official file, by their checksum; not the whole set"
        }
        Some(_) => "the images are those of the name, by their checksum",
        None if sums.exists() => {
            "the files are those that were fetched; they are not known to be those of a published set, and are not compared \
             with the paper's numbers"
        }
        None if format == Format::Cifar => {
            "the structure is right; these files are not known to be the official ones, and are not compared with the paper's \
             numbers. `rethink data fetch cifar10` downloads those; where you have their archive, cifar-10-binary.tar.gz, \
             put it beside the folder or in it and verify again"
        }
        None => {
            "the structure is right; these are not the official images, and are not compared with the paper's numbers"
        }
    };
    Ok(Verified { data, format, files, verdict: verdict.to_string() })
}

fn check_sums(sums: &Path, files: &[(String, u64, String)]) -> Result<()> {
    let operation = "verify";
    let text = String::from_utf8_lossy(&read_regular(sums, operation, 1 << 20)?).into_owned();
    for (name, _, sha) in files {
        let line = text.lines().find(|line| line.split_whitespace().nth(1) == Some(name));
        let Some(expected) = line.and_then(|l| l.split_whitespace().next()) else {
            return Err(Error::format(operation, sums, format!("no checksum of {name}")));
        };
        if expected != sha {
            let path = sums.with_file_name(name);
            let problem = format!(
                "its SHA-256 is {sha}, {SUMS_FILE} has {expected}: it has changed since it was fetched"
            );
            return Err(Error::format(operation, path, problem));
        }
    }
    Ok(())
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// SHA-256 of bytes, in hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// A regular file's bytes (a pipe or a device could block or never end), at most `limit` of them.
fn read_regular(path: &Path, operation: &'static str, limit: u64) -> Result<Vec<u8>> {
    let status = std::fs::metadata(path).map_err(Error::io(operation, path))?;
    if !status.is_file() {
        return Err(Error::format(operation, path, "not a regular file"));
    }
    if status.len() > limit {
        let problem = format!("{} bytes, expected at most {limit}", status.len());
        return Err(Error::format(operation, path, problem));
    }
    let mut bytes = Vec::with_capacity(status.len() as usize);
    let file = std::fs::File::open(path).map_err(Error::io(operation, path))?;
    file.take(limit).read_to_end(&mut bytes).map_err(Error::io(operation, path))?;
    Ok(bytes)
}
