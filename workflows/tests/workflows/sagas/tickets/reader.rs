//! Reads a PDF as a person with a scanner does: its text, and the QR code on each page.

use hayro::{
    PixmapSettings, RenderCache, RenderSettings,
    hayro_interpret::{
        BlendMode, ClipPath, Context, Device, DrawMode, DrawProps, Image, ImageDrawProps, InterpreterCache,
        InterpreterSettings, SoftMask, font::GlyphRun, hayro_cmap::BfString, interpret_page,
    },
    hayro_syntax::{Pdf, page::Page},
    kurbo::{Affine, BezPath, Rect},
    vello_cpu::color::palette::css::WHITE,
};

/// Pixels per point: about 140 dots per inch.
const SCALE: f32 = 2.0;

/// What is on a page.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) text: String,
    pub(super) codes: Vec<String>,
}

/// The pages of a document.
pub(super) fn read(document: &[u8]) -> Vec<Read> {
    let pdf = Pdf::new(document.to_vec()).unwrap();
    pdf.pages().iter().map(|page| Read { text: text(page), codes: codes(page) }).collect()
}

fn codes(page: &Page<'_>) -> Vec<String> {
    let pixmap = hayro::render(
        page,
        &RenderCache::new(),
        &InterpreterSettings::default(),
        &RenderSettings::default(),
        &PixmapSettings { x_scale: SCALE, y_scale: SCALE, bg_color: WHITE },
    );
    let (width, height) = (usize::from(pixmap.width()), usize::from(pixmap.height()));
    let pixels = pixmap.data();
    let mut image = rqrr::PreparedImage::prepare_from_greyscale(width, height, |x, y| pixels[y * width + x].g);
    image.detect_grids().iter().map(|grid| grid.decode().unwrap().1).collect()
}

fn text(page: &Page<'_>) -> String {
    let mut told = Told(String::new());
    let everything = Rect::new(-1e6, -1e6, 1e6, 1e6);
    let (cache, settings) = (InterpreterCache::new(), InterpreterSettings::default());
    let mut context = Context::new(Affine::IDENTITY, everything, &cache, page.xref(), settings);
    interpret_page(page, &mut context, &mut told);
    told.0
}

/// Keeps the text, and draws nothing.
struct Told(String);

impl<'a> Device<'a> for Told {
    fn draw_glyph_run(&mut self, run: &GlyphRun<'_, 'a>, _: DrawProps<'a>, _: &DrawMode) {
        for glyph in run.glyphs() {
            match glyph.as_unicode() {
                Some(BfString::Char(letter)) => self.0.push(letter),
                Some(BfString::String(letters)) => self.0.push_str(&letters),
                None => self.0.push('?'),
            }
        }
        self.0.push('\n');
    }
    fn draw_path(&mut self, _: &BezPath, _: DrawProps<'a>, _: &DrawMode) {}
    fn push_clip_path(&mut self, _: &ClipPath) {}
    fn push_transparency_group(&mut self, _: f32, _: Option<SoftMask<'a>>, _: BlendMode) {}
    fn draw_image(&mut self, _: Image<'a, '_>, _: ImageDrawProps<'a>) {}
    fn pop_clip(&mut self) {}
    fn pop_transparency_group(&mut self) {}
}
