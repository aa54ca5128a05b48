//! A login at Discord: the authorization code flow with PKCE (RFC 6749, RFC 7636), and who came back from it
//! (<https://docs.discord.com/developers/topics/oauth2>).
//!
//! What has to survive the way to Discord and back is one cookie's value; who holds it is the caller's affair.

use std::sync::Arc;

use oauth2::basic::BasicClient;
use oauth2::{
    AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, PkceCodeChallenge,
    PkceCodeVerifier, RedirectUrl, Scope, TokenResponse as _, TokenUrl,
};
use proto::{GuildId, UserId};
use runtime::settings::{Settings, SettingsError, malformed};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::client::{Client, ClientError};

/// Discord's API and its page for users.
const API_URL: &str = "https://discord.com/api/v10";
const OAUTH_URL: &str = "https://discord.com/oauth2";

/// Where Discord sends a user back to, on whichever host.
pub(crate) const CALLBACK: &str = "/api/auth/discord/callback";

/// What a login needs to know.
#[derive(Debug, Clone)]
pub struct OAuthSettings {
    client_id: String,
    client_secret: SecretString,
    /// Where Discord sends the user back to; none on a machine that is reached by its loopback address.
    redirect_uri: Option<String>,
    api_url: String,
    oauth_url: String,
    with_email: bool,
}

/// Logins at Discord. Cheap to clone.
#[derive(Debug, Clone)]
pub struct OAuth {
    settings: Arc<OAuthSettings>,
    client: Client,
}

/// A login that has begun: what is compared and proved when the user comes back.
#[derive(Debug, Serialize, Deserialize)]
pub struct Begun {
    /// Comes back in the URL.
    pub state: String,
    /// Goes with the code.
    verifier: String,
    /// Where Discord sends the user back to: named twice, equally.
    redirect_uri: String,
    /// Where the user wants to end up.
    pub return_to: Option<String>,
}

/// Who has logged in.
#[derive(Debug)]
pub struct Login {
    /// Who it is.
    pub user: UserId,
    /// Their name.
    pub username: String,
    /// Their mail's address, if it was asked for.
    pub email: Option<String>,
    /// A bot's account.
    pub is_bot: bool,
    /// The guilds that they are in.
    pub guilds: Vec<GuildId>,
}

/// Why nobody has logged in.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// Discord refused the code.
    #[error("the code was refused")]
    Code,
    /// Discord is away or answers something else.
    #[error("Discord could not be asked")]
    Discord(#[from] ClientError),
    /// A URL of ours can't be used.
    #[error("a URL is malformed")]
    Url,
}

#[derive(Deserialize)]
struct Me {
    id: String,
    username: String,
    #[serde(default)]
    bot: bool,
    email: Option<String>,
}

#[derive(Deserialize)]
struct OfGuild {
    id: String,
}

/// The simulated Discord's, at whose authorize page everybody may be anybody. It takes no other, so that no login
/// leads there without it, through whatever proxy.
const SIMULATED_SECRET: &str = "simulated-client-secret";

impl OAuthSettings {
    /// The settings of a login; none where `DISCORD_CLIENT_ID` is not set.
    ///
    /// # Errors
    /// The others are missing, one is no URL, or they are the simulated Discord's in production.
    pub fn read(settings: &Settings) -> Result<Option<Self>, SettingsError> {
        let Some(client_id) = settings.text("DISCORD_CLIENT_ID") else {
            return Ok(None);
        };
        let url = |name: &'static str, default: &str| {
            let text = settings.text(name).unwrap_or(default);
            let parsed = url::Url::parse(text).ok();
            let is_http = parsed.is_some_and(|url| matches!(url.scheme(), "http" | "https"));
            let text = text.trim_end_matches('/').to_owned();
            is_http
                .then_some(text)
                .ok_or_else(|| malformed(name, "an http or https URL"))
        };
        let secret = settings.secret("DISCORD_CLIENT_SECRET");
        let is_simulated = |secret: &SecretString| secret.expose_secret() == SIMULATED_SECRET;
        if settings.is_production() && secret.as_ref().is_some_and(is_simulated) {
            let expected = "an application's at Discord: production has no simulated logins";
            return Err(malformed("DISCORD_CLIENT_SECRET", expected));
        }
        let of_public = settings.text("PUBLIC_URL").map(|base| {
            let base = base.trim_end_matches('/');
            format!("{base}{CALLBACK}")
        });
        let redirect_uri = match (settings.text("DISCORD_REDIRECT_URI"), of_public) {
            (Some(own), _) => Some(url("DISCORD_REDIRECT_URI", own)?),
            (None, of_public) => of_public,
        };
        Ok(Some(Self {
            client_id: client_id.to_owned(),
            client_secret: secret.ok_or(SettingsError::Missing("DISCORD_CLIENT_SECRET"))?,
            redirect_uri,
            api_url: url("DISCORD_API_URL", API_URL)?,
            oauth_url: url("DISCORD_OAUTH_URL", OAUTH_URL)?,
            with_email: settings.flag("OAUTH_EMAIL", false)?,
        }))
    }
}

