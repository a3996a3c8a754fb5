//! How handlers ask the orchestrator. Cheap to clone.

use std::future::pending;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use transport::control::{Answer, Ask, Idempotency, Token};

pub use crate::exchange::AskError;
use crate::limits::MAX_WAITING_ASKS;

/// Where a gateway stands with its orchestrator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whether questions are taken.
    pub ready: bool,
    /// Newest epoch of a lease that was seen.
    pub epoch: u32,
    /// Why there is no connection, in words; empty before the first and while there is one.
    pub trouble: String,
}

/// Asks the orchestrator.
#[derive(Clone, Debug)]
pub struct Client {
    asks: mpsc::Sender<Question>,
    standing: watch::Receiver<Standing>,
    tokens: watch::Receiver<Option<Arc<[Token]>>>,
}

/// The loop's end of a [`Client`].
#[derive(Debug)]
pub struct Asked {
    pub(crate) asks: mpsc::Receiver<Question>,
    pub(crate) standing: watch::Sender<Standing>,
    pub(crate) tokens: watch::Sender<Option<Arc<[Token]>>>,
}

/// A question, and where its answer goes.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) token: u64,
    pub(crate) idempotency: Option<Idempotency>,
    pub(crate) ask: Ask,
    pub(crate) reply: oneshot::Sender<Result<Answer, AskError>>,
}

/// A pair for [`crate::drive::run`]: what asks, and what is asked.
#[must_use]
pub fn client() -> (Client, Asked) {
    let (to_loop, asks) = mpsc::channel(MAX_WAITING_ASKS);
    let (stands, standing) = watch::channel(Standing::default());
    let (told, tokens) = watch::channel(None);
    let client = Client {
        asks: to_loop,
        standing,
        tokens,
    };
    let asked = Asked {
        asks,
        standing: stands,
        tokens: told,
    };
    (client, asked)
}

impl Client {
    /// Asks, for a token (0 for a local user), and waits for the answer; never longer than
    /// [`ASK_PATIENCE`](crate::limits::ASK_PATIENCE) and the time to lose a connection.
    ///
    /// # Errors
    /// [`AskError`]; a refusal is one too.
    pub async fn ask(
        &self,
        token: u64,
        idempotency: Option<Idempotency>,
        ask: Ask,
    ) -> Result<Answer, AskError> {
        let (reply, answered) = oneshot::channel();
        let question = Question {
            token,
            idempotency,
            ask,
            reply,
        };
        let sent = self.asks.try_send(question);
        sent.map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => AskError::TooMany,
            mpsc::error::TrySendError::Closed(_) => AskError::Disconnected,
        })?;
        answered.await.unwrap_or(Err(AskError::Disconnected))
    }

    /// Where the gateway stands with its orchestrator now.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// Whether questions are taken now.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.standing.borrow().ready
    }

    /// Waits until questions are taken; `false` where they never will be.
    pub async fn wait_ready(&self) -> bool {
        let mut standing = self.standing.clone();
        standing.wait_for(|standing| standing.ready).await.is_ok()
    }

    /// Every valid token, as it was told last; `None` where the orchestrator never told.
    #[must_use]
    pub fn tokens(&self) -> Option<Arc<[Token]>> {
        self.tokens.borrow().clone()
    }

    /// Whether it was told that there is no token at all.
    #[must_use]
    pub fn has_no_token(&self) -> bool {
        let tokens = self.tokens.borrow();
        tokens.as_ref().is_some_and(|tokens| tokens.is_empty())
    }

    /// Waits until it is told that there are some tokens, or none; `false` where nobody tells any more.
    pub async fn wait_tokens(&self, some: bool) -> bool {
        let mut tokens = self.tokens.clone();
        let is_so = |tokens: &Option<Arc<[Token]>>| {
            (tokens.as_ref()).is_some_and(|tokens| tokens.is_empty() != some)
        };
        tokens.wait_for(is_so).await.is_ok()
    }

    /// Waits until a token is not, or no longer, among those that were told last.
    pub async fn token_gone(&self, id: u64) {
        let mut tokens = self.tokens.clone();
        let is_gone = |tokens: &Option<Arc<[Token]>>| {
            (tokens.as_ref()).is_some_and(|tokens| tokens.iter().all(|token| token.id != id))
        };
        if tokens.wait_for(is_gone).await.is_err() {
            // Nobody tells tokens any more: the gateway ends, and revokes nothing by that.
            pending::<()>().await;
        }
    }
}
