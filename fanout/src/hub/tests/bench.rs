//! A hub, its feed, a broker and a store in one process, and viewers whose links are recorders.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, Embedded, EmbeddedSettings, Publication};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use proto::event::{
    Channel, Event, Guild, GuildSnapshotBegin, GuildSnapshotEnd, GuildSnapshotPart, Member,
    Message, MessageDeleted, Overwrite, Reaction, ReactionsChanged, Role, User,
};
use proto::identity::{Dispatch, Identity};
use proto::{ChannelId, Envelope, GuildId, MessageId};
use registry::Registry;
use runtime::time::now_ms;
use runtime::{Health, Settings};
use serde_json::{Value, json};
use store::Store;
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;

use crate::address::ClientAddress;
use crate::auth::{Authority, Keys, Principal};
use crate::feed::Feed;
use crate::history::Library;
use crate::hub::Hub;
use crate::instance::Instance;
use crate::limit::{LimitSettings, Limits};
use crate::past::Runs;
use crate::recovery::Recovery;
use crate::session::{Session, ViewerKey};
use crate::transport::recorder::Recorder;
use crate::transport::{Link, Reply};

pub(super) const GUILD: u64 = 100;
pub(super) const OWNER: u64 = 1;
pub(super) const TEXT: u64 = 300;
/// Nobody sees it but who has the role [`KEY_ROLE`].
pub(super) const HIDDEN: u64 = 301;
pub(super) const KEY_ROLE: u64 = 201;
/// Nobody looks at it.
const TOUCHED: u64 = 399;

pub(super) const VIEW: u64 = 1 << 10;
pub(super) const SEND: u64 = 1 << 11;
pub(super) const HISTORY: u64 = 1 << 16;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// In which a viewer can come back.
const WINDOW: Duration = Duration::from_mins(1);
const PATIENCE: Duration = Duration::from_secs(20);

/// Everything that a hub needs, and the hub.
pub(super) struct Bench {
    pub(super) hub: Rc<Hub>,
    pub(super) broker: Arc<Embedded>,
    pub(super) instance: Arc<Instance>,
    pub(super) recovery: Recovery,
    keys: Keys,
    stop: CancellationToken,
    published: std::cell::Cell<u64>,
    _folder: tempfile::TempDir,
}

/// A connected viewer.
pub(super) struct Watcher {
    pub(super) key: ViewerKey,
    pub(super) link: Recorder,
}

/// Runs a test over a bench whose guild has come: users 2 to 9 are members, 9 has the role that opens [`HIDDEN`].
pub(super) async fn with_bench<F: AsyncFnOnce(&Bench)>(test: F) {
    with_quota(0, test).await;
}

/// The same, with so many events an hour for each viewer; 0 is no limit.
pub(super) async fn with_quota<F: AsyncFnOnce(&Bench)>(requests_max: u32, test: F) {
    let limits = LimitSettings {
        window: Duration::from_hours(1),
        requests_max,
        connections_per_user_max: 0,
        connections_per_address_max: 0,
        handshakes_max: 0,
    };
    LocalSet::new()
        .run_until(async {
            let bench = Box::pin(Bench::start(limits)).await;
            test(&bench).await;
            bench.stop.cancel();
            bench.broker.close().await;
        })
        .await;
}

impl Bench {
    async fn start(limits: LimitSettings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.db");
        let broker = Embedded::open(&path, EmbeddedSettings::default())
            .await
            .unwrap();
        let url = format!("sqlite://{}", folder.path().join("store.db").display());
        let store = Store::open(&url).await.unwrap();
        store.migrate().await.unwrap();
        let stop = CancellationToken::new();
        let (feed, handle) = Feed::new(broker.clone(), store.clone(), Health::new(), stop.clone());
        tokio::spawn(feed.run());
        let instance = Arc::new(Instance::default());
        let mut settings = Settings::default();
        settings.set("JWT_SECRET", SECRET);
        let keys = Keys::from_settings(&settings).unwrap();
        let registry = Registry::in_process();
        let library = Library::new(store, broker.clone());
        let runs = Runs::new(&library, handle.clone());
        let recovery = Recovery::new(registry.clone(), WINDOW, runs);
        let hub = Hub::new(
            handle,
            library,
            instance.clone(),
            Authority::new(keys.clone()),
            Limits::new(registry.clone(), &limits),
            recovery.clone(),
        );
        actix_rt::spawn(hub.clone().run());
        let bench = Self {
            hub,
            broker,
            instance,
            recovery,
            keys,
            stop,
            published: std::cell::Cell::new(0),
            _folder: folder,
        };
        bench.hub.begun().await;
        bench.snapshot("first").await;
        bench
    }

