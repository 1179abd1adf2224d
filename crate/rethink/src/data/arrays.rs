//! NumPy's arrays (`numpy.save`): images of one size and their labels, in four `.npy` files of a folder.
//!
//! `train-images.npy` and `test-images.npy` are uint8: `n x H x W` grey images, or `n x H x W x C` or `n x C x H x W` with one or three
//! channels. `train-labels.npy` and `test-labels.npy` hold `n` integers of any type, from 0 on. `classes.txt`, where there is one, has the name
//! of a class a line; else classes are called by their numbers. `_` may stand for `-` in the files' names.

use crate::data::format::{Format, Unknown};
use crate::data::{Dataset, Split, read_if_there, read_regular};
use crate::{Error, Result};
use npyz::{DType, Deserialize, NpyHeader, Order, TypeChar};
use rayon::prelude::*;
use rethink_nn::text::thousands;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The format.
pub static FORMAT: Format = Format {
    title: "NumPy arrays",
    sign: "train-images.npy",
    is_here: |folder| file(folder, "train-images").is_file(),
    reader: read,
    counter: |folder| Some((count(&file(folder, "train-images"))?, count(&file(folder, "test-images"))?)),
    files: |folder| FILES.iter().map(|name| file(folder, name)).collect(),
    slow: false,
    prefixes: &[],
    unknown: Some(Unknown { name: "arrays-", title: "NumPy arrays", in_brackets: true }),
    archive: None,
    known: &[],
    published: &[],
};

/// The files without `.npy`: training images and labels, test images and labels.
const FILES: [&str; 4] = ["train-images", "train-labels", "test-images", "test-labels"];
/// The file with the names of classes.
const NAMES_FILE: &str = "classes.txt";
const OPERATION: &str = "read the NumPy array";
/// Of one file.
const MAX_BYTES: u64 = 8 << 30;

/// The path of one of [`FILES`], as it is there.
fn file(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(format!("{name}.npy"));
    let other = folder.join(format!("{}.npy", name.replace('-', "_")));
    if !path.is_file() && other.is_file() { other } else { path }
}

/// Reads the data set in `folder`. It is titled "NumPy arrays (FOLDER)", unless the images are a published set's.
///
/// Errors: those of [`read_split`]; [`Error::Format`], which names file and place, for a label that is no class, training and test images of
/// different sizes, and fewer than two classes.
pub fn read(folder: &Path) -> Result<Dataset> {
    let split = |which| {
        let of = |what: &str| file(folder, &format!("{which}-{what}"));
        read_split(of("images"), of("labels"))
    };
    let (train, test) = rayon::join(|| split("train"), || split("test"));
    let ((train, shape), (test, of_test)) = (train?, test?);
    if shape != of_test {
        let [of_test, shape] = [of_test, shape].map(|[c, h, w]| format!("{c}x{h}x{w}"));
        let train = file(folder, "train-images");
        let problem =
            format!("images of {of_test} (channels, height, width), those of {} of {shape}", train.display());
        return Err(Error::format(OPERATION, file(folder, "test-images"), problem));
    }
    let classes = classes(folder, &train.labels)?;
    if classes.len() < 2 {
        let problem = "one class; there have to be two or more";
        return Err(Error::format(OPERATION, file(folder, "train-labels"), problem));
    }
    for (split, name) in [(&train, "train-labels"), (&test, "test-labels")] {
        if let Some(at) = split.labels.iter().position(|label| usize::from(*label) >= classes.len()) {
            let (label, last) = (split.labels[at], classes.len() - 1);
            let problem =
                format!("label {at} is {label}, expected 0 to {last}: there are {} classes", last + 1);
            return Err(Error::format(OPERATION, file(folder, name), problem));
        }
    }
    if let Some(empty) = (0..classes.len()).find(|class| !train.labels.contains(&(*class as u16))) {
        let path = file(folder, "train-labels");
        rethink_plot::tell!("{}: no image of class {} (label {empty})", path.display(), classes[empty]);
    }
    Dataset::read_from(folder, &FORMAT, classes, shape, (train, test))
}

