//! The simulated Discord inside, and the member whose token opens the page.

use anyhow::Context as _;
use discord_sim::{Sim, SimConfig, SimHandle};
use fanout::auth::Keys;
use fanout::token::TokenArgs;
use runtime::Settings;
use std::time::Duration;

/// The demo speaks the same lines at every start.
const SEED: u64 = 2015;

/// How long the printed address opens the page.
const TOKEN_LIFE: Duration = Duration::from_hours(7 * 24);

#[derive(Debug)]
pub(crate) struct Demo {
    sim: SimHandle,
}

impl Demo {
    /// Starts the simulator and points the settings at it.
    pub(crate) async fn start(settings: &mut Settings) -> anyhow::Result<Self> {
        let config = SimConfig {
            demo_seed: Some(SEED),
            ..SimConfig::default()
        };
        let sim = Sim::start(config)
            .await
            .context("the simulated Discord did not start")?;
        settings.set("DISCORD_BOT_TOKEN", sim.token());
        settings.set("DISCORD_API_URL", sim.api_url());
        settings.set("DISCORD_CDN_URL", sim.cdn_url());
        // The ordinary login, at the simulator's pages: whoever opens them may be any member.
        settings.set("DISCORD_OAUTH_URL", sim.oauth_url());
        settings.set("DISCORD_CLIENT_ID", sim.client_id());
        settings.set("DISCORD_CLIENT_SECRET", sim.client_secret());
        Ok(Self { sim })
    }

    /// A token of the first server's first human member.
    pub(crate) fn token(&self, keys: &Keys) -> anyhow::Result<String> {
        let world = self.sim.world();
        let members = world
            .pointer("/guilds/0/members")
            .and_then(|members| members.as_array());
        let human = members
            .into_iter()
            .flatten()
            .find(|member| member["bot"] == false);
        let human = human.context("the simulated Discord has no members")?;
        let text = |name: &str| human[name].as_str().unwrap_or_default();
        let token = TokenArgs {
            discord_id: text("id")
                .parse()
                .context("a member's id is no snowflake")?,
            username: text("username").to_owned(),
            channels: Vec::new(),
            private: false,
            expires: Some(TOKEN_LIFE),
        };
        token
            .sign(keys, TOKEN_LIFE)
            .context("the demo needs a key that signs: set JWT_SECRET or none")
    }

    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.sim
            .stop()
            .await
            .context("the simulated Discord did not end well")
    }
}
