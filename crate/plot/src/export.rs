//! PNG and PDF of a drawing's SVG, and the width of its text: all with an embedded font, whatever
//! fonts the machine has. A drawing has one font.

use crate::{Error, Result};
use resvg::tiny_skia::{Color, Pixmap, Transform};
use resvg::usvg::{self, fontdb};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

/// The licence of both faces, to be given along with their files.
pub const FONT_LICENCE: &str = include_str!("../assets/fonts/LICENCE-OFL.txt");

/// A typeface that is embedded in the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// Liberation Sans, which has the metrics of Arial and Helvetica.
    Sans,
    /// Liberation Serif, which has the metrics of Times New Roman.
    Serif,
}

impl Family {
    /// The face's own name.
    pub fn name(self) -> &'static str {
        match self {
            Family::Sans => "Liberation Sans",
            Family::Serif => "Liberation Serif",
        }
    }

    /// Family names of an SVG's text: the embedded face, then others with its metrics for browsers.
    pub fn stack(self) -> &'static str {
        match self {
            Family::Sans => "Liberation Sans, Arial, Helvetica, sans-serif",
            Family::Serif => "Liberation Serif, Times New Roman, Times, serif",
        }
    }

    /// The face's TrueType file: its name and bytes.
    pub fn file(self) -> (&'static str, &'static [u8]) {
        match self {
            Family::Sans => {
                ("LiberationSans-Regular.ttf", include_bytes!("../assets/fonts/LiberationSans-Regular.ttf"))
            }
            Family::Serif => {
                ("LiberationSerif-Regular.ttf", include_bytes!("../assets/fonts/LiberationSerif-Regular.ttf"))
            }
        }
    }

    /// A database of this face alone: a glyph that it lacks is not taken from another.
    fn fonts(self) -> Arc<fontdb::Database> {
        static SANS: LazyLock<Arc<fontdb::Database>> = LazyLock::new(|| {
            let mut fonts = fontdb::Database::new();
            fonts.load_font_data(Family::Sans.file().1.to_vec());
            fonts.set_sans_serif_family(Family::Sans.name());
            Arc::new(fonts)
        });
        static SERIF: LazyLock<Arc<fontdb::Database>> = LazyLock::new(|| {
            let mut fonts = fontdb::Database::new();
            fonts.load_font_data(Family::Serif.file().1.to_vec());
            fonts.set_serif_family(Family::Serif.name());
            Arc::new(fonts)
        });
        match self {
            Family::Sans => SANS.clone(),
            Family::Serif => SERIF.clone(),
        }
    }

    /// Width of one line of `text` at `size` points, in points, kerning included.
    pub fn width(self, text: &str, size: f64) -> Result<f64> {
        // In thousandths of the size, because widths are asked for again and again.
        static KNOWN: LazyLock<Mutex<HashMap<(Family, String), f64>>> = LazyLock::new(Mutex::default);
        let key = (self, printable(text));
        if let Some(width) = KNOWN.lock().unwrap_or_else(|e| e.into_inner()).get(&key) {
            return Ok(width * size / 1000.0);
        }
        let escaped = key.1.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let family = self.stack();
        let svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"10\" height=\"10\">\
             <text font-family=\"{family}\" font-size=\"1000\" xml:space=\"preserve\">{escaped}</text></svg>"
        );
        let tree = tree(&svg, self)?;
        let width = match tree.root().children().first() {
            Some(usvg::Node::Text(text)) => f64::from(text.bounding_box().width()),
            _ => 0.0,
        };
        KNOWN.lock().unwrap_or_else(|e| e.into_inner()).insert(key, width);
        Ok(width * size / 1000.0)
    }

    /// Breaks `text` into lines at most `width` points wide at `size` points: between words, or inside a
    /// word that alone is wider. Empty text gives no line.
    pub fn wrap(self, text: &str, size: f64, width: f64) -> Result<Vec<String>> {
        let mut lines: Vec<String> = Vec::new();
        let mut line = String::new();
        for word in printable(text).split_whitespace() {
            let longer = if line.is_empty() { word.to_string() } else { format!("{line} {word}") };
            if self.width(&longer, size)? <= width {
                line = longer;
                continue;
            }
            if !line.is_empty() {
                lines.push(std::mem::take(&mut line));
            }
            for c in word.chars() {
                line.push(c);
                if self.width(&line, size)? > width && line.chars().count() > 1 {
                    line.pop();
                    lines.push(std::mem::replace(&mut line, c.to_string()));
                }
            }
        }
        if !line.is_empty() {
            lines.push(line);
        }
        Ok(lines)
    }

    /// `text` on one line at most `width` points wide at `size` points, with an ellipsis where it is cut.
    pub fn cut(self, text: &str, size: f64, width: f64) -> Result<String> {
        let mut lines = self.wrap(text, size, width)?.into_iter();
        let mut line = lines.next().unwrap_or_default();
        if lines.next().is_some() {
            while self.width(&format!("{line}\u{2026}"), size)? > width && line.pop().is_some() {}
            line.push('\u{2026}');
        }
        Ok(line)
    }
}