impl OAuth {
    /// Logins with these settings.
    ///
    /// # Errors
    /// This machine's TLS can't be set up.
    pub fn new(settings: OAuthSettings) -> Result<Self, ClientError> {
        Ok(Self {
            settings: Arc::new(settings),
            client: Client::new()?,
        })
    }

    /// Begins a login: where the user is sent, and what is needed when they come back.
    ///
    /// # Errors
    /// Nobody has said where Discord is to send users back to, or a URL can't be used.
    pub fn begin(
        &self,
        return_to: Option<String>,
        host: Option<&str>,
    ) -> Result<(String, Begun), LoginError> {
        let redirect_uri = self.settings.redirect_uri.clone();
        let redirect_uri = redirect_uri
            .or_else(|| host.and_then(loopback_uri))
            .ok_or(LoginError::Url)?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let authorize = format!("{}/authorize", self.settings.oauth_url);
        let scopes = ["identify", "guilds"].into_iter();
        let scopes = scopes.chain(self.settings.with_email.then_some("email"));
        let (url, state) = BasicClient::new(ClientId::new(self.settings.client_id.clone()))
            .set_auth_uri(AuthUrl::new(authorize).map_err(|_| LoginError::Url)?)
            .set_redirect_uri(redirect(&redirect_uri)?)
            .authorize_url(CsrfToken::new_random)
            .add_scopes(scopes.map(|scope| Scope::new(scope.to_owned())))
            .set_pkce_challenge(challenge)
            .url();
        let begun = Begun {
            state: state.into_secret(),
            verifier: verifier.into_secret(),
            redirect_uri,
            return_to,
        };
        Ok((url.into(), begun))
    }

    /// Ends a login: the code is exchanged, and Discord asked who it is for.
    ///
    /// # Errors
    /// Discord refuses the code, or is away.
    pub async fn finish(&self, begun: Begun, code: String) -> Result<Login, LoginError> {
        let settings = &self.settings;
        // The token's route stands outside the API's version (RFC 6749 §3.2; Discord takes both).
        let token_url = format!("{}/oauth2/token", settings.api_url);
        let exchange = BasicClient::new(ClientId::new(settings.client_id.clone()))
            .set_client_secret(ClientSecret::new(
                settings.client_secret.expose_secret().to_owned(),
            ))
            .set_token_uri(TokenUrl::new(token_url).map_err(|_| LoginError::Url)?)
            .set_redirect_uri(redirect(&begun.redirect_uri)?);
        let client = |request| async move { self.client.call(request).await };
        let answer = exchange
            .exchange_code(AuthorizationCode::new(code))
            .set_pkce_verifier(PkceCodeVerifier::new(begun.verifier))
            .request_async(&client)
            .await;
        let token = answer.map_err(|error| match error {
            oauth2::RequestTokenError::Request(error) => LoginError::Discord(error),
            _ => LoginError::Code,
        })?;
        let bearer = Some(token.access_token().secret().as_str());
        let me_url = format!("{}/users/@me", settings.api_url);
        let guilds_url = format!("{}/users/@me/guilds", settings.api_url);
        let (me, guilds) = tokio::try_join!(
            self.client.get::<Me>(&me_url, bearer),
            self.client.get::<Vec<OfGuild>>(&guilds_url, bearer),
        )?;
        Ok(Login {
            user: me.id.parse().map_err(|_| ClientError::Malformed)?,
            username: me.username,
            email: me.email.filter(|_| settings.with_email),
            is_bot: me.bot,
            guilds: guilds.iter().filter_map(|g| g.id.parse().ok()).collect(),
        })
    }
}

