//! Data sets: what they are, where they are looked for, and the readers of their formats.

pub mod augmentation;
pub mod cifar;
pub mod cifar100;
pub mod corruption;
pub mod fetch;
pub mod format;
mod id;
pub mod imagenet;
pub mod mnist;
pub mod origin;
pub mod preprocessing;
pub mod published;
mod records;
pub mod samples;
pub mod shapes10;

use crate::data::preprocessing::Area;
use crate::{Error, Result};
pub use format::{Format, Known};
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
    /// Training labels before [`Dataset::changed`] changed nothing but labels.
    pub before: Option<Arc<Vec<u16>>>,
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
    fn read_from(
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

    /// Names what is known to be `published`.
    fn call(&mut self, published: Published) {
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

/// Every format of files. To add one: a file of `data` with its [`Format`], declared above and listed here.
pub static FORMATS: &[&Format] = &[&cifar::FORMAT, &cifar100::FORMAT, &mnist::FORMAT, &imagenet::FORMAT];

/// Every data set of a folder that has a name, by [`Known::priority`].
pub fn known() -> Vec<&'static Known> {
    let mut all: Vec<&Known> = FORMATS.iter().flat_map(|format| format.known).collect();
    all.sort_by_key(|known| known.priority);
    all
}

/// Every name of a data set, the embedded one's last.
pub fn names() -> Vec<&'static str> {
    known().into_iter().map(|known| known.name).chain([SHAPES10]).collect()
}

/// Every data set that is known to be what its title says.
fn all_published() -> Vec<Published> {
    FORMATS.iter().flat_map(|format| format.published).copied().chain([shapes10::EMBEDDED]).collect()
}

/// Names the folder in which data sets are looked for first.
pub const DATA_VARIABLE: &str = "RETHINK_DATA";
/// The embedded data set's name.
pub const SHAPES10: &str = shapes10::EMBEDDED.name;

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
            let other = crate::data::known().into_iter().any(|k| k != known && folder.ends_with(k.folder));
            let whole = !known.by_folder || folder.ends_with(known.folder);
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
        if let Some(known) = known().into_iter().find(|k| k.name == name) {
            return match self.find(known) {
                Some((place, folder)) => {
                    Ok(DatasetChoice::folder(known.name, known.format, folder, place.title()))
                }
                None => Err(self.missing(known)),
            };
        }
        let prefixed = |format: &&'static Format| {
            let rest = name.strip_prefix(format.prefix).filter(|_| !format.prefix.is_empty())?;
            Some((*format, PathBuf::from(rest)))
        };
        if let Some((format, folder)) = FORMATS.iter().find_map(prefixed) {
            if Format::of(&folder) == Some(format) {
                let name = format.prefix.trim_end_matches(':');
                return Ok(DatasetChoice::folder(name, format, folder, "as named"));
            }
            return Err(Error::format("open the data set", folder, format!("no {}", format.sign)));
        }
        let folder = Path::new(name);
        if let Some(format) = Format::of(folder) {
            return Ok(DatasetChoice::folder(format.title, format, folder.to_path_buf(), "as named"));
        }
        if folder.is_dir() {
            let inside = Places { named: Some(folder.to_path_buf()), cache: None };
            if let Some((known, folder)) =
                known().into_iter().find_map(|k| inside.find(k).map(|(_, f)| (k, f)))
            {
                return Ok(DatasetChoice::folder(known.name, known.format, folder, "as named"));
            }
            let problem = format!("no {}", Format::signs().join(", no "));
            return Err(Error::format("open the data set", folder, problem));
        }
        let problem = format!("{name:?} is no folder and none of {}", names().join(", "));
        Err(Error::argument("open the data set", problem))
    }

    fn pick_default(&self) -> Result<DatasetChoice> {
        if let Some(named) = &self.named {
            let only = Places { named: self.named.clone(), cache: None };
            return match known().into_iter().find_map(|k| only.find(k).map(|(_, f)| (k, f))) {
                Some((known, folder)) => {
                    Ok(DatasetChoice::folder(known.name, known.format, folder, Folder::Named.title()))
                }
                None => Err(Error::Missing {
                    what: format!("no data set in RETHINK_DATA={}", named.display()),
                    remedy: format!(
                        "it should hold one of the folders {}; unset it to use what `rethink data fetch` \
                         has fetched, or the embedded shapes10",
                        known().into_iter().map(|k| k.folder).collect::<Vec<_>>().join(", ")
                    ),
                }),
            };
        }
        if let Some((known, (place, folder))) = known().into_iter().find_map(|k| self.find(k).map(|f| (k, f)))
        {
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
    Folder(&'static Format, PathBuf),
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
    fn folder(name: &str, format: &'static Format, folder: PathBuf, why: &str) -> DatasetChoice {
        let why = format!("{name}, {why}: {}", folder.display());
        DatasetChoice { source: Source::Folder(format, folder), why }
    }

    /// A name by which it is found again, from another folder and by another process: that of a known data set where
    /// it was `asked` for or would be found by it, else its folder.
    pub fn name(&self, asked: Option<&str>) -> String {
        let Source::Folder(format, folder) = &self.source else { return SHAPES10.into() };
        let places = Places::from_env();
        let found = |known: &&'static Known| match asked {
            Some(asked) => asked == known.name,
            None => places.find(known).is_some_and(|(_, found)| found == *folder),
        };
        if let Some(known) = known().into_iter().find(found) {
            return known.name.into();
        }
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.clone());
        format!("{}{}", format.prefix, folder.display())
    }

    /// Reads or draws it.
    pub fn read(&self) -> Result<Dataset> {
        match &self.source {
            Source::Shapes10 => Ok(shapes10::dataset()),
            Source::Folder(format, folder) => format.read(folder),
        }
    }
}