    /// The guild comes anew, as after an IDENTIFY.
    pub(super) async fn snapshot(&self, version: &str) {
        let hidden = Channel {
            overwrites: vec![overwrite(GUILD, 0, VIEW), overwrite(KEY_ROLE, VIEW, 0)],
            ..channel(HIDDEN, "hidden")
        };
        let members = (2..=9).map(|id| member(id, if id == 9 { &[KEY_ROLE] } else { &[] }));
        let part = GuildSnapshotPart {
            version: version.into(),
            roles: vec![role(GUILD, VIEW | SEND | HISTORY), role(KEY_ROLE, 0)],
            channels: vec![channel(TEXT, "text"), hidden],
            members: members.collect(),
        };
        let begin = GuildSnapshotBegin {
            version: version.into(),
            guild: Some(Guild {
                id: GUILD,
                name: "guild".into(),
                owner_id: OWNER,
                ..Guild::default()
            }),
            roles: 2,
            channels: 2,
            members: 8,
        };
        self.publish(None, Event::GuildSnapshotBegin(begin)).await;
        self.publish(None, Event::GuildSnapshotPart(part)).await;
        let end = GuildSnapshotEnd {
            version: version.into(),
        };
        self.settle(Event::GuildSnapshotEnd(end)).await;
    }

    /// Publishes an event, of a channel or of the guild's directory. Its sequence.
    pub(super) async fn publish(&self, channel: Option<u64>, event: Event) -> u64 {
        self.published.set(self.published.get() + 1);
        let dispatch = Dispatch {
            epoch: 1,
            shard: 0,
            sequence: self.published.get(),
        };
        let identity = match &event {
            Event::MessageDeleted(gone) => {
                Identity::Delete(MessageId::new(gone.message_id).unwrap())
            }
            _ => Identity::Dispatch(dispatch, 0),
        };
        let envelope = Envelope {
            identity,
            trace: None,
            guild: GuildId::new(GUILD).unwrap(),
            channel: channel.map(|id| ChannelId::new(id).unwrap()),
            received_ms: 1,
            event,
        };
        let publication = Publication {
            subject: envelope.subject(),
            identity: envelope.identity.to_string(),
            trace: None,
            payload: envelope.encode().payload,
        };
        let last = self.broker.last_of(publication.subject).await.unwrap();
        let expected = last.map_or(0, |stored| stored.sequence);
        self.broker.publish(&publication, expected).await.unwrap()
    }

    /// Publishes an event of the guild's directory, and waits until the hub has handled it.
    pub(super) async fn settle(&self, event: Event) {
        let sequence = self.publish(None, event).await;
        self.handled(sequence).await;
    }

    /// Something happens that changes nothing and comes to every hub: it has handled everything before it.
    pub(super) async fn touch_guild(&self) {
        let upserted = Event::ChannelUpserted(channel(TOUCHED, "touched"));
        self.settle(upserted).await;
    }

    /// The hub has handled everything up to a sequence that it is told of.
    pub(super) async fn handled(&self, sequence: u64) {
        eventually("the hub handles it", || {
            (self.hub.position().sequence >= sequence).then_some(())
        })
        .await;
    }

    /// A principal of these claims beside the required ones.
    pub(super) fn principal(&self, user: u64, more: &Value) -> Principal {
        let token = token(user, more);
        Principal::of_token(&self.keys, &token, now_ms() / 1000).unwrap()
    }

