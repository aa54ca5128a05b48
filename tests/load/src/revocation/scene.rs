//! The simulated Discord as this bench has it: one channel that people see by one role alone, messages that are posted
//! there one after the other, and the changes that take the channel away or give it back.
//! It promises that of a message and a change each is answered before the next is asked for, so that "posted after the
//! change" is a fact and no measurement.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};

use super::tape::{DIGITS, MARK};
use crate::services::{JWT_SECRET, Services};

/// `VIEW_CHANNEL`, and with it `SEND_MESSAGES` and `READ_MESSAGE_HISTORY`
/// (<https://discord.com/developers/docs/topics/permissions#permissions-bitwise-permission-flags>).
const VIEW: u64 = 1 << 10;
const VISITOR: u64 = VIEW | 1 << 11 | 1 << 16;
/// How long the fanouts may take to know everybody: as many events as there are people.
const KNOWN_PATIENCE: Duration = Duration::from_mins(2);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Somebody of the guild.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    /// Their id.
    pub(crate) id: String,
    /// A token for them.
    pub(crate) token: String,
}

/// The channel, its guild and the role.
#[derive(Debug)]
pub(crate) struct Scene {
    http: reqwest::Client,
    api: String,
    token: String,
    guild: String,
    role: String,
    /// What is looked at.
    pub(crate) channel: String,
    /// Who looks.
    pub(crate) people: Vec<Person>,
    spacing: Duration,
    bytes: usize,
    next: Instant,
    /// How many messages were posted.
    pub(crate) posted: u64,
}

impl Scene {
    /// Sets it: nobody sees anything but by the role, which so many people have, and every fanout knows that.
    pub(crate) async fn set(
        services: &Services,
        sockets: usize,
        rate: u32,
        bytes: u32,
    ) -> anyhow::Result<Self> {
        let world = &services.world;
        let people = world.people(JWT_SECRET)?.into_iter().take(sockets);
        let mut scene = Self {
            http: services.http.clone(),
            api: format!("{}/api/v10", services.sim_url),
            token: world.token.clone(),
            guild: world.guild()?.to_owned(),
            role: String::new(),
            channel: world.channel()?.to_owned(),
            people: people.map(|(id, token)| Person { id, token }).collect(),
            spacing: Duration::from_secs(1) / rate,
            bytes: bytes as usize,
            next: Instant::now(),
            posted: 0,
        };
        // Members are asked about in every guild that the bot is in; one is enough here.
        for guild in world.other_guilds() {
            let url = format!("{}/sim/guilds/{guild}", services.sim_url);
            let left = scene.http.post(url).json(&json!({ "state": "left" }));
            left.send().await?.error_for_status()?;
        }
        scene.give_role().await?;
        for fanout in services.fanouts() {
            scene
                .until_known(&format!("http://{}", fanout.address))
                .await?;
        }
        Ok(scene)
    }

    /// Each gets the role while ingest listens: so the gateway itself has told of every one of them.
    async fn give_role(&mut self) -> anyhow::Result<()> {
        let guild = self.guild.clone();
        let everyone = format!("/guilds/{guild}/roles/{guild}");
        self.ask(Method::PATCH, &everyone, json!({ "permissions": "0" }))
            .await?;
        let role = json!({ "name": "visitor", "permissions": VISITOR.to_string() });
        let roles = format!("/guilds/{guild}/roles");
        let role = self.ask(Method::POST, &roles, role).await?;
        let id = role.get("id").and_then(Value::as_str);
        id.context("a role has an id")?.clone_into(&mut self.role);
        for person in &self.people {
            let (id, role) = (&person.id, &self.role);
            let given = format!("/guilds/{guild}/members/{id}/roles/{role}");
            self.ask(Method::PUT, &given, Value::Null).await?;
        }
        Ok(())
    }