/// Opens the data set `name`: one of [`names`], `imagenet:DIR`, or a folder that holds a known format ([`FORMATS`]). A name is looked for in the folder `RETHINK_DATA`, then in the cache that [`fetch`]
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
    pub format: &'static Format,
    /// Each file's name, bytes and SHA-256; none of photographs.
    pub files: Vec<(String, u64, String)>,
    /// What the checksums say, in a sentence.
    pub verdict: String,
}

/// The file in which [`fetch`] leaves the SHA-256 of what it has put in a folder, in the format of
/// `sha256sum`.
pub const SUMS_FILE: &str = "SHA256SUMS";

/// Checks a folder: that every file is there and well-formed, its checksums where some are known (those
/// that [`fetch`] left beside the files), and which published set the images are. Where the format's official archive lies in
/// the folder or beside it, and the files are that archive's, this is noted beside them ([`fetch::vouch`]).
///
/// Errors: [`Error::Missing`] when the folder holds no known format; [`Error::Format`] naming the file
/// that is damaged or whose checksum is not that in [`SUMS_FILE`]; [`Error::Io`].
pub fn verify(folder: &Path) -> Result<Verified> {
    let operation = "verify";
    let Some(format) = Format::of(folder) else {
        return Err(Error::Missing {
            what: format!("{} holds no known data set", folder.display()),
            remedy: format!("name a folder with {}", Format::signs().join("; or ")),
        });
    };
    if let Some(archive) = &format.archive {
        fetch::vouch(folder, archive)?;
    }
    let data = format.read(folder)?;
    if let Some(photographs) = &data.photographs {
        photographs.decode_all()?;
        let verdict = photographs.report().unwrap_or("every file is a photograph".into());
        return Ok(Verified { data, format, files: Vec::new(), verdict });
    }
    let mut files = Vec::new();
    for path in &(format.files)(folder) {
        let bytes = read_regular(path, operation, 4 << 30)?;
        files.push((file_name(path), bytes.len() as u64, sha256_hex(&bytes)));
    }
    let sums = folder.join(SUMS_FILE);
    if sums.exists() {
        check_sums(&sums, &files)?;
    }
    let fetched = format.known.iter().find(|known| known.download.is_some()).map(|known| known.name);
    let verdict = match (data.id(usize::MAX, usize::MAX).published(), format.archive, fetched) {
        (Some(published), ..) => published.verdict.to_string(),
        (None, ..) if sums.exists() => "the files are those that were fetched; they are not known to be those of a published set, and are not \
             compared with the paper's numbers"
            .into(),
        (None, Some(archive), Some(name)) => format!(
            "the structure is right; these files are not known to be the official ones, and are not compared with the paper's \
             numbers. `rethink data fetch {name}` downloads those; where you have their archive, {}, put it beside the folder or in \
             it and verify again",
            archive.file.name
        ),
        (None, ..) => {
            "the structure is right; these are not the official images, and are not compared with the paper's numbers".into()
        }
    };
    Ok(Verified { data, format, files, verdict })
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
pub(crate) fn read_regular(path: &Path, operation: &'static str, limit: u64) -> Result<Vec<u8>> {
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
