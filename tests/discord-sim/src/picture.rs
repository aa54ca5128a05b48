//! Pictures that nobody has to bring: faces, icons, emojis and landscapes, drawn from a seed, the same at every start.
//! PNG alone; the drawing is simple on purpose and knows nothing of Discord.

use std::io::Cursor;

/// The largest side that is drawn.
const SIDE_MAX: u32 = 1_280;

/// What is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Motif {
    /// A symmetrical pattern on a plain ground: a person or a guild.
    Face,
    /// A disc with two eyes on nothing.
    Emoji,
    /// Hills before a sky.
    Landscape,
}

/// A picture as a PNG file.
pub(crate) fn draw(motif: Motif, seed: u64, width: u32, height: u32) -> Vec<u8> {
    let (width, height) = (width.clamp(1, SIDE_MAX), height.clamp(1, SIDE_MAX));
    let mut pixels = Vec::with_capacity((width * height * 4) as usize);
    for row in 0..height {
        for column in 0..width {
            let x = f64::from(column) / f64::from(width);
            let y = f64::from(row) / f64::from(height);
            pixels.extend(match motif {
                Motif::Face => face(seed, x, y),
                Motif::Emoji => emoji(seed, x, y),
                Motif::Landscape => landscape(seed, x, y),
            });
        }
    }
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Eight);
    let written = encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(&pixels));
    if let Err(error) = written {
        tracing::error!(%error, "a picture can't be written");
    }
    file
}

/// Width and height of a PNG file.
pub(crate) fn size(bytes: &[u8]) -> Option<(u32, u32)> {
    let reader = png::Decoder::new(Cursor::new(bytes)).read_info().ok()?;
    Some((reader.info().width, reader.info().height))
}

fn face(seed: u64, x: f64, y: f64) -> [u8; 4] {
    /// Cells a side; the right half mirrors the left.
    const CELLS: f64 = 7.0;
    let hue = hue(seed, 1);
    let (column, row) = ((x * CELLS).floor(), (y * CELLS).floor());
    let column = column.min(CELLS - 1.0 - column);
    let is_inside = column >= 1.0 && (1.0..=CELLS - 2.0).contains(&row);
    let cell = row.mul_add(8.0, column);
    if is_inside && noise(seed, cell) > 0.5 {
        return color(hue + 0.5, 0.55, 0.92 - 0.1 * y);
    }
    color(hue, 0.62, 0.62 - 0.18 * y)
}

fn emoji(seed: u64, x: f64, y: f64) -> [u8; 4] {
    let within = |left: f64, top: f64, radius: f64| (x - left).hypot(y - top) < radius;
    if !within(0.5, 0.5, 0.46) {
        return [0; 4];
    }
    let smiles = within(0.5, 0.55, 0.26) && !within(0.5, 0.47, 0.26) && y > 0.6;
    if within(0.36, 0.4, 0.06) || within(0.64, 0.4, 0.06) || smiles {
        return color(hue(seed, 1), 0.6, 0.2);
    }
    color(hue(seed, 1), 0.75, 0.98 - 0.25 * y)
}

fn landscape(seed: u64, x: f64, y: f64) -> [u8; 4] {
    // From the blue of noon over violet to the orange of an evening: green alone is no sky.
    let sky = hue(seed, 1).mul_add(0.5, 0.55);
    for (layer, base) in [(3_u32, 0.78), (2, 0.66), (1, 0.55)] {
        let (far, phase) = (f64::from(layer), noise(seed, f64::from(layer)) * 6.0);
        let wave =
            (x * (7.0 - far)).mul_add(1.0, phase).sin() * 0.05 + (x * 17.0 + phase).sin() * 0.012;
        if y > base + wave {
            return color(sky - 0.12, 0.45, 0.5 - 0.12 * far);
        }
    }
    let sun = noise(seed, 9.0).mul_add(0.6, 0.2);
    // Pictures are drawn 8 to 5.
    if (x - sun).hypot((y - 0.3) * 0.625) < 0.07 {
        return color(0.13, 0.35, 1.0);
    }
    color(sky, 0.5 - 0.45 * y, 0.85 + 0.15 * y)
}

fn hue(seed: u64, salt: u64) -> f64 {
    noise(seed ^ salt.rotate_left(32), 0.5)
}

/// A number from 0 to 1 that looks like chance and is none.
fn noise(seed: u64, place: f64) -> f64 {
    let mut bits = seed ^ place.to_bits();
    for _ in 0..2 {
        bits = (bits ^ (bits >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 32)).wrapping_mul(0x94d0_49bb_1331_11eb);
    }
    f64::from(u32::try_from(bits >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}

/// Hue, saturation and value, each from 0 to 1, as red, green, blue and full opacity.
fn color(hue: f64, saturation: f64, value: f64) -> [u8; 4] {
    let channel = |offset: f64| {
        let place = (offset + hue.fract() * 6.0) % 6.0;
        let share = place.min(4.0 - place).clamp(0.0, 1.0);
        byte(value * (1.0 - saturation * share))
    };
    [channel(5.0), channel(3.0), channel(1.0), 255]
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to what a byte holds"
)]
fn byte(share: f64) -> u8 {
    (share.clamp(0.0, 1.0) * 255.0).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_its_size_and_depends_on_its_seed_alone() {
        for motif in [Motif::Face, Motif::Emoji, Motif::Landscape] {
            let one = draw(motif, 1, 40, 30);
            assert_eq!(size(&one), Some((40, 30)));
            assert_eq!(one, draw(motif, 1, 40, 30));
            assert_ne!(one, draw(motif, 2, 40, 30));
        }
        assert_eq!(size(b"no picture"), None);
    }
}