/// The names in `classes.txt`, else a number for each class of the training labels.
fn classes(folder: &Path, labels: &[u16]) -> Result<Vec<String>> {
    let path = folder.join(NAMES_FILE);
    let Some(bytes) = read_if_there(&path, OPERATION, 1 << 20)? else {
        return Ok((0..=labels.iter().copied().max().unwrap_or(0)).map(|class| class.to_string()).collect());
    };
    let text =
        String::from_utf8(bytes).map_err(|_| Error::format(OPERATION, &path, "names that are not UTF-8"))?;
    let names: Vec<String> =
        text.lines().map(str::trim).filter(|name| !name.is_empty()).map(String::from).collect();
    if names.is_empty() {
        return Err(Error::format(OPERATION, &path, "no names, expected one of each class, a line each"));
    }
    Ok(names)
}

/// Images and labels of two `.npy` files, as bytes `n x C x H x W`, and the images' `[C, H, W]`: of a test set from elsewhere, too, that a
/// network is tested on beside its own ([`Study::inputs_of`](crate::study::Study::inputs_of)).
///
/// Errors: [`Error::Io`] for a file that is absent or unreadable; [`Error::Format`], which names it, for one that is none of NumPy's, other
/// types and shapes than the module says, fewer or more bytes than the header says, no images, a number of labels that is not that of the
/// images, and a label that is not 0 to 65,535.
pub fn read_split(images: impl AsRef<Path>, labels: impl AsRef<Path>) -> Result<(Split, [usize; 3])> {
    let (images, labels) = (images.as_ref(), labels.as_ref());
    let (images_read, labels_read) = rayon::join(|| read_images(images), || read_labels(labels));
    let ((images_read, shape), labels_read) = (images_read?, labels_read?);
    let there = images_read.len() / shape.iter().product::<usize>();
    if labels_read.len() != there {
        let [of_labels, there] = [labels_read.len(), there].map(thousands);
        let problem = format!("{of_labels} labels for the {there} images of {}", images.display());
        return Err(Error::format(OPERATION, labels, problem));
    }
    Ok((Split { images: images_read, labels: labels_read }, shape))
}

/// Bytes `n x C x H x W`, and `[C, H, W]`.
fn read_images(path: &Path) -> Result<(Vec<u8>, [usize; 3])> {
    let array = Array::read(path)?;
    if array.kind != (TypeChar::Uint, 1) {
        let problem = format!("numbers of type {}, expected uint8, 0 to 255", array.dtype);
        return Err(Error::format(OPERATION, path, problem));
    }
    let channels = |c: usize| c == 1 || c == 3;
    let (shape, channels_last) = match array.shape[..] {
        [_, h, w] => ([1, h, w], false),
        [_, c, h, w] if channels(c) && !channels(w) => ([c, h, w], false),
        [_, h, w, c] if channels(c) && !channels(h) => ([c, h, w], true),
        _ => {
            let problem = format!(
                "an array of {}, expected n x height x width, or with 1 or 3 channels after n or last",
                array.shape_text()
            );
            return Err(Error::format(OPERATION, path, problem));
        }
    };
    if array.values.is_empty() {
        return Err(Error::format(OPERATION, path, format!("an array of {}: no images", array.shape_text())));
    }
    let values = if channels_last { planes(&array.values, shape) } else { array.values };
    Ok((values, shape))
}

/// Images with channels last as planes.
fn planes(values: &[u8], [channels, height, width]: [usize; 3]) -> Vec<u8> {
    let (pixels, mut planes) = (height * width, vec![0; values.len()]);
    planes.par_chunks_mut(channels * pixels).zip(values.par_chunks(channels * pixels)).for_each(
        |(to, from)| {
            for (pixel, colours) in from.chunks_exact(channels).enumerate() {
                colours.iter().enumerate().for_each(|(channel, value)| to[channel * pixels + pixel] = *value);
            }
        },
    );
    planes
}

