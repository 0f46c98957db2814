//! Tickets on paper: a page for each, with its QR code. The same tickets give the same bytes.
//!
//! The font is part of the program, so that a page looks the same wherever it is made. It knows Latin, Greek, Cyrillic,
//! Arabic, Hebrew, Armenian and Georgian; of another script it draws a box for every letter. Nothing is lost by that at
//! the gate, where the QR code counts.

use super::paper::Paper;
use fast_qr::{ECL, QRBuilder, QRCode, qr::QRCodeError};
use krilla::{
    Document,
    geom::{PathBuilder, Point, Rect, Transform},
    metadata::Metadata,
    page::PageSettings,
    paint::Fill,
    surface::Surface,
    text::{Font, TextDirection},
};
use std::sync::LazyLock;

/// A page's width and height: A5, in points.
const PAGE: (u16, u16) = (420, 595);
/// What stays empty on each side.
const MARGIN: u16 = 36;
/// The side of the square that the QR code fills, with the light border that scanners need.
const QR_SIDE: u16 = 264;
/// Where that square begins, from above.
const QR_TOP: u16 = 276;
/// The width of the light border, in modules.
const QR_BORDER: u16 = 4;

/// Tickets could not be put on paper.
#[derive(Debug, thiserror::Error)]
pub enum PdfError {
    /// The font that the program brings does not read.
    #[error("the font does not read")]
    Font,
    /// A code does not fit into a QR code.
    #[error("a ticket's code does not fit into a QR code")]
    Qr(#[source] QRCodeError),
    /// A page could not be drawn.
    #[error("the document could not be drawn: {0}")]
    Draw(String),
}

/// A font to draw with, and to measure by.
struct Face {
    font: Font,
    measures: ttf_parser::Face<'static>,
}

impl Face {
    fn read(bytes: &'static [u8]) -> Option<Self> {
        Some(Self { font: Font::new(bytes.into(), 0)?, measures: ttf_parser::Face::parse(bytes, 0).ok()? })
    }

    /// How wide a text is when a letter is 1,000 high.
    fn width(&self, text: &str) -> u32 {
        let advance = |letter: char| {
            let glyph = self.measures.glyph_index(letter).unwrap_or_default();
            u32::from(self.measures.glyph_hor_advance(glyph).unwrap_or_default())
        };
        text.chars().map(advance).sum::<u32>() * 1_000 / u32::from(self.measures.units_per_em())
    }

    /// The text in at most `lines_max` lines that fit on the page; `…` stands for what does not.
    fn lines(&self, text: &str, size: u16, lines_max: usize) -> Vec<String> {
        let room = u32::from(PAGE.0 - 2 * MARGIN) * 1_000 / u32::from(size);
        let shown: String = text.chars().filter(|letter| !is_unseen(*letter)).collect();
        let mut lines = vec![String::new()];
        for word in shown.split_whitespace() {
            let line = lines.last().map(String::as_str).unwrap_or_default();
            if !line.is_empty() && self.width(&format!("{line} {word}")) > room {
                lines.push(String::new());
            }
            let Some(line) = lines.last_mut() else { continue };
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        let lost = lines.len() > lines_max;
        lines.truncate(lines_max);
        let last = lines.len() - 1;
        for (at, line) in lines.iter_mut().enumerate() {
            let mut cut = lost && at == last;
            while !line.is_empty() && self.width(line) + if cut { self.width("…") } else { 0 } > room {
                line.pop();
                cut = true;
            }
            if cut {
                line.push('…');
            }
        }
        lines
    }
}

/// Whether a letter is not seen itself, but may turn round or hide those beside it.
fn is_unseen(letter: char) -> bool {
    let turns = matches!(letter, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    turns || (letter.is_control() && !letter.is_whitespace())
}

static FACES: LazyLock<Option<(Face, Face)>> =
    LazyLock::new(|| Some((Face::read(dejavu::sans::regular())?, Face::read(dejavu::sans::bold())?)));

/// A document with a page for each ticket.
///
/// # Errors
/// [`PdfError`].
pub fn document(tickets: &[Paper]) -> Result<Vec<u8>, PdfError> {
    let (regular, bold) = FACES.as_ref().ok_or(PdfError::Font)?;
    let mut document = Document::new();
    let title = tickets.first().map(|ticket| ticket.event.clone()).unwrap_or_default();
    document.set_metadata(Metadata::new().title(title).creator("Showrunner".to_owned()));
    for ticket in tickets {
        let qr = QRBuilder::new(ticket.code.as_str()).ecl(ECL::M).build().map_err(PdfError::Qr)?;
        let size = PageSettings::from_wh(PAGE.0.into(), PAGE.1.into());
        let mut page = document.start_page_with(size.ok_or_else(|| PdfError::Draw("a page without size".into()))?);
        let mut surface = page.surface();
        surface.set_fill(Some(Fill::default()));
        let mut pen = Pen { surface: &mut surface, y: 48 };
        pen.write(bold, 20, 3, &ticket.event);
        pen.y += 8;
        pen.write(regular, 12, 1, &ticket.starts);
        pen.write(regular, 12, 2, &ticket.venue);
        pen.y += 12;
        pen.write(bold, 16, 2, &ticket.section);
        pen.write(bold, 16, 1, &format!("Row {}, seat {}", ticket.row, ticket.number));
        draw_code(&mut surface, &qr)?;
        let mut pen = Pen { surface: &mut surface, y: QR_TOP + QR_SIDE + 12 };
        pen.write(regular, 8, 1, &format!("Ticket {}", ticket.ticket_id));
        pen.write(regular, 8, 1, &format!("Order {}", ticket.order_id));
        surface.finish();
        page.finish();
    }
    document.finish().map_err(|error| PdfError::Draw(format!("{error:?}")))
}

/// Writes lines, one below the other.
struct Pen<'a, 'b> {
    surface: &'a mut Surface<'b>,
    y: u16,
}

impl Pen<'_, '_> {
    fn write(&mut self, face: &Face, size: u16, lines_max: usize, text: &str) {
        for line in face.lines(text, size, lines_max) {
            let start = Point::from_xy(MARGIN.into(), self.y.into());
            self.surface.draw_text(start, face.font.clone(), size.into(), &line, false, TextDirection::Auto);
            self.y += size + size / 3;
        }
    }
}

/// Draws a code into its square.
#[expect(clippy::float_arithmetic, reason = "a code fills the same square, however many modules it has")]
fn draw_code(surface: &mut Surface<'_>, qr: &QRCode) -> Result<(), PdfError> {
    let undrawn = || PdfError::Draw("a code without modules".into());
    let mut path = PathBuilder::new();
    for (row, y) in (0..qr.size).zip(QR_BORDER..) {
        for (module, x) in qr[row].iter().zip(QR_BORDER..) {
            if module.value() {
                path.push_rect(Rect::from_xywh(x.into(), y.into(), 1.0, 1.0).ok_or_else(undrawn)?);
            }
        }
    }
    let modules = u16::try_from(qr.size).map_err(|_| undrawn())? + 2 * QR_BORDER;
    let scale = f32::from(QR_SIDE) / f32::from(modules);
    let left = (PAGE.0 - QR_SIDE) / 2;
    surface.push_transform(&Transform::from_row(scale, 0.0, 0.0, scale, left.into(), QR_TOP.into()));
    surface.draw_path(&path.finish().ok_or_else(undrawn)?);
    surface.pop();
    Ok(())
}