fn redirect(uri: &str) -> Result<RedirectUrl, LoginError> {
    RedirectUrl::new(uri.to_owned()).map_err(|_| LoginError::Url)
}

/// Where a machine that is asked by its loopback address is reached: the `Host` of others is not taken at its word.
fn loopback_uri(host: &str) -> Option<String> {
    let uri = format!("http://{host}{CALLBACK}");
    let parsed = url::Url::parse(&uri).ok()?;
    let is_loopback = match parsed.host()? {
        url::Host::Domain(name) => name == "localhost",
        url::Host::Ipv4(address) => address.is_loopback(),
        url::Host::Ipv6(address) => address.is_loopback(),
    };
    (is_loopback && parsed.path() == CALLBACK).then_some(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(more: &[(&'static str, &str)]) -> Result<Option<OAuthSettings>, SettingsError> {
        let mut settings = Settings::default();
        for (name, value) in more {
            settings.set(name, *value);
        }
        OAuthSettings::read(&settings)
    }

    const WHOLE: [(&str, &str); 3] = [
        ("DISCORD_CLIENT_ID", "1"),
        ("DISCORD_CLIENT_SECRET", "s"),
        ("PUBLIC_URL", "https://stream.example/"),
    ];

    #[test]
    fn a_login_is_configured_whole_or_not_at_all() {
        assert!(settings(&[]).unwrap().is_none());
        assert!(settings(&WHOLE).unwrap().is_some());
        assert!(settings(&[WHOLE[0], WHOLE[2]]).is_err());
        let odd = [WHOLE[0], WHOLE[1], ("DISCORD_REDIRECT_URI", "javascript:x")];
        assert!(settings(&odd).is_err());
    }

    #[test]
    fn production_has_no_logins_at_the_simulated_discord() {
        let simulated = [
            WHOLE[0],
            ("DISCORD_CLIENT_SECRET", SIMULATED_SECRET),
            WHOLE[2],
        ];
        assert!(settings(&simulated).unwrap().is_some());
        let production = [("APP_ENV", "production")];
        let refused = settings(&[&simulated[..], &production].concat());
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("DISCORD_CLIENT_SECRET"), "{error}");
        assert!(!error.contains(SIMULATED_SECRET), "{error}");
        // Discord through a proxy of one's own is.
        let proxied = ("DISCORD_API_URL", "http://proxy:8080/api/v10");
        let read = settings(&[&WHOLE[..], &production, &[proxied]].concat());
        assert!(read.unwrap().is_some());
    }

    #[test]
    fn only_a_loopback_host_is_taken_at_its_word() {
        let table = [
            ("127.0.0.1:3001", true),
            ("localhost", true),
            ("[::1]:3001", true),
            ("stream.example", false),
            ("127.0.0.1@evil.example", false),
            ("evil.example/127.0.0.1", false),
            ("localhost/x", false),
        ];
        for (host, is_taken) in table {
            assert_eq!(loopback_uri(host).is_some(), is_taken, "{host}");
        }
    }

    #[test]
    fn the_user_is_sent_to_discord_with_a_state_and_a_challenge() {
        runtime::start::install_tls();
        let start = |more: &[(&'static str, &str)]| {
            let settings = settings(&[&WHOLE, more].concat()).unwrap().unwrap();
            let (url, begun) = OAuth::new(settings).unwrap().begin(None, None).unwrap();
            let url = url::Url::parse(&url).unwrap();
            let query: std::collections::HashMap<_, _> = url.query_pairs().into_owned().collect();
            (url, query, begun)
        };
        let (url, query, begun) = start(&[]);
        assert_eq!(
            (url.host_str(), url.path()),
            (Some("discord.com"), "/oauth2/authorize")
        );
        assert_eq!(query["scope"], "identify guilds");
        assert_eq!(query["state"], begun.state);
        assert_eq!(query["code_challenge_method"], "S256");
        assert_eq!(
            query["redirect_uri"],
            "https://stream.example/api/auth/discord/callback"
        );
        assert!(!url.as_str().contains(&begun.verifier));
        let (_, query, other) = start(&[("OAUTH_EMAIL", "true")]);
        assert_eq!(query["scope"], "identify guilds email");
        assert_ne!(other.state, begun.state);
    }
}