/// CSS pixels an inch: how usvg turns the SVG's inches into its own unit.
const CSS_DPI: f32 = 96.0;

fn tree(svg: &str, family: Family) -> Result<usvg::Tree> {
    let options = usvg::Options {
        dpi: CSS_DPI,
        font_family: family.name().into(),
        fontdb: family.fonts(),
        ..usvg::Options::default()
    };
    usvg::Tree::from_str(svg, &options).map_err(Error::drawing("read the drawing's SVG"))
}

/// PNG of `svg` at `dpi` dots an inch (24 to 2,400) on white, 8-bit RGB; its header states the dpi.
pub fn png(svg: &str, family: Family, dpi: u32) -> Result<Vec<u8>> {
    if !(24..=2400).contains(&dpi) {
        return Err(Error::argument("render PNG", format!("{dpi} dpi is outside 24 to 2,400")));
    }
    let tree = tree(svg, family)?;
    let zoom = dpi as f32 / CSS_DPI;
    let pixels = |css: f32| (css * zoom).round() as u32;
    let (width, height) = (pixels(tree.size().width()), pixels(tree.size().height()));
    let no_room = || Error::Drawing {
        operation: "render PNG",
        problem: format!("no memory for {width} x {height} pixels"),
    };
    let mut image = Pixmap::new(width, height).ok_or_else(no_room)?;
    image.fill(Color::WHITE);
    resvg::render(&tree, Transform::from_scale(zoom, zoom), &mut image.as_mut());
    let rgb: Vec<u8> = image.pixels().iter().flat_map(|p| [p.red(), p.green(), p.blue()]).collect();

    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let per_metre = (f64::from(dpi) / 0.0254).round() as u32;
    encoder.set_pixel_dims(Some(png::PixelDimensions {
        xppu: per_metre,
        yppu: per_metre,
        unit: png::Unit::Meter,
    }));
    let mut writer = encoder.write_header().map_err(Error::drawing("write PNG"))?;
    writer.write_image_data(&rgb).map_err(Error::drawing("write PNG"))?;
    writer.finish().map_err(Error::drawing("write PNG"))?;
    Ok(bytes)
}

/// PDF of one page, as large as `svg` says, with selectable text and the font's used glyphs.
pub fn pdf(svg: &str, family: Family) -> Result<Vec<u8>> {
    let page = svg2pdf::PageOptions { dpi: CSS_DPI };
    svg2pdf::to_pdf(&tree(svg, family)?, svg2pdf::ConversionOptions::default(), page)
        .map_err(Error::drawing("write PDF"))
}

/// [`Family::width`] in the figures' own face.
pub fn text_width(text: &str, size: f64) -> Result<f64> {
    Family::Sans.width(text, size)
}

/// [`Family::wrap`] in the figures' own face.
pub fn wrap(text: &str, size: f64, width: f64) -> Result<Vec<String>> {
    Family::Sans.wrap(text, size, width)
}

/// `text` without characters that XML cannot hold; each becomes a space.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') { ' ' } else { c })
        .collect()
}
