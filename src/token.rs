//! `autofarm token`: makes, lists and revokes the tokens that the API asks for.
//!
//! The orchestrator keeps them. One that runs is asked over QUIC, as a gateway asks it; where none runs,
//! as before the first start, this process takes the database for a moment itself.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand, ValueEnum};
use gateway::client::{Client, client};
use gateway::connector::{Connector, QuicConnector};
use gateway::token::{Secret, draw_id};
use store::Store;
use store::lease::{Acquired, Lease, SameAddress};
use store::write::{Change, Committed, Write};
use tokio::sync::oneshot;
use transport::control::{Access, Answer, Ask, MAX_LABEL_BYTES, Token};
use transport::link::Role;
use transport::pool::FramePool;

use crate::connect_args::parse_host;
use crate::database_args::DatabaseArgs;
use crate::failure::wrong_input;
use crate::migrate::of_database;
use crate::standard_output::tell;
use crate::tls_args::OptionalTlsArgs;

/// How long the orchestrator may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the database is taken for.
const LEASE: Duration = Duration::from_secs(5);

/// Flags of `autofarm token`.
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    autofarm token create --name dashboard --role viewer\n  \
    autofarm token create --name ci --role operator --connect farm.example:7400 --certs certs\n  \
    autofarm token revoke 00a1b2c3d4e5f607\n\n\
    Without --connect the database is changed directly, which works while no orchestrator and no\n\
    `autofarm up` owns it. A server that runs takes new tokens with POST /v1/tokens as well. A token is\n\
    shown once; only a hash of it is kept.")]
pub(crate) struct TokenRole {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Makes a token and prints it, once.
    Create {
        /// Name, for people, 1 to 200 bytes.
        #[arg(long, value_name = "NAME")]
        name: String,
        /// What it allows: viewer reads, operator also commands, admin also makes tokens.
        #[arg(long, value_name = "ROLE", value_enum)]
        role: AccessArg,
        #[command(flatten)]
        place: Place,
    },
    /// Lists tokens: id, role, name.
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Revokes a token, from now on.
    Revoke {
        /// Its id, as `list` shows it.
        #[arg(value_parser = parse_id)]
        id: u64,
        #[command(flatten)]
        place: Place,
    },
}

/// Who is asked.
#[derive(Args)]
struct Place {
    /// Address of a running orchestrator, HOST:PORT (UDP) [default: the database is changed directly].
    #[arg(
        long,
        env = "AUTOFARM_CONNECT",
        value_name = "HOST:PORT",
        value_parser = parse_host,
        requires = "certs"
    )]
    connect: Option<String>,
    #[command(flatten)]
    tls: OptionalTlsArgs,
    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Clone, Copy, ValueEnum)]
enum AccessArg {
    Viewer,
    Operator,
    Admin,
}

impl TokenRole {
    /// Carries the action out.
    ///
    /// # Errors
    /// What is wrong with the input, or why it could not be done.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        runtime.block_on(self.action.carry_out())
    }
}

