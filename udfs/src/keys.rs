//! Keys: what names a thread or a row of a query's answer, and where a key
//! belongs (Kafka's own partitioner hash).

use crate::hash::Parts;

/// The key of a thread: its messages have the same one, in every part of the
/// hub and in every query.
pub fn thread_key(tenant: &str, channel: &str, thread_ts: &str) -> u128 {
    Parts::new().add("thread").add(tenant).add(channel).add(thread_ts).finish()
}

/// The key of a row that a query writes: of what rule, about whom, at what time
/// (the end of a window, say). A row that is written twice has it twice, so
/// whoever keeps the newest of each key has it once.
pub fn row_key(rule: &str, subject: &str, at: &str) -> u128 {
    Parts::new().add("row").add(rule).add(subject).add(at).finish()
}

/// The 32-bit Murmur2 that Kafka's default partitioner uses for keys.
pub fn murmur2(data: &[u8]) -> u32 {
    const MIX: u32 = 0x5bd1_e995;
    const SEED: u32 = 0x9747_b28c;
    let mut hash = SEED ^ data.len() as u32;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(MIX);
        word ^= word >> 24;
        hash = hash.wrapping_mul(MIX) ^ word.wrapping_mul(MIX);
    }
    let rest = words.remainder();
    for (index, byte) in rest.iter().enumerate() {
        hash ^= u32::from(*byte) << (8 * index);
    }
    if !rest.is_empty() {
        hash = hash.wrapping_mul(MIX);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MIX);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_where_anything_does() {
        let keys = [
            thread_key("t", "c", "1.2"),
            thread_key("t", "c1", ".2"),
            row_key("t", "c", "1.2"),
            row_key("t", "c", "1.3"),
            row_key("tc", "", "1.3"),
        ];
        for (at, key) in keys.iter().enumerate() {
            assert!(!keys[..at].contains(key), "{at}");
        }
        assert_eq!(row_key("t", "c", "1.2"), keys[2]);
    }

    /// The values that Kafka's own test suite expects.
    #[test]
    fn agrees_with_kafka() {
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        }
    }
}
