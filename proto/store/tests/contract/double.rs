//! Broken doubles: stores that each break one promise, to prove that the case which guards it fails.
//!
//! A double is SQLite with something wrong in it: in the database itself (a trigger), in what is handed to it (other
//! events than were meant) or in what it answers. Each is named by its defect.

use proto::envelope::Opened;
use proto::event::{Event, Message};

use crate::events::{CHANNEL, channel_id};

/// What is wrong with a double.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Defect {
    // In the database.
    StartsLater,
    GenerationKeepsItsSequence,
    NumberStays,
    ForgetsWhenReopened,
    NothingIsRemoved,
    PrivateThreadsOutliveTheirChannel,
    CategoriesTakeTheirChannelsAlong,
    SnapshotsTakeEffectAtOnce,
    SnapshotsAreNeverForgotten,
    GuildsTakeTheirMessagesAlong,
    GuildsShareTheirRoles,
    UnknownGuildsAreDropped,
    TheFirstStateStays,
    BodiesAreCut,
    TombstonesAreForgotten,
    UpdatesMakeNoRows,
    ReactionsAreDropped,
    UpdatesClearReactions,
    TheFirstTotalStays,
    ReactionsHaveNoGuard,
    TheFirstRevocationStays,
    TheFirstLoginStays,
    EmptyLoginsAreDropped,
    PruningTakesAll,
    NothingIsFilled,
    FilledRowsOutrankTheStream,
    FilledForEver,
    RemovalsAreForgotten,
    RemovalsAreOfAllTime,
    ErasuresAreForgotten,
    QuotesAreKept,
    MembersAreKept,
    // In what is handed to it.
    VersionsAreIgnored,
    CountsAreIgnored,
    NobodyLeavesAThread,
    ThreadsAreNeverArchived,
    CreationsReplace,
    BatchesAreFoldedBackwards,
    RepetitionsAreRenumbered,
    NothingIsRefused,
    ReactionsMakeRows,
    BasesAreDropped,
    MarksAreDropped,
    WebhooksAreUsers,
    // In what it does and answers.
    AlwaysMigrated,
    MigratesOnce,
    NoFence,
    EmptyBatchesAreDropped,
    PositionIsMovedFirst,
    AnswersAreTorn,
    NeverCloses,
    NewestComesFirst,
    FullPagesHaveMore,
    CursorIsIncluded,
    CursorMustLive,
    PagesAreUnbounded,
    AnyChannelWillDo,
    EverythingIsDeleted,
    NewestIsOfOneChannel,
    OneStepIsAll,
    PreviewsOutliveTheirOriginals,
    PreviewsLoseTheirAuthors,
    NothingExpires,
    KeysAreFolded,
    KeysAreCut,
    TombstonesArePruned,
    PruningHasNoLimit,
    PruningNeedsNoCut,
    FillingReplaces,
    ChannelsAreUnknown,
}

