//! The store under test: the real one, or a double that does and answers something else.
//!
//! What is not written here goes to the real store as it is.

use std::ops::Deref;

use proto::envelope::Opened;
use proto::event::{Channel, Event, Message};
use proto::id::{ChannelId, GuildId, MessageId};
use store::{
    Batch, DirectorySnapshot, PAGE_MESSAGES_MAX, Page, Place, Position, REVOCATION_KEY_BYTES_MAX,
    Revocation, Step, Store, StoreError, Trail,
};

use crate::double::Defect;
use crate::events::{CHANNEL, channel_id, message_id, opened};

/// A store, perhaps with a defect.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    store: Store,
    defect: Option<Defect>,
}

impl Deref for Subject {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

impl Subject {
    pub(crate) fn new(store: Store, defect: Option<Defect>) -> Self {
        Self { store, defect }
    }

    fn has(&self, defect: Defect) -> bool {
        self.defect == Some(defect)
    }

    /// An empty batch, as this store is handed it.
    pub(crate) fn batch(&self, from: Position) -> Run {
        Run {
            batch: Batch::new(from),
            defect: self.defect,
        }
    }

    pub(crate) async fn is_migrated(&self) -> Result<bool, StoreError> {
        Ok(self.has(Defect::AlwaysMigrated) || self.store.is_migrated().await?)
    }

    pub(crate) async fn migrate(&self) -> Result<(), StoreError> {
        if self.has(Defect::MigratesOnce) && self.store.is_migrated().await? {
            return Err(StoreError::Overflow);
        }
        self.store.migrate().await
    }

    pub(crate) async fn apply(&self, run: Run) -> Result<(), StoreError> {
        let mut batch = run.batch;
        match self.defect {
            Some(Defect::NoFence) => batch.from = self.store.position().await?,
            Some(Defect::EmptyBatchesAreDropped) if batch.events() == 0 => return Ok(()),
            Some(Defect::PositionIsMovedFirst) => {
                let mut empty = Batch::new(batch.from);
                empty.skip(batch.to);
                self.store.apply(empty).await?;
                batch.from.sequence = batch.to;
            }
            _ => {}
        }
        self.store.apply(batch).await
    }

    pub(crate) async fn page(
        &self,
        channel: ChannelId,
        before: Option<MessageId>,
        limit: u32,
    ) -> Result<Page, StoreError> {
        let real = |before, limit| self.store.page(channel, before, limit);
        let mut page = match (self.defect, before) {
            (Some(Defect::CursorIsIncluded), Some(before)) => {
                real(MessageId::new(before.get() + 1), limit).await?
            }
            (Some(Defect::CursorMustLive), Some(before))
                if self.store.message(channel, before).await?.is_none() =>
            {
                real(Some(message_id(1)), limit).await?
            }
            (Some(Defect::PagesAreUnbounded), None) if limit > PAGE_MESSAGES_MAX => {
                let newest = real(None, limit).await?;
                let oldest = newest
                    .messages
                    .first()
                    .map(|message| message_id(message.id));
                let mut older = real(oldest, limit).await?;
                older.messages.extend(newest.messages);
                older
            }
            _ => real(before, limit).await?,
        };
        match self.defect {
            Some(Defect::NewestComesFirst) => page.messages.reverse(),
            Some(Defect::FullPagesHaveMore) => {
                page.has_more = page.messages.len() as u64 == u64::from(limit);
            }
            Some(Defect::AnswersAreTorn) => page.position = self.store.position().await?,
            Some(defect) => page
                .messages
                .iter_mut()
                .for_each(|one| defect.distort_preview(one)),
            None => {}
        }
        Ok(page)
    }

    pub(crate) async fn message(
        &self,
        channel: ChannelId,
        id: MessageId,
    ) -> Result<Option<Message>, StoreError> {
        let any = self.has(Defect::AnyChannelWillDo);
        let channel = if any { channel_id(CHANNEL) } else { channel };
        let mut message = self.store.message(channel, id).await?;
        if let (Some(message), Some(defect)) = (&mut message, self.defect) {
            defect.distort_preview(message);
        }
        Ok(message)
    }

    pub(crate) async fn is_deleted(&self, id: MessageId) -> Result<bool, StoreError> {
        Ok(self.has(Defect::EverythingIsDeleted) || self.store.is_deleted(id).await?)
    }

