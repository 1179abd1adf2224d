//! plotters' drawing backend for the figures: an SVG of a physical size, described to readers that do not see it, with
//! round joins, dashed paths, and text that browsers and resvg place alike.
//!
//! plotters' own SVG backend has no dashes and sizes in pixels only, and places text by `ex`, which is the font's own in
//! browsers and half an em in resvg.

use crate::export::printable;
use crate::style::units;
use crate::{Error, Result};
use plotters::coord::Shift;
use plotters::prelude::{DrawingArea, DrawingAreaErrorKind, DrawingBackend, IntoDrawingArea, WHITE};
use plotters::style::text_anchor::{HPos, VPos};
use plotters::style::{FontStyle, FontTransform};
use plotters_backend::{BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingErrorKind};
use std::convert::Infallible;
use std::fmt::{Arguments, Write};

/// What is drawn on, in [`units`].
pub type Canvas<'a> = DrawingArea<SvgBackend<'a>, Shift>;

/// What plotters gives where it cannot draw on a [`Canvas`].
pub type CanvasError = DrawingAreaErrorKind<Infallible>;

type Drawn = std::result::Result<(), DrawingErrorKind<Infallible>>;

/// The SVG of what `draw` draws on white, `size` (width, height) in points, finite and not negative; `description` is for
/// readers that do not see it.
///
/// Errors: those of `draw`.
///
/// ```
/// use rethink_plot::theme::{DashedPath, INK, document, stroke, units};
///
/// let svg = document((72.0, 36.0), "a dashed line", |canvas| {
///     let ends = [(0, units(18.0)), (units(72.0), units(18.0))];
///     let line = DashedPath::new(ends, stroke(INK, 1.0), &[4.0, 2.0]);
///     canvas.draw(&line).map_err(rethink_plot::Error::drawing("draw a line"))
/// })?;
/// assert!(svg.contains("stroke-width=\"20\" stroke-dasharray=\"80 40\""));
/// # Ok::<(), rethink_plot::Error>(())
/// ```
pub fn document(
    size: (f64, f64),
    description: &str,
    draw: impl FnOnce(&Canvas) -> Result<()>,
) -> Result<String> {
    let (width, height) = (units(size.0).max(0), units(size.1).max(0));
    let opening = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{:.4}in\" height=\"{:.4}in\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\" stroke-linejoin=\"round\">\n",
        size.0 / 72.0,
        size.1 / 72.0,
        in_attribute(description)
    );
    drawn(opening, (width as u32, height as u32), |canvas| {
        canvas.fill(&WHITE).map_err(Error::drawing("draw the background"))?;
        draw(&canvas)
    })
}

/// The SVG of what `draw` draws on an area of `size` (width, height) pixels, which is its unit.
///
/// Errors: [`Error::Drawing`] with those of `draw`.
pub fn in_pixels(
    size: (u32, u32),
    draw: impl FnOnce(Canvas) -> std::result::Result<(), Box<dyn std::error::Error>>,
) -> Result<String> {
    let (width, height) = size;
    let opening = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" stroke-linejoin=\"round\">\n"
    );
    drawn(opening, size, |canvas| draw(canvas).map_err(Error::drawing("draw a figure")))
}

fn drawn(opening: String, size: (u32, u32), draw: impl FnOnce(Canvas) -> Result<()>) -> Result<String> {
    let mut svg = opening;
    draw(SvgBackend { svg: &mut svg, size }.into_drawing_area())?;
    svg.push_str("</svg>\n");
    Ok(svg)
}

/// Writes what plotters draws as elements of an SVG; [`document`] makes one. What is fully transparent or has no points
/// is left out.
pub struct SvgBackend<'a> {
    svg: &'a mut String,
    /// Width and height in units.
    size: (u32, u32),
}

impl SvgBackend<'_> {
    /// A path whose dashes are `dash` units long, on and off in turn; an empty `dash` is a solid line. `style` gives
    /// colour and width.
    pub fn draw_dashed_path<S: BackendStyle>(
        &mut self,
        path: impl IntoIterator<Item = BackendCoord>,
        style: &S,
        dash: &[i32],
    ) -> Drawn {
        let (Some(Paint { hex, opacity }), Some(points)) = (Paint::of(style.color()), points(path)) else {
            return Ok(());
        };
        let mut dashes = String::new();
        if !dash.is_empty() {
            let dash: Vec<String> = dash.iter().map(i32::to_string).collect();
            dashes = format!(" stroke-dasharray=\"{}\"", dash.join(" "));
        }
        let width = style.stroke_width();
        self.element(format_args!(
            "<polyline fill=\"none\"{opacity} stroke=\"{hex}\" stroke-width=\"{width}\"{dashes} points=\"{points}\"/>"
        ))
    }

    fn element(&mut self, element: Arguments) -> Drawn {
        // A String takes all that is written to it.
        let _ = writeln!(self.svg, "{element}");
        Ok(())
    }
}

