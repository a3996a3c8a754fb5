//! What AutoFarm says to people on standard output: how to begin, where a service is, and that it has stopped.

use std::fmt;
use std::net::SocketAddr;

use crate::standard_output;

/// What is said where no command is given.
pub(crate) const HOW_TO_BEGIN: &str = "\
AutoFarm simulates fleets of farm machines and shows them live. To get going:

  autofarm up        starts all of it here, with a demo farm, and says where to look
  autofarm doctor    says whether this machine is fit for it, and what to mend
  autofarm --help    says what else there is; `autofarm COMMAND --help` all of a command
";

/// Where a service is.
pub(crate) struct Greeting {
    /// Where it listens.
    pub(crate) addresses: Vec<SocketAddr>,
    /// Whether it speaks HTTPS.
    pub(crate) is_tls: bool,
    /// Whether everybody needs a token.
    pub(crate) wants_tokens: bool,
    /// Whether its page is the dashboard.
    pub(crate) has_dashboard: bool,
    /// Where its state is, without a password.
    pub(crate) state: String,
}

impl Greeting {
    /// Says it.
    pub(crate) fn say(&self) {
        tell(&self.to_string());
    }

    /// The URL of an address as somebody on this machine reaches it.
    fn base(&self, address: SocketAddr) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        match address.ip().is_unspecified() {
            true => format!("{scheme}://localhost:{}", address.port()),
            false => format!("{scheme}://{address}"),
        }
    }
}

impl fmt::Display for Greeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nAutoFarm is running.\n")?;
        for &address in &self.addresses {
            let base = self.base(address);
            match self.has_dashboard {
                true => writeln!(f, "  Dashboard  {base}/")?,
                false => writeln!(
                    f,
                    "  Page       {base}/ (this build has no dashboard; it says how to get one)"
                )?,
            }
            writeln!(f, "  API        {base}/v1/simulations")?;
            writeln!(f, "  Docs       {base}/docs")?;
            if address.ip().is_unspecified() {
                writeln!(f, "             and under every other name of this machine")?;
            }
        }
        writeln!(f, "  State      {}", self.state)?;
        if self.wants_tokens {
            writeln!(
                f,
                "\nEverybody needs a token here; `autofarm token` makes and lists them."
            )?;
        }
        writeln!(
            f,
            "\nCtrl-C stops it; all is kept, and the next start goes on where it was."
        )
    }
}

/// Says that it has stopped, and whether all that happened is in the database.
pub(crate) fn farewell(is_written: bool) {
    tell(match is_written {
        true => "Stopped. All is written; the next start goes on where it was.\n",
        false => {
            "Stopped, but not all history was written in time. What was acknowledged is kept, and the next start \
             computes the rest again.\n"
        }
    });
}

/// That nobody can be told is no reason for a service to fail.
fn tell(text: &str) {
    let _ = standard_output::tell(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting(address: &str) -> Greeting {
        Greeting {
            addresses: vec![address.parse().unwrap()],
            is_tls: false,
            wants_tokens: false,
            has_dashboard: true,
            state: "/farm/autofarm.db".to_owned(),
        }
    }

    #[test]
    fn every_url_can_be_opened_as_it_stands() {
        let here = greeting("127.0.0.1:8080").to_string();
        assert!(
            here.contains("Dashboard  http://127.0.0.1:8080/\n"),
            "{here}"
        );
        assert!(
            here.contains("Docs       http://127.0.0.1:8080/docs\n"),
            "{here}"
        );
        let everywhere = Greeting {
            is_tls: true,
            ..greeting("[::]:8443")
        };
        let everywhere = everywhere.to_string();
        assert!(
            everywhere.contains("https://localhost:8443/v1/simulations\n"),
            "{everywhere}"
        );
        assert!(!everywhere.contains("[::]"), "{everywhere}");
    }

    #[test]
    fn it_says_what_is_missing_and_what_is_asked_for() {
        let plain = Greeting {
            has_dashboard: false,
            wants_tokens: true,
            ..greeting("10.0.0.7:8080")
        };
        let plain = plain.to_string();
        assert!(
            !plain.contains("Dashboard") && plain.contains("no dashboard"),
            "{plain}"
        );
        assert!(plain.contains("needs a token"), "{plain}");
    }
}
