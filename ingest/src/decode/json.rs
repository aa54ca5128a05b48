//! A JSON object read leniently: a field that is missing, null or of another type is simply not there.
//!
//! Borrowed from the frame's text; a nested value is parsed only when it is asked for, so that one odd
//! field never costs the rest. Never panics, whatever the bytes.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// An object's fields, in the order of the text.
#[derive(Debug, Clone, Default)]
pub(super) struct Object<'a> {
    fields: Vec<(Cow<'a, str>, &'a RawValue)>,
}

/// A key without a copy where it has no escapes.
#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut fields = Vec::with_capacity(32);
                while let Some((Key(key), value)) = map.next_entry()? {
                    fields.push((key, value));
                }
                Ok(Object { fields })
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

impl<'a> Object<'a> {
    /// Reads an object; none if the text is something else.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// All fields.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.fields
            .iter()
            .map(|(key, value)| (key.as_ref(), *value))
    }

    /// The JSON of a field, unless it is null.
    pub(super) fn raw(&self, name: &str) -> Option<&'a str> {
        let (_, value) = self.fields.iter().find(|(key, _)| key == name)?;
        Some(value.get()).filter(|text| *text != "null")
    }

    fn read<T: serde::Deserialize<'a>>(&self, name: &str) -> Option<T> {
        serde_json::from_str(self.raw(name)?).ok()
    }

    /// A text, without U+0000.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.read::<Text>(name).map(|Text(text)| text)
    }

    /// A whole number, written as a number or as a string.
    pub(super) fn number<T: TryFrom<i128>>(&self, name: &str) -> Option<T> {
        self.read::<Number>(name)?.0.try_into().ok()
    }

    /// A finite number that may have a fraction.
    pub(super) fn decimal(&self, name: &str) -> Option<f64> {
        self.read(name).filter(|number: &f64| number.is_finite())
    }

    /// Bits, written as a number or as a string of any length: modulo 2^64, so that those we know survive.
    pub(super) fn bits(&self, name: &str) -> Option<u64> {
        let text = self.raw(name)?;
        let inner = text
            .strip_prefix('"')
            .and_then(|text| text.strip_suffix('"'));
        let digits = inner.unwrap_or(text);
        if digits.is_empty() {
            return None;
        }
        digits.chars().try_fold(0_u64, |bits, digit| {
            let digit = digit.to_digit(10)?;
            Some(bits.wrapping_mul(10).wrapping_add(digit.into()))
        })
    }

    /// A snowflake.
    pub(super) fn id(&self, name: &str) -> Option<u64> {
        self.number(name).filter(|id| is_snowflake(*id))
    }

    /// `true`; anything else is false.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.raw(name) == Some("true")
    }

    /// A point in time, in milliseconds since 1970.
    pub(super) fn time_ms(&self, name: &str) -> Option<i64> {
        parse_time_ms(&self.text(name)?)
    }

    /// A nested object.
    pub(super) fn object(&self, name: &str) -> Option<Object<'a>> {
        self.read(name)
    }

    /// The objects of a list; whatever else it holds is left out.
    pub(super) fn objects(&self, name: &str) -> Vec<Object<'a>> {
        let elements = self.elements(name).into_iter();
        elements
            .filter_map(|raw| Object::parse(raw.get()))
            .collect()
    }

    /// The snowflakes of a list; whatever else it holds is left out.
    pub(super) fn ids(&self, name: &str) -> Vec<u64> {
        let elements = self.elements(name).into_iter();
        let numbers = elements.filter_map(|raw| serde_json::from_str::<Number>(raw.get()).ok());
        let ids = numbers.filter_map(|Number(number)| u64::try_from(number).ok());
        ids.filter(|id| is_snowflake(*id)).collect()
    }

    /// A list, unread; none if the field is something else.
    pub(super) fn list(&self, name: &str) -> Option<Vec<&'a RawValue>> {
        self.read(name)
    }

    fn elements(&self, name: &str) -> Vec<&'a RawValue> {
        self.list(name).unwrap_or_default()
    }
}

fn is_snowflake(number: u64) -> bool {
    number != 0 && i64::try_from(number).is_ok()
}

/// A time such as `2026-01-02T03:04:05.678900+00:00` or `…Z`; without a zone it is taken as UTC.
pub(super) fn parse_time_ms(text: &str) -> Option<i64> {
    let parse = |text: &str| OffsetDateTime::parse(text, &Rfc3339).ok();
    let time = parse(text).or_else(|| parse(&format!("{text}Z")))?;
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok()
}

/// A text in which U+0000 (PostgreSQL refuses it) and what is no Unicode (a lone surrogate) are U+FFFD.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Text, E> {
                let text = String::from_utf8_lossy(bytes);
                if text.contains('\0') {
                    return Ok(Text(text.replace('\0', "\u{fffd}")));
                }
                Ok(Text(text.into_owned()))
            }
        }
        // As bytes, because a lone surrogate makes serde_json refuse the whole text otherwise.
        deserializer.deserialize_bytes(Bytes)
    }
}