impl DrawingBackend for SvgBackend<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        self.size
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, (x, y): BackendCoord, color: BackendColor) -> Drawn {
        self.draw_rect((x, y), (x.saturating_add(1), y.saturating_add(1)), &color, true)
    }

    fn draw_line<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S) -> Drawn {
        let Some(Paint { hex, opacity }) = Paint::of(style.color()) else { return Ok(()) };
        let ((x1, y1), (x2, y2)) = (from, to);
        self.element(format_args!(
            "<line{opacity} stroke=\"{hex}\" stroke-width=\"{}\" x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\"/>",
            style.stroke_width()
        ))
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        upper_left: BackendCoord,
        bottom_right: BackendCoord,
        style: &S,
        fill: bool,
    ) -> Drawn {
        let Some(Paint { hex, opacity }) = Paint::of(style.color()) else { return Ok(()) };
        let (x, y) = (upper_left.0.min(bottom_right.0), upper_left.1.min(bottom_right.1));
        let (width, height) = (upper_left.0.abs_diff(bottom_right.0), upper_left.1.abs_diff(bottom_right.1));
        let (fill, stroke) = inside_and_edge(&hex, fill);
        self.element(format_args!(
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"{opacity} fill=\"{fill}\" stroke=\"{stroke}\"/>"
        ))
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Drawn {
        self.draw_dashed_path(path, style, &[])
    }

    fn draw_circle<S: BackendStyle>(
        &mut self,
        (x, y): BackendCoord,
        radius: u32,
        style: &S,
        fill: bool,
    ) -> Drawn {
        let Some(Paint { hex, opacity }) = Paint::of(style.color()) else { return Ok(()) };
        let (fill, stroke) = inside_and_edge(&hex, fill);
        self.element(format_args!(
            "<circle cx=\"{x}\" cy=\"{y}\" r=\"{radius}\"{opacity} fill=\"{fill}\" stroke=\"{stroke}\" stroke-width=\"{}\"/>",
            style.stroke_width()
        ))
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Drawn {
        let (Some(Paint { hex, opacity }), Some(points)) = (Paint::of(style.color()), points(path)) else {
            return Ok(());
        };
        self.element(format_args!("<polygon{opacity} fill=\"{hex}\" points=\"{points}\"/>"))
    }

    fn draw_text<S: BackendTextStyle>(&mut self, text: &str, style: &S, (x, y): BackendCoord) -> Drawn {
        let Some(Paint { hex, opacity }) = Paint::of(style.color()) else { return Ok(()) };
        let anchor = match style.anchor().h_pos {
            HPos::Left => "start",
            HPos::Center => "middle",
            HPos::Right => "end",
        };
        // From the place to the baseline.
        let dy = match style.anchor().v_pos {
            VPos::Top => "0.76em",
            VPos::Center => "0.36em",
            VPos::Bottom => "-0.22em",
        };
        let face = match style.style() {
            FontStyle::Normal => String::new(),
            FontStyle::Bold => " font-weight=\"bold\"".into(),
            slanted => format!(" font-style=\"{}\"", slanted.as_str()),
        };
        let turn = match style.transform() {
            FontTransform::None => String::new(),
            FontTransform::Rotate90 => format!(" transform=\"rotate(90, {x}, {y})\""),
            FontTransform::Rotate180 => format!(" transform=\"rotate(180, {x}, {y})\""),
            FontTransform::Rotate270 => format!(" transform=\"rotate(270, {x}, {y})\""),
        };
        // A family that this machine or the PNG's renderer lacks is not left out.
        let family = match style.family().as_str() {
            stack if stack == "sans-serif" || stack.contains(',') => in_attribute(stack),
            family => format!("{}, sans-serif", in_attribute(family)),
        };
        self.element(format_args!(
            "<text x=\"{x}\" y=\"{y}\" dy=\"{dy}\" text-anchor=\"{anchor}\" font-family=\"{family}\" font-size=\"{}\"{opacity} \
             fill=\"{hex}\"{face}{turn}>\n{}\n</text>",
            style.size(),
            in_element(text)
        ))
    }
}

/// A colour as attributes have it.
struct Paint {
    /// "#RRGGBB".
    hex: String,
    /// The attribute, with a space before it; none for an opaque colour.
    opacity: String,
}

impl Paint {
    /// `None` where nothing is seen.
    fn of(colour: BackendColor) -> Option<Paint> {
        let (r, g, b) = colour.rgb;
        let opacity = match colour.alpha {
            0.0 => return None,
            1.0 => String::new(),
            alpha => format!(" opacity=\"{alpha}\""),
        };
        Some(Paint { hex: format!("#{r:02X}{g:02X}{b:02X}"), opacity })
    }
}

/// The attributes `fill` and `stroke` of a shape that is either filled or outlined.
fn inside_and_edge(hex: &str, fill: bool) -> (&str, &str) {
    if fill { (hex, "none") } else { ("none", hex) }
}

/// The attribute `points`; `None` where there are none.
fn points(path: impl IntoIterator<Item = BackendCoord>) -> Option<String> {
    let points: String = path.into_iter().map(|(x, y)| format!("{x},{y} ")).collect();
    (!points.is_empty()).then_some(points)
}

/// Text within an attribute's double quotes.
pub fn in_attribute(text: &str) -> String {
    printable(text).replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;")
}

/// Text between tags; with ">" and "'" written out too, as plotters' own backend does, so that figures keep their bytes.
fn in_element(text: &str) -> String {
    in_attribute(text).replace('>', "&gt;").replace('\'', "&apos;")
}