impl Defect {
    /// Statements that put the defect into a migrated database, each harmless the second time.
    pub(crate) fn sql(self) -> &'static str {
        match self {
            Self::StartsLater => "UPDATE archive_position SET sequence = 1",
            Self::GenerationKeepsItsSequence => {
                "CREATE TRIGGER IF NOT EXISTS defect AFTER UPDATE OF generation ON archive_position \
                 BEGIN UPDATE archive_position SET sequence = OLD.sequence; END"
            }
            Self::NumberStays => {
                "CREATE TRIGGER IF NOT EXISTS defect AFTER UPDATE OF number ON archive_position \
                 WHEN OLD.number > 0 BEGIN UPDATE archive_position SET number = OLD.number; END"
            }
            Self::ForgetsWhenReopened => "DELETE FROM messages; DELETE FROM snapshots",
            Self::NothingIsRemoved => {
                "CREATE TRIGGER IF NOT EXISTS defect_roles BEFORE DELETE ON roles \
                 BEGIN SELECT RAISE(IGNORE); END; \
                 CREATE TRIGGER IF NOT EXISTS defect_channels BEFORE DELETE ON channels \
                 BEGIN SELECT RAISE(IGNORE); END; \
                 CREATE TRIGGER IF NOT EXISTS defect_messages BEFORE DELETE ON messages \
                 BEGIN SELECT RAISE(IGNORE); END"
            }
            Self::PrivateThreadsOutliveTheirChannel => {
                "CREATE TRIGGER IF NOT EXISTS defect BEFORE DELETE ON channels WHEN OLD.kind = 12 \
                 BEGIN SELECT RAISE(IGNORE); END"
            }
            Self::CategoriesTakeTheirChannelsAlong => {
                "CREATE TRIGGER IF NOT EXISTS defect AFTER DELETE ON channels \
                 BEGIN DELETE FROM channels WHERE parent_id = OLD.id; END"
            }
            Self::SnapshotsTakeEffectAtOnce => {
                "CREATE TRIGGER IF NOT EXISTS defect AFTER INSERT ON snapshots \
                 BEGIN INSERT OR REPLACE INTO guilds VALUES (NEW.guild_id, x'', 0); END"
            }
            Self::SnapshotsAreNeverForgotten => {
                "CREATE TRIGGER IF NOT EXISTS defect_snapshots BEFORE DELETE ON snapshots \
                 BEGIN SELECT RAISE(IGNORE); END; \
                 CREATE TRIGGER IF NOT EXISTS defect_parts BEFORE DELETE ON snapshot_parts \
                 BEGIN SELECT RAISE(IGNORE); END"
            }
            Self::GuildsTakeTheirMessagesAlong => {
                "CREATE TRIGGER IF NOT EXISTS defect AFTER DELETE ON guilds \
                 BEGIN DELETE FROM messages WHERE guild_id = OLD.id; END"
            }
            Self::GuildsShareTheirRoles => {
                "CREATE TRIGGER IF NOT EXISTS defect AFTER DELETE ON roles \
                 BEGIN DELETE FROM roles; END"
            }
            Self::UnknownGuildsAreDropped => {
                "CREATE TRIGGER IF NOT EXISTS defect AFTER INSERT ON members \
                 WHEN NOT EXISTS (SELECT 1 FROM guilds WHERE id = NEW.guild_id) \
                 BEGIN DELETE FROM members WHERE guild_id = NEW.guild_id; END"
            }
            Self::TheFirstStateStays => {
                "CREATE TRIGGER IF NOT EXISTS defect_roles BEFORE UPDATE ON roles \
                 BEGIN SELECT RAISE(IGNORE); END; \
                 CREATE TRIGGER IF NOT EXISTS defect_messages BEFORE UPDATE ON messages \
                 BEGIN SELECT RAISE(IGNORE); END"
            }
            Self::BodiesAreCut => {
                "CREATE TRIGGER IF NOT EXISTS defect_messages AFTER INSERT ON messages \
                 BEGIN UPDATE messages SET body = substr(body, 1, length(body) - 1); END; \
                 CREATE TRIGGER IF NOT EXISTS defect_channels AFTER INSERT ON channels \
                 BEGIN UPDATE channels SET body = substr(body, 1, length(body) - 1); END"
            }
            other => other.sql_of_messages(),
        }
    }

    fn sql_of_messages(self) -> &'static str {
        match self {
            Self::TombstonesAreForgotten => {
                "CREATE TRIGGER IF NOT EXISTS defect_insert AFTER INSERT ON messages \
                 WHEN NEW.deleted BEGIN DELETE FROM messages WHERE id = NEW.id; END; \
                 CREATE TRIGGER IF NOT EXISTS defect_update AFTER UPDATE ON messages \
                 WHEN NEW.deleted BEGIN DELETE FROM messages WHERE id = NEW.id; END"
            }
            Self::UpdatesMakeNoRows => {
                "CREATE TRIGGER IF NOT EXISTS defect BEFORE INSERT ON messages \
                 WHEN NEW.edited_timestamp_ms IS NOT NULL BEGIN SELECT RAISE(IGNORE); END"
            }
            Self::ReactionsAreDropped => {
                "CREATE TRIGGER IF NOT EXISTS defect BEFORE UPDATE OF reactions ON messages \
                 BEGIN SELECT RAISE(IGNORE); END"
            }
            Self::UpdatesClearReactions => {
                "CREATE TRIGGER IF NOT EXISTS defect AFTER UPDATE OF body ON messages \
                 BEGIN UPDATE messages SET reactions = NULL WHERE id = NEW.id; END"
            }
            Self::TheFirstTotalStays => {
                "CREATE TRIGGER IF NOT EXISTS defect BEFORE UPDATE OF reactions ON messages \
                 WHEN OLD.reactions IS NOT NULL BEGIN SELECT RAISE(IGNORE); END"
            }
            Self::ReactionsHaveNoGuard => {
                "CREATE TRIGGER IF NOT EXISTS defect AFTER UPDATE OF reactions_guard ON messages \
                 BEGIN UPDATE messages SET reactions_guard = 0 WHERE id = NEW.id; END"
            }
            other => other.sql_of_small_rows(),
        }
    }

    fn sql_of_small_rows(self) -> &'static str {
        match self {
            Self::TheFirstRevocationStays => {
                "CREATE TRIGGER IF NOT EXISTS defect BEFORE UPDATE ON revocations \
                 BEGIN SELECT RAISE(IGNORE); END"
            }
            Self::TheFirstLoginStays => {
                "CREATE TRIGGER IF NOT EXISTS defect BEFORE UPDATE ON login_guilds \
                 BEGIN SELECT RAISE(IGNORE); END"
            }
            Self::EmptyLoginsAreDropped => {
                "CREATE TRIGGER IF NOT EXISTS defect AFTER UPDATE ON login_guilds \
                 WHEN NEW.guilds = '' BEGIN DELETE FROM login_guilds; END"
            }
            Self::RemovalsAreForgotten => {
                "CREATE TRIGGER IF NOT EXISTS defect AFTER INSERT ON removals \
                 BEGIN DELETE FROM removals; END"
            }
            Self::RemovalsAreOfAllTime => {
                "CREATE TRIGGER IF NOT EXISTS defect AFTER INSERT ON removals \
                 BEGIN UPDATE removals SET guard = 9223372036854775807; END"
            }
            Self::ErasuresAreForgotten => {
                "CREATE TRIGGER IF NOT EXISTS defect AFTER INSERT ON erased_users \
                 WHEN NEW.user_id > 1 BEGIN DELETE FROM erased_users WHERE user_id = 1; END"
            }
            Self::QuotesAreKept => {
                "CREATE TRIGGER IF NOT EXISTS defect BEFORE UPDATE OF body ON messages \
                 WHEN NEW.deleted = 0 BEGIN SELECT RAISE(IGNORE); END"
            }
            Self::MembersAreKept => {
                "CREATE TRIGGER IF NOT EXISTS defect BEFORE DELETE ON members \
                 BEGIN SELECT RAISE(IGNORE); END"
            }
            Self::PruningTakesAll => {
                "CREATE TRIGGER IF NOT EXISTS defect AFTER DELETE ON messages \
                 BEGIN DELETE FROM messages; END"
            }
            Self::NothingIsFilled => {
                "CREATE TRIGGER IF NOT EXISTS defect BEFORE INSERT ON filled_channels \
                 BEGIN SELECT RAISE(IGNORE); END"
            }
            Self::FilledRowsOutrankTheStream => {
                "CREATE TRIGGER IF NOT EXISTS defect AFTER INSERT ON messages WHEN NEW.guard = 0 \
                 BEGIN UPDATE messages SET guard = 9223372036854775807 WHERE id = NEW.id; END"
            }
            Self::FilledForEver => {
                "CREATE TRIGGER IF NOT EXISTS defect BEFORE DELETE ON filled_channels \
                 BEGIN SELECT RAISE(IGNORE); END"
            }
            _ => "",
        }
    }

    /// What is handed to the double instead of these events.
    pub(crate) fn distort(self, events: &[Opened]) -> Vec<Opened> {
        let mut events = events.to_vec();
        match self {
            Self::BatchesAreFoldedBackwards => events.reverse(),
            Self::CountsAreIgnored => count_what_comes(&mut events),
            _ => {
                for event in &mut events {
                    self.distort_one(event);
                }
            }
        }
        events
    }

    /// What is handed to the double instead of this event.
    pub(crate) fn distort_one(self, opened: &mut Opened) {
        match (self, &mut opened.event) {
            (Self::VersionsAreIgnored, Event::GuildSnapshotBegin(begin)) => begin.version.clear(),
            (Self::VersionsAreIgnored, Event::GuildSnapshotPart(part)) => part.version.clear(),
            (Self::VersionsAreIgnored, Event::GuildSnapshotEnd(end)) => end.version.clear(),
            (Self::NobodyLeavesAThread, Event::ThreadMembersChanged(changed)) => {
                changed.removed.clear();
            }
            (Self::ThreadsAreNeverArchived, Event::ChannelUpserted(channel)) => {
                channel.archived = false;
            }
            (Self::CreationsReplace, Event::MessageCreated(message)) => {
                opened.event = Event::MessageUpdated(std::mem::take(message));
            }
            (Self::NothingIsRefused, _) => {
                opened.channel = opened.channel.or(Some(channel_id(CHANNEL)));
            }
            (Self::ReactionsMakeRows, Event::ReactionsChanged(total)) => {
                let mut message = crate::events::message(total.message_id, "");
                message.reactions = std::mem::take(&mut total.reactions);
                opened.event = Event::MessageUpdated(message);
            }
            (
                Self::BasesAreDropped,
                Event::MessageCreated(message) | Event::MessageUpdated(message),
            ) => message.reactions.clear(),
            (Self::WebhooksAreUsers, Event::MessageCreated(message)) => message.webhook_id = None,
            (Self::MarksAreDropped, Event::ReactionsChanged(total)) => total.mark = None,
            _ => {}
        }
    }
}

impl Defect {
    /// What a double tells of the message that this one answers.
    pub(crate) fn distort_preview(self, message: &mut Message) {
        let Some(reply) = &mut message.reply else {
            return;
        };
        match self {
            Self::PreviewsOutliveTheirOriginals if reply.content.is_none() => {
                reply.content = Some("still told".into());
            }
            Self::PreviewsLoseTheirAuthors if reply.content.is_none() => reply.author = None,
            _ => {}
        }
    }
}

/// Makes the beginning of a snapshot announce what comes of it.
fn count_what_comes(events: &mut [Opened]) {
    let mut counts = [0, 0];
    for opened in events.iter() {
        if let Event::GuildSnapshotPart(part) = &opened.event {
            counts[0] += u32::try_from(part.roles.len()).unwrap();
            counts[1] += u32::try_from(part.channels.len()).unwrap();
        }
    }
    for opened in events {
        if let Event::GuildSnapshotBegin(begin) = &mut opened.event {
            [begin.roles, begin.channels] = counts;
        }
    }
}
