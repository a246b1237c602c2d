//! What every command has: the options that go for all, the way to print, and the server.

use helmr_api::client::{Client, Settings};

use crate::deploy::kit::Kit;
use crate::error::{CommandError, Exit};
use crate::output::Output;
use crate::profile::{self, Profiles};
use crate::{VERSION, env};

/// Options that every command takes.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Global {
    /// Print the server's answer as JSON, on one line or, when following, one line each
    #[arg(long, global = true, help_heading = "Global options")]
    pub json: bool,

    /// Use this profile of the configuration file, whatever the environment says
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        help_heading = "Global options"
    )]
    pub profile: Option<String>,

    /// Project, by slug or id; only for keys that are not bound to an environment
    #[arg(
        long,
        global = true,
        value_name = "PROJECT",
        help_heading = "Global options"
    )]
    pub project: Option<String>,

    /// Environment, by slug or id; only for keys that are not bound to one
    #[arg(
        long,
        global = true,
        value_name = "ENVIRONMENT",
        help_heading = "Global options"
    )]
    pub environment: Option<String>,
}

/// What a command works with.
#[derive(Debug)]
pub struct Context {
    pub global: Global,
    pub output: Output,
    /// The SDK that the binary carries.
    pub kit: Option<Kit>,
}

/// A server, and where its address and key come from.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) settings: Settings,
    /// For people: `profile local`, `HELMR_API_URL and HELMR_API_KEY`.
    pub(crate) origin: String,
}

impl Context {
    #[must_use]
    pub fn new(global: Global, kit: Option<Kit>) -> Self {
        let output = Output::new(global.json);
        Self {
            global,
            output,
            kit,
        }
    }

    pub(crate) fn client(&self) -> Result<Client, CommandError> {
        self.client_for(None)
    }

    /// A client that asks in this project, unless the command line names another.
    pub(crate) fn client_for(&self, project: Option<&str>) -> Result<Client, CommandError> {
        let mut settings = self.server()?.settings;
        settings.project = settings.project.or_else(|| project.map(str::to_owned));
        Ok(Client::new(&settings)?)
    }

    /// Finds the server: by `--profile`, else by the environment, else the default profile.
    pub(crate) fn server(&self) -> Result<Server, CommandError> {
        if self.global.profile.is_none()
            && let Some(server) = self.server_of_environment()?
        {
            return Ok(server);
        }
        let path = profile::path();
        let profiles = match &path {
            Some(path) => Profiles::load(path)?,
            None => Profiles::default(),
        };
        let Some((name, profile)) = profiles.choose(self.global.profile.as_deref())? else {
            return Err(no_server());
        };
        Ok(Server {
            origin: format!("profile {name}"),
            settings: Settings {
                url: profile.api_url.clone(),
                api_key: profile.api_key.clone(),
                project: self
                    .global
                    .project
                    .clone()
                    .or_else(|| profile.project.clone()),
                environment: self
                    .global
                    .environment
                    .clone()
                    .or_else(|| profile.environment.clone()),
                client: client_name(),
                allow_plain_http: profile.allow_plain_http || env::ALLOW_PLAIN_HTTP.is_on(),
            },
        })
    }

    fn server_of_environment(&self) -> Result<Option<Server>, CommandError> {
        let (url, api_key) = match (env::API_URL.text(), env::API_KEY.text()) {
            (Some(url), Some(api_key)) => (url, api_key),
            (None, None) => return Ok(None),
            (Some(_), None) => return Err(half_set("HELMR_API_URL", "HELMR_API_KEY")),
            (None, Some(_)) => return Err(half_set("HELMR_API_KEY", "HELMR_API_URL")),
        };
        Ok(Some(Server {
            origin: "HELMR_API_URL and HELMR_API_KEY".to_owned(),
            settings: Settings {
                url,
                api_key,
                project: self.global.project.clone(),
                environment: self.global.environment.clone(),
                client: client_name(),
                allow_plain_http: env::ALLOW_PLAIN_HTTP.is_on(),
            },
        }))
    }
}

fn client_name() -> String {
    format!("cli/{VERSION}")
}

fn half_set(set: &str, missing: &str) -> CommandError {
    CommandError::new(
        Exit::Unauthenticated,
        format!("{set} is set, but {missing} is not"),
    )
    .hint("set both, or neither and use a profile")
}

fn no_server() -> CommandError {
    CommandError::new(Exit::Unauthenticated, "no server is known")
        .hint("start one here with `helmr up`: it makes a profile")
        .hint("or set HELMR_API_URL and HELMR_API_KEY")
}
