//! What Discord itself says in a channel: the text that its own client shows for each type of message.
//! Types: <https://docs.discord.com/developers/resources/message#message-object-message-types>.

use proto::MessageId;

use super::Object;
use super::media::filled;

/// Types whose content is somebody's own: a post, a reply, and what a command of either kind answers.
const ORDINARY: [u32; 4] = [0, 19, 20, 23];

/// Welcomes; a message's time says which one.
const WELCOMES: [&str; 13] = [
    "{} joined the party.",
    "{} is here.",
    "Welcome, {}. We hope you brought pizza.",
    "A wild {} appeared.",
    "{} just landed.",
    "{} just slid into the server.",
    "{} just showed up!",
    "Welcome {}. Say hi!",
    "{} hopped into the server.",
    "Everyone welcome {}!",
    "Glad you're here, {}.",
    "Good to see you, {}.",
    "Yay you made it, {}!",
];

/// A message of the system, as it is read for its text.
pub(super) struct System<'a> {
    pub(super) kind: u32,
    pub(super) id: MessageId,
    /// Whose doing it is, by the name that the guild shows.
    pub(super) name: &'a str,
    pub(super) content: &'a str,
    pub(super) object: &'a Object<'a>,
}

/// A message of this type has its own content.
pub(super) fn is_ordinary(kind: u32) -> bool {
    ORDINARY.contains(&kind)
}

impl System<'_> {
    /// The text; none for a type that is ordinary or unknown.
    pub(super) fn text(&self) -> Option<String> {
        let Self { name, content, .. } = self;
        Some(match self.kind {
            1 => format!("{name} added {} to the thread.", self.mentioned()),
            2 => format!("{name} removed {} from the thread.", self.mentioned()),
            3 => format!("{name} started a call."),
            4 => format!("{name} changed the channel name: **{content}**"),
            5 => format!("{name} changed the channel icon."),
            6 => format!("{name} pinned a message to this channel."),
            7 => self.welcome(),
            8..=11 => self.boost(),
            12 => format!(
                "{name} has added **{content}** to this channel. Its most important updates will show up here."
            ),
            14..=17 => discovery(self.kind).to_owned(),
            18 => format!("{name} started a thread: **{content}**"),
            21 => "This thread was started from a message.".to_owned(),
            22 => "Wondering who to invite? Start by inviting anyone who can help you build the server!".to_owned(),
            24 => self.moderation(),
            25 => self.subscription(),
            26 => "This feature of an app needs a subscription.".to_owned(),
            27 => format!("{name} started **{content}**"),
            28 => format!("{name} ended **{content}**"),
            29 => format!("{name} is now a speaker."),
            30 => format!("{name} requested to speak."),
            31 => format!("{name} changed the Stage topic: **{content}**"),
            32 => format!("{name} upgraded {} to premium for this server!", self.application()),
            36 => format!("{name} enabled security actions{}.", self.until()),
            37 => format!("{name} disabled security actions."),
            38 => format!("{name} reported a raid."),
            39 => format!("{name} reported a false alarm."),
            44 => format!("{name} has purchased {}!", self.product()),
            46 => self.poll_result(),
            _ => return None,
        })
    }

    fn mentioned(&self) -> String {
        let mentions = self.object.objects("mentions");
        let first = mentions.first();
        let name =
            first.and_then(|one| filled(one, "global_name").or_else(|| filled(one, "username")));
        name.unwrap_or_else(|| "somebody".to_owned())
    }

    fn welcome(&self) -> String {
        let at = usize::try_from(self.id.created_ms()).unwrap_or_default() % WELCOMES.len();
        let welcome = WELCOMES.get(at).copied().unwrap_or("{} joined the server.");
        welcome.replace("{}", self.name)
    }

    /// The content is how often, where it is more than once.
    fn boost(&self) -> String {
        let Self { name, content, .. } = self;
        let boosted = if content.is_empty() {
            format!("{name} just boosted the server!")
        } else {
            format!("{name} just boosted the server **{content}** times!")
        };
        match self.kind {
            8 => boosted,
            level => format!("{boosted} It has achieved **Level {}!**", level - 8),
        }
    }

    fn moderation(&self) -> String {
        let did = match self.field("decision_outcome").as_deref() {
            Some("flagged") => "flagged",
            _ => "blocked",
        };
        match self.field("rule_name") {
            Some(rule) => format!(
                "AutoMod has {did} a message of {} (rule: {rule}).",
                self.name
            ),
            None => format!("AutoMod has {did} a message of {}.", self.name),
        }
    }

    fn subscription(&self) -> String {
        let data = self
            .object
            .object("role_subscription_data")
            .unwrap_or_default();
        let tier = filled(&data, "tier_name").unwrap_or_else(|| "a subscription".to_owned());
        let verb = if data.flag("is_renewal") {
            "renewed"
        } else {
            "joined"
        };
        let months: u32 = data.number("total_months_subscribed").unwrap_or(1);
        let unit = if months == 1 { "month" } else { "months" };
        format!(
            "{} {verb} **{tier}** and has been a subscriber of the server for {months} {unit}!",
            self.name
        )
    }

    fn application(&self) -> String {
        let application = self.object.object("application");
        let name = application.and_then(|one| filled(&one, "name"));
        name.unwrap_or_else(|| "an app".to_owned())
    }

    /// The content is until when, as Discord writes times.
    fn until(&self) -> String {
        match super::super::json::parse_time_ms(self.content) {
            Some(ms) => format!(" until <t:{}:f>", ms / 1_000),
            None => String::new(),
        }
    }

    fn product(&self) -> String {
        let purchase = self.object.object("purchase_notification");
        let product = purchase.and_then(|one| one.object("guild_product_purchase"));
        let name = product.and_then(|one| filled(&one, "product_name"));
        name.unwrap_or_else(|| "a product".to_owned())
    }

    fn poll_result(&self) -> String {
        let question = match self.field("poll_question_text") {
            Some(question) => format!("The poll **{question}** of {} has closed.", self.name),
            None => format!("A poll of {} has closed.", self.name),
        };
        let votes = |name| self.field(name).and_then(|text| text.parse::<u64>().ok());
        let total = votes("total_votes");
        match (self.field("victor_answer_text"), total) {
            (Some(winner), _) => match votes("victor_answer_votes").zip(total) {
                Some((won, total)) => {
                    format!("{question} The winner is **{winner}** with {won} of {total} votes.")
                }
                None => format!("{question} The winner is **{winner}**."),
            },
            (None, Some(1..)) => format!("{question} There is no single winner."),
            (None, _) => question,
        }
    }

    /// A value that Discord puts into an embed of its own.
    fn field(&self, name: &str) -> Option<String> {
        let embeds = self.object.objects("embeds");
        let fields = embeds.iter().flat_map(|embed| embed.objects("fields"));
        let mut named = fields.filter(|field| field.text("name").as_deref() == Some(name));
        named.find_map(|field| filled(&field, "value"))
    }
}

fn discovery(kind: u32) -> &'static str {
    match kind {
        14 => {
            "This server has been removed from Server Discovery because it no longer passes all the requirements."
        }
        15 => {
            "This server is eligible for Server Discovery again and has been automatically relisted!"
        }
        16 => "This server has failed the activity requirements of Discovery for 1 week.",
        _ => "This server has failed the activity requirements of Discovery for 3 weeks in a row.",
    }
}

/// Embeds in which Discord passes values to its own client; their text is in the message's.
pub(super) fn is_for_the_client(kind: u32) -> bool {
    matches!(kind, 24 | 46)
}