/// A whole number; Discord writes those beyond 32 bits as strings.
struct Number(i128);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Digits;
        impl Visitor<'_> for Digits {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number")
            }

            fn visit_u64<E>(self, number: u64) -> Result<Number, E> {
                Ok(Number(number.into()))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Number, E> {
                Ok(Number(number.into()))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Number, E> {
                text.parse().map(Number).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Digits)
    }
}

/// The JSON text without U+0000, whose escape is `\u0000`.
pub(super) fn without_nul(json: &str) -> Cow<'_, str> {
    const NUL: &str = "\\u0000";
    if !json.contains(NUL) {
        return json.into();
    }
    let mut clean = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        clean.push_str(before);
        let is_nul = escape.starts_with(NUL);
        // An escape is a backslash and one character at least; `\\` must not be taken apart.
        let length = escape
            .char_indices()
            .nth(2)
            .map_or(escape.len(), |(end, _)| end);
        let length = if is_nul { NUL.len() } else { length };
        let (escape, after) = escape.split_at(length);
        clean.push_str(if is_nul { "\\ufffd" } else { escape });
        rest = after;
    }
    clean.push_str(rest);
    clean.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_field_of_another_type_is_not_there_and_the_rest_is() {
        let text =
            r#"{"id":"5","content":["no"],"n":"7","m":8,"t":true,"o":3,"l":[{"a":1},2,"3"]}"#;
        let object = Object::parse(text).unwrap();
        assert_eq!(object.id("id"), Some(5));
        assert_eq!(object.text("content"), None);
        assert_eq!(object.number::<u32>("n"), Some(7));
        assert_eq!(object.number::<u32>("m"), Some(8));
        assert!(object.flag("t"));
        assert!(object.object("o").is_none());
        assert_eq!(object.objects("l").len(), 1);
        assert_eq!(object.ids("l"), [2, 3]);
    }

    #[test]
    fn bits_are_read_modulo_2_to_the_64_or_not_at_all() {
        let table = [
            ("1024", Some(1_024)),
            (r#""1024""#, Some(1_024)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551617", Some(1)),
            (r#""340282366920938463463374607431768211458""#, Some(2)),
            ("-1", None),
            ("1e3", None),
            (r#""""#, None),
            (r#"" 1""#, None),
            (r#""0x1""#, None),
            ("[1]", None),
            ("null", None),
        ];
        for (text, bits) in table {
            let json = format!(r#"{{"bits":{text}}}"#);
            assert_eq!(Object::parse(&json).unwrap().bits("bits"), bits, "{text}");
        }
    }

    #[test]
    fn nul_and_lone_surrogates_become_the_replacement_character() {
        let object = Object::parse(r#"{"a":"x\u0000y","b":"\ud800z","c":"\u2028\ud83d\ude00"}"#);
        let object = object.unwrap();
        assert_eq!(object.text("a").unwrap(), "x\u{fffd}y");
        assert!(object.text("b").unwrap().ends_with("\u{fffd}z"));
        assert_eq!(object.text("c").unwrap(), "\u{2028}\u{1f600}");
    }

    #[test]
    fn the_escape_of_nul_is_replaced_and_an_escaped_backslash_before_u0000_is_not() {
        assert_eq!(without_nul(r#"{"a":"\u0000"}"#), r#"{"a":"\ufffd"}"#);
        assert_eq!(without_nul(r#"{"a":"\\u0000"}"#), r#"{"a":"\\u0000"}"#);
        assert_eq!(without_nul(r#"{"a":"\\\u0000"}"#), r#"{"a":"\\\ufffd"}"#);
    }

    #[test]
    fn times_have_an_offset_or_z_or_nothing() {
        let table = [
            ("2023-11-14T22:13:20.123456+00:00", Some(1_700_000_000_123)),
            ("2023-11-14T22:13:20Z", Some(1_700_000_000_000)),
            ("2023-11-14T22:13:20.5", Some(1_700_000_000_500)),
            ("2023-11-14T23:13:20+01:00", Some(1_700_000_000_000)),
            ("yesterday", None),
        ];
        for (text, ms) in table {
            assert_eq!(parse_time_ms(text), ms, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_left_and_nothing_panics(text in "\\PC{0,200}", at in 0_usize..40) {
            let json = r#"{"id":"1","list":[1,{"a":null}],"t":"\u0000\\"}"#;
            let cut: String = json.chars().take(at).chain(text.chars()).collect();
            let cleaned = without_nul(&cut);
            if let Some(object) = Object::parse(&cleaned) {
                for (name, _) in object.fields() {
                    object.text(name);
                    object.ids(name);
                    object.objects(name);
                    object.time_ms(name);
                }
            }
        }
    }
}
