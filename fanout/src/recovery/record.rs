//! What is kept of a connection, as the registry has it: small, versioned, and without a word of what was said.

use proto::ChannelId;

use crate::offset::{Bookmark, TURN_MAX};

/// Another version's record is no record.
const VERSION: u32 = 1;

/// What a connection had joined.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Record {
    #[prost(uint32, tag = "1")]
    version: u32,
    /// The socket's public id.
    #[prost(string, tag = "2")]
    pub sid: String,
    /// The stream's generation.
    #[prost(uint64, tag = "3")]
    pub generation: u64,
    /// The channels, in the order in which their pages were sent; those without a page come last.
    #[prost(message, repeated, tag = "4")]
    pub channels: Vec<Joined>,
}

/// A joined channel.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Joined {
    /// Its id.
    #[prost(uint64, tag = "1")]
    pub channel: u64,
    /// The sequence at which its page was taken; none before it was sent.
    #[prost(uint64, optional, tag = "2")]
    pub page: Option<u64>,
    /// Which one the page was among those of this sequence, from 1.
    #[prost(uint32, tag = "3")]
    pub turn: u32,
    /// Messages of a page, if the client said how many.
    #[prost(uint32, optional, tag = "4")]
    pub limit: Option<u32>,
}

impl Record {
    /// A connection's, with what it has joined.
    pub fn new(sid: String, generation: u64, channels: Vec<Joined>) -> Self {
        Self {
            version: VERSION,
            sid,
            generation,
            channels,
        }
    }

    /// This version can read it.
    pub fn is_ours(&self) -> bool {
        self.version == VERSION
    }

    /// The channel is in it.
    pub fn has(&self, channel: ChannelId) -> bool {
        let mut channels = self.channels.iter();
        channels.any(|joined| joined.channel == channel.get())
    }
}

impl Joined {
    /// A channel whose page was sent.
    pub fn with_page(channel: ChannelId, at: Bookmark, limit: Option<u32>) -> Self {
        Self {
            channel: channel.get(),
            page: Some(at.offset.sequence),
            turn: at.turn.into(),
            limit,
        }
    }

    /// A channel whose page is on its way.
    pub fn without_page(channel: ChannelId) -> Self {
        Self {
            channel: channel.get(),
            ..Self::default()
        }
    }

    /// The channel, if the record is sound.
    pub fn id(&self) -> Option<ChannelId> {
        ChannelId::new(self.channel)
    }

    /// A client that has seen this last has got the page: what is sent comes in one order. Beyond the turns that can be
    /// told apart nobody knows: then it gets another.
    pub fn is_seen(&self, seen: Bookmark) -> bool {
        let last = (seen.offset.sequence, u32::from(seen.turn));
        let is_known = |page| page < seen.offset.sequence || self.turn < u32::from(TURN_MAX);
        self.page
            .is_some_and(|page| (page, self.turn) <= last && is_known(page))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::offset::Offset;

    fn seen(sequence: u64, turn: u8) -> Bookmark {
        let generation = 1;
        Bookmark {
            offset: Offset {
                generation,
                sequence,
            },
            turn,
        }
    }

    #[test]
    fn a_page_is_seen_by_who_has_its_offset_or_a_later_one() {
        let channel = ChannelId::new(5).unwrap();
        let joined = Joined::with_page(channel, seen(7, 2), None);
        for (sequence, turn, is_seen) in [
            (6, 0, false),
            (6, 9, false),
            // The event of its position, and the page before it.
            (7, 0, false),
            (7, 1, false),
            (7, 2, true),
            (7, 3, true),
            (8, 0, true),
        ] {
            let at = seen(sequence, turn);
            assert_eq!(joined.is_seen(at), is_seen, "{sequence} {turn}");
        }
        assert!(!Joined::without_page(channel).is_seen(seen(u64::MAX, 9)));
    }

    #[test]
    fn a_record_is_small() {
        let ids = (0..50).filter_map(|id| ChannelId::new(1_300_000_000_000_000_000 + id));
        let channels = ids.map(|id| Joined::with_page(id, seen(1 << 40, 1), Some(100)));
        let record = Record::new("a".repeat(20), u64::MAX, channels.collect());
        let bytes = record.encode_to_vec();
        assert!(bytes.len() < 1_500, "{}", bytes.len());
        assert_eq!(Record::decode(&*bytes).unwrap(), record);
        assert!(record.is_ours());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _read = Record::decode(&*bytes);
        }
    }
}
