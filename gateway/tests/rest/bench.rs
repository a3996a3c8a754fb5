//! A gateway with a played orchestrator behind it.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use gateway::token::Secret;
use gateway::{Config, Connector, Gateway};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use transport::control::{Access, Token};

use crate::http::{Reply, send};
use crate::orchestrator::Orchestrator;

/// A gateway that serves.
pub(crate) struct Bench {
    pub(crate) orchestrator: Orchestrator,
    pub(crate) address: SocketAddr,
    pub(crate) app: gateway::app::App,
    shutdown: Mutex<Option<oneshot::Sender<()>>>,
    serving: JoinHandle<()>,
}

/// A configuration on any port of the loopback.
pub(crate) fn config() -> Config {
    Config {
        listen: vec!["127.0.0.1:0".parse().expect("an address")],
        leave_notice: std::time::Duration::ZERO,
        requests_per_s: 100_000,
        burst: 100_000,
        ..Config::default()
    }
}

/// A token of a role, with its text.
pub(crate) fn token(id: u64, access: Access) -> (Token, String) {
    let secret = Secret::draw().expect("random bytes");
    let token = Token {
        id,
        name: format!("token {id}"),
        access,
        secret_hash: secret.hash(),
        created_at_us: 1,
    };
    (token, secret.token_text(id))
}

impl Bench {
    pub(crate) async fn start() -> Bench {
        Bench::with(config(), Vec::new()).await
    }

    /// Starts one that is connected.
    pub(crate) async fn with(config: Config, tokens: Vec<Token>) -> Bench {
        let bench = Bench::unconnected(config, tokens).await;
        assert!(bench.app.client.wait_ready().await);
        bench
    }

    /// Starts one and does not wait for its connection.
    pub(crate) async fn unconnected(config: Config, tokens: Vec<Token>) -> Bench {
        let orchestrator = Orchestrator::start(tokens);
        let connector = Connector::Memory(orchestrator.hub.clone());
        let gateway = Gateway::start(config, connector).await.expect("it starts");
        let (shutdown, asked) = oneshot::channel();
        let (address, app) = (gateway.addresses()[0], gateway.app().clone());
        let serving = tokio::spawn(gateway.serve(async {
            let _ = asked.await;
        }));
        Bench {
            orchestrator,
            address,
            app,
            shutdown: Mutex::new(Some(shutdown)),
            serving,
        }
    }

    /// Asks it to end.
    pub(crate) fn shut_down(&self) {
        let mut shutdown = self.shutdown.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = shutdown.take().map(|shutdown| shutdown.send(()));
    }

    /// Waits for its end.
    pub(crate) async fn ended(self) {
        self.serving.await.expect("it ends in order");
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        send("GET", path).to(self.address).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        send("POST", path).json(&body).to(self.address).await
    }

    /// Creates a simulation of so many weeders, and gives its path.
    pub(crate) async fn simulation(&self, entities: u32) -> String {
        let body = json!({"scenario": "weeding", "entities": entities});
        let created = self.post("/v1/simulations", body).await;
        assert_eq!(created.status, 201, "{}", created.text());
        created
            .header("location")
            .expect("it has a path")
            .to_owned()
    }
}
