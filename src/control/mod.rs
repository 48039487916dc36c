//! The control socket: its protocol, server and client, and the rpcd face.
