//! Whether the database answers, whether this build can work with its schema, and who has it.

use store::{Store, StoreError};

use super::finding::Finding;
use crate::failure::wrong_input;

const CHECK: &str = "database";

/// Looks at the database of this URL, and changes nothing.
///
/// # Errors
/// Where the URL is none.
pub(crate) fn look(url: &str) -> anyhow::Result<Finding> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match runtime.block_on(ask(url)) {
        Ok(finding) => Ok(finding),
        Err(StoreError::Url(error)) => Err(wrong_input(format!("database-url: {error}"))),
        Err(error) => Ok(of_error(&error)),
    }
}

async fn ask(url: &str) -> Result<Finding, StoreError> {
    let schema = store::schema_status(url).await?;
    let is_file = url.starts_with("sqlite:");
    if schema.applied.is_empty() {
        let found = match is_file {
            true => "a file that is made at the first start",
            false => "it answers, and is empty: its tables are made at the first start",
        };
        return Ok(Finding::ok(CHECK, found));
    }
    schema.check_applied()?;
    let pending = schema.pending.len();
    if pending > 0 && !is_file {
        return Ok(Finding::failure(
            CHECK,
            format!("it answers, and its schema lacks {pending} migrations of this build"),
            "stop every orchestrator of an older build, then `autofarm migrate --apply` with the same --database-url",
        ));
    }
    if pending > 0 {
        let found = format!(
            "a file whose schema lacks {pending} migrations of this build; the next start applies them"
        );
        return Ok(Finding::ok(CHECK, found));
    }
    let store = Store::connect(url).await?;
    let owner = store.owner().await;
    store.close().await;
    let found = match owner? {
        Some(owner) if !owner.remaining.is_zero() => format!(
            "it answers, its schema is this build's, and {} has it: another orchestrator would stand by",
            owner.address
        ),
        _ => "it answers, and its schema is this build's".to_owned(),
    };
    Ok(Finding::ok(CHECK, found))
}

fn of_error(error: &StoreError) -> Finding {
    let advice = match error {
        StoreError::Unavailable(_) => {
            "see that it runs and that this machine reaches it (`pg_isready -h HOST -p PORT`); then the address and port in \
             --database-url"
        }
        StoreError::Denied(_) => {
            "see user, password and name of the database in --database-url, and pg_hba.conf of the server; `CREATE ROLE` and \
             `CREATE DATABASE` as docs/operations.md has them"
        }
        StoreError::NotWritable(_) => {
            "see permissions of the file and its directory, or give others with --data-dir"
        }
        StoreError::DiskFull(_) => "make room on the database's disk",
        StoreError::Damaged(_) => {
            "restore a backup, or give another --data-dir; nothing is written to a damaged one"
        }
        StoreError::SchemaNewer { .. } => {
            "use the newer build that migrated it, or restore a backup from before"
        }
        _ => {
            "see docs/operations.md, Failures; or give another database with --database-url or --data-dir"
        }
    };
    Finding::failure(CHECK, error.to_string(), advice)
}
