//! Whether the system lets the link's sockets have room for a burst.

use transport::quic_config::{SOCKET_BUFFER_BYTES, granted_buffers};

use super::finding::Finding;

/// What a link's socket asks for, and what it is granted.
pub(crate) fn buffers() -> Finding {
    let (received, sent) = match granted_buffers() {
        Ok(granted) => granted,
        Err(error) => {
            return Finding::failure(
                "udp buffers",
                format!("no UDP socket can be had: {error}"),
                "look what keeps programs from the network here: a sandbox, or a container without one",
            );
        }
    };
    let found = format!(
        "{} KiB to receive, {} KiB to send",
        received >> 10,
        sent >> 10
    );
    if received >= SOCKET_BUFFER_BYTES && sent >= SOCKET_BUFFER_BYTES {
        return Finding::ok("udp buffers", found);
    }
    let wanted = SOCKET_BUFFER_BYTES;
    Finding::warning(
        "udp buffers",
        format!(
            "{found}, of the {} KiB that roles on several computers ask for: bursts are sent twice",
            wanted >> 10
        ),
        format!(
            "nothing for `autofarm up`; else, as root: `sysctl -w net.core.rmem_max={wanted} net.core.wmem_max={wanted}`, \
             and the same two settings in /etc/sysctl.d/90-autofarm.conf to keep them"
        ),
    )
}
