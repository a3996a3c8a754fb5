//! The writer's side of a database.

use std::sync::Arc;
use std::time::Duration;

use transport::control::Token;

use crate::error::StoreError;
use crate::history::Batch;
use crate::lease::{self, Acquired, Lease, Owner, SameAddress};
use crate::limits::TRANSACTION_PATIENCE;
use crate::load::Loaded;
use crate::postgres::Postgres;
use crate::retention::{Pruned, Pruner};
use crate::session::{Database, within};
use crate::sqlite::Sqlite;
use crate::url::DatabaseUrl;
use crate::write::{Committed, Write};
use crate::{append, commit, load, schema};

/// A database that is written, PostgreSQL or SQLite. Clones share its connections.
///
/// Every call is one transaction. It is whole or has no effect; and while its outcome is in doubt, because
/// the connection was lost or the caller gave up waiting, the same call with the same ids changes nothing more and tells the first
/// one's outcome.
#[derive(Clone, Debug)]
pub struct Store {
    database: Arc<dyn Database>,
}

impl Store {
    /// Connects to a database, whose schema must be this build's; see [`schema::migrate`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn connect(url: &str) -> Result<Store, StoreError> {
        let url = DatabaseUrl::parse(url)?;
        schema::status_of(&url).await?.check()?;
        let database: Arc<dyn Database> = match &url {
            DatabaseUrl::Postgres(options) => {
                Arc::new(Postgres::writer((**options).clone()).await?)
            }
            DatabaseUrl::Sqlite(file) => Arc::new(Sqlite::writer(file).await?),
        };
        Ok(Store { database })
    }

    /// Ends its connections, once what is under way on them has ended.
    pub async fn close(&self) {
        // Nothing is lost by a connection that ends otherwise.
        let _ = self.database.close().await;
    }

    /// Takes the database if nobody has it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn acquire(
        &self,
        address: &str,
        ttl: Duration,
        same_address: SameAddress,
    ) -> Result<Acquired, StoreError> {
        within(TRANSACTION_PATIENCE, async {
            let mut session = self.database.begin().await?;
            let acquired = lease::acquire(session.as_mut(), address, ttl, same_address).await?;
            session.commit().await?;
            Ok(acquired)
        })
        .await
    }

    /// Keeps the database for another [`Lease::ttl`]. Where the lease has run out and nobody took the database, it is
    /// as if it had not.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] if somebody else took it; [`StoreError`] otherwise. It waits no longer than the
    /// lease holds.
    pub async fn renew(&self, lease: &Lease) -> Result<(), StoreError> {
        within(lease.ttl, async {
            let mut session = self.database.begin().await?;
            lease::renew(session.as_mut(), lease).await?;
            session.commit().await
        })
        .await
    }

    /// Gives the database up, so that nobody has to wait for the lease to run out. If it is lost, nothing happens.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        within(TRANSACTION_PATIENCE, async {
            let mut session = self.database.begin().await?;
            lease::release(session.as_mut(), lease).await?;
            session.commit().await
        })
        .await
    }

    /// Who has the database; `None` where nobody ever had.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn owner(&self) -> Result<Option<Owner>, StoreError> {
        within(TRANSACTION_PATIENCE, async {
            let mut session = self.database.begin().await?;
            let found = lease::owner(session.as_mut()).await?;
            session.commit().await?;
            Ok(found)
        })
        .await
    }

    /// Writes a group of at most [`crate::limits::MAX_GROUP`] writes together. What became of each, in the same
    /// order; those that changed nothing do not keep the others back. Calls come after each other: a
    /// group whose outcome is in doubt is written again before, or together with and ahead of, any other.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] if somebody else took the database; [`StoreError`] otherwise.
    ///
    /// # Panics
    /// If the group is larger, or its ids do not ascend.
    pub async fn commit(
        &self,
        lease: &Lease,
        writes: &[Write],
    ) -> Result<Vec<Committed>, StoreError> {
        within(TRANSACTION_PATIENCE, async {
            let mut session = self.database.begin().await?;
            let committed = commit::group(session.as_mut(), lease, writes).await?;
            lease::renew_if_only_writer(session.as_mut(), lease).await?;
            session.commit().await?;
            Ok(committed)
        })
        .await
    }

    /// Writes a batch of history. Calls come after each other; a batch whose id is not above that of the last
    /// one written under the same lease was written already, and changes nothing. Pieces of a simulation that is not
    /// there are passed over: it was deleted meanwhile.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] if somebody else took the database; [`StoreError`] otherwise.
    pub async fn append(&self, lease: &Lease, batch: &Batch) -> Result<(), StoreError> {
        within(TRANSACTION_PATIENCE, async {
            let mut session = self.database.begin().await?;
            append::batch(session.as_mut(), lease, batch).await?;
            lease::renew_if_only_writer(session.as_mut(), lease).await?;
            session.commit().await
        })
        .await
    }

    /// Removes some of what is beyond retention, and of what is left of deleted simulations, in transactions
    /// short enough that nobody waits long for them. It is called again at once while [`Pruned::more`], and is then about what
    /// was left alone, else now and then.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] if somebody else took the database; [`StoreError`] otherwise.
    pub async fn prune(&self, lease: &Lease, pruner: &mut Pruner) -> Result<Pruned, StoreError> {
        pruner.step(self.database.as_ref(), lease).await
    }

    /// Every simulation, as one who now owns the database finds it.
    ///
    /// # Errors
    /// [`StoreError`]; a simulation that cannot be read is none, see [`Loaded::unreadable`].
    pub async fn load(&self) -> Result<Loaded, StoreError> {
        within(TRANSACTION_PATIENCE, async {
            let mut session = self.database.begin().await?;
            let found = load::all(session.as_mut()).await?;
            session.commit().await?;
            Ok(found)
        })
        .await
    }

    /// Every token, by id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn tokens(&self) -> Result<Vec<Token>, StoreError> {
        within(TRANSACTION_PATIENCE, async {
            let mut session = self.database.begin().await?;
            let found = load::tokens(session.as_mut()).await?;
            session.commit().await?;
            Ok(found)
        })
        .await
    }
}
