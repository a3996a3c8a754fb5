//! How a gateway serves: where, who may come, and how much of everything.

use std::net::SocketAddr;

use gateway::StartError;
use gateway::config::{
    Config, DEFAULT_BURST, DEFAULT_MAX_BODY_BYTES, DEFAULT_REQUESTS_PER_S, DatabaseLocation,
};
use gateway::limits::MAX_BODY_BYTES;

use crate::api_args::ApiArgs;
use crate::failure::{of_address, wrong_input};
use crate::value_parser::{parse_host_name, parse_origin, within};

/// Most requests that a token may be allowed, a second and at once.
const MAX_REQUESTS: u64 = 1_000_000;

/// Flags of whatever serves the API.
#[derive(clap::Args)]
#[command(next_help_heading = "API")]
pub(crate) struct GatewayArgs {
    #[command(flatten)]
    api: ApiArgs,
    /// Want tokens on loopback addresses too.
    #[arg(long, env = "AUTOFARM_REQUIRE_TOKENS")]
    require_tokens: bool,
    /// Origin whose pages may open the live stream (`https://farm.example` say) and make changes, beside this
    /// server's own; with commas, several [default: none].
    #[arg(
        long,
        env = "AUTOFARM_ALLOWED_ORIGINS",
        value_name = "ORIGIN",
        value_delimiter = ',',
        value_parser = parse_origin
    )]
    allowed_origin: Vec<String>,
    /// Name under which a loopback address may be called, beside localhost; with commas, several [default:
    /// none].
    #[arg(
        long,
        env = "AUTOFARM_ALLOWED_HOSTS",
        value_name = "HOST",
        value_delimiter = ',',
        value_parser = parse_host_name
    )]
    allowed_host: Vec<String>,
    /// Requests a second of one token, in the long run, 1 to 1000000.
    #[arg(long, env = "AUTOFARM_REQUESTS_PER_S", value_name = "N", default_value_t = DEFAULT_REQUESTS_PER_S,
        value_parser = within::<u32>(1..=MAX_REQUESTS))]
    requests_per_s: u32,
    /// Requests of one token at once, 1 to 1000000.
    #[arg(long, env = "AUTOFARM_BURST", value_name = "N", default_value_t = DEFAULT_BURST,
        value_parser = within::<u32>(1..=MAX_REQUESTS))]
    burst: u32,
    /// Largest body of a request, in bytes, 1 to 8388608.
    #[arg(long, env = "AUTOFARM_MAX_BODY_BYTES", value_name = "BYTES", default_value_t = DEFAULT_MAX_BODY_BYTES,
        value_parser = within::<usize>(1..=MAX_BODY_BYTES as u64))]
    max_body_bytes: usize,
}

impl GatewayArgs {
    /// The settings of a gateway of this name, which reads history from this database.
    ///
    /// # Errors
    /// A certificate without its key, or a key without its certificate.
    pub(crate) fn config(&self, name: String, database_url: &str) -> anyhow::Result<Config> {
        Ok(Config {
            name,
            version: concat!(env!("CARGO_PKG_VERSION"), "+", env!("AUTOFARM_COMMIT")),
            database: Some(DatabaseLocation(database_url.to_owned())),
            listen: self.api.listen.clone(),
            tls: self.api.https()?,
            require_tokens: self.require_tokens,
            allowed_origins: self.allowed_origin.clone(),
            allowed_hosts: self.allowed_host.clone(),
            requests_per_s: self.requests_per_s,
            burst: self.burst,
            max_connections: self.api.max_connections,
            max_body_bytes: self.max_body_bytes,
            ..Config::default()
        })
    }

    /// Whether everybody needs a token wherever it listens.
    pub(crate) fn wants_tokens(&self, addresses: &[SocketAddr]) -> bool {
        let is_open = |address: &SocketAddr| address.ip().is_loopback();
        self.require_tokens || !addresses.iter().any(is_open)
    }

    /// Why that is so.
    pub(crate) fn why_tokens(&self, addresses: &[SocketAddr]) -> String {
        if self.require_tokens {
            return "require-tokens: everybody needs a token".to_owned();
        }
        let addresses: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
        format!(
            "listen: {} is not of this machine alone, so everybody needs a token",
            addresses.join(", ")
        )
    }

    /// Whether it speaks HTTPS.
    pub(crate) fn is_tls(&self) -> bool {
        self.api.is_tls()
    }
}

/// What keeps a gateway from starting is in its settings, but for a port that another process has.
pub(crate) fn start_error(error: StartError) -> anyhow::Error {
    match error {
        StartError::Bind { address, source } => of_address("listen", address, &source),
        other => wrong_input(other),
    }
}
