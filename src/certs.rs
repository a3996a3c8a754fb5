//! `autofarm certs`: a certificate authority and one certificate a role.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use transport::certs::generate;

use crate::failure::wrong_input;
use crate::value_parser::within;

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Flags of `autofarm certs`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    autofarm certs --out certs\n  \
    autofarm certs --out certs --days 30 --force\n\n\
    Give ca.crt and worker.* to the workers, orchestrator.* to orchestrators, gateway.* to gateways and\n\
    to whoever runs `autofarm token`. The authority's key is thrown away: to replace one certificate,\n\
    make all of them anew.")]
pub(crate) struct Certs {
    /// Directory to write to; made where it is not there.
    #[arg(
        long,
        env = "AUTOFARM_CERTS",
        value_name = "DIR",
        default_value = "certs"
    )]
    out: PathBuf,
    /// Days until they expire, 1 to 3650.
    #[arg(long, env = "AUTOFARM_CERT_DAYS", default_value_t = 365,
        value_parser = within::<u32>(1..=3_650))]
    days: u32,
    /// Replaces certificates that are there.
    #[arg(long, env = "AUTOFARM_CERTS_FORCE")]
    force: bool,
}

impl Certs {
    /// Makes and writes them.
    ///
    /// # Errors
    /// Where some are there already, or the directory cannot be written.
    pub(crate) fn run(&self) -> anyhow::Result<ExitCode> {
        let there = self.out.join("ca.crt");
        if there.exists() && !self.force {
            return Err(wrong_input(format!(
                "out: {} exists; give another directory, or --force to replace it",
                there.display()
            )));
        }
        // A clock that is a little behind shall not find them to be of the future.
        let from = SystemTime::now() - DAY;
        generate(from, DAY * (self.days + 1))?.write_to(&self.out)?;
        println!(
            "{}: certificates for {} days",
            self.out.display(),
            self.days
        );
        Ok(ExitCode::SUCCESS)
    }
}