fn read_labels(path: &Path) -> Result<Vec<u16>> {
    let array = Array::read(path)?;
    let ([_] | [_, 1]) = array.shape[..] else {
        let problem = format!("an array of {}, expected a label an image: n or n x 1", array.shape_text());
        return Err(Error::format(OPERATION, path, problem));
    };
    match array.kind {
        (TypeChar::Uint, 1) => array.labels::<u8>(path),
        (TypeChar::Uint, 2) => array.labels::<u16>(path),
        (TypeChar::Uint, 4) => array.labels::<u32>(path),
        (TypeChar::Uint, 8) => array.labels::<u64>(path),
        (TypeChar::Int, 1) => array.labels::<i8>(path),
        (TypeChar::Int, 2) => array.labels::<i16>(path),
        (TypeChar::Int, 4) => array.labels::<i32>(path),
        (TypeChar::Int, 8) => array.labels::<i64>(path),
        _ => {
            let problem =
                format!("labels of type {}, expected integers (labels.astype(\"int64\"))", array.dtype);
            Err(Error::format(OPERATION, path, problem))
        }
    }
}

/// What is in a file.
struct Array {
    header: NpyHeader,
    /// What a number is, and its bytes.
    kind: (TypeChar, u64),
    /// The same as NumPy says it: `<f4`.
    dtype: String,
    shape: Vec<usize>,
    /// The numbers' bytes, last dimension fastest.
    values: Vec<u8>,
}

impl Array {
    fn read(path: &Path) -> Result<Array> {
        let wrong = |problem: String| Error::format(OPERATION, path, problem);
        let mut values = read_regular(path, OPERATION, MAX_BYTES)?;
        let mut rest = &values[..];
        let header = header(&mut rest)
            .map_err(|problem| wrong(format!("not as numpy.save writes arrays: {problem}")))?;
        let number = match header.dtype() {
            DType::Plain(number) if number.type_char() != TypeChar::Object => number,
            DType::Plain(_) => {
                return Err(wrong("an array of Python objects, expected one of numbers".into()));
            }
            _ => return Err(wrong("an array of records, expected one of numbers".into())),
        };
        let (kind, dtype) = ((number.type_char(), number.size_field()), number.to_string());
        if header.order() == Order::Fortran && header.shape().len() > 1 {
            let problem = "the first dimension runs fastest (Fortran's order), expected the last: save numpy.ascontiguousarray(array)";
            return Err(wrong(problem.into()));
        }
        let shape: Vec<usize> = header.shape().iter().map(|size| *size as usize).collect();
        let bytes = number.num_bytes().unwrap_or(0);
        let needed = shape.iter().try_fold(bytes, |product, size| product.checked_mul(*size));
        if needed != Some(rest.len()) {
            let of = shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" x ");
            let problem =
                format!("{} bytes after the header, which says {of} of {dtype}", thousands(rest.len()));
            return Err(wrong(problem));
        }
        let header_bytes = values.len() - rest.len();
        values.drain(..header_bytes);
        Ok(Array { header, kind, dtype, shape, values })
    }

    fn shape_text(&self) -> String {
        self.shape.iter().map(|size| thousands(*size)).collect::<Vec<_>>().join(" x ")
    }

    /// The numbers as labels.
    fn labels<T: Deserialize + Copy + TryInto<u16> + std::fmt::Display>(
        &self,
        path: &Path,
    ) -> Result<Vec<u16>> {
        let file = npyz::NpyFile::with_header(self.header.clone(), &self.values[..]);
        let numbers = file.into_vec::<T>().map_err(Error::io(OPERATION, path))?;
        let label = |(at, number): (usize, T)| {
            let problem = || format!("label {at} is {number}, expected 0 to 65,535");
            number.try_into().map_err(|_| Error::format(OPERATION, path, problem()))
        };
        numbers.into_iter().enumerate().map(label).collect()
    }
}

/// The header, after which `bytes` begin then.
fn header(bytes: &mut &[u8]) -> Result<NpyHeader, String> {
    // npyz takes as much memory as a header says that it has, up to 4 GB, before it reads it.
    if let Some((&[.., version, _, a, b, c, d], rest)) = bytes.split_first_chunk::<12>()
        && version > 1
        && u32::from_le_bytes([a, b, c, d]) as usize > rest.len()
    {
        return Err("a header longer than the file".into());
    }
    NpyHeader::from_reader(bytes).map_err(|error| error.to_string())
}

/// How many images a file says that it has.
fn count(path: &Path) -> Option<usize> {
    /// NumPy's own headers have 118 bytes.
    const HEADER: u64 = 1 << 16;
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(HEADER).read_to_end(&mut bytes).ok()?;
    header(&mut &bytes[..]).ok()?.shape().first().map(|images| *images as usize)
}
