//! A hash that is the same in every process, version and machine: what it names is stored and compared later.

/// FNV-1a in 64 bits (<http://www.isthe.com/chongo/tech/comp/fnv/>). For names, not against anybody who means harm.
pub fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(OFFSET_BASIS, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(PRIME)
    })
}

/// The constants of its 64 bits.
const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_gives_what_its_authors_publish() {
        let table = [
            ("", 0xcbf2_9ce4_8422_2325),
            ("a", 0xaf63_dc4c_8601_ec8c),
            ("foobar", 0x8594_4171_f739_67e8),
        ];
        for (text, hash) in table {
            assert_eq!(fnv1a(text.as_bytes()), hash, "{text:?}");
        }
    }
}