    pub(crate) async fn newest_message(&self) -> Result<Option<MessageId>, StoreError> {
        if self.has(Defect::NewestIsOfOneChannel) {
            let page = self.store.page(channel_id(CHANNEL), None, 1).await?;
            return Ok(page.messages.last().map(|message| message_id(message.id)));
        }
        self.store.newest_message().await
    }

    pub(crate) async fn own_messages(
        &self,
        trail: &mut Trail,
        after: i64,
    ) -> Result<Step<Place>, StoreError> {
        let mut step = self.store.own_messages(trail, after).await?;
        step.next = step.next.filter(|_| !self.has(Defect::OneStepIsAll));
        Ok(step)
    }

    pub(crate) async fn directory(&self) -> Result<DirectorySnapshot, StoreError> {
        let mut directory = self.store.directory().await?;
        if self.has(Defect::AnswersAreTorn) {
            directory.position = self.store.position().await?;
        }
        Ok(directory)
    }

    pub(crate) async fn revoke(
        &self,
        key: &str,
        until_ms: i64,
        not_before_ms: Option<i64>,
    ) -> Result<(), StoreError> {
        let key = match self.defect {
            Some(Defect::KeysAreFolded) => key.to_lowercase(),
            Some(Defect::KeysAreCut) => key.chars().take(REVOCATION_KEY_BYTES_MAX).collect(),
            _ => key.to_owned(),
        };
        self.store.revoke(&key, until_ms, not_before_ms).await
    }

    pub(crate) async fn revocations(&self, now_ms: i64) -> Result<Vec<Revocation>, StoreError> {
        let never = self.has(Defect::NothingExpires);
        self.store.revocations(if never { 0 } else { now_ms }).await
    }

    pub(crate) async fn prune(
        &self,
        before_ms: i64,
        tombstones_before_ms: i64,
        most: u64,
    ) -> Result<u64, StoreError> {
        let (before_ms, tombstones_before_ms, most) = match self.defect {
            Some(Defect::TombstonesArePruned) => (before_ms, i64::MAX, most),
            Some(Defect::PruningHasNoLimit) => (before_ms, tombstones_before_ms, u64::MAX),
            Some(Defect::PruningNeedsNoCut) => (i64::MAX, i64::MAX, most),
            _ => (before_ms, tombstones_before_ms, most),
        };
        let real = &self.store;
        real.prune(before_ms, tombstones_before_ms, most).await
    }

    pub(crate) async fn fill(
        &self,
        guild: GuildId,
        channel: ChannelId,
        messages: &[Message],
        at_ms: i64,
    ) -> Result<(), StoreError> {
        if self.has(Defect::FillingReplaces) {
            let from = self.store.position().await?;
            let mut batch = Batch::new(from);
            for (sequence, message) in (from.sequence + 1..).zip(messages) {
                let event = Event::MessageUpdated(message.clone());
                batch.push(sequence, &opened(Some(channel.get()), event));
            }
            self.store.apply(batch).await?;
        }
        self.store.fill(guild, channel, messages, at_ms).await
    }

    pub(crate) async fn channel(
        &self,
        guild: GuildId,
        channel: ChannelId,
    ) -> Result<Option<Channel>, StoreError> {
        let found = self.store.channel(guild, channel).await?;
        Ok(found.filter(|_| !self.has(Defect::ChannelsAreUnknown)))
    }

    pub(crate) async fn close(&self) {
        if !self.has(Defect::NeverCloses) {
            self.store.close().await;
        }
    }
}

/// A batch on its way to the store under test.
#[derive(Debug)]
pub(crate) struct Run {
    batch: Batch,
    defect: Option<Defect>,
}

impl Deref for Run {
    type Target = Batch;

    fn deref(&self) -> &Batch {
        &self.batch
    }
}

impl Run {
    pub(crate) fn push(&mut self, sequence: u64, opened: &Opened) {
        let mut opened = opened.clone();
        let mut sequence = sequence;
        if let Some(defect) = self.defect {
            defect.distort_one(&mut opened);
            if defect == Defect::RepetitionsAreRenumbered {
                sequence = sequence.max(self.batch.to + 1);
            }
        }
        self.batch.push(sequence, &opened);
    }

    pub(crate) fn skip(&mut self, sequence: u64) {
        self.batch.skip(sequence);
    }
}
