//! An orchestrator with a database: it waits until that is its own, takes up every simulation where it
//! was left, and goes on; asked to end, it leaves everything as another one will find it.

use kernel::plan::Plan;
use store::error::StoreError;
use store::lease::{Acquired, Lease, Owner, SameAddress};
use store::recovery::Recovered;
use store::retention::Retention;
use store::{Store, load::Loaded};
use tokio::sync::watch;
use transport::control::Token;
use transport::link::{Endpoint, LinkCommand, LinkEvent};
use transport::pool::FramePool;

use crate::clock::Origin;
use crate::config::Config;
use crate::drive::{self, Kept};
use crate::handle::Handle;
use crate::keeper::{Keeper, waits_for};
use crate::limits::{CUT_EVERY, FIRST_BACK_OFF, LEASE_TTL, RENEW_EVERY};
use crate::standing::Standing;
use crate::threads::Threads;

/// Why a tenure does not begin, or has ended other than it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum TenureError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The link ended while another orchestrator owned the database.
    #[error("the link has ended")]
    LinkEnded,
    /// The database is another orchestrator's now, or takes nothing from this one.
    #[error("{reason}")]
    Over {
        /// Why, and who owns it.
        reason: String,
    },
    /// The system gives no thread for the clock.
    #[error("no thread for the clock: {0}")]
    Clock(#[source] std::io::Error),
    /// A thread that cut a farm has panicked.
    #[error("a thread that cut a farm has panicked")]
    Panicked,
}

/// The database of a service, and how it is owned.
#[derive(Clone, Debug)]
pub struct Owned {
    /// The database.
    pub store: Store,
    /// Where this orchestrator is, for others to name.
    pub address: String,
    /// Whether an owner of the same address is known to be gone.
    pub same_address: SameAddress,
    /// What is kept for how long.
    pub retention: Retention,
    /// Where it is said how this orchestrator stands.
    pub standing: watch::Sender<Standing>,
}

/// Waits for the database to be this process's, takes up what it holds, and starts. The answer is a handle
/// and the future that drives it, which ends with the link, with the last handle, when it is shut down, or where the
/// database is lost. `config` is taken but for the lease's epoch and what follows from having a
/// database.
///
/// # Errors
/// [`TenureError`].
pub async fn start(
    config: Config,
    owned: Owned,
    pool: FramePool,
    mut link: Endpoint,
    origin: Origin,
) -> Result<(Handle, impl Future<Output = Result<(), TenureError>> + Send), TenureError> {
    let lease = stand_by(&owned, &mut link).await?;
    let epoch = lease.epoch;
    tracing::info!(epoch, "the database is this orchestrator's");
    owned.standing.send_replace(Standing::TakingUp { epoch });
    let store = owned.store.clone();
    let keeper = Keeper::start(&store, &lease, owned.retention);
    let (loaded, tokens) = load(&store).await?;
    let config = Config {
        lease_epoch: lease.epoch,
        durable: true,
        cut_every: config.cut_every.or(Some(CUT_EVERY)),
        ..config
    };
    let kept = Kept {
        keeper,
        recovered: cut_farms(loaded.simulations).await?,
        tokens,
        lost: (loaded.unreadable.into_iter())
            .filter_map(|lost| {
                let error = lost.error.to_string();
                tracing::error!(simulation = ?lost.simulation, error, "a simulation cannot go on");
                Some((*lost.known?, error))
            })
            .collect(),
    };
    let (handle, run) =
        drive::start_kept(config, pool, link, origin, kept).map_err(TenureError::Clock)?;
    owned.standing.send_replace(Standing::Owning { epoch });
    let driven = async move {
        match run.await {
            Some(reason) => Err(TenureError::Over { reason }),
            None => {
                // If that fails the lease runs out by itself.
                if let Err(error) = store.release(&lease).await {
                    tracing::warn!(%error, "the lease was not given up");
                }
                Ok(())
            }
        }
    };
    Ok((handle, driven))
}

/// Waits until the database is this process's. Whoever connects meanwhile is told where its owner is.
async fn stand_by(owned: &Owned, link: &mut Endpoint) -> Result<Lease, TenureError> {
    let mut back_off = FIRST_BACK_OFF;
    let mut said: Option<Owner> = None;
    loop {
        let Owned {
            address,
            same_address,
            standing,
            ..
        } = owned;
        let pause = match (owned.store)
            .acquire(address, LEASE_TTL, *same_address)
            .await
        {
            Ok(Acquired::Owned(lease)) => return Ok(lease),
            Ok(Acquired::Held(owner)) => {
                let (address, epoch) = (&owner.address, owner.epoch);
                standing.send_replace(Standing::StandingBy {
                    owner: address.clone(),
                    epoch,
                });
                if said.as_ref().is_none_or(|said| said.epoch != epoch) {
                    tracing::info!(
                        owner = address,
                        epoch,
                        "standing by: the database is another's, and this one takes over when that one ends; to serve beside it, give \
                         another database, with --data-dir or --database-url"
                    );
                }
                let pause = owner.remaining.min(RENEW_EVERY).max(FIRST_BACK_OFF);
                said = Some(owner);
                pause
            }
            Err(error) => {
                waits_for(error, &mut back_off).await?;
                continue;
            }
        };
        let pause = tokio::time::sleep(pause);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => break,
                event = link.events.recv() => {
                    let event = event.ok_or(TenureError::LinkEnded)?;
                    let address = said.as_ref().map_or("unknown", |owner| &owner.address);
                    turn_away(link, &event, address);
                }
            }
        }
    }
}

/// Sends someone who connects to a standby to the owner.
fn turn_away(link: &Endpoint, event: &LinkEvent, owner: &str) {
    if let &LinkEvent::Connected { peer, .. } = event {
        let reason = format!("this orchestrator stands by; the one at {owner} owns the database");
        // A link that takes nothing more has dropped it.
        let _ = (link.commands).try_send(LinkCommand::Disconnect { peer, reason });
    }
}

async fn load(store: &Store) -> Result<(Loaded, Vec<Token>), StoreError> {
    let mut back_off = FIRST_BACK_OFF;
    loop {
        let loaded = async { Ok((store.load().await?, store.tokens().await?)) };
        match loaded.await {
            Ok(loaded) => return Ok(loaded),
            Err(error) => waits_for(error, &mut back_off).await?,
        }
    }
}

/// Cuts the farm of every simulation that goes on, on as many threads as there are places for.
async fn cut_farms(
    simulations: Vec<Recovered>,
) -> Result<Vec<(Recovered, Option<Plan>)>, TenureError> {
    let threads = Threads::default();
    let cut = |recovered: Recovered| {
        let threads = threads.clone();
        tokio::spawn(async move {
            let cut = move || {
                let plan = recovered
                    .goes_on()
                    .then(|| Plan::new(&recovered.spec.config))
                    .transpose();
                // What was valid once is valid: it would be another build's.
                (recovered, plan.ok().flatten())
            };
            threads.run(cut).await
        })
    };
    let mut cutting = Vec::new();
    for recovered in simulations {
        cutting.push(cut(recovered));
    }
    let mut done = Vec::new();
    for task in cutting {
        let cut = task.await.and_then(|cut| cut);
        done.push(cut.map_err(|_| TenureError::Panicked)?);
    }
    Ok(done)
}
