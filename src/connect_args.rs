//! Where a role finds the orchestrator.

use std::net::SocketAddr;

/// Flags of a role that connects to the orchestrator.
#[derive(clap::Args)]
pub(crate) struct ConnectArgs {
    /// Address of the orchestrator, HOST:PORT (UDP); with commas, of each that may own the database. The
    /// first that answers is taken; names are looked up again for each connection.
    #[arg(
        long,
        env = "AUTOFARM_CONNECT",
        value_name = "HOST:PORT",
        value_delimiter = ',',
        default_value = "127.0.0.1:7400",
        value_parser = parse_host
    )]
    pub(crate) connect: Vec<String>,
}

/// Checks that a text can be a host with a port. What its name means is asked later, and again and again: names may
/// come after those who look for them.
pub(crate) fn parse_host(text: &str) -> Result<String, String> {
    let named = |(name, port): (&str, &str)| {
        !name.is_empty() && !name.contains(':') && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    let is_host = text.parse::<SocketAddr>().is_ok() || text.rsplit_once(':').is_some_and(named);
    is_host
        .then(|| text.to_owned())
        .ok_or_else(|| "HOST:PORT is expected, as farm.example:7400 or [::1]:7400".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_host_is_told_from_a_name_that_is_not_there_yet() {
        for host in [
            "farm.example:7400",
            "127.0.0.1:7400",
            "[::1]:7400",
            "orchestrator:1",
        ] {
            assert_eq!(parse_host(host).as_deref(), Ok(host));
        }
        for wrong in [
            "",
            "farm.example",
            ":7400",
            "farm:0",
            "farm:udp",
            "::1:7400",
            "farm:70000",
        ] {
            assert!(parse_host(wrong).is_err(), "{wrong}");
        }
    }
}
