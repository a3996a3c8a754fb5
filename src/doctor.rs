//! `autofarm doctor`: looks at this machine and at what the settings name, and says what is wrong and what to do about
//! it. It changes nothing: what it tries it undoes.

mod certificates;
mod clock;
mod database;
mod disk;
mod files;
mod finding;
mod ports;
mod tls;
mod udp;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use crate::api_args::ApiArgs;
use crate::database_args::DatabaseArgs;
use crate::standard_output::tell;
use crate::value_parser::parse_address;
use finding::Outcome;

/// Flags of `autofarm doctor`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    autofarm doctor\n  \
    autofarm doctor --listen 0.0.0.0:8443 --tls-cert tls.crt --tls-key tls.key --json\n  \
    autofarm doctor --certs certs --link 0.0.0.0:7400 --database-url postgres://farm@db/farm\n\n\
    It looks at what its flags name, as `autofarm up` would use it, and changes nothing. Exit code 0:\n\
    nothing keeps AutoFarm from running, though there may be warnings; 1: something does; 2: a flag is\n\
    wrong.")]
pub(crate) struct Doctor {
    #[command(flatten)]
    api: ApiArgs,
    /// Address that an orchestrator would listen on for the other roles (UDP) [default: none, not looked at].
    #[arg(long, env = "AUTOFARM_DOCTOR_LINK", value_name = "ADDRESS", value_parser = parse_address)]
    link: Option<SocketAddr>,
    #[command(flatten)]
    database: DatabaseArgs,
    /// Directory with certificates of the roles, as `autofarm certs` writes it [default: none, not looked at].
    #[arg(long, env = "AUTOFARM_CERTS", value_name = "DIR")]
    certs: Option<PathBuf>,
    /// Say it as one JSON object.
    #[arg(long, env = "AUTOFARM_DOCTOR_JSON")]
    json: bool,
}

impl Doctor {
    /// Looks, and says what it found.
    ///
    /// # Errors
    /// Where its own flags are wrong.
    pub(crate) fn run(&self) -> anyhow::Result<ExitCode> {
        let (url, directory) = self.database.url()?;
        let mut findings = Vec::new();
        for &address in &self.api.listen {
            findings.push(ports::tcp(address, self.api.is_tls()));
        }
        findings.extend(self.link.map(ports::udp));
        findings.push(files::limit(self.api.max_connections));
        match disk::place(&url, directory) {
            Some(place) => findings.extend(disk::look(&place)),
            None => findings.push(disk::elsewhere()),
        }
        findings.push(database::look(&url)?);
        findings.push(udp::buffers());
        findings.extend(clock::look());
        findings.extend(
            self.certs
                .iter()
                .flat_map(|directory| certificates::of_roles(directory)),
        );
        if let Some(tls) = self.api.https()? {
            findings.extend(certificates::of_https(&tls.certificate, &tls.key));
        }
        let worst = findings.iter().map(|finding| finding.outcome).max();
        let worst = worst.unwrap_or(Outcome::Ok);
        tell(match self.json {
            true => format!("{}\n", json!({"outcome": worst.name(), "checks": findings})),
            false => finding::text(&findings),
        })?;
        Ok(match worst {
            Outcome::Failure => ExitCode::FAILURE,
            Outcome::Ok | Outcome::Warning => ExitCode::SUCCESS,
        })
    }
}
