//! Times and sizes as people write them: a whole number and its unit.
//!
//! What can't be read, or does not fit its type, is `None`. It knows no names.

use std::time::Duration;

/// Reads a time such as `90s`, `15m`, `24h` or `7d`; a bare number is seconds.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    let seconds = match unit {
        "ms" => return Some(Duration::from_millis(number)),
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

/// Reads a size such as `1000000`, `512KiB` or `1 MiB`.
pub fn parse_bytes(text: &str) -> Option<usize> {
    let (number, unit) = split_unit(text)?;
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(factor)?.try_into().ok()
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_have_units() {
        let times = [
            ("7d", 604_800),
            ("24h", 86_400),
            ("15m", 900),
            ("90", 90),
            ("1 s", 1),
        ];
        for (text, seconds) in times {
            assert_eq!(
                parse_duration(text),
                Some(Duration::from_secs(seconds)),
                "{text}"
            );
        }
        let sizes = [
            ("1000000", 1_000_000),
            ("1 MiB", 1 << 20),
            ("512KiB", 512 << 10),
        ];
        for (text, bytes) in sizes {
            assert_eq!(parse_bytes(text), Some(bytes), "{text}");
        }
        for text in ["", "d", "-1", "1x", "1.5h", "99999999999999999999"] {
            assert_eq!(parse_duration(text), None, "{text}");
            assert_eq!(parse_bytes(text), None, "{text}");
        }
    }
}
