//! Fills a line of the demo: `{tool}` and the like are chosen once a conversation, `@[aya]`, `&[Maker]` and `#[help]`
//! become mentions, `t[+2h:R]` a time, `:lantern:` an emoji of the guild. What is not known stays as it is written.

use crate::guild::Guild;
use crate::snowflake::Snowflake;
use crate::world::World;

/// What a slot may become.
const SLOTS: [(&str, &[&str]); 12] = [
    (
        "tool",
        &[
            "spokeshave",
            "dovetail saw",
            "router",
            "heat gun",
            "block plane",
            "jigsaw",
            "big square",
            "mitre box",
        ],
    ),
    (
        "wood",
        &[
            "oak", "ash", "larch", "pear", "walnut", "cherry", "elm", "beech",
        ],
    ),
    (
        "day",
        &[
            "Monday",
            "Tuesday",
            "Wednesday",
            "Thursday",
            "Friday",
            "Saturday",
            "Sunday",
        ],
    ),
    (
        "thing",
        &[
            "bookcase",
            "stool",
            "weather vane",
            "tray",
            "spice rack",
            "kite",
            "shoe bench",
            "music stand",
        ],
    ),
    (
        "place",
        &[
            "roof",
            "back yard",
            "canal side",
            "attic",
            "big table",
            "loading dock",
        ],
    ),
    (
        "n",
        &[
            "two", "three", "four", "five", "six", "seven", "nine", "eleven",
        ],
    ),
    (
        "time",
        &[
            "half past four",
            "five",
            "six",
            "a quarter to seven",
            "eight",
        ],
    ),
    (
        "dish",
        &[
            "lentil soup",
            "dumplings",
            "plum cake",
            "onion tart",
            "noodles",
            "pancakes",
            "chickpea curry",
        ],
    ),
    (
        "bird",
        &[
            "wren",
            "blackbird",
            "kingfisher",
            "jackdaw",
            "robin",
            "coot",
        ],
    ),
    (
        "tea",
        &[
            "smoky Lapsang",
            "mint from the balcony",
            "plain strong Assam",
            "ginger and lemon",
            "elderflower",
        ],
    ),
    (
        "book",
        &[
            "The Tide Clerk",
            "Nine Letters to a Ferryman",
            "A Short History of Salt",
            "The Green Paperback",
            "Winter in the Harbour",
            "Lichens: a Love Story",
        ],
    ),
    ("weather", &["fog", "rain", "wind", "sun"]),
];

/// A conversation's choices and surroundings.
pub(super) struct Filling<'a> {
    pub(super) world: &'a World,
    pub(super) guild_id: Snowflake,
    /// Decides every choice of the conversation.
    pub(super) seed: u64,
    /// When the line is said, in Unix seconds.
    pub(super) at: u64,
}

impl Filling<'_> {
    /// The line as it is posted.
    pub(super) fn fill(&self, text: &str) -> String {
        let mut text = text.replace("\\n", "\n");
        for (number, (slot, choices)) in (0_u32..).zip(SLOTS) {
            let count = choices.len() as u64;
            let index = self.seed.rotate_left(number * 5) % count;
            let chosen = usize::try_from(index)
                .ok()
                .and_then(|index| choices.get(index));
            if let Some(chosen) = chosen {
                text = text.replace(&format!("{{{slot}}}"), chosen);
            }
        }
        for sigil in ["@", "&", "#", "t"] {
            text = self.replace_marked(&text, sigil);
        }
        self.with_emojis(text)
    }

    fn replace_marked(&self, text: &str, sigil: &str) -> String {
        let opening = format!("{sigil}[");
        let mut pieces = text.split(opening.as_str());
        let mut filled = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let inside = piece.split_once(']');
            let known = inside.and_then(|(name, rest)| Some((self.mention(sigil, name)?, rest)));
            match known {
                Some((mention, rest)) => filled.extend([mention.as_str(), rest]),
                None => filled.extend([opening.as_str(), piece]),
            }
        }
        filled
    }

    fn mention(&self, sigil: &str, name: &str) -> Option<String> {
        let guild = self.guild()?;
        match sigil {
            "@" => {
                let mut people = self.world.people();
                let user = people.find(|user| user.username == name)?;
                Some(format!("<@{}>", user.id))
            }
            "&" => {
                let role = guild.roles.values().find(|role| role.name == name)?;
                Some(format!("<@&{}>", role.id))
            }
            "#" => {
                let mut channels = self.world.channels_of(self.guild_id);
                let channel = channels.find(|channel| channel.name == name)?;
                Some(format!("<#{}>", channel.id))
            }
            _ => {
                let (hours, style) = name.strip_prefix('+')?.split_once("h:")?;
                let hours: u64 = hours.parse().ok()?;
                Some(format!("<t:{}:{style}>", self.at + hours * 60 * 60))
            }
        }
    }

    fn with_emojis(&self, mut text: String) -> String {
        for emoji in self.guild().into_iter().flat_map(|guild| &guild.emojis) {
            let shortcut = format!(":{}:", emoji.name);
            text = text.replace(&shortcut, &format!("<:{}:{}>", emoji.name, emoji.id));
        }
        text
    }

    fn guild(&self) -> Option<&Guild> {
        self.world.guild(self.guild_id).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_mentions_times_and_emojis_are_filled_and_the_rest_stays() {
        let world = World::found(0, "http://sim");
        let filling = Filling {
            world: &world,
            guild_id: *world.guild_ids().first().unwrap(),
            seed: 3,
            at: 1_000,
        };
        let text =
            filling.fill("{tool} {tool} @[aya] &[Crew] #[help] t[+1h:R] :heron: [a](b) @[nobody]");
        let words: Vec<_> = text.rsplitn(8, ' ').collect();
        assert!(
            words[0].starts_with("@[nobody]") && words[1] == "[a](b)",
            "{text}"
        );
        assert!(words[2].starts_with("<:heron:"), "{text}");
        assert_eq!(words[3], "<t:4600:R>");
        assert!(
            words[4].starts_with("<#") && words[5].starts_with("<@&"),
            "{text}"
        );
        assert!(words[6].starts_with("<@1"), "{text}");
        let (first, second) = words[7].split_at(words[7].len() / 2);
        assert_eq!(first, second.trim(), "one choice a conversation");
    }
}