    /// A member connects.
    pub(super) fn connect(&self, user: u64) -> Watcher {
        self.connect_as(self.principal(user, &json!({})))
    }

    pub(super) fn connect_as(&self, principal: Principal) -> Watcher {
        let link = Recorder::default();
        let session = session(principal);
        let key = self.hub.on_connected(session, Link::Recorder(link.clone()));
        Watcher { key, link }
    }

    /// Asks as a client would that wants no acknowledgement.
    pub(super) fn ask(&self, watcher: &Watcher, name: &str, data: &Value) {
        let payload = serde_json::value::to_raw_value(data).unwrap();
        let reply = Reply::new(Link::Recorder(watcher.link.clone()), None, name);
        self.hub.on_event(watcher.key, name, Some(&payload), reply);
    }

    /// A member connects and joins a channel; what they were sent until then is forgotten.
    pub(super) async fn watch(&self, user: u64, channel: u64) -> Watcher {
        let watcher = self.connect(user);
        self.join(&watcher, channel).await;
        watcher.link.clear();
        watcher
    }

    pub(super) async fn join(&self, watcher: &Watcher, channel: u64) {
        self.ask(
            watcher,
            "join_channel",
            &json!({ "channelId": channel.to_string() }),
        );
        let link = &watcher.link;
        eventually("the page comes", || link.all("messages_bulk").pop()).await;
    }

    /// Posts a message.
    pub(super) async fn say(&self, channel: u64, id: u64) {
        self.publish(Some(channel), Event::MessageCreated(message(id, "said")))
            .await;
    }

    /// A message has so many thumbs now.
    pub(super) async fn react(&self, channel: u64, message_id: u64, count: u32) {
        let thumb = Reaction {
            emoji: "👍".into(),
            count,
            ..Reaction::default()
        };
        let changed = ReactionsChanged {
            message_id,
            reactions: vec![thumb],
            mark: None,
        };
        self.publish(Some(channel), Event::ReactionsChanged(changed))
            .await;
    }

    pub(super) async fn delete(&self, channel: u64, message_id: u64) {
        let deleted = MessageDeleted { message_id };
        self.publish(Some(channel), Event::MessageDeleted(deleted))
            .await;
    }
}

impl Watcher {
    /// The objects of this name, once there are so many.
    pub(super) async fn until(&self, name: &str, count: usize) -> Vec<Value> {
        eventually(name, || {
            Some(self.link.all(name)).filter(|all| all.len() >= count)
        })
        .await
    }
}

/// The session of somebody whose memberships are known.
pub(super) fn session(principal: Principal) -> Session {
    Session {
        principal,
        is_unresolved: false,
        address: ClientAddress::Unknown,
        seat: None,
    }
}

/// Waits for something, with the one patience of these tests.
pub(super) async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let found = tokio::time::timeout(PATIENCE, looking).await;
    found.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

/// A token of these claims beside the required ones.
pub(super) fn token(user: u64, more: &Value) -> String {
    let mut claims = json!({
        "discord_id": user.to_string(),
        "username": format!("user {user}"),
        "exp": now_ms() / 1000 + 3_600,
    });
    let object = claims.as_object_mut().unwrap();
    object.extend(more.as_object().unwrap().clone());
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap()
}

pub(super) fn message(id: u64, content: &str) -> Message {
    Message {
        id,
        content: content.into(),
        ..Message::default()
    }
}

pub(super) fn channel(id: u64, name: &str) -> Channel {
    Channel {
        id,
        name: name.into(),
        ..Channel::default()
    }
}

pub(super) fn role(id: u64, permissions: u64) -> Role {
    Role {
        id,
        permissions,
        ..Role::default()
    }
}

pub(super) fn overwrite(id: u64, allow: u64, deny: u64) -> Overwrite {
    Overwrite {
        id,
        member: false,
        allow,
        deny,
    }
}

pub(super) fn member(id: u64, roles: &[u64]) -> Member {
    Member {
        user: Some(User {
            id,
            username: format!("user{id}"),
            ..User::default()
        }),
        roles: roles.to_vec(),
        ..Member::default()
    }
}
