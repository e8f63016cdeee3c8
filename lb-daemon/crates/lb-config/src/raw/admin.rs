//! `[admin]`

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Located, OffOr, Text};
use crate::endpoint::Endpoint;
use crate::file_path::FilePath;

/// Where commands reach this instance.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
#[schemars(rename = "admin", extend("x-example" = "[admin]\nsocket = \"/run/sluice/admin.sock\"\n"))]
pub(crate) struct RawAdmin {
    /// A unix socket, for root and the user that Sluice runs as. A relative path is relative to this file. Unless it is
    /// set, a socket that cannot be made is only a warning.
    #[schemars(extend("x-unset" = "`admin.sock` in the service manager's `$RUNTIME_DIRECTORY`, else `/run/sluice/admin.sock`"))]
    pub(crate) socket: Option<Located<OffOr<FilePath>>>,
    /// The same over TCP. Clients show a token (`token_file`), a certificate (`tls.client_ca_file`) or, where both are set,
    /// both.
    #[schemars(extend("x-unset" = "none"))]
    pub(crate) tcp: Option<Located<RawAdminTcp>>,
}

/// The admin API over TCP.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a table such as { bind = \"127.0.0.1:9901\", token_file = \"token\" }"
)]
#[schemars(
    rename = "admin_tcp",
    extend("x-example" = "[admin.tcp]\nbind = \"10.0.0.1:9901\"\ntoken_file = \"/etc/sluice/token\"\n")
)]
pub(crate) struct RawAdminTcp {
    /// Where to listen. Without `tls` it has to be a loopback address: 127.0.0.1 or `[::1]`.
    #[schemars(required)]
    pub(crate) bind: Option<Located<Text<Endpoint>>>,
    /// A file with the token that clients send as `Authorization: Bearer TOKEN`; white space around it does not count. It
    /// is read at the start. A relative path is relative to this file.
    #[schemars(extend("x-unset" = "no token, then `tls.client_ca_file` is required"))]
    pub(crate) token_file: Option<Located<Text<FilePath>>>,
    /// TLS: the certificate to show, and whose clients may connect.
    #[schemars(extend("x-unset" = "plain text"))]
    pub(crate) tls: Option<Located<RawAdminTls>>,
}

/// TLS of the admin API.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a table such as { cert_file = \"cert.pem\", key_file = \"key.pem\" }"
)]
#[schemars(
    rename = "admin_tls",
    extend("x-example" = "[admin.tcp.tls]\ncert_file = \"/etc/sluice/admin.pem\"\nkey_file = \"/etc/sluice/admin.key\"\nclient_ca_file = \"/etc/sluice/operators.pem\"\n")
)]
pub(crate) struct RawAdminTls {
    /// The certificate, and those that lead to its CA, in PEM.
    #[schemars(required)]
    pub(crate) cert_file: Option<Located<Text<FilePath>>>,
    /// The key of the certificate, in PEM.
    #[schemars(required)]
    pub(crate) key_file: Option<Located<Text<FilePath>>>,
    /// Only clients with a certificate from one of these CAs (PEM) may connect.
    #[schemars(extend("x-unset" = "no certificate, then `token_file` is required"))]
    pub(crate) client_ca_file: Option<Located<Text<FilePath>>>,
}
