//! Whether certificates can be used, for which names, and until when.

use std::path::Path;
use std::time::{Duration, SystemTime};

use gateway::config::TlsFiles;
use transport::identity::{Identity, ValidityError};
use transport::link::Role;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;
use x509_parser::prelude::X509Certificate;

use super::finding::Finding;

/// From so long before its end on, a certificate's end is a warning.
const SOON: Duration = Duration::from_secs(30 * 24 * 3_600);
const DAY_S: i64 = 24 * 3_600;

/// Of the roles that have one in a directory.
pub(crate) fn of_roles(directory: &Path) -> Vec<Finding> {
    let file = |name: String| directory.join(name);
    let has = |role: &Role| file(format!("{role}.crt")).exists();
    let there: Vec<Role> = Role::ALL.into_iter().filter(has).collect();
    if there.is_empty() {
        return vec![Finding::failure(
            "certificates",
            format!("{} holds no certificate of a role", directory.display()),
            format!("`autofarm certs --out {}` makes them", directory.display()),
        )];
    }
    let of_role = |role: Role| {
        let certificate = file(format!("{role}.crt"));
        let identity = Identity::load(
            &file("ca.crt".to_owned()),
            &certificate,
            &file(format!("{role}.key")),
        );
        let verified = match identity {
            Err(error) => Err((error.to_string(), "take ca.crt, certificate and key from one run of `autofarm certs`")),
            Ok(identity) => identity.verify(SystemTime::now()).map_err(|error| {
                let advice = match error {
                    ValidityError::NotYetValid { .. } => "set this machine's clock",
                    _ => "`autofarm certs --force` makes all anew: give them to all roles, and start all of them again",
                };
                (format!("{}: {error}", certificate.display()), advice)
            }),
        };
        match verified {
            Err((found, advice)) => Finding::failure("certificates", found, advice),
            Ok(()) => of_file(
                "certificates",
                &certificate,
                "`autofarm certs --force` makes all anew in good time",
            ),
        }
    };
    there.into_iter().map(of_role).collect()
}

/// For HTTPS.
pub(crate) fn of_https(certificate: &Path, key: &Path) -> Vec<Finding> {
    let files = TlsFiles {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
    };
    vec![match gateway::check_tls(&files) {
        Err(error) => Finding::failure(
            "https",
            error.to_string(),
            "give a PEM file with the chain, the server's own certificate first, with --tls-cert, and its key with --tls-key",
        ),
        Ok(()) => of_file(
            "https",
            certificate,
            "renew it, then start the gateway anew: it reads it at its start",
        ),
    }]
}

/// For which names the first certificate of a file is, and until when.
fn of_file(check: &'static str, path: &Path, renew: &str) -> Finding {
    let unreadable = |why: String| {
        Finding::failure(
            check,
            format!("{}: {why}", path.display()),
            "give a certificate of X.509, as PEM",
        )
    };
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => return unreadable(error.to_string()),
    };
    let first = Pem::iter_from_buffer(&bytes)
        .flatten()
        .find(|pem| pem.label == "CERTIFICATE");
    let Some(pem) = first else {
        return unreadable("no certificate is in it".to_owned());
    };
    match pem.parse_x509() {
        Ok(certificate) => validity(check, path, &certificate, SystemTime::now(), renew),
        Err(error) => unreadable(error.to_string()),
    }
}

fn validity(
    check: &'static str,
    path: &Path,
    certificate: &X509Certificate<'_>,
    now: SystemTime,
    renew: &str,
) -> Finding {
    let now = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let now_s = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let valid = certificate.validity();
    let (from, until) = (valid.not_before, valid.not_after);
    let found = format!("{}: for {}", path.display(), names(certificate));
    let left_s = until.timestamp() - now_s;
    if from.timestamp() > now_s {
        return Finding::failure(
            check,
            format!("{found}, valid only from {from} on"),
            "set this machine's clock",
        );
    }
    if left_s <= 0 {
        return Finding::failure(check, format!("{found}, expired on {until}"), renew);
    }
    let found = format!("{found}, until {until}, {} days from now", left_s / DAY_S);
    match left_s < SOON.as_secs() as i64 {
        true => Finding::warning(check, found, renew),
        false => Finding::ok(check, found),
    }
}

fn names(certificate: &X509Certificate<'_>) -> String {
    let alternatives = certificate.subject_alternative_name().ok().flatten();
    let names: Vec<String> = alternatives
        .iter()
        .flat_map(|names| &names.value.general_names)
        .map(|name| match name {
            GeneralName::DNSName(name) => (*name).to_owned(),
            GeneralName::IPAddress(bytes) => match *bytes {
                [a, b, c, d] => std::net::Ipv4Addr::new(*a, *b, *c, *d).to_string(),
                _ => <[u8; 16]>::try_from(*bytes).map_or_else(
                    |_| name.to_string(),
                    |ip| std::net::Ipv6Addr::from(ip).to_string(),
                ),
            },
            other => other.to_string(),
        })
        .collect();
    match names.is_empty() {
        true => "no name: browsers take none without a subject alternative name".to_owned(),
        false => names.join(", "),
    }
}
