//! The application that the bot belongs to: which privileged intents it was granted, where a login may lead back to.
//! It decides what IDENTIFY may ask for and what REST shows; it knows nothing of sessions.
//! <https://discord.com/developers/docs/resources/application#application-object-application-flags>.

use serde::Deserialize;
use url::{Host, Url};

use crate::event::Intents;

/// `GATEWAY_GUILD_MEMBERS` and `GATEWAY_MESSAGE_CONTENT`, as a verified application has them.
const MEMBERS_FLAG: u64 = 1 << 14;
const CONTENT_FLAG: u64 = 1 << 18;
/// Where a login may lead back to as long as nobody has registered an address: to this path on this machine.
const DEFAULT_CALLBACK: &str = "/api/auth/discord/callback";

/// What the developers' portal holds of the application.
#[derive(Clone, Debug)]
pub(crate) struct Application {
    pub(crate) has_members_intent: bool,
    pub(crate) has_content_intent: bool,
    /// Compared letter for letter; empty: the default of `DEFAULT_CALLBACK`.
    pub(crate) redirect_uris: Vec<String>,
}

impl Default for Application {
    fn default() -> Self {
        Self {
            has_members_intent: true,
            has_content_intent: true,
            redirect_uris: Vec::new(),
        }
    }
}

/// The body of `POST /sim/application`; what is absent stays.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ApplicationPatch {
    members_intent: Option<bool>,
    content_intent: Option<bool>,
    redirect_uris: Option<Vec<String>>,
}

impl Application {
    /// Changes it, as its owner does in the portal. Open sessions keep what they were granted.
    pub(crate) fn patch(&mut self, patch: ApplicationPatch) {
        self.has_members_intent = patch.members_intent.unwrap_or(self.has_members_intent);
        self.has_content_intent = patch.content_intent.unwrap_or(self.has_content_intent);
        if let Some(redirect_uris) = patch.redirect_uris {
            self.redirect_uris = redirect_uris;
        }
    }

    pub(crate) fn flags(&self) -> u64 {
        let flag = |is_set: bool, flag: u64| if is_set { flag } else { 0 };
        flag(self.has_members_intent, MEMBERS_FLAG) | flag(self.has_content_intent, CONTENT_FLAG)
    }

    /// Whether IDENTIFY may ask for these intents. Presences are granted to nobody here.
    pub(crate) fn grants(&self, intents: Intents) -> bool {
        let refused = [
            (true, Intents::PRESENCES),
            (!self.has_members_intent, Intents::MEMBERS),
            (!self.has_content_intent, Intents::MESSAGE_CONTENT),
        ];
        !refused
            .iter()
            .any(|(is_refused, intent)| *is_refused && intents.contains(*intent))
    }

    /// Whether a login may lead back to this address.
    pub(crate) fn registers(&self, redirect_uri: &str) -> bool {
        if !self.redirect_uris.is_empty() {
            return self.redirect_uris.iter().any(|uri| uri == redirect_uri);
        }
        let Ok(url) = Url::parse(redirect_uri) else {
            return false;
        };
        let is_loopback = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        let is_bare = url.query().is_none() && url.fragment().is_none();
        url.scheme() == "http" && is_loopback && is_bare && url.path() == DEFAULT_CALLBACK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_intent_whose_flag_is_missing_is_refused_and_presences_always_are() {
        let mut application = Application::default();
        assert!(application.grants(Intents(1 | 1 << 1 | 1 << 15)));
        assert!(!application.grants(Intents(1 << 8)));
        application.patch(ApplicationPatch {
            content_intent: Some(false),
            ..ApplicationPatch::default()
        });
        assert!(!application.grants(Intents(1 << 15)));
        assert_eq!(application.flags(), 1 << 14);
    }

    #[test]
    fn without_a_registration_a_login_leads_back_to_this_machine_alone() {
        let mut application = Application::default();
        for (uri, is_registered) in [
            ("http://127.0.0.1:3001/api/auth/discord/callback", true),
            ("http://localhost/api/auth/discord/callback", true),
            ("http://[::1]:8/api/auth/discord/callback", true),
            ("https://localhost/api/auth/discord/callback", false),
            ("http://localhost/api/auth/discord/callback?x=1", false),
            ("http://localhost/elsewhere", false),
            (
                "http://localhost.evil.example/api/auth/discord/callback",
                false,
            ),
            ("http://10.0.0.1/api/auth/discord/callback", false),
            ("nonsense", false),
        ] {
            assert_eq!(application.registers(uri), is_registered, "{uri}");
        }
        application.redirect_uris = vec!["https://stream.example/cb".to_owned()];
        assert!(application.registers("https://stream.example/cb"));
        assert!(!application.registers("https://stream.example/cb/"));
        assert!(!application.registers("http://localhost/api/auth/discord/callback"));
    }
}