impl Action {
    async fn carry_out(self) -> anyhow::Result<ExitCode> {
        match self {
            Action::Create { name, role, place } => {
                let (token, text) = make(name, role)?;
                let id = token.id;
                let mut keeper = place.open().await?;
                let done = keeper.create(token).await;
                keeper.close().await;
                done?;
                eprintln!("token {id:016x}; it is shown this once:");
                tell(format!("{text}\n"))?;
            }
            Action::List { place } => {
                for token in place.tokens().await? {
                    let role = token.access.name();
                    tell(format!("{:016x} {role:8} {}\n", token.id, token.name))?;
                }
            }
            Action::Revoke { id, place } => {
                let mut keeper = place.open().await?;
                let done = keeper.revoke(id).await;
                keeper.close().await;
                done?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Who keeps tokens.
enum Keeper {
    Orchestrator {
        client: Client,
        stop: oneshot::Sender<()>,
    },
    Database {
        store: Store,
        lease: Lease,
    },
}

impl Place {
    async fn open(&self) -> anyhow::Result<Keeper> {
        match &self.connect {
            Some(host) => {
                let (client, stop) = self.reach(host).await?;
                Ok(Keeper::Orchestrator { client, stop })
            }
            None => self.take_database().await,
        }
    }

    /// Every token. Reading takes nothing from whoever owns the database.
    async fn tokens(&self) -> anyhow::Result<Vec<Token>> {
        let Some(host) = &self.connect else {
            let (url, _) = self.database.url()?;
            let store = Store::connect(&url).await.map_err(of_database)?;
            let tokens = store.tokens().await;
            store.close().await;
            return Ok(tokens?);
        };
        let (client, stop) = self.reach(host).await?;
        let answer = client.ask(0, None, Ask::Tokens).await;
        drop(stop);
        match answer? {
            Answer::Tokens(tokens) => Ok(tokens),
            other => anyhow::bail!("the orchestrator answered {other:?}"),
        }
    }

    async fn reach(&self, host: &str) -> anyhow::Result<(Client, oneshot::Sender<()>)> {
        let pool = FramePool::new();
        let connector = Connector::Quic(QuicConnector {
            hosts: vec![host.to_owned()],
            identity: Arc::new(self.tls.identity(Role::Gateway)?),
            network: self.tls.network(),
            pool: pool.clone(),
        });
        let (client, asked) = client();
        let (stop, stopped) = oneshot::channel::<()>();
        let name = "token".to_owned();
        tokio::spawn(gateway::drive::run(
            connector,
            name,
            pool,
            asked,
            // Nothing is published to one that subscribes to nothing.
            drop,
            async {
                // It is dropped, never sent.
                let _ = stopped.await;
            },
        ));
        let ready = tokio::time::timeout(PATIENCE, client.wait_ready()).await;
        anyhow::ensure!(
            ready.is_ok(),
            "connect: no answer from {host} in {} s: {}",
            PATIENCE.as_secs(),
            client.standing().trouble
        );
        Ok((client, stop))
    }

    async fn take_database(&self) -> anyhow::Result<Keeper> {
        let url = self.database.prepare()?;
        store::migrate(&url).await.map_err(of_database)?;
        let store = Store::connect(&url).await.map_err(of_database)?;
        match store
            .acquire("autofarm token", LEASE, SameAddress::Waits)
            .await?
        {
            Acquired::Owned(lease) => Ok(Keeper::Database { store, lease }),
            Acquired::Held(owner) => {
                store.close().await;
                Err(wrong_input(format!(
                    "the orchestrator at {} owns the database; name it with --connect and --certs, or \
                     use POST /v1/tokens of the server that runs",
                    owner.address
                )))
            }
        }
    }
}

impl Keeper {
    async fn create(&mut self, token: Token) -> anyhow::Result<()> {
        self.change(Ask::CreateToken(token.clone()), Change::CreateToken(token))
            .await
    }

    async fn revoke(&mut self, id: u64) -> anyhow::Result<()> {
        self.change(Ask::RevokeToken(id), Change::RevokeToken(id))
            .await
    }

    async fn change(&mut self, ask: Ask, change: Change) -> anyhow::Result<()> {
        match self {
            Keeper::Orchestrator { client, .. } => {
                client.ask(0, None, ask).await?;
                Ok(())
            }
            Keeper::Database { store, lease } => {
                let write = Write {
                    id: 1,
                    guard: None,
                    change,
                };
                match store.commit(lease, &[write]).await?.as_slice() {
                    [Committed::Done] => Ok(()),
                    [Committed::NotFound] => Err(wrong_input("id: there is no such token")),
                    other => anyhow::bail!("the database answered {other:?}"),
                }
            }
        }
    }

    async fn close(self) {
        match self {
            Keeper::Orchestrator { stop, .. } => drop(stop),
            Keeper::Database { store, lease } => {
                if let Err(error) = store.release(&lease).await {
                    tracing::warn!(%error, "the lease could not be given back; it runs out by itself");
                }
                store.close().await;
            }
        }
    }
}

/// A token and its text.
fn make(name: String, role: AccessArg) -> anyhow::Result<(Token, String)> {
    if !(1..=MAX_LABEL_BYTES).contains(&name.len()) {
        return Err(wrong_input(format!(
            "name: {} bytes are not from 1 to {MAX_LABEL_BYTES}",
            name.len()
        )));
    }
    let secret = Secret::draw()?;
    let id = draw_id()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let token = Token {
        id,
        name,
        access: match role {
            AccessArg::Viewer => Access::Viewer,
            AccessArg::Operator => Access::Operator,
            AccessArg::Admin => Access::Admin,
        },
        secret_hash: secret.hash(),
        created_at_us: u64::try_from(now.as_micros())?,
    };
    Ok((token, secret.token_text(id)))
}

fn parse_id(text: &str) -> Result<u64, String> {
    let hex = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
    hex.then(|| u64::from_str_radix(text, 16).ok())
        .flatten()
        .ok_or_else(|| "an id has 16 hexadecimal digits; `autofarm token list` shows it".to_owned())
}
