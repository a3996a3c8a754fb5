//! The gateway: REST, the live stream and the dashboard. It keeps nothing that it could not get again.