    /// The last one who got the role sees the channel: events of a guild come in order.
    async fn until_known(&self, fanout: &str) -> anyhow::Result<()> {
        let last = self.people.last().context("somebody looks")?;
        let listed = format!(r#""id":"{}""#, self.channel);
        let deadline = Instant::now() + KNOWN_PATIENCE;
        while Instant::now() < deadline {
            let url = format!("{fanout}/api/channels");
            let answer = self.http.get(url).bearer_auth(&last.token).send().await?;
            if answer.text().await?.contains(&listed) {
                return Ok(());
            }
            sleep(LOOK_EVERY).await;
        }
        anyhow::bail!("{fanout} does not know everybody after {KNOWN_PATIENCE:?}")
    }

    /// Posts the next message.
    pub(crate) async fn post(&mut self) -> anyhow::Result<()> {
        let mut content = format!("{MARK}{:0width$};", self.posted + 1, width = DIGITS);
        while content.len() < self.bytes {
            content.push('x');
        }
        let path = format!("/channels/{}/messages", self.channel);
        self.ask(Method::POST, &path, json!({ "content": content }))
            .await?;
        self.posted += 1;
        Ok(())
    }

    /// Posts the next message, if it is time for it.
    pub(crate) async fn post_if_due(&mut self) -> anyhow::Result<()> {
        if self.next <= Instant::now() {
            self.next = Instant::now() + self.spacing;
            self.post().await?;
        }
        Ok(())
    }

    /// Posts what is due until something else is done.
    pub(crate) async fn post_until<T>(
        &mut self,
        done: impl Future<Output = T>,
    ) -> anyhow::Result<T> {
        let mut done = std::pin::pin!(done);
        self.next = self.next.max(Instant::now());
        loop {
            tokio::select! {
                done = &mut done => return Ok(done),
                () = sleep_until(self.next) => {
                    self.next += self.spacing;
                    self.post().await?;
                }
            }
        }
    }

    /// Denies the role the channel, or no longer.
    pub(crate) async fn set_overwrite(&self, is_denied: bool) -> anyhow::Result<()> {
        let path = format!("/channels/{}/permissions/{}", self.channel, self.role);
        if is_denied {
            let denied = json!({ "type": 0, "allow": "0", "deny": VIEW.to_string() });
            self.ask(Method::PUT, &path, denied).await?;
        } else {
            self.ask(Method::DELETE, &path, Value::Null).await?;
        }
        Ok(())
    }

    /// Takes the role's permissions, or gives them back.
    pub(crate) async fn set_permissions(&self, is_taken: bool) -> anyhow::Result<()> {
        let permissions = if is_taken { 0 } else { VISITOR };
        let path = format!("/guilds/{}/roles/{}", self.guild, self.role);
        let body = json!({ "permissions": permissions.to_string() });
        self.ask(Method::PATCH, &path, body).await?;
        Ok(())
    }

    /// Deletes the role.
    pub(crate) async fn delete_role(&self) -> anyhow::Result<()> {
        let path = format!("/guilds/{}/roles/{}", self.guild, self.role);
        self.ask(Method::DELETE, &path, Value::Null).await?;
        Ok(())
    }

    /// Kicks somebody.
    pub(crate) async fn kick(&self, person: usize) -> anyhow::Result<()> {
        let person = self.people.get(person).context("there is one")?;
        let path = format!("/guilds/{}/members/{}", self.guild, person.id);
        self.ask(Method::DELETE, &path, Value::Null).await?;
        Ok(())
    }

    /// Has somebody log out, at this fanout.
    pub(crate) async fn log_out(&self, person: usize, fanout: &str) -> anyhow::Result<()> {
        let person = self.people.get(person).context("there is one")?;
        let url = format!("{fanout}/api/auth/logout");
        let answer = self.http.post(url).bearer_auth(&person.token).send();
        answer.await?.error_for_status()?;
        Ok(())
    }

    async fn ask(&self, method: Method, path: &str, body: Value) -> anyhow::Result<Value> {
        let request = self.http.request(method, format!("{}{path}", self.api));
        let request = request.header("Authorization", format!("Bot {}", self.token));
        let request: RequestBuilder = match body {
            Value::Null => request,
            body => request.json(&body),
        };
        let answer = request.send().await?.error_for_status()?;
        let text = answer.text().await?;
        if text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).with_context(|| path.to_owned())
    }
}
