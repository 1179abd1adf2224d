//! Which published data set some images are: by their checksum, never by a folder's name or a file's form.
//!
//! Many data sets come in the files of CIFAR-10 and MNIST (ciFAIR-10, Fashion-MNIST, Kuzushiji-MNIST, a copy with other
//! labels). Only what is known to be the published one, to the byte, bears its name and is set beside the paper's numbers; all else is
//! "CIFAR-10 format (FOLDER)", or "Photographs in folder FOLDER".

use crate::data::DataId;

/// A data set that is known to be what its title says. Each is described where its format is read.
///
/// **Published keys.** Name and title are part of the key of every run on the set: under another, runs that took hours are found by
/// nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// Short name, as on the command line.
    pub name: &'static str,
    /// Name for figures and tables, which no other images may bear.
    pub title: &'static str,
    /// [`Dataset::fingerprint`](crate::data::Dataset::fingerprint) of the whole set. `None`: no checksum of the unpacked files is
    /// published, and the format's reader knows it otherwise (by the archive that it comes from, by its numbers of photographs).
    pub fingerprint: Option<&'static str>,
    /// Its name in the paper's tables, where it is one of the paper's or a part or copy of it that says so in its title.
    pub paper_name: Option<&'static str>,
    /// Whether its numbers may stand beside the paper's.
    pub comparable: bool,
    /// Whether it is what `rethink data fetch` downloads under its name.
    pub fetched: bool,
    /// What [`verify`](crate::data::verify) says of it.
    pub verdict: &'static str,
}

impl Published {
    /// The set with this fingerprint.
    pub(super) fn by_fingerprint(fingerprint: &str) -> Option<Published> {
        crate::data::all_published().into_iter().find(|known| known.fingerprint == Some(fingerprint))
    }

    /// Whether `title` is one that only a published set's own images bear.
    pub(super) fn is_reserved(title: &str) -> bool {
        crate::data::all_published().into_iter().any(|known| known.title == title)
    }

    /// The data set's name in the paper's tables, where the set is one of the paper's or a part or copy of it that says so in its
    /// title.
    pub fn in_paper(self) -> Option<&'static str> {
        self.paper_name
    }
}

impl DataId {
    /// The published data set whose first images these are; `None` for all others, whatever they are called.
    pub fn published(&self) -> Option<Published> {
        let called = |known: &Published| {
            known.fingerprint.is_none() && (known.name, known.title) == (&*self.name, &*self.title)
        };
        Published::by_fingerprint(&self.fingerprint)
            .or_else(|| crate::data::all_published().into_iter().find(called))
    }

    /// Whether these are a published set's files or the embedded images, or one's own set under a name of one's own: not files in
    /// the format of a published set that are not it, nor a published set that the paper has nothing to say of. Those stand in no
    /// comparison with the paper.
    pub fn is_comparable(&self) -> bool {
        self.published().map_or(self.called().is_none(), |published| published.comparable)
    }

    /// The title without its folder, if the set is called by its format, for want of a name.
    fn called(&self) -> Option<&str> {
        crate::data::FORMATS.iter().find_map(|format| format.keyed(&self.title))
    }

    /// The title as far as it belongs to a run's key: without the folder of a set that is called by it. The same bytes in another
    /// folder are the same runs.
    pub(crate) fn keyed_title(&self) -> &str {
        self.called().unwrap_or(&self.title)
    }
}
